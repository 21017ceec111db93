# SPDX-License-Identifier: Apache-2.0
"""Display of results in notebooks and by print: HTML cards, text, and rows for pandas.

A card is styled only by `style` attributes and inherits fonts and colours; a whole page is shown in
a frame without scripts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from myoedge.errors import MyoedgeError
from myoedge.system.tools import install_command

if TYPE_CHECKING:
    from pandas import DataFrame

Row = Mapping[str, Any]
T = TypeVar("T")

MOST_ROWS = 40  # rows per card
LONGEST_WHOLE = 32  # characters of a one-line cell
LINE = "1px solid rgba(128,128,128,.35)"
BOX = f"box-sizing:border-box;border:{LINE}"
CARD = f"display:inline-block;max-width:100%;overflow-x:auto;padding:8px 12px;{BOX}"
FACTS = "display:grid;grid-template-columns:max-content auto;gap:2px 16px;margin-top:6px"
FRAME = f"display:block;width:100%;height:36rem;resize:vertical;{BOX}"
TEXT = "margin:0;padding:0;border:0;background:none;color:inherit;white-space:pre-wrap"


@dataclass(frozen=True, slots=True)
class Card:
    """Content of a result's HTML card.

    facts   (name, value), one line each; empty values are left out
    rows    rows of a table, whose columns are the keys of the first row
    """

    title: str
    facts: Sequence[tuple[str, object]] = ()
    rows: Sequence[Row] = ()


class Shown:
    """Base class of results that a notebook shows as a card, and print() as the card's text."""

    __slots__ = ()

    def __str__(self) -> str:
        return repr(self) if type(self)._card is Shown._card else card_text(self._card())

    def _card(self) -> Card:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return card_html(self._card())


class Tabular(Shown):
    """Base class of results that have rows of a table."""

    __slots__ = ()

    def rows(self) -> Sequence[Row]:
        """Return rows with unformatted values, for programs; sizes in bytes, times in seconds."""
        raise NotImplementedError

    def to_pandas(self) -> DataFrame:
        """Return the rows as a pandas DataFrame. Errors: E501 without pandas."""
        return data_frame(self.rows())


class Rows(tuple[T, ...], Tabular):
    """Base class of results that are tuples of dataclasses, with one row per element.

    noun   name of the elements
    """

    __slots__ = ()
    noun: ClassVar[str] = "row"

    def rows(self) -> Sequence[Row]:
        """Return one row per element, with one column per field."""
        return [{f.name: getattr(x, f.name) for f in fields(x)} for x in self]  # type: ignore[arg-type]

    def _card(self) -> Card:
        return Card(f"{len(self):,} {self.noun}{'s' * (len(self) != 1)}", rows=self.rows())


class PlainText(str, Shown):
    """A string that a notebook shows with its line breaks."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return f'<pre style="{TEXT}">{escape(self)}</pre>'


def data_frame(rows: Sequence[Row]) -> DataFrame:
    """Return rows as a pandas DataFrame. Errors: E501 without pandas."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        tries = (install_command("notebook"), ".rows() gives them without pandas")
        facts = {"cause": error}
        raise MyoedgeError("E501", "pandas is needed for a DataFrame", facts, tries) from None
    return DataFrame([dict(row) for row in rows])


def framed(page: str, title: str) -> str:
    """Wrap an HTML page in a sandboxed iframe, without scripts."""
    return (
        f'<iframe srcdoc="{escape(page)}" title="{escape(title)}" '
        f'sandbox="allow-same-origin" style="{FRAME}"></iframe>'
    )


def card_html(card: Card) -> str:
    """Return the HTML of a card; all text is escaped."""
    facts = [(name, text) for name, value in card.facts if (text := cell(value))]
    cells = "".join(f"<span>{escape(n)}</span><span>{escape(text)}</span>" for n, text in facts)
    listed = f'<div style="{FACTS}">{cells}</div>' if facts else ""
    return f'<div style="{CARD}"><b>{escape(card.title)}</b>{listed}{_table(card.rows)}</div>'


def card_text(card: Card) -> str:
    """Return the lines of a card: title, facts, and a table with aligned columns."""
    facts = [(name, text) for name, value in card.facts if (text := cell(value))]
    shown, rest = card.rows[:MOST_ROWS], len(card.rows) - MOST_ROWS
    titles = [*card.rows[0]] if card.rows else []
    table = [[key.replace("_", " ") for key in titles]] if titles else []
    table += [[cell(row.get(key)) for key in titles] for row in shown]
    right = [all(_is_number(row.get(key)) for row in shown) for key in titles]
    lines = [*_align_columns(facts, [False, False]), *_align_columns(table, right)]
    return "\n".join([card.title, *lines, *[f"{rest:,} more in rows()"] * (rest > 0)])


def _align_columns(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sides = zip(row, widths, right, strict=True)
        yield "  ".join(x.rjust(n) if at_right else x.ljust(n) for x, n, at_right in sides).rstrip()


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    shown, rest = rows[:MOST_ROWS], len(rows) - MOST_ROWS
    numeric = [all(_is_number(row.get(key)) for row in shown) for key in rows[0]]
    titles = (key.replace("_", " ") for key in rows[0])
    lines = [_table_row("th", titles, numeric)]
    lines += [_table_row("td", (cell(row.get(key)) for key in rows[0]), numeric) for row in shown]
    more = f"<div>{rest:,} more in rows() and to_pandas()</div>" if rest > 0 else ""
    style = "margin:6px 0 0;border-collapse:collapse"
    return f'<table style="{style}">{"".join(lines)}</table>{more}'


def _table_row(tag: str, texts: Iterable[str], numeric: Sequence[bool]) -> str:
    cells = (
        f'<{tag} style="text-align:{"right" if right else "left"};padding:2px 10px 2px 0'
        f'{";white-space:nowrap" if len(text) <= LONGEST_WHOLE else ""}">{escape(text)}</{tag}>'
        for text, right in zip(texts, numeric, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def cell(value: object) -> str:
    """Format a value for a table: "1,234", "0.5", "1x8x40" for a shape, "" for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        joint = "x" if value and all(type(x) is int for x in value) else ", "
        return joint.join(map(str, value))
    return str(value)
