from __future__ import annotations

from support.annotation_samples import attribute, box, cvat, write_text

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import cvat_images
from kfdet.dataset.formats.model import KeyBox


def image(name: str, number: int, *rows: str) -> str:
    return f'<image id="{number}" name="{name}" width="64" height="48">{"".join(rows)}</image>'


def test_images(tmp_path):
    row = box(0, label="cup", occluded=1, rotation=90).replace('frame="0" ', "")
    text = cvat(image("a/x.jpg", 5, row), image("y.png", 6))
    result = cvat_images.read(write_text(tmp_path / "a.xml", text))

    assert result.problems == []
    first, second = result.sources
    assert (first.kind, first.names, first.width) == ("image", ("a/x.jpg",), 64)
    assert first.keys == [KeyBox(UNTRACKED, "cup", 0, 1, 2, 11, 12, 90, occluded=True, line=4)]
    assert second.keys == []


def test_attributes_mark_boxes(tmp_path):
    rows = [box(0, label="cup", inside=attribute(name, "true")) for name in ("difficult", "ignore")]
    text = cvat(image("x.jpg", 0, *rows))
    (source,) = cvat_images.read(write_text(tmp_path / "a.xml", text)).sources

    assert [(key.difficult, key.crowd) for key in source.keys] == [(True, False), (False, True)]


def test_frames_of_a_video_task(tmp_path):
    rows = [image(f"frame_{n:06d}", n, box(0, label="cup")) for n in (3, 6)]
    text = cvat(*rows, start=3, step=3, stop=19, source="clip.mp4")
    (source,) = cvat_images.read(write_text(tmp_path / "a.xml", text)).sources

    assert (source.kind, source.names) == ("video", ("clip.mp4",))
    assert [(k.frame, k.track_id) for k in source.keys] == [(3, UNTRACKED), (6, UNTRACKED)]
    assert (source.start, source.stop, source.step) == (3, 18, 3)


def test_bad_rows(tmp_path):
    rows = [
        image("a.jpg", 0, '<polygon label="cup"/>', box(0)),
        image("", 1, box(0, label="cup")),
        image("b.jpg", 2, box(0, label="cup", rotation="x")),
    ]
    result = cvat_images.read(write_text(tmp_path / "a.xml", cvat(*rows)))

    assert sorted((p.line, p.severity) for p in result.problems) == [
        (4, "error"),
        (4, "warning"),
        (5, "error"),
        (6, "error"),
    ]
