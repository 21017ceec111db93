# SPDX-License-Identifier: Apache-2.0
"""layers.csv: a line per layer of report.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from myoedge.reports.report_json import CAUSES, Report, dims

NO_COLUMNS = ("activity", "reads")  # only in report.json
FORMATS: dict[str, Callable[[Any], str]] = {
    "origin": lambda rows: " + ".join(f"{o['path']} ({o['source']})".strip() for o in rows),
    "in_dtypes": " ".join,
    "in_shapes": lambda shapes: " ".join(map(dims, shapes)),
    "out_shape": dims,
}


def layers_csv(report: Report) -> str:
    """Return layers.csv: a header, and one line per layer; shapes as 1x8x40, unknown numbers
    empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = [dict(_columns(row)) for row in report["layers"]]
    writer.writerows(map(list, rows[:1]))  # a network of views has no layers
    for row in rows:
        writer.writerow(
            "" if value is None else FORMATS.get(key, str)(value) for key, value in row.items()
        )
    return text.getvalue()


def _columns(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the columns of a layer's row, with one for every stall cause."""
    for key, value in row.items():
        if key == "stalls":
            stalls = value or {}
            yield from ((f"{cause}_percent", stalls.get(cause)) for cause in CAUSES)
        elif key not in NO_COLUMNS:
            yield key, value
