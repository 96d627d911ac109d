"""A dataset of pictures with coloured blobs in COCO's format, and the right answers to it."""

from __future__ import annotations

import json
from pathlib import Path

from support import blob_detector as blobs

SCENES = blobs.scenes()[:12]


def write_blob_dataset(folder: Path) -> Path:
    """Write images/ and annotations/instances.json; ids do not begin at 1, labels not at id 1."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images, annotations = [], []
    for number, scene in enumerate(SCENES):
        (folder / "images" / f"{number:02d}.jpg").write_bytes(blobs.draw(scene, number))
        size = {"width": blobs.STORED[0], "height": blobs.STORED[1]}
        images.append({"id": 70 + number, "file_name": f"{number:02d}.jpg", **size})
        for blob in scene:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 70 + number,
                    "category_id": 10 + blob.label,
                    "bbox": bbox(blob),
                }
            )
    categories = [{"id": 11 + k, "name": name} for k, name in enumerate(blobs.LABELS[:2])]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances.json").write_text(json.dumps(content))
    return folder


def bbox(blob: blobs.Blob) -> list[float]:
    """x, y, width, height in pixels of the stored picture."""
    left, top, right, bottom = (side / 2 for side in blob.box)
    return [left, top, right - left, bottom - top]


def right_results(**more: object) -> list[dict[str, object]]:
    """COCO results that find everything."""
    return [
        {
            "image_id": 70 + number,
            "category_id": 10 + blob.label,
            "bbox": bbox(blob),
            "score": 0.9,
            **more,
        }
        for number, scene in enumerate(SCENES)
        for blob in scene
    ]
