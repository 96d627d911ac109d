"""What is compiled into the pipeline.

Nothing heavy is imported, so that `kfdet --help` stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kfdet.cluster.parameters import check_quantity
from kfdet.cluster.releases import (
    FIRST_WITH_COLLECTED,
    PIPELINES,
    Release,
    parse_release,
    write_release,
)
from kfdet.components.image import IMAGE, TENSORBOARD_IMAGE, TRAINING_IMAGE
from kfdet.errors import InputError
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

    kfp_version: str = parameter(
        "",
        "Cluster",
        "Version of Kubeflow Pipelines that will run the pipeline, such as 2.15.",
        metavar="VERSION",
        show_default=f"of the cluster that is asked, otherwise {write_release(PIPELINES.newest)}",
    )

    def check(self) -> None:
        """Find what would compile and then be refused by KFP or stop its driver.

        Raises:
            InputError: Names the parameter, and what it should be.
        """
        super().check()
        check_quantity("shared_memory", self.shared_memory, "1Gi or 1G")
        self.release()

    def release(self) -> Release:
        """The release of Kubeflow Pipelines to compile for.

        Raises:
            InputError: kfp_version is not a version, or one that cannot run the pipeline.
        """
        release = parse_release(self.kfp_version or write_release(PIPELINES.newest))
        if release is None:
            raise InputError(
                f"kfp_version must be a version such as 2.15, got {self.kfp_version!r}.",
                hint="kubectl -n kubeflow get deployment ml-pipeline -o wide shows it.",
            )
        if release < FIRST_WITH_COLLECTED:
            raise InputError(
                f"Kubeflow Pipelines {self.kfp_version} cannot run this pipeline: it cannot gather "
                "the artifacts of a loop (dsl.Collected).",
                hint=f"Upgrade it to {write_release(PIPELINES.oldest)} or newer, which is part of "
                "Kubeflow since 1.11.",
            )
        return release


COMPILATION_DEFAULTS = Compilation()
