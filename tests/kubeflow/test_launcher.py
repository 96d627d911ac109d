from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kfdet.kubeflow.launcher import CONFIG_MAP, lacks_bucket

OVERLAYS = Path(__file__).resolve().parents[2] / "manifests" / "overlays"
PATCH = yaml.safe_load((OVERLAYS / "standalone" / f"{CONFIG_MAP}.yaml").read_text())
STORE = "minio.example.org:9000"


@pytest.mark.parametrize(
    ("providers", "bucket", "host", "lacks"),
    [
        ("", "kfdet", STORE, True),
        ("", "kfdet", "s3.amazonaws.com", False),
        ("", "kfdet", "s3.eu-central-1.amazonaws.com:443", False),
        ("", "kfdet", "amazonaws.com.example.org", True),
        ("minio: {default: {endpoint: a}}", "kfdet", STORE, True),
        ("s3:", "kfdet", STORE, True),
        ("s3: {default: {endpoint: a}}", "kfdet", STORE, False),
        ("[", "kfdet", STORE, True),
        (PATCH["data"]["providers"], "kfdet", STORE, False),
        (PATCH["data"]["providers"], "team", STORE, True),
    ],
)
def test_the_launcher_needs_to_know_the_bucket(
    providers: str, bucket: str, host: str, lacks: bool
) -> None:
    settings = {"defaultPipelineRoot": "minio://mlpipeline/v2/artifacts"}
    if providers:
        settings["providers"] = providers
    assert lacks_bucket(settings, bucket, host) == lacks
