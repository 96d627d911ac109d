"""dataset.yaml: what a dataset itself says about its use, in the words of `DatasetSettings`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from kfdet.dataset.formats import yolo
from kfdet.dataset.formats.yamlfile import SimpleLoader
from kfdet.errors import InputError
from kfdet.parameters import DatasetSettings, join_list

SETTINGS_FILE = "dataset.yaml"
_LARGEST = 1 << 18
_SHOWN = 60

_KEYS = {each.name: each for each in fields(DatasetSettings)}


def read_settings(folder: Path) -> DatasetSettings:
    """The settings in a dataset's dataset.yaml; the defaults where there is none.

    A file of that name with YOLO's `names` is YOLO's, not ours.

    Raises:
        InputError: The file is not a mapping of known keys to values of the right kind, or one key
            is there twice.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file() or yolo.rank(path) is not None:
        return DatasetSettings()
    if path.stat().st_size > _LARGEST:
        raise InputError(f"is larger than {_LARGEST >> 10} KiB.", file=path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), SimpleLoader)
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text.", file=path) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            f"is not YAML: {getattr(error, 'problem', None) or error}.",
            file=path,
            line=mark.line + 1 if mark else None,
        ) from error
    values: dict[str, Any] = {}
    for key, node in _entries(root, path):
        try:
            values[key] = _value(key, node, path)
        except InputError as error:
            raise _at(error, path, node) from error
    settings = DatasetSettings(**values)
    try:
        settings.check()
    except InputError as error:
        raise InputError(error.problem, file=path, hint=error.hint) from error
    return settings


def _entries(root: yaml.Node | None, path: Path) -> Iterable[tuple[str, yaml.Node]]:
    """Keys and values of the file.

    Raises:
        InputError: It is not a mapping, or a key is unknown.
    """
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise InputError(
            "is not a mapping.", file=path, hint="Write keys and values, such as 'test: [garage*]'."
        )
    found: dict[str, yaml.Node] = {}
    for key, value in root.value:
        name = str(key.value)
        if name not in _KEYS:
            near = get_close_matches(name, _KEYS, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"there is no setting {name!r}.",
                file=path,
                line=key.start_mark.line + 1,
                hint=f"{hint}Settings: {', '.join(_KEYS)}.",
            )
        if name in found:
            raise InputError(f"{name} is there twice.", file=path, line=key.start_mark.line + 1)
        found[name] = value
    return found.items()


def _value(key: str, node: yaml.Node, path: Path) -> Any:
    """The value of a setting; of a list its text.

    Raises:
        InputError: It is of another kind.
    """
    if not _KEYS[key].metadata.get("multiple"):
        value: object = None
        if isinstance(node, yaml.ScalarNode):
            with suppress(yaml.YAMLError, AttributeError, KeyError, ValueError):
                value = SimpleLoader("").construct_object(node)
        if not isinstance(value, bool):
            shown = repr(str(node.value)[:_SHOWN])
            raise InputError(f"{key} must be true or false, got {shown}.")
        return value
    if isinstance(node, yaml.SequenceNode):
        return join_list(text for entry in node.value for text in _texts(key, entry))
    return join_list(_texts(key, node))


def _texts(key: str, node: yaml.Node) -> list[str]:
    """One entry of a list, or the entries of a mapping, whose keys may come twice.

    Raises:
        InputError: It holds another list.
    """
    if isinstance(node, yaml.ScalarNode):
        return [str(node.value)] if str(node.value) else []
    if isinstance(node, yaml.MappingNode) and key in ("rename", "ignore"):
        pairs = [(name, value) for name, value in node.value]
        if all(isinstance(each, yaml.ScalarNode) for pair in pairs for each in pair):
            return [f"{name.value}={value.value}" for name, value in pairs]
    example = {
        "rename": "'{old: new}'",
        "ignore": "'[difficult, occluded, label: crowd, region: \"garage*:0:0:640:80\"]'",
    }.get(key, "'[kitchen*, garage.mp4]'")
    raise InputError(f"{key} must be a list of texts.", hint=f"Write for example {example}.")


def _at(error: InputError, path: Path, node: yaml.Node) -> InputError:
    return InputError(error.problem, file=path, line=node.start_mark.line + 1, hint=error.hint)
