"""Whether the launcher of Kubeflow Pipelines, which copies artifacts, can reach a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

CONFIG_MAP = "kfp-launcher"
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


def lacks_bucket(settings: Mapping[str, str], bucket: str, host: str) -> bool:
    """Whether runs that keep their artifacts in s3://BUCKET/runs would fail to write them.

    Without a setting for a bucket, the launcher takes what its environment has, which only leads
    to Amazon. Source: backend/src/v2/config/s3.go.

    Args:
        settings: Data of the ConfigMap kfp-launcher.
        bucket: The bucket.
        host: Host and port of its store.
    """
    if host.partition(":")[0].endswith(_AMAZON):
        return False
    try:
        s3: Any = yaml.safe_load(settings.get("providers", ""))["s3"]
        default, overrides = s3.get("default") or {}, s3.get("overrides") or []
        named = [each["bucketName"] for each in overrides]
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):  # none, or one of its own kind
        return True
    return not default.get("endpoint") and bucket not in named
