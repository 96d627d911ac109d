"""kfdet detect beside the model alone, beside the loop that a user would write, and live.

    python -m benchmarks.detect [--data FOLDER] [--model RUN] [--live-seconds N]

Without --model the detector is trained for a few steps on the sample, as in benchmarks.endpoint:
what it sees does not matter here.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread

import cv2
import numpy as np
import simplejpeg

from benchmarks.endpoint import small_model
from benchmarks.table import Row, print_table
from kfdet.detection import Detections, Detector
from kfdet.detection.backend import Answer
from kfdet.detection.frame import Frame, Kind
from kfdet.detection.run import run
from kfdet.detection.sinks.drawn import DrawnSink
from kfdet.detection.sources import VideoSource
from kfdet.parameters import StreamSettings
from kfdet.video.writing import VideoEncoder

try:  # only measured beside ours: no part of kfdet's environment
    import supervision
except ModuleNotFoundError:
    supervision = None

FRAMES = 120
ROUNDS = 3
WIDTH, HEIGHT = 768, 576
LATENCY_SECONDS = 0.05
LIVE_RATE, LIVE_MODEL_SECONDS, LIVE_SECONDS = 30, 0.1, 20
GROWTH_MIB = 50
ALONE_FLOOR, SERIAL_FLOOR = 0.9, 3.5
ANSWER = {
    "detection_boxes": np.array([[0.2, 0.2, 0.6, 0.5], [0.5, 0.4, 0.9, 0.8]]),
    "detection_scores": np.array([0.9, 0.8]),
    "detection_class_names": ["mug", "robot"],
    "num_detections": 2,
}


def measure(
    data: Path | None = None, model: Path | None = None, live_seconds: float = LIVE_SECONDS
) -> list[Row]:
    """Measure all floors of `kfdet detect`."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        given = data / "pets" / "vtest.avi" if data else None
        video = given if given and given.exists() else _write_video(scratch / "video.mp4")
        with Detector.load(model or small_model(scratch)) as detector:
            rows = _local(detector, video, scratch)
        return [*rows, _endpoint(video, scratch), *_live(live_seconds)]


def _local(detector: Detector, video: Path, scratch: Path) -> list[Row]:
    frames = list(_decoded(video))
    for frame in frames[:8]:
        detector.detect(frame)
    loops: dict[str, Callable[[], object]] = {
        "the model alone": lambda: [detector.detect(frame) for frame in frames],
        "ours": lambda: _ours(detector, video, scratch),
        "OpenCV in a loop": lambda: _loop(detector, video, scratch),
        "supervision in a loop": lambda: _supervision_loop(detector, video, scratch),
    }
    if supervision is None:
        print("supervision is not measured: pip install supervision")
        del loops["supervision in a loop"]
    rates = dict.fromkeys(loops, 0.0)
    # In turns, so that what else the machine does affects all of them.
    for _ in range(ROUNDS):
        for name, loop in loops.items():
            rates[name] = max(rates[name], _rate(len(frames), loop))
    ours = rates.pop("ours")
    return [
        Row(
            f"detect, video drawn and written / {name}",
            ours,
            rate,
            "frames/s",
            ours / rate,
            ALONE_FLOOR if name == "the model alone" else 1.0,
        )
        for name, rate in rates.items()
    ]


def _endpoint(video: Path, scratch: Path) -> Row:
    with _server() as url, Detector.load(url) as detector:
        detector.detect(next(_decoded(video)))
        ours = _rate(FRAMES, lambda: _ours(detector, video, scratch))
        serial = _rate(FRAMES, lambda: _loop(detector, video, scratch))
    title = f"detect, endpoint {1000 * LATENCY_SECONDS:.0f} ms away / serial loop"
    return Row(title, ours, serial, "frames/s", ours / serial, SERIAL_FLOOR)


def _live(seconds: float) -> list[Row]:
    """Frames at LIVE_RATE into a model that takes LIVE_MODEL_SECONDS."""

    class Slow:
        place, labels, input_size, thresholds, in_flight = "slow", ("mug", "robot"), None, None, 1

        def predict(self, pictures: Sequence[bytes]) -> Answer:
            time.sleep(LIVE_MODEL_SECONDS)
            return Answer([ANSWER] * len(pictures), None)

        def close(self) -> None:
            pass

    settings = StreamSettings()
    stream = Detector(Slow()).open_stream([Camera(5.0)], settings)
    run(stream, [])  # what is loaded at first is no growth
    before = _resident_mib()
    stream = Detector(Slow()).open_stream([Camera(seconds)], settings)
    run(stream, [])
    growth = max(0.0, _resident_mib() - before)
    meter, limit = stream.meter, 1000 * (2 * LIVE_MODEL_SECONDS + 0.1)
    p95 = 1000 * meter.latency(0.95)
    accounted = meter.shown + meter.dropped
    return [
        Row(f"live, {LIVE_RATE} frames/s into 10: p95 latency", p95, limit, "ms", limit / p95, 1.0),
        Row(
            "live: shown + dropped / received",
            accounted,
            meter.received,
            "frames",
            float(accounted == meter.received),
            1.0,
        ),
        Row(
            f"live: memory after {seconds:.0f} s",
            growth,
            GROWTH_MIB,
            "MiB",
            GROWTH_MIB / max(growth, 0.1),
            1.0,
        ),
    ]


class Camera:
    """A live source of LIVE_RATE frames per second."""

    name, output = "camera", PurePosixPath("camera")
    kind: Kind = "live"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def open(self, _: StreamSettings) -> tuple[int, Iterator[Frame]]:
        """Frames at their time."""
        return 0, self._frames()

    def _frames(self) -> Iterator[Frame]:
        jpeg = simplejpeg.encode_jpeg(_picture(0))
        begun = time.monotonic()
        for number in range(round(self._seconds * LIVE_RATE)):
            time.sleep(max(0.0, begun + number / LIVE_RATE - time.monotonic()))
            now = time.monotonic()
            yield Frame("camera", number, now - begun, jpeg, WIDTH, HEIGHT, now, live=True)


def _ours(detector: Detector, video: Path, scratch: Path) -> None:
    source = VideoSource(video, PurePosixPath("ours.mp4"))
    settings = StreamSettings(stop=(FRAMES - 0.5) / _frame_rate(video))
    sink = DrawnSink({source.name: scratch / "ours.mp4"})
    stream = detector.open_stream([source], settings)
    run(stream, [sink])
    if stream.meter.shown != FRAMES:
        raise RuntimeError(f"{stream.meter.shown} of {FRAMES} frames came out")


def _loop(detector: Detector, video: Path, scratch: Path) -> None:
    """Read, detect, draw, write: one after the other, as tutorials have it."""
    fps = _frame_rate(video)
    writer: cv2.VideoWriter | None = None
    for frame in _decoded(video):
        found = detector.detect(frame)
        drawn = _drawn(frame, found)
        if writer is None:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(scratch / "loop.mp4"), code, fps, size)
        writer.write(drawn[..., ::-1])
    if writer is not None:
        writer.release()


def _drawn(frame: np.ndarray, found: Detections) -> np.ndarray:
    drawn = frame.copy()
    for box, text in zip(found.boxes.round().astype(int).tolist(), _texts(found), strict=True):
        cv2.rectangle(drawn, box[:2], box[2:], (0, 255, 0), 2)
        cv2.putText(drawn, text, box[:2], cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 255, 0), 2)
    return drawn


def _texts(found: Detections) -> list[str]:
    return [f"{label} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)]


def _supervision_loop(detector: Detector, video: Path, scratch: Path) -> None:
    """The loop of supervision's documentation, around the same model."""
    boxes, labels = supervision.BoxAnnotator(), supervision.LabelAnnotator()
    info = supervision.VideoInfo.from_video_path(str(video))
    known = list(detector.labels or ())
    with supervision.VideoSink(str(scratch / "supervision.mp4"), info) as sink:
        for frame in supervision.get_video_frames_generator(str(video), end=FRAMES):
            found = detector.detect(np.ascontiguousarray(frame[..., ::-1]))
            numbers = np.array([known.index(label) for label in found.labels], np.int64)
            detections = supervision.Detections(
                xyxy=found.boxes, confidence=found.scores, class_id=numbers
            )
            drawn = boxes.annotate(frame, detections)
            sink.write_frame(labels.annotate(drawn, detections, labels=_texts(found)))


def _decoded(video: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(video))
    try:
        for _ in range(FRAMES):
            there, frame = capture.read()
            if not there:
                raise RuntimeError(f"{video} has fewer than {FRAMES} frames")
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        capture.release()


def _frame_rate(video: Path) -> float:
    capture = cv2.VideoCapture(str(video))
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return rate


def _write_video(path: Path) -> Path:
    with VideoEncoder(path) as video:
        for number in range(FRAMES + 1):
            video.write(_picture(number), number / 10)
    return path


def _picture(number: int) -> np.ndarray:
    """Return a smooth picture that moves, with two boxes that stand out."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([x * 255 / WIDTH, y * 255 / HEIGHT, (x + y + 4 * number) % 256], axis=2)
    picture = smooth.astype(np.uint8)
    picture[100:220, 50 + number : 200 + number] = (220, 40, 40)
    return picture


def _rate(frames: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return frames / (time.perf_counter() - started)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@contextmanager
def _server() -> Iterator[str]:
    """A server that answers every picture alike, after LATENCY_SECONDS."""
    row = {name: np.asarray(value).tolist() for name, value in ANSWER.items()}
    body = json.dumps({"predictions": [row]}).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(LATENCY_SECONDS)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def main() -> None:
    """Print the table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder that holds pets/")
    parser.add_argument("--model", type=Path, help="a run, or a model's folder")
    parser.add_argument("--live-seconds", type=float, default=LIVE_SECONDS, metavar="N")
    given = parser.parse_args()
    print_table(measure(given.data, given.model, given.live_seconds))


if __name__ == "__main__":
    main()
