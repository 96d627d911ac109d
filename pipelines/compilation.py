"""What is compiled into the pipeline.

Nothing heavy is imported, so that `kfdet --help` stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kfdet.cluster.parameters import check_quantity
from kfdet.components.image import IMAGE, TENSORBOARD_IMAGE, TRAINING_IMAGE
from kfdet.parameters import Settings, parameter

PipelineName = Literal["training", "sweep"]


@dataclass(frozen=True)
class Compilation(Settings):
    """What is compiled into the pipeline."""

    image: str = parameter(IMAGE, "Images", "Image of the stages.", metavar="IMAGE")
    training_image: str = parameter(
        TRAINING_IMAGE, "Images", "Image of the training stage.", metavar="IMAGE"
    )
    tensorboard_image: str = parameter(
        TENSORBOARD_IMAGE,
        "Images",
        "Image of the TensorBoard that the run's page starts.",
        metavar="IMAGE",
    )
    shared_memory: str = parameter(
        "1Gi",
        "Cluster",
        "Size of /dev/shm of the training stage, which several GPUs share.",
        metavar="SIZE",
    )

    parallel_trainings: int = parameter(
        0,
        "Cluster",
        "How many trainings of a sweep run at the same time; 0: as many as there is room for.",
        min=0,
    )

    def check(self) -> None:
        """Find what would compile and then stop KFP's driver.

        Raises:
            InputError: Names the parameter, and what it should be.
        """
        super().check()
        check_quantity("shared_memory", self.shared_memory, "1Gi or 1G")


COMPILATION_DEFAULTS = Compilation()
