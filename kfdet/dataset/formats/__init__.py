"""One module per annotation format, reading and writing side by side."""

from typing import Literal

FormatName = Literal[
    "parquet",
    "cvat-video",
    "cvat-images",
    "voc",
    "coco",
    "yolo",
    "mot",
    "datumaro",
    "label-studio",
    "csv",
]
"""The formats by name; here, so that the command line's help need not import them."""
