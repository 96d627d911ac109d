"""Objects in MinIO or any other S3 store, addressed as minio://bucket/key or s3://bucket/key."""

from __future__ import annotations

from kfdet.storage.address import is_bucket_uri
from kfdet.storage.copies import local_dataset, local_source
from kfdet.storage.downloading import download
from kfdet.storage.listing import dataset_version
from kfdet.storage.mirroring import mirrored
from kfdet.storage.uploading import Uploaded, upload

__all__ = [
    "Uploaded",
    "dataset_version",
    "download",
    "is_bucket_uri",
    "local_dataset",
    "local_source",
    "mirrored",
    "upload",
]
