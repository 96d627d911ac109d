"""The largest pictures that are read: far above what cameras make, below what takes all memory."""

MAX_PICTURE_BYTES = 1 << 30
"""Of a file: more than it takes to hold MAX_PICTURE_PIXELS."""
MAX_PICTURE_PIXELS = 89_478_485
"""What Pillow decodes without a warning."""
