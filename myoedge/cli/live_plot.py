# SPDX-License-Identifier: Apache-2.0
"""Live plot of decisions in the terminal: one row per class over time, the score, and counters."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from myoedge.backends.packets import Decision, Record, Start, Status
from myoedge.cli.shell import Terminal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from myoedge.reports.packet_log import PacketLog

PICTURES_PER_S = 10
MOST_CLASSES = 16  # rows of the plot
LABEL_COLUMNS = 10
LEVELS = " ▁▂▃▄▅▆▇█"
PLAIN_LEVELS = " .:-=+*#@"  # for ASCII terminals


class DecisionPlot:
    """A text plot of the most recent decisions, one column each, as wide as the terminal."""

    def __init__(self, log: PacketLog, most_columns: int = 1024) -> None:
        self.log, self.classes, self.time_s = log, 1, 0.0
        self.shown: collections.deque[Decision] = collections.deque(maxlen=most_columns)
        self.status: Status | None = None

    def add(self, record: Record, time_s: float | None) -> None:
        """Add a record to the plot.

        time_s   its time in seconds; None for a broken frame
        """
        self.time_s = self.time_s if time_s is None else time_s
        match record:
            case Decision():
                self.shown.append(record)
                self.classes = max(self.classes, (record.class_index or 0) + 1)
            case Start():
                self.classes = max(record.classes, 1)
                self.shown.clear()
            case Status():
                self.status = record

    def lines(self, columns: int, is_ascii: bool = False) -> Iterator[tuple[str, int | None]]:
        """Yield the lines of the plot, each with the class whose colour it has."""
        levels = PLAIN_LEVELS if is_ascii else LEVELS
        shown = [*self.shown][-max(columns - LABEL_COLUMNS, 1) :]
        for row in range(min(self.classes, MOST_CLASSES)):
            marks = (levels[-1] if d.class_index == row else " " for d in shown)
            yield f"{f'class {row}':<{LABEL_COLUMNS}}{''.join(marks)}", row
        if self.classes > MOST_CLASSES:
            yield f"and {self.classes - MOST_CLASSES} classes more", None
        yield f"{'score':<{LABEL_COLUMNS}}{_bars([d.score for d in shown], levels)}", None
        marks = ("!" if d.flags else " " for d in shown)
        yield f"{'flags':<{LABEL_COLUMNS}}{''.join(marks)}", None
        yield self._counts(), None

    def _counts(self) -> str:
        from myoedge.reports.packet_log import open_channels

        lost = self.status.frames_lost if self.status else 0
        parts = [f"{self.time_s:.1f} s", f"{lost:,} samples lost"]
        parts.append(f"{self.log.lost:,} packets lost, {self.log.broken:,} damaged")
        if self.status and (channels := open_channels(self.status)):
            parts.append(f"electrodes open: {', '.join(map(str, channels))}")
        return ", ".join(parts)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the plot for rich."""
        from rich.text import Text

        for line, row in self.lines(options.max_width, not console.encoding.startswith("utf")):
            style = "" if row is None else f"color({row % 6 + 1})"
            yield Text(line, style, no_wrap=True, overflow="crop")


def _bars(values: list[int], levels: str) -> str:
    """Return one bar character per value, scaled from the smallest to the largest value."""
    low, high = min(values, default=0), max(values, default=0)
    scale = (len(levels) - 2) / max(high - low, 1)
    return "".join(levels[1 + round((value - low) * scale)] for value in values)


@contextmanager
def live_plot(
    terminal: Terminal, log: PacketLog
) -> Iterator[Callable[[Record, float | None], None]]:
    """Context manager that yields a function to add records to a plot, which is redrawn in the
    terminal.

    log   records so far
    """
    from rich.live import Live

    plot = DecisionPlot(log)
    with Live(plot, console=terminal.out, refresh_per_second=PICTURES_PER_S):
        yield plot.add
