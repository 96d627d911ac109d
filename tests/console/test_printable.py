from __future__ import annotations

import io

import pytest
from rich.markup import escape
from rich.table import Table

from kfdet.console.printable import SafeConsole

HURTS = {
    "\x1b[2J": r"\x1b[2J",
    "\x1b]8;;http://x\x07": r"\x1b]8;;http://x\x07",
    "\r": r"\r",
    "\x07\x08": r"\x07\x08",
    "\x9b31m": r"\x9b31m",
    "\u202egpj": r"\u202egpj",
    "\udcff": r"\udcff",
    "größe": "größe",
    "写真": "写真",
}


@pytest.mark.parametrize(("text", "shown"), HURTS.items())
@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_obeyed(text: str, shown: str, terminal: bool) -> None:
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=terminal, color_system=None, highlight=False)
    console.print(f"[red]error:[/] {escape('a' + text)}.jpg", soft_wrap=True)
    table = Table("name")
    table.add_row(escape(f"b{text}"))
    console.print(table)

    assert f"a{shown}.jpg" in file.getvalue()
    assert f"b{shown}" in file.getvalue()
    assert text == shown or text not in file.getvalue()
    file.getvalue().encode()
