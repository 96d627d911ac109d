"""Annotation files with something wrong in them, from files that are right."""

from __future__ import annotations

import json
import random
import re
from typing import Any

WORDS = (
    *("", "x", "-1", "0", "1e999", "-1e308", "NaN", "nan", "Infinity", "9" * 20, "9" * 5000),
    *("null", "true", "[]", "{}", "\x00", "\ud800", "\u202e", "..", "../../x", "/x", "a" * 3000),
    *("1.5", "2147483648", "9223372036854775808", "-9223372036854775809", "0x1F", "²", "١٢"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf")),
    *("", "x", "7", "..", "../../x", "\ud800", "\x1b[2J", "a" * 3000),
    *([], [[]], [1], ["x"], {}, {"a": 1}, [None], [{}]),
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def mutated(content: bytes, rng: random.Random, json_text: bool) -> bytes:
    """`content` with one to three things wrong: bytes, numbers, words, parts or JSON values."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ways = [_flip, _cut, _repeat, _number, _word]
        if json_text:
            ways += [_value] * 6
        content = rng.choice(ways)(content, rng)
    return content


def _flip(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 3, 20))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _cut(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + (content[end:] if rng.random() < 0.7 else b"")


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start : start + rng.randrange(400)] * 2 + content[start:]


def _number(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "surrogateescape")
    found = list(_NUMBER.finditer(text))
    if not found:
        return content
    one = rng.choice(found)
    text = text[: one.start()] + rng.choice(WORDS) + text[one.end() :]
    return text.encode("utf-8", "surrogatepass")


def _word(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "surrogateescape")
    place = rng.randrange(len(text) + 1)
    return (text[:place] + rng.choice(WORDS) + text[place:]).encode("utf-8", "surrogatepass")


def _value(content: bytes, rng: random.Random) -> bytes:
    """Put another value, or none, in the place of one in a JSON text."""
    try:
        root = [json.loads(content)]
    except ValueError:
        return content
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        keys = range(len(node)) if isinstance(node, list) else list(node)
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], list | dict):
                collect(node[key])

    collect(root)
    node, key = rng.choice(places)
    if rng.random() < 0.2 and node is not root:
        del node[key]
    else:
        node[key] = rng.choice(VALUES)
    return json.dumps(root[0]).encode()
