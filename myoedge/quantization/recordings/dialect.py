# SPDX-License-Identifier: Apache-2.0
"""Form of a text file of numbers: separator, decimal sign, first row, columns that hold numbers. The
chosen one makes its first lines numeric with one width."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

from myoedge.quantization.recordings.reading import folded

BLANKS = " "
SEPARATORS = (";", "\t", ",", "|", BLANKS)  # ";" first: next to it, a comma is a decimal comma
DECIMALS = (  # decimal sign and separator of thousands
    (".", ""), (",", ""), (".", ","), (",", "."), (".", "'"), (",", "'"), (".", " "), (",", " "),
)  # fmt: skip
MISSING = ("", "nan", "na", "n/a", "#n/a", "null", "none", "-", "--")
LOOKED_AT = 300  # lines from which the form of a file is judged
COMMENTS = ("#", "%")
UNIT = r"[nuµμm]?(?:V|s|g|A|Hz|Pa|N)|sec|seconds|deg|%|counts?|a\.u\.|m/s\^?2|[°]/s"
UNIT_FIELD = re.compile(rf"[\[(]?\s*({UNIT})\s*[\])]?")
UNIT_AT_END = re.compile(rf"[\s\[(_]({UNIT})\s*[\])]?$")
RATE_LINE = re.compile(
    r"(?:sampl\w*[ _-]*(?:rate|freq\w*)|\bfs)\b[^0-9]{0,20}(\d+(?:\.\d+)?)\s*(k?)(?:hz|sps|$|\W)",
    re.IGNORECASE,
)


class Kind(Enum):
    """Content of a column: numbers, words, or nothing."""

    NUMBERS = auto()
    WORDS = auto()
    EMPTY = auto()


@dataclass(frozen=True)
class Dialect:
    """Characters between columns and in numbers.

    separator   character between two columns; " " for any run of blanks
    decimal     decimal sign
    thousands   separator of thousands; "" for none
    """

    separator: str
    decimal: str
    thousands: str

    def fields(self, line: str) -> list[str]:
        """Return the fields of a line, without quotes and without blanks around them."""
        if self.separator == BLANKS:
            line = " ".join(line.split())
        try:
            row = next(csv.reader([line], delimiter=self.separator, skipinitialspace=True), [])
        except csv.Error:  # a field beyond the limit of the module csv
            row = line.split(self.separator)
        return [field.strip().strip("'").strip() for field in row]

    def is_number(self, field: str) -> bool:
        """Return whether a field is a number as this dialect writes it, NaN and infinity among
        them."""
        return bool(_number(self.decimal, self.thousands).fullmatch(field))


@dataclass(frozen=True)
class TextForm:
    """Form of a text file.

    dialect   characters between columns and in numbers
    names     names of the columns; () without a line of names
    units     unit of each column; "" if unknown
    kinds     content of each column
    start     index of the first line with numbers: its width may be wrong, that of `kinds` is not
    rate_hz   sampling rate in the lines before; None if they name none
    names_above   number of fields in the line of words before the first row
    """

    dialect: Dialect
    names: tuple[str, ...]
    units: tuple[str, ...]
    kinds: tuple[Kind, ...]
    start: int
    rate_hz: float | None
    names_above: int = 0


def form_of(lines: Sequence[str]) -> TextForm | None:
    """Return the form of a text file's lines; None if no line holds numbers."""
    told = re.fullmatch(r"\s*\"?sep=(.)\"?\s*", lines[0]) if lines else None  # Excel's first line
    rows = [
        i
        for i, line in enumerate(lines[: 4 * LOOKED_AT])
        if line.strip() and not line.startswith(COMMENTS) and not (told and not i)
    ][:LOOKED_AT]
    best: tuple[tuple[float, bool, bool], Dialect, _Block] | None = None
    for dialect in _dialects([lines[i] for i in rows], told[1] if told else None):
        block = _block(lines, rows, dialect)
        if block is not None and (best is None or block.merit > best[0]):
            best = block.merit, dialect, block
    if best is None:
        return None
    _, dialect, block = best
    dialect = _by_all_lines(lines, dialect)
    names, units = _heading(lines, block, dialect)
    joined = "\n".join(lines[: block.start])
    odd = next((i for i in rows if i < block.start and _is_row(lines[i], dialect)), block.start)
    above = [x for x in lines[:odd] if x.strip() and not x.startswith(COMMENTS)]
    names_above = len(dialect.fields(above[-1])) if above else 0
    return TextForm(dialect, names, units, block.kinds, odd, _rate(joined), names_above)


def _is_row(line: str, dialect: Dialect) -> bool:
    """Return whether a line before the first row of the usual width holds numbers alone, several of
    them."""
    fields = [*filter(None, dialect.fields(line))]
    is_names = _counts_columns(dialect.fields(line))
    return len(fields) > 1 and all(map(dialect.is_number, fields)) and not is_names


def has_commas_of_two_kinds(lines: Sequence[str], form: TextForm) -> bool:
    """Return whether commas may separate columns as well as be decimal signs, as in "1,5,-2,04".

    So they may in a single column of numbers with commas; and between columns if every second one
    holds digits that do not count, such as 04, or change in every row, or if there are half as many
    names as columns. As many names as columns show which it is.
    """
    width = len(form.kinds)
    if len(form.names) == width or Kind.WORDS in form.kinds:
        return False
    rows = [form.dialect.fields(x) for x in lines[form.start :][:LOOKED_AT] if x.strip()]
    rows = [row for row in rows if len(row) == width]
    if width == 1:
        return any("," in row[0] for row in rows)
    if form.dialect.separator != "," or width % 2 or any("." in x for row in rows for x in row):
        return False
    columns = [[re.sub("[eE].*", "", x) for x in column] for column in zip(*rows, strict=True)]
    digits = all(re.fullmatch("[0-9]+", x) for column in columns[1::2] for x in column)
    return digits and (2 * form.names_above == width or all(map(_are_decimals, columns[1::2])))


def _are_decimals(fields: Sequence[str]) -> bool:
    """Return whether fields of digits look like those after a decimal sign."""
    changes = sum(a != b for a, b in pairwise(fields))
    is_short = max(map(len, fields)) == 1 and len({*fields}) > 4
    has_zeros = any(len(field) > 1 and field[0] == "0" for field in fields)
    return has_zeros or (is_short and 2 * changes > len(fields))


def unit_of(name: str) -> str:
    """Return the unit at the end of a column's name, such as "mV" of "EMG 1 (mV)"; "" if none."""
    found = UNIT_AT_END.search(name.strip())
    return found[1].replace("μ", "µ") if found else ""


# --- the choice -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """Rows of one width.

    start   index of the first line
    kinds   content of the columns
    merit   share of the characters that belong to numbers; whether the line before has as many
            names as there are columns; whether there are several columns
    """

    start: int
    kinds: tuple[Kind, ...]
    merit: tuple[float, bool, bool]


def _dialects(lines: Sequence[str], told: str | None) -> Iterator[Dialect]:
    """Yield the dialects whose characters occur in the lines."""
    text = "\n".join(lines)
    separators = (told,) if told else SEPARATORS
    for separator in separators:
        if separator not in (BLANKS, told) and separator not in text and separator != ",":
            continue
        for decimal, thousands in DECIMALS:
            is_there = (decimal == "." or decimal in text) and thousands in text
            if is_there and (separator not in (decimal, thousands) or '"' in text):
                yield Dialect(separator, decimal, thousands)


def _block(lines: Sequence[str], rows: Sequence[int], dialect: Dialect) -> _Block | None:
    """Return the rows of the width that holds most numbers; None without numbers."""
    fields = {i: dialect.fields(lines[i]) for i in rows}
    numbers = Counter[int]()
    for row in fields.values():
        numbers[len(row)] += sum(map(dialect.is_number, row))
    if not numbers.total():
        return None
    width = max(numbers, key=lambda w: (numbers[w], w))
    of_width = [i for i in rows if len(fields[i]) == width]
    kinds = _kinds([fields[i] for i in of_width], dialect)
    if Kind.NUMBERS not in kinds:
        return None
    first = kinds.index(Kind.NUMBERS)
    begins = [i for i in of_width if not _is_word(fields[i][first], dialect)]
    start = next((i for i in begins if not _counts_columns(fields[i])), None)
    if start is None:
        return None
    above = next((line for line in reversed(lines[:start]) if line.strip()), "")
    if width == 1 and "," in above and "," in (dialect.decimal, dialect.thousands):
        return None  # names of several columns, between commas
    kept = [fields[i] for i in of_width if i >= start]
    kinds = _kinds(kept, dialect)
    words = [field for row in kept for field in row if _is_word(field, dialect)]
    whole = sum(len(folded(lines[i])) for i in of_width if i >= start)
    share = (whole - len(folded("".join(words)))) / sum(len(folded(lines[i])) for i in rows)
    return _Block(start, kinds, (round(share, 3), len(dialect.fields(above)) == width, width > 1))


def _kinds(rows: Sequence[Sequence[str]], dialect: Dialect) -> tuple[Kind, ...]:
    return tuple(_kind(column, dialect) for column in zip(*rows, strict=True))


def _kind(fields: Sequence[str], dialect: Dialect) -> Kind:
    numbers = sum(dialect.is_number(x) and x.lower() not in MISSING for x in fields)
    words = sum(_is_word(x, dialect) for x in fields)
    if not any(fields):
        return Kind.EMPTY
    return Kind.NUMBERS if numbers >= words else Kind.WORDS


def _is_word(field: str, dialect: Dialect) -> bool:
    return field.lower() not in MISSING and not dialect.is_number(field)


def _by_all_lines(lines: Sequence[str], dialect: Dialect) -> Dialect:
    """Return the dialect with a decimal comma if the file has commas and no points, of which the
    first lines may have none."""
    if dialect.separator == "," or dialect.thousands or dialect.decimal == ",":
        return dialect
    has = {sign: any(sign in line for line in lines) for sign in ",."}
    decimal = "," if has[","] and not has["."] else dialect.decimal
    return Dialect(dialect.separator, decimal, "")


_NUMBERS: dict[tuple[str, str], re.Pattern[str]] = {}


def _number(decimal: str, thousands: str) -> re.Pattern[str]:
    """Return the pattern of a number."""
    if (decimal, thousands) not in _NUMBERS:
        point = re.escape(decimal)
        whole = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+" if thousands else r"\d+"
        digits = rf"(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
        pattern = re.compile(rf"[+-]?(?:{digits}|nan|inf|infinity)", re.IGNORECASE | re.ASCII)
        _NUMBERS[decimal, thousands] = pattern
    return _NUMBERS[decimal, thousands]


# --- names and units ------------------------------------------------------------------------------


def _heading(
    lines: Sequence[str], block: _Block, dialect: Dialect
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and the units of the columns, from the lines before the first row."""
    width = len(block.kinds)
    above = [line for line in lines[: block.start] if line.strip()]
    rows = [dialect.fields(line) for line in above if not line.startswith(COMMENTS)]
    units = [""] * width
    if len(rows) > 1 and _are_units(rows[-1]) and len(rows[-2]) == len(rows[-1]):
        units[: len(rows[-1])] = [(UNIT_FIELD.fullmatch(x) or "  ")[1].strip() for x in rows[-1]]
        del rows[-1]
    if not rows and above and dialect.separator != BLANKS:  # the names of numpy.savetxt
        rows = [dialect.fields(above[-1].lstrip("".join(COMMENTS)))]
    names = _names(rows[-1] if rows else [], block, dialect)
    known = zip(units, names or [""] * width, strict=False)
    return names, tuple((unit or unit_of(name)).replace("μ", "µ") for unit, name in known)


def _names(row: Sequence[str], block: _Block, dialect: Dialect) -> tuple[str, ...]:
    """Return the fields of a line as names; () if it is none of names."""
    width = len(block.kinds)
    filled = max((i + 1 for i, kind in enumerate(block.kinds) if kind is not Kind.EMPTY), default=0)
    if len(row) == width - 1 and len(row) >= filled:
        row = [*row, ""]  # rows end with a separator, names do not
    elif len(row) == width - 1 > 1:
        row = ["", *row]  # R: rows have a name, their column has none
    is_names = len(row) == width and (
        _counts_columns(row) or not any(map(dialect.is_number, filter(None, row)))
    )
    return tuple(row) if is_names and any(row) else ()


def _are_units(row: Sequence[str]) -> bool:
    found = [
        UNIT_FIELD.fullmatch(field) is not None for field in row if field.lower() not in MISSING
    ]
    return bool(found) and all(found)


def _counts_columns(fields: Sequence[str]) -> bool:
    """Return whether a line only numbers the columns, as written by pandas, with or without an
    index column."""
    return len(fields) > 1 and any(
        [*names] == [str(i) for i in range(len(names))]
        for names in (fields, fields[1:] if not fields[0] else fields)
    )


def _rate(text: str) -> float | None:
    """Return the sampling rate in Hz that the text before the rows names; None without one."""
    found = RATE_LINE.search(text)
    return None if found is None else float(found[1]) * (1000.0 if found[2] else 1.0)
