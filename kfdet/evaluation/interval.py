"""How sure AP50 is: a bootstrap over what may vary, videos or stretches of time.

Neighbouring frames are almost equal, so that single frames must not be drawn at random: the
interval would be far too narrow (block bootstrap: Künsch, Annals of Statistics 17, 1989). Few
blocks make it too narrow as well, which expanded percentiles make up for (Hesterberg, "What
Teachers Should Know About the Bootstrap", The American Statistician 69, 2015). A test counts how
many intervals of simulated videos hold the true value.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kfdet.evaluation.average_precision import Floats, average_precision
from kfdet.evaluation.coco import Matches
from kfdet.evaluation.ground_truth import GroundTruth

if TYPE_CHECKING:
    from scipy.sparse import csr_array

REPLICATES = 1000
MOST_SOURCES = 10
"""With so many videos and images they are the blocks; fewer videos are cut into stretches."""

FEWEST_BLOCKS = 5
"""With fewer blocks there is no interval."""

_STRETCHES = 10
_SHORTEST, _LONGEST = 1.0, 10.0  # seconds of a stretch
_AT_ONCE = 2_000_000  # numbers in one array

Integers = npt.NDArray[np.int64]
Draws = npt.NDArray[np.int32]


def find_blocks(truths: Sequence[GroundTruth], rates: Mapping[str, float]) -> Integers:
    """The block of every picture, from 0, shape (I,); -1 for one that is not measured.

    Args:
        truths: All pictures.
        rates: Frames per second of every source that is a video.
    """
    frames: defaultdict[str, list[int]] = defaultdict(list)
    for truth in truths:
        if truth.measured:
            frames[truth.video].append(truth.frame)
    lengths = dict.fromkeys(frames, math.inf)
    if len(frames) < MOST_SOURCES:
        seconds = {
            name: (max(own) - min(own) + 1) / rates[name]
            for name, own in frames.items()
            if rates.get(name)
        }
        stretch = float(np.clip(sum(seconds.values()) / _STRETCHES, _SHORTEST, _LONGEST))
        lengths |= {name: stretch * rates[name] for name in seconds}
    firsts = {name: min(own) for name, own in frames.items()}
    numbers: dict[tuple[str, int], int] = {}
    blocks = np.full(len(truths), -1, np.int64)
    for i, truth in enumerate(truths):
        if truth.measured:
            since = truth.frame - firsts[truth.video]
            key = (truth.video, int(since // lengths[truth.video]))
            blocks[i] = numbers.setdefault(key, len(numbers))
    return blocks


def resample(blocks: Integers, seed: int, replicates: int = REPLICATES) -> Draws:
    """How often each picture is drawn in each replicate, (R, I); blocks are drawn as a whole."""
    count = count_blocks(blocks)
    draws = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / max(1, count)), size=replicates
    )
    with_unmeasured = np.zeros((replicates, count + 1), np.int32)
    with_unmeasured[:, :count] = draws
    times: Draws = with_unmeasured[:, blocks]  # -1: the last column
    return times


def resampled_ap50(matches: Sequence[Matches], times: Draws | Floats) -> Floats:
    """AP50, the mean over labels, of R replicates, (R,); NaN where there is no object.

    Args:
        matches: Of every label, from `evaluate_coco`.
        times: (R, I) how often each picture is there.
    """
    merged = [_merge(one) for one in matches]
    longest = max([times.shape[1], *(len(images) for images, _ in merged)])
    step = max(1, _AT_ONCE // max(1, longest))
    totals, labels = np.zeros(len(times)), np.zeros(len(times))
    for start in range(0, len(times), step):
        rows = slice(start, start + step)
        of_image = np.ascontiguousarray(times[rows].T, float)
        for one, (images, wrong_before) in zip(matches, merged, strict=True):
            ap = average_precision(
                of_image[images].T, (wrong_before @ of_image).T, one.objects @ of_image
            )
            totals[rows] += np.nan_to_num(ap)
            labels[rows] += ~np.isnan(ap)
    mean: Floats = np.full(len(times), np.nan)
    np.divide(totals, labels, out=mean, where=labels > 0)
    return mean


def _merge(matches: Matches) -> tuple[Integers, csr_array]:
    """The right detections alone, each with the wrong ones between the last right one and itself.

    Average precision depends on nothing else, and wrong detections are many.

    Returns:
        (H,) the image of each right detection, and (H, I) the weights of the wrong ones by image.
    """
    from scipy.sparse import csr_array

    right, wrong = matches.right[0] > 0, matches.wrong[0]
    following = np.cumsum(right)
    hits = matches.images[right]
    counted = (wrong > 0) & (following < len(hits))
    place = (following[counted], matches.images[counted])
    shape = (len(hits), len(matches.objects))
    return hits, csr_array((wrong[counted], place), shape=shape)


def ap50_interval(
    matches: Sequence[Matches], blocks: Integers, seed: int, share: float = 0.95
) -> tuple[float, float] | None:
    """Where AP50 lies with a probability of `share`; None with too few blocks or no object."""
    if count_blocks(blocks) < FEWEST_BLOCKS:
        return None
    return expanded_interval(
        resampled_ap50(matches, resample(blocks, seed)), count_blocks(blocks), share
    )


def count_blocks(blocks: Integers) -> int:
    """How many blocks there are in what `find_blocks` returned."""
    return int(blocks.max(initial=-1)) + 1


def expanded_interval(replicates: Floats, blocks: int, share: float) -> tuple[float, float] | None:
    """The interval of a figure from its bootstrap replicates; None where all are NaN.

    Percentiles of the replicates, further out than `share` says: by the quantile of Student's t in
    place of the normal one, and by the root of n / (n - 1), as n blocks vary less around their own
    mean than around the true one.

    Args:
        replicates: The figure in each replicate, (R,); NaN where it is not defined.
        blocks: How many blocks were drawn from.
        share: Part of such intervals that should hold the true value, 0 to 1.
    """
    from scipy import stats

    known = replicates[~np.isnan(replicates)]
    if not len(known):
        return None
    reach = stats.t.ppf((1 + share) / 2, blocks - 1) * math.sqrt(blocks / (blocks - 1))
    tail = 100 * stats.norm.sf(reach)
    low, high = np.percentile(known, [tail, 100 - tail])
    return round(float(low), 4), round(float(high), 4)
