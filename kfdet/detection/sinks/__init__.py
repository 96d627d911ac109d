"""Where detections go: drawn pictures and videos, tables, annotation files, a window."""
