"""Weights from elsewhere: downloads, and published files in a cache on this machine.

The cache is kfdet/weights in XDG_CACHE_HOME, or in ~/.cache. KFDET_MIRROR may name a folder, a
http(s) URL or a bucket URI that holds the published files under their own names; nothing else is
asked then.
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlparse

import requests

from kfdet.errors import InputError
from kfdet.events import Progress, emit
from kfdet.files import atomic_file, hash_file
from kfdet.storage.address import is_bucket_uri
from kfdet.training.published import Published

MIRROR_VARIABLE = "KFDET_MIRROR"

PATIENCE_SECONDS = 10.0
"""How long a server may take to answer."""

_STALLED_SECONDS = 60.0
_CHUNK = 1 << 20
_MD5_DIGITS = 32


def cache_folder() -> Path:
    """Where published weights are kept on this machine."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root, "kfdet", "weights")


def obtain(weights: Published) -> Path:
    """The file of published weights: from the cache, or else from the mirror or its publisher.

    Raises:
        InputError: It cannot be fetched, or its content is not what was published; the cache stays
            as it was.
    """
    kept = cache_folder() / weights.file
    if kept.is_file():
        _verify(kept, weights, str(kept), f"Delete {kept}, so that it is fetched again.")
        return kept
    mirror = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
    source = f"{mirror}/{weights.file}" if mirror else weights.url
    with atomic_file(kept) as temporary:
        _fetch(source, temporary)
        _verify(temporary, weights, source, "It may be damaged or replaced: do not use it.")
    if not weights.digest:
        emit("info", message=f"{source}: SHA-256 {hash_file(kept)}; its publisher gives no digest")
    return kept


def _verify(path: Path, weights: Published, source: str, hint: str) -> None:
    if not weights.digest:
        return
    if len(weights.digest) == _MD5_DIGITS:
        name, found = "MD5", hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    else:
        name, found = "SHA-256", hash_file(path)
    if found != weights.digest:
        raise InputError(
            f"its {name} is {found}, but that of the published weights is {weights.digest}.",
            file=source,
            hint=hint,
        )


def _fetch(source: str, target: Path) -> None:
    if source.startswith(("http://", "https://")):
        download(source, target)
    elif is_bucket_uri(source):
        from kfdet.storage.download import download as download_objects

        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            download_objects(source, Path(scratch)).replace(target)
    elif Path(source).is_file():
        shutil.copyfile(source, target)
    else:
        raise InputError(
            "there is no such file in the mirror.",
            file=source,
            hint=f"{MIRROR_VARIABLE} names the folder that should hold it.",
        )


def download(url: str, target: Path) -> None:
    """Copy what is at a http(s) URL to the file `target`.

    Raises:
        InputError: It cannot be downloaded.
    """
    try:
        with reach(url) as answer:
            size = int(answer.headers.get("Content-Length", 0))
            progress = Progress("downloading weights", size, "bytes")
            with target.open("wb") as file:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    progress.advance(len(chunk))
    except requests.RequestException as error:
        raise _refused(url, "the connection broke off") from error


def reach(url: str) -> requests.Response:
    """The answer to a request, its content not yet read.

    Raises:
        InputError: There is no answer within PATIENCE_SECONDS, or the answer is an error.
    """
    answers: queue.Queue[requests.Response | Exception] = queue.Queue()

    def ask() -> None:
        try:
            timeout = (PATIENCE_SECONDS, _STALLED_SECONDS)
            answers.put(requests.get(url, stream=True, timeout=timeout))
        except Exception as error:
            answers.put(error)

    # requests' own limit does not count the time that looking up a name takes
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE_SECONDS)
    except queue.Empty:
        raise _refused(url, f"no answer within {PATIENCE_SECONDS:.0f} s") from None
    if isinstance(answer, Exception):
        raise _refused(url, f"{urlparse(url).netloc} cannot be reached") from answer
    if not answer.ok:
        answer.close()
        raise _refused(url, f"{answer.status_code} {answer.reason}")
    return answer


def _refused(url: str, reason: str) -> InputError:
    return InputError(
        f"cannot be downloaded: {reason}.",
        file=url,
        hint=f"Without a network, start from a file or a run, name a mirror in {MIRROR_VARIABLE}, "
        "or start from random weights: --pretrained none.",
    )
