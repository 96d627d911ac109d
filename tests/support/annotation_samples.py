"""Small real files that the annotation tests write themselves."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from kfdet.dataset.formats.model import KeyBox


def write_video(path: Path, frames: int = 20, width: int = 64, height: int = 48, rate: int = 10):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            picture = np.full((height, width, 3), 10 * number % 256, np.uint8)
            picture[: sum(path.stem.encode()) % height] = (
                255  # so that videos of different names differ
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_image(path: Path, width: int = 64, height: int = 48, colour: int = 0, orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height), (colour, colour, colour)).save(path, exif=exif)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def box(frame: int, sides=(1, 2, 11, 12), inside: str = "", **more: object) -> str:
    """A <box> of CVAT on a line of its own."""
    xtl, ytl, xbr, ybr = sides
    given = {"keyframe": 1, "outside": 0, "occluded": 0, "xtl": xtl, "ytl": ytl, "xbr": xbr}
    attributes = {"frame": frame, **given, "ybr": ybr, "z_order": 0, **more}
    text = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f"<box {text}>{inside}</box>"


def attribute(name: str, value: str) -> str:
    """An <attribute> that a task's author gave a label."""
    return f'<attribute name="{name}">{value}</attribute>'


def track(*rows: str, number: int = 0, label: str = "cup", more: str = "") -> str:
    lines = "\n".join(rows)
    return f'<track id="{number}" label="{label}" source="manual" {more}>\n{lines}\n</track>'


def cvat(
    *elements: str,
    stop: int = 19,
    start: int = 0,
    step: int = 1,
    source: str = "",
    size: tuple[int, int] = (64, 48),
    kind: str = "task",
    name: str = "",
) -> str:
    """A CVAT dump; its first element is on line 4."""
    meta = (
        f"<{kind}><name>{name}</name><mode>interpolation</mode><start_frame>{start}</start_frame>"
        f"<stop_frame>{stop}</stop_frame>"
        f"<frame_filter>{f'step={step}' if step > 1 else ''}</frame_filter>"
        "<labels><label><name>cup</name></label></labels>"
        f"<source>{source}</source></{kind}>"
        f"<original_size><width>{size[0]}</width><height>{size[1]}</height></original_size>"
    )
    body = "\n".join(elements)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>\n'
        f"<meta>{meta}</meta>\n{body}\n</annotations>\n"
    )


def voc(*objects: tuple[str, tuple[object, object, object, object]], size=(64, 48)) -> str:
    """A Pascal VOC file; the first object is on line 4."""
    body = "\n".join(
        f"<object><name>{label}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for label, (a, b, c, d) in objects
    )
    return (
        f"<annotation>\n<filename>some.jpg</filename>\n<size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size>\n{body}\n</annotation>\n"
    )


def plain(keys: list[KeyBox]) -> list[tuple]:
    """Label, frame and corners of each box."""
    return [(key.label, key.frame, *key[3:7]) for key in keys]
