"""The TensorBoard that the KFP UI starts from a run's page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kfdet.cluster.names import READER_SECRET
from kfdet.files import atomic_file

STORAGE_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""Keys of both Secrets, and environment variables of every pod that reads or writes buckets."""

OPTIONAL_STORAGE_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN")
"""The same, for stores that want them; TensorBoard takes the region from the second."""


def write_ui_metadata(path: Path, root: str, image: str) -> None:
    """Write what the KFP UI needs for its button "Start TensorBoard".

    Version 2 of KFP has no artifact type for TensorBoard, but its UI still reads an artifact named
    mlpipeline_ui_metadata as version 1 did and shows the button as that artifact's visualization.
    Only in a full Kubeflow: a KFP alone knows no namespace for the pod and shows an error instead.
    The pod's credentials come from the Secret of those who only read.

    Args:
        path: JSON file to write; without any output where the logs are not in a bucket.
        root: Folder or bucket path of the logs.
        image: Image that runs `tensorboard` and can read a bucket.

    Raises:
        InputError: The file cannot be written.
    """
    outputs: list[dict[str, Any]] = []
    _, scheme, location = root.partition("://")
    if scheme:
        variables = [_variable(name) for name in (*STORAGE_VARIABLES, *OPTIONAL_STORAGE_VARIABLES)]
        outputs.append(
            {
                "type": "tensorboard",
                "source": f"s3://{location}",
                "image": image,
                "pod_template_spec": {"spec": {"containers": [{"env": variables}]}},
            }
        )
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps({"version": 1, "outputs": outputs}))


def _variable(name: str) -> dict[str, Any]:
    reference = {"name": READER_SECRET, "key": name, "optional": True}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}
