# SPDX-License-Identifier: Apache-2.0
"""Columns of a recording: which is the label, which the time, which are signals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.reading import (
    LABEL,
    LIKELY_LABELS,
    ONLY,
    Content,
    Reading,
    folded,
    found_name,
    no_such_name,
    unreadable,
)

CLOCKS = ("time", "times", "timestamp", "timestamps")  # no signals, even if they do not rise
TIMES = (*CLOCKS, "t", "sample", "samples", "index", "frame")
CLOCK = re.compile(  # "12:00:01.5", "2026-03-12 12:00:01", "2026-03-12T12:00:01.5Z"
    r"(\d{1,4}[-./]\d{1,2}[-./]\d{1,4})?[ T]*(\d{1,2}:\d{2}(:\d{2}([.,:]\d+)?)?)"
    r"\s*(Z|[+-]\d{2}:?\d{2}|[AP]M)?"
)
SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
FEWEST_ROWS = 10  # rows from which rising numbers are a time, not a signal
EVEN = 0.01  # relative deviation of steps in time from their median
PAUSE = 10.0  # mean steps from which one is a pause, not a step
MOST_NAMES = 40  # number of column names in a remedy


@dataclass(frozen=True)
class Column:
    """A column of a recording.

    name     its name; "" without one
    values   float64 or text [rows]; None if it was not read
    unit     unit of its numbers; "" if unknown
    """

    name: str
    values: Array | None
    unit: str = ""

    @property
    def is_text(self) -> bool:
        return self.values is not None and self.values.dtype.kind == "U"


def content_of(
    source: str, columns: Sequence[Column], reading: Reading, settings: Mapping[str, Array]
) -> Content:
    """Return the signals, as float64 [rows, columns], and the label of a recording.

    The label is the column that `reading` names, otherwise the only one that holds class names.
    Signals are the columns that `reading` names, otherwise all numbers except label and time, which
    is a column of rising numbers.

    settings   numbers of the file by name, such as its rate
    Errors: E211 no such column, no column of numbers, or several columns of text.
    """
    names = shown_names([column.name for column in columns])
    label = _label_column(source, names, columns, reading)
    signals, time = _signal_columns(source, names, columns, label, reading)
    if not signals:
        tries = ("a column for every channel, with a number in every row",)
        raise unreadable(source, "no column holds numbers", tries)
    arrays = {ONLY: np.stack([_column_numbers(columns[i]) for i in signals], axis=1)}
    if label is not None:
        arrays[str(reading.label)] = _column_values(columns[label])
    return Content(
        arrays,
        tuple(names[i] for i in signals),
        settings={**_sampling_rate_hz(columns, time), **settings},
        label=names[label] if label is not None else "",
        unit=_most_common_unit({columns[i].unit for i in signals}),
        aside=tuple(n for i, n in enumerate(names) if i not in (*signals, label)),
    )


def _most_common_unit(units: set[str]) -> str:
    return units.pop() if len(units) == 1 else ""


def _signal_columns(
    source: str,
    names: Sequence[str],
    columns: Sequence[Column],
    label: int | None,
    reading: Reading,
) -> tuple[list[int], int | None]:
    """Return the indices of the signals, and of the time; None without one. Errors: E211 no such
    column."""
    if reading.columns is not None:
        return [place(source, names, column) for column in reading.columns], None
    numbers = [i for i, column in enumerate(columns) if _is_signal(column) and i != label]
    times = [i for i in numbers if _is_time_column(columns[i], is_first=i == 0)][: len(numbers) - 1]
    return [i for i in numbers if i not in times[:1]], next(iter(times), None)


def shown_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names by which columns are chosen: their own, or numbers if none has a name."""
    return (*names,) if any(names) else tuple(map(str, range(len(names))))


def label_place(source: str, names: Sequence[str], reading: Reading) -> int | None:
    """Return the index of the column that `reading` names as label; None if no column has the usual
    name. Errors: E211 no such column."""
    if reading.label == LABEL and found_name(names, LABEL) is None:
        return None
    return place(source, names, reading.label)


def place(source: str, names: Sequence[str], column: str | int) -> int:
    """Return the index of a column by name, without regard to case and blanks, or by number from 0.

    Errors: E211 no such column.
    """
    name = None if isinstance(column, int) else found_name(names, column)
    if name is not None:
        return names.index(name)
    if str(column) in names:
        return names.index(str(column))
    if isinstance(column, int) and 0 <= column < len(names):
        return column
    numbered = [*names] == [str(i) for i in range(len(names))]
    has = f"{len(names)} columns without names, counted from 0" if numbered else ", ".join(names)
    raise no_such_name(source, column, has)


def only(names: Sequence[str], places: Sequence[int]) -> str:
    """Return a [calib] line that reads some columns; "" if it would be unclear or too long."""
    kept = [names[i] for i in places if i < len(names)]
    is_clear = len({*kept}) == len(kept) and all(kept) and 0 < len(kept) < MOST_NAMES
    return f"[calib] columns = {json.dumps(kept, ensure_ascii=False)}" if is_clear else ""


def _is_signal(column: Column) -> bool:
    return column.values is not None and not column.is_text


def _column_values(column: Column) -> Array:
    assert column.values is not None, column.name
    return column.values


def _column_numbers(column: Column) -> Array:
    return _column_values(column).astype(np.float64)


# --- label ----------------------------------------------------------------------------------------


def _label_column(
    source: str, names: Sequence[str], columns: Sequence[Column], reading: Reading
) -> int | None:
    """Return the index of the label: the column that is named, otherwise the one of class names."""
    named = label_place(source, names, reading)
    return _text_label_column(source, names, columns, reading) if named is None else named


def _text_label_column(
    source: str, names: Sequence[str], columns: Sequence[Column], reading: Reading
) -> int | None:
    """Return the index of the column with class names; None without one. Errors: E211 several."""
    found = [i for i, column in enumerate(columns) if _are_class_names(column)]
    kept = _likeliest_labels(names, columns, found)
    if len(kept) > 1 and reading.columns is None:
        labels = [names[i] for i in kept]
        cause = f"each of these columns may be the label: {', '.join(labels)}"
        tries = (f"[calib] label = {json.dumps(name, ensure_ascii=False)}" for name in labels)
        raise unreadable(source, cause, (*tries,))
    return kept[0] if len(kept) == 1 else None


def _likeliest_labels(
    names: Sequence[str], columns: Sequence[Column], found: Sequence[int]
) -> Sequence[int]:
    """Return the columns that are named as labels; if there are none, those with several names."""
    varied = [i for i in found if len(np.unique(_column_values(columns[i]))) > 1]
    return [i for i in found if folded(names[i]) in LIKELY_LABELS] or varied or found


def _are_class_names(column: Column) -> bool:
    """Return whether a column may hold class names: one in every row, many rows of each, and no
    times of day."""
    texts = _column_values(column).tolist() if column.is_text else [""]
    if not all(texts) or all(map(CLOCK.fullmatch, texts[:FEWEST_ROWS])):
        return False
    return 2 * len({*texts}) <= len(texts) or len(texts) < FEWEST_ROWS


# --- time -----------------------------------------------------------------------------------------


def _is_time_column(column: Column, is_first: bool) -> bool:
    """Return whether a column is named as a time, or its numbers rise from row to row, in even
    steps or in a column where times are."""
    if _normalised_name(column) in CLOCKS:
        return True
    steps = np.diff(_column_numbers(column))
    if len(steps) + 1 < FEWEST_ROWS or not np.isfinite(steps).all():
        return False
    if _normalised_name(column) in TIMES or column.unit in SECONDS:
        return bool((steps >= 0).all() and steps.any())
    is_even = np.ptp(steps) <= 2 * EVEN * np.median(steps)
    return bool((steps > 0).all() and (is_first or is_even))


def _normalised_name(column: Column) -> str:
    """Return a column's name in small letters, without its unit and blanks."""
    return folded(re.sub(r"[\[(].*", "", column.name))


def _sampling_rate_hz(columns: Sequence[Column], time: int | None) -> dict[str, Array]:
    """Return the sampling rate in Hz by the column of time without its pauses and jumps back,
    rounded if it is whole within a thousandth; {} without such a column, or if its unit is unknown
    and its steps are not below 1."""
    if time is None:
        return {}
    steps = np.diff(_column_numbers(columns[time]))
    steps = steps[np.isfinite(steps) & (steps >= 0)]
    step = float(steps[steps <= PAUSE * steps.mean()].mean()) if steps.any() else 0.0
    seconds = SECONDS.get(columns[time].unit, 1.0 if step < 1 else 0.0)
    if not seconds * step:
        return {}
    rate = 1 / (step * seconds)
    is_whole = abs(rate - round(rate)) <= rate / 1000
    return {"rate": np.asarray(float(round(rate)) if is_whole else rate)}


def named_columns(table: Array) -> Iterator[Column]:
    """Yield the columns of a structured array."""
    for name in table.dtype.names or ():
        values = table[name]
        if values.dtype.kind in "SO":
            values = np.array([x.decode() if isinstance(x, bytes) else str(x) for x in values])
        if values.ndim == 1 and values.dtype.kind in "fiubU":
            yield Column(name, values)
