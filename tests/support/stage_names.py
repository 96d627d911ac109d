"""The stages of a run on one machine."""

STAGES = (
    "fingerprint",
    "planning",
    "interpolation",
    "frame_extraction",
    "negative_mining",
    "tfrecord_build",
    "training",
    "export",
    "evaluation",
)
