"""From sources to sinks: what `kfdet detect` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

import numpy as np
import simplejpeg

from kfdet.detection.pictures import Picture, decode
from kfdet.detection.stream import FrameDetections, Sink, Stream, StreamEnd
from kfdet.events import Progress

Draw = Callable[[FrameDetections], Picture]
Step = Callable[[FrameDetections], FrameDetections]


def pixels(found: FrameDetections) -> Picture:
    """The frame as it went to the model, (height, width, 3) RGB."""
    picture = found.detections.picture
    if isinstance(picture, bytes):
        try:
            return np.asarray(simplejpeg.decode_jpeg(picture), np.uint8)
        except ValueError:  # another format, or colours that this decoder does not know
            return decode(picture)
    if picture is None:
        raise ValueError("these detections hold no picture.")
    return picture


def draw(found: FrameDetections) -> Picture:
    """The frame with its boxes drawn on it."""
    return found.detections.draw_on(pixels(found))


def run(
    stream: Stream,
    sinks: Sequence[Sink],
    *,
    steps: Sequence[Step] = (),
    drawing: Draw = draw,
) -> None:
    """Give every frame of `stream` to every sink, in order, until its end or until a sink ends it.

    All sinks are closed after an error or an interruption, too, so that what was done is kept.

    Args:
        stream: Where frames come from; its meter counts them.
        sinks: Where detections go.
        steps: What happens to a frame's detections before, such as tracking.
        drawing: How boxes are drawn.
    """
    progress = Progress("detection", 0, "frames")
    wanted = any(sink.pictures for sink in sinks)
    with ExitStack() as stack, suppress(StreamEnd):
        for sink in sinks:
            stack.callback(sink.close)
        stack.enter_context(stream)
        for frame, detected in stream:
            found = detected
            for step in steps:
                found = step(found)
            picture = drawing(found) if wanted else None
            for sink in sinks:
                sink.write(picture if sink.pictures else None, found)
            stream.meter.show(frame, found)
            progress.total = stream.total
            progress.update(stream.meter.shown, stream.meter.note())
