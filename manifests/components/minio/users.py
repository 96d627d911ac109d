"""Create the store's bucket and its two users: one writes, the other only reads.

Runs in kfdet's image after every `kubectl apply` (users.yaml). What exists already is brought up to
date, such as a changed password.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time

import urllib3
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioException

BUCKET = "kfdet"
READ = ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"]
WRITE = [
    *READ,
    *("s3:PutObject", "s3:DeleteObject"),
    *("s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"),
]
USERS = {"WRITER": ("kfdet-writer", WRITE), "READER": ("kfdet-reader", READ)}
"""Name and actions of each user's policy, by the prefix of its variables."""

_PATIENCE_SECONDS = 300


def main() -> None:
    """Wait for the store, and set it up."""
    store = os.environ["STORE"]
    root = os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"]
    client = Minio(store, *root, secure=False)
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            if not client.bucket_exists(BUCKET):
                client.make_bucket(BUCKET)
            break
        except (urllib3.exceptions.HTTPError, MinioException) as error:
            if time.monotonic() > until:
                raise
            print(f"waiting for {store}: {error}", file=sys.stderr, flush=True)
            time.sleep(3)
    admin = MinioAdmin(endpoint=store, credentials=StaticProvider(*root), secure=False)
    for prefix, (policy, actions) in USERS.items():
        user = os.environ[f"{prefix}_ACCESS_KEY_ID"]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(_policy(actions), file)
            file.flush()
            admin.policy_add(policy, file.name)
        admin.user_add(user, os.environ[f"{prefix}_SECRET_ACCESS_KEY"])
        admin.policy_set(policy, user=user)
        print(f"{user}: {policy}", flush=True)


def _policy(actions: list[str]) -> dict[str, object]:
    arn = f"arn:aws:s3:::{BUCKET}"
    statement = {"Effect": "Allow", "Action": actions, "Resource": [arn, f"{arn}/*"]}
    return {"Version": "2012-10-17", "Statement": [statement]}


if __name__ == "__main__":
    main()
