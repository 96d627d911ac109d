"""A model behind the limits: what both APIs call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kfdet.serving.admission import Admission
from kfdet.serving.limits import Limits
from kfdet.serving.metrics import Metrics
from kfdet.serving.model import Prediction, ServedModel, invalid
from kfdet.serving.picture_size import pixels_to_decode

_LARGE_BYTES = 4 << 20
_LARGE_COST = 8_000_000
_NETWORK_PIXELS = 1_000_000
"""The network takes about as long for a picture as the decoding of so many pixels."""
_PIECE = 4
"""Pictures that go through the network together; more are hardly faster on processors."""

Inputs = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for: arrays by input, the signature, and the outputs (empty: all)."""

    inputs: Inputs
    signature_name: str = ""
    wanted: Collection[str] = ()


class LimitedModel:
    """A model that takes no more memory and time for a request than the limits allow.

    Args:
        model: The model.
        limits: What a request may ask for.
    """

    def __init__(self, model: ServedModel, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.admission = Admission(limits)
        self.metrics = Metrics(model.name)

    def predict(self, size: int, read: Callable[[], Request]) -> Prediction:
        """Read a request and answer it, when its turn comes.

        Args:
            size: Bytes of the request, which tell how long `read` takes.
            read: Makes arrays of the request.

        Raises:
            ServingError: What `read` raises; INVALID_ARGUMENT, beyond a limit; RESOURCE_EXHAUSTED,
                too many requests wait; the model's own error.
        """
        if size > _LARGE_BYTES:
            with self.admission.request(large=True):
                with self.admission.turn(large=True, cost=size):
                    request = read()
                cost = self._cost(request)
                return self._run(request, large=True, cost=max(cost, size))
        request = read()
        cost = self._cost(request)
        large = cost > _LARGE_COST
        with self.admission.request(large=large):
            return self._run(request, large=large, cost=cost)

    def _cost(self, request: Request) -> int:
        """The pixels to be decoded, and those that the network's time is worth.

        Raises:
            ServingError: INVALID_ARGUMENT, beyond a limit.
        """
        rows = max((len(array) for array in request.inputs.values() if array.ndim), default=0)
        if rows > self.limits.batch:
            raise invalid(
                f"the batch is {rows:,}, at most {self.limits.batch:,} are accepted (--max-batch)"
            )
        pixels = sum(
            pixels_to_decode(value)
            for array in request.inputs.values()
            if array.dtype == object
            for value in array.ravel().tolist()
            if isinstance(value, bytes)
        )
        if pixels > self.limits.pixels:
            raise invalid(
                f"the pictures have {pixels / 1e6:,.1f} megapixels, at most "
                f"{self.limits.megapixels:,} in a request are accepted (--max-megapixels)"
            )
        return pixels + rows * _NETWORK_PIXELS

    def _run(self, request: Request, *, large: bool, cost: int) -> Prediction:
        found: list[Prediction] = []
        for inputs in self._pieces(request):
            with self.admission.turn(large=large, cost=cost):
                found.append(self.model.predict(inputs, request.signature_name, request.wanted))
        if len(found) == 1:
            return found[0]
        outputs = {
            name: np.concatenate([piece.outputs[name] for piece in found])
            for name in found[0].outputs
        }
        return Prediction(found[0].signature_name, outputs, sum(piece.seconds for piece in found))

    def _pieces(self, request: Request) -> Iterator[Inputs]:
        """The inputs, cut into few pictures at a time where the outputs have a row for each."""
        signature = self.model.signature(request.signature_name)
        pictures = request.inputs.get("image_bytes")
        if (
            pictures is None
            or len(request.inputs) > 1
            or pictures.ndim != 1
            or not all(_has_rows(output) for output in signature.outputs.values())
        ):
            yield request.inputs
            return
        for start in range(0, max(len(pictures), 1), _PIECE):
            yield {"image_bytes": pictures[start : start + _PIECE]}


def _has_rows(info: Any) -> bool:
    sizes = [dim.size for dim in info.tensor_shape.dim]
    return sizes[:1] == [-1]
