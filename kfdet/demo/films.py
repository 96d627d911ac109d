"""The sample dataset: short films of three kinds of toys, annotated as CVAT would dump them.

Everything is drawn (kfdet/demo_art.py), so the true boxes are known; a made-up annotator draws key
boxes from them about every eleventh frame, with an unsteady hand, and CVAT's interpolation fills in
the rest. The same seed gives the same bytes on the same machine.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from kfdet.boxes.tables import Boxes
from kfdet.demo import art as demo_art
from kfdet.errors import InputError
from kfdet.events import track
from kfdet.files import atomic_folder, count_cores

LABELS = ("ball", "mug", "robot")
FRAMES = 120
WIDTH, HEIGHT = 640, 360
_COLORS = {"ball": "#2e62c4", "mug": "#c8322c", "robot": "#f0c442"}
_ROLLS = 48
_VISIBLE = 0.25  # the annotator draws a box when this share of the thing can be seen
_OCCLUDED = 0.85  # ... and ticks "occluded" when less than this share of the part in the frame can
_SHORTEST = 6  # frames; shorter glimpses and shorter gaps are not worth a key frame
_HAND = 0.5  # standard deviation of a drawn edge, pixels

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Character:
    """One thing of the cast: `poses` are its sprites (a ball has one a roll angle)."""

    label: str
    poses: tuple[Array, ...]
    outline: Array  # (N, 2) points of the convex hull in sprite pixels
    area: float  # sprite pixels that are not transparent


@dataclass(frozen=True)
class Stay:
    """One visit of a character: world position of its foot, size and turn, a row a frame.

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


@dataclass(frozen=True)
class Film:
    """A film and its truth.

    Args:
        name: Stem of the file names.
        fps: Frames a second.
        key_step: The annotator's distance between key frames.
        frames: Shape (FRAMES, HEIGHT, WIDTH, 3), uint8 RGB.
        labels: One a track.
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


# (name, frames a second, key frame distance, empty stretch, brightness after "the lamp")
_FILMS = (
    ("garden", 25, 12, (52, 66), 1.0),
    ("kitchen", 30, 10, (64, 78), 1.0),
    ("playroom", 25, 11, (46, 60), 0.78),
    ("study", 30, 12, (58, 74), 1.0),
    ("workshop", 25, 10, (44, 58), 0.85),
)


def make_sample(folder: Path, seed: int = 0) -> None:
    """Write the sample dataset: H.264 `videos/*.mp4` and CVAT for video 1.1 `annotations/*.xml`.

    Five films of 120 frames at 640x360, 25 or 30 frames a second, each in another place; three
    labels. Every film has a stretch that shows nothing but background.

    Raises:
        InputError: `folder` holds files already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "is not an empty folder.", file=folder, hint="Choose a new folder for the sample."
        )
    cast()
    with atomic_folder(folder) as new:
        (new / "videos").mkdir()
        (new / "annotations").mkdir()

        def make(index: int) -> None:
            film = shoot(index, seed)
            encode(film, new / "videos" / f"{film.name}.mp4")
            annotate(film, index, seed, new / "annotations" / f"{film.name}.xml")

        # Drawing and encoding leave Python, so threads use every core.
        with ThreadPoolExecutor(count_cores()) as pool:
            for _ in track(
                pool.map(make, range(len(_FILMS))), "drawing the sample", len(_FILMS), "videos"
            ):
                pass


@lru_cache(maxsize=1)
def cast() -> tuple[Character, ...]:
    """The three toys, one a label, that every film shows."""

    def character(label: str, poses: Sequence[Array]) -> Character:
        solid = poses[0][..., 3] > 0.5
        y, x = np.nonzero(solid)
        hull = cv2.convexHull(np.stack([x, y], axis=1).astype(np.int32))[:, 0] + 0.5
        return Character(label, tuple(poses), hull, float(solid.sum()))

    def rolled(
        first: demo_art.Color, second: demo_art.Color, panels: int, tilt: float
    ) -> list[Array]:
        angles = np.arange(_ROLLS) * 2 * np.pi / _ROLLS
        return [demo_art.ball(first, second, panels, float(angle), tilt) for angle in angles]

    return (
        character("ball", rolled((44, 104, 196), (250, 246, 236), 8, 0.7)),
        character("mug", [demo_art.mug((200, 50, 44), (244, 234, 214))]),
        character("robot", [demo_art.robot((240, 196, 66), (62, 70, 84), (120, 240, 255))]),
    )


# --- what happens ---


def _smooth(values: Array, sigma: float) -> Array:
    """Gaussian smoothing along the first axis; the ends are held."""
    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    columns = padded.reshape(len(padded), -1).T
    smooth = np.stack(
        [np.convolve(c, kernel / kernel.sum(), mode="valid") for c in columns], axis=1
    )
    return smooth.reshape(values.shape)


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
    sides = (5.0, demo_art.WIDTH - 5.0)
    x, y = 170 + 460 * place[0], 226 + 168 * place[1]
    times, spots = [float(first)], [(x, y)]
    if comes:
        side = int(x > demo_art.WIDTH / 2)
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
        spots.append((sides[int(x > demo_art.WIDTH / 2)], y))
    t = np.arange(first, last + 1)
    xs, ys = np.array(spots).T
    path = np.stack([np.interp(t, times, xs), np.interp(t, times, ys)], axis=1)
    # Mirroring the ends keeps the speed there, so that who comes in does not start from a stand.
    padded = np.concatenate([2 * path[0] - path[12:0:-1], path, 2 * path[-1] - path[-2:-14:-1]])
    return _smooth(padded, 4)[12:-12]


def _direct(rng: np.random.Generator, empty: tuple[int, int]) -> list[Stay]:
    """The script of a film: who appears when; nobody during the frames `empty`."""
    roles = rng.permutation(len(cast()))
    acts = [
        (0, empty[0], [*roles, roles[0]]),  # one toy has a twin in each act
        (empty[1], FRAMES - 1, [*np.roll(roles, 1), roles[1]]),
    ]
    stays = []
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
            stays.append(Stay(int(who), path, turn, bool(rng.integers(2))))
    return stays


def _camera(rng: np.random.Generator) -> Array:
    """A hand-held camera: (FRAMES, 2, 3) affine maps from scene to frame pixels."""
    pan = _smooth(rng.standard_normal((FRAMES, 2)), 18)
    pan = pan / np.abs(pan).max(axis=0) * (40, 22)
    shake = _smooth(rng.normal(0, 1.6, (FRAMES, 2)), 1.0)
    angle = _smooth(rng.normal(0, 0.03, FRAMES), 8)
    zoom = 1 + _smooth(rng.normal(0, 0.08, FRAMES), 14)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], axis=1)
    centre = np.array([demo_art.WIDTH / 2, 235.0]) + pan + shake
    shift = np.array([WIDTH / 2, HEIGHT / 2]) - np.einsum("nij,nj->ni", linear, centre)
    return np.concatenate([linear, shift[..., None]], axis=2)


def _size(y: float) -> float:
    """Side of a sprite in scene pixels when its foot is at `y`: nearer is lower and larger."""
    near = (y - 222) / (400 - 222)
    return 66 + 56 * float(np.clip(near, -0.1, 1.1))


def _placed(character: Character, stay: Stay, frame: int, camera: Array) -> Array:
    """The (2, 3) affine map from sprite pixels to frame pixels."""
    x, y = stay.path[frame]
    scale = _size(y) / demo_art.SPRITE
    foot = (demo_art.SPRITE / 2, character.outline[:, 1].max())
    turn = 0.0 if character.label == "ball" else stay.turn[frame]
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]])
    if stay.mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    hop = 10 * abs(np.sin(frame / 7)) * scale * 2 if character.label == "ball" else 0.0
    shift = np.array([x, y - hop]) - linear @ foot
    linear, shift = camera[:, :2] @ linear, camera[:, :2] @ shift + camera[:, 2]
    return np.concatenate([linear, shift[:, None]], axis=1)


# --- filming ---


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


def _shadow() -> Array:
    y, x = (np.mgrid[0:64, 0:64] - 31.5) / 32
    sprite = np.zeros((64, 64, 4), np.float32)
    sprite[..., 3] = 0.55 * np.clip(1 - np.hypot(x, y), 0, 1) ** 1.2
    return sprite


def shoot(index: int, seed: int) -> Film:
    """Film number `index` of the sample, with its truth."""
    name, fps, key_step, empty, lamp = _FILMS[index]
    rng = np.random.default_rng([seed, index])
    scene = demo_art.SCENES[name](rng)
    stays, cameras = _direct(rng, empty), _camera(rng)
    mood = 1 + 0.07 * np.sin(np.arange(FRAMES) / rng.uniform(14, 22) + rng.uniform(0, 6))
    mood[FRAMES * 3 // 4 :] *= lamp
    light = (_smooth(mood, 2)[:, None] * rng.uniform(0.94, 1.06, 3)).astype(np.float32)
    grain = rng.normal(0, 3.5, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.float32)
    shadow = _shadow()
    frames = np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    boxes = np.zeros((len(stays), FRAMES, 4))
    share, clear = np.zeros((len(stays), FRAMES)), np.ones((len(stays), FRAMES))

    for t, camera in enumerate(cameras):
        frame = cv2.warpAffine(scene.back, camera, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        owner = np.full((HEIGHT, WIDTH), -1, np.int8)
        there = [i for i, stay in enumerate(stays) if not np.isnan(stay.path[t, 0])]
        inside = {}
        for i in sorted(there, key=lambda i: stays[i].path[t, 1]):
            stay, character = stays[i], cast()[stays[i].character]
            matrix = _placed(character, stay, t, camera)
            x, y = stay.path[t]
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
    labels = tuple(cast()[stay.character].label for stay in stays)
    kept = np.flatnonzero(seen.any(axis=1))
    return Film(
        name=name,
        fps=fps,
        key_step=key_step,
        frames=frames,
        labels=tuple(labels[i] for i in kept),
        boxes=boxes[kept],
        seen=seen[kept],
        occluded=occluded[kept],
    )


def _runs(flags: Array) -> list[tuple[int, int]]:
    """First and last index of every stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _steady(flags: Array) -> Array:
    """Fill short gaps between true stretches, then drop short true stretches."""
    steady = flags.copy()
    for first, last in _runs(~flags):
        if first > 0 and last < len(flags) - 1 and last - first + 1 < _SHORTEST:
            steady[first : last + 1] = True
    for first, last in _runs(steady):
        if last - first + 1 < _SHORTEST:
            steady[first : last + 1] = False
    return steady


def encode(film: Film, path: Path) -> None:
    """Write the frames as H.264 in MP4.

    Bytes repeat: one thread, no encoder stamp, and no "mbtree", whose look-ahead reads memory that
    x264 has not set.
    """
    with av.open(str(path), "w", options={"fflags": "+bitexact", "movflags": "+faststart"}) as out:
        stream = out.add_stream("libx264", rate=film.fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {
            "threads": "1",
            "preset": "veryfast",
            "crf": "20",
            "flags": "+bitexact",
            "x264-params": "mbtree=0",
        }
        for frame in film.frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())


# --- annotating ---


def annotate(film: Film, index: int, seed: int, path: Path) -> None:
    """Write the CVAT for video 1.1 dump of a person who drew key boxes on `film`.

    Every visible frame has a row, as in a real dump: `keyframe="1"` where a box was drawn, CVAT's
    linear interpolation elsewhere; an outside key ends each visible stretch before the film does.
    """
    rng = np.random.default_rng([seed, index, 1])
    root = ET.Element("annotations")
    _add(root, version="1.1")
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    when = "2026-01-01 12:00:00.000000+00:00"  # fixed: the same seed gives the same bytes
    _add(task, id=index + 1, name=film.name, size=FRAMES, mode="interpolation", overlap=5)
    _add(task, bugtracker="", created=when, updated=when, subset="default")
    _add(task, start_frame=0, stop_frame=FRAMES - 1, frame_filter="")
    labels = ET.SubElement(task, "labels")
    for name in LABELS:
        label = ET.SubElement(labels, "label")
        _add(label, name=name, color=_COLORS[name], type="rectangle", attributes="")
    _add(ET.SubElement(task, "original_size"), width=WIDTH, height=HEIGHT)
    _add(task, source=f"{film.name}.mp4")
    _add(root[1], dumped=when)
    for number, label_name in enumerate(film.labels):
        element = ET.SubElement(root, "track", id=str(number), label=label_name, source="manual")
        for first, last in _runs(film.seen[number]):
            _draw(element, film, number, first, last, rng)
    ET.indent(root)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    path.write_bytes(data + b"\n")


def _add(parent: ET.Element, **children: object) -> None:
    for tag, text in children.items():
        ET.SubElement(parent, tag).text = str(text)


def _draw(
    track_element: ET.Element,
    film: Film,
    number: int,
    first: int,
    last: int,
    rng: np.random.Generator,
) -> None:
    """Rows of one visible stretch."""
    limits = [WIDTH, HEIGHT, WIDTH, HEIGHT]
    drawn = np.clip(film.boxes[number] + rng.normal(0, _HAND, (FRAMES, 4)), 0, limits).round(2)
    on_step = [t for t in range(first, last + 1) if t % film.key_step == 0]
    keys = sorted({first, last, *on_step})
    times = np.arange(first, last + 1)
    while True:  # where the path bends, a person adds a key box
        shown = np.stack([np.interp(times, keys, drawn[keys, c]) for c in range(4)], axis=1)
        fit = _overlap(shown, film.boxes[number, first : last + 1])
        fit[np.array(keys) - first] = 1
        if fit.min() >= 0.8:
            break
        keys = sorted({*keys, int(times[fit.argmin()])})
    previous = first
    for t, box in zip(times.tolist(), shown, strict=True):
        previous = t if t in keys else previous
        _row(track_element, t, box, False, bool(film.occluded[number, previous]), t in keys)
    if last < FRAMES - 1:
        _row(track_element, last + 1, shown[-1], True, bool(film.occluded[number, previous]), True)


def _overlap(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union row by row."""
    size = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None)
    both = size.prod(axis=1)
    areas = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1)
    result: npt.NDArray[np.float64] = both / np.maximum(areas - both, 1e-9)
    return result


def _row(
    parent: ET.Element, frame: int, box: Array, outside: bool, occluded: bool, key: bool
) -> None:
    left, top, right, bottom = (f"{v:.2f}" for v in box)
    ET.SubElement(
        parent,
        "box",
        frame=str(frame),
        keyframe=str(int(key)),
        outside=str(int(outside)),
        occluded=str(int(occluded)),
        xtl=left,
        ytl=top,
        xbr=right,
        ybr=bottom,
        z_order="0",
    )
