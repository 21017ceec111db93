# SPDX-License-Identifier: Apache-2.0
"""report.json as a Python dictionary, shown by notebooks as the report's page; layers.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from myoedge.errors import Notice
from myoedge.reports import duty_lines, energy
from myoedge.reports.html import report_html
from myoedge.reports.report_json import CAUSES, Report, dims
from myoedge.system.notebook import Card, Tabular, framed


class ReportDocument(dict[str, Any], Tabular):
    """The content of report.json (docs/reference/reports.md), as a dictionary."""

    __slots__ = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per layer, as in layers.csv."""
        return [dict(row) for row in self["layers"]]

    def _repr_html_(self) -> str:
        return framed(report_html(self), "report")

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print only the keys: the plain-text form that notebooks store next to the page."""
        printer.text(f"{type(self).__name__} of {self['model']['name']}: {', '.join(self)}")


class EnergyReport(ReportDocument):
    """The content of report.json after an estimate of its energy, which notebooks show.

    unwritten   W210 if the reports of the folder could not be replaced
    """

    __slots__ = ("unwritten",)

    def __init__(self, report: Mapping[str, Any], unwritten: Notice | None = None) -> None:
        super().__init__(report)
        self.unwritten = unwritten

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per operating point: energies in microjoules, latency_s in seconds,
        power_mw in milliwatts."""
        row = energy.energy_row(self)
        return [dict(point) for point in row["points"]] if row else []

    _repr_html_ = Tabular._repr_html_

    def _card(self) -> Card:
        facts = [
            *duty_lines.duty_rows(self),
            ("counted", duty_lines.counted_powers(self)),
            ("parts", energy.parts(self)),
            ("from", energy.source(self)),
            ("warning", self.unwritten),
        ]
        keys = ("energy", "latency", "power", "operating point")
        rows = [dict(zip(keys, row, strict=True)) for row in energy.by_point(self)]
        return Card(f"energy of {self['model']['name']}", facts, rows)


# --- layers.csv -----------------------------------------------------------------------------------


NO_COLUMNS = ("activity", "members", "reads", "writes")  # only in report.json
FORMATS: dict[str, Callable[[Any], str]] = {
    "origin": lambda rows: " + ".join(f"{o['path']} ({o['source']})".strip() for o in rows),
    "in_dtypes": " ".join,
    "in_shapes": lambda shapes: " ".join(map(dims, shapes)),
    "out_shape": dims,
    "weight_stored_bits": lambda bits: " ".join(map(str, bits)),
}


def layers_csv(report: Report) -> str:
    """Return layers.csv: a header, and one line per layer; shapes as 1x8x40, unknown numbers
    empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = [dict(_layer_columns(row)) for row in report["layers"]]
    writer.writerows(map(list, rows[:1]))  # a network of views has no layers
    for row in rows:
        writer.writerow(
            "" if value is None else FORMATS.get(key, str)(value) for key, value in row.items()
        )
    return text.getvalue()


def _layer_columns(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the columns of a layer's row, with one for every stall cause."""
    for key, value in row.items():
        if key == "stalls":
            stalls = value or {}
            yield from ((f"{cause}_percent", stalls.get(cause)) for cause in CAUSES)
        elif key not in NO_COLUMNS:
            yield key, value
