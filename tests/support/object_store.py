"""An S3 server on this machine, with a real HTTP endpoint."""

from __future__ import annotations

import logging
import re
import socket
from pathlib import Path

import minio
import requests
from moto.server import ThreadedMotoServer
from support.patience import SECONDS

BUCKET = "kfdet"
_REQUEST = re.compile(r'"(?:\x1b\[\d+m)*(PUT|POST|GET|HEAD|DELETE) /([^ ?]*)')  # some are coloured
_PART = re.compile(r"PUT [^ ]*[?&]partNumber=(\d+)[^ ]* HTTP[^\"]*\"(?:\x1b\[\d+m)* 200")


class ObjectStore:
    """Runs until it is stopped; what is stored outlives a stop.

    `log` has the requests so far, such as "PUT bucket/key", `listings` is how often objects were
    listed, and `parts` has the numbers of the parts of multipart uploads that have arrived.
    """

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log: list[str] = []
        self.parts: list[int] = []
        self.listings = 0
        self._runs = False
        self._handler = logging.Handler()
        self._handler.emit = self._note  # type: ignore[method-assign]
        logger = logging.getLogger("werkzeug")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self._handler)
        self.start()
        requests.post(f"{self.url}/moto-api/reset", timeout=SECONDS)

    def _note(self, record: logging.LogRecord) -> None:
        found = _REQUEST.search(record.getMessage())
        if found:
            self.log.append(f"{found[1]} {found[2]}")
        self.listings += "list-type=2" in record.getMessage()
        if part := _PART.search(record.getMessage()):
            self.parts.append(int(part[1]))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "hidden-word",
        }

    @property
    def client(self) -> minio.Minio:
        return minio.Minio(f"127.0.0.1:{self.port}", "someone", "hidden-word", secure=False)

    def start(self) -> None:
        if self._runs:
            return
        self._runs = True
        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        if self._runs:
            self._runs = False
            self._server.stop()

    def close(self) -> None:
        self.stop()
        logging.getLogger("werkzeug").removeHandler(self._handler)

    def check_credentials(self, strictly: bool) -> None:
        """Refuse everybody whom the server does not know: all who ask here."""
        count = "0" if strictly else "inf"
        requests.post(f"{self.url}/moto-api/reset-auth", data=count, timeout=SECONDS)

    def put(self, folder: Path, prefix: str) -> None:
        """Store the files of a folder by other means than ours."""
        if not self.client.bucket_exists(BUCKET):
            self.client.make_bucket(BUCKET)
        for path in (each for each in folder.rglob("*") if each.is_file()):
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            self.client.fput_object(BUCKET, key, str(path))

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Content of every object, by its key without the prefix."""
        return {
            str(each.object_name).removeprefix(prefix): self.client.get_object(
                BUCKET, str(each.object_name)
            ).data
            for each in self.client.list_objects(BUCKET, prefix, recursive=True)
        }
