# SPDX-License-Identifier: Apache-2.0
"""Text files with one row of numbers per line, parsed by pandas."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.columns import (
    Column,
    content_of,
    label_place,
    others,
    place,
    shown_names,
)
from myoedge.quantization.recordings.dialect import (
    BLANKS,
    COMMENTS,
    MISSING,
    Kind,
    TextForm,
    form_of,
    has_commas_of_two_kinds,
)
from myoedge.quantization.recordings.reading import Content, Reading, check_size, unreadable

GZIP = b"\x1f\x8b"
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


def read_text(path: Path, reading: Reading) -> Content:
    """Read a text file: its signals as float64 [rows, columns], and its label, which may be names.

    The file may be gzip, in UTF-8, UTF-16 or Latin-1, with any usual separator and decimal sign.
    Errors: E211 no numbers or no such column, E216 an empty field, E247 too large.
    """
    text = _decoded(path, reading)
    lines = text.replace("\u2212", "-").split("\n")
    form = form_of(lines)
    if form is None:
        raise _no_rows(path, lines)
    if has_commas_of_two_kinds(lines, form):
        raise _commas(path, lines, form)
    if len(form.dialect.fields(lines[form.start])) != len(form.kinds):
        raise _fault(path, lines, form, ()) or _no_rows(path, lines)
    names = shown_names(form.names or ("",) * len(form.kinds))
    numbers, texts = _wanted(path, names, form, reading)
    table = _parsed(path, lines, form, numbers, texts)
    label = label_place(path.name, names, reading)
    needed = [*numbers, *([label] if label in texts else [])]
    fault = _fault(path, lines, form, needed) if _has_gaps(table, needed, form) else None
    if fault is not None:
        raise fault
    own_names = form.names or ("",) * len(names)
    columns = [
        Column(own_names[i], table.get(i), form.units[i] if form.units else "")
        for i in range(len(names))
    ]
    settings = {} if form.rate_hz is None else {"rate": np.asarray(form.rate_hz)}
    return content_of(path.name, columns, reading, settings)


# --- bytes ----------------------------------------------------------------------------------------


def _decoded(path: Path, reading: Reading) -> str:
    """Return the text of a file, with \\n at line ends. Errors: E211 no text, E247 too large."""
    check_size(path.name, path.stat().st_size, SHORTER, reading)
    data = path.read_bytes()
    if data.startswith(GZIP):
        data = _unpacked(path, reading)
    encoding = next((e for mark, e in BYTE_ORDERS.items() if data.startswith(mark)), None)
    try:
        text = data.decode(encoding or _encoding(data))
    except UnicodeDecodeError as error:
        raise _no_text(path, str(error.reason)) from None
    if NO_TEXT.search(text):
        raise _no_text(path, "it holds bytes that are no text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(data: bytes) -> str:
    """Return the encoding of a text without a byte order mark."""
    if b"\0" in (head := data[:1000]):  # UTF-16 of Latin letters has a zero in every second byte
        return "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _unpacked(path: Path, reading: Reading) -> bytes:
    try:
        with gzip.open(path) as file:
            data = file.read(reading.max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, f"gzip: {error}", (f"gzip --test {quote(path.name)}",)) from None
    check_size(path.name, len(data), SHORTER, reading)
    return data


def _no_text(path: Path, cause: str) -> MyoedgeError:
    return unreadable(path, f"it is no text: {cause}", (f"text in UTF-8: {NUMBERS}",))


# --- numbers --------------------------------------------------------------------------------------


def _wanted(
    path: Path, names: Sequence[str], form: TextForm, reading: Reading
) -> tuple[list[int], list[int]]:
    """Return the indices of the columns that are parsed as numbers, and as text. Errors: E211 no
    such column."""
    label = label_place(path.name, names, reading)
    texts = [i for i, kind in enumerate(form.kinds) if kind is Kind.WORDS]
    if reading.columns is None:
        numbers = [i for i, kind in enumerate(form.kinds) if kind is Kind.NUMBERS]
    else:
        numbers = [place(path.name, names, column) for column in reading.columns]
    if label is not None and label not in (*numbers, *texts):
        numbers.append(label)
    return numbers, [i for i in texts if i not in numbers]


def _parsed(
    path: Path, lines: Sequence[str], form: TextForm, numbers: Sequence[int], texts: Sequence[int]
) -> dict[int, Array]:
    """Parse columns, as float64 and as texts. Errors: E211 a field that is no number, a row of
    another width."""
    import pandas

    dialect = form.dialect
    missing = [*MISSING, *(word.upper() for word in MISSING), "NaN", "Null", "None"]
    try:
        table = pandas.read_csv(
            StringIO("\n".join(lines[form.start :])),
            sep=r"\s+" if dialect.separator == BLANKS else dialect.separator,
            decimal=dialect.decimal,
            thousands=dialect.thousands or None,
            header=None,
            dtype={i: float if i in numbers else str for i in range(len(form.kinds))},
            keep_default_na=False,
            na_values=dict.fromkeys(numbers, missing),
            skipinitialspace=True,
            engine="c",
            **_exact(pandas.__version__),
        )
    except (ValueError, OverflowError) as error:  # pandas.errors.ParserError is a ValueError
        fault = _fault(path, lines, form, numbers)
        raise fault or unreadable(path, " ".join(str(error).split()), (NUMBERS,)) from None
    arrays: dict[int, Array] = {i: table[i].to_numpy(np.float64) for i in numbers}
    words = {i: [str(x).strip().strip("'").strip() for x in table[i].fillna("")] for i in texts}
    return arrays | {i: np.array(column, dtype=str) for i, column in words.items()}


def _exact(version: str) -> dict[str, Any]:
    """Return the option of pandas.read_csv that rounds numbers correctly."""
    from packaging.version import Version

    return {} if Version(version) >= Version(EXACT_SINCE) else {"float_precision": "round_trip"}


# --- faults ---------------------------------------------------------------------------------------


def _has_gaps(table: dict[int, Array], needed: Sequence[int], form: TextForm) -> bool:
    """Return whether a field may be missing."""
    if any((table[i] == "").any() for i in table if table[i].dtype.kind == "U"):
        return True  # of the label, or of a row that is too short
    return any(np.isnan(table[i]).any() for i in needed if table[i].dtype.kind == "f")


def _fault(
    path: Path, lines: Sequence[str], form: TextForm, needed: Sequence[int]
) -> MyoedgeError | None:
    """Return the error of the first row with a missing or wrong field; None if all are whole, such
    as NaN that is written."""
    width = len(form.kinds)
    filled = max(i + 1 for i, kind in enumerate(form.kinds) if kind is not Kind.EMPTY)
    for number, line in enumerate(lines[form.start :], form.start + 1):
        if not line.strip():
            continue
        fields = form.dialect.fields(line)
        if not filled <= len(fields) <= width:
            return _other_width(path, lines, form, number, len(fields))
        for i in needed:
            is_name = form.kinds[i] is Kind.WORDS and bool(fields[i])
            is_number = form.dialect.is_number(fields[i]) or fields[i].lower() in MISSING[1:]
            if not (is_number or is_name):
                return _bad_field(path, form, number, i, fields[i])
    return None


def _other_width(
    path: Path, lines: Sequence[str], form: TextForm, number: int, width: int
) -> MyoedgeError:
    """Return E211 for a row with more or fewer columns than the others, as of decimal commas
    between commas."""
    cause = f"line {number} has {width} columns, the others {len(form.kinds)}"
    text, separator = "\n".join(lines[form.start :]), form.dialect.separator
    if separator == "," and not {".", '"'} & {*text}:
        return unreadable(path, cause, (SEMICOLONS,))
    between = {BLANKS: "", "\t": " -F'\\t'"}.get(separator, f" -F{quote(separator)}")
    whole = f"awk{between} 'NF == {len(form.kinds)}' {quote(path.name)} > whole.csv"
    is_simple = '"' not in text and Kind.EMPTY not in form.kinds
    return unreadable(path, cause, (f"{whole}  # without such lines" if is_simple else SEMICOLONS,))


def _bad_field(path: Path, form: TextForm, number: int, i: int, field: str) -> MyoedgeError:
    """Return the error for a field that is not a number: E216 if it is empty, otherwise E211."""
    names = shown_names(form.names or ("",) * len(form.kinds))
    label = next((n for n, name in enumerate(names) if name.lower() == "label"), None)
    texts = [n for n, kind in enumerate(form.kinds) if kind is not Kind.NUMBERS]
    remedy = others(form.names, (i, label, *texts)) if i != label else ""
    at = f"line {number}, column {names[i]}"
    tries = [remedy] if remedy else []
    if not field:
        title = f"{path.name} has an empty field"
        return MyoedgeError("E216", title, {"at": at}, ["leave out rows without a value", *tries])
    return unreadable(path, f"{at} is no number: {field[:40]!r}", (*tries, NUMBERS))


def _no_rows(path: Path, lines: Sequence[str]) -> MyoedgeError:
    """Return the error for a file without numbers: E215 if it has no rows, otherwise E211."""
    rows = [line for line in lines if line.strip() and not line.startswith(COMMENTS)]
    if len(rows) < 2:
        facts = {"needs": "a line of numbers for every moment"}
        return MyoedgeError("E215", f"{path.name} holds no rows", facts)
    return unreadable(path, f"no column holds numbers, such as {rows[1][:40]!r}", (NUMBERS,))


def _commas(path: Path, lines: Sequence[str], form: TextForm) -> MyoedgeError:
    """Return E211 for commas that separate columns and may be decimal signs too."""
    cause = f"commas separate columns and may be decimal signs too: {lines[form.start][:40]!r}"
    columns = f"the names of all {width} columns" if (width := len(form.kinds)) > 1 else "its name"
    one = f"a first line with {columns}, if the comma is "
    tries = (
        f"{one}{'a separator' if width > 1 else 'its decimal sign'} alone",
        SEMICOLONS,
    )
    return unreadable(path, cause, tries)
