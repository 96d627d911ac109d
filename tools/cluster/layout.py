"""Folders, addresses and names that the parts of the cluster share."""

import json
import os
import secrets
from pathlib import Path

HERE = Path(__file__).parent

CACHE = Path(os.environ.get("KFDET_CLUSTER_CACHE", Path.home() / ".cache" / "kfdet-cluster"))
"""What is slow to build and outlives a cluster: binaries, images, the metadata server's venv."""
BINARIES = CACHE / "bin"

STATE = Path(os.environ.get("KFDET_CLUSTER_STATE", "/var/lib/kfdet-cluster"))
"""What is removed with the cluster."""
CERTIFICATES = STATE / "certificates"
LOGS = STATE / "logs"
KUBECONFIG = STATE / "kubeconfig"

CONTAINERD_SOCKET = STATE / "containerd.sock"
CONTAINERD_ROOT = CACHE / "containerd"


_KFP_IN_GO = "2.17.0"
"""The version of Kubeflow Pipelines that go/kfp names."""
KFP = os.environ.get("KFDET_CLUSTER_KFP") or _KFP_IN_GO
"""The version of Kubeflow Pipelines on the cluster."""
KFP_PROGRAMS = ["apiserver", "persistence_agent", "driver", "launcher-v2"]
KFP_COMMITS = {
    "2.15.0": "20251125164028-8fe8d7bdd88f",
    "2.16.1": "20260504234626-67a73cf809f7",
    _KFP_IN_GO: "20260709152847-4a3592cb2dd0",
}
"""Time and commit of each version: its tags are no Go versions, so a pseudo-version names it."""
KFP_MODULE = HERE / "go" / "kfp" if KFP == _KFP_IN_GO else CACHE / "go" / f"kfp-{KFP}"
"""Folder of the Go module that builds it."""


def binary_of(program: str) -> Path:
    """Return where the program is once it is built."""
    other = program in KFP_PROGRAMS and KFP != _KFP_IN_GO
    return BINARIES / f"kfp-{KFP}" / program if other else BINARIES / program


def image_of(program: str) -> str:
    """Return the name of the image that holds only the program."""
    return f"docker.io/kfdet-cluster/{program}:{KFP if program in KFP_PROGRAMS else 1}"


STORAGE_INITIALIZER = "docker.io/kfdet-cluster/storage-initializer:0.21.0"

NODE = "kfdet"
BRIDGE = "kfdet0"
ADDRESS = "10.244.0.1"
"""The bridge's address: the pods' gateway, and where every server of the host listens."""
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
API_SERVER = f"https://{ADDRESS}:6443"
NAMESPACE = "kubeflow"
STORE_PORT = 9000
PIPELINES_PORT = 8888
DATABASE_PORT = 3306
METADATA_PORT = 8080

STORE_USER = "kfdet-cluster"
PIPELINES_BUCKET = "mlpipeline"


def password(name: str) -> str:
    """Return a part's password, which is generated on first use."""
    file = STATE / "passwords.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if name not in known:
        known[name] = secrets.token_hex(16)
        file.touch(mode=0o600)
        file.write_text(json.dumps(known))
    return known[name]
