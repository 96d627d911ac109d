"""Draws the sample videos; what is drawn is known, so the true boxes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from kfdet.demo import art
from kfdet.demo.script import FRAMES, HEIGHT, WIDTH, Array, Visit, move_camera, smooth, write_script

_ROLLS = 48
_VISIBLE = 0.25  # the annotator draws a box when this share of the toy can be seen
_OCCLUDED = 0.85  # ... and ticks "occluded" when less than this share of the part in the frame can
_SHORTEST = 6  # frames; shorter glimpses and shorter gaps are not worth a key frame


@dataclass(frozen=True)
class Character:
    """A toy: `poses` are its sprites (a ball has one for each roll angle)."""

    label: str
    poses: tuple[Array, ...]
    outline: Array  # (N, 2) points of the convex hull in sprite pixels
    area: float  # sprite pixels that are not transparent


@dataclass(frozen=True)
class Video:
    """A video and its truth.

    Args:
        name: Stem of the file names.
        fps: Frames per second.
        key_step: The annotator's distance between key frames.
        frames: Shape (FRAMES, HEIGHT, WIDTH, 3), uint8 RGB.
        labels: One per track.
        boxes: Shape (tracks, FRAMES, 4): the whole thing, clipped to the frame, in pixels.
        seen: Shape (tracks, FRAMES): whether the annotator would draw it.
        occluded: Shape (tracks, FRAMES).
    """

    name: str
    fps: int
    key_step: int
    frames: Array
    labels: tuple[str, ...]
    boxes: Array
    seen: Array
    occluded: Array


# (name, frames per second, key frame distance, empty stretch, brightness after "the lamp")
VIDEOS = (
    ("garden", 25, 12, (52, 66), 1.0),
    ("kitchen", 30, 10, (64, 78), 1.0),
    ("playroom", 25, 11, (46, 60), 0.78),
    ("study", 30, 12, (58, 74), 1.0),
    ("workshop", 25, 10, (44, 58), 0.85),
)


@lru_cache(maxsize=1)
def load_cast() -> tuple[Character, ...]:
    """The three toys, one per label, that every video shows."""

    def character(label: str, poses: Sequence[Array]) -> Character:
        solid = poses[0][..., 3] > 0.5
        y, x = np.nonzero(solid)
        hull = cv2.convexHull(np.stack([x, y], axis=1).astype(np.int32))[:, 0] + 0.5
        return Character(label, tuple(poses), hull, float(solid.sum()))

    def rolled(first: art.Color, second: art.Color, panels: int, tilt: float) -> list[Array]:
        angles = np.arange(_ROLLS) * 2 * np.pi / _ROLLS
        return [art.ball(first, second, panels, float(angle), tilt) for angle in angles]

    return (
        character("ball", rolled((44, 104, 196), (250, 246, 236), 8, 0.7)),
        character("mug", [art.mug((200, 50, 44), (244, 234, 214))]),
        character("robot", [art.robot((240, 196, 66), (62, 70, 84), (120, 240, 255))]),
    )


def render(index: int, seed: int) -> Video:
    """Video number `index` of the sample, with its truth."""
    name, fps, key_step, empty, lamp = VIDEOS[index]
    rng = np.random.default_rng([seed, index])
    scene = art.SCENES[name](rng)
    visits, cameras = write_script(rng, empty), move_camera(rng)
    mood = 1 + 0.07 * np.sin(np.arange(FRAMES) / rng.uniform(14, 22) + rng.uniform(0, 6))
    mood[FRAMES * 3 // 4 :] *= lamp
    light = (smooth(mood, 2)[:, None] * rng.uniform(0.94, 1.06, 3)).astype(np.float32)
    grain = rng.normal(0, 3.5, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.float32)
    shadow = _shadow()
    frames = np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    boxes = np.zeros((len(visits), FRAMES, 4))
    share, clear = np.zeros((len(visits), FRAMES)), np.ones((len(visits), FRAMES))

    for t, camera in enumerate(cameras):
        frame = cv2.warpAffine(scene.back, camera, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        owner = np.full((HEIGHT, WIDTH), -1, np.int8)
        there = [i for i, visit in enumerate(visits) if not np.isnan(visit.path[t, 0])]
        inside = {}
        for i in sorted(there, key=lambda i: visits[i].path[t, 1]):
            visit, character = visits[i], load_cast()[visits[i].character]
            matrix = _placed(character, visit, t, camera)
            x, y = visit.path[t]
            wide = _size(y) * 1.05
            ground = np.array([[wide / 64, 0, x - wide / 2], [0, wide / 230, y - wide * 0.16]])
            linear, shift = (
                camera[:, :2] @ ground[:, :2],
                camera[:, :2] @ ground[:, 2] + camera[:, 2],
            )
            _stamp(frame, shadow, np.concatenate([linear, shift[:, None]], axis=1))
            roll = int(x / _size(y) * 2 * _ROLLS / (2 * np.pi)) % len(character.poses)
            drawn = _stamp(frame, character.poses[roll], matrix)
            if drawn is None:
                continue
            rows, columns, alpha = drawn
            owner[rows, columns][alpha > 0.5] = i
            inside[i] = float((alpha > 0.5).sum())
            outline = character.outline @ matrix[:, :2].T + matrix[:, 2]
            corners = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
            boxes[i, t] = np.clip(corners, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
            share[i, t] = character.area * abs(np.linalg.det(matrix[:, :2]))
        front = cv2.warpAffine(scene.front, camera, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        whole = frame * (1 - front[..., 3:]) + front[..., :3]
        owner[front[..., 3] > 0.5] = -1
        for i, area in inside.items():
            visible = float((owner == i).sum())
            share[i, t], clear[i, t] = visible / share[i, t], visible / max(area, 1)
        dy, dx = rng.integers(0, 64, 2)
        whole *= light[t]
        whole += grain[dy : dy + HEIGHT, dx : dx + WIDTH]
        frames[t] = np.clip(whole, 0, 255, out=whole)

    seen = np.stack([_steady(row >= _VISIBLE) for row in share])
    occluded = np.stack([_steady(row < _OCCLUDED) for row in clear])
    labels = tuple(load_cast()[visit.character].label for visit in visits)
    kept = np.flatnonzero(seen.any(axis=1))
    return Video(
        name=name,
        fps=fps,
        key_step=key_step,
        frames=frames,
        labels=tuple(labels[i] for i in kept),
        boxes=boxes[kept],
        seen=seen[kept],
        occluded=occluded[kept],
    )


def _shadow() -> Array:
    y, x = (np.mgrid[0:64, 0:64] - 31.5) / 32
    sprite = np.zeros((64, 64, 4), np.float32)
    sprite[..., 3] = 0.55 * np.clip(1 - np.hypot(x, y), 0, 1) ** 1.2
    return sprite


def _stamp(target: Array, sprite: Array, matrix: Array) -> tuple[slice, slice, Array] | None:
    """Draw a premultiplied RGBA sprite; the touched window and its alpha, None if unseen."""
    side = sprite.shape[0]
    corners = (
        np.array([[0, 0], [side, 0], [side, side], [0, side]]) @ matrix[:, :2].T + matrix[:, 2]
    )
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (WIDTH, HEIGHT))
    if x0 >= x1 or y0 >= y1:
        return None
    while np.hypot(*matrix[:, 0]) < 0.5:  # halve it first: a bilinear warp alone would flicker
        sprite = cv2.resize(sprite, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        matrix = np.concatenate([matrix[:, :2] * 2, matrix[:, 2:]], axis=1)
    # OpenCV puts pixel centres at whole numbers, the boxes put them at halves.
    half = matrix[:, :2] @ (0.5, 0.5) + matrix[:, 2] - 0.5
    local = np.concatenate([matrix[:, :2], (half - (x0, y0))[:, None]], axis=1)
    warped = cv2.warpAffine(sprite, local, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
    rows, columns = slice(y0, y1), slice(x0, x1)
    window = target[rows, columns]
    window[:] = np.clip(window * (1 - warped[..., 3:]) + warped[..., :3], 0, 255).astype(np.uint8)
    return rows, columns, warped[..., 3]


def _placed(character: Character, visit: Visit, frame: int, camera: Array) -> Array:
    """The (2, 3) affine map from sprite pixels to frame pixels."""
    x, y = visit.path[frame]
    scale = _size(y) / art.SPRITE
    foot = (art.SPRITE / 2, character.outline[:, 1].max())
    turn = 0.0 if character.label == "ball" else visit.turn[frame]
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]])
    if visit.mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    hop = 10 * abs(np.sin(frame / 7)) * scale * 2 if character.label == "ball" else 0.0
    shift = np.array([x, y - hop]) - linear @ foot
    linear, shift = camera[:, :2] @ linear, camera[:, :2] @ shift + camera[:, 2]
    return np.concatenate([linear, shift[:, None]], axis=1)


def _size(y: float) -> float:
    """Side of a sprite in scene pixels when its foot is at `y`: nearer is lower and larger."""
    near = (y - 222) / (400 - 222)
    return 66 + 56 * float(np.clip(near, -0.1, 1.1))


def _steady(flags: Array) -> Array:
    """Fill short gaps between true stretches, then drop short true stretches."""
    steady = flags.copy()
    for first, last in runs(~flags):
        if first > 0 and last < len(flags) - 1 and last - first + 1 < _SHORTEST:
            steady[first : last + 1] = True
    for first, last in runs(steady):
        if last - first + 1 < _SHORTEST:
            steady[first : last + 1] = False
    return steady


def runs(flags: Array) -> list[tuple[int, int]]:
    """First and last index of every stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
