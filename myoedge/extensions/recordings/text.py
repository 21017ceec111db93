# SPDX-License-Identifier: Apache-2.0
"""Text files with one row of numbers per line, parsed by pandas."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from shlex import quote

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.extensions.recordings import GZIP
from myoedge.extensions.recordings.dialect import BLANKS, MISSING, Kind
from myoedge.extensions.recordings.text_form import (
    COMMENTS,
    TextForm,
    form_of,
    has_commas_of_two_kinds,
)
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.columns import (
    Column,
    content_of,
    label_place,
    only,
    place,
    shown_names,
)
from myoedge.quantization.recordings.reading import (
    LABEL,
    LIKELY_LABELS,
    Content,
    Reading,
    check_size,
    folded,
    found_name,
    unreadable,
)

SHORTER = ("head -n 100000 long.csv > short.csv",)
NUMBERS = "numbers as 1.5, 1,5 or 1.5E+01, with semicolons, tabs, commas or blanks between columns"
SEMICOLONS = (
    "the same columns in every row, with semicolons between them if a comma is a decimal sign"
)
BYTE_ORDERS = {
    b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
NO_TEXT = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f]")
EXACT_SINCE = "3.1"  # release of pandas whose only conversion rounds correctly


@dataclass(frozen=True)
class _TextFile:
    """Lines of a text file, and their form."""

    path: Path
    lines: Sequence[str]
    form: TextForm

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names by which columns are chosen."""
        return shown_names(self.form.names or ("",) * len(self.form.kinds))

    @property
    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number and fields of every line that is not empty, from the first row on."""
        for number, line in enumerate(self.lines[self.form.start :], self.form.start + 1):
            if line.strip():
                yield number, self.form.dialect.fields(line)


def read_text(path: Path, reading: Reading) -> Content:
    """Read a text file: its signals as float64 [rows, columns], and its label, which may be names.

    The file may be gzip, in UTF-8, UTF-16 or Latin-1, with any usual separator and decimal sign.
    Errors: E211 no numbers or no such column, E216 an empty field, E247 too large.
    """
    file = _recognise_form(path, reading)
    label = label_place(path.name, file.names, reading)
    file, numbers, table = _parse_with_label(file, label, reading)
    form = file.form
    _check_gaps(file, table, [*numbers] if label is None else [*numbers, label])
    names, units = form.names or ("",) * len(form.kinds), form.units or ("",) * len(form.kinds)
    columns = [Column(name, table.get(i), units[i]) for i, name in enumerate(names)]
    settings = {} if form.rate_hz is None else {"rate": np.asarray(form.rate_hz)}
    return content_of(path.name, columns, reading, settings)


def _recognise_form(path: Path, reading: Reading) -> _TextFile:
    """Return the lines of a text file and their form. Errors: E211 no text, no numbers, or commas
    of two kinds; E215 no rows; E247 too large."""
    lines = _decode_file(path, reading).replace("\u2212", "-").split("\n")
    form = form_of(lines)
    if form is None:
        raise _no_rows_error(path, lines)
    file = _TextFile(path, lines, form)
    if has_commas_of_two_kinds(lines, form):
        raise _ambiguous_commas_error(file)
    if len(form.dialect.fields(lines[form.start])) != len(form.kinds):
        raise _first_row_fault(file, ()) or _no_rows_error(path, lines)
    return file


# --- bytes ----------------------------------------------------------------------------------------


def _decode_file(path: Path, reading: Reading) -> str:
    """Return the text of a file, with \\n at line ends. Errors: E211 no text, E247 too large."""
    check_size(path.name, path.stat().st_size, SHORTER, reading)
    data = path.read_bytes()
    data = _unpack_file(path, reading) if data.startswith(GZIP) else data
    encoding = next((e for mark, e in BYTE_ORDERS.items() if data.startswith(mark)), None)
    try:
        text = data.decode(encoding or _find_encoding(data))
    except UnicodeDecodeError as error:
        raise _no_text_error(path, str(error.reason)) from None
    if NO_TEXT.search(text):
        raise _no_text_error(path, "it holds bytes that are no text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _find_encoding(data: bytes) -> str:
    """Return the encoding of a text without a byte order mark."""
    if b"\0" in (head := data[:1000]):  # UTF-16 of Latin letters has a zero in every second byte
        return "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _unpack_file(path: Path, reading: Reading) -> bytes:
    try:
        with gzip.open(path) as file:
            data = file.read(reading.max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, f"gzip: {error}", (f"gzip --test {quote(path.name)}",)) from None
    check_size(path.name, len(data), SHORTER, reading)
    if data.startswith(GZIP):
        once = (f"gzip --decompress --stdout {quote(path.name)} > once.csv.gz",)
        raise unreadable(path, "it is gzip within gzip", once)
    return data


def _no_text_error(path: Path, cause: str) -> MyoedgeError:
    return unreadable(path, f"it is no text: {cause}", (f"text in UTF-8: {NUMBERS}",))


# --- numbers --------------------------------------------------------------------------------------


def _number_columns(file: _TextFile, label: int | None, reading: Reading) -> list[int]:
    """Return the indices of the columns that are parsed as numbers. Errors: E211 no such column."""
    if reading.columns is None:
        numbers = file.form.of_kind(Kind.NUMBERS)
    else:
        numbers = [place(file.path.name, file.names, column) for column in reading.columns]
    is_text = label is None or file.form.kinds[label] is Kind.WORDS
    return numbers if is_text or label in numbers else [*numbers, label]  # type: ignore[list-item]


def _parse_columns(file: _TextFile, numbers: Sequence[int]) -> dict[int, Array]:
    """Parse columns of numbers as float64, and the columns of words. Errors: E211 a field that is
    no number, a row of another width."""
    import pandas
    from packaging.version import Version

    form, dialect = file.form, file.form.dialect
    missing = [*MISSING, *(word.upper() for word in MISSING), "NaN", "Null", "None"]
    # newer versions round numbers correctly without an option
    is_exact = Version(pandas.__version__) >= Version(EXACT_SINCE)
    exact = {} if is_exact else {"float_precision": "round_trip"}
    try:
        table = pandas.read_csv(
            StringIO("\n".join(file.lines[form.start :])),
            sep=r"\s+" if dialect.separator == BLANKS else dialect.separator,
            decimal=dialect.decimal,
            thousands=dialect.thousands or None,
            header=None,
            dtype=dict.fromkeys(range(len(form.kinds)), str) | dict.fromkeys(numbers, float),
            keep_default_na=False,
            na_values=dict.fromkeys(numbers, missing),
            skipinitialspace=True,
            engine="c",
            **exact,
        )
    except (ValueError, OverflowError) as error:  # pandas.errors.ParserError is a ValueError
        fault = _first_row_fault(file, numbers)
        cause = " ".join(str(error).split())
        raise fault or unreadable(file.path, cause, (NUMBERS,)) from None
    arrays: dict[int, Array] = {i: table[i].to_numpy(np.float64) for i in numbers}
    for i in {*form.of_kind(Kind.WORDS)} - {*numbers}:
        fields = [str(x).strip().strip("'").strip() for x in table[i].fillna("")]
        arrays[i] = np.array(fields, dtype=str)
    return arrays


def _parse_with_label(
    file: _TextFile, label: int | None, reading: Reading
) -> tuple[_TextFile, Sequence[int], dict[int, Array]]:
    """Return (file, columns of numbers, parsed columns); the file has a label of words if names
    follow numbers in it: classes 1, 2, rest. Errors: as _parse_columns."""
    numbers = _number_columns(file, label, reading)
    try:
        return file, numbers, _parse_columns(file, numbers)
    except MyoedgeError:
        is_number, fields = file.form.dialect.is_number, (row[label:] for _, row in file.rows)
        if label is None or not any(
            x and x[0] and not is_number(x[0]) and x[0].lower() not in MISSING for x in fields
        ):
            raise
    file = replace(file, form=file.form.with_words(label))
    numbers = _number_columns(file, label, reading)
    return file, numbers, _parse_columns(file, numbers)


# --- faults ---------------------------------------------------------------------------------------


def _check_gaps(file: _TextFile, table: Mapping[int, Array], needed: Sequence[int]) -> None:
    """Raise E211 for a row that is too short, E216 for an empty field in a column that is needed;
    NaN that is written passes."""
    texts = any(bool((x == "").any()) for x in table.values() if x.dtype.kind == "U")
    numbers = any(bool(np.isnan(x).any()) for x in table.values() if x.dtype.kind == "f")
    if (texts or numbers) and (fault := _first_row_fault(file, needed)) is not None:
        raise fault


def _first_row_fault(file: _TextFile, needed: Sequence[int]) -> MyoedgeError | None:
    """Return the error of the first row with a missing or wrong field; None if all are whole."""
    kinds = file.form.kinds
    filled = max(i + 1 for i, kind in enumerate(kinds) if kind is not Kind.EMPTY)
    for number, fields in file.rows:
        if not filled <= len(fields) <= len(kinds):
            return _row_width_error(file, number, len(fields))
        for i in needed:
            field, is_number = fields[i], file.form.dialect.is_number
            is_marked = field.lower() in MISSING[1:]  # as missing
            matches = bool(field) if kinds[i] is Kind.WORDS else is_number(field) or is_marked
            if not matches:
                return _field_error(file, number, i, field)
    return None


def _row_width_error(file: _TextFile, number: int, width: int) -> MyoedgeError:
    """Return E211 for a row with more or fewer columns than the others, as of decimal commas
    between commas."""
    form = file.form
    cause = f"line {number} has {width} columns, the others {len(form.kinds)}"
    text, separator = "\n".join(file.lines[form.start :]), form.dialect.separator
    between = {BLANKS: "", "\t": " -F'\\t'"}.get(separator, f" -F{quote(separator)}")
    whole = f"awk{between} 'NF == {len(form.kinds)}' {quote(file.path.name)} > whole.csv"
    is_decimal = separator == "," and "." not in text
    if is_decimal or '"' in text or Kind.EMPTY in form.kinds:
        return unreadable(file.path, cause, (SEMICOLONS,))
    return unreadable(file.path, cause, (f"{whole}  # without such lines",))


def _field_error(file: _TextFile, number: int, i: int, field: str) -> MyoedgeError:
    """Return the error for a field that is not a number: E216 if it is empty, otherwise E211."""
    names, form = file.names, file.form
    label = names.index(found) if (found := found_name(names, LABEL)) else None
    signals = [n for n in form.of_kind(Kind.NUMBERS) if n not in (i, label)]
    remedy = only(form.names, signals) if i != label else ""
    if field and folded(names[i]) in LIKELY_LABELS:
        remedy = f"[calib] label = {json.dumps(names[i], ensure_ascii=False)}"
    at = f"line {number}, column {names[i]}"
    tries = [remedy] if remedy else []
    if not field:
        title = f"{file.path.name} has an empty field"
        return MyoedgeError("E216", title, {"at": at}, ["leave out rows without a value", *tries])
    return unreadable(file.path, f"{at} is no number: {field[:40]!r}", (*tries, NUMBERS))


def _no_rows_error(path: Path, lines: Sequence[str]) -> MyoedgeError:
    """Return the error for a file without numbers: E215 if it has no rows, otherwise E211."""
    rows = [line for line in lines if line.strip() and not line.startswith(COMMENTS)]
    if len(rows) < 2:
        facts = {"needs": "a line of numbers for every moment"}
        return MyoedgeError("E215", f"{path.name} holds no rows", facts)
    return unreadable(path, f"no column holds numbers, such as {rows[1][:40]!r}", (NUMBERS,))


def _ambiguous_commas_error(file: _TextFile) -> MyoedgeError:
    """Return E211 for commas that separate columns and may be decimal signs too."""
    shown, width = file.lines[file.form.start][:40], len(file.form.kinds)
    cause = f"commas separate columns and may be decimal signs too: {shown!r}"
    names = f"the names of all {width} columns, if the comma is a separator alone"
    name = "its name, if the comma is its decimal sign alone"
    tries = (f"a first line with {names if width > 1 else name}", SEMICOLONS)
    return unreadable(file.path, cause, tries)
