# SPDX-License-Identifier: Apache-2.0
"""Progress of long stages on stderr: a bar on a terminal, otherwise occasional lines, with a count
and the estimated remaining time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from myoedge.cli.shell import Terminal, console_of
from myoedge.system.progress import purpose_now, watched

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SHOWN_AFTER_S = 2.0  # stages that take longer are shown
LINE_INTERVAL_S = 10.0  # between lines without a terminal
LEAST_RATE_S = 1.0  # from the first count to an estimate


@dataclass(frozen=True)
class CountedRun:
    """A run of counted work: one pass over the samples, or one simulation.

    purpose   what it is for; "" if unknown
    first     number of units done at the first count
    first_s   time of that count
    """

    purpose: str
    first: int
    first_s: float

    def describe_left(self, done: int, total: int, now_s: float) -> str:
        """Describe the estimated remaining time, by the rate since the first count, as the first
        unit takes longer than others; "" before there is a rate, and at the end."""
        counted, elapsed_s = done - self.first, now_s - self.first_s
        if counted <= 0 or elapsed_s < LEAST_RATE_S or done >= total:
            return ""
        return f"about {max(round(elapsed_s / counted * (total - done)), 1)} s more"


class StageProgress:
    """Progress display of a verb: the name and number of each stage, and a count within stages
    longer than SHOWN_AFTER_S seconds.

    stages   names of the verb's stages in order; () if they are not known
    """

    def __init__(self, terminal: Terminal, name: str = "", stages: Sequence[str] = ()) -> None:
        self.terminal, self.name, self.stages = terminal, name, stages
        self.began_s = self.last_line_s = time.monotonic()
        self.run: CountedRun | None = None
        self.done = 0
        self.bar: Progress | None = None

    def stage(self, name: str) -> None:
        """Show the name of a stage as it starts, with its number: "3/8 measure"."""
        self.close()
        self.terminal.stage(f"{self._number(name)}{name}")
        self.name, self.run, self.done = name, None, 0
        self.began_s = self.last_line_s = time.monotonic()

    def _number(self, name: str) -> str:
        """Return the number of a stage, "3/8 ", the same in all builds and however often it comes;
        "" if the stage is not known."""
        known, _, _ = name.partition(":")  # "quantise: as before"
        if known not in self.stages:
            return ""
        return f"{self.stages.index(known) + 1}/{len(self.stages)} "

    def count(self, unit: str, done: int, total: int) -> None:
        """Show that `done` of `total` units are done; a smaller number than before, or another
        purpose, starts a new run."""
        now_s, purpose = time.monotonic(), purpose_now()
        if self.run is None or done < self.done or purpose != self.run.purpose:
            self.run = CountedRun(purpose, done, now_s)
        self.done = done
        if self.terminal.level < 0 or now_s - self.began_s < SHOWN_AFTER_S:
            return
        title = f"{self.name}, {purpose}" if purpose else self.name
        left = self.run.describe_left(done, total, now_s)
        if _console(self.terminal).is_terminal:
            self._show_bar(f"  {title}", f"{done:,}/{total:,} {unit}", left, done, total)
        elif now_s - self.last_line_s >= LINE_INTERVAL_S:
            self.last_line_s = now_s
            text = f"  {title}: {done:,} of {total:,} {unit}"
            self.terminal.progress(", ".join(filter(None, (text, left))))

    def _show_bar(self, title: str, count: str, left: str, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = _make_bar(_console(self.terminal))
            self.bar.start()
        if not self.bar.tasks:
            self.bar.add_task(title, count="", left="")
        task = self.bar.tasks[0].id
        self.bar.update(
            task, description=title, completed=done, total=total, count=count, left=left
        )

    def close(self) -> None:
        """Remove the display from the terminal."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


@contextmanager
def stage_progress(
    terminal: Terminal, name: str = "", stages: Sequence[str] = ()
) -> Iterator[StageProgress]:
    """Context manager that shows the progress of counted work.

    name     first stage, which is not printed
    stages   names of all stages in order; () if they are not known
    """
    progress = StageProgress(terminal, name, stages)
    try:
        with watched(progress.count):
            yield progress
    finally:
        progress.close()


def _console(terminal: Terminal) -> Console:
    return console_of(color=terminal.color, to_stderr=True)


def _make_bar(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[left]}"),
    )
    return Progress(*columns, console=console, transient=True)
