"""The sample dataset: short videos of three kinds of toys, annotated as CVAT would save them.

Everything is drawn, so the true boxes are known; a made-up annotator draws key boxes from them
about every eleventh frame, with an unsteady hand, and CVAT's interpolation fills in the rest. The
same seed gives the same bytes on the same machine.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av

from kfdet.demo.annotator import annotate
from kfdet.demo.rendering import VIDEOS, Video, load_cast, render
from kfdet.demo.script import HEIGHT, WIDTH
from kfdet.errors import InputError
from kfdet.events import track
from kfdet.files import atomic_folder, count_cores


def make_sample(folder: Path, seed: int = 0) -> None:
    """Write the sample dataset: H.264 `videos/*.mp4` and CVAT for video 1.1 `annotations/*.xml`.

    Five videos of 120 frames at 640x360, 25 or 30 frames per second, each in another place; three
    labels. Every video has a stretch that shows nothing but background.

    Raises:
        InputError: `folder` holds files already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "is not an empty folder.", file=folder, hint="Choose a new folder for the sample."
        )
    load_cast()
    with atomic_folder(folder) as new:
        (new / "videos").mkdir()
        (new / "annotations").mkdir()

        def make(index: int) -> None:
            video = render(index, seed)
            encode(video, new / "videos" / f"{video.name}.mp4")
            annotate(video, index, seed, new / "annotations" / f"{video.name}.xml")

        # Drawing and encoding leave Python, so threads use every core.
        with ThreadPoolExecutor(count_cores()) as pool:
            for _ in track(
                pool.map(make, range(len(VIDEOS))), "drawing the sample", len(VIDEOS), "videos"
            ):
                pass


def encode(video: Video, path: Path) -> None:
    """Write the frames as H.264 in MP4.

    Bytes repeat: one thread, no encoder stamp, and no "mbtree", whose look-ahead reads memory that
    x264 has not set.
    """
    with av.open(str(path), "w", options={"fflags": "+bitexact", "movflags": "+faststart"}) as out:
        stream = out.add_stream("libx264", rate=video.fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {
            "threads": "1",
            "preset": "veryfast",
            "crf": "20",
            "flags": "+bitexact",
            "x264-params": "mbtree=0",
        }
        for frame in video.frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
