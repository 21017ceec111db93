# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/ that are made from recorded figures, code on pages, programs of examples/."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from myoedge.reports.report_json import CAUSES, Report
from myoedge.reports.text import print_report
from tests.conftest import ROOT

# Columns of layers.csv, in the order that users' programs may rely on; causes of stalls between.
COLUMNS = (
    *[
        "name",
        "label",
        "op",
        "activation",
        "function",
        "origin",
        "in_shapes",
        "out_shape",
        "dtype",
        "in_dtypes",
    ],
    *[
        "weight_dtype",
        "weight_bits",
        "weight_stored_bits",
        "macs",
        "cycles",
        "cycles_compute",
        "cycles_dma",
        "cycles_ne16",
        "macs_per_cycle",
    ],
    *["energy_uj", "energy_low_uj", "energy_high_uj", "instructions"],
    *(f"{cause}_percent" for cause in CAUSES),
    *[
        "l1_bytes",
        "tile",
        "tiles",
        "cycles_modelled",
        "waiting_modelled",
        "ne16_modelled",
        "engine",
        "other_engine",
        "weights_in",
        "weights_bytes",
    ],
    *["weights_l2_bytes", "weights_l3_bytes", "l3_moved_bytes", "read_bytes", "out_bytes"],
    *["sqnr_db", "sqnr_local_db"],
)
PAGE = ROOT / "docs" / "developers" / "performance.md"


def head(*columns: str) -> str:
    """The first two lines of a table."""
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"


def markdown(head: str, rows: Sequence[Sequence[str]]) -> str:
    return head + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def put(head: str, rows: Sequence[Sequence[str]], page: Path = PAGE) -> None:
    """Replaces the rows below this head. Errors: ValueError where the page has no such table."""
    page.write_text(replaced(page.read_text(), head, rows))


def replaced(text: str, head: str, rows: Sequence[Sequence[str]]) -> str:
    """A page with other rows below this head. Errors: ValueError where it has no such table."""
    before, found, after = text.partition(head)
    if not found:
        raise ValueError(f"there is no table {head.splitlines()[0]}")
    rest = after.splitlines(keepends=True)
    while rest and rest[0].startswith("|"):
        rest.pop(0)
    return before + markdown(head, rows) + "".join(rest)


def shown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The same for a terminal."""
    made = Table(*columns)
    for cells in rows:
        made.add_row(*cells)
    return made


def show(
    found: object,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    recorded: Path,
    page: Path = PAGE,
) -> None:
    """The table of what was found; kept in a file and in a page where --record is asked for."""
    Console().print(shown(columns, rows))
    if "--record" in sys.argv[1:]:
        recorded.write_text(json.dumps(found, indent=1) + "\n")
        put(head(*columns), rows, page)


def summary(report: Report, *, width: int = 80, html: str = "") -> str:
    """The summary of a report as plain text. html: path of report.html, on the last line."""
    text = io.StringIO()
    print_report(report, Console(file=text, width=width, no_color=True), html=html)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def section(page: Path, heading: str) -> str:
    """A heading's text, up to the next heading of its level."""
    level = heading.partition(" ")[0]
    _, _, rest = f"\n{page.read_text(encoding='utf-8')}".partition(f"\n{heading}\n")
    assert rest, heading
    return rest.split(f"\n{level} ")[0]


def fenced(page: Path, heading: str = "") -> Iterator[tuple[str, str, str]]:
    """(language, rest of the opening line, content) of every fenced block of a page, or of a
    heading's text."""
    blocks = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    text = section(page, heading) if heading else page.read_text(encoding="utf-8")
    for found in blocks.finditer(text):
        yield found.group(1), found.group(2), found.group(3)


def code_of(page: Path, file: str) -> str:
    """The block of a page that is a file."""
    (code,) = (content for _, path, content in fenced(page) if path == file)
    return code


def example(name: str) -> ModuleType:
    """The module of examples/<name>.py."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
