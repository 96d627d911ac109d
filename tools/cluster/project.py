"""The project on the cluster: its images, and its manifests as a user applies them."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import images
from api import apply, kubectl, named, wait_for_deployment
from layout import (
    BINARIES,
    HERE,
    KUBECONFIG,
    NAMESPACE,
    STATE,
    STORE_PORT,
    STORE_USER,
    password,
)
from processes import ClusterError, say, wait

_REPOSITORY = HERE.parents[1]
_SETTINGS = STATE / "environment"
"""The file that a shell sources to reach the cluster."""
# MinIO runs as the owner of its folder.
_VOLUME_OWNER = 1000


def load_images() -> None:
    """Build the project's images and put them on the node."""
    version = re.findall(r'__version__ = "(.+)"', (_REPOSITORY / "kfdet/__init__.py").read_text())[
        0
    ]
    names = ["kfdet-tensorboard", "kfdet-serving", "kfdet"]
    say(f"images: {', '.join(names)} (the first time takes minutes)")
    done = subprocess.run(
        ["make", "images", f"IMAGE_BUILD={shlex.join(images.BUILD)}", f"IMAGES={' '.join(names)}"],
        cwd=_REPOSITORY,
        check=False,
    )
    if done.returncode:
        raise ClusterError("the project's images cannot be built: see above")
    for name in names:
        images.load(f"localhost/{name}:{version}")
    # The node has no GPU: training runs in the image without CUDA, gigabytes smaller.
    images.load(f"localhost/kfdet:{version}", f"kfdet-training:{version}")


def load_minio() -> None:
    """Put the image that the manifests name for MinIO on the node."""
    manifest = (_REPOSITORY / "manifests/components/minio/minio.yaml").read_text()
    image = re.findall(r"image: (\S+)", manifest)[0]
    folder = STATE / "minio-image"
    folder.mkdir(exist_ok=True)
    for file in (HERE / "minio" / "Dockerfile", BINARIES / "minio"):
        shutil.copy2(file, folder)
    images.build(images.on_the_node(image), folder)
    images.load(images.on_the_node(image))


def apply_manifests() -> None:
    """Apply the overlay for a standalone installation of Kubeflow Pipelines, and wait for it."""
    say("project: manifests/overlays/standalone")
    copy = STATE / "manifests"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(_REPOSITORY / "manifests", copy)
    shutil.copytree(HERE / "overlay", copy / "overlays" / "cluster")
    storage = _account("kfdet-storage", STORE_USER)
    secrets = {
        "kfdet-storage": storage,
        "kfdet-storage-reader": _account("kfdet-storage-reader", f"{STORE_USER}-reader"),
        "kfdet-store-admin": {
            "MINIO_ROOT_USER": f"{STORE_USER}-admin",
            "MINIO_ROOT_PASSWORD": password("kfdet-store-admin"),
        },
    }
    for name, values in secrets.items():
        _write(copy / "overlays" / "standalone" / f"{name}.env", values)
    _make_volume()
    kubectl("apply", "-k", str(copy / "overlays" / "cluster"))
    patch = ("--patch-file", str(copy / "overlays" / "standalone" / "kfp-launcher.yaml"))
    launcher = ("configmap", "kfp-launcher", "-n", NAMESPACE)
    kubectl("patch", *launcher, "--field-manager", "kfdet", *patch)
    wait_for_deployment("kfdet-tensorboard")
    status = ("rollout", "status", "statefulset/minio", "-n", NAMESPACE, "--timeout=5s")
    wait("MinIO", lambda: kubectl(*status))
    job = ("get", "job", "kfdet-store-users", "-n", NAMESPACE, "--ignore-not-found")
    done = ("-o", "jsonpath={.metadata.name} {.status.succeeded}")
    # gone once it is done
    wait("the store's users", lambda: kubectl(*job, *done).strip()[-1:] in ("", "1"))
    settings = {
        "KUBECONFIG": str(KUBECONFIG),
        **storage,
        "AWS_ENDPOINT_URL": f"http://{_address('minio')}:{STORE_PORT}",
        "PATH": f"$PATH:{BINARIES}",
    }
    _write(_SETTINGS, {f"export {name}": f'"{value}"' for name, value in settings.items()})
    say(f"to use it from this machine: . {_SETTINGS}")


def _account(name: str, user: str) -> dict[str, str]:
    """Return what the Secret of one of the store's users holds."""
    return {
        "AWS_ACCESS_KEY_ID": user,
        "AWS_SECRET_ACCESS_KEY": password(name),
        "AWS_ENDPOINT_URL": f"http://minio.{NAMESPACE}:{STORE_PORT}",
    }


def _make_volume() -> None:
    """Create the volume that MinIO claims: nothing here provisions volumes on demand."""
    folder = STATE / "minio"
    folder.mkdir(exist_ok=True)
    os.chown(folder, _VOLUME_OWNER, _VOLUME_OWNER)
    claim = {"namespace": NAMESPACE, "name": "data-minio-0"}
    spec = {
        "capacity": {"storage": "20Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(folder)},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim},
    }
    apply(named("PersistentVolume", "minio", None, spec=spec))


def _address(service: str) -> str:
    """Return a service's IP address, which works on the host, too; empty: no such service."""
    output = ("-o", "jsonpath={.spec.clusterIP}")
    return kubectl("get", "service", service, "-n", NAMESPACE, *output, quiet=True)


def _write(file: Path, values: dict[str, str]) -> None:
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
