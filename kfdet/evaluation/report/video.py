"""The detections drawn on frames of a video that training never saw, as an H.264 video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import simplejpeg

from kfdet.detection import Detections
from kfdet.evaluation.ground_truth import GroundTruth
from kfdet.evaluation.report.pictures import draw_detections, fit, with_size

FRAMES = 300
_SIDES = (480, 720)
_SLOWEST = 2.0  # frames per second; rarer ones are shown faster than they were filmed


def choose_stretch(truths: Sequence[GroundTruth], rates: Mapping[str, float]) -> list[int]:
    """Positions of the frames to show: the longest unbroken stretch of one video, cut to FRAMES.

    A stretch is broken by a gap of more than four times the usual distance between its frames.

    Args:
        truths: Every validation image.
        rates: Frames per second of every source that is a video.
    """
    best: list[int] = []
    for video in sorted(rates):
        mine = sorted(
            (i for i, truth in enumerate(truths) if truth.video == video),
            key=lambda i: truths[i].frame,
        )
        if len(mine) < 2:
            continue
        frames = np.array([truths[i].frame for i in mine])
        gaps = np.diff(frames)
        breaks = np.flatnonzero(gaps > 4 * np.median(gaps)) + 1
        longest = max(np.split(np.array(mine), breaks), key=len)[:FRAMES].tolist()
        if len(longest) > len(best):
            best = longest
    return best if len(best) > 1 else []


def write_video(
    path: Path,
    images: Iterable[tuple[int, bytes]],
    stretch: Sequence[int],
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    labels: Sequence[str],
    threshold: float,
    fps: float,
) -> None:
    """Write `path` (H.264 in MP4, longest side 480 to 720 pixels).

    Args:
        path: File to write.
        images: source_id and JPEG of the stretch's images, in its order.
        stretch: Positions of the frames in `truths`.
        truths: Every validation image.
        detections: The answers, in the same order.
        labels: Label names; class id = position + 1.
        threshold: Detections from this score up are drawn.
        fps: Frames per second of the source video.
    """
    frames = np.array([truths[i].frame for i in stretch])
    rate = Fraction(max(_SLOWEST, fps / float(np.median(np.diff(frames))))).limit_denominator(1000)
    positions = {truths[i].source_id: i for i in stretch}
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = None
        for source_id, jpeg in images:
            position = positions[source_id]
            picture = fit(simplejpeg.decode_jpeg(jpeg), *_SIDES, even=True)
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                # Same frames, same bytes: x264's output depends on its number of threads, and its
                # mbtree reads memory that it has not written (seen with the x264 in PyAV 18).
                stream.codec_context.thread_count = 1
                stream.options = {"crf": "24", "preset": "faster", "x264-params": "mbtree=0"}
                stream.pix_fmt = "yuv420p"
                stream.width, stream.height = picture.shape[1], picture.shape[0]
            drawn = draw_detections(
                picture,
                with_size(truths[position], picture),
                detections[position],
                labels,
                threshold,
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn, format="rgb24")))
        container.mux(stream.encode(None))
