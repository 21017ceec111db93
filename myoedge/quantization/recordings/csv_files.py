# SPDX-License-Identifier: Apache-2.0
"""Reader of text files with one row of numbers per line; columns are separated by commas,
semicolons, tabs or blanks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.reading import (
    LABEL,
    ONLY,
    Content,
    Reading,
    check_size,
    no_such_name,
    unreadable,
)

SEPARATORS = (";", "\t", ",", " ")  # ";" first: next to it, a comma is a decimal comma
SHORTER = ("head -n 100000 long.csv > short.csv",)
MOST_NAMES = 40  # number of column names in a remedy
NUMBERS = "let the file contain only numbers, after at most one line of names"


@dataclass(frozen=True)
class TextTable:
    """Rows of numbers as text, with their line numbers in the file.

    lines       the rows
    separator   character between two columns
    names       column names; () without a header line
    columns     number of columns
    first       line number of the first row, counted from 1
    """

    lines: Sequence[str]
    separator: str
    names: tuple[str, ...]
    columns: int
    first: int


def read_csv(path: Path, reading: Reading) -> Content:
    """Read a text file as float64 [rows, columns], without the label column, which may hold names
    and is returned separately.

    Errors: E211 no numbers or no such column, E216 an empty field, E247 too large.
    """
    check_size(path.name, path.stat().st_size, SHORTER, reading)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise unreadable(path, "it is no text in UTF-8", (NUMBERS,)) from None
    table = _table(text, reading)
    if table is None or not any(map(str.strip, table.lines)):
        facts = {"needs": "a line of numbers for every moment"}
        raise MyoedgeError("E215", f"{path.name} holds no rows", facts)
    label = _label(path, table, reading)
    chosen = _chosen(path, table, reading, label)
    named = None if label is None else _class_names(path, table, label)
    wanted = chosen if label is None or named is not None else [*chosen, label]
    numbers = _numbers(path, table, wanted, label)
    names = tuple(table.names[i] if table.names else str(i) for i in chosen)
    inputs = {ONLY: numbers[:, : len(chosen)]}
    classes = numbers[:, -1] if named is None else named
    labels = {} if label is None else {str(reading.label): classes}
    return Content({**inputs, **labels}, names)


def _table(text: str, reading: Reading) -> TextTable | None:
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip() and line[0] not in "#%"), None)
    if first is None:
        return None
    separator = next((s for s in SEPARATORS if s in lines[first].strip()), ",")
    fields = _fields(lines[first], separator)
    is_names = _counts_columns(fields) or any(
        field and _number(field, separator) is None and place != reading.label
        for place, field in enumerate(fields)
    )
    names = tuple(field.strip("\"'") for field in fields) if is_names else ()
    first += bool(names)
    return TextTable(lines[first:], separator, names, len(fields), first + 1)


def _counts_columns(fields: list[str]) -> bool:
    """Return whether a header line only numbers the columns, as written by pandas, with or without
    an index column."""
    return len(fields) > 1 and any(
        names == [str(i) for i in range(len(names))]
        for names in (fields, fields[1:] if not fields[0] else fields)
    )


def _fields(line: str, separator: str) -> list[str]:
    parts = line.split() if separator == " " else line.split(separator)
    return [part.strip() for part in parts]


def _number(field: str, separator: str) -> float | None:
    try:
        return float(field.replace(",", ".") if separator == ";" else field)
    except ValueError:
        return None


def _chosen(path: Path, table: TextTable, reading: Reading, label: int | None) -> list[int]:
    """Return the indices of the columns to read. Errors: E211 no such column."""
    if reading.columns is None:
        return [i for i in range(table.columns) if i != label]
    return [_place(path, table, column) for column in reading.columns]


def _label(path: Path, table: TextTable, reading: Reading) -> int | None:
    """Return the index of the label column; None if no column has the usual name."""
    if reading.label == LABEL and LABEL not in table.names:
        return None
    return _place(path, table, reading.label)


def _class_names(path: Path, table: TextTable, label: int) -> Array | None:
    """Return the class names in the label column; None if the column holds numbers.

    Errors: E211 a line without the column, E216 an empty field.
    """
    names = list[str]()
    for number, line in enumerate(table.lines, table.first):
        fields = _fields(line, table.separator)
        if not any(fields):
            continue
        if len(fields) <= label:
            raise _too_short(path, table, number, fields)
        name = fields[label].strip("\"'")
        if not names and (not name or _number(name, table.separator) is not None):
            return None
        if not name:
            raise _bad_field(path, _at(table, number, label), name, "")
        names.append(name)
    return np.array(names)


def _place(path: Path, table: TextTable, column: str | int) -> int:
    """Return the index of a column by name or number. Errors: E211 no such column."""
    if column in table.names:
        return table.names.index(str(column))
    if isinstance(column, int) and 0 <= column < table.columns:
        return column
    has = ", ".join(table.names) or f"{table.columns} columns without names, counted from 0"
    raise no_such_name(path.name, column, has)


def _numbers(path: Path, table: TextTable, places: list[int], label: int | None) -> Array:
    """Parse the columns `places` to float64 [rows, len(places)]. Errors: E211 text that is not a
    number, E216 an empty field."""
    lines = (
        [line.replace(",", ".") for line in table.lines] if table.separator == ";" else table.lines
    )
    separator = None if table.separator == " " else table.separator
    _check_columns(path, table)
    try:
        return np.loadtxt(
            StringIO("\n".join(lines)),
            delimiter=separator, comments=None, usecols=places, ndmin=2,
        )  # fmt: skip
    except ValueError as error:
        raise _no_number(path, table, places, label, error) from None


def _check_columns(path: Path, table: TextTable) -> None:
    """Raise E211 for a line with more columns than the first one, whose columns may be shifted."""
    for number, line in enumerate(table.lines, table.first):
        is_blanks = table.separator == " "
        columns = len(line.split()) if is_blanks else line.count(table.separator) + 1
        if columns > table.columns:
            cause = f"line {number} has {columns} columns, the first line {table.columns}"
            raise unreadable(path, cause, (NUMBERS,))


def _no_number(
    path: Path, table: TextTable, places: list[int], label: int | None, error: ValueError
) -> MyoedgeError:
    """Return the error of the first field that is not a number, with line and column."""
    for number, line in enumerate(table.lines, table.first):
        fields = _fields(line, table.separator)
        if not any(fields):
            continue
        if len(fields) <= max(places):
            return _too_short(path, table, number, fields)
        for place in places:
            if _number(fields[place], table.separator) is None:
                at = _at(table, number, place)
                return _bad_field(path, at, fields[place], _others(table, place, label))
    return unreadable(path, re.sub(r"\s+", " ", str(error)), (NUMBERS,))


def _too_short(path: Path, table: TextTable, number: int, fields: list[str]) -> MyoedgeError:
    cause = f"line {number} has {len(fields)} columns, the first line {table.columns}"
    return unreadable(path, cause, (NUMBERS,))


def _at(table: TextTable, number: int, place: int) -> str:
    return f"line {number}, column {table.names[place] if table.names else place}"


def _others(table: TextTable, place: int, label: int | None) -> str:
    """Return a [calib] line that reads all columns except one; "" if columns have no names or this
    is the label column."""
    names = [n for i, n in enumerate(table.names) if n and i not in (place, label)]
    if place == label or not names or len(names) >= MOST_NAMES:
        return ""
    return f"[calib] columns = {json.dumps(names, ensure_ascii=False)}"


def _bad_field(path: Path, at: str, field: str, others: str) -> MyoedgeError:
    """Return the error for a field that is not a number: E216 if it is empty, otherwise E211.

    others   remedy that leaves the column out; "" for none
    """
    tries = [others] if others else []
    if not field:
        title = f"{path.name} has an empty field"
        return MyoedgeError("E216", title, {"at": at}, ["leave out rows without a value", *tries])
    return unreadable(path, f"{at} is no number: {field[:40]!r}", (*tries, NUMBERS))
