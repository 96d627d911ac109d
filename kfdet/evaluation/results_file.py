"""Detections in COCO's results format, so that any detector is measured on the same truth.

Source of the format: https://cocodataset.org/#format-results, as pycocotools' `COCO.loadRes` reads
it: a list of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}. The ids are those
of the dataset's own COCO files. Where it has none, an image id is the name of a picture
(Ultralytics writes its stem) or of a frame (`video/frame_000012`), and a category id the name of a
label or its number from 1 in alphabetical order. Besides, a whole COCO file whose annotations have
scores, which names its own images and categories.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kfdet.dataset.formats.limits import MAX_COORDINATE
from kfdet.dataset.formats.pictures import frame_name
from kfdet.dataset.media_index import MediaIndex
from kfdet.detection import Detections
from kfdet.errors import InputError
from kfdet.evaluation.model_run import Results
from kfdet.events import warn
from kfdet.files import read_json

_MOST_DETECTIONS = 100
"""Of one picture, the best ones, as COCO counts."""

Place = tuple[str, int]
"""Video (or image) and frame."""


@dataclass(frozen=True, slots=True)
class Ids:
    """What the ids of a results file mean.

    Args:
        images: Names of pictures by id.
        categories: Names of labels by id.
    """

    images: Mapping[Any, str] = field(default_factory=dict)
    categories: Mapping[Any, str] = field(default_factory=dict)


def read_ids(files: Sequence[Path]) -> Ids:
    """The ids of a dataset's COCO files; those of one file must not mean something else in another.

    Raises:
        InputError: They do.
    """
    images: dict[Any, str] = {}
    categories: dict[Any, str] = {}
    for file in files:
        content = read_json(file)
        if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
            continue
        for known, entries, name in (
            (images, content["images"], "file_name"),
            (categories, content["categories"], "name"),
        ):
            for number, meaning in _named(entries, name, file).items():
                if known.setdefault(number, meaning) != meaning:
                    raise InputError(
                        f"id {number!r} means {meaning!r} here, and {known[number]!r} in another "
                        "file.",
                        file=file,
                        hint="Write results that name their own images and categories.",
                    )
    return Ids(images, categories)


def read_results(
    file: Path, ids: Ids, labels: Sequence[str], images: Sequence[str], videos: Sequence[str]
) -> Results:
    """Read a results file.

    Args:
        file: The file.
        ids: Of the dataset's own COCO files.
        labels: The dataset's labels.
        images: Names of its images.
        videos: Names of its videos.

    Raises:
        InputError: It is not in the format, or about other pictures or labels.
    """
    content = read_json(file, hint="Give a list of COCO results.")
    known = None
    if isinstance(content, dict):
        try:
            ids = Ids(
                _named(content["images"], "file_name", file),
                _named(content["categories"], "name", file),
            )
            known = tuple(ids.categories.values())
            content = content["annotations"]
        except KeyError as error:
            raise InputError(f"is not COCO: it lacks {error}.", file=file) from error
    if not isinstance(content, list):
        raise InputError("is not a list of COCO results.", file=file)
    if not content:
        raise InputError("holds no detection.", file=file)
    numbers = dict(enumerate(sorted(labels), 1))
    find = _Places(images, videos)
    rows: defaultdict[Place, list[tuple[float, str, tuple[float, ...]]]] = defaultdict(list)
    places: dict[Any, Place | None] = {}
    for number, entry in enumerate(content):
        try:
            image, category, score = entry["image_id"], entry["category_id"], float(entry["score"])
            if not all(isinstance(each, str | int | float) for each in (image, category)):
                raise TypeError("an id is neither a number nor text")
            if not isinstance(entry["bbox"], list):
                raise TypeError("its box is not a list")
            x, y, width, height = map(float, entry["bbox"])
            numbers_fit = all(abs(each) <= MAX_COORDINATE for each in (x, y, width, height, score))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else error
            raise InputError(
                f"entry {number} is not a COCO result: {what}.",
                file=file,
                hint='Write {"image_id": 1, "category_id": 1, "bbox": [x, y, width, height], '
                '"score": 0.9}.',
            ) from error
        if not numbers_fit or width < 0 or height < 0:
            raise InputError(
                f"entry {number} has a number that is not finite or too large, or a side below 0.",
                file=file,
            )
        if image not in places:
            places[image] = find(str(ids.images.get(image, image)))
        place = places[image]
        label = str(ids.categories.get(category, numbers.get(category, category)))
        if place is not None:
            rows[place].append((score, label, (x, y, x + width, y + height)))
    _complain(file, places, rows, labels)
    return Results(file, known, {place: _detections(found) for place, found in rows.items()})


def _named(entries: Any, name: str, file: Path) -> dict[Any, str]:
    """The names of images or categories by id.

    Raises:
        InputError: They have none, or an id means two things.
    """
    found: dict[Any, str] = {}
    try:
        for entry in entries:
            if found.setdefault(entry["id"], str(entry[name])) != str(entry[name]):
                raise InputError(f"id {entry['id']!r} is there twice.", file=file)
    except (KeyError, TypeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else "is not an object"
        raise InputError(f"is not COCO: an image or category {what}.", file=file) from error
    return found


class _Places:
    """Finds pictures of the dataset by the names that results give them."""

    def __init__(self, images: Sequence[str], videos: Sequence[str]) -> None:
        self._images, self._videos = MediaIndex(images), MediaIndex(videos)
        self._only = videos[0] if len(videos) == 1 else ""

    def __call__(self, name: str) -> Place | None:
        found = self._images.find(name)
        if len(found) == 1:
            return found[0], 0
        if frame := frame_name(name):
            video, number = frame
            videos = self._videos.find(video) if video else [self._only] if self._only else []
            if len(videos) == 1:
                return videos[0], number
        return None


def _complain(
    file: Path,
    places: Mapping[Any, Place | None],
    rows: Mapping[Place, Sequence[tuple[float, str, Any]]],
    labels: Sequence[str],
) -> None:
    """Refuse results of other pictures or labels; warn where only some are."""
    unknown = [image for image, place in places.items() if place is None]
    if len(unknown) == len(places):
        raise InputError(
            f"is about other pictures: the dataset has no {unknown[0]!r}.",
            file=file,
            hint="The image ids must be those of the dataset's COCO file, or names of its "
            "pictures.",
        )
    if unknown:
        warn(f"{file}: {len(unknown)} of its {len(places)} pictures are not in the dataset.")
    named = {label for found in rows.values() for _, label, _ in found}
    if not named & set(labels):
        raise InputError(
            f"is about other labels: {', '.join(sorted(named))}; the dataset has "
            f"{', '.join(labels)}.",
            file=file,
            hint="The category ids must be those of the dataset's COCO file, or names of labels.",
        )


def _detections(found: list[tuple[float, str, tuple[float, ...]]]) -> Detections:
    best = sorted(found, key=lambda row: -row[0])[:_MOST_DETECTIONS]
    return Detections(
        boxes=np.array([box for _, _, box in best], float).reshape(-1, 4),
        labels=tuple(label for _, label, _ in best),
        scores=np.array([score for score, _, _ in best], float),
        size=(0, 0),
    )
