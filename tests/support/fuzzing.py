"""Turns of a fuzzer: something right is damaged, and everything that reads it may only complain.

A turn's number decides all that happens in it, so that a finding is repeated by its number.
"""

from __future__ import annotations

import io
import random
import shutil
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from support.annotation_samples import box, cvat, track, voc, write_image, write_text, write_video
from support.mutations import WORDS, mutated
from support.numbered_video import KINDS
from support.numbered_video import write_video as write_numbered

from kfdet.dataset.conversion import convert
from kfdet.dataset.formats.registry import FORMATS
from kfdet.errors import InputError
from kfdet.events import listening
from kfdet.planning.check import check
from kfdet.video.extraction import extract
from kfdet.video.images import read_image
from kfdet.video.probe import probe

WRITTEN = tuple(name for name, entry in FORMATS.items() if entry.read)
CONTAINERS = (
    *("mp4, B-frames", "mp4, fragments", "mov, open GOP", "mkv, open GOP", "webm, VP9"),
    *("avi, MPEG-4", "avi, Motion JPEG", "mts, B-frames", "3gp, MPEG-4", "avi, H.264"),
    *("mov, HEVC with open GOP", "ts, MPEG-2 with B-frames", "mp4, variable rate"),
)
_TARGETS = ("coco", "voc", "yolo", "datumaro", "csv", "parquet")
_IMAGES = {
    ".jpg": {"quality": 90},
    ".jpeg": {"quality": 80, "progressive": True},
    ".png": {},
    ".bmp": {},
    ".webp": {"quality": 80},
    ".tif": {"compression": "tiff_lzw"},
}


class FindingError(AssertionError):
    """What must not happen, beside a traceback: a file outside, or a loss without a word."""


@dataclass(frozen=True)
class Annotated:
    """A dataset, and its annotations in one format."""

    format: str
    media: Path
    annotations: Path


def make_annotations(folder: Path) -> list[Annotated]:
    """A dataset of one video and one of images, with annotations in every format that is read."""
    videos, images = folder / "videos", folder / "images"
    write_video(videos / "videos" / "clip.mp4")
    first = (box(0), box(4, (9, 2, 19, 12), rotation=30), box(5, keyframe=0), box(11, outside=1))
    dump = cvat(track(*first), track(box(6), number=1, label="red ball"), source="clip.mp4")
    write_text(videos / "annotations" / "clip.xml", dump)
    for number in range(2):
        write_image(images / "images" / f"x{number}.jpg", colour=number)
        objects = (("cup", (1, 2, 30, 40)), ("red ball", (3, 4, 20, 30)))
        write_text(images / "annotations" / f"x{number}.xml", voc(*objects))
    made = []
    for name in WRITTEN:
        for media in (videos, images):
            target = folder / "made" / f"{name} {media.name}"
            with suppress(InputError):  # a format that cannot hold it
                convert(media, target, name)
                made.append(Annotated(name, media, target))
    return made


def annotation_turn(chosen: Annotated, number: int, work: Path) -> None:
    """Damage one annotation file, or the zip that it is in; check the dataset and convert it.

    Raises:
        Exception: Whatever is no InputError; FindingError where something is written elsewhere.
    """
    rng = random.Random(f"annotations {chosen.format} {number}")
    shutil.rmtree(work, ignore_errors=True)
    data = work / "data"
    shutil.copytree(chosen.media, data, ignore=shutil.ignore_patterns("annotations"))
    shutil.copytree(chosen.annotations, data / "annotations")
    path = rng.choice(sorted(p for p in (data / "annotations").rglob("*") if p.is_file()))
    zipped = rng.random() < 0.2
    if not zipped or rng.random() < 0.5:
        path.write_bytes(mutated(path.read_bytes(), rng, path.suffix == ".json"))
    if zipped:
        path = _packed(data / "annotations", rng)

    for problem in check(data).problems:
        str(problem).encode("utf-8", "surrogateescape")
    for start in (data, path):
        with suppress(InputError):
            convert(start, work / "out" / start.name, rng.choice(_TARGETS))
    strange = {p.name for p in work.iterdir()} - {"data", "out"}
    if strange:
        raise FindingError(f"written outside: {sorted(strange)}")


def _packed(folder: Path, rng: random.Random) -> Path:
    """Replace a folder by a zip of it, of which a name, the way it is packed or bytes are wrong."""
    content = io.BytesIO()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(content, "w", rng.choice(kinds)) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix()
            if rng.random() < 0.1:
                name = rng.choice(WORDS).encode("utf-8", "replace").decode() + rng.choice(
                    ("", name)
                )
            with suppress(ValueError, IndexError):  # no name of a member
                archive.writestr(name or "x", path.read_bytes())
    data = content.getvalue()
    if rng.random() < 0.7:
        data = mutated(data, rng, json_text=False)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "task.zip").write_bytes(data)
    return folder / "task.zip"


def make_videos(folder: Path, kinds: Sequence[str] = CONTAINERS) -> list[Path]:
    """A video of each kind."""
    folder.mkdir(parents=True)
    return [
        write_numbered(folder / f"{number}{KINDS[name].suffix}", KINDS[name])
        for number, name in enumerate(kinds)
    ]


def video_turn(video: Path, number: int, work: Path) -> None:
    """Damage a video, and extract all of its frames.

    Raises:
        Exception: Whatever is no InputError; FindingError where frames are lost without a word.
    """
    rng = random.Random(f"video {video.name} {number}")
    whole = probe(video).frames
    path = work / f"clip{video.suffix}"
    work.mkdir(exist_ok=True)
    path.write_bytes(damaged(video.read_bytes(), rng))
    said: list[dict[str, Any]] = []
    try:
        info = probe(path)
        with listening(said.append):
            found = [one.frame for one in extract(path)]
    except InputError:
        return
    warned = info.damage or any(event["event"] == "warning" for event in said)
    if len(found) < whole and not warned:
        raise FindingError(f"silent loss: {len(found)} of {whole} frames")


def make_images(folder: Path) -> list[Path]:
    """A picture in each format."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    small = Image.frombytes("RGB", (16, 12), rng.randbytes(16 * 12 * 3))
    picture = small.resize((160, 120), Image.Resampling.BICUBIC)
    made = []
    for suffix, options in _IMAGES.items():
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(folder / f"a{suffix}", exif=exif, **options)
        picture.save(folder / f"b{suffix}", **options)
        made += [folder / f"a{suffix}", folder / f"b{suffix}"]
    return made


def image_turn(image: Path, number: int, work: Path) -> None:
    """Damage an image of a dataset: what `check` passes, a run reads.

    Raises:
        Exception: Whatever is no InputError; FindingError where a run would stop.
    """
    rng = random.Random(f"image {image.name} {number}")
    shutil.rmtree(work, ignore_errors=True)
    path = work / "images" / image.name
    path.parent.mkdir(parents=True)
    path.write_bytes(damaged(image.read_bytes(), rng))
    write_text(work / "annotations" / f"{image.stem}.xml", voc(("cup", (1, 2, 30, 40))))
    reported = any(problem.file == str(path) for problem in check(work).problems)
    try:
        read_image(path)
    except InputError as error:
        if not reported:
            raise FindingError(f"check passes what a run does not read: {error}") from error


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut off, with a hole, with zeros, or with other bits."""
    data = bytearray(content)
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    match rng.randrange(5):
        case 0:
            del data[start:]
        case 1:
            del data[start : min(end, start + len(data) // 4)]
        case 2:
            data[start:end] = bytes(end - start)
        case _:
            head = len(data) if rng.random() < 0.6 else min(len(data), 400)
            for _ in range(rng.choice((1, 3, 30))):
                data[rng.randrange(head)] ^= 1 << rng.randrange(8)
    return bytes(data)
