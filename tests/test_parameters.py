from __future__ import annotations

import inspect
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from kfdet.errors import InputError
from kfdet.parameters import (
    DEFAULTS,
    FrameSettings,
    Gate,
    Parameters,
    Settings,
    TrainingSettings,
    flatten,
    join_list,
    parse_deadline,
    parse_input_size,
    split_list,
)


def test_the_order_of_the_options() -> None:
    names = [field.name for field in fields(Parameters)]
    assert names[:2] == ["frame_rate", "every"]
    assert names[-2:] == ["against", "seed"]
    assert list(asdict(DEFAULTS)) == names


def test_every_parameter_is_explained() -> None:
    assert Parameters.__doc__
    for field in fields(Parameters):
        assert field.metadata["help"].endswith("."), field.name
        assert f"    {field.name}: {field.metadata['help']}" in Parameters.__doc__


def test_the_defaults_are_good() -> None:
    DEFAULTS.check()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"jpeg_quality": 120}, "jpeg_quality must be 1 to 100, got 120."),
        ({"steps": -1}, "steps must be at least 0, got -1."),
        ({"steps": 1.5}, "steps must be a whole number, got 1.5."),
        ({"steps": True}, "steps must be a whole number, got True."),
        ({"val_share": float("nan")}, "val_share must be 0.01 to 0.9, got nan."),
        ({"frame_rate": float("inf")}, "frame_rate must be a finite number, got inf."),
        ({"frame_rate": True}, "frame_rate must be a number, got True."),
        ({"seed": -1}, "seed must be at least 0, got -1."),
        ({"seed": 2**32}, "seed must be less than 4294967296, got 4294967296."),
        ({"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'."),
        (
            {"interpolation": "round"},
            "interpolation must be one of auto, linear, cubic, tracked, got 'round'.",
        ),
        ({"pretrained": Path("a")}, "pretrained must be text, got "),
        ({"input_size": "large"}, 'input size "large" is not HEIGHTxWIDTH.'),
        ({"deadline": "tonight"}, "deadline must be a time, got 'tonight'. Write for example 90m"),
        ({"deadline": "0h"}, "deadline must be a time"),
        ({"overrides": "a: ["}, "the overrides are not YAML"),
        ({"overrides": "a"}, "the overrides are not a YAML mapping."),
        ({"pretrained": "/absent"}, "/absent: no such checkpoint."),
    ],
)
def test_bad_values(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Parameters(**given).check()
    assert str(error.value).startswith(message)


def test_equal_settings_look_alike() -> None:
    assert repr(TrainingSettings(learning_rate=1)) == repr(TrainingSettings(learning_rate=1.0))
    assert repr(TrainingSettings(steps=300.0)) == repr(TrainingSettings(steps=300))  # type: ignore[arg-type]


def test_a_part() -> None:
    parameters = Parameters(jpeg_quality=80, seed=3)
    part = parameters.part(FrameSettings)
    assert part == FrameSettings(jpeg_quality=80)
    assert type(part) is FrameSettings


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", math.inf), ("90s", 90), ("90m", 5400), ("6h", 21600), ("1h30m", 5400)],
)
def test_parse_deadline(text: str, seconds: float) -> None:
    assert parse_deadline(text) == seconds


def test_parse_input_size() -> None:
    assert parse_input_size("96x128") == (96, 128)


def _plain(field: Any, kind: Any) -> tuple[Any, Any]:
    return kind, field.default


@pytest.mark.parametrize(
    ("args", "options", "wanted"),
    [
        ((), {}, (1, Gate(), "b")),
        ((2, 0.25), {"after": "c"}, (2, Gate(0.25), "c")),
        ((), {"max_false_positives": 1, "first": 5}, (5, Gate(max_false_positives=1.0), "b")),
    ],
)
def test_flatten(args: tuple[Any, ...], options: dict[str, Any], wanted: Any) -> None:
    def function(first: int = 1, gate: Gate = Gate(), after: str = "b") -> tuple[Any, ...]:  # noqa: B008
        """Return what is given.

        Args:
            gate: Replaced.
            after: Kept.
        """
        return first, gate, after

    flat = flatten(function, _plain)
    assert flat(*args, **options) == wanted
    assert list(inspect.signature(flat).parameters) == [
        *("first", "min_ap50", "min_recall", "max_false_positives", "promote", "against", "after"),
    ]
    assert inspect.signature(flat).return_annotation == tuple[Any, ...]
    lines = (inspect.getdoc(flat) or "").splitlines()
    assert [line.split(":")[0].strip() for line in lines[3:]] == [
        *("min_ap50", "min_recall", "max_false_positives", "promote", "against", "after"),
    ]
    with pytest.raises(TypeError):
        flat(gate=Gate())


def test_settings_without_fields() -> None:
    Settings().check()


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        (" , ", []),
        ("a", ["a"]),
        ("a, b c ,d*", ["a", "b c", "d*"]),
        ('"a, b",c', ["a, b", "c"]),
        ("a\nb", ["a", "b"]),
    ],
)
def test_lists(text: str, entries: list[str]) -> None:
    assert split_list(text) == entries
    assert split_list(join_list(entries)) == entries
