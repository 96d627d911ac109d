"""Draws the toys and the places of the sample dataset: everything comes from one seed.

A sprite is a float32 array (SPRITE, SPRITE, 4): red, green, blue premultiplied by alpha, 0..255,
and alpha 0..1. A scene's back is a uint8 RGB array (HEIGHT, WIDTH, 3), larger than a frame so that
the camera can move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]
Color = tuple[int, int, int]

SPRITE = 256
_BIG = 640  # sprites are drawn at this size, then reduced: that smooths their edges
WIDTH, HEIGHT = 800, 460
HORIZON = 178
_LIGHT = np.array([-0.48, -0.62, 0.62], np.float32)


# --- texture and light ---


def noise(rng: np.random.Generator, height: int, width: int, cell: int, octaves: int = 4) -> Image:
    """Smooth random float32 field (height, width), about -1..1; `cell` is the coarsest grain."""
    field = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        step = max(1, cell >> octave)
        grid = rng.standard_normal((height // step + 3, width // step + 3)).astype(np.float32)
        grown = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        field += grown[:height, :width] * 0.5**octave
    return field / 2


def _lit(mask: Image, color: Image, roundness: float, gloss: float) -> Image:
    """Shade a flat part as if its rim were rounded: RGBA, premultiplied, float32."""
    depth = np.clip(cv2.distanceTransform(mask, cv2.DIST_L2, 5) / roundness, 0, 1)
    height = cv2.GaussianBlur(roundness * np.sqrt(1 - (1 - depth) ** 2), (0, 0), 4)
    normal = np.dstack(
        [-cv2.Sobel(height, -1, 1, 0) / 8, -cv2.Sobel(height, -1, 0, 1) / 8, np.ones_like(height)]
    )
    return _paint(mask, color, normal, gloss)


def _paint(mask: Image, color: Image, normal: Image, gloss: float) -> Image:
    """Lambert shading with a highlight (Blinn-Phong, viewer along z) of `color` inside `mask`."""
    normal = normal / np.linalg.norm(normal, axis=2, keepdims=True)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    half = light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    diffuse = np.clip(normal @ light, 0, 1)[..., None]
    shine = np.clip(normal @ half, 0, 1)[..., None] ** 36
    rgb = np.clip(color * (0.34 + 0.82 * diffuse) + 255 * gloss * shine, 0, 255)
    alpha = (mask.astype(np.float32) / 255)[..., None]
    return np.concatenate([rgb * alpha, alpha], axis=2).astype(np.float32)


def _over(below: Image, above: Image) -> Image:
    """`above` over `below`, both premultiplied."""
    result: Image = above + below * (1 - above[..., 3:])
    return result


def _flat(color: Color, size: int = _BIG) -> Image:
    return np.broadcast_to(np.array(color, np.float32), (size, size, 3))


def _mask(draw: Callable[[Image], object], size: int = _BIG) -> Image:
    canvas = np.zeros((size, size), np.uint8)
    draw(canvas)
    return canvas


def _rounded(x0: int, y0: int, x1: int, y1: int, radius: int) -> Image:
    """Mask of a rectangle with round corners."""

    def draw(canvas: Image) -> None:
        cv2.rectangle(canvas, (x0 + radius, y0), (x1 - radius, y1), 255, -1)
        cv2.rectangle(canvas, (x0, y0 + radius), (x1, y1 - radius), 255, -1)
        for x in (x0 + radius, x1 - radius):
            for y in (y0 + radius, y1 - radius):
                cv2.circle(canvas, (x, y), radius, 255, -1)

    return _mask(draw)


def _disk(x: int, y: int, radius: int) -> Image:
    return _mask(lambda c: cv2.circle(c, (x, y), radius, 255, -1))


def _reduce(sprite: Image) -> Image:
    small: Image = cv2.resize(sprite, (SPRITE, SPRITE), interpolation=cv2.INTER_AREA)
    return small


# --- the cast ---


def mug(body: Color, band: Color) -> Image:
    """A mug with coffee in it and two bands around it."""
    y, x = np.mgrid[0:_BIG, 0:_BIG].astype(np.float32)
    handle = _mask(lambda c: cv2.ellipse(c, (430, 335), (98, 112), 0, -105, 105, 255, 50))
    sprite = _lit(handle, _flat(body), 26, 0.5)
    outline = np.array([[130, 130], [450, 130], [420, 545], [160, 545]])

    def walls(canvas: Image) -> None:
        cv2.fillPoly(canvas, [outline], 255)
        cv2.ellipse(canvas, (290, 545), (130, 45), 0, 0, 180, 255, -1)

    nx = np.clip((x - 290) / (160 - (y - 130) * 30 / 415), -0.999, 0.999)
    nz = np.sqrt(1 - nx**2)
    down = y - 50 * nz
    banded = (np.abs(down - 200) < 26) | (np.abs(down - 400) < 26)
    color = np.where(banded[..., None], _flat(band), _flat(body))
    normal = np.dstack([nx, np.full_like(nx, -0.12), nz])
    sprite = _over(sprite, _paint(_mask(walls), color, normal, 0.55))
    rim = _mask(lambda c: cv2.ellipse(c, (290, 130), (160, 52), 0, 0, 360, 255, -1))
    sprite = _over(sprite, _lit(rim, np.minimum(_flat(body) + 45, 255), 10, 0.3))
    inside = _mask(lambda c: cv2.ellipse(c, (290, 133), (142, 41), 0, 0, 360, 255, -1))
    sprite = _over(
        sprite,
        _paint(
            inside,
            _flat((150, 140, 132)) * (1.1 - nx[..., None] * -0.5),
            np.dstack([-nx, 0 * nx, nz + 0.3]),
            0,
        ),
    )
    coffee = _mask(lambda c: cv2.ellipse(c, (290, 146), (128, 27), 0, 0, 360, 255, -1))
    sprite = _over(sprite, _lit(coffee, _flat((84, 48, 26)), 6, 0.7))
    return _reduce(sprite)


def ball(first: Color, second: Color, panels: int, roll: float, tilt: float) -> Image:
    """A ball with `panels` panels in two colours, rolled by `roll`, tilted by `tilt` radians."""
    size = SPRITE
    y, x = (np.mgrid[0:size, 0:size].astype(np.float32) - size / 2 + 0.5) / (size * 0.47)
    inside = x**2 + y**2
    z = np.sqrt(np.clip(1 - inside, 0, 1))
    turned_x, turned_y = x * np.cos(roll) + y * np.sin(roll), -x * np.sin(roll) + y * np.cos(roll)
    axis_y, axis_z = (
        turned_y * np.cos(tilt) + z * np.sin(tilt),
        -turned_y * np.sin(tilt) + z * np.cos(tilt),
    )
    panel = np.floor((np.arctan2(turned_x, axis_y) / (2 * np.pi) + 0.5) * panels) % 2
    color = np.where(
        panel[..., None] == 0, np.array(first, np.float32), np.array(second, np.float32)
    )
    color = np.where((axis_z > 0.95)[..., None], np.array([245, 240, 225], np.float32), color)
    alpha = np.clip((1 - np.sqrt(inside)) * size * 0.47 + 0.5, 0, 1)
    normal = np.dstack([x, y, z + 1e-3])
    return _paint((alpha * 255).astype(np.uint8), color, normal, 0.7)


def robot(body: Color, trim: Color, eyes: Color) -> Image:
    """A toy robot: antenna, two shining eyes, a chest panel, arms and feet."""
    dark: Color = (52, 56, 66)
    sprite = np.zeros((_BIG, _BIG, 4), np.float32)
    parts: list[tuple[Image, Color, float, float]] = [
        (_mask(lambda c: cv2.line(c, (320, 120), (320, 45), 255, 12)), dark, 6, 0.2),
        (_disk(320, 40, 27), trim, 27, 0.8),
        (_rounded(285, 250, 355, 320, 10), dark, 12, 0.2),
        (_rounded(96, 318, 150, 468, 26), trim, 24, 0.4),
        (_rounded(490, 318, 544, 468, 26), trim, 24, 0.4),
        (_disk(123, 478, 36), dark, 30, 0.4),
        (_disk(517, 478, 36), dark, 30, 0.4),
        (_rounded(205, 500, 275, 590, 14), dark, 20, 0.2),
        (_rounded(365, 500, 435, 590, 14), dark, 20, 0.2),
        (_rounded(175, 560, 300, 622, 26), trim, 26, 0.4),
        (_rounded(340, 560, 465, 622, 26), trim, 26, 0.4),
        (_rounded(152, 298, 488, 530, 44), body, 44, 0.5),
        (_rounded(166, 100, 474, 275, 60), body, 52, 0.5),
        (_rounded(196, 140, 444, 222, 40), dark, 14, 0.5),
        (_disk(262, 181, 32), eyes, 40, 0.9),
        (_disk(378, 181, 32), eyes, 40, 0.9),
        (_rounded(206, 345, 434, 480, 18), (226, 228, 230), 10, 0.3),
        (_disk(250, 385, 20), (214, 50, 44), 18, 0.7),
        (_disk(306, 385, 20), (240, 190, 40), 18, 0.7),
        (_disk(362, 385, 20), (60, 170, 80), 18, 0.7),
        (_rounded(230, 428, 410, 460, 8), dark, 6, 0.2),
        (_rounded(240, 434, 330, 454, 6), trim, 6, 0.2),
    ]
    for mask, color, roundness, gloss in parts:
        sprite = _over(sprite, _lit(mask, _flat(color), roundness, gloss))
    return _reduce(sprite)


# --- places ---


@dataclass(frozen=True)
class Scene:
    """A place: `back` is painted behind everything, `front` (premultiplied RGBA) hides things."""

    back: Image
    front: Image


def _tint(color: Color, field: Image, strength: float) -> Image:
    result: Image = np.array(color, np.float32) * (1 + strength * field)[..., None]
    return result


def _lay(floor: Image) -> Image:
    """Lay a square texture down as a floor that recedes to the horizon."""
    side = floor.shape[0]
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    targets = np.array(
        [[-120, HORIZON], [WIDTH + 120, HORIZON], [WIDTH + 900, HEIGHT], [-900, HEIGHT]], np.float32
    )
    matrix = cv2.getPerspectiveTransform(corners, targets)
    ground: Image = cv2.warpPerspective(floor, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
    return ground


def _bricks(rng: np.random.Generator, color: Color, wide: int, high: int, joint: Color) -> Image:
    height, width = HORIZON, WIDTH
    y, x = np.mgrid[0:height, 0:width]
    row = y // high
    column = (x + (row % 2) * (wide // 2)) // wide
    tones = rng.normal(1, 0.09, (height // high + 2, width // wide + 3)).astype(np.float32)
    wall = _tint(color, noise(rng, height, width, 16) * 0.6, 0.22) * tones[row, column][..., None]
    in_joint = (y % high < 2) | ((x + (row % 2) * (wide // 2)) % wide < 2)
    return np.where(in_joint[..., None], np.array(joint, np.float32), wall)


def _planks(rng: np.random.Generator, color: Color, count: int) -> Image:
    side = 1024
    grain = cv2.resize(
        noise(rng, side // 16, side, 24), (side, side), interpolation=cv2.INTER_CUBIC
    )
    x = np.arange(side)
    plank = x * count // side
    tones = rng.normal(1, 0.1, count).astype(np.float32)[plank]
    wood = _tint(color, cv2.rotate(grain, cv2.ROTATE_90_CLOCKWISE), 0.2) * tones[None, :, None]
    wood[:, x * count % side < count * 2] *= 0.6
    return wood


def _tiles(rng: np.random.Generator, colors: tuple[Color, Color], count: int) -> Image:
    side = 1024
    y, x = np.mgrid[0:side, 0:side]
    odd = (y * count // side + x * count // side) % 2
    floor = np.where(
        odd[..., None] == 0, np.array(colors[0], np.float32), np.array(colors[1], np.float32)
    )
    return floor * (1 + 0.12 * noise(rng, side, side, 64))[..., None]


def _books(rng: np.random.Generator, wall: Image, x0: int, x1: int, base: int) -> None:
    x = x0
    while x < x1:
        wide, high = int(rng.integers(9, 22)), int(rng.integers(38, 64))
        color = rng.integers(40, 190, 3).astype(float)
        book = (
            np.broadcast_to(color, (high, wide, 3)) * np.linspace(1.15, 0.65, wide)[None, :, None]
        )
        book[6:9], book[-12:-9] = book[6:9] * 1.5, book[-12:-9] * 1.5
        wall[base - high : base, x : x + wide] = book[:, : max(0, WIDTH - x)]
        x += wide + int(rng.integers(0, 3))
    wall[base : base + 7, max(0, x0 - 8) : x1 + 26] = (96, 66, 40)


def _picture(rng: np.random.Generator, wall: Image, x: int, y: int, wide: int, high: int) -> None:
    wall[y : y + high, x : x + wide] = rng.integers(40, 90, 3)
    sky = _tint((150, 180, 205), noise(rng, high - 12, wide - 12, 48), 0.25)
    hills = np.cumsum(rng.normal(0, 1.2, wide - 12)) + (high - 12) * 0.6
    below = np.arange(high - 12)[:, None] > hills[None, :]
    sky[below] = _tint((92, 122, 74), noise(rng, high - 12, wide - 12, 12), 0.35)[below]
    wall[y + 6 : y + high - 6, x + 6 : x + wide - 6] = sky


def _leaves(
    rng: np.random.Generator, canvas: Image, x: int, y: int, count: int, reach: int
) -> None:
    """A tuft of leaves growing upward from (x, y), painted on a premultiplied RGBA canvas."""
    for _ in range(count):
        angle, length = rng.normal(0, 0.55), reach * rng.uniform(0.55, 1.0)
        along = np.linspace(0, 1, 14)
        bend = rng.normal(0, 0.5)
        xs = x + length * np.sin(angle + bend * along) * along + rng.normal(0, 4)
        ys = y - length * np.cos(angle + bend * along) * along
        half = length * 0.075 * np.sin(np.pi * np.clip(along + 0.08, 0, 1)) + 0.5
        points = np.concatenate([np.stack([xs - half, ys], 1), np.stack([xs + half, ys], 1)[::-1]])
        tone = rng.uniform(0.6, 1.2)
        color = (48 * tone, 118 * tone, 50 * tone, 1.0)
        cv2.fillPoly(canvas, [np.round(points * 8).astype(np.int32)], color, cv2.LINE_AA, 3)
        vein = np.round(np.stack([xs, ys], 1) * 8).astype(np.int32)
        cv2.polylines(
            canvas, [vein], False, (82 * tone, 150 * tone, 76 * tone, 1.0), 1, cv2.LINE_AA, 3
        )


def _block(canvas: Image, box: tuple[int, int, int, int], paint: Image) -> None:
    """Put an opaque, column-shaded thing into a premultiplied RGBA canvas."""
    x0, y0, x1, y1 = box
    shade = 0.6 + 0.55 * np.sin(np.linspace(0.25, np.pi, x1 - x0))[None, :, None]
    canvas[y0:y1, x0:x1, :3] = np.clip(paint[: y1 - y0, : x1 - x0] * shade, 0, 255)
    canvas[y0:y1, x0:x1, 3] = 1


def _finish(rng: np.random.Generator, wall: Image, floor: Image, front: Image) -> Scene:
    back = _lay(floor)
    back[:HORIZON] = wall
    back[HORIZON : HORIZON + 5] *= np.linspace(0.45, 0.95, 5)[:, None, None]
    back[HORIZON - 7 : HORIZON] *= 0.8
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    glow = 1.12 - 0.4 * np.hypot((x - WIDTH * rng.uniform(0.2, 0.8)) / WIDTH, (y - 120) / HEIGHT)
    back = back * (glow + 0.03 * noise(rng, HEIGHT, WIDTH, 128))[..., None]
    return Scene(np.clip(back, 0, 255).astype(np.uint8), front)


def kitchen(rng: np.random.Generator) -> Scene:
    """White tiles over a wooden worktop; a bottle and herbs in front."""
    wall = _bricks(rng, (206, 214, 214), 46, 46, (168, 172, 170))
    for x in (120, 150, 560, 600, 635):
        jar = rng.integers(60, 200, 3).astype(float)
        high = int(rng.integers(36, 66))
        wall[HORIZON - high : HORIZON, x : x + 24] = jar * np.linspace(1.2, 0.6, 24)[None, :, None]
        wall[HORIZON - high - 7 : HORIZON - high, x + 3 : x + 21] = (70, 60, 54)
    front = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    glass = _tint((52, 92, 62), noise(rng, 200, 34, 16), 0.12)
    _block(front, (250, 262, 284, 420), glass)
    _block(front, (261, 205, 273, 264), glass)
    _block(front, (250, 316, 284, 372), _tint((222, 210, 178), noise(rng, 60, 34, 8), 0.1))
    _leaves(rng, front, 640, 470, 26, 120)
    return _finish(rng, wall, _planks(rng, (178, 128, 82), 22), front)


def workshop(rng: np.random.Generator) -> Scene:
    """Brick wall and stained concrete; a pipe and a crate in front."""
    wall = _bricks(rng, (150, 84, 66), 38, 17, (150, 140, 130))
    wall[60:66, 90:330] = (70, 74, 80)
    for x in range(105, 320, 30):
        length = int(rng.integers(30, 70))
        wall[66 : 66 + length, x : x + 7] = rng.integers(60, 190, 3)
        wall[66 + length : 80 + length, x - 4 : x + 11] = (88, 92, 98)
    front = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    _block(front, (520, 0, 542, HEIGHT), _tint((92, 122, 132), noise(rng, HEIGHT, 22, 20), 0.12))
    _block(front, (120, 372, 262, 455), _planks(rng, (150, 112, 70), 40)[:90, :150])
    stains = 0.6 * noise(rng, 1024, 1024, 128, 4) + 0.5 * noise(rng, 1024, 1024, 10, 3)
    floor = _tint((126, 126, 122), stains, 0.26)
    return _finish(rng, wall, floor, front)


def garden(rng: np.random.Generator) -> Scene:
    """A hedge with blossoms over grass; tufts and a fence post in front."""
    wall = _tint((54, 92, 44), noise(rng, HORIZON, WIDTH, 20, 5), 0.7)
    for _ in range(90):
        spot = (int(rng.integers(0, WIDTH)), int(rng.integers(0, HORIZON)))
        petal = [(214, 120, 150), (226, 214, 190), (196, 84, 92)][rng.integers(3)]
        cv2.circle(wall, spot, int(rng.integers(2, 5)), petal, -1, cv2.LINE_AA)
    front = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    post = _planks(rng, (172, 158, 138), 40)[:400, :30]
    _block(front, (395, 240, 423, HEIGHT), post[:220])
    for x in (150, 210, 600, 670):
        _leaves(rng, front, x, 465, 16, 95)
    blades = noise(rng, 1024, 1024, 12, 3) + 0.5 * noise(rng, 1024, 1024, 96, 3)
    grass = _tint((92, 138, 62), blades, 0.34)
    return _finish(rng, wall, grass, front)


def study(rng: np.random.Generator) -> Scene:
    """Shelves with books over a patterned carpet; a stack of books and a pole in front."""
    wall = _tint((188, 170, 138), noise(rng, HORIZON, WIDTH, 64), 0.06)
    wall[:, np.arange(WIDTH) % 44 < 14] *= 0.88
    for base, start, end in ((84, 60, 330), (160, 60, 330), (112, 480, 720)):
        _books(rng, wall, start, end, base)
    _picture(rng, wall, 365, 34, 86, 66)
    front = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    for level in range(5):
        x, y = int(560 + rng.integers(-14, 14)), 440 - 22 * level
        tone = rng.integers(50, 190, 3).astype(float)
        _block(front, (x, y - 20, x + 120, y), np.broadcast_to(tone, (22, 120, 3)))
    _block(front, (262, 150, 282, HEIGHT), _planks(rng, (110, 72, 44), 60)[:320, :30])
    y, x = np.mgrid[0:1024, 0:1024]
    weave = ((x // 32 + y // 32) % 3).astype(np.float32) - 1
    carpet = _tint((104, 78, 118), weave * 0.5 + noise(rng, 1024, 1024, 8, 2) * 0.5, 0.3)
    return _finish(rng, wall, carpet, front)


def playroom(rng: np.random.Generator) -> Scene:
    """Plaster wall with pictures over a chequered floor; building blocks and a plant in front."""
    wall = _tint((172, 190, 208), noise(rng, HORIZON, WIDTH, 96), 0.07)
    for x in (70, 250, 520, 690):
        _picture(rng, wall, x, int(rng.integers(25, 60)), int(rng.integers(70, 96)), 74)
    front = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    for box, color in (
        ((180, 396, 232, 448), (206, 74, 62)),
        ((232, 404, 276, 448), (70, 120, 196)),
        ((196, 352, 240, 396), (232, 190, 66)),
    ):
        _block(front, box, _tint(color, noise(rng, 60, 60, 8), 0.07))
    _block(front, (490, 410, 560, HEIGHT), _tint((176, 96, 62), noise(rng, 60, 80, 16), 0.1))
    _leaves(rng, front, 525, 415, 34, 150)
    return _finish(rng, wall, _tiles(rng, ((206, 198, 180), (120, 134, 146)), 30), front)


SCENES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "garden": garden,
    "kitchen": kitchen,
    "playroom": playroom,
    "study": study,
    "workshop": workshop,
}
