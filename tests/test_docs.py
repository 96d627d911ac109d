"""README, guide and CONTRIBUTING: links lead somewhere, commands exist, pictures are small."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import kfdet
from kfdet.cli import app

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
        *(REPOSITORY / "docs").glob("*.md"),
    ]
)
LARGEST_PICTURE = 150_000
"""Bytes: a page of the guide opens at once on a slow line."""


def ident(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@cache
def code(path: Path) -> tuple[str, str]:
    """The page's code (blocks and spans, one piece per line), and its prose without them."""
    blocks, spans, prose = [], [], []
    fenced = False
    for line in path.read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or re.match(r" {4,}\S", line):
            blocks.append(line.strip())
        else:
            spans += re.findall(r"`([^`]+)`", line)
            prose.append(re.sub(r"`[^`]+`", "", line))
    joined = re.sub(r" *\\\n", " ", "\n".join(blocks))
    return "\n".join([joined, *spans]), "\n".join(prose)


@cache
def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        assert linked.is_relative_to(REPOSITORY), target
        if anchor:
            assert anchor in anchors(linked), target


def test_every_page_of_the_guide_is_linked_from_its_index() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text()
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


def test_every_picture_is_small_and_used() -> None:
    text = "".join(page.read_text() for page in PAGES)
    pictures = [path for path in (REPOSITORY / "docs").iterdir() if path.suffix != ".md"]
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < LARGEST_PICTURE, picture.name
        assert picture.name in text, picture.name


# --- commands ---


@cache
def commands() -> dict[str, set[str]]:
    """Every command of kfdet with its options."""
    group: Any = typer.main.get_command(app)
    return {
        name: {
            option
            for parameter in command.build().params
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("-")
        }
        | {"-h", "--help"}
        for name, command in group.commands.items()
    }


def calls(text: str) -> Iterator[list[str]]:
    """The words of every call of kfdet; placeholders such as DATASET are words, too."""
    for line in text.splitlines():
        for call in re.findall(r"(?:^|[(|&] ?)kfdet (.+)", line):
            # What follows two spaces or a # explains the command.
            words = re.split(r" {2,}|\s#|[)|&]", call.strip())[0]
            yield shlex.split(words)


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_command_exists_with_its_options(page: Path) -> None:
    for name, *words in calls(code(page)[0]):
        if name.startswith("-"):
            assert name in {"--help", "--version"}, name
            continue
        assert name in commands(), name
        # `submit --pipeline scoring` has other options than `submit`
        called = max((each for each in commands() if {*each.split()} <= {name, *words}), key=len)
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= commands()[called], (called, options - commands()[called])


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_option_belongs_to_a_command(page: Path) -> None:
    known = set().union(*commands().values())
    for option in re.findall(r"(?m)^(--[a-z][a-z0-9-]*)", code(page)[0]):
        assert option in known, option


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_name_of_the_python_api_is_public(page: Path) -> None:
    used = {
        name
        for line in code(page)[0].splitlines()
        for name in re.findall(r"(?<![\w/.])kfdet\.([A-Za-z]\w*)\b(?!/)", line)
    }
    rooms = {path.stem for path in (REPOSITORY / "kfdet").iterdir()} | {"components", "pipelines"}
    assert used - rooms <= set(kfdet.__all__)


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text()))
    for target in re.findall(r"(?m)^make ([a-z0-9-]+)", code(page)[0]):
        assert target in targets, target
