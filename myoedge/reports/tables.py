# SPDX-License-Identifier: Apache-2.0
"""Tables of text cells, for the terminal and for HTML pages; blocks of text, and names that fit a
column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
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
GAP_CHARS = 2  # between columns


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


def column_chars(titles: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """Return the width of each column in characters, including the gap after it.

    titles   column -> title
    rows     column -> text, of every row
    """
    return {
        name: max(len(title), *(len(row.get(name, "")) for row in rows)) + GAP_CHARS
        for name, title in titles.items()
    }


def columns(titles: Iterable[str], *, left: Container[str] = LEFT, **options: Any) -> Table:
    """Return a table without lines; numbers are right-aligned.

    left      titles of left-aligned columns
    options   rich options of every column
    """
    from rich.table import Table

    table = Table(box=None, padding=(0, GAP_CHARS, 0, 0), pad_edge=False, header_style="dim")
    for title in titles:
        table.add_column(title, justify="left" if title in left else "right", **options)
    return table


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Return a table of (name, value) rows, with long values wrapped next to their names."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, GAP_CHARS, 0, 0), pad_edge=False)
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


# --- layer names that fit a column ----------------------------------------------------------------


ELLIPSIS = "…"
SEPARATORS = "./: "  # characters after which a long name may be broken
MIN_PREFIX_CHARS = 4  # minimum length of a common prefix that is left out


def shortened(names: Sequence[str], max_chars: int) -> list[str]:
    """Shorten layer names to `max_chars` characters per line, keeping them distinct.

    Fused parts, common leading modules and further leading modules are dropped, in this order; a
    name takes several lines if it would otherwise equal another one.
    """
    for shorten in (_shorten_fused_names, _strip_common_modules):
        if all(len(name) <= max_chars for name in names):
            break
        shorter = shorten(names)
        names = shorter if len(set(shorter)) == len(set(names)) else names
    ends = {name: _shorten_to_last_modules(name, max_chars) for name in names}
    count = Counter(ends.values())
    return [
        ends[name] if ends[name] and count[ends[name]] == 1 else in_lines(name, max_chars)
        for name in names
    ]


def on_one_line(names: Sequence[str], max_chars: int) -> list[str]:
    """Shorten layer names as `shortened` does, with an ellipsis in the middle instead of line
    breaks."""
    head, tail = (max_chars - 1) // 2, max_chars // 2
    pairs = zip(names, shortened(names, max_chars), strict=True)
    return [
        f"{name[:head]}{ELLIPSIS}{name[-tail:]}" if "\n" in short else short
        for name, short in pairs
    ]


def _shorten_fused_names(names: Sequence[str]) -> list[str]:
    """Return fused layers' names shortened to their first layer; numbers as in "(2)" are kept."""
    return [re.sub(r" \+ .*?( \(\d+\))?$", r"\1", name) for name in names]


def _strip_common_modules(names: Sequence[str]) -> list[str]:
    first, last = min(names), max(names)
    pairs = enumerate(zip(first, last, strict=False))
    prefix = first[: next((n for n, (a, b) in pairs if a != b), len(first))]
    # as in ONNX's "layer.0"
    module_chars = prefix.rfind("/" if "/" in prefix else ".") + 1
    if module_chars < MIN_PREFIX_CHARS or len(names) < 2:
        return list(names)
    return [ELLIPSIS + name[module_chars:] for name in names]


def _shorten_to_last_modules(name: str, max_chars: int) -> str:
    """Return an ellipsis and as many last modules as fit; "" if even the last is too long."""
    if len(name) <= max_chars:
        return name
    starts = (n + 1 for n, char in enumerate(name) if char in "./" and name[n + 1 :])
    ends = (ELLIPSIS + name[start:].lstrip() for start in starts)
    return next((end for end in ends if len(end) <= max_chars), "")


def in_lines(name: str, max_chars: int) -> str:
    """Break a name into lines of at most `max_chars` characters."""
    return "\n".join(_break_name(name, max_chars))


def _break_name(name: str, max_chars: int) -> Iterator[str]:
    """Yield a name in lines of at most `max_chars`, if possible broken after modules."""
    while len(name) > max_chars:
        ends = [n + 1 for n, char in enumerate(name[:max_chars]) if char in SEPARATORS and n]
        cut = max(ends, default=max_chars)
        yield name[:cut].rstrip()
        name = name[cut:]
    yield name
