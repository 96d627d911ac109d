from __future__ import annotations

import av
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from kfdet.video.jpeg import encode_frame, fit

WIDTH, HEIGHT = 192, 128
# ITU-T H.273 matrix coefficients: name, code, red and blue weights.
MATRICES = {
    "unspecified": (2, 0.299, 0.114),
    "BT.601": (6, 0.299, 0.114),
    "BT.709": (1, 0.2126, 0.0722),
    "BT.2020": (9, 0.2627, 0.0593),
}


def _colours() -> NDArray[np.float64]:
    """A smooth picture with strong colours, black, white and gray."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.stack(
        [
            128 + 127 * np.sin(x / 29),
            128 + 127 * np.cos(y / 23 + x / 61),
            128 + 127 * np.sin((x + y) / 37 + 1),
        ],
        axis=2,
    )
    rgb[:16, :64], rgb[:16, 64:128], rgb[:16, 128:] = 0, 255, 128
    return rgb.clip(0, 255)


def _frame(rgb: NDArray[np.float64], matrix: str, full: bool, pix_fmt: str) -> av.VideoFrame:
    """`rgb` in 4:2:0 by the formulas of ITU-R BT.601 with this matrix and range."""
    code, red, blue = MATRICES[matrix]
    y = rgb @ np.array([red, 1 - red - blue, blue])
    cb = (rgb[..., 2] - y) / (2 * (1 - blue))
    cr = (rgb[..., 0] - y) / (2 * (1 - red))
    luma, chroma, low = (1.0, 1.0, 0) if full else (219 / 255, 224 / 255, 16)
    halves = [
        (128 + chroma * p).reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3)) for p in (cb, cr)
    ]
    planes = [low + luma * y, *halves]
    flat = np.concatenate([p.round().clip(0, 255).astype(np.uint8).ravel() for p in planes])
    frame = av.VideoFrame.from_ndarray(flat.reshape(HEIGHT * 3 // 2, WIDTH), "yuv420p")
    frame.color_range, frame.colorspace = 2 if full else 1, code
    if pix_fmt != "yuv420p":
        span = frame.color_range
        frame = frame.reformat(format=pix_fmt, src_color_range=span, dst_color_range=span)
        frame.color_range, frame.colorspace = span, code
    return frame


def _psnr(jpeg: bytes, rgb: NDArray[np.float64]) -> float:
    error = simplejpeg.decode_jpeg(jpeg).astype(float) - rgb
    return float(10 * np.log10(255**2 / np.mean(error**2)))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "nv12"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_are_those_of_the_video(matrix: str, full: bool, pix_fmt: str) -> None:
    rgb = _colours()
    jpeg, *_ = encode_frame(_frame(rgb, matrix, full, pix_fmt), 0, 0, 95)
    assert _psnr(jpeg, rgb) > 36
    error = simplejpeg.decode_jpeg(jpeg).astype(float) - rgb
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.8


def test_planes_as_they_are_would_be_wrong() -> None:
    """The bound above is one that fails without the conversion."""
    rgb = _colours()
    frame = _frame(rgb, "BT.709", False, "yuv420p")
    frame.color_range, frame.colorspace = 2, 6
    jpeg, *_ = encode_frame(frame, 0, 0, 95)
    assert _psnr(jpeg, rgb) < 25


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gray"])
def test_frames_without_chroma_planes(pix_fmt: str) -> None:
    rgb = _colours() if pix_fmt == "rgb24" else np.repeat(_colours()[:, :, :1], 3, axis=2)
    picture = rgb if pix_fmt == "rgb24" else rgb[:, :, 0]
    frame = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(picture.round().astype(np.uint8)), pix_fmt
    )
    jpeg, width, height = encode_frame(frame, 0, 0, 95)
    assert (width, height) == (WIDTH, HEIGHT)
    assert _psnr(jpeg, rgb.round()) > 34


@pytest.mark.parametrize("matrix", ["BT.601", "BT.709"])
@pytest.mark.parametrize("rotation", [0, 90, 180])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (35, 21), (36, 21), (35, 22)])
def test_odd_sizes(matrix: str, rotation: int, width: int, height: int) -> None:
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (235, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace = MATRICES[matrix][0]
    jpeg, *size = encode_frame(frame, rotation, 0, 95)
    picture = simplejpeg.decode_jpeg(jpeg)
    expected = (height, width) if rotation == 90 else (width, height)
    assert tuple(size) == (picture.shape[1], picture.shape[0]) == expected
    assert picture.min() >= 253
    assert len({encode_frame(frame, rotation, 0, 95)[0] for _ in range(20)}) == 1


def test_same_frame_gives_same_bytes() -> None:
    frame = _frame(_colours(), "BT.709", False, "yuv420p")
    assert encode_frame(frame, 0, 100, 92) == encode_frame(frame, 0, 100, 92)


@pytest.mark.parametrize(
    ("size", "longest_side", "expected"),
    [
        ((640, 480), 0, (640, 480)),
        ((640, 480), 640, (640, 480)),
        ((640, 480), 320, (320, 240)),
        ((480, 640), 320, (240, 320)),
        ((1000, 1), 10, (10, 1)),
    ],
)
def test_fit(size: tuple[int, int], longest_side: int, expected: tuple[int, int]) -> None:
    assert fit(*size, longest_side) == expected
