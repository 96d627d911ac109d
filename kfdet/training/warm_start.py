"""Start from the weights of another training: take what fits, and name what does not.

A network consists of parts: backbone, decoder, heads. A part is taken over if every variable of it
is in the checkpoint, under the same name and with the same shape. In a head that knows classes, the
rows of labels that both networks know are copied, whatever their order; those of other labels
start fresh, and so does the whole output layer where the number of anchors per location differs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from kfdet.errors import InputError
from kfdet.events import emit, warn
from kfdet.training.checkpoints import DAMAGE
from kfdet.training.imagenet import backbone_values
from kfdet.training.weight_files import WeightFiles

Array = npt.NDArray[Any]

_BOX = 4
"""Numbers that place a box."""

_OUTPUT = re.compile(r"(?:^|/)(detection-)?(scores|boxes)(?:-\d+)?/(\w+)[^/]*$")
"""Variables of the last layers of Model Garden's heads that know classes."""


@dataclass
class Taken:
    """What a network took over from a checkpoint.

    Args:
        parts: Names of the parts that were taken over.
        unfit: Names of the parts that are saved, but do not fit.
        labels: Labels whose rows were copied, in the heads that know classes.
        variables: How many variables have values from the checkpoint, at least in some rows.
    """

    parts: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    variables: int = 0


@dataclass(frozen=True)
class _Classes:
    """The classes of the network and of the checkpoint; the background is class 0 of both.

    Args:
        count: How many the network has.
        saved: How many the checkpoint has; 0 where their labels are unknown.
        shared: Class ids (in the network, in the checkpoint) of what both know.
    """

    count: int
    saved: int
    shared: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, labels: Sequence[str], saved: Mapping[int, str]) -> _Classes:
        """The classes with these labels; those of the checkpoint by class id."""
        ids = {name: number for number, name in saved.items()}
        shared = [(i, ids[name]) for i, name in enumerate(labels, start=1) if name in ids]
        return cls(len(labels) + 1, max(saved, default=-1) + 1, ((0, 0), *shared))


def warm_start(
    model: Any,
    weights: WeightFiles,
    labels: Sequence[str],
    required: Collection[str] = (),
) -> Taken:
    """Read weights into `model`, part by part.

    Args:
        model: A detection model of Model Garden.
        weights: What to read.
        labels: Label names of the model, class id 1 first.
        required: Parts that must fit, because they will not be trained.

    Raises:
        InputError: No part of the checkpoint fits, or a required one does not.
    """
    saved = _saved_values(model, weights)
    classes = _Classes.of(labels, weights.labels)
    parts = _parts(model)
    taken = Taken()
    for name, part in parts.items():
        values = _fitting(part, saved, classes)
        if values is None:
            if any(variable.ref() in saved for variable in part.variables):
                taken.unfit.append(name)
            continue
        for variable, value in values:
            variable.assign(value)
            if _by_class(variable, classes):
                taken.labels = [labels[here - 1] for here, _ in classes.shared if here]
        taken.parts.append(name)
        taken.variables += len(values)
    if not taken.parts:
        raise InputError(
            "no part of these weights fits the network.",
            file=weights.source,
            hint="Use weights of the same network, or of one with the same backbone.",
        )
    for name in required:
        if name not in taken.parts:
            raise InputError(
                f"holds no {name} that fits, so that freezing it would keep random weights.",
                file=weights.source,
                hint="Choose other weights, or freeze less.",
            )
    total = sum(len(part.variables) for part in parts.values())
    _report(weights, labels, taken, total)
    return taken


def _report(weights: WeightFiles, labels: Sequence[str], taken: Taken, total: int) -> None:
    if taken.unfit:
        warn(f"{weights.source}: {', '.join(taken.unfit)} do not fit and start from random weights")
    message = (
        f"starting from {weights.source}: {', '.join(taken.parts)} "
        f"({taken.variables} of {total} variables)"
    )
    new = [label for label in labels if label not in taken.labels]
    if new and taken.parts != ["backbone"]:
        unknown = "" if weights.labels else ", because nothing beside the weights names theirs"
        message += f"; new labels: {', '.join(new)}{unknown}"
    emit("info", message=message)


def _parts(model: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for name, part in model.checkpoint_items.items():
        if isinstance(part, (list, tuple)):
            parts |= {f"{name}/{index}": each for index, each in enumerate(part)}
        else:
            parts[name] = part
    return parts


def _saved_values(model: Any, weights: WeightFiles) -> dict[Any, Array]:
    """Saved values, by reference to the variable that has the same place in `model`."""
    if weights.path.suffix == ".h5":
        return backbone_values(model.checkpoint_items["backbone"], weights.path)
    prefix = str(weights.path)
    try:
        view = tf.train.CheckpointView(prefix)
        reader = tf.train.load_checkpoint(prefix)
        graph = TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        matches = view.match(tf.train.Checkpoint(**model.checkpoint_items))
        return {
            found.ref(): reader.get_tensor(graph.nodes[node].attributes[0].checkpoint_key)
            for node, found in matches.items()
            if isinstance(found, tf.Variable) and graph.nodes[node].attributes
        }
    except DAMAGE as error:
        raise InputError(
            "is damaged, or not a checkpoint of TensorFlow 2.",
            file=weights.source,
            hint="Checkpoints of TensorFlow 1, such as those of its detection model zoo, do not "
            "fit.",
        ) from error


def _fitting(
    part: Any, saved: Mapping[Any, Array], classes: _Classes
) -> list[tuple[Any, Array]] | None:
    """The variables of a part that get a value, with that value; None where it does not fit."""
    values = []
    for variable in part.variables:
        value = saved.get(variable.ref())
        if value is not None and _by_class(variable, classes):
            value = _rows(variable, value, classes)
        elif value is not None and value.shape != variable.shape:
            value = None
        if value is not None:
            values.append((variable, value))
        elif not _OUTPUT.search(variable.name):
            return None
    return values


def _by_class(variable: Any, classes: _Classes) -> bool:
    """Whether the last axis of a variable has rows for each class."""
    found = _OUTPUT.search(variable.name)
    if not found or found[3] == "depthwise_kernel":
        return False
    # RetinaNet's boxes are those of its anchors; a second stage may place each class by itself
    two_stage, kind = bool(found[1]), found[2]
    return kind == "scores" or (two_stage and variable.shape[-1] == classes.count * _BOX)


def _rows(variable: Any, value: Array, classes: _Classes) -> Array | None:
    """The value of an output variable with the rows of the shared classes replaced.

    Args:
        variable: Its last axis is anchors x classes, or classes x 4 for boxes.
        value: That of the checkpoint.
        classes: Of both.

    Returns:
        None where the checkpoint has other anchors, or where its labels are unknown.
    """
    inner = _BOX if "boxes" in variable.name else 1
    outer = variable.shape[-1] // (classes.count * inner)
    fits = value.shape[:-1] == variable.shape[:-1]
    if not fits or not classes.saved or value.shape[-1] != outer * classes.saved * inner:
        return None
    rows = variable.numpy().reshape(-1, outer, classes.count, inner)
    there = value.reshape(-1, outer, classes.saved, inner)
    for here, other in classes.shared:
        rows[:, :, here] = there[:, :, other]
    return np.asarray(rows.reshape(variable.shape))
