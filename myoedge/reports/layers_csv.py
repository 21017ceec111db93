# SPDX-License-Identifier: Apache-2.0
"""layers.csv: the rows of the report's layers as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from myoedge.reports.report_json import CAUSES, Report, dims

NO_COLUMNS = ("activity",)  # counters of a run, which are in report.json alone
FORMATS: dict[str, Callable[[Any], str]] = {
    "origin": lambda rows: " + ".join(f"{o['path']} ({o['source']})".strip() for o in rows),
    "in_dtypes": " ".join,
    "in_shapes": lambda shapes: " ".join(map(dims, shapes)),
    "out_shape": dims,
}


def layers_csv(report: Report) -> str:
    """One line a layer under a header; shapes as 1x8x40, unknown numbers empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = [dict(_columns(row)) for row in report["layers"]]
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            "" if value is None else FORMATS.get(key, str)(value) for key, value in row.items()
        )
    return text.getvalue()


def _columns(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries of a layer in the report, with a column for every cause of stalls."""
    for key, value in row.items():
        if key == "stalls":
            stalls = value or {}
            yield from ((f"{cause}_percent", stalls.get(cause)) for cause in CAUSES)
        elif key not in NO_COLUMNS:
            yield key, value
