"""YAML as simple as the files that kfdet reads: refuses what makes a small file large or slow."""

from __future__ import annotations

import yaml

from kfdet.dataset.formats.limits import MAX_DEPTH, MAX_LABELS

_MOST_VALUES = 4 * MAX_LABELS


class _Simple(yaml.parser.Parser, yaml.composer.Composer):
    """Refuses aliases, depth and very many values with a YAMLError."""

    _depth = _values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._values += 1
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases (*)")
        if self._depth > MAX_DEPTH or self._values > _MOST_VALUES:
            raise yaml.YAMLError("it is nested too deep, or has too many values")
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class TextLoader(_Simple, yaml.BaseLoader):
    """Every value is text, as it is written."""


class SimpleLoader(_Simple, yaml.SafeLoader):
    """Numbers, dates, true and false are what YAML makes of them."""
