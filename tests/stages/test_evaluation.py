from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
from rich.console import Console
from support import blob_detector as blobs

import kfdet
from kfdet.console.summary import print_metrics
from kfdet.deployment.deploy import read_figures
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError
from kfdet.files import read_zip
from kfdet.parameters import Gate
from kfdet.stages.evaluation import evaluate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    records = blobs.write_blob_records(folder / "records")
    model = blobs.save_blob_model(folder / "saved_model")
    training = folder / "training"
    training.mkdir()
    (training / "history.json").write_text(json.dumps(blobs.HISTORY))
    return records, model, training


def run(inputs, folder: Path, command: str = "", **gate) -> bool:
    outputs = (folder / name for name in ("metrics.json", "report.html", "gallery"))
    return evaluate(*inputs, *outputs, Gate(**gate), seed=0, command=command)


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, Path]:
    folder = tmp_path_factory.mktemp("outputs")
    return run(inputs, folder), folder


def read_metrics(folder: Path):
    def no_constant(name: str):
        raise AssertionError(f"{name} is not JSON")

    return json.loads((folder / "metrics.json").read_text(), parse_constant=no_constant)


def test_metrics(finished):
    verdict, folder = finished
    metrics = read_metrics(folder)
    assert verdict is metrics["verdict"] is True
    assert set(metrics) >= {
        *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR100"),
        *("per_class", "split", "false_positives_per_background_image", "verdict"),
    }
    assert metrics["split"]["strategy"] == "video"
    assert metrics["split"]["val_frames"] == 36
    assert set(metrics["per_class"]) == set(blobs.LABELS)
    # 24 + 1 of 27 red and 26 of 26 green boxes are seen and exact; blue is called green.
    red, green, blue = metrics["per_class"].values()
    assert (red["recall"], red["boxes"]) == (pytest.approx(25 / 27), 27)
    assert (green["AP50"], green["recall"]) == (pytest.approx(1.0, abs=0.05), 1.0)
    assert (blue["AP50"], blue["precision"], blue["recall"]) == (0.0, None, 0.0)
    assert metrics["AP_small"] is None
    assert metrics["confusion_matrix"]["labels"] == [*blobs.LABELS, "background"]
    assert metrics["confusion_matrix"]["matrix"] == [
        [25, 0, 0, 2],
        [0, 26, 0, 0],
        [0, 1, 0, 1],
        [1, 0, 0, 0],
    ]
    # One of seven frames without a labelled box holds a red blob.
    assert metrics["background_images"] == 7
    assert metrics["false_positives_per_background_image"] == pytest.approx(1 / 7)
    assert metrics["errors"] == {
        "localisation": 0,
        "confusion": 1,
        "duplicate": 0,
        "background": 1,
        "missed": 3,
    }
    assert metrics["speed"]["ms_per_image_batch_1"] > 0
    assert metrics["speed"]["ms_per_image_batch_8"] > 0
    assert metrics["speed"]["cores"] >= 1


def test_what_an_endpoint_serves_is_in_the_report(inputs, tmp_path: Path) -> None:
    labels = [blobs.LABELS[1], blobs.LABELS[0], blobs.LABELS[2]]
    served = blobs.save_blob_model(tmp_path / "toys" / "0123456789ab", labels)
    outputs = [tmp_path / name for name in ("metrics.json", "report.html", "gallery")]
    gate = Gate(promote="better")
    _, model, training = inputs
    records = blobs.write_blob_records(tmp_path / "records", 3 * blobs.scenes()[:24])
    assert evaluate(records, model, training, *outputs, gate, rival=str(served), seed=0)
    metrics = read_metrics(tmp_path)
    assert metrics["comparison"]["against"] == "version 0123456789ab of toys"
    assert "Promoted" in metrics["verdict_reasons"][-1]
    assert "version 0123456789ab of toys" in outputs[1].read_text()


def test_a_model_that_serves_already_is_not_compared_with_itself(inputs, tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("metrics.json", "report.html", "gallery")]
    assert evaluate(*inputs, *outputs, Gate(promote="better"), rival=str(inputs[1]), seed=0)
    assert read_metrics(tmp_path)["comparison"] is None


def test_a_model_that_is_not_promoted_reaches_its_limits_all_the_same(
    inputs, tmp_path: Path
) -> None:
    outputs = [tmp_path / name for name in ("metrics.json", "report.html", "gallery")]
    gate = Gate(promote="better", against=str(inputs[1]))
    assert not evaluate(*inputs, *outputs, gate, seed=0)
    metrics = read_metrics(tmp_path)
    assert metrics["reaches_limits"] is True
    assert metrics["comparison"]["difference"] == 0


def interpolated_only(folder: Path, *, measured: bool) -> Path:
    records = blobs.write_blob_records(folder, drawn_labels=())
    examples = pq.read_table(records / "examples.parquet")
    place = examples.column_names.index("measured")
    flags = pa.array([measured] * len(examples))
    pq.write_table(examples.set_column(place, "measured", flags), records / "examples.parquet")
    return records


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: blobs.write_blob_records(folder, [[]] * 60),
        lambda folder: interpolated_only(folder, measured=True),
        lambda folder: interpolated_only(folder, measured=False),
    ],
    ids=["nothing but background", "interpolated boxes only", "no measured picture"],
)
def test_nothing_that_a_person_drew(
    write, inputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, model, training = inputs
    outputs = [tmp_path / name for name in ("metrics.json", "report.html", "gallery")]
    gate = Gate(promote="not-worse", against=str(model), min_recall=0.5, max_false_positives=0.1)
    assert not evaluate(write(tmp_path / "records"), model, training, *outputs, gate, seed=0)
    metrics = read_metrics(tmp_path)
    assert metrics["AP50"] is metrics["AP"] is None
    assert metrics["truth"]["boxes"] == 0
    assert metrics["comparison"]["AP50"] is metrics["comparison"]["interval"] is None
    assert metrics["verdict"] is metrics["reaches_limits"] is False
    assert "AP50 could not be measured" in metrics["verdict_reasons"][0]
    assert "Nothing could be compared" in metrics["verdict_reasons"][-1]
    assert "could not be measured" in outputs[1].read_text()
    assert Thresholds.from_metrics(metrics).overall >= 0, "it goes with the model"
    assert read_figures(outputs[0]) == {}, "of an endpoint"
    print_metrics(Console(), metrics)
    assert "verdict" in capsys.readouterr().out


def test_gallery(finished):
    gallery = finished[1] / "gallery"
    names = sorted(path.name for path in gallery.iterdir())
    assert names == ["detections.mp4", "detections.png", "pictures.zip"]
    pictures = read_zip(gallery / "pictures.zip")
    assert list(pictures) == [
        "false-positive-01.jpg",
        "false-positive-02.jpg",
        "miss-01.jpg",
        "miss-02.jpg",
        "miss-03.jpg",
        *(f"typical-{i:02d}.jpg" for i in range(1, 7)),
    ]
    assert simplejpeg.decode_jpeg(pictures["miss-01.jpg"]).shape == (300, 400, 3)
    with av.open(str(gallery / "detections.mp4")) as film:
        stream = film.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == blobs.FPS
        assert sum(1 for _ in film.decode(stream)) == 36


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [v for k, v in attrs if k in ("src", "href", "poster", "data", "srcset")]


def test_report_is_self_contained_and_escaped(finished):
    html = (finished[1] / "report.html").read_text()
    page = References()
    page.feed(html)
    assert page.found
    assert all(r.startswith(("data:image/jpeg;", "data:video/mp4;", "#")) for r in page.found)
    assert not {"link", "iframe", "b>blue", "i>a"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert "url(" not in html
    assert "@import" not in html
    assert "&lt;b&gt;blue&lt;/b&gt; &amp; co" in html
    assert "<b>blue" not in html
    assert "<i>a &" not in html
    anchors = {r[1:] for r in page.found if r.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', html))


def test_same_input_same_bytes(finished, inputs, tmp_path):
    _, folder = finished
    run(inputs, tmp_path)
    first, second = read_metrics(folder), read_metrics(tmp_path)
    del first["speed"], second["speed"]
    assert first == second
    for path in (folder / "gallery").iterdir():
        assert (tmp_path / "gallery" / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_report_names_dataset_date_version_and_command(inputs, tmp_path):
    run(inputs, tmp_path, command="kfdet run 'my <videos>' -o RUN")
    html = (tmp_path / "report.html").read_text()
    assert "<title>blobs, AP50 " in html
    assert "Detector report: blobs</h1>" in html
    assert "kfdet run &#39;my &lt;videos&gt;&#39; -o RUN</code>" in html
    assert f"kfdet {kfdet.__version__}" in html
    made = re.search(r'<time datetime="([^"]+)">', html)
    age = datetime.now(UTC) - datetime.fromisoformat(made[1])
    assert timedelta(0) <= age < timedelta(minutes=10)


def test_gate(inputs, tmp_path):
    assert run(inputs, tmp_path, min_ap50=0.99) is False
    metrics = read_metrics(tmp_path)
    assert metrics["verdict"] is False
    assert "below the required 0.99" in metrics["verdict_reasons"][0]
    assert "Not good enough to serve" in (tmp_path / "report.html").read_text()


def test_images_without_any_box(inputs, tmp_path):
    records = blobs.write_blob_records(tmp_path / "records", [[], []])
    assert run((records, *inputs[1:]), tmp_path) is False
    metrics = read_metrics(tmp_path)
    assert metrics["AP50"] is None
    assert metrics["false_positives_per_background_image"] == 0.0
    assert "nothing could be measured" in (tmp_path / "report.html").read_text()
    assert read_zip(tmp_path / "gallery" / "pictures.zip") == {}
    assert (tmp_path / "gallery" / "detections.mp4").exists()
    assert not (tmp_path / "gallery" / "detections.png").exists()


def test_training_without_history(inputs, tmp_path):
    (tmp_path / "training").mkdir()
    assert run((*inputs[:2], tmp_path / "training"), tmp_path) is True
    assert 'id="training"' not in (tmp_path / "report.html").read_text()


def test_bad_input_is_an_error_and_leaves_no_output(inputs, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no SavedModel"):
        run((inputs[0], tmp_path / "empty", inputs[2]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
