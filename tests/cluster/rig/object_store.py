"""MinIO, which holds the pipelines' artifacts and the user's data."""

import os

from api import apply, deployment, named, service, wait_for_deployment
from layout import MINIO_PORT, MINIO_USER, STATE, image_of, password
from processes import say


def up() -> None:
    """Deploy MinIO on a folder of the host, so that its pod may be killed, and wait for it."""
    say("object store: MinIO")
    folder = STATE / "minio"
    folder.mkdir(exist_ok=True)
    os.chown(folder, 65532, 65532)
    secret = {"MINIO_ROOT_USER": MINIO_USER, "MINIO_ROOT_PASSWORD": password("minio")}
    probe = {"httpGet": {"path": "/minio/health/ready", "port": MINIO_PORT}, "periodSeconds": 1}
    container = {
        "image": image_of("minio"),
        "args": ["server", "/data", "--address", f":{MINIO_PORT}"],
        "env": [{"name": "HOME", "value": "/data"}, {"name": "MINIO_BROWSER", "value": "off"}],
        "envFrom": [{"secretRef": {"name": "minio-root"}}],
        "readinessProbe": probe,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "data", "hostPath": {"path": str(folder)}}]
    apply(
        named("Secret", "minio-root", stringData=secret),
        deployment("minio", container, volumes=volumes),
        service("minio", {"s3": MINIO_PORT}),
    )
    wait_for_deployment("minio")
