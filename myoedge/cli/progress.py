# SPDX-License-Identifier: Apache-2.0
"""Progress of long stages on stderr: a bar on a terminal, otherwise occasional lines, with a count
and the estimated remaining time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from myoedge.cli.shell import Terminal
from myoedge.system.progress import watched

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SHOWN_AFTER_S = 2.0  # stages that take longer are shown
LINE_INTERVAL_S = 10.0  # between lines without a terminal


class StageProgress:
    """Progress display of a verb: the name of each stage, and a count within stages longer than
    SHOWN_AFTER_S seconds."""

    def __init__(self, terminal: Terminal, name: str = "") -> None:
        self.terminal, self.name, self.runs = terminal, name, 0
        self.began_s = self.run_began_s = self.last_line_s = time.monotonic()
        self.done = 0
        self.bar: Progress | None = None

    def stage(self, name: str) -> None:
        """Show the name of a stage as it starts."""
        self.close()
        self.terminal.stage(name)
        self.name, self.runs, self.done = name, 0, 0
        self.began_s = self.last_line_s = time.monotonic()

    def count(self, unit: str, done: int, total: int) -> None:
        """Show that `done` of `total` units are done; a smaller number than before starts a new
        run."""
        now_s = time.monotonic()
        if done < self.done or not self.runs:
            self.runs, self.run_began_s = self.runs + 1, now_s
        self.done = done
        if self.terminal.level < 0 or now_s - self.began_s < SHOWN_AFTER_S:
            return
        run = f", run {self.runs}" if self.runs > 1 else ""
        left_s = (now_s - self.run_began_s) / max(done, 1) * max(total - done, 0)
        left = f"about {max(round(left_s), 1)} s more" if done < total else ""
        if _console(self.terminal).is_terminal:
            self._show_bar(f"  {self.name}{run}", f"{done:,}/{total:,} {unit}", left, done, total)
        elif now_s - self.last_line_s >= LINE_INTERVAL_S:
            self.last_line_s = now_s
            text = f"  {self.name}{run}: {done:,} of {total:,} {unit}"
            self.terminal.progress(", ".join(filter(None, (text, left))))

    def _show_bar(self, title: str, count: str, left: str, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = _bar(_console(self.terminal))
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
def stage_progress(terminal: Terminal, name: str = "") -> Iterator[StageProgress]:
    """Context manager that shows the progress of counted work.

    name   first stage, which is not printed
    """
    progress = StageProgress(terminal, name)
    try:
        with watched(progress.count):
            yield progress
    finally:
        progress.close()


def _console(terminal: Terminal) -> Console:
    from rich.console import Console

    return Console(stderr=True, no_color=not terminal.color)


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[left]}"),
    )
    return Progress(*columns, console=console, transient=True)
