"""The script of a sample video: which toy is where in each frame, and how the camera moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.demo import art

LABELS = ("ball", "mug", "robot")
"""Of the toys, in the order of the cast."""
FRAMES = 120
WIDTH, HEIGHT = 640, 360
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Visit:
    """One visit of a character: world position of its foot and turn, one row per frame.

    Args:
        character: Index into the cast.
        path: Shape (FRAMES, 2), x and y of the foot in scene pixels; NaN while it is not there.
        turn: Shape (FRAMES,), radians.
        mirrored: Whether the sprite is flipped.
    """

    character: int
    path: Array
    turn: Array
    mirrored: bool


def smooth(values: Array, sigma: float) -> Array:
    """Gaussian smoothing along the first axis; the ends are held."""
    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    columns = padded.reshape(len(padded), -1).T
    smooth = np.stack(
        [np.convolve(c, kernel / kernel.sum(), mode="valid") for c in columns], axis=1
    )
    return smooth.reshape(values.shape)


def write_script(rng: np.random.Generator, empty: tuple[int, int]) -> list[Visit]:
    """The script of a video: who appears when; the frames `empty` show nothing."""
    roles = rng.permutation(len(LABELS))
    acts = [
        (0, empty[0], [*roles, roles[0]]),  # one toy has a twin in each act
        (empty[1], FRAMES - 1, [*np.roll(roles, 1), roles[1]]),
    ]
    visits = []
    for number, (first, last, characters) in enumerate(acts):
        across, near = rng.permutation(4), rng.permutation(4)
        for place, who in enumerate(characters):
            comes = number == 1 or place % 2 == 1
            leaves = number == 0 or place % 2 == 0
            late = int(rng.integers(0, 8)) if comes else 0
            early = int(rng.integers(0, 5)) if leaves else 0
            path = np.full((FRAMES, 2), np.nan)
            spot = (
                float(across[place] + rng.uniform()) / 4,
                float(near[place] + rng.uniform()) / 4,
            )
            path[first + late : last - early + 1] = _wander(
                rng, first + late, last - early, comes, leaves, spot
            )
            phase, swing = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.16)
            turn = swing * np.sin(phase + np.arange(FRAMES) / rng.uniform(8, 13))
            visits.append(Visit(int(who), path, turn, bool(rng.integers(2))))
    return visits


def _wander(
    rng: np.random.Generator,
    first: int,
    last: int,
    comes: bool,
    leaves: bool,
    place: tuple[float, float],
) -> Array:
    """Foot positions over frames `first`..`last`: comes in at a side, strolls about, leaves.

    `place` (0..1 across, 0..1 from far to near) keeps the toys of an act apart at its start.
    """
    sides = (5.0, art.WIDTH - 5.0)
    x, y = 170 + 460 * place[0], 226 + 168 * place[1]
    times, spots = [float(first)], [(x, y)]
    if comes:
        side = int(x > art.WIDTH / 2)
        x = (x + sides[side] * 0.7) / 1.7
        spots[0] = (sides[side], y)
        times.append(first + rng.uniform(9, 13))
        spots.append((x, y))
    end = last - 11.0 if leaves else float(last)
    while times[-1] + 14 < end:
        times.append(min(times[-1] + rng.uniform(16, 24), end))
        x = float(np.clip(x + rng.uniform(-100, 100), 150, 650))
        y = float(np.clip(y + rng.uniform(-30, 30), 222, 400))
        spots.append((x, y))
    if leaves:
        times.append(float(last))
        spots.append((sides[int(x > art.WIDTH / 2)], y))
    t = np.arange(first, last + 1)
    xs, ys = np.array(spots).T
    path = np.stack([np.interp(t, times, xs), np.interp(t, times, ys)], axis=1)
    # Mirroring the ends keeps the speed there, so that who comes in does not start from a stand.
    padded = np.concatenate([2 * path[0] - path[12:0:-1], path, 2 * path[-1] - path[-2:-14:-1]])
    return smooth(padded, 4)[12:-12]


def move_camera(rng: np.random.Generator) -> Array:
    """A hand-held camera: (FRAMES, 2, 3) affine maps from scene to frame pixels."""
    pan = smooth(rng.standard_normal((FRAMES, 2)), 18)
    pan = pan / np.abs(pan).max(axis=0) * (40, 22)
    shake = smooth(rng.normal(0, 1.6, (FRAMES, 2)), 1.0)
    angle = smooth(rng.normal(0, 0.03, FRAMES), 8)
    zoom = 1 + smooth(rng.normal(0, 0.08, FRAMES), 14)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], axis=1)
    centre = np.array([art.WIDTH / 2, 235.0]) + pan + shake
    shift = np.array([WIDTH / 2, HEIGHT / 2]) - np.einsum("nij,nj->ni", linear, centre)
    return np.concatenate([linear, shift[..., None]], axis=2)
