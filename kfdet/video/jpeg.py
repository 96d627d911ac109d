"""Decoded video frames to JPEG without the detour over RGB.

A JPEG holds full-range BT.601 YCbCr (JFIF 1.02), with 4:2:0 chroma like most video; so the planes
of a frame need a linear map from the video's range and matrix, and nothing else.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

Plane = npt.NDArray[np.uint8]

_TURN = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}
# Red and blue luma weights by ITU-T H.273 matrix coefficients; BT.601 for all others, unspecified
# ones too, as FFmpeg and OpenCV have it.
_BT601 = (0.299, 0.114)
_WEIGHTS = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}


def fit(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """The size with the longest side shrunk to `longest_side` pixels; never grown; 0 keeps it."""
    longest = max(width, height)
    if not 0 < longest_side < longest:
        return width, height
    scale = longest_side / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def encode_frame(
    frame: VideoFrame, rotation: int, longest_side: int, quality: int
) -> tuple[bytes, int, int]:
    """Shrink, turn and encode one decoded frame; several threads may call it at once.

    Args:
        frame: The decoded frame.
        rotation: Degrees counter-clockwise that a viewer turns it: 0, 90, 180 or 270.
        longest_side: Pixels; 0 keeps the size.
        quality: JPEG quality, 1 to 100.

    Returns:
        The JPEG, its width and its height.
    """
    width, height = fit(frame.width, frame.height, longest_side)
    pixels = frame.format
    if pixels.is_rgb or pixels.has_palette or len(pixels.components) < 3:
        rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        rgb = turned(_shrunk(rgb, width, height), rotation)
        return _encode_rgb(rgb, quality), rgb.shape[1], rgb.shape[0]
    y, cb, cr = _planes(frame)
    sides = (width + 1) // 2, (height + 1) // 2
    y, cb, cr = _shrunk(y, width, height), _shrunk(cb, *sides), _shrunk(cr, *sides)
    y, cb, cr = full_range_bt601(y, cb, cr, _is_full_range(frame), int(frame.colorspace))
    y, cb, cr = (turned(plane, rotation) for plane in (y, cb, cr))
    if width % 2 or height % 2:
        # TurboJPEG reads such planes up to the next even size, beyond the end of their memory.
        data = _encode_rgb(_rgb(y, cb, cr), quality)
    else:
        data = simplejpeg.encode_jpeg_yuv_planes(y, cb, cr, quality=quality)
    return data, y.shape[1], y.shape[0]


def full_range_bt601(
    y: Plane, cb: Plane, cr: Plane, full: bool, matrix: int
) -> tuple[Plane, Plane, Plane]:
    """Map 4:2:0 planes to what a JPEG holds.

    Args:
        y: Luma, shape (H, W).
        cb: Blue difference, shape (ceil(H / 2), ceil(W / 2)).
        cr: Red difference, same shape.
        full: Whether the planes use 0..255 rather than 16..235 and 16..240 (ITU-T H.273).
        matrix: ITU-T H.273 matrix coefficients of the planes.
    """
    low, luma, chroma = (0.0, 1.0, 1.0) if full else (16.0, 255 / 219, 255 / 224)
    weights = _WEIGHTS.get(matrix, _BT601)
    if weights == _BT601:
        if full:
            return y, cb, cr
        shift = 128 - 128 * chroma
        return (
            _mix(y, luma, y, 0, -low * luma),
            _mix(cb, chroma, cb, 0, shift),
            _mix(cr, chroma, cr, 0, shift),
        )
    change = chroma * (_from_rgb(*_BT601) @ np.linalg.inv(_from_rgb(*weights)))[:, 1:]
    shifts = 128 - 128 * change.sum(axis=1)
    # Luma takes a little of each chroma: worked out at chroma's size, around 128, then doubled.
    height, width = y.shape
    correction = _mix(cb, change[0, 0], cr, change[0, 1], shifts[0])
    doubled = cv2.resize(correction, (2 * cb.shape[1], 2 * cb.shape[0]))[:height, :width]
    return (
        _mix(y, luma, np.asarray(doubled, np.uint8), 1, -low * luma - 128),
        _mix(cb, change[1, 0], cr, change[1, 1], shifts[1]),
        _mix(cb, change[2, 0], cr, change[2, 1], shifts[2]),
    )


def _from_rgb(red: float, blue: float) -> npt.NDArray[np.float64]:
    """The matrix from RGB to YCbCr with these luma weights (ITU-R BT.601, 2.5.1 and 2.5.2)."""
    y = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - y) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - y) / (2 * (1 - red))
    return np.stack([y, cb, cr])


def _mix(a: Plane, weight_a: float, b: Plane, weight_b: float, shift: float) -> Plane:
    """weight_a * a + weight_b * b + shift, rounded and kept within 0..255."""
    return np.asarray(cv2.addWeighted(a, weight_a, b, weight_b, shift), np.uint8)


def _planes(frame: VideoFrame) -> list[Plane]:
    """The 8-bit 4:2:0 planes of a YUV frame, as it is in range and matrix."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        span = ColorRange.JPEG if _is_full_range(frame) else ColorRange.MPEG
        frame = frame.reformat(
            format="yuv420p", src_color_range=span, dst_color_range=span, threads=1
        )
    return [
        np.ascontiguousarray(
            np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[
                :, : plane.width
            ]
        )
        for plane in frame.planes
    ]


def _rgb(y: Plane, cb: Plane, cr: Plane) -> Plane:
    """Full-range BT.601 4:2:0 planes as (H, W, 3) RGB."""
    height, width = y.shape
    size = 2 * cb.shape[1], 2 * cb.shape[0]
    red, blue = (cv2.resize(plane, size)[:height, :width] for plane in (cr, cb))
    return np.asarray(cv2.cvtColor(cv2.merge([y, red, blue]), cv2.COLOR_YCrCb2RGB), np.uint8)


def _encode_rgb(rgb: Plane, quality: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(rgb, quality=quality, colorsubsampling="420"))


def _is_full_range(frame: VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def _shrunk(plane: Plane, width: int, height: int) -> Plane:
    if plane.shape[:2] == (height, width):
        return plane
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def turned(plane: Plane, rotation: int) -> Plane:
    """The plane as a viewer sees it: turned by 0, 90, 180 or 270 degrees counter-clockwise."""
    return plane if rotation == 0 else np.asarray(cv2.rotate(plane, _TURN[rotation]), np.uint8)
