# SPDX-License-Identifier: Apache-2.0
"""Characters between the columns of a text file, and in its numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

BLANKS = " "
SEPARATORS = (";", "\t", ",", "|", BLANKS)  # ";" first: next to it, a comma is a decimal comma
DECIMALS = (  # decimal sign and separator of thousands
    (".", ""), (",", ""), (".", ","), (",", "."), (".", "'"), (",", "'"), (".", " "), (",", " "),
)  # fmt: skip
MISSING = ("", "nan", "na", "n/a", "#n/a", "null", "none", "-", "--")


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
        return bool(_number_pattern(self.decimal, self.thousands).fullmatch(field))

    def is_word(self, field: str) -> bool:
        """Return whether a field is neither a number nor a mark for a missing one."""
        return field.lower() not in MISSING and not self.is_number(field)

    def kind(self, fields: Sequence[str]) -> Kind:
        """Return the content of a column."""
        if not any(fields):
            return Kind.EMPTY
        numbers = sum(self.is_number(x) and x.lower() not in MISSING for x in fields)
        return Kind.NUMBERS if numbers >= sum(map(self.is_word, fields)) else Kind.WORDS

    def kinds(self, rows: Sequence[Sequence[str]]) -> tuple[Kind, ...]:
        """Return the content of the columns of rows of one width."""
        return tuple(map(self.kind, zip(*rows, strict=True)))


def dialects(text: str, told: Sequence[str]) -> Iterator[Dialect]:
    """Yield the dialects whose characters occur in a text.

    told   the separator, if the file names it; (): any
    """
    separators = told or [*filter((text + BLANKS + ",").__contains__, SEPARATORS)]
    for separator in separators:
        for decimal, thousands in DECIMALS:
            is_there = (decimal == "." or decimal in text) and thousands in text
            if is_there and (separator not in (decimal, thousands) or '"' in text):
                yield Dialect(separator, decimal, thousands)


_NUMBERS: dict[tuple[str, str], re.Pattern[str]] = {}


def _number_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    """Return the pattern of a number."""
    if (decimal, thousands) not in _NUMBERS:
        point = re.escape(decimal)
        whole = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+" if thousands else r"\d+"
        digits = rf"(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
        pattern = re.compile(rf"[+-]?(?:{digits}|nan|inf|infinity)", re.IGNORECASE | re.ASCII)
        _NUMBERS[decimal, thousands] = pattern
    return _NUMBERS[decimal, thousands]
