# SPDX-License-Identifier: Apache-2.0
"""Metrics and other facts of a build's report, by their paths in report.json."""

from __future__ import annotations

from myoedge.reports import facts as reported
from myoedge.reports.report_json import Report


def figures(report: Report) -> dict[str, float]:
    """Return the report's metrics, for which more or less is better, by path: "cycles.total",
    "energy_uj.value", "quantization.accuracy_int8" (0..1).

    Metrics that the report does not have, such as an accuracy without labels, are left out.
    """
    known = {fact.key: fact.value for fact in reported.facts(report) if fact.better}
    return {key: float(value) for key, value in known.items() if isinstance(value, int | float)}


def facts(report: Report) -> dict[str, str]:
    """Return the report's values that are no metrics, as text by path: "target.chip", "exact.host";
    unknown values are left out."""
    return {fact.key: str(fact.value) for fact in reported.facts(report) if not fact.better}
