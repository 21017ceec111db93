# SPDX-License-Identifier: Apache-2.0
"""Tables of text cells, for the terminal and for HTML pages; blocks of text for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myoedge.errors import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.padding import Padding
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text


Cells = tuple[str, ...]


@dataclass(frozen=True)
class ReportTable:
    """A table of text cells.

    titles   titles of the columns
    rows     rows of cells
    words    titles of left-aligned text columns; other columns contain numbers and are
             right-aligned
    """

    titles: Cells
    rows: tuple[Cells, ...]
    words: Cells = ()

    def __bool__(self) -> bool:
        return bool(self.rows)


# --- on a terminal --------------------------------------------------------------------------------


LEFT = ("layer", "operator", "engine", "output")


def show(block: Table | Padding | Text, console: Console) -> None:
    """Print a block without the trailing blanks that rich leaves at line ends."""
    console.print(Lines(lambda _: [block]), end="")


@dataclass(frozen=True, slots=True)
class Lines:
    """A rich renderable that shows text blocks at the console's width, without trailing blanks.

    draw   width in characters -> blocks
    """

    draw: Callable[[int], Iterable[Table | Padding | Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for block in self.draw(options.max_width):
            for line in console.render_lines(block, options, pad=False):
                segments = list(line)
                while segments and not segments[-1].text.strip():
                    segments.pop()
                if segments:
                    segments[-1] = segments[-1]._replace(text=segments[-1].text.rstrip())
                yield from (*segments, Segment.line())


def styled(text: str, style: str = "") -> Text:
    """Return text without terminal control characters, with its own line breaks."""
    from rich.text import Text

    return Text("\n".join(map(printable, text.split("\n"))), style)


def columns(titles: Iterable[str], *, left: Container[str] = LEFT, **options: Any) -> Table:
    """Return a table without lines; numbers are right-aligned.

    left      titles of left-aligned columns
    options   rich options of every column
    """
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in titles:
        table.add_column(title, justify="left" if title in left else "right", **options)
    return table


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Return a table of (name, value) rows, with long values wrapped next to their names."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def drawn(made: ReportTable) -> Table:
    """Return a table of text cells as a rich table."""
    table = columns(made.titles, left=made.words)
    for row in made.rows:
        table.add_row(*map(styled, row))
    return table
