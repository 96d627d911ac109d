"""Where the cluster lives: folders, addresses and names that its parts agree on."""

import json
import os
import secrets
from pathlib import Path

RIG = Path(__file__).parent

CACHE = Path(os.environ.get("KFDET_CLUSTER_CACHE", Path.home() / ".cache" / "kfdet-cluster"))
"""What takes long to make and outlives a cluster: binaries, images, the metadata server's venv."""
BINARIES = CACHE / "bin"

STATE = Path(os.environ.get("KFDET_CLUSTER_STATE", "/var/lib/kfdet-cluster"))
"""What dies with the cluster."""
CERTIFICATES = STATE / "certificates"
LOGS = STATE / "logs"
KUBECONFIG = STATE / "kubeconfig"

CONTAINERD_SOCKET = STATE / "containerd.sock"
CONTAINERD_ROOT = CACHE / "containerd"


def image_of(program: str) -> str:
    """The name of the image that holds nothing but one of the rig's programs."""
    return f"docker.io/kfdet-cluster/{program}:1"


STORAGE_INITIALIZER = "docker.io/kfdet-cluster/storage-initializer:0.21.0"

NODE = "kfdet"
BRIDGE = "kfdet0"
ADDRESS = "10.244.0.1"
"""The bridge's, which the pods' gateway and every server of the host share."""
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
    """The password of a part, made when first asked for."""
    file = STATE / "passwords.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if name not in known:
        known[name] = secrets.token_hex(16)
        file.touch(mode=0o600)
        file.write_text(json.dumps(known))
    return known[name]
