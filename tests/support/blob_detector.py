"""A real SavedModel that finds coloured blobs, and records with such blobs, made in seconds.

The model has the serving signature of an exported detector. It is right about everything it sees,
so every error in an evaluation is one that the records were made to provoke.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from support.record_folder import Labelled, write_records

from kfdet.files import write_zip
from kfdet.records.tfrecord import Example

LABELS = ["red", "green", "<b>blue</b> & co"]
COLORS = np.array([[220, 30, 30], [30, 200, 40], [40, 60, 230]], np.uint8)
STORED = (160, 120)
SOURCE = (320, 240)  # pictures were shrunk to half their size
VIDEO = 'videos/<i>a & "b"</i>.mp4'
FPS = 10.0
DETECTIONS = 100


@dataclass(frozen=True)
class Blob:
    """A coloured rectangle: what is drawn, and what the annotation says (class 1.. or None)."""

    box: tuple[int, int, int, int]  # source pixels, even
    color: int | None
    label: int | None


def save_blob_model(folder: Path, labels: Sequence[str] = LABELS) -> Path:
    """Write folder/1/saved_model.pb and model.json as the export stage does."""
    import tensorflow as tf

    class Finder(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def find(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            boxes, scores, classes, counts = tf.map_fn(
                self._one,
                image_bytes,
                fn_output_signature=(tf.float32, tf.float32, tf.int64, tf.int32),
            )
            names = tf.gather(tf.constant(["", *labels]), classes)
            return {
                "detection_boxes": boxes,
                "detection_scores": scores,
                "detection_classes": classes,
                "detection_class_names": names,
                "num_detections": counts,
            }

        def _one(self, encoded: tf.Tensor) -> tuple[tf.Tensor, ...]:
            image = tf.cast(tf.io.decode_image(encoded, 3, expand_animations=False), tf.float32)
            size = tf.cast(tf.shape(image)[:2], tf.float32)
            rows = []
            for color in COLORS.astype(np.float32):
                mask = tf.reduce_max(tf.abs(image - color), axis=2) < 60
                y = tf.cast(tf.where(tf.reduce_any(mask, 1))[:, 0], tf.float32)
                x = tf.cast(tf.where(tf.reduce_any(mask, 0))[:, 0], tf.float32)
                here = tf.reduce_sum(tf.cast(mask, tf.float32)) > 12
                box = [
                    tf.reduce_min(y) / size[0],
                    tf.reduce_min(x) / size[1],
                    (tf.reduce_max(y) + 1) / size[0],
                    (tf.reduce_max(x) + 1) / size[1],
                ]
                rows.append(tf.where(here, tf.stack(box), tf.zeros(4)))
            found = tf.stack(rows)
            # Larger blobs are surer, so that scores differ.
            area = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
            score = tf.where(area > 0, 0.5 + tf.sqrt(area), 0.0)
            order = tf.argsort(score, direction="DESCENDING")
            pad = DETECTIONS - len(COLORS)
            count = tf.reduce_sum(tf.cast(score > 0, tf.int32))
            real = tf.sequence_mask(count, len(COLORS), tf.int64)
            return (
                tf.pad(tf.gather(found, order), [[0, pad], [0, 0]]),
                tf.pad(tf.gather(score, order), [[0, pad]]),
                tf.pad((tf.cast(order, tf.int64) + 1) * real, [[0, pad]]),
                count,
            )

    module = Finder()
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": module.find})
    extra = folder / "1" / "assets.extra"
    extra.mkdir()
    (extra / "labels.txt").write_text("\n".join(labels) + "\n")
    description = {"network": "blobs", "labels": list(labels), "versions": {"kfdet": "0"}}
    (folder / "model.json").write_text(json.dumps(description))
    return folder


def scenes() -> list[list[Blob]]:
    """36 frames: good ones, background, and one of each error near the end."""
    frames = [
        [
            Blob((20 + 4 * i, 40, 80 + 4 * i, 120), 1, 1),
            Blob((200 - 4 * i, 130, 260 - 4 * i, 200), 2, 2),
        ]
        for i in range(24)
    ]
    frames += [[] for _ in range(6)]
    frames.append([Blob((100, 60, 160, 140), 1, None)])  # background taken for red
    frames.append([Blob((40, 40, 100, 100), 2, 3)])  # blue, called green
    frames.append([Blob((40, 40, 100, 100), None, 1)])  # invisible: missed
    frames.append([Blob((40, 40, 100, 100), 1, 1), Blob((200, 40, 300, 180), None, 1)])
    frames += [[Blob((200, 100, 280, 180), 2, 2)] for _ in range(2)]
    return frames


def draw(blobs: Sequence[Blob], frame: int) -> bytes:
    """The JPEG of one scene over a grey, noisy ground."""
    random = np.random.default_rng(frame)
    picture = random.integers(110, 140, (*STORED[::-1], 1), np.uint8).repeat(3, axis=2)
    for blob in blobs:
        if blob.color is not None:
            left, top, right, bottom = (v // 2 for v in blob.box)
            color = COLORS[blob.color - 1].tolist()
            cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), color, -1)
    data: bytes = simplejpeg.encode_jpeg(picture, quality=95, colorsubsampling="444")
    return data


def write_photo(path: Path, *colors: int, side: int = 40) -> Path:
    """A grey picture with a square of each of these colours of the blob detector."""
    picture = np.full((120, 160, 3), 120, np.uint8)
    for place, color in enumerate(colors):
        left = 5 + 50 * place
        picture[20 : 20 + side, left : left + side] = COLORS[color]
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])
    return path


def write_blob_records(
    folder: Path,
    frames: Sequence[Sequence[Blob]] | None = None,
    drawn_labels: Sequence[int] = (1, 2, 3),
) -> Path:
    """Write val records of `frames` (default: `scenes`) with all that the build stage writes.

    Boxes of other labels than `drawn_labels` are interpolated between keys 10 frames apart.
    """
    frames = scenes() if frames is None else frames
    pictures = [_labelled(frame, blobs, drawn_labels) for frame, blobs in enumerate(frames)]
    write_records(folder, pictures, LABELS, _dataset(frames))
    write_zip(folder / "samples.zip", {"00.jpg": draw(frames[0], 0)})
    return folder


def _labelled(frame: int, blobs: Sequence[Blob], drawn_labels: Sequence[int]) -> Labelled:
    labelled = [blob for blob in blobs if blob.label is not None]
    boxes = np.array([blob.box for blob in labelled], float).reshape(-1, 4)
    example = Example(
        source_id=101 + frame,
        filename=f"{VIDEO}/{frame:06d}.jpg",
        jpeg=draw(blobs, frame),
        width=STORED[0],
        height=STORED[1],
        boxes=boxes / np.array([*SOURCE, *SOURCE]),
        labels=[LABELS[blob.label - 1] for blob in labelled if blob.label],
        class_ids=np.array([blob.label for blob in labelled], np.int64),
        occluded=np.zeros(len(labelled), bool),
        truncated=np.zeros(len(labelled), bool),
    )
    return Labelled(
        example,
        video=VIDEO,
        frame=frame,
        source=SOURCE,
        drawn=[blob.label in drawn_labels for blob in labelled],
        tracks=range(len(labelled)),
        keys=[_keys(blob, frame, drawn_labels) for blob in labelled],
    )


def _keys(blob: Blob, frame: int, drawn_labels: Sequence[int]) -> tuple[int, int]:
    return (frame, frame) if blob.label in drawn_labels else (frame - 2, frame + 8)


def _dataset(frames: Sequence[Sequence[Blob]]) -> dict[str, object]:
    labels = Counter(LABELS[b.label - 1] for blobs in frames for b in blobs if b.label)
    boxes = labels.total()
    with_boxes = sum(any(blob.label for blob in blobs) for blobs in frames)

    def counts(factor: int) -> dict[str, object]:
        return {
            "examples": factor * len(frames),
            "frame": factor * with_boxes,
            "background": factor * (len(frames) - with_boxes),
            "crop": 0,
            "boxes": factor * boxes,
            "key_boxes": factor * min(boxes, 1),
            "interpolated_boxes": factor * max(boxes - 1, 0),
            "occluded_boxes": 0,
            "tracks": 3 * factor,
            "labels": {label: factor * labels[label] for label in LABELS},
        }

    percentiles = dict.fromkeys(("0", "5", "25", "50", "75", "95", "100"), 0.25)
    return {
        "name": "blobs",
        "labels": LABELS,
        "split": {
            "strategy": "video",
            "val_share": 0.2,
            "guard_seconds": 3.0,
            "seed": 0,
            "train_frames": 4 * len(frames),
            "val_frames": len(frames),
            "train_sources": ["videos/train.mp4"],
            "val_sources": [VIDEO],
        },
        "counts": {"train": counts(4), "val": counts(1)},
        "boxes": dict.fromkeys(
            ("width", "height", "area", "aspect", "boxes_per_image"), percentiles
        ),
        "sources": [
            {
                "name": name,
                "kind": "video",
                "frames": frames_of,
                "fps": FPS,
                "train": train,
                "val": val,
                "train_examples": 4 * len(frames) if train else 0,
                "val_examples": len(frames) if val else 0,
            }
            for name, frames_of, train, val in (
                ("videos/train.mp4", 200, [[0, 199]], []),
                (VIDEO, len(frames), [], [[0, len(frames) - 1]]),
            )
        ],
        "samples": [
            {
                "file": "00.jpg",
                "split": "val",
                "kind": "frame",
                "video": VIDEO,
                "frame": 0,
            }
        ],
    }


HISTORY = {
    "steps": [10, 20, 30, 40],
    "loss": [2.0, 1.0, 0.4, 0.1],
    "learning_rate": [0.1, 0.1, 0.1, 0.01],
    "val": [{"step": 20, "AP50": 0.4, "AP": 0.2}, {"step": 40, "AP50": 0.7, "AP": 0.4}],
    "network": "blobs",
    "parameters": {"batch_size": 8, "gpus": 0, "note": "<script>alert(1)</script>"},
    "seconds": 90.0,
    "stopped_early": "",
}
