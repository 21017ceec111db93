# SPDX-License-Identifier: Apache-2.0
"""Power, battery life and latency of an application, compared between two builds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from myoedge.reports.check import check_reports
from myoedge.reports.diff import compare
from myoedge.reports.facts import verdict_of
from tests.extensions.sensor import applications
from tests.support.reports import changed

# figure, its place in report.json, and what decides whether two of its values are comparable
FIGURES = {
    "decision_s": ("decision_s", None, [("decision_source", "played")]),
    "duty.average_mw.0": (
        "average_mw",
        "duty",
        [("duty.source", "played"), ("every.others_mw", 4.0), ("energy_uj.coefficients", "a card")],
    ),
    "duty.hours.0": (
        "hours",
        "duty",
        [("duty.source", "played"), ("every.battery_mah", 300.0), ("every.battery_volts", 3.0)],
    ),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    build = applications.shared(tmp_path_factory, "windows")
    known = copy.deepcopy(dict(build.report))
    known["every"] = {"battery_mah": 150.0, "battery_volts": 3.7, "others_mw": None}
    known["duty"]["hours"] = [149.0, 72.0, 30_000.0]
    return known


def scaled(report: dict[str, Any], figure: str, factor: float) -> dict[str, Any]:
    key, table, _ = FIGURES[figure]
    new = copy.deepcopy(report)
    place = new if table is None else new[table]
    place[key] = [x * factor for x in place[key]] if table else place[key] * factor
    return new


def status_of(old: dict[str, Any], new: dict[str, Any], figure: str) -> str:
    rows = {row.change.fact.key: row.status for row in check_reports(old, new, {}).figures}
    return rows[figure]


@pytest.mark.parametrize("figure", FIGURES)
def test_a_worse_figure_is_told_and_fails_a_check(report: dict[str, Any], figure: str) -> None:
    loss = 1 / 1.03 if figure == "duty.hours.0" else 1.03  # 2 % are allowed
    for factor, result, status in ((loss, "worse", "worse"), (1 / loss, "better", "ok")):
        new = scaled(report, figure, factor)
        changes = compare(report, new)
        assert [change.fact.key for change in changes] == [figure]
        assert verdict_of(changes).result == result
        assert status_of(report, new, figure) == status
    within = scaled(report, figure, 1.0 + (loss - 1.0) / 3)
    assert verdict_of(compare(report, within)).result == "same"
    assert status_of(report, within, figure) == "ok"


@pytest.mark.parametrize(
    ("figure", "path", "value"),
    [(figure, *other) for figure, (_, _, others) in FIGURES.items() for other in others],
)
def test_figures_of_other_conditions_are_neither_better_nor_worse(
    report: dict[str, Any], figure: str, path: str, value: object
) -> None:
    new = changed(scaled(report, figure, 2.0), path, value)
    changes = {change.fact.key: change for change in compare(report, new)}
    assert changes[figure].is_better is None
    assert verdict_of([*changes.values()]).result == "same"
    assert status_of(report, new, figure) == "skipped"


def test_other_clocks_are_no_reason_to_skip_the_power(report: dict[str, Any]) -> None:
    """The build chooses them: fewer milliwatts are better, and figures of an inference are left."""
    new = changed(scaled(report, "duty.average_mw.0", 1.5), "target.operating_point", "low")
    check = check_reports(report, new, {})
    rows = {row.change.fact.key: row for row in check.figures}
    assert [key for key, row in rows.items() if row.status == "worse"] == ["duty.average_mw.0"]
    assert rows["decision_s"].status == "ok"
    assert rows["energy_uj.value"].text.endswith(", skipped: other operating point")
    assert "target.operating_point" not in rows
    better = changed(scaled(report, "duty.average_mw.0", 0.5), "target.operating_point", "low")
    assert check_reports(report, better, {}).failed == ()


def test_the_verdict_names_what_it_leaves_out(report: dict[str, Any]) -> None:
    new = changed(scaled(report, "duty.average_mw.0", 2.0), "duty.source", "played")
    told = str(verdict_of(compare(report, new)))
    assert told == "same but for what is not comparable: average power"
    faster = changed(new, "latency_s", report["latency_s"] / 2)
    told = str(verdict_of(compare(report, faster)))
    assert told == "better: latency -50.0 %; not comparable: average power"
