"""Three places where progress appears: a terminal, a notebook's output cell, a log file."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

_BAR_WIDTH = 30
_NARROW_BAR_WIDTH = 10
_NARROW = 80
"""Columns; a narrower terminal gets shorter bars."""
_NARROWEST = 50
"""Columns; a narrower terminal gets no bars, so that their figures fit."""
_SHORTEST_NOTE = 10
_LOG_SECONDS = 30.0
"""Between two lines of a log about the same work."""
_REDRAW_SECONDS = 0.25
_NOTEBOOK_WIDTH = 100
_NOTEBOOK_HTML = '<pre style="white-space:pre-wrap;line-height:1.3">{code}</pre>'


@dataclass
class Bar:
    """One line of work that goes on: how much is done of how much, and since when.

    Args:
        title: What is done, as a person reads it.
        unit: What is counted; "" where nothing is.
        note: Free text, such as the loss.
    """

    title: str
    unit: str = ""
    done: float = 0.0
    total: float = 0.0
    note: str = ""
    started: float = field(default_factory=time.monotonic)
    _origin: float | None = None
    _pace: tuple[float, float] | None = None  # when the work was seen to move, and where it was

    @property
    def complete(self) -> bool:
        """Whether all of it is done."""
        return 0 < self.total <= self.done

    def update(self, done: float, total: float, note: str) -> None:
        """Take progress into account."""
        if done < self.done:  # the same work begins again, such as the next validation
            self.started, self._origin, self._pace = time.monotonic(), None, None
        self.done, self.total, self.note = done, total, note
        if self._origin is None:
            self._origin = done
        elif self._pace is None and done > self._origin:
            # what comes before, such as building a network, does not come again
            self._pace = (time.monotonic(), done)

    def elapsed(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self.started

    def remaining(self) -> float | None:
        """Seconds that the rest takes at the mean pace so far; None while that is not known."""
        if self._pace is None or not self.total or self.done <= self._pace[1]:
            return None
        spent = time.monotonic() - self._pace[0]
        return spent * (self.total - self.done) / (self.done - self._pace[1])

    def count(self) -> str:
        """How much is done of how much, with its unit."""
        if not self.unit:
            return ""
        if self.unit == "bytes":
            done, total = decimal(int(self.done)), decimal(int(self.total))
        else:
            done, total = f"{self.done:.0f}", f"{self.total:.0f}"
        count = f"{done}/{total}" if self.total else done
        return count if self.unit == "bytes" else f"{count} {self.unit}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _times(bar: Bar) -> str:
    """How long the work has taken, and how long the rest will take."""
    elapsed, remaining = bar.elapsed(), bar.remaining()
    return _clock(elapsed) if remaining is None else f"{_clock(elapsed)}, {_clock(remaining)} left"


def _table(bars: list[Bar], width: int) -> Table:
    """The bars, one per line of `width` columns: titles and notes are cut where space is short."""
    bar_width = _BAR_WIDTH if width >= _NARROW else _NARROW_BAR_WIDTH
    if width < _NARROWEST:
        bar_width = 0
    counts, times = [bar.count() for bar in bars], [_times(bar) for bar in bars]
    fixed = bar_width + sum(max(map(len, texts), default=0) for texts in (counts, times)) + 4
    title = min(max((len(bar.title) for bar in bars), default=0), max(width - fixed, 8))
    note = width - fixed - title
    cut: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
    table = Table.grid(
        Column(width=title, style="bold", **cut),
        *([Column(width=bar_width)] if bar_width else []),
        Column(justify="right", no_wrap=True),
        Column(no_wrap=True),
        *([Column(width=note, style="dim", **cut)] if note >= _SHORTEST_NOTE else []),
        padding=(0, 1, 0, 0),
    )
    for bar, count, clock in zip(bars, counts, times, strict=True):
        drawn = ProgressBar(bar.total or None, bar.done, width=bar_width, pulse=not bar.total)
        bars_cell = [drawn] if bar_width else []
        cells: list[RenderableType] = [bar.title, *bars_cell, count, clock, bar.note]
        plain = [Text(cell) if isinstance(cell, str) else cell for cell in cells]
        table.add_row(*plain[: len(table.columns)])
    return table


class TerminalView:
    """Bars at the bottom of a terminal, permanent lines above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: list[Bar] = []
        self._live = Live(
            console=console, get_renderable=self._draw, transient=True, refresh_per_second=8
        )

    def start(self) -> None:
        """Begin to draw; the bars move on by themselves."""
        self._live.start()

    def stop(self) -> None:
        """Remove the bars."""
        self._live.stop()

    def line(self, markup: str) -> None:
        """Print a permanent line above the bars, wrapped between words."""
        self._console.print(markup, highlight=False)

    def begin(self, title: str) -> None:
        """Nothing: the stage gets a bar."""

    def show(self, bars: list[Bar]) -> None:
        """Draw these bars from now on."""
        self._bars = bars

    def tick(self, bars: list[Bar]) -> None:
        """Nothing: the terminal is drawn several times a second."""

    def _draw(self) -> RenderableType:
        return _table(self._bars, self._console.width)


class NotebookView:
    """One output area of a notebook's cell: the permanent lines, and the bars below them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._bars: list[Bar] = []
        self._handle: Any = None
        self._drawn = 0.0

    def start(self) -> None:
        """Show an empty output area; IPython is there, because this runs in it."""
        from IPython.display import display

        self._handle = display(self._bundle(), raw=True, display_id=True)

    def stop(self) -> None:
        """Leave the permanent lines."""
        self._bars = []
        self._draw()

    def line(self, markup: str) -> None:
        """Add a permanent line."""
        self._lines.append(markup)
        self._draw()

    def begin(self, title: str) -> None:
        """Nothing: the stage gets a bar."""

    def show(self, bars: list[Bar]) -> None:
        """Draw the bars, unless that has just been done."""
        self._bars = bars
        if time.monotonic() - self._drawn >= _REDRAW_SECONDS:
            self._draw()

    def tick(self, bars: list[Bar]) -> None:
        """Let the clocks of the bars move on."""
        self.show(bars)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        """The output area as HTML and as text; without a line of its own where it is empty."""
        if not self._lines and not self._bars:
            return {"text/html": "", "text/plain": ""}
        console = Console(
            width=_NOTEBOOK_WIDTH,
            file=io.StringIO(),
            record=True,
            force_terminal=True,
            force_jupyter=False,
            color_system="truecolor",
            highlight=False,
        )
        for line in self._lines:
            console.print(line)
        if self._bars:
            console.print(_table(self._bars, _NOTEBOOK_WIDTH))
        html = console.export_html(inline_styles=True, code_format=_NOTEBOOK_HTML, clear=False)
        return {"text/html": html, "text/plain": console.export_text()}


class LogView:
    """Lines for a log file: where stages begin and end, and now and then how far they are."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = 0.0

    def start(self) -> None:
        """Start the clock."""
        self._said = time.monotonic()

    def stop(self) -> None:
        """Nothing is left to remove."""

    def line(self, markup: str) -> None:
        """Print a line as it is, however long."""
        self._said = time.monotonic()
        self._console.print(markup, highlight=False, soft_wrap=True)

    def begin(self, title: str) -> None:
        """Name the stage that starts."""
        self.line(f"  {title} ...")

    def show(self, bars: list[Bar]) -> None:
        """Nothing: progress is printed at intervals."""

    def tick(self, bars: list[Bar]) -> None:
        """Print how far the work is, when nothing has been printed for a while."""
        if time.monotonic() - self._said >= _LOG_SECONDS:
            for bar in bars:
                left = bar.remaining()
                parts = [bar.count(), f"{_clock(bar.elapsed())} so far"]
                parts += [f"{_clock(left)} left" if left is not None else "", bar.note]
                text = ", ".join(part for part in parts if part)
                self.line(f"  {escape(bar.title)}: {escape(text)}")
