# SPDX-License-Identifier: Apache-2.0
"""The command `myoedge monitor`, with a live plot in the terminal: one row per class over time, the
score, and counters."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from myoedge.backends.packets import Decision, Packet, Record, Start, Status
from myoedge.catalogue import warning
from myoedge.cli.shell import Terminal, common, warn
from myoedge.errors import MyoedgeError, command

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from myoedge.backends.build import Build
    from myoedge.extensions.sensor.packet_log import PacketLog


Sink = Callable[[Record, "float | None"], None]
FORMATS = (".npz", ".csv")  # file formats of --save


_baud_rate = click.option(
    "--baud-rate",
    type=click.IntRange(1),
    default=1_000_000,
    metavar="N",
    help="Baud rate of the port (default: 1000000, as in [sensor]).",
)


@click.command("monitor")
@click.argument("source", metavar="PORT|FILE")
@click.option(
    "--save", metavar="FILE", help="Write the packets at the end: .npz, or .csv with decisions."
)
@click.option(
    "--build", "folder", metavar="DIR", help="Name this build's classes, and compare its digest."
)
@click.option("--plot", is_flag=True, help="Plot classes and scores live in the terminal.")
@click.option("--lsl", is_flag=True, help="Forward decisions to the Lab Streaming Layer.")
@_baud_rate
@common
def monitor(
    terminal: Terminal,
    source: str,
    save: str | None,
    folder: str | None,
    plot: bool,
    lsl: bool,
    baud_rate: int,
) -> None:
    """Decode the packets of a sensor application and print them until Ctrl-C.

    PORT is the serial port that is wired to the UART of [sensor]; FILE contains bytes recorded from
    such a port. Times are seconds since the start of the application; a score is the integer of the
    largest output, and its class has a name with --build. --json prints a summary at the end.
    """
    from myoedge.api.models import load_build
    from myoedge.extensions.sensor import verbs
    from myoedge.extensions.sensor.packet_log import PacketLog

    _check_writable(save)
    build = None if folder is None else load_build(folder)
    log = PacketLog(names=() if build is None else build.class_names)
    sinks = [_make_network_check(build)] if build else []
    sinks += [_forward_packets(source)] if lsl else []
    try:
        # Ctrl-C is the usual way to end it
        with suppress(KeyboardInterrupt), _show_records(terminal, log, plot) as show:
            for record in verbs.monitor(source, baud_rate=baud_rate, warn=warn):
                time_s = log.add(record)
                for sink in (show, *sinks):
                    sink(record, time_s)
    except MyoedgeError:
        if log.packets:
            _write_and_summarise(terminal, log, save)
        raise
    _write_and_summarise(terminal, log, save)
    if save is None:
        terminal.next(*_next_steps(source, folder))


def _next_steps(source: str, folder: str | None) -> Iterator[str]:
    """Yield the next steps: the packets saved to a file, and the names of classes if no build is
    given."""
    named = () if folder is None else ("--build", folder)
    yield command("monitor", source, *named, "--save", "packets.npz")
    if not named:
        yield "# --build DIR: names of the build's classes"


def _check_writable(save: str | None) -> None:
    """Raise E220 or E281 for a file that cannot be written, before packets are received."""
    from myoedge.system.folder import check_file

    if save is None:
        return
    if Path(save).suffix not in FORMATS:
        raise click.UsageError(f"--save {save}: the name must end with {' or '.join(FORMATS)}.")
    check_file(Path(save))


def _make_network_check(build: Build) -> Sink:
    """Return a function that warns (W606) of start packets of another network than the build's."""

    def compare(record: Record, time_s: float | None) -> None:
        if not isinstance(record, Start):
            return
        expected = build.report["model"]["integer_digest"][: len(record.digest)]
        if record.digest != expected:
            facts = {"application": record.digest, build.folder.name: expected}
            warn(warning("W606", {"flash": command("flash", build.folder)}, facts))

    return compare


def _forward_packets(source: str) -> Sink:
    from myoedge.backends.packets import Decision
    from myoedge.extensions.sensor.packet_source import lsl_sender

    send = lsl_sender(source)

    def forward(record: Record, time_s: float | None) -> None:
        if isinstance(record, Decision) and time_s is not None:
            send(record, time_s)

    return forward


@contextmanager
def _show_records(terminal: Terminal, log: PacketLog, plot: bool) -> Iterator[Sink]:
    """Context manager that yields a function to show records: as lines, or in a live plot."""
    if plot:
        with live_plot(terminal, log) as show:
            yield show
        return
    last: dict[type, Packet] = {}

    def print_line(record: Record, time_s: float | None) -> None:
        from myoedge.extensions.sensor.packet_log import line_of

        if terminal.as_json:
            return
        text = line_of(record, time_s, last, log.names)
        if text is not None:
            terminal.text(text, soft_wrap=True)

    yield print_line


def _write_and_summarise(terminal: Terminal, log: PacketLog, save: str | None) -> None:
    """Write the file of packets, and print the summary."""
    from myoedge.extensions.sensor.packet_log import WRITERS
    from myoedge.system.folder import write_file

    if save is not None:
        write_file(Path(save), WRITERS[Path(save).suffix](log))
        terminal.progress(f"{len(log.packets):,} packets: {save}")
    if log.lost or log.broken:
        warn(warning("W604", {"lost": log.lost, "broken": log.broken}))
    terminal.json_printed("monitor/1", log.summary())


# --- live plot ------------------------------------------------------------------------------------


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
            name = self.log.class_name(row)[: LABEL_COLUMNS - 1]
            yield f"{name:<{LABEL_COLUMNS}}{''.join(marks)}", row
        if self.classes > MOST_CLASSES:
            yield f"and {self.classes - MOST_CLASSES} classes more", None
        # One bar character per value, scaled from the smallest to the largest value
        values = [d.score for d in shown]
        low, high = min(values, default=0), max(values, default=0)
        scale = (len(levels) - 2) / max(high - low, 1)
        bars = "".join(levels[1 + round((value - low) * scale)] for value in values)
        yield f"{'score':<{LABEL_COLUMNS}}{bars}", None
        marks = ("!" if d.flags else " " for d in shown)
        yield f"{'flags':<{LABEL_COLUMNS}}{''.join(marks)}", None
        yield self._count_records(), None

    def _count_records(self) -> str:
        from myoedge.extensions.sensor.packet_log import open_channels

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
