# SPDX-License-Identifier: Apache-2.0
"""Form of a text file of numbers: dialect, first row, names, columns that hold numbers. The chosen
one makes its first lines numeric with one width."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from myoedge.extensions.recordings.dialect import BLANKS, MISSING, Dialect, Kind, dialects
from myoedge.quantization.recordings.reading import folded

LOOKED_AT = 300  # lines from which the form of a file is judged
COMMENTS = ("#", "%")
EXCEL = re.compile(r"^\s*\"?sep=(.)\"?\s*$")  # the first line that tells Excel the separator
UNIT = r"[nuµμm]?(?:V|s|g|A|Hz|Pa|N)|sec|seconds|deg|%|counts?|a\.u\.|m/s\^?2|[°]/s"
UNIT_FIELD = re.compile(rf"[\[(]?\s*({UNIT})\s*[\])]?")
UNIT_AT_END = re.compile(rf"[\s\[(_]({UNIT})\s*[\])]?$")
RATE_LINE = re.compile(
    r"(?:sampl\w*[ _-]*(?:rate|freq\w*)|\bfs)\b[^0-9]{0,20}(\d+(?:\.\d+)?)\s*(k?)(?:hz|sps|$|\W)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TextForm:
    """Form of a text file.

    dialect       characters between columns and in numbers
    names         names of the columns; () without a line of names
    units         unit of each column; "" if unknown
    kinds         content of each column
    start         index of the first line with numbers; its width may be wrong, that of `kinds` is
                  not
    rate_hz       sampling rate in the lines before; None if they name none
    names_above   number of fields in the line of words before the first row
    """

    dialect: Dialect
    names: tuple[str, ...]
    units: tuple[str, ...]
    kinds: tuple[Kind, ...]
    start: int
    rate_hz: float | None
    names_above: int

    @property
    def shown_names(self) -> tuple[str, ...]:
        """Return the names of the columns; "" for columns without one."""
        return self.names or ("",) * len(self.kinds)

    def with_words(self, column: int) -> TextForm:
        """Return the form with words in a column."""
        kinds = (*self.kinds[:column], Kind.WORDS, *self.kinds[column + 1 :])
        return replace(self, kinds=kinds)

    def of_kind(self, kind: Kind) -> list[int]:
        """Return the indices of the columns with this content."""
        return [i for i, each in enumerate(self.kinds) if each is kind]


def form_of(lines: Sequence[str]) -> TextForm | None:
    """Return the form of a text file's lines; None if no line holds numbers."""
    told = EXCEL.findall(lines[0])
    # the first lines that are neither empty nor comments
    looked_at = enumerate(lines[len(told) : 4 * LOOKED_AT], len(told))
    kept = [(i, x) for i, x in looked_at if x.strip() and not x.startswith(COMMENTS)]
    sample = dict(kept[:LOOKED_AT])
    possible = dialects("\n".join(sample.values()), told)
    blocks = [*filter(None, (_find_row_block(sample, dialect) for dialect in possible))]
    if not blocks:
        return None
    block = max(blocks, key=lambda each: each.merit)  # of several, the first
    dialect = _dialect_of_all_lines(lines, block.dialect)
    above = [*filter(str.strip, lines[len(told) : block.start])]
    names, units = _names_and_units(above, block)
    words = "", *(sample[i] for i in sample if i < block.start)
    # The sampling rate in Hz that the text before the rows names; None without one
    found = RATE_LINE.search("\n".join(above))
    return TextForm(
        dialect,
        names,
        units,
        block.kinds,
        _start_of_numbers(sample, block.start, dialect),
        None if found is None else float(found[1]) * (1000.0 if found[2] else 1.0),
        len(dialect.fields(words[-1])),
    )


def _start_of_numbers(sample: Mapping[int, str], start: int, dialect: Dialect) -> int:
    """Return the first line that holds numbers alone, several of them.

    start   first row of the usual width
    """
    for i in (i for i in sample if i < start):
        fields = dialect.fields(sample[i])
        filled = [*filter(None, fields)]
        are_numbers = len(filled) > 1 and all(map(dialect.is_number, filled))
        if are_numbers and not _counts_columns(fields):
            return i
    return start


# --- commas ---------------------------------------------------------------------------------------


def has_commas_of_two_kinds(lines: Sequence[str], form: TextForm) -> bool:
    """Return whether commas may separate columns as well as be decimal signs, as in "1,5,-2,04".

    So they may in a single column of numbers with commas; and between columns if every second one
    holds digits that do not count, such as 04, or change in every row, or if there are half as many
    names as columns. As many names as columns show which it is. Columns of words do not count.
    """
    width = len(form.kinds)
    if len(form.names) == width:
        return False
    rows = [form.dialect.fields(x) for x in lines[form.start :][:LOOKED_AT] if x.strip()]
    if width == 1:
        return any("," in row[0] for row in rows)
    whole = [row for row in rows if len(row) == width]
    words = {*form.of_kind(Kind.WORDS)}
    columns = [x for i, x in enumerate(zip(*whole, strict=True)) if i not in words]
    if form.dialect.separator != "," or any("." in field for x in columns for field in x):
        return False
    return _are_split_decimals(columns, form.names_above - len(words))


def _are_split_decimals(columns: Sequence[Sequence[str]], names: int) -> bool:
    """Return whether every second column looks like the digits after a decimal sign.

    names   number of names for these columns in the line above
    """
    after = [[re.sub("[eE].*", "", x) for x in column] for column in columns[1::2]]
    if len(columns) % 2 or not all(re.fullmatch("[0-9]+", x) for each in after for x in each):
        return False
    return 2 * names == len(columns) or all(map(_look_like_decimals, after))


def _look_like_decimals(fields: Sequence[str]) -> bool:
    """Return whether fields of digits look like those after a decimal sign."""
    changes = sum(a != b for a, b in pairwise(fields))
    is_short = max(map(len, fields)) == 1 and len({*fields}) > 4
    has_zeros = any(len(field) > 1 and field[0] == "0" for field in fields)
    return has_zeros or (is_short and 2 * changes > len(fields))


# --- the choice -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _RowBlock:
    """Rows of one width, as a dialect divides them.

    start   index of the first line
    kinds   content of the columns
    merit   share of the characters that belong to numbers; whether the line before has as many
            names as there are columns; whether there are several columns
    """

    dialect: Dialect
    start: int
    kinds: tuple[Kind, ...]
    merit: tuple[float, bool, bool]


def _find_row_block(sample: Mapping[int, str], dialect: Dialect) -> _RowBlock | None:
    """Return the rows of the width that holds most numbers; None without numbers."""
    fields = {i: dialect.fields(line) for i, line in sample.items()}
    width, rows = _rows_of_usual_width(fields, dialect)
    start = _first_row(rows, dialect)
    if start is None:
        return None
    above = next((sample[i] for i in [*sample][::-1] if i < start), "")
    if width == 1 and "," in above and "," in dialect.decimal + dialect.thousands:
        return None  # names of several columns, between commas
    kept = {i: row for i, row in rows.items() if i >= start}
    names = len(dialect.fields(above))
    merit = (_share_in_numbers(sample, kept, dialect), names == width, width > 1)
    return _RowBlock(dialect, start, dialect.kinds([*kept.values()]), merit)


def _share_in_numbers(
    sample: Mapping[int, str], rows: Mapping[int, Sequence[str]], dialect: Dialect
) -> float:
    """Return the share of the characters that belong to numbers, to three digits."""
    words = "".join(field for row in rows.values() for field in row if dialect.is_word(field))
    numbers = len(folded("".join(sample[i] for i in rows))) - len(folded(words))
    return round(numbers / len(folded("".join(sample.values()))), 3)


def _rows_of_usual_width(
    fields: Mapping[int, Sequence[str]], dialect: Dialect
) -> tuple[int, dict[int, Sequence[str]]]:
    """Return the width that holds most numbers, of several the largest, and the rows of it."""
    numbers = Counter[int]()
    for row in fields.values():
        numbers[len(row)] += sum(map(dialect.is_number, row))
    width = max(numbers, key=lambda each: (numbers[each], each), default=0)
    return width, {i: row for i, row in fields.items() if len(row) == width}


def _first_row(rows: Mapping[int, Sequence[str]], dialect: Dialect) -> int | None:
    """Return the index of the first line whose first column of numbers holds one; None without such
    a column."""
    kinds = dialect.kinds([*rows.values()])
    if Kind.NUMBERS not in kinds:
        return None
    first = kinds.index(Kind.NUMBERS)
    begins = (i for i, row in rows.items() if not dialect.is_word(row[first]))
    return next((i for i in begins if not _counts_columns(rows[i])), None)


def _dialect_of_all_lines(lines: Sequence[str], dialect: Dialect) -> Dialect:
    """Return the dialect with a decimal comma if the file has commas and no points, of which the
    first lines may have none."""
    if dialect.separator == "," or dialect.thousands or dialect.decimal == ",":
        return dialect
    has = {sign: any(sign in line for line in lines) for sign in ",."}
    decimal = "," if has[","] and not has["."] else dialect.decimal
    return Dialect(dialect.separator, decimal, "")


# --- names and units ------------------------------------------------------------------------------


def _names_and_units(
    above: Sequence[str], block: _RowBlock
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and the units of the columns, from the lines before the first row."""
    dialect, width = block.dialect, len(block.kinds)
    lines = [line for line in above if not line.startswith(COMMENTS)]
    if not lines and dialect.separator != BLANKS:  # the names of numpy.savetxt
        lines = [line.lstrip("".join(COMMENTS)) for line in above[-1:]]
    rows = [*map(dialect.fields, lines)]
    has_units = len(rows) > 1 and _are_units(rows[-1]) and len(rows[-2]) == len(rows[-1])
    units = [*map(_unit_of_field, rows.pop() if has_units else []), *("",) * width][:width]
    names = _header_names(next(reversed(rows), []), block)
    known = map(_known_unit, units, names or [""] * width)
    return names, tuple(known)


def _known_unit(unit: str, name: str) -> str:
    """Return a column's unit, or that at the end of its name, such as "mV" of "EMG 1 (mV)"."""
    found = UNIT_AT_END.search(name.strip())
    return (unit or (found[1] if found else "")).replace("μ", "µ")


def _unit_of_field(field: str) -> str:
    match = UNIT_FIELD.fullmatch(field)
    return match[1] if match else ""


def _header_names(row: Sequence[str], block: _RowBlock) -> tuple[str, ...]:
    """Return the fields of a line as names; () if it is none of names."""
    width = len(block.kinds)
    is_ended = block.kinds[-1] is Kind.EMPTY  # rows end with a separator, names do not
    if len(row) == width - 1 and (is_ended or width > 2):
        row = [*row, ""] if is_ended else ["", *row]  # in R, the column of rows' names has none
    words = [*filter(None, row)]
    is_names = _counts_columns(row) or not any(map(block.dialect.is_number, words))
    return tuple(row) if words and is_names and len(row) == width else ()


def _are_units(row: Sequence[str]) -> bool:
    found = [bool(_unit_of_field(field)) for field in row if field.lower() not in MISSING]
    return bool(found) and all(found)


def _counts_columns(fields: Sequence[str]) -> bool:
    """Return whether a line only numbers the columns, as written by pandas, with or without an
    index column."""
    return len(fields) > 1 and any(
        [*names] == [str(i) for i in range(len(names))]
        for names in (fields, fields[1:] if not fields[0] else fields)
    )
