"""The images the components run in; `kfdet compile --image` puts another one in their place.

Names without a registry: the cluster's own registry, or the node's image store, is put in front
when the pipeline is compiled.
"""

from kfdet import __version__

IMAGE = f"kfdet:{__version__}"
"""The stages that need no GPU."""

TRAINING_IMAGE = f"kfdet-training:{__version__}"
"""Training, which uses a GPU where there is one."""

TENSORBOARD_IMAGE = f"kfdet-tensorboard:{__version__}"
"""TensorBoard that reads logs from a bucket, for the page of a run."""
