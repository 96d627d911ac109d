"""What is compiled into the pipeline.

Nothing heavy is imported, so that `kfdet --help` stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kfdet.cluster.parameters import (
    ARCHITECTURE,
    check_quantity,
    parse_quantity,
    read_json_text,
)
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

_LEAST = {"stage_cpu": "500m", "stage_memory": "2Gi", "stage_disk": "1Gi"}

PipelineName = Literal["training", "sweep", "scoring"]


@dataclass(frozen=True)
class Compilation(Settings):
    """What is compiled into the pipeline."""

    image: str = parameter(IMAGE, "Images", "Image of the stages.", metavar="IMAGE")
    training_image: str = parameter(
        TRAINING_IMAGE, "Images", "Image of training and evaluation.", metavar="IMAGE"
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

    stage_cpu: str = parameter(
        "4",
        "Cluster",
        "CPU cores that a stage may use at most, and so its threads; training and evaluation have "
        "their own.",
        metavar="CORES",
    )
    stage_memory: str = parameter(
        "4Gi",
        "Cluster",
        "Memory that a stage may use at most; training and evaluation have their own.",
        metavar="SIZE",
    )
    stage_disk: str = parameter(
        "8Gi",
        "Cluster",
        "Disk of its node that a stage requests and may use at most, for copies of datasets, "
        "frames and records; training and evaluation take what there is.",
        metavar="SIZE",
    )
    scratch_size: str = parameter(
        "",
        "Cluster",
        "Size of a volume for the temporary files of each stage; empty: they are on the disk of "
        "its node.",
        metavar="SIZE",
    )
    scratch_class: str = parameter(
        "",
        "Cluster",
        "Storage class of that volume; empty: the cluster's default.",
        metavar="NAME",
    )
    stage_node_selector: str = parameter(
        f'{{"{ARCHITECTURE}": "amd64"}}',
        "Cluster",
        "Labels of the nodes that the stages may run on, as JSON; training and evaluation have "
        "their own.",
        metavar="JSON",
    )
    stage_tolerations: str = parameter(
        "[]",
        "Cluster",
        "Taints that the stages tolerate, as a JSON list; training and evaluation have their own.",
        metavar="JSON",
    )
    pull_secret: str = parameter(
        "",
        "Images",
        "Secret in the namespace of the runs with which their images are pulled; empty: none.",
        metavar="NAME",
    )

    parallel_trainings: int = parameter(
        0,
        "Cluster",
        "How many trainings of a sweep run at the same time; 0: as many as there is room for.",
        min=0,
    )

    notify_secret: str = parameter(
        "",
        "Cluster",
        "Secret with the address of a webhook, under the key url, that gets each run's result.",
        metavar="NAME",
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
        check_quantity("stage_cpu", self.stage_cpu, "500m or 2")
        check_quantity("stage_memory", self.stage_memory, "4Gi or 4G")
        check_quantity("stage_disk", self.stage_disk, "20Gi or 20G")
        for name, least in _LEAST.items():
            if parse_quantity(getattr(self, name)) < parse_quantity(least):
                raise InputError(
                    f"{name} must be at least {least}, which some stages request, "
                    f"got {getattr(self, name)!r}."
                )
        if self.scratch_size:
            check_quantity("scratch_size", self.scratch_size, "100Gi or 100G")
        elif self.scratch_class:
            raise InputError(
                "scratch_class is given, but no scratch_size.", hint="Write for example 100Gi."
            )
        self.node_labels()
        self.tolerations()
        self.release()

    def node_labels(self) -> dict[str, str]:
        """Labels of the nodes of the stages, without training and evaluation.

        Raises:
            InputError: They are not an object of texts as JSON.
        """
        return dict(
            read_json_text(
                "stage_node_selector", self.stage_node_selector, {"kubernetes.io/arch": "arm64"}
            )
        )

    def tolerations(self) -> list[dict[str, Any]]:
        """Taints that the stages, without training and evaluation, tolerate.

        Raises:
            InputError: They are not a list of objects as JSON, or have other fields.
        """
        example = [{"key": "batch", "operator": "Exists"}]
        found = list(read_json_text("stage_tolerations", self.stage_tolerations, example))
        known = {"key", "operator", "value", "effect", "tolerationSeconds"}
        for name in {name for each in found for name in each} - known:
            raise InputError(
                f"stage_tolerations: a toleration has no field {name!r}.",
                hint=f"Its fields are {', '.join(sorted(known))}.",
            )
        return found

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
