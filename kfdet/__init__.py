"""kfdet: key frames in, a served object detector out."""

__version__ = "0.1.0"
