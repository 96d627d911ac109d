"""A SavedModel as TensorFlow Serving presents it: name, version, signatures and one call."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from kfdet.detection.saved_model import load_graph
from kfdet.errors import InputError, KfdetError

DEFAULT_SIGNATURE = "serving_default"
_BLANK_SIDE = 8


class ServingError(KfdetError):
    """A request that cannot be answered.

    Args:
        code: gRPC's status code; REST derives its own from it.
        message: What is wrong, in TensorFlow Serving's words where it has some.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> ServingError:
    """The error for a request that is wrong in itself."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The named outputs of one call, the signature that gave them and the model's own time."""

    signature_name: str
    outputs: dict[str, npt.NDArray[Any]]
    seconds: float

    @property
    def server_timing(self) -> str:
        """The time as the value of a Server-Timing header (https://www.w3.org/TR/server-timing/)."""
        return f"model;dur={self.seconds * 1000:.3f}"


class ServedModel:
    """One loaded version of a model; several threads may call it at once.

    Args:
        name: What requests call it.
        version: Its number.
        signatures: TensorFlow's SignatureDef of every signature, as the file has them.
        loaded: What `tf.saved_model.load` returned.
    """

    def __init__(self, name: str, version: int, signatures: Mapping[str, Any], loaded: Any) -> None:
        self.name, self.version, self.signatures = name, version, signatures
        self._loaded = loaded

    def check(self, name: str, version: int | None) -> None:
        """Make sure that a request means this model.

        Raises:
            ServingError: NOT_FOUND, another name or version.
        """
        if name != self.name or version not in (None, self.version):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}"
            )

    def signature(self, name: str) -> Any:
        """The SignatureDef `name`, the default one for "".

        Raises:
            ServingError: FAILED_PRECONDITION, there is none.
        """
        key = name or DEFAULT_SIGNATURE
        if key not in self.signatures:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.'
            )
        return self.signatures[key]

    def predict(
        self,
        inputs: Mapping[str, npt.NDArray[Any]],
        signature_name: str = "",
        wanted: Collection[str] = (),
    ) -> Prediction:
        """Call a signature.

        Args:
            inputs: An array for each input of the signature; strings as objects.
            signature_name: "" means the default one.
            wanted: Outputs to return; empty means all.

        Raises:
            ServingError: An unknown signature, input or output, or the model's own error.
        """
        import tensorflow as tf

        signature = self.signature(signature_name)
        _check_names(inputs.keys(), signature.inputs.keys())
        for name in wanted:
            if name not in signature.outputs:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"output tensor alias not found in signature: {name} Outputs expected to be "
                    f"in the set {{{','.join(sorted(signature.outputs))}}}.",
                )
        key = signature_name or DEFAULT_SIGNATURE
        started = time.perf_counter()
        try:
            answer = self._loaded.signatures[key](
                **{
                    name: tf.constant(value, tf.as_dtype(signature.inputs[name].dtype))
                    for name, value in inputs.items()
                }
            )
            # On the processor these arrays are the tensors' own memory.
            outputs = {name: answer[name].numpy() for name in wanted or answer}
        except tf.errors.OpError as error:
            raise ServingError(_CODES[error.error_code], _readable(error.message)) from error
        except (TypeError, ValueError) as error:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        return Prediction(key, outputs, time.perf_counter() - started)

    def warm_up(self) -> None:
        """Detect on a blank image: only TensorFlow's first call takes seconds."""
        import tensorflow as tf

        blank = tf.io.encode_png(np.zeros((_BLANK_SIDE, _BLANK_SIDE, 3), np.uint8)).numpy()
        signature = self.signatures.get(DEFAULT_SIGNATURE)
        if signature is None or list(signature.inputs) != ["image_bytes"]:
            return  # Another exporter's SavedModel; its inputs are unknown.
        with suppress(ServingError):
            self.predict({"image_bytes": np.array([blank], object)})


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def load_model(path: Path, name: str) -> ServedModel:
    """Load a SavedModel for serving.

    Args:
        path: The folder of one version, as `find_saved_model` finds it. Its name is the version
            where that is a number; else the version is 1.
        name: What requests will call it.

    Raises:
        InputError: It cannot be loaded.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

    loaded = load_graph(path, tags=["serve"])
    try:
        file = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except (DecodeError, OSError) as error:
        raise InputError(
            f"this SavedModel cannot be loaded: {error}.",
            file=path,
            hint="Export it again, or copy it whole.",
        ) from error
    (graph,) = [g for g in file.meta_graphs if set(g.meta_info_def.tags) == {"serve"}]
    # Copies: a part of a message keeps the whole of it in memory, the weights too.
    signatures = {
        key: meta_graph_pb2.SignatureDef.FromString(signature.SerializeToString())
        for key, signature in graph.signature_def.items()
    }
    return ServedModel(name, int(path.name) if path.name.isdigit() else 1, signatures, loaded)


def _check_names(sent: Collection[str], required: Collection[str]) -> None:
    extra, missing = sorted(set(sent) - set(required)), sorted(set(required) - set(sent))
    if extra or missing:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"input size does not match signature: Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}.",
        )


def _readable(message: str) -> str:
    """TensorFlow's message without the functions, nodes and stack traces around it."""
    text = message.split("\n\t [[", maxsplit=1)[0]
    text = re.sub(r"\{\{function_node .*?\}\}\s*|\s*\[Op:\w+\]", "", text)
    return text.strip().rsplit("\n", 1)[-1]
