"""Datasets in a bucket: upload."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape

from kfdet.cli.app import Json, command, err, out, progress


@command()
def upload(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The dataset's folder or zip.")],
    uri: Annotated[
        str,
        typer.Argument(metavar="URI", help="Destination: minio://BUCKET/NAME or s3://BUCKET/NAME."),
    ],
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete remote files that are not in DIR.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy a dataset to MinIO or another S3 store; a missing bucket is created.

    Only videos, images and annotations are copied, and only those that are not there yet. An upload
    that was interrupted continues with the same command.

    AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are the address of the store
    and your credentials.

    [bold]Example[/]

    kfdet upload videos/ minio://kfdet/datasets/toys
    """
    from kfdet.storage.copies import local_dataset
    from kfdet.storage.store import StoreUnavailableError
    from kfdet.storage.upload import upload as upload_dataset

    try:
        with progress(), local_dataset(str(folder)) as local:
            done = upload_dataset(local, uri, delete=delete)
    except StoreUnavailableError as error:
        error.add_note("The same command continues.")
        raise
    except KeyboardInterrupt:
        err.print("interrupted; the same command continues")
        raise
    if done.left:
        err.print(
            f"[yellow]warning:[/] {len(done.left)} remote files are not in {escape(str(folder))} "
            f"but still belong to the dataset: {escape(', '.join(done.left[:3]))}"
            f"{' ...' if len(done.left) > 3 else ''}. To delete them: --delete",
            soft_wrap=True,
        )
    if as_json:
        print(json.dumps(asdict(done)))
        return
    there = f", {done.skipped} of them were already there" if done.skipped else ""
    out.print(
        f"{done.files} files, {decimal(done.bytes)}{there} → {escape(done.uri)}", soft_wrap=True
    )
