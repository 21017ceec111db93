# SPDX-License-Identifier: Apache-2.0
"""Packets of the sensor application as lines of text."""

from __future__ import annotations

from dataclasses import replace

from myoedge.backends.packets import (
    BrokenFrame,
    CommandAnswer,
    Decision,
    Flags,
    Packet,
    Record,
    Start,
    Status,
)

SHOWN_VALUES = 8  # values per decision
_COUNTS = {
    "frames_lost": "samples lost",
    "saturated": "samples saturated",
    "spi_errors": "SPI errors",
    "resets": "resets of the front end",
    "passes_skipped": "passes skipped",
    "overruns": "overruns",
    "watchdog_restarts": "restarts by the watchdog",
}


def line_of(record: Record, time_s: float | None, last: dict[type, Packet]) -> str | None:
    """Format a received record as a line of text; None for a status packet without changes.

    time_s   its time in seconds
    last     latest packet of each kind, which is updated
    """
    if isinstance(record, BrokenFrame):
        return f"{'':>12}  damaged frame: {record.why}"
    before, last[type(record)] = last.get(type(record)), record
    if isinstance(record, Status) and before is not None and _counts(before) == _counts(record):
        return None
    return f"{time_s or 0.0:>10.3f} s  {_content(record)}{_flags(record.flags)}"


def _counts(status: Packet) -> Packet:
    return replace(status, sequence=0, time_us=0, frame=0, flags=Flags(0))


def _content(record: Start | Decision | Status | CommandAnswer) -> str:
    match record:
        case Start():
            classes = f", {record.classes} classes" if record.classes else ""
            size = f"{record.channels} channels at {record.rate_hz:g} Hz{classes}"
            return f"start after {record.restart}: model {record.digest}, {size}"
        case Decision():
            return _decision(record)
        case CommandAnswer():
            return f"{record.command}: {'refused' if record.result < 0 else record.result}"
    counts = (f"{getattr(record, name):,} {text}" for name, text in _COUNTS.items())
    nonzero = [text for text in counts if not text.startswith("0 ")]
    if channels := open_channels(record):
        nonzero.append(f"electrodes open: {', '.join(map(str, channels))}")
    return f"status: {', '.join(nonzero) or 'no errors'}"


def _decision(decision: Decision) -> str:
    values = " ".join(map(str, decision.values[:SHOWN_VALUES]))
    more = " ..." if len(decision.values) > SHOWN_VALUES else ""
    if decision.class_index is None:
        return f"output {values}{more}"
    text = f"class {decision.class_index:<3} score {decision.score}"
    return f"{text}  of {values}{more}" if values else text


def open_channels(status: Status) -> list[int]:
    """Return the numbers of the channels whose electrodes are open, from a status packet."""
    return [i for i in range(64) if status.open_electrodes >> i & 1]


def flag_names(flags: Flags) -> list[str]:
    """Return the names of a decision's set flags, with blanks for underscores."""
    return [flag.name.lower().replace("_", " ") for flag in Flags if flag in flags and flag.name]


def _flags(flags: Flags) -> str:
    return f"  [{', '.join(flag_names(flags))}]" if flags else ""
