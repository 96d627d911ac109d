"""The object store of Kubeflow Pipelines: MinIO here, under the name that KFP looks for.

The user's data and the runs' artifacts go to the project's own store; see project.py.
"""

import os

from api import apply, deployment, named, service, wait_for_deployment
from layout import KFP, STATE, STORE_PORT, STORE_USER, image_of, password
from processes import say

NAME = "minio-service" if KFP.startswith("2.15.") else "seaweedfs"
"""The address that driver and launcher use unless configured otherwise."""


def up() -> None:
    """Deploy the store on a folder of the host, and wait until it is ready."""
    say("object store of Kubeflow Pipelines: MinIO")
    folder = STATE / NAME
    folder.mkdir(exist_ok=True)
    os.chown(folder, 65532, 65532)
    secret = {"MINIO_ROOT_USER": STORE_USER, "MINIO_ROOT_PASSWORD": password(NAME)}
    probe = {"httpGet": {"path": "/minio/health/ready", "port": STORE_PORT}, "periodSeconds": 1}
    container = {
        "image": image_of("minio"),
        "args": ["server", "/data", "--address", f":{STORE_PORT}"],
        "env": [{"name": "HOME", "value": "/data"}, {"name": "MINIO_BROWSER", "value": "off"}],
        "envFrom": [{"secretRef": {"name": NAME}}],
        "readinessProbe": probe,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "data", "hostPath": {"path": str(folder)}}]
    apply(
        named("Secret", NAME, stringData=secret),
        deployment(NAME, container, volumes=volumes),
        service(NAME, {"s3": STORE_PORT}),
    )
    wait_for_deployment(NAME)
