"""Container images on the node: of one static program each, and the project's."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import containerd
from archives import import_archive
from layout import BINARIES, binary_of, image_of
from processes import run, say

_BASE = "docker.io/library/python:3.11-slim-bookworm"
BUILD = [
    *("buildah", "build", "--layers", "--pull-never"),
    # Needs no right to create namespaces for network and processes.
    *("--isolation", "chroot", "--network", "host"),
    *(f"--volume={file}:{file}:ro" for file in ("/etc/ssl/certs", "/etc/resolv.conf")),
]
"""How to build an image where root is restricted and only the host's network works."""

_SOURCE = "kfdet.io/source"
"""Label of an image on the node: what it was made from, to see whether it is up to date."""


def load_program(binary: str) -> None:
    """Put an image on the node that holds only a static program, /bin/NAME, and /tmp."""
    program, image = binary_of(binary), image_of(binary)
    facts = program.stat()

    def save(archive: Path) -> None:
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            root = Path(folder)
            for name, mode in {"bin": 0o755, "tmp": 0o1777}.items():
                (root / name).mkdir()
                (root / name).chmod(mode)
            shutil.copy2(program, root / "bin")
            container = run("buildah", "from", "scratch").strip()
            path = ["--env", "PATH=/bin", "--entrypoint", f'["/bin/{binary}"]']
            run("buildah", "copy", "--quiet", container, root, "/")
            run("buildah", "config", "--user", "65532:65532", *path, container)
            run("buildah", "commit", "--quiet", container, f"docker-archive:{archive}:{image}")
            run("buildah", "rm", container)

    _load(image, f"{facts.st_size}-{facts.st_mtime_ns}", save)


def build_base() -> None:
    """Make the base of the Python images, plain Debian, which otherwise comes from a registry.

    `make images` on such a machine starts from it, too.
    """
    if run("buildah", "images", "--quiet", _BASE, quiet=True):
        return
    say(f"image {_BASE}, from Debian's packages")
    with tempfile.TemporaryDirectory(dir=BINARIES.parent) as folder:
        root = Path(folder) / "root"
        packages = "python3,python3-venv,python3-pip,ca-certificates"
        run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", root)
        (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
        (root / "usr/bin/python").symlink_to("python3")
        for archive in (root / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        container = run("buildah", "from", "scratch").strip()
        run("buildah", "copy", "--quiet", container, root, "/")
        run("buildah", "config", "--cmd", "python3", container)
        run("buildah", "commit", "--quiet", "--rm", container, _BASE)


def build(image: str, folder: Path) -> None:
    """Build an image from a folder with a Dockerfile."""
    run(*BUILD, "--quiet", "--tag", image, str(folder))


def load(image: str, alias: str = "") -> None:
    """Put an image from buildah's store on the node, under the name that pods use.

    Args:
        image: Its name in buildah's store.
        alias: A second name.
    """
    made_of = run("buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", image)
    name = on_the_node(image)

    def save(archive: Path) -> None:
        run("buildah", "push", "--quiet", image, f"docker-archive:{archive}:{name}")

    _load(name, made_of.strip(), save)
    if alias:
        containerd.ctr("images", "tag", "--force", name, on_the_node(alias))


def on_the_node(image: str) -> str:
    """Return the full name by which the node looks for an image."""
    image = image.removeprefix("localhost/")
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if set(".:") & set(first) else f"docker.io/{image}"


def _load(image: str, source: str, save: Callable[[Path], None]) -> None:
    label = f"{_SOURCE}={source}"
    if any(
        line.startswith(f"{image} ") and label in line
        for line in containerd.ctr("images", "list").splitlines()
    ):
        return
    say(f"image {image}")
    # Beside the cache, not in a small in-memory file system: a project's image has gigabytes.
    with tempfile.TemporaryDirectory(dir=BINARIES.parent) as folder:
        archive = Path(folder) / "image.tar"
        save(archive)
        import_archive(archive, image)
    containerd.ctr("images", "label", image, label)
    _forget_replaced()


def _forget_replaced() -> None:
    """Remove the images whose name a newer one has taken, to free gigabytes."""
    listed = [line.split() for line in containerd.ctr("images", "list").splitlines()[1:]]
    named = [digest for name, _, digest, *_ in listed if not name.startswith("sha256:")]
    for name, _, digest, *_ in listed:
        if digest not in named:
            # --sync: done in the background, it removes layers that the next import relies on
            containerd.ctr("images", "remove", "--sync", name)
