# SPDX-License-Identifier: Apache-2.0
"""report.json as a Python dictionary, which notebooks show as the report's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.errors import Notice
from myoedge.reports import duty_lines, energy
from myoedge.reports.html import report_html
from myoedge.system.notebook import Card, Tabular, framed


class ReportDocument(dict[str, Any], Tabular):
    """The content of report.json (docs/reports.md), as a dictionary."""

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

    def _repr_html_(self) -> str:
        return Tabular._repr_html_(self)

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
