"""Which detections on the frames of a video are the same object.

ByteTrack (Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
ECCV 2022), by the library trackforge: a Kalman filter predicts where each object is next, and the
detection that overlaps that place most is the object's. Its second pass, over detections of low
score, finds nothing to do: a detector leaves out what is below its threshold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kfdet.boxes.tables import UNTRACKED
from kfdet.detection.detections import Detections
from kfdet.detection.stream import FrameDetections

_SURER = 0.1
"""How much more than a detection's threshold its score must be for it to begin a track."""

_MOST_SOURCES = 64
"""Sources whose tracks are remembered: files end one after the other, cameras run side by side."""


class Tracker:
    """Gives the detections of each source the numbers of their tracks, which begin at 1.

    Objects with different labels are different objects, wherever they are. A detection that is too
    unsure to begin a track, and continues none, is UNTRACKED.

    Raises:
        ModuleNotFoundError: trackforge is not installed.
    """

    def __init__(self) -> None:
        import trackforge  # noqa: F401 - before the first frame, not after it

        self._sources: dict[str, _Tracks] = {}

    def __call__(self, found: FrameDetections) -> FrameDetections:
        """The next frame of its source with `Detections.tracks`."""
        tracks = self._sources.get(found.source)
        if tracks is None:
            if len(self._sources) == _MOST_SOURCES:
                del self._sources[next(iter(self._sources))]
            tracks = self._sources[found.source] = _Tracks(found.detections.threshold or 0.0)
        return replace(found, detections=tracks.follow(found.detections))


class _Tracks:
    """The tracks of one source: one tracker for each label, as it knows no labels."""

    def __init__(self, threshold: float) -> None:
        self._begins = min(threshold + _SURER, (1 + threshold) / 2)
        self._trackers: dict[str, Any] = {}
        self._numbers: dict[tuple[str, int], int] = {}

    def follow(self, detections: Detections) -> Detections:
        """The same detections with the numbers of their tracks."""
        from trackforge import BYTETRACK

        tracks = np.full(len(detections), UNTRACKED, np.int64)
        labels = np.array(detections.labels, object)
        for label in dict.fromkeys((*self._trackers, *detections.labels)):
            if label not in self._trackers:
                # All detections have passed the threshold, so all may continue a track.
                self._trackers[label] = BYTETRACK(track_thresh=0.0, det_thresh=self._begins)
            rows = np.flatnonzero(labels == label)
            corners = detections.boxes[rows]
            places = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist()
            scores = detections.scores[rows].tolist()
            given = [(place, score, 0) for place, score in zip(places, scores, strict=True)]
            for track, _, _, _, row in sorted(self._trackers[label].update(given)):
                number = self._numbers.setdefault((label, track), len(self._numbers) + 1)
                tracks[rows[row]] = number
        return replace(detections, tracks=tracks)
