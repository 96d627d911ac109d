"""A simulated detector on simulated videos, of which the true AP50 is known.

How well it does drifts over time, so that neighbouring frames are alike: each frame has an object
that is found or missed, and boxes that are invented, with a quality that is a Gaussian process with
exponential correlation.
"""

from __future__ import annotations

import numpy as np

from kfdet.evaluation.coco import Matches

FPS = 10.0


def simulated(seconds: float, memory: float, seed: int) -> Matches:
    """A video.

    Args:
        seconds: Its length.
        memory: Seconds in which the correlation of the quality falls to 1 / e.
        seed: Another video for each.
    """
    from scipy.signal import lfilter

    random = np.random.default_rng(seed)
    frames = round(seconds * FPS)
    decay = np.exp(-1 / (memory * FPS))
    steps = random.standard_normal(frames) * np.sqrt(1 - decay**2)
    steps[0] = random.standard_normal()
    quality = lfilter([1], [1, -decay], steps)
    found = random.random(frames) < 1 / (1 + np.exp(-2.2 - quality))
    invented = random.poisson(np.exp(-1.5 - 0.7 * quality))
    images = np.concatenate([np.flatnonzero(found), np.repeat(np.arange(frames), invented)])
    right = np.arange(len(images)) < found.sum()
    scores = np.where(right, 1 + 0.5 * quality[images], -1) + random.standard_normal(len(images))
    order = np.argsort(-scores)
    rights = right[order].astype(float)[None]
    return Matches(images[order], rights, 1 - rights, np.ones(frames))
