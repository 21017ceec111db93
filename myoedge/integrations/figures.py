# SPDX-License-Identifier: Apache-2.0
"""Numbers and facts of a build's report, by their paths in report.json."""

from __future__ import annotations

from myoedge.reports.measures import NETWORK, is_number, value_at
from myoedge.reports.report_json import Report


def figures(report: Report) -> dict[str, float]:
    """Return the report's metrics, for which more or less is better, by path: "cycles.total",
    "energy_uj.value", "quantization.accuracy_int8" (0..1).

    Metrics that the report does not have, such as an accuracy without labels, are left out.
    """
    paths = [measure.path for measure in NETWORK if measure.better]
    found = {path: value_at(report, path) for path in paths}
    return {path: float(value) for path, value in found.items() if is_number(value)}


def facts(report: Report) -> dict[str, str]:
    """Return the report's values that are no metrics, as text by path: "target.chip", "exact.host";
    unknown values are left out."""
    paths = [measure.path for measure in NETWORK if not measure.better]
    found = {path: value_at(report, path) for path in paths}
    return {path: str(value) for path, value in found.items() if value is not None}
