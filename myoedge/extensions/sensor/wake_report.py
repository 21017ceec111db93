# SPDX-License-Identifier: Apache-2.0
"""The section of reports on the gate of [wake]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.reports.tables import ReportTable
from myoedge.reports.wording import percent, several, three_digits


def one_line(report: Mapping[str, Any]) -> str:
    """Describe when the network runs."""
    found = report["wake"]
    limit, hold = three_digits(found["threshold"]), several(found["hold"], "window")
    text = f"on windows with {_measure(report)} of {limit} or more"
    text += f", and on {hold} after each" if found["hold"] else ""
    if not found["windows"]:
        return text
    below, windows = found["below"], several(found["windows"], "calibration window")
    rest = f"class {found['rest']}"
    return f"{text}; {below:,} of {windows} below, {found['missed']:,} of these not {rest}"


def _measure(report: Mapping[str, Any]) -> str:
    """Return the name of the gate's value, which the threshold limits."""
    output = report["wake"].get("output")
    if output is None:
        return "an RMS"
    name = report["outputs"][output["number"]]["name"]
    if output["values"] == 1:
        return f"an output {name}"
    return f"an output {name} other than {output['rest']}, less that one,"


def wake_table(report: Mapping[str, Any]) -> ReportTable:
    """Return the settings of the gate, and numbers of calibration windows below its limit."""
    found = report["wake"]
    rows = [
        ("threshold from which the network runs", three_digits(found["threshold"])),
        ("compared with it", _measure(report).removesuffix(",")),
        ("hold", several(found["hold"], "window")),
        ("class while it rests", str(found["rest"])),
    ]
    if (output := found.get("output")) is not None:
        rows.append(("layers that run on every window", f"{output['layers']:,}"))
    if found["windows"]:
        at_most = "" if found["miss"] is None else f"; at most {percent(found['miss'])}"
        rows += [
            ("windows of the calibration", f"{found['windows']:,}"),
            ("of them below the threshold", f"{found['below']:,}"),
            ("decisions other than rest", f"{found['others']:,}"),
            ("of them below the threshold", f"{found['missed']:,}{at_most}"),
        ]
    return ReportTable(("part", "value"), tuple(rows), words=("part", "value"))
