"""TensorFlow Serving's JSON: tensors from a predict request, and the response to it.

The format is that of https://www.tensorflow.org/tfx/serving/api_rest: `instances` (one row per
example) or `inputs` (one tensor per input), binary strings as {"b64": ...}; an output whose name
ends in _bytes is binary. A response may hold NaN and Infinity as bare words, a request may not.
"""

from __future__ import annotations

import binascii
import itertools
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from kfdet.serving.limited import Request
from kfdet.serving.model import Prediction, ServedModel, invalid

Layout = Literal["row", "columnar"]

_MOST_DIMENSIONS = 32
_MOST_VALUES = 4_000_000
"""Of one request: a picture of 1,000x1,000 pixels as numbers. In memory each is many times as
large as in JSON."""
_SHOWN_PARTS, _SHOWN_LETTERS, _SHOWN_DEPTH = 5, 60, 3


def parse(body: bytes) -> Any:
    """The JSON value in `body`.

    Raises:
        ServingError: INVALID_ARGUMENT, it is not JSON, or has very many values.
    """
    # Those within strings, too; base64 has none of them.
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise invalid(f"JSON Parse error: more than {_MOST_VALUES:,} values")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error}") from error


def decode(value: Any, model: ServedModel) -> tuple[Request, Layout]:
    """The tensors in the parsed body of a request, and the layout that the response has, too.

    Args:
        value: What `parse` gave.
        model: Its signature has the names and types of the inputs.

    Raises:
        ServingError: The value does not follow the format.
    """
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {_shown(value)} Is not object")
    name = value.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    types = {key: info.dtype for key, info in model.signature(name).inputs.items()}
    if ("instances" in value) == ("inputs" in value):
        raise invalid("Expecting exactly one of 'inputs' or 'instances' keys")
    if "instances" in value:
        return Request(_from_rows(value["instances"], types), name), "row"
    return Request(_from_columns(value["inputs"], types), name), "columnar"


def encode(prediction: Prediction, layout: Layout) -> bytes:
    """The body of the response.

    Raises:
        ServingError: INVALID_ARGUMENT, outputs without a common batch size asked for in rows.
    """
    arrays = {name: _writable(name, array) for name, array in prediction.outputs.items()}
    body: dict[str, Any]
    if layout == "row":
        sizes = {array.shape[:1] for array in prediction.outputs.values()}
        if len(sizes) != 1 or sizes == {()}:
            raise invalid("the outputs have no common batch size: ask with 'inputs'")
        ((count,),) = sizes
        only = next(iter(arrays.values())) if len(arrays) == 1 else None
        body = {
            "predictions": [
                {name: array[row] for name, array in arrays.items()} if only is None else only[row]
                for row in range(count)
            ]
        }
    else:
        body = {"outputs": arrays if len(arrays) > 1 else next(iter(arrays.values()))}
    if all(_is_finite(array) for array in prediction.outputs.values()):
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(body, default=lambda array: array.tolist()).encode()


def _from_rows(rows: Any, types: Mapping[str, int]) -> dict[str, npt.NDArray[Any]]:
    if not isinstance(rows, list):
        raise invalid("Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid("No values in 'instances' array")
    named = [isinstance(row, dict) and not _is_base64(row) for row in rows]
    if not any(named):
        return {_only_input(types): _tensor(rows, _only_type(types))}
    if not all(named):
        raise invalid("'instances' must hold either objects or values, not both")
    for position, row in enumerate(rows):
        if row.keys() != types.keys():
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. JSON object: "
                f"{_shown(row)} keys must be equal to: {','.join(sorted(types))}"
            )
    return {name: _tensor([row[name] for row in rows], dtype) for name, dtype in types.items()}


def _from_columns(columns: Any, types: Mapping[str, int]) -> dict[str, npt.NDArray[Any]]:
    if not isinstance(columns, dict) or _is_base64(columns):
        return {_only_input(types): _tensor(columns, _only_type(types))}
    for name in types:
        if name not in columns:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _tensor(columns[name], dtype) for name, dtype in types.items()}


def _only_input(types: Mapping[str, int]) -> str:
    if len(types) != 1:
        raise invalid(f"expecting an object with the inputs {','.join(sorted(types))}")
    return next(iter(types))


def _only_type(types: Mapping[str, int]) -> int:
    return next(iter(types.values()))


def _tensor(value: Any, dtype: int) -> npt.NDArray[Any]:
    """The nested lists in `value` as an array; the first of each level sets the shape."""
    from tensorflow import as_dtype

    kind = as_dtype(dtype).as_numpy_dtype
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid(f"lists are nested {len(shape)} deep, a tensor is at most {_MOST_DIMENSIONS}")
    leaves: list[Any] = []
    _collect(value, shape, 0, np.dtype(kind), leaves)
    try:
        return np.array(leaves, kind).reshape(shape)
    except OverflowError as error:
        raise invalid(f"a number does not fit into {np.dtype(kind)}: {error}") from error


def _collect(
    value: Any, shape: list[int], level: int, dtype: np.dtype[Any], leaves: list[Any]
) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for item in value:
        _collect(item, shape, level + 1, dtype, leaves)


_ACCEPTED = {"f": (int, float), "i": (int,), "u": (int,), "b": (bool,), "O": (str,)}


def _leaf(value: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "O" and isinstance(value, dict):
        return _from_base64(value)
    accepted = _ACCEPTED.get(dtype.kind, ())
    if not isinstance(value, accepted) or isinstance(value, bool) != (dtype.kind == "b"):
        expected = "string" if dtype.kind == "O" else dtype.name
        raise invalid(f"JSON Value: {_shown(value)} is not of expected type: {expected}")
    return value.encode(errors="surrogatepass") if isinstance(value, str) else value


def _is_base64(value: Mapping[str, Any]) -> bool:
    return value.keys() == {"b64"} and isinstance(value["b64"], str)


def _from_base64(value: Mapping[str, Any]) -> bytes:
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        # As in TensorFlow Serving, padding may be missing, and lines may end anywhere.
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error


def _writable(name: str, array: npt.NDArray[Any]) -> Any:
    """The array as the JSON writer takes it."""
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array) if array.ndim else array[()]
    binary = name.endswith("_bytes")

    def text(value: Any) -> Any:
        if isinstance(value, list):
            return [text(item) for item in value]
        if binary:
            return {"b64": binascii.b2a_base64(value, newline=False).decode()}
        return value.decode(errors="replace")

    return text(array.tolist())


def _is_finite(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _shown(value: Any) -> str:
    """A JSON value for a message, not all of a picture or of a long list."""
    text = json.dumps(_shortened(value, _SHOWN_DEPTH))
    return text if len(text) <= 100 else text[:100] + "..."


def _shortened(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value[:_SHOWN_LETTERS]
    if isinstance(value, list | dict) and not depth:
        return "..."
    if isinstance(value, list):
        return [_shortened(item, depth - 1) for item in value[:_SHOWN_PARTS]]
    if isinstance(value, dict):
        items = itertools.islice(value.items(), _SHOWN_PARTS)
        return {key[:_SHOWN_LETTERS]: _shortened(item, depth - 1) for key, item in items}
    return value
