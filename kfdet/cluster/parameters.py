"""What only a run on a cluster has: parameters of the pipeline that a local run ignores.

Nothing heavy is imported, so that `kfdet --help` stays quick.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from kfdet.errors import InputError
from kfdet.parameters import Settings, parameter

_QUANTITY = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")
"""What Kubernetes' ParseQuantity accepts, without a sign; its Python client accepts inf, too."""

_UNITS = {
    "": Decimal(1),
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    "k": Decimal(10) ** 3,
    **{unit: Decimal(10) ** (3 * i) for i, unit in enumerate("MGTPE", 2)},
    **{f"{unit}i": Decimal(1024) ** i for i, unit in enumerate("KMGTPE", 1)},
}

ARCHITECTURE = "kubernetes.io/arch"
"""The label of a node that names its processors; kfdet's images are for amd64."""

_ROOTS = ("model_root", "checkpoint_root", "tensorboard_root")

BUCKET = "kfdet"
"""Where everything is kept unless another bucket is named."""


def pipeline_root(bucket: str) -> str:
    """URI below which the stages of a run keep their artifacts.

    Of this scheme even where datasets are addressed as minio://: Kubeflow Pipelines' own store is
    its minio://, so kfdet's can be set up beside it (manifests/overlays/*/kfp-launcher.yaml).
    """
    return f"s3://{bucket}/runs"


@dataclass(frozen=True)
class ServingSettings(Settings):
    """How an endpoint is run; what is 0 or "" stays as it is."""

    replicas: str = parameter(
        "",
        "Serving",
        "Pods of the endpoint: a number, or MIN-MAX to follow the load (0-MAX with Knative only); "
        "empty: as it is, 1 at first.",
        metavar="NUMBER|MIN-MAX",
    )
    scale_target: int = parameter(
        0,
        "Serving",
        "Load of one pod at which another one starts: average CPU use in percent, with Knative "
        "requests at the same time; 0: KServe's default.",
        min=0,
    )
    serving_cpu: str = parameter(
        "",
        "Serving",
        "CPU cores that a pod of the endpoint requests; empty: as it is, at first what the "
        "ServingRuntime requests.",
        metavar="CORES",
    )
    serving_memory: str = parameter(
        "",
        "Serving",
        "Memory that a pod of the endpoint requests, which is its limit, too; empty: as "
        "serving_cpu.",
        metavar="SIZE",
    )
    knative: bool = parameter(
        False,
        "Serving",
        "Run a new endpoint with Knative, which can scale to zero, instead of a plain Deployment.",
    )

    def check(self) -> None:
        """Read every value.

        Raises:
            InputError: One of them has another form.
        """
        super().check()
        self.replica_range()
        for name, example in (("serving_cpu", "500m or 2"), ("serving_memory", "4Gi or 4G")):
            if getattr(self, name):
                check_quantity(name, getattr(self, name), example)

    def replica_range(self) -> tuple[int, int] | None:
        """The least and the greatest number of pods; None where none was asked for.

        Raises:
            InputError: `replicas` has another form.
        """
        if not self.replicas:
            return None
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", self.replicas.strip())
        least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 0 <= least <= most or most == 0:
            raise InputError(
                f"replicas must be a number of pods or MIN-MAX, got {self.replicas!r}.",
                hint="Write for example 2, or 1-5.",
            )
        return least, most


@dataclass(frozen=True)
class CheckedSettings(ServingSettings):
    """Those parameters of a cluster that the first stage of a run checks, as it gets them."""

    endpoint: str = parameter(
        "",
        "Serving",
        "Name of the InferenceService that serves the model if the verdict is good; empty: no "
        "deployment.",
        metavar="NAME",
    )
    serving_namespace: str = parameter(
        "",
        "Serving",
        "Namespace of the InferenceService; empty: that of the run.",
        metavar="NAME",
    )
    canary_percent: int = parameter(
        0,
        "Serving",
        "Percentage of the requests that the new model gets beside the current one, where the "
        "cluster can split them; 0: all.",
        min=0,
        max=99,
    )
    model_root: str = parameter(
        "",
        "Serving",
        "Bucket path that keeps every deployed version.",
        metavar="URI",
        show_default="models in the dataset's bucket",
    )
    model_registry: str = parameter(
        "",
        "Serving",
        "Address of the Kubeflow Model Registry that lists what is deployed; none: do not list it.",
        metavar="URL",
        show_default="that of the cluster, if it has one",
    )
    checkpoint_root: str = parameter(
        "",
        "Cluster",
        "Bucket path that keeps checkpoints while training runs.",
        metavar="URI",
        show_default="checkpoints in the dataset's bucket",
    )
    tensorboard_root: str = parameter(
        "",
        "Cluster",
        "Bucket path that gets TensorBoard logs while training runs.",
        metavar="URI",
        show_default="tensorboard in the dataset's bucket",
    )
    training_cpu: str = parameter(
        "1", "Cluster", "CPU cores that training and evaluation request.", metavar="CORES"
    )
    training_cpu_limit: str = parameter(
        "16",
        "Cluster",
        "CPU cores that training and evaluation may use at most, and so their threads.",
        metavar="CORES",
    )
    training_memory: str = parameter(
        "4Gi",
        "Cluster",
        "Memory that training and evaluation request, which is their limit, too.",
        metavar="SIZE",
    )

    def check(self) -> None:
        """Find what would fail only when training starts or at the deployment.

        Raises:
            InputError: Names the parameter, and what it should be.
        """
        super().check()
        check_quantity("training_cpu", self.training_cpu, "500m or 2")
        check_quantity("training_cpu_limit", self.training_cpu_limit, "500m or 2")
        check_quantity("training_memory", self.training_memory, "4Gi or 4G")
        if parse_quantity(self.training_cpu_limit) < parse_quantity(self.training_cpu):
            raise InputError(
                f"training_cpu_limit must be at least training_cpu, {self.training_cpu}, "
                f"got {self.training_cpu_limit!r}."
            )
        for name in _ROOTS:
            if "://" in getattr(self, name):  # on one machine they are folders
                _check_root(name, getattr(self, name))


@dataclass(frozen=True)
class Accelerators(Settings):
    """The nodes that training, evaluation and scoring run on."""

    accelerator_count: int = parameter(
        0,
        "Cluster",
        "How many GPUs training, or each group of a scoring, requests, and evaluation one of them; "
        "0: it runs on the CPU.",
        min=0,
    )
    accelerator_type: str = parameter(
        "nvidia.com/gpu",
        "Cluster",
        "Resource name of the GPUs that are requested.",
        metavar="NAME",
    )
    node_selector: str = parameter(
        f'{{"{ARCHITECTURE}": "amd64"}}',
        "Cluster",
        "Labels of the nodes that training, evaluation and scoring may run on, as JSON.",
        metavar="JSON",
    )
    tolerations: str = parameter(
        "[]",
        "Cluster",
        "Taints that training, evaluation and scoring tolerate, as a JSON list of Kubernetes "
        "tolerations.",
        metavar="JSON",
    )

    def check(self) -> None:
        """Read every value.

        Raises:
            InputError: One of them has another form.
        """
        super().check()
        self.node_arguments()

    def node_arguments(self) -> dict[str, Any]:
        """The choice of nodes as keyword arguments of a pipeline.

        Raises:
            InputError: A value is not the JSON that it should be.
        """
        return {
            # text, because KFP's driver reads a number in a pod's resources as nothing
            "accelerator_count": str(self.accelerator_count),
            "accelerator_type": self.accelerator_type,
            "node_selector": read_json_text(
                "node_selector", self.node_selector, {"disktype": "ssd"}
            ),
            "tolerations": read_json_text(
                "tolerations", self.tolerations, [{"key": "gpu", "operator": "Exists"}]
            ),
        }


@dataclass(frozen=True)
class ScoringPods(Settings):
    """How the files of a scoring are shared out on a cluster."""

    groups: int = parameter(
        4, "Scoring", "How many groups of files are scored side by side, at most.", min=1
    )
    scoring_cpu: str = parameter(
        "2",
        "Scoring",
        "CPU cores that each group requests, and may use at most.",
        metavar="CORES",
    )
    scoring_memory: str = parameter(
        "4Gi",
        "Scoring",
        "Memory that each group requests, which is its limit, too.",
        metavar="SIZE",
    )

    def check(self) -> None:
        """Read every value.

        Raises:
            InputError: One of them has another form.
        """
        super().check()
        check_quantity("scoring_cpu", self.scoring_cpu, "500m or 2")
        check_quantity("scoring_memory", self.scoring_memory, "4Gi or 4G")


@dataclass(frozen=True)
class ClusterParameters(Accelerators, CheckedSettings):
    """Parameters of the pipeline that a run on one machine ignores."""

    def check(self) -> None:
        """Find what would fail only when training starts or at the deployment.

        Raises:
            InputError: Names the parameter, and what it should be.
        """
        super().check()
        for name in _ROOTS:
            _check_root(name, getattr(self, name))

    def arguments(self, bucket: str) -> dict[str, Any]:
        """The parameters as keyword arguments of the pipeline.

        Args:
            bucket: Name of the bucket for everything whose place is not given.

        Raises:
            InputError: A value is not the JSON that it should be.
        """
        return {
            **asdict(self),
            "model_root": self.model_root or f"minio://{bucket}/models",
            "checkpoint_root": self.checkpoint_root or f"minio://{bucket}/checkpoints",
            "tensorboard_root": self.tensorboard_root or f"minio://{bucket}/tensorboard",
            **self.node_arguments(),
        }


CLUSTER_DEFAULTS = ClusterParameters()
SERVING_DEFAULTS = ServingSettings()


def check_quantity(name: str, text: str, example: str) -> None:
    """Refuse what is not a quantity as Kubernetes writes it.

    Raises:
        InputError: Names the parameter.
    """
    if not _QUANTITY.fullmatch(text):
        raise InputError(
            f"{name} must be a quantity as Kubernetes writes it, got {text!r}.",
            hint=f"Write for example {example}.",
        )


def parse_quantity(text: str) -> Decimal:
    """The number that a quantity of Kubernetes is."""
    found = _QUANTITY.fullmatch(text)
    assert found, text
    unit = found[2] or ""
    if unit[:1] in ("e", "E") and len(unit) > 1 and unit != "Ei":
        return Decimal(text)
    return Decimal(found[1]) * _UNITS[unit]


def _check_root(name: str, uri: str) -> None:
    from kfdet.storage.address import BucketPath

    try:
        if uri:
            BucketPath.parse(uri)
    except InputError as error:
        raise InputError(f"{name} must be a bucket path, got {uri!r}.", hint=error.hint) from error


def read_json_text(name: str, text: str, example: Any) -> Any:
    """The value of a JSON text: an object of texts or a list of objects, as `example` is.

    Raises:
        InputError: It is something else; names the parameter.
    """
    hint = f"Write for example {json.dumps(example)}."
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"{name} must be JSON, got {text!r}: {error}.", hint=hint) from error
    kind, member = (dict, str) if isinstance(example, dict) else (list, dict)
    members = value.values() if isinstance(value, dict) else value
    if not isinstance(value, kind) or not all(isinstance(each, member) for each in members):
        wanted = "an object of texts" if kind is dict else "a list of objects"
        raise InputError(f"{name} must be {wanted}, got {text!r}.", hint=hint)
    return value
