# SPDX-License-Identifier: Apache-2.0
"""The command `myoedge monitor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from myoedge.cli.shell import Terminal, common, warn
from myoedge.errors import MyoedgeError, command, notice

if TYPE_CHECKING:
    from myoedge.backends.packets import Packet, Record
    from myoedge.reports.packet_log import PacketLog

Sink = Callable[["Record", "float | None"], None]
FORMATS = (".npz", ".csv")  # file formats of --save


@click.command("monitor")
@click.argument("source", metavar="PORT|FILE")
@click.option(
    "--save", metavar="FILE", help="Write the packets at the end: .npz, or .csv with decisions."
)
@click.option("--plot", is_flag=True, help="Plot classes and scores live in the terminal.")
@click.option("--lsl", is_flag=True, help="Forward decisions to the Lab Streaming Layer.")
@click.option(
    "--baud-rate",
    type=click.IntRange(1),
    default=1_000_000,
    metavar="N",
    help="Baud rate of the port (default: 1000000, as in [sensor]).",
)
@common
def monitor(
    terminal: Terminal, source: str, save: str | None, plot: bool, lsl: bool, baud_rate: int
) -> None:
    """Decode the packets of a sensor application and print them until Ctrl-C.

    PORT is the serial port that is wired to the UART of [sensor]; FILE contains bytes recorded from
    such a port. Times are seconds since the start of the application. --json prints a summary at
    the end.
    """
    from myoedge import api
    from myoedge.reports.packet_log import PacketLog

    _check_saving(save)
    log, forward = PacketLog(), _forwarding(source) if lsl else None
    try:
        # Ctrl-C is the usual way to end it
        with suppress(KeyboardInterrupt), _shown(terminal, log, plot) as show:
            for record in api.monitor(source, baud_rate=baud_rate, warn=warn):
                time_s = log.add(record)
                show(record, time_s)
                if forward is not None:
                    forward(record, time_s)
    except MyoedgeError:
        if log.packets:
            _finish(terminal, log, save)
        raise
    _finish(terminal, log, save)
    if save is None:
        terminal.next(command("monitor", source, "--save", "packets.npz"))


def _check_saving(save: str | None) -> None:
    """Raise E220 or E281 for a file that cannot be written, before packets are received."""
    from myoedge.system.folder import check_file

    if save is None:
        return
    if Path(save).suffix not in FORMATS:
        raise click.UsageError(f"--save {save}: the name must end with {' or '.join(FORMATS)}.")
    check_file(Path(save))


def _forwarding(source: str) -> Sink:
    from myoedge.backends.packet_source import lsl_sender
    from myoedge.backends.packets import Decision

    send = lsl_sender(source)

    def forward(record: Record, time_s: float | None) -> None:
        if isinstance(record, Decision) and time_s is not None:
            send(record, time_s)

    return forward


@contextmanager
def _shown(terminal: Terminal, log: PacketLog, plot: bool) -> Iterator[Sink]:
    """Context manager that yields a function to show records: as lines, or in a live plot."""
    if plot:
        from myoedge.cli.live_plot import live_plot

        with live_plot(terminal, log) as show:
            yield show
        return
    last: dict[type, Packet] = {}

    def print_line(record: Record, time_s: float | None) -> None:
        from myoedge.reports.packet_log import line_of

        text = line_of(record, time_s, last)
        if text is not None and not terminal.as_json:
            terminal.text(text, soft_wrap=True)

    yield print_line


def _finish(terminal: Terminal, log: PacketLog, save: str | None) -> None:
    """Write the file of packets, and print the summary."""
    from myoedge.reports.packet_log import WRITERS
    from myoedge.system.folder import write_file

    if save is not None:
        write_file(Path(save), WRITERS[Path(save).suffix](log))
        terminal.progress(f"{len(log.packets):,} packets: {save}")
    if log.lost or log.broken:
        facts = {"missing": f"{log.lost:,} packets", "damaged": f"{log.broken:,} frames"}
        warn(notice("W604", "packets were lost or damaged on the line", facts))
    terminal.json_printed("monitor/1", log.summary())
