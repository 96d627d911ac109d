"""What only a run on a cluster has: parameters of the pipeline, and what is compiled into it.

Nothing heavy is imported, so that `kfdet --help` stays quick.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from kfdet.errors import InputError

_SERVING = {"rich_help_panel": "Serving"}
_CLUSTER = {"rich_help_panel": "Cluster"}
_IMAGES = {"rich_help_panel": "Images"}

_QUANTITY = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")
"""What Kubernetes' ParseQuantity takes, without a sign; its Python client takes 4K and inf, too."""

BUCKET = "kfdet"
"""Where everything is kept unless somebody names another bucket."""


@dataclass(frozen=True, slots=True)
class ClusterParameters:
    """Parameters of the pipeline that a run on one machine leaves alone.

    Args:
        endpoint: Name of the InferenceService that serves the model if the verdict is good; empty:
            no deployment.
        canary_percent: Share of the requests that the new model gets beside the one before, where
            the cluster can split them; 0: all.
        model_root: Bucket path that keeps every deployed version; empty: models in the dataset's
            bucket.
        checkpoint_root: Bucket path that keeps checkpoints while training runs; empty: checkpoints
            in the dataset's bucket.
        tensorboard_root: Bucket path that gets TensorBoard logs while training runs; empty:
            tensorboard in the dataset's bucket.
        accelerator_type: Resource name of the GPUs that training asks for.
        accelerator_count: How many GPUs training asks for; 0: it runs on the CPU.
        node_selector: Labels of the nodes that training may run on, as JSON.
        tolerations: Taints that training tolerates, as a JSON list of Kubernetes tolerations.
        training_cpu: CPU cores that training requests.
        training_memory: Memory that training requests.
    """

    endpoint: str = field(default="", metadata={"metavar": "NAME", **_SERVING})
    canary_percent: int = field(default=0, metadata={"min": 0, "max": 99, **_SERVING})
    model_root: str = field(default="", metadata={"metavar": "URI", **_SERVING})
    checkpoint_root: str = field(default="", metadata={"metavar": "URI", **_CLUSTER})
    tensorboard_root: str = field(default="", metadata={"metavar": "URI", **_CLUSTER})
    accelerator_type: str = field(default="nvidia.com/gpu", metadata=_CLUSTER)
    accelerator_count: int = field(default=0, metadata={"min": 0, **_CLUSTER})
    node_selector: str = field(default="{}", metadata={"metavar": "JSON", **_CLUSTER})
    tolerations: str = field(default="[]", metadata={"metavar": "JSON", **_CLUSTER})
    training_cpu: str = field(default="1", metadata={"metavar": "CORES", **_CLUSTER})
    training_memory: str = field(default="4Gi", metadata={"metavar": "SIZE", **_CLUSTER})

    def check(self) -> None:
        """Find what would fail only when training starts or at the deployment.

        Raises:
            InputError: Names the parameter and what it should be.
        """
        if not 0 <= self.canary_percent < 100:
            raise InputError(
                f"the canary percent {self.canary_percent}: this is no share of the requests.",
                hint="Give 1 to 99, or 0 for all of them.",
            )
        if not isinstance(self.accelerator_count, int) or self.accelerator_count < 0:
            raise InputError(
                f"the accelerator count {self.accelerator_count}: this is no number of GPUs.",
                hint="Give a whole number, 0 for none.",
            )
        _check_quantity("training cpu", self.training_cpu, "500m or 2")
        _check_quantity("training memory", self.training_memory, "4Gi or 4G")
        _check_root("model root", self.model_root)
        _check_root("checkpoint root", self.checkpoint_root)
        _check_root("tensorboard root", self.tensorboard_root)
        self.arguments(BUCKET)

    def arguments(self, bucket: str) -> dict[str, Any]:
        """The parameters as keyword arguments of the pipeline.

        Args:
            bucket: Name of the bucket for what nobody has named a place of.

        Raises:
            InputError: Something is not the JSON it should be.
        """
        return {
            **asdict(self),
            "model_root": self.model_root or f"minio://{bucket}/models",
            "checkpoint_root": self.checkpoint_root or f"minio://{bucket}/checkpoints",
            "tensorboard_root": self.tensorboard_root or f"minio://{bucket}/tensorboard",
            # text, because KFP's driver reads a number in a pod's resources as nothing
            "accelerator_count": str(self.accelerator_count),
            "node_selector": _json("node selector", self.node_selector, {"disktype": "ssd"}),
            "tolerations": _json(
                "tolerations", self.tolerations, [{"key": "gpu", "operator": "Exists"}]
            ),
        }


@dataclass(frozen=True, slots=True)
class Compilation:
    """What is written into the pipeline's YAML instead of its defaults.

    Args:
        image: Image of the stages; empty: kfdet's own name for it.
        training_image: Image of the training stage; empty: kfdet's own name for it.
        tensorboard_image: Image of the TensorBoard that the run's page starts; empty: kfdet's own
            name for it.
        shared_memory: Size of /dev/shm of the training stage, which several GPUs share.
    """

    image: str = field(default="", metadata=_IMAGES)
    training_image: str = field(default="", metadata=_IMAGES)
    tensorboard_image: str = field(default="", metadata=_IMAGES)
    shared_memory: str = field(default="1Gi", metadata={"metavar": "SIZE", **_CLUSTER})

    def check(self) -> None:
        """Find what would compile and then stop KFP's driver.

        Raises:
            InputError: Names the parameter and what it should be.
        """
        _check_quantity("shared memory", self.shared_memory, "1Gi or 1G")


CLUSTER_DEFAULTS = ClusterParameters()
COMPILATION_DEFAULTS = Compilation()


def _check_quantity(name: str, text: str, example: str) -> None:
    if not _QUANTITY.fullmatch(text):
        raise InputError(
            f"the {name} {text!r}: this is no quantity as Kubernetes writes it.",
            hint=f"Write for example {example}.",
        )


def _check_root(name: str, uri: str) -> None:
    from kfdet.storage.address import BucketPath

    try:
        if uri:
            BucketPath.parse(uri)
    except InputError as error:
        raise InputError(f"the {name} {uri!r}: this is no bucket path.", hint=error.hint) from error


def _json(name: str, text: str, example: Any) -> Any:
    """The value of a JSON text, an object of texts or a list of objects as `example`."""
    hint = f"Write for example {json.dumps(example)}."
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"the {name} {text!r}: this is no JSON: {error}.", hint=hint) from error
    kind, member = (dict, str) if isinstance(example, dict) else (list, dict)
    members = value.values() if isinstance(value, dict) else value
    if not isinstance(value, kind) or not all(isinstance(each, member) for each in members):
        raise InputError(f"the {name} {text!r}: this is of the wrong kind.", hint=hint)
    return value
