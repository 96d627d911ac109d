"""Upload of 1 GB to MinIO on this machine, beside the MinIO client's own multi-thread upload.

    python -m benchmarks.upload

Needs the `minio` server on PATH; it is started on a free port and keeps its objects in a temporary
folder. The other side is `fput_object` of the MinIO client for Python with as many threads and with
both its own size of parts and ours; its best counts. Ours takes a checksum of the file beforehand
and compares sizes and checksums with what is there, which the other side does not. The bytes are
random, the turns alternate, every turn writes to a new place, and the best of each side counts.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import minio
import urllib3

from benchmarks.table import Row, print_table
from kfdet.storage.clients import CONNECTIONS
from kfdet.storage.multipart import PART_SIZE
from kfdet.storage.upload import upload

SIZE = 1 << 30
ROUNDS = 3
FLOOR = 0.8
BUCKET = "benchmark"


def measure() -> list[Row]:
    """Upload one file of 1 GB, as a dataset of one video."""
    if not shutil.which("minio"):
        return [Row("upload of 1 GB: skipped, no minio on PATH", 0, 0, "MB/s", 0, 0)]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        video = root / "dataset" / "video.mp4"
        video.parent.mkdir()
        with video.open("wb") as file:
            for _ in range(SIZE >> 24):
                file.write(os.urandom(1 << 24))
        with _server(root / "objects") as client:
            client.make_bucket(BUCKET)
            sides = (
                lambda name: upload(video.parent, f"minio://{BUCKET}/{name}"),
                lambda name: _theirs(client, video, name, 0),
                lambda name: _theirs(client, video, name, PART_SIZE),
            )
            seconds = _race(sides, client)
    ours, theirs = seconds[0], min(seconds[1:])
    megabytes = SIZE / 1e6
    return [
        Row(
            "upload of 1 GB / MinIO client's own, 8 threads",
            megabytes / ours,
            megabytes / theirs,
            "MB/s",
            theirs / ours,
            FLOOR,
        )
    ]


def _theirs(client: Any, video: Path, name: str, part_size: int) -> None:
    client.fput_object(
        BUCKET,
        f"{name}/{video.name}",
        str(video),
        part_size=part_size,
        num_parallel_uploads=CONNECTIONS,
    )


def _race(sides: tuple[Callable[[str], object], ...], client: Any) -> list[float]:
    """Return the least seconds of each side."""
    best = [float("inf")] * len(sides)
    for turn in range(ROUNDS):
        for index, side in enumerate(sides):
            name = f"{turn}-{index}"
            started = time.perf_counter()
            side(name)
            best[index] = min(best[index], time.perf_counter() - started)
            client.remove_object(BUCKET, f"{name}/video.mp4")
    return best


@contextmanager
def _server(folder: Path) -> Iterator[Any]:
    """Run a MinIO server for the block, which kfdet uses, too; yield a client."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    user, password = "benchmark", os.urandom(16).hex()
    environment = {"MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password, "MINIO_BROWSER": "off"}
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_ACCESS_KEY_ID": user,
        "AWS_SECRET_ACCESS_KEY": password,
    }
    with subprocess.Popen(
        ["minio", "server", "--quiet", "--address", address, str(folder)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            pool = urllib3.PoolManager(maxsize=CONNECTIONS)
            client = minio.Minio(address, user, password, secure=False, http_client=pool)
            _wait(client)
            yield client
        finally:
            process.terminate()


def _wait(client: Any) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            client.list_buckets()
        except (minio.error.MinioException, urllib3.exceptions.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def main() -> None:
    """Print the table."""
    print_table(measure())


if __name__ == "__main__":
    main()
