"""The settings that a sweep trains: every combination of a grid, or some drawn at random."""

from __future__ import annotations

import itertools
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, get_type_hints

import numpy as np

from kfdet.errors import InputError
from kfdet.parameters import (
    DEFAULTS,
    ENDPOINT_START,
    Gate,
    Parameters,
    SweepSettings,
    TrainingSettings,
)

MOST_SETTINGS = 50
"""More iterations than that make a workflow that Kubernetes refuses to store."""

_TYPES = get_type_hints(TrainingSettings)
_FORM = "Write NAME=VALUE,VALUE such as learning_rate=0.004,0.008."
_RANGE = re.compile(r"(.+?)\.\.(.+)")
_READ = {int: int, float: float}
_KINDS = {int: "a whole number", float: "a number"}
_DRAWS_PER_SETTING = 100


@dataclass(frozen=True, slots=True)
class Axis:
    """The values of one parameter.

    Args:
        name: Name of the parameter.
        values: The values to try; of a range its ends.
        is_range: Whether everything between the two values may be drawn: numbers evenly on a
            logarithmic scale, whole numbers evenly.
    """

    name: str
    values: tuple[Any, ...]
    is_range: bool = False

    def draw(self, random: np.random.Generator) -> Any:
        """One value, of a range with three significant digits."""
        if not self.is_range:
            return self.values[random.integers(len(self.values))]
        low, high = self.values
        if isinstance(low, int):
            return int(random.integers(low, high, endpoint=True))
        value = math.exp(random.uniform(math.log(low), math.log(high)))
        return min(max(float(f"{value:.3g}"), low), high)


def swept_names(sweep: SweepSettings) -> list[str]:
    """Names of the parameters in which the trainings of a sweep differ.

    Raises:
        InputError: The grid is not one.
    """
    return [axis.name for axis in parse_grid(sweep.grid)]


def is_first(sweep: SweepSettings, used: Mapping[str, Any]) -> bool:
    """Whether a training is that of the first value of each parameter of a grid.

    Args:
        sweep: What the sweep compares; drawn settings have no order, and none is the first.
        used: What the training used: a fitted value in place of one that was left open.
    """
    if sweep.random:
        return False
    defaults = asdict(TrainingSettings())
    return all(
        used[axis.name] == axis.values[0]
        or (axis.values[0] == defaults[axis.name] and used[axis.name] not in axis.values)
        for axis in parse_grid(sweep.grid)
    )


def trainings(parameters: Parameters, sweep: SweepSettings | None) -> list[TrainingSettings]:
    """The settings of each training of a run: of the only one, or of those of a sweep.

    Raises:
        InputError: As for `expand`.
    """
    settings = parameters.part(TrainingSettings)
    return expand(sweep, settings, parameters.seed) if sweep else [settings]


def expand(sweep: SweepSettings, base: TrainingSettings, seed: int) -> list[TrainingSettings]:
    """The settings of each training of a sweep; the same input gives the same settings.

    Args:
        sweep: The grid, and how many settings are drawn from it.
        base: The parameters that the grid does not name.
        seed: Seed of the draw.

    Raises:
        InputError: The grid is not one, a value is out of its limits, or there are too few or too
            many settings.
    """
    sweep.check()
    base.check()
    axes = parse_grid(sweep.grid)
    for axis in axes:
        _check_given_once(axis, base)
        if axis.is_range and not sweep.random:
            raise InputError(
                f"{axis.name} has a range, from which values are drawn.",
                hint="Say how many settings with --random, or list the values: NAME=VALUE,VALUE.",
            )
    combined = _draw(axes, sweep.random, seed) if sweep.random else _combine(axes)
    names = [axis.name for axis in axes]
    settings = [replace(base, **dict(zip(names, values, strict=True))) for values in combined]
    for each in settings:
        replace(DEFAULTS, **asdict(each)).check()  # what does not go together, and missing files
    return settings


def parse_grid(text: str) -> list[Axis]:
    """The parameters of a grid with their values.

    Args:
        text: NAME=VALUE,VALUE or NAME=LOW..HIGH, several separated by spaces; quoted as in a shell.

    Raises:
        InputError: A parameter is unknown, not one of training or named twice, or its values are
            missing, not of its type or repeated.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"the grid {text!r} has an open quote.", hint=_FORM) from error
    if not words:
        raise InputError("the grid names no parameter.", hint=_FORM)
    axes = [_axis(word) for word in words]
    for axis in axes:
        if sum(axis.name == other.name for other in axes) > 1:
            raise InputError(
                f"the grid names {axis.name} twice.", hint=f"Put all of its values in one: {_FORM}"
            )
    return axes


def _axis(word: str) -> Axis:
    name, equals, text = word.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise InputError(f"the grid gives {word!r} no value.", hint=_FORM)
    _check_name(name)
    kind = _TYPES[name]
    found = _RANGE.fullmatch(text.strip()) if kind in _READ else None
    texts = list(found.groups()) if found else [part.strip() for part in text.split(",")]
    if not all(texts):
        raise InputError(f"the grid gives {name} no value, or an empty one.", hint=_FORM)
    values = tuple(_read(name, kind, part) for part in texts)
    for value in values:
        replace(TrainingSettings(), **{name: value}).check()
        if str(value).startswith(ENDPOINT_START):
            raise InputError(f"{value} cannot be in the grid.", hint="Give it with --pretrained.")
        if values.count(value) > 1:
            raise InputError(f"the grid gives {name} the value {value} twice.")
    if found and not 0 < values[0] < values[1]:
        raise InputError(
            f"the range of {name} must rise from above 0, got {text}.",
            hint="Write it as LOW..HIGH, such as 0.001..0.02.",
        )
    return Axis(name, values, bool(found))


def _read(name: str, kind: Any, text: str) -> Any:
    try:
        return _READ.get(kind, str)(text)
    except ValueError as error:
        raise InputError(f"{name} must be {_KINDS[kind]}, got {text!r}.") from error


def _check_name(name: str) -> None:
    """Refuse what is no parameter, and what decides more than how one training goes."""
    names = [each for each in _TYPES if each != "overrides"]
    if name in names:
        return
    if name == "overrides":
        reason = "it holds many settings. Give it once, with --overrides"
    elif name == "seed":
        reason = "it also decides which videos and frames evaluate"
    elif name in get_type_hints(Gate):
        reason = "it judges a detector and does not change its training"
    elif name in get_type_hints(Parameters):
        reason = "it decides what is in the records, which are made once for all trainings"
    else:
        similar = get_close_matches(name, names, 1)
        hint = f"Did you mean {similar[0]!r}?" if similar else f"There are {', '.join(names)}."
        raise InputError(f"there is no training parameter {name!r}.", hint=hint)
    raise InputError(f"{name} cannot be in the grid: {reason}.")


def _check_given_once(axis: Axis, base: TrainingSettings) -> None:
    default = next(each.default for each in fields(base) if each.name == axis.name)
    if getattr(base, axis.name) != default:
        option = f"--{axis.name.replace('_', '-')}"
        raise InputError(f"{axis.name} is given twice: with {option}, and in the grid.")


def _combine(axes: Sequence[Axis]) -> Iterator[tuple[Any, ...]]:
    _check_number(math.prod(len(axis.values) for axis in axes), "Draw some of them with --random.")
    return itertools.product(*(axis.values for axis in axes))


def _draw(axes: Sequence[Axis], wanted: int, seed: int) -> list[tuple[Any, ...]]:
    """Different settings in the order in which they were drawn."""
    _check_number(wanted, "Lower --random.")
    random = np.random.default_rng(seed)
    drawn: dict[tuple[Any, ...], None] = {}
    for _ in range(_DRAWS_PER_SETTING * wanted):
        drawn.setdefault(tuple(axis.draw(random) for axis in axes))
        if len(drawn) == wanted:
            return list(drawn)
    raise InputError(
        f"the grid has fewer than {wanted} different settings.",
        hint="Lower --random, or leave it out to train every combination.",
    )


def _check_number(settings: int, hint: str) -> None:
    if settings < 2:
        raise InputError("a sweep compares at least two settings, got 1.", hint="Name more.")
    if settings > MOST_SETTINGS:
        raise InputError(
            f"a sweep trains at most {MOST_SETTINGS} settings, got {settings}.", hint=hint
        )
