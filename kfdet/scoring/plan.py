"""What is to be scored, and under which name the result of each file is kept.

The name of a result depends on the content of the file, on the model and on the settings. So what
is there is never scored again, and what belongs to something else is never taken for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kfdet.dataset.layout import is_media_file, is_video, unread_hint
from kfdet.detection.saved_model import find_saved_model
from kfdet.errors import InputError
from kfdet.files import atomic_file, hash_file, hash_folder, read_json_as
from kfdet.parameters import ScoringSettings

RESULTS = "files"
"""Folder of the results of single files."""

PREVIEWS = "previews"
"""Folder of pictures with detections."""

_MOST_PREVIEWS = 24
_MOST_NAME_BYTES = 255 - len(".0123456789ab.parquet")
"""Of one part of a path: file systems hold 255, and results have a longer name than their file."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture or video.

    Args:
        name: Its path in the folder that is scored.
        size: Its size in bytes.
        result: The path of its result in the folder of the results.
        preview: Whether one of its frames is drawn.
        group: Which group of files it belongs to.
    """

    name: str
    size: int
    result: str
    preview: bool
    group: int = 0

    @property
    def is_video(self) -> bool:
        """Whether it is a video rather than a picture."""
        return is_video(self.name)

    @property
    def preview_name(self) -> str:
        """The path of its preview in the folder of the results."""
        return f"{PREVIEWS}/{self.name}.jpg"


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be scored, and the message that says why and names it."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is scored.

    Args:
        source: Address of the folder that is scored.
        target: Address of the folder of the results.
        model: Address of the model.
        labels: The model's labels, class id 1 first; empty where it does not tell.
        settings: How.
        items: The files, sorted by name.
        unread: Pictures and videos of a kind that kfdet does not read.
    """

    source: str
    target: str
    model: str
    labels: tuple[str, ...]
    settings: ScoringSettings
    items: tuple[Item, ...]
    unread: tuple[Failure, ...]

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read what `write` wrote.

        Raises:
            InputError: The file holds something else.
        """
        return read_json_as(path, cls, hint="Plan the scoring again.")


def check_places(source: str, target: str) -> None:
    """Refuse results that the next run would take for pictures to score.

    Raises:
        InputError: `target` is in `source`.
    """
    inner, outer = (_absolute(place) for place in (target, source))
    if f"{inner}/".startswith(f"{outer}/"):
        raise InputError(
            "lies inside the folder that is scored.",
            file=target,
            hint="Choose a folder outside it for the results.",
        )


def _absolute(address: str) -> str:
    if "://" in address:  # minio:// and s3:// mean the same
        return "bucket://" + address.partition("://")[2].rstrip("/")
    return str(Path(address).resolve())


def model_digest(model: str) -> str:
    """Changes when the model does; that of an endpoint only with its address.

    Args:
        model: As for `Detector.load`.

    Raises:
        InputError: There is no model.
    """
    if "://" in model:
        return hashlib.sha256(model.encode()).hexdigest()
    path = Path(model)
    return hash_file(path) if path.is_file() else hash_folder(find_saved_model(path))


def nothing_to_score(source: str) -> InputError:
    """The error for a folder without pictures and videos."""
    return InputError(
        "there are neither pictures nor videos to score.",
        file=source,
        hint="Check the folder's name.",
    )


def plan_items(
    stamps: Mapping[str, tuple[int, str]],
    digest: str,
    settings: ScoringSettings,
    groups: int = 1,
) -> tuple[Item, ...]:
    """The files that are scored, in groups of about the same size.

    Args:
        stamps: Size of each file of the folder, and what changes when its content does.
        digest: That of the model.
        settings: How they are scored.
        groups: How many groups there are at most.
    """
    names = sorted(name for name in stamps if is_media_file(name) and not _unusable(name))
    drawn = set(names[:: -(-len(names) // _MOST_PREVIEWS) or 1])
    items = []
    for name in names:
        size, changed = stamps[name]
        parts = (digest, settings.threshold, settings.every if is_video(name) else 1, size, changed)
        key = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]
        items.append(Item(name, size, f"{RESULTS}/{name}.{key}.parquet", name in drawn))
    return _deal(items, groups)


def find_unread(stamps: Mapping[str, tuple[int, str]], address: str) -> tuple[Failure, ...]:
    """The pictures and videos of the folder `address` that kfdet does not read or cannot name."""
    found = []
    for name in sorted(stamps):
        problem, hint = "kfdet does not read this", unread_hint(name)
        if is_media_file(name):
            problem, hint = _unusable(name), "Rename it."
        if problem and hint:
            shown = name.encode("utf-8", "backslashreplace").decode()
            error = InputError(f"{problem}.", file=f"{address}/{shown}", hint=hint)
            found.append(Failure(shown, str(error)))
    return tuple(found)


def _unusable(name: str) -> str:
    """Why no result can have the name of a file; "" where it can."""
    try:
        parts = name.encode().split(b"/")
    except UnicodeEncodeError:
        return "its name is not text"
    return "its name is too long" if max(map(len, parts)) > _MOST_NAME_BYTES else ""


def _deal(items: Sequence[Item], groups: int) -> tuple[Item, ...]:
    """Spread files over groups of about the same number of bytes."""
    load = [0] * max(1, min(groups, len(items)))
    group: dict[str, int] = {}
    for item in sorted(items, key=lambda item: (-item.size, item.name)):
        chosen = load.index(min(load))
        group[item.name] = chosen
        load[chosen] += item.size
    return tuple(replace(item, group=group[item.name]) for item in items)
