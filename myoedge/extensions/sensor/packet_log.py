# SPDX-License-Identifier: Apache-2.0
"""Received packets of the sensor application: lines of text, an npz with all packets, a CSV with
the decisions."""

from __future__ import annotations

import collections
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

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
from myoedge.errors import printable
from myoedge.numerics.arrays import Array
from myoedge.system.control_characters import document_bytes

NO_CLASS = -1  # in tables: the outputs are no class scores
_SEQUENCES, _TIMES_US = 1 << 16, 1 << 32


@dataclass
class PacketLog:
    """Received packets with their times.

    packets   (number of application starts before it, seconds since that start, packet)
    lost      number of packets missing in the sequence
    broken    number of frames that were not valid packets
    starts    number of starts of the application
    time_us   time of the last packet since its start in microseconds, without the wrap-around at 32
              bits
    names     names of the classes; () if unknown
    """

    packets: list[tuple[int, float, Packet]] = field(default_factory=list)
    lost: int = 0
    broken: int = 0
    starts: int = 0
    time_us: int = 0
    names: tuple[str, ...] = ()

    def class_name(self, index: int) -> str:
        """Return the name of a class, "class 2" if it is unknown."""
        return name_of_class(index, self.names)

    def add(self, record: Record) -> float | None:
        """Add a record and return its time in seconds, without the wrap-around every 71.6 minutes;
        None for a broken frame."""
        if isinstance(record, BrokenFrame):
            self.broken += 1
            return None
        is_start = isinstance(record, Start)
        self.starts += is_start
        if is_start or not self.packets:
            self.time_us = record.time_us
        else:
            *_, before = self.packets[-1]
            skipped = (record.sequence - before.sequence - 1) % _SEQUENCES
            self.lost += skipped if skipped < _SEQUENCES // 2 else 0  # else: a restart
            # Convert a difference of 32-bit times modulo the wrap-around to -half .. half of it
            half = _TIMES_US // 2
            self.time_us += (record.time_us - before.time_us + half) % _TIMES_US - half
        time_s = self.time_us / 1e6
        self.packets.append((self.starts, time_s, record))
        return time_s

    def of(self, kind: type[Packet]) -> list[Any]:
        """Return the packets of one kind."""
        return [packet for _, _, packet in self.packets if isinstance(packet, kind)]

    def summary(self) -> dict[str, Any]:
        """Return a summary as JSON values: number of packets by kind, of decisions by class, of
        lost and broken frames, and the last status and start."""
        decisions, statuses, starts = map(self.of, (Decision, Status, Start))
        classes = collections.Counter(d.class_index for d in decisions if d.class_index is not None)
        return {
            "decisions": len(decisions),
            "statuses": len(statuses),
            "starts": len(starts),
            "lost_packets": self.lost,
            "broken_frames": self.broken,
            "flagged_decisions": sum(bool(d.events) for d in decisions),
            "classes": {str(index): classes[index] for index in sorted(classes)},
            "last_status": _fields_of_packet(statuses[-1]) if statuses else None,
            "last_start": _fields_of_packet(starts[-1]) if starts else None,
        }


def _fields_of_packet(packet: Packet) -> dict[str, Any]:
    names = type(packet).__match_args__[len(Packet.__match_args__) :]
    return {name: getattr(packet, name) for name in names}


def npz_bytes(log: PacketLog) -> bytes:
    """Return the log as an npz file with one array per field: decisions by field name, other
    packets as status_NAME and start_NAME."""
    buffer = io.BytesIO()
    arrays = {**_columns_as_arrays(log, Decision, "")}
    arrays |= {
        **_columns_as_arrays(log, Status, "status_"),
        **_columns_as_arrays(log, Start, "start_"),
    }
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def csv_bytes(log: PacketLog) -> bytes:
    """Return the decisions as CSV, one row each."""
    columns = _columns_as_arrays(log, Decision, "")
    values = columns.pop("values", np.zeros((len(columns["time_s"]), 0), np.int32))
    columns |= {f"value_{i}": column for i, column in enumerate(values.T)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    return document_bytes(text.getvalue())


WRITERS: Mapping[str, Callable[[PacketLog], bytes]] = {".npz": npz_bytes, ".csv": csv_bytes}


def _columns_as_arrays(log: PacketLog, kind: type[Packet], prefix: str) -> dict[str, Array]:
    rows = [row for row in log.packets if isinstance(row[2], kind)]
    columns: dict[str, Array] = {
        "run": np.array([start for start, _, _ in rows], np.int32),
        "time_s": np.array([time_s for _, time_s, _ in rows], np.float64),
    }
    for name in ("sequence", "frame", "flags"):
        columns[name] = np.array([getattr(packet, name) for *_, packet in rows], np.int64)
    columns |= dict(_columns_of_kind([packet for *_, packet in rows], kind))
    return {f"{prefix}{name}": column for name, column in columns.items()}


def _columns_of_kind(packets: list[Any], kind: type[Packet]) -> Iterator[tuple[str, Array]]:
    if kind is Decision:
        yield from _decision_columns(packets)
        return
    for name in kind.__match_args__[len(Packet.__match_args__) :]:
        column = np.array([getattr(packet, name) for packet in packets])
        yield name, column if len(packets) else np.zeros(0)


def _decision_columns(decisions: list[Decision]) -> Iterator[tuple[str, Array]]:
    classes = [NO_CLASS if d.class_index is None else d.class_index for d in decisions]
    yield "class", np.array(classes, np.int32)
    yield "score", np.array([d.score for d in decisions], np.int32)
    if count := max((len(d.values) for d in decisions), default=0):
        rows = [d.values + (0,) * (count - len(d.values)) for d in decisions]
        yield "values", np.array(rows, np.int32)


# --- for people -----------------------------------------------------------------------------------


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


def line_of(
    record: Record,
    time_s: float | None,
    last: dict[type, Packet],
    names: Sequence[str] = (),
) -> str | None:
    """Format a received record as a line of text; None for a status packet without changes.

    time_s   its time in seconds
    last     latest packet of each kind, which is updated
    names    names of the classes; () if unknown
    """
    if isinstance(record, BrokenFrame):
        return f"{'':>12}  damaged frame: {record.why}"
    before, last[type(record)] = last.get(type(record)), record
    if (
        isinstance(record, Status)
        and before is not None
        and _status_counts(before) == _status_counts(record)
    ):
        return None
    flags_text = f"  [{', '.join(flag_names(record.flags))}]" if record.flags else ""
    return f"{time_s or 0.0:>10.3f} s  {_record_text(record, names)}{flags_text}"


def _status_counts(status: Packet) -> Packet:
    return replace(status, sequence=0, time_us=0, frame=0, flags=Flags(0))


def name_of_class(index: int, names: Sequence[str]) -> str:
    """Return the name of a class as one line of text, "class 2" if it is unknown."""
    return printable(names[index]) if index < len(names) else f"class {index}"


def _record_text(record: Start | Decision | Status | CommandAnswer, names: Sequence[str]) -> str:
    match record:
        case Start():
            scores = "score: the largest output's integer"
            classes = f", {record.classes} classes; {scores}" if record.classes else ""
            size = f"{record.channels} channels at {record.rate_hz:g} Hz{classes}"
            return f"start after {record.restart}: model {record.digest}, {size}"
        case Decision():
            return _describe_decision(record, names)
        case CommandAnswer():
            return f"{record.command}: {'refused' if record.result < 0 else record.result}"
    counts = (f"{getattr(record, name):,} {text}" for name, text in _COUNTS.items())
    nonzero = [text for text in counts if not text.startswith("0 ")]
    if channels := open_channels(record):
        nonzero.append(f"electrodes open: {', '.join(map(str, channels))}")
    return f"status: {', '.join(nonzero) or 'no errors'}"


def _describe_decision(decision: Decision, names: Sequence[str]) -> str:
    values = " ".join(map(str, decision.values[:SHOWN_VALUES]))
    more = " ..." if len(decision.values) > SHOWN_VALUES else ""
    if decision.class_index is None:
        return f"output {values}{more}"
    name = name_of_class(decision.class_index, names)
    text = f"{name:<9} score {decision.score}"
    return f"{text}  of {values}{more}" if values else text


def open_channels(status: Status) -> list[int]:
    """Return the numbers of the channels whose electrodes are open, from a status packet."""
    return [i for i in range(64) if status.open_electrodes >> i & 1]


def flag_names(flags: Flags) -> list[str]:
    """Return the names of a decision's set flags, with blanks for underscores."""
    return [flag.name.lower().replace("_", " ") for flag in Flags if flag in flags and flag.name]
