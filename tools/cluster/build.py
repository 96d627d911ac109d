"""What the cluster is made of: Debian packages, Go programs, the metadata server's environment."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from layout import CACHE, HERE, KFP, KFP_COMMITS, KFP_MODULE, binary_of
from processes import ClusterError, run, say

_PACKAGES = {
    "buildah": "buildah",
    "containerd": "containerd",
    "debootstrap": "debootstrap",
    "gcc": "gcc libc6-dev",
    "ip": "iproute2",
    "iptables": "iptables",
    "mariadbd": "mariadb-server mariadb-client",
    "modprobe": "kmod",
    "openssl": "openssl",
    "python3.11": "python3.11 python3.11-venv",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
"""Debian packages, by the program that shows that they are installed."""

METADATA_PYTHON = CACHE / "metadata" / "bin" / "python"


@dataclass(frozen=True)
class Program:
    """A Go program of one of the modules in go/."""

    module: str
    package: str
    name: str
    flags: list[str] = field(default_factory=list)
    c: bool = False
    """Whether it needs the C compiler; it is linked statically nevertheless."""
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic links among its sources by path: Go's module archives leave them out."""


_KUBERNETES_VERSION = "v1.34.4"
_KUBERNETES_FLAGS = [
    f"-X k8s.io/{package}.gitVersion={_KUBERNETES_VERSION}"
    for package in ("component-base/version", "client-go/pkg/version")
]
_PIPELINES = "github.com/kubeflow/pipelines/backend/src"
_WORKFLOWS = "github.com/argoproj/argo-workflows/v4/cmd"
PROGRAMS = [
    *(
        Program("kubernetes", f"k8s.io/kubernetes/cmd/{name}", name, _KUBERNETES_FLAGS)
        for name in (
            *("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
            *("kubelet", "kube-proxy", "kubectl"),
        )
    ),
    Program("etcd", "go.etcd.io/etcd/server/v3", "etcd"),
    Program("pause", "kfdet-cluster/pause", "pause"),
    Program("coredns", "github.com/coredns/coredns", "coredns"),
    Program("minio", "github.com/minio/minio", "minio"),
    Program("argo", f"{_WORKFLOWS}/workflow-controller", "workflow-controller"),
    Program(
        "argo",
        f"{_WORKFLOWS}/argoexec",
        "argoexec",
        links={"workflow/executor/osspecific/signal_linux.go": "signal_darwin.go"},
    ),
    Program("kserve", "github.com/kserve/kserve/cmd/manager", "kserve-manager"),
    Program("kfp", f"{_PIPELINES}/apiserver", "apiserver", c=True),
    Program("kfp", f"{_PIPELINES}/agent/persistence", "persistence_agent"),
    Program("kfp", f"{_PIPELINES}/v2/cmd/driver", "driver"),
    Program("kfp", f"{_PIPELINES}/v2/cmd/launcher-v2", "launcher-v2"),
]


def up() -> list[str]:
    """Install and build what is missing.

    Returns:
        The modules of which a program could not be built; the error was shown.

    Raises:
        ClusterError: One of them is Kubernetes, etcd, CoreDNS or MinIO, or this version of
            Kubeflow Pipelines has not been tried.
    """
    if KFP not in KFP_COMMITS:
        known = ", ".join(KFP_COMMITS)
        raise ClusterError(
            f"Kubeflow Pipelines {KFP} is not among {known}: KFP_COMMITS in layout.py"
        )
    _install_packages()
    # Not every module proxy has every version, above all of Kubeflow Pipelines, whose tags are not
    # Go versions. A cluster without it can still serve; an existing binary is not built again.
    missing: list[str] = []
    for program in PROGRAMS:
        if program.module not in missing and not _build(program):
            missing.append(program.module)
    if needed := {"kubernetes", "etcd", "pause", "coredns", "minio"} & set(missing):
        raise ClusterError(f"cannot build {', '.join(sorted(needed))}: no cluster")
    if not METADATA_PYTHON.exists():
        say("metadata store: its Python environment")
        run("python3.11", "-m", "venv", "--clear", METADATA_PYTHON.parents[1])
        requirements = HERE / "metadata.txt"
        run(METADATA_PYTHON, "-m", "pip", "install", "--quiet", "-r", requirements)
    return missing


def module_folder(module: str, dependency: str) -> Path:
    """Return where Go keeps a dependency's source and manifests; fetch them if absent."""
    found = json.loads(run("go", "mod", "download", "-json", dependency, cwd=HERE / "go" / module))
    return Path(found["Dir"])


def _install_packages() -> None:
    missing = [package for program, package in _PACKAGES.items() if not shutil.which(program)]
    if missing:
        packages = " ".join(missing).split()
        say(f"packages: {' '.join(packages)}")
        run("apt-get", "update", "--quiet")
        install = ("apt-get", "install", "--yes", "--no-install-recommends", "--quiet")
        run("env", "DEBIAN_FRONTEND=noninteractive", *install, *packages)


def _build(program: Program) -> bool:
    target = binary_of(program.name)
    if target.exists():
        return True
    if not shutil.which("go"):
        raise ClusterError("Go is missing: install 1.21 or newer, which fetches newer ones")
    say(f"building {program.name} (the first time takes minutes)")
    target.parent.mkdir(parents=True, exist_ok=True)
    linker = ["-s", "-w", *program.flags, *(["-extldflags=-static"] if program.c else [])]
    tags = ["-tags=netgo,osusergo,sqlite_omit_load_extension"] if program.c else []
    folder = _with_links(program) if program.links else _folder(program.module)
    done = subprocess.run(
        [
            *("nice", "-n", "19", "go", "build", "-trimpath", "-buildvcs=false", *tags),
            *(f"-ldflags={' '.join(linker)}", "-o", target, program.package),
        ],
        check=False,
        cwd=folder,
        env={
            **os.environ,
            **_proxies(),
            "CGO_ENABLED": str(int(program.c)),
            "GOFLAGS": "",
            "GOTOOLCHAIN": "auto",
        },
    )
    return done.returncode == 0


def _proxies() -> dict[str, str]:
    """What makes Go ask the next module proxy, or the repository, however one refuses a module.

    After a comma it does so only where a module is not found; public proxies have answered that
    Kubeflow Pipelines is forbidden (https://go.dev/ref/mod#goproxy-protocol).
    """
    return {"GOPROXY": run("go", "env", "GOPROXY").strip().replace(",", "|")}


def _folder(module: str) -> Path:
    """Return the folder of a Go module; make that of another version of Kubeflow Pipelines."""
    if module != "kfp":
        return HERE / "go" / module
    if not (KFP_MODULE / "go.sum").exists():
        # Up to what its own dependencies need, which is different in each version.
        text = "\n\n".join((HERE / "go" / module / "go.mod").read_text().split("\n\n")[:5])
        (commit,) = set(re.findall(r"v0\.0\.0-(\S+) // indirect", text))
        KFP_MODULE.mkdir(parents=True, exist_ok=True)
        (KFP_MODULE / "go.mod").write_text(text.replace(commit, KFP_COMMITS[KFP]) + "\n")
        # Not checked: if it fails, so does the build, which says what is missing.
        environment = {**os.environ, **_proxies()}
        subprocess.run(["go", "mod", "tidy"], cwd=KFP_MODULE, check=False, env=environment)
    return KFP_MODULE


def _with_links(program: Program) -> Path:
    """Copy the module that the program is in, with its symbolic links; return the folder."""
    root = "/".join(program.package.split("/")[:4])
    source = module_folder(program.module, root)
    folder = CACHE / "source" / program.module
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    for link, target in program.links.items():
        (folder / link).symlink_to(target)
    return folder
