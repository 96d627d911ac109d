"""MOT Challenge ground truth: gt/gt.txt (one row per box), labels.txt and seqinfo.ini if present.

Read here and not by Datumaro, which gives no line numbers and no tracks. Format: Dendorfer et al.,
"MOT20", arXiv 2003.09003, table 2; `labels.txt` is what CVAT and Datumaro add.
"""

from __future__ import annotations

import configparser
import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from kfdet.dataset.formats.limits import whole_number
from kfdet.dataset.formats.model import AnnotatedItem, AnnotationSet, KeyBox, SourceAnnotations
from kfdet.dataset.formats.pictures import picture_name
from kfdet.errors import Problem
from kfdet.files import atomic_folder

_CLASSES = (
    "pedestrian",
    "person on vehicle",
    "car",
    "bicycle",
    "motorbike",
    "non motorized vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "occluder full",
    "reflection",
)
_COLUMNS_WITH_CLASS = 9
_VISIBLE = 0.5
"""Share of an object below which it counts as occluded."""


def read(path: Path) -> AnnotationSet:
    """Read a gt.txt: the tracks of one video, or the boxes of the images in a sequence's folder.

    Rows are `frame, track, left, top, width, height, valid, class, visibility` with 1-based frames;
    each is a key frame, and a track is not interpolated over a gap. Rows with valid = 0 are left
    out with a warning. Rows of 10 numbers (MOT15) have no class: they are pedestrians.
    """
    file = str(path)
    result = AnnotationSet()
    labels = _labels(path)
    tracks: defaultdict[int, dict[int, KeyBox]] = defaultdict(dict)
    invalid = 0
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        for row in (reader := csv.reader(stream)):
            if not any(cell.strip() for cell in row):
                continue
            try:
                key = _key(row, labels, reader.line_num)
                if key is not None and key.frame in tracks[key.track_id]:
                    raise ValueError(f"track {key.track_id} is on this frame twice")
            except ValueError as error:
                problem = f"{error}; the row is left out."
                frame = whole_number(row[0])
                result.problems.append(
                    Problem(
                        "error",
                        problem,
                        file,
                        reader.line_num,
                        None if frame is None else frame - 1,
                        "Correct the row.",
                    )
                )
                continue
            if key is None:
                invalid += 1
            else:
                tracks[key.track_id][key.frame] = key
    if invalid:
        text = f"{invalid} rows that are marked as not valid (7th number 0) are left out."
        result.problems.append(Problem("warning", text, file))
    result.labels = labels
    images = _images(path)
    if images:
        result.sources = _image_sources(file, images, tracks)
    else:
        source = _video_source(path, tracks)
        source.reviewed = not result.problems
        result.sources = [source]
    return result


def _key(row: list[str], labels: list[str], line: int) -> KeyBox | None:
    """The box of a row; None where the row is marked as not valid."""
    if len(row) < 6:
        raise ValueError(f"a row has {len(row)} numbers, not at least 6")
    try:
        values = [float(cell) for cell in row]
    except ValueError:
        raise ValueError("a cell is not a number") from None
    if not all(map(math.isfinite, values)):
        raise ValueError("a number is not finite")
    frame, track, left, top, width, height = values[:6]
    if frame != int(frame) or track != int(track):
        raise ValueError("frame or track is not a whole number")
    if len(values) > 6 and values[6] == 0:
        return None
    number, visibility = 1, 1.0
    if len(values) == _COLUMNS_WITH_CLASS:
        number, visibility = int(values[7]), values[8]
    if not 1 <= number <= len(labels):
        raise ValueError(f"class {number} is not among the {len(labels)} labels")
    return KeyBox(
        int(track),
        labels[number - 1],
        int(frame) - 1,
        left,
        top,
        left + width,
        top + height,
        occluded=visibility < _VISIBLE,
        line=line,
    )


def _labels(path: Path) -> list[str]:
    own = path.with_name("labels.txt")
    if not own.is_file():
        return list(_CLASSES)
    lines = own.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _sequence(path: Path) -> configparser.SectionProxy | dict[str, str]:
    """The [Sequence] part of seqinfo.ini; empty where there is none that can be read."""
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read(_folder(path) / "seqinfo.ini", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}
    return config["Sequence"] if config.has_section("Sequence") else {}


def _folder(path: Path) -> Path:
    return path.parent.parent if path.parent.name == "gt" else path.parent


def _images(path: Path) -> dict[int, Path]:
    """The sequence's images by 0-based frame; empty where the frames are not images."""
    folder = _folder(path) / _sequence(path).get("imDir", "img1")
    if not folder.is_dir():
        return {}
    return {
        number - 1: image
        for image in folder.iterdir()
        if (number := whole_number(image.stem)) is not None
    }


def _image_sources(
    file: str, images: dict[int, Path], tracks: dict[int, dict[int, KeyBox]]
) -> list[SourceAnnotations]:
    by_frame: defaultdict[int, list[KeyBox]] = defaultdict(list)
    for boxes in tracks.values():
        for key in boxes.values():
            by_frame[key.frame].append(key._replace(frame=0))
    return [
        SourceAnnotations(
            "image",
            file,
            (images[frame].as_posix() if frame in images else f"frame {frame + 1}",),
            keys=by_frame[frame],
            stop=0,
        )
        for frame in sorted(images.keys() | by_frame.keys())
    ]


def _video_source(path: Path, tracks: dict[int, dict[int, KeyBox]]) -> SourceAnnotations:
    info = _sequence(path)
    folder = _folder(path).name
    names = dict.fromkeys(name for name in (info.get("name", ""), folder) if name)
    numbers = {key: found for key, text in info.items() if (found := whole_number(text))}
    source = SourceAnnotations(
        "video",
        str(path),
        tuple(names),
        names_media_file=False,
        width=numbers.get("imwidth", 0),
        height=numbers.get("imheight", 0),
        stop=numbers["seqlength"] - 1 if "seqlength" in numbers else None,
    )
    for track in sorted(tracks):
        boxes = tracks[track]
        for frame in sorted(boxes):
            source.keys.append(boxes[frame])
            if frame + 1 not in boxes:
                source.keys.append(boxes[frame]._replace(frame=frame + 1, outside=True))
    return source


def write(entries: Sequence[AnnotatedItem], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write for each video a folder of its name with gt/gt.txt, gt/labels.txt and seqinfo.ini.

    Boxes without a track get track -1; MOT's frames and classes count from 1.
    """
    numbers = {label: number for number, label in enumerate(labels, 1)}
    with atomic_folder(target) as folder:
        for entry in entries:
            item = entry.item
            inner = folder / PurePosixPath(picture_name(item, 0)).parent
            (inner / "gt").mkdir(parents=True)
            (inner / "gt" / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
            (inner / "seqinfo.ini").write_text(
                f"[Sequence]\nname={inner.name}\nframeRate={item.fps:g}\n"
                f"seqLength={item.frames}\nimWidth={item.width}\nimHeight={item.height}\n",
                encoding="utf-8",
            )
            with (inner / "gt" / "gt.txt").open("w", encoding="utf-8") as stream:
                for box in entry.boxes.to_pylist():
                    width, height = box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
                    stream.write(
                        f"{box['frame'] + 1},{box['track_id']},{box['xmin']:.3f},"
                        f"{box['ymin']:.3f},{width:.3f},{height:.3f},1,"
                        f"{numbers[box['label']]},{0 if box['occluded'] else 1}\n"
                    )
