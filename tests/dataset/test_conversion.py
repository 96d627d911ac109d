from __future__ import annotations

import filecmp
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.annotation_samples import box, cvat, track, voc, write_image, write_text, write_video
from support.wandering_video import HEIGHT, WIDTH, wander, write_wandering_video

from kfdet.boxes.tables import BOX_SCHEMA
from kfdet.dataset.conversion import convert
from kfdet.dataset.formats import cvat_video
from kfdet.dataset.formats.model import REFERENCE_COLUMNS
from kfdet.dataset.formats.registry import FORMATS, detect_format
from kfdet.errors import InputError

# Two tracks on 20 frames: 0-10 with a key at 4, and 6-19; frames 7 to 9 and 11 to 18 have no key.
DUMP = cvat(
    track(
        box(0, (1, 2, 11, 12)),
        box(4, (9, 2, 19, 12), occluded=1),
        box(11, (16, 9, 26, 19), outside=1),
    ),
    track(box(6, (30, 30, 40, 40)), box(19, (43, 30, 53, 40)), number=1, label="red ball"),
    source="clip.mp4",
)
TRACKED = ("cvat-video", "mot", "label-studio")
FOR_FRAMES = ("cvat-images", "coco", "voc", "yolo", "datumaro", "csv")


@pytest.fixture(scope="session")
def video_dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    write_video(root / "videos" / "clip.mp4")
    write_text(root / "annotations" / "clip.xml", DUMP)
    return root


@pytest.fixture(scope="session")
def image_dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    boxes = [[], [("cup", (1, 2, 30, 40))], [("cup", (5.5, 6, 7, 8)), ("red ball", (0, 0, 64, 48))]]
    for number, objects in enumerate(boxes):
        write_image(root / "images" / "day" / f"x{number}.jpg", colour=number)
        write_text(root / "annotations" / "day" / f"x{number}.xml", voc(*objects))
    return root


def rows(path: Path, digits: int = 2) -> list[tuple]:
    """(video, label, frame, box, occluded) of each row of a Parquet file, sorted."""
    return sorted(
        (
            Path(r["video"]).name,
            r["label"],
            r["frame"],
            *(round(r[side], digits) for side in ("xmin", "ymin", "xmax", "ymax")),
            r["occluded"],
        )
        for r in pq.read_table(path).to_pylist()
    )


def as_parquet(src: Path, folder: Path, **more) -> Path:
    return convert(src, folder, "parquet", **more).target


def rows_of(src: Path, folder: Path) -> list[tuple]:
    return rows(as_parquet(src, folder / "out"))


def test_parquet_of_every_frame(video_dataset, tmp_path):
    done = convert(video_dataset, tmp_path / "boxes.parquet", "parquet")
    table = pq.read_table(tmp_path / "boxes.parquet")

    assert table.schema.equals(BOX_SCHEMA)
    assert (done.sources, done.frames, done.boxes, done.warnings) == (1, 20, 11 + 14, ())
    assert table.num_rows == done.boxes
    first = table.slice(2, 1).to_pylist()[0]
    assert (first["video"], first["frame"], first["track_id"]) == ("videos/clip.mp4", 2, 0)
    assert (first["xmin"], first["keyframe"], first["method"]) == (5, False, "linear")


def test_parquet_of_key_frames(video_dataset, tmp_path):
    done = convert(video_dataset, tmp_path / "out", "parquet", key_frames=True)
    table = pq.read_table(tmp_path / "out" / "boxes.parquet")

    assert table.column("frame").to_pylist() == [0, 4, 6, 19]
    assert (done.frames, done.boxes) == (4, 4)


def test_one_annotation_file_needs_no_video(video_dataset, tmp_path):
    path = write_text(tmp_path / "task.xml", DUMP)
    alone = rows(as_parquet(path, tmp_path / "a"))

    assert alone == rows(as_parquet(video_dataset, tmp_path / "b"))


@pytest.mark.parametrize("key_frames", [False, True])
@pytest.mark.parametrize("to", TRACKED)
def test_tracks_come_back(video_dataset, tmp_path, to, key_frames):
    target = tmp_path / "annotations"
    done = convert(video_dataset, target, to, key_frames=key_frames)
    shutil.copytree(video_dataset / "videos", tmp_path / "videos")
    again = rows(as_parquet(tmp_path, tmp_path / "again"))
    first = rows(as_parquet(video_dataset, tmp_path / "first"))

    if to == "mot" and key_frames:
        # MOT cannot say that a track goes on between two rows; all boxes of the frames are there.
        first = [row for row in first if row[2] in (0, 4, 6, 19)]
        assert len(first) == done.boxes
    if to == "label-studio":
        # It has no flag for occlusion.
        first = [(*row[:-1], False) for row in first]
    assert [row[:3] for row in again] == [row[:3] for row in first]
    np.testing.assert_allclose([r[3:] for r in again], [r[3:] for r in first], atol=0.011)


@pytest.mark.parametrize("key_frames", [False, True])
@pytest.mark.parametrize("to", FOR_FRAMES)
def test_frames_of_a_video(video_dataset, tmp_path, to, key_frames):
    done = convert(video_dataset, tmp_path / "out", to, key_frames=key_frames)

    # On key frames both objects are there, whichever of them has its key box on the frame.
    assert (done.frames, done.boxes) == ((4, 5) if key_frames else (20, 25))
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    if to in ("voc", "yolo"):
        assert sum("frame_" in path.name for path in files) == done.frames
        assert any(path.parent.name == "clip" for path in files)
    else:
        (path,) = files
        assert detect_format(path) == to
        found = FORMATS[to].read(path)
        assert found.problems == []
        assert sum(len(source.keys) for source in found.sources) == done.boxes
        assert len(found.sources) == done.frames


@pytest.mark.parametrize("to", [*FOR_FRAMES, "label-studio"])
def test_images_come_back(image_dataset, tmp_path, to):
    done = convert(image_dataset, tmp_path / "annotations", to)
    shutil.copytree(image_dataset / "images", tmp_path / "images")
    again = rows(as_parquet(tmp_path, tmp_path / "again"))

    assert (done.sources, done.frames, done.boxes) == (3, 2, 3)
    assert [row[:3] for row in again] == [
        ("x1.jpg", "cup", 0),
        ("x2.jpg", "cup", 0),
        ("x2.jpg", "red ball", 0),
    ]
    first = rows(as_parquet(image_dataset, tmp_path / "first"))
    np.testing.assert_allclose([r[3:] for r in again], [r[3:] for r in first], atol=0.01)


@pytest.mark.parametrize("to", [*FOR_FRAMES, "label-studio"])
def test_image_without_objects_stays_annotated(image_dataset, tmp_path, to):
    done = convert(image_dataset, tmp_path / "annotations", to)
    shutil.copytree(image_dataset / "images", tmp_path / "images")

    assert convert(tmp_path, tmp_path / "again", "coco").sources == done.sources == 3


@pytest.mark.parametrize("to", ["coco", "datumaro", "cvat-images", "label-studio", "cvat-video"])
def test_target_that_is_a_file(video_dataset, tmp_path, to):
    form = FORMATS[to]
    name = f"mine{form.suffix or Path(form.file).suffix}"
    done = convert(video_dataset, tmp_path / name, to)

    assert done.target == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert detect_format(done.target) == to


@pytest.mark.parametrize("key_frames", [False, True])
@pytest.mark.parametrize("to", list(FORMATS))
def test_same_bytes_every_time(video_dataset, tmp_path, to, key_frames):
    for name in ("a", "b"):
        convert(video_dataset, tmp_path / name, to, key_frames=key_frames)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    match, mismatch, errors = filecmp.cmpfiles(
        tmp_path / "a", tmp_path / "b", [f for f in files if (tmp_path / "a" / f).is_file()], False
    )

    assert match
    assert (mismatch, errors) == ([], [])


@pytest.mark.parametrize("name", ["pets/annotations.xml", "cvat/job_dump_traffic.xml"])
def test_real_dumps_become_what_cvat_interpolated(shared_data, tmp_path, name):
    (source,) = cvat_video.read(shared_data / name).sources
    table = pq.read_table(as_parquet(shared_data / name, tmp_path))
    ours = {(b["track_id"], b["frame"]): b for b in table.to_pylist()}
    reference = np.reshape(source.reference_boxes, (-1, REFERENCE_COLUMNS))
    sides = ("xmin", "ymin", "xmax", "ymax")
    found = [[ours[track, frame][side] for side in sides] for track, frame in reference[:, :2]]

    # Both sides are rounded to two digits.
    assert np.abs(np.array(found) - reference[:, 2:6]).max() <= 0.01 + 1e-9
    visible = sum(not key.outside for key in source.keys)
    assert table.num_rows >= visible + len(reference)


def test_boxes_between_key_frames_come_from_the_video_if_asked(tmp_path):
    truth = wander(60)
    frames = [0, 20, 40, 59]
    write_wandering_video(tmp_path / "data" / "v.mp4", truth)
    rows = [box(frame, truth[frame]) for frame in frames]
    text = cvat(track(*rows), stop=59, source="v.mp4", size=(WIDTH, HEIGHT))
    write_text(tmp_path / "data" / "v.xml", text)
    methods = {}
    for interpolation in ("linear", "tracked"):
        target = tmp_path / f"{interpolation}.parquet"
        convert(tmp_path / "data", target, "parquet", interpolation=interpolation)
        methods[interpolation] = set(pq.read_table(target)["method"].to_pylist())
    assert methods == {"linear": {"key", "linear"}, "tracked": {"key", "tracked"}}
    with pytest.raises(InputError, match=r"tracked interpolation looks at the videos\."):
        convert(tmp_path / "data/v.xml", tmp_path / "t", "parquet", interpolation="tracked")


def test_unlabelled_media_are_left_out(video_dataset, tmp_path):
    shutil.copytree(video_dataset, tmp_path / "data")
    write_video(tmp_path / "data" / "videos" / "other.mp4")
    done = convert(tmp_path / "data", tmp_path / "out", "coco")

    assert done.sources == 1
    assert ["no annotations" in problem.problem for problem in done.warnings] == [True]


def test_tasks_of_one_name_stay_apart(tmp_path):
    task = "<task><id>{}</id><name>same</name><size>9</size><start_frame>0</start_frame></task>"
    tasks = task.format(1) + task.format(2)
    rows = track(box(3), more='task_id="1"') + track(box(12), more='task_id="2"', number=1)
    text = f"<annotations><meta><project><tasks>{tasks}</tasks></project></meta>{rows}"
    path = write_text(tmp_path / "a.xml", f"{text}</annotations>")

    assert {row[0] for row in rows_of(path, tmp_path)} == {"same", "same-2"}


class TestRefusals:
    @pytest.mark.parametrize(
        ("dst", "to", "text"),
        [
            ("out", "pdf", "no annotation format 'pdf'"),
            ("out.json", "voc", "is not written as a .json file"),
            ("out.xml", "parquet", "is not written as a .xml file"),
            ("task.xml", "cvat-video", "source and target are the same"),
            ("full", "voc", "the target folder is not empty"),
        ],
    )
    def test_targets(self, tmp_path, dst, to, text):
        source = write_text(tmp_path / "task.xml", DUMP)
        write_text(tmp_path / "full" / "precious.txt", "mine")

        with pytest.raises(InputError, match=text):
            convert(source, tmp_path / dst, to)
        assert (tmp_path / "full" / "precious.txt").read_text() == "mine"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "task.xml"]

    @pytest.mark.parametrize("to", ["cvat-video", "mot"])
    def test_images_in_formats_of_videos(self, image_dataset, tmp_path, to):
        with pytest.raises(InputError, match="cannot hold images"):
            convert(image_dataset, tmp_path / "out", to)

    def test_missing_source(self, tmp_path):
        with pytest.raises(InputError, match="does not exist"):
            convert(tmp_path / "none.xml", tmp_path / "out", "coco")

    def test_dataset_without_annotations(self, tmp_path):
        write_image(tmp_path / "x.jpg")
        with pytest.raises(InputError, match="holds no annotations"):
            convert(tmp_path, tmp_path / "out", "coco")

    def test_all_errors_at_once(self, tmp_path):
        bad = cvat(track(box(0), box(1, (1, 1, 1, 1)), box(2, ("x", 1, 2, 2))))
        with pytest.raises(InputError, match="2 errors") as caught:
            convert(write_text(tmp_path / "a.xml", bad), tmp_path / "out", "coco")
        assert "a.xml:6, frame 1" in str(caught.value)
        assert "a.xml:7, frame 2" in str(caught.value)

    def test_shares_without_pictures(self, tmp_path):
        value = {"labels": ["cup"], "sequence": []}
        regions = [{"type": "videorectangle", "value": value}]
        task = {"data": {"video": "clip.mp4"}, "annotations": [{"result": regions}]}
        path = write_text(tmp_path / "a.json", json.dumps([task]))

        with pytest.raises(InputError, match="size of the pictures is not known"):
            convert(path, tmp_path / "out", "coco")

    def test_unknown_size(self, tmp_path):
        path = write_text(tmp_path / "gt.txt", "1,1,1,2,10,20\n")

        assert convert(path, tmp_path / "a", "parquet").boxes == 1
        with pytest.raises(InputError, match="COCO needs it"):
            convert(path, tmp_path / "b", "coco")

    def test_files_that_differ_in_suffix_only(self, tmp_path):
        for suffix in (".mp4", ".avi"):
            video = write_video(tmp_path / "in" / f"a{suffix}", width=64 if suffix > ".b" else 32)
            write_text(tmp_path / "in" / f"x{suffix}.xml", cvat(source=video.name, size=(0, 0)))

        with pytest.raises(InputError, match="2 files are called a"):
            convert(tmp_path / "in", tmp_path / "out", "coco")

    def test_full_disk(self, video_dataset, tmp_path):
        # A limit on the size of files fails like a full disk, in the midst of writing.
        code = (
            "import resource, sys; from pathlib import Path\n"
            "from kfdet.dataset.conversion import convert\n"
            "from kfdet.dataset.formats.registry import FORMATS\n"
            "from kfdet.errors import InputError\n"
            "import datumaro, pyarrow.parquet\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (9, 9))\n"
            "for name in FORMATS:\n"
            "    try: convert(Path(sys.argv[1]), Path(sys.argv[2]) / name, name)\n"
            "    except InputError as error: print(name, error.exit_status, error)\n"
        )
        command = [sys.executable, "-W", "ignore", "-c", code, video_dataset, tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)

        lines = done.stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [[name, "2"] for name in FORMATS]
        assert all("cannot write" in line for line in lines)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_target_that_cannot_be_a_folder(self, video_dataset, tmp_path):
        write_text(tmp_path / "file", "")
        with pytest.raises(InputError, match="cannot write"):
            convert(video_dataset, tmp_path / "file" / "out", "coco")

    def test_several_videos_in_one_file(self, tmp_path):
        for name in ("a", "b"):
            write_video(tmp_path / "in" / f"{name}.mp4")
            write_text(tmp_path / "in" / f"{name}.xml", cvat(track(box(0))))

        with pytest.raises(InputError, match="one video per file"):
            convert(tmp_path / "in", tmp_path / "out.xml", "cvat-video")
        convert(tmp_path / "in", tmp_path / "out", "cvat-video")
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.xml", "b.xml"]


@pytest.fixture
def crowded_dataset(tmp_path) -> Path:
    write_image(tmp_path / "in" / "images" / "a.jpg")
    boxes = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20], "iscrowd": 1},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [30, 2, 10, 20]},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": boxes,
    }
    write_text(tmp_path / "in" / "annotations" / "a.json", json.dumps(content))
    return tmp_path / "in"


@pytest.mark.parametrize("to", ["coco", "datumaro"])
def test_regions_survive(crowded_dataset, tmp_path, to):
    convert(crowded_dataset, tmp_path / "out.json", to)
    again = convert(tmp_path / "out.json", tmp_path / "boxes.parquet", "parquet")

    assert pq.read_table(again.target)["crowd"].to_pylist() == [True, False]
    if to == "coco":
        written = json.loads((tmp_path / "out.json").read_text())["annotations"]
        assert [entry["iscrowd"] for entry in written] == [1, 0]


@pytest.mark.parametrize("to", ["yolo", "voc", "cvat-images"])
def test_regions_do_not_become_objects(crowded_dataset, tmp_path, to):
    done = convert(crowded_dataset, tmp_path / "out", to)

    assert done.boxes == 1
    assert "1 boxes around groups" in done.warnings[0].problem
