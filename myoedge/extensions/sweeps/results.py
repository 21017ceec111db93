# SPDX-License-Identifier: Apache-2.0
"""Results of a sweep on disk, their tables, and regressions beyond the bounds."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError, command
from myoedge.extensions.sweeps.executors import (
    DIFFERS,
    FIGURES,
    OK,
    OUTCOME,
    PARTS,
    WARNINGS,
    Result,
)
from myoedge.extensions.sweeps.settings import LABELS, UNSET, Bounds, name_of
from myoedge.extensions.sweeps.tasks import SCHEMA, Task
from myoedge.reports.diff import Change, cells
from myoedge.reports.facts import FACT_OF, Fact
from myoedge.reports.junit import JunitCase
from myoedge.system.folder import explained, replace_files, to_json
from myoedge.system.regular_files import read_text

RUNS, TABLE = "runs", "sweep.json"
COLUMNS = (*LABELS, *OUTCOME, *FIGURES, WARNINGS)


def kept(folder: Path, task: Task) -> Result | None:
    """Return the stored result of a task; None if there is no readable one."""
    try:
        found = json.loads(read_text(_result_file(folder, task.key)))
    except (OSError, ValueError, RecursionError):
        return None
    is_of_task = isinstance(found, dict) and found.get("key") == task.key
    return found if is_of_task and {*COLUMNS} <= found.keys() else None


def keep(folder: Path, result: Result) -> None:
    """Store a result of a sweep in its folder. Errors: E220, E281."""
    file = _result_file(folder, result["key"])
    with explained(folder):
        file.parent.mkdir(parents=True, exist_ok=True)
    replace_files(file.parent, {file.name: to_json(result).encode()})


def _result_file(folder: Path, key: str) -> Path:
    return folder / RUNS / f"{key}.json"


def warning_codes(row: Mapping[str, Any]) -> list[str]:
    """Return the codes of a result's warnings, each once."""
    return [*dict.fromkeys(str(warning["code"]) for warning in row.get(WARNINGS) or ())]


def table_json(rows: Sequence[Result]) -> str:
    return to_json({"schema": SCHEMA, "results": list(rows)})


def table_csv(rows: Sequence[Result]) -> str:
    """Return the results as CSV, one line each; unknown numbers are empty, parts and warnings are
    separated by spaces."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        parts = None if row[PARTS] is None else " ".join(row[PARTS])
        writer.writerow({**row, PARTS: parts, WARNINGS: " ".join(warning_codes(row))})
    return text.getvalue()


def read_table(path: Path) -> list[Result]:
    """Read sweep.json, or the one in a folder. Errors: E261 not results of a sweep."""
    file = path / TABLE if os.path.isdir(path) else path
    try:
        found = json.loads(read_text(file))
        rows = [{**dict.fromkeys(LABELS, UNSET), **row} for row in found["results"]]
        if found["schema"] != SCHEMA or any(row["model"] == UNSET for row in rows):
            raise ValueError("another schema")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        cause = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise MyoedgeError(
            "E261", f"{path} holds no results of a sweep", {"cause": cause}
        ) from None
    return rows


# --- against earlier results ----------------------------------------------------------------------

GONE = "result"
MOST_NAMED = 8
WORSE_CODE = "E305"


_OF_RUN, _OF_LABELS = ("cycles_source",), ("evaluated_on",)
# Figures checked for regressions -> figures that must be equal in both sweeps for a comparison.
JUDGED: Mapping[str, tuple[str, ...]] = {
    "latency_s": _OF_RUN,
    "energy_uj": (*_OF_RUN, "coefficients"),
    "l1_bytes": _OF_RUN,
    **dict.fromkeys(("l2_bytes", "l3_bytes", PARTS, "code_bytes", "sqnr_db"), ()),
    **dict.fromkeys(("accuracy_int8", "rmse_int8"), _OF_LABELS),
}


def fact_of(figure: str) -> Fact:
    """Return the fact of a build that a figure of the results is."""
    return FACT_OF[FIGURES[figure]]


@dataclass(frozen=True, slots=True)
class Regression:
    """A figure that is worse than in an earlier sweep by more than its bound.

    name       name of the result
    what       name of the figure; "result" if the result itself is missing
    old, new   its values
    bound      tolerated loss; None without one
    """

    name: str
    what: str
    old: Any
    new: Any
    bound: float | None = None

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def change(self) -> str:
        """Return the old and the new value with units: "latency 1 ms -> 1.5 ms (+50.0 %)"."""
        if self.what not in JUDGED:
            return f"{self.what} {self.old} -> {self.new}"
        change = self.as_change
        _, old, new, difference = cells(change)
        share = "" if change.percent is None else f" ({difference})"
        return f"{change.fact.short or change.fact.title} {old} -> {new}{share}"

    @property
    def as_change(self) -> Change:
        """The figure as a change of a fact."""
        fact = fact_of(self.what)
        return Change("", fact, fact.value_of(self.old), fact.value_of(self.new))

    @property
    def is_beyond_bound(self) -> bool:
        """Whether the new value is missing, or worse by more than the bound."""
        change = self.as_change
        return self.new is None or (change.is_better is False and change.is_beyond(self.bound or 0))

    @property
    def allowed(self) -> str:
        """Return the bound with its unit: "2 % more", "0.5 dB less"; "" without one."""
        if self.what not in JUDGED or self.bound is None:
            return ""
        return fact_of(self.what).loss(self.bound)


def regressions(old: Sequence[Result], new: Sequence[Result], bounds: Bounds) -> list[Regression]:
    """Return the regressions of results that were valid in the earlier sweep.

    Results are matched by name, because digests may change.
    """
    now = {name_of(row): row for row in new}
    good = [row for row in old if row["status"] == OK]
    return [found for row in good for found in _changes_between(row, now.get(name_of(row)), bounds)]


def junit_cases(rows: Sequence[Result], worse: Sequence[Regression]) -> list[JunitCase]:
    """Return one JUnit case per result: a regression is a failure, a difference from the reference
    an error; a model that was refused before as well is skipped, unless nothing could be built.
    Missing results have a case too.

    worse   the regressions
    """
    by_name: dict[str, list[Regression]] = {}
    for one in worse:
        by_name.setdefault(one.name, []).append(one)
    names = dict.fromkeys([*map(name_of, rows), *by_name])
    found = {name_of(row): row for row in rows}
    refused = "skipped" if any(row["status"] == OK for row in rows) else "failure"
    return [_junit_case(name, found.get(name), by_name.get(name, []), refused) for name in names]


def _junit_case(
    name: str, row: Result | None, worse: Sequence[Regression], refused: str
) -> JunitCase:
    group = name.partition(" / ")[0]
    if row is not None and row["status"] == DIFFERS:
        return JunitCase(group, name, "error", "outputs are not the reference's")
    if worse:
        lines = [one.change for one in worse]
        return JunitCase(group, name, "failure", f"worse: {lines[0]}", "\n".join(lines))
    if row is not None and row["status"] != OK:
        return JunitCase(group, name, refused, f"{row['code']} {row['title'] or ''}".strip())
    return JunitCase(group, name)


def raise_worse(found: Sequence[Regression]) -> None:
    """Raise E305 with the first regression; do nothing if there are none."""
    if not found:
        return
    lines = [f"{row.name}: {row.change}" for row in found]
    facts = {"worse": _format_lines(lines)}
    tries = [
        "wider [bounds] in the sweep's file, if the change is acceptable",
        "a new sweep to compare with",
    ]
    raise MyoedgeError(WORSE_CODE, "the sweep is worse than the earlier one", facts, tries)


def raise_wrong(rows: Sequence[Result]) -> None:
    """Raise E401 if outputs of a result differ from the reference, E307 if no build succeeded."""
    differing = [name_of(row) for row in rows if row["status"] == DIFFERS]
    if differing:
        tries = ["myoedge validate, on a build of it: the first layer that differs"]
        facts = {"differ": _format_lines(differing)}
        raise MyoedgeError("E401", "outputs in the sweep are not the reference's", facts, tries)
    if all(row["status"] != OK for row in rows):
        facts = {
            "refused": _format_lines(
                [f"{name_of(row)}: {row['code']} {row['title']}" for row in rows]
            )
        }
        codes = dict.fromkeys(str(row["code"]) for row in rows)
        tries = [command("explain", code) for code in codes]
        raise MyoedgeError("E307", "nothing in the sweep could be built", facts, tries[:MOST_NAMED])


def _format_lines(lines: Sequence[str]) -> str:
    more = [f"{len(lines) - MOST_NAMED} more"] if len(lines) > MOST_NAMED else []
    return "\n".join([*lines[:MOST_NAMED], *more])


def _changes_between(old: Result, new: Result | None, bounds: Bounds) -> Iterator[Regression]:
    name = name_of(old)
    if new is None or new["status"] != OK:
        now = "not in the sweep" if new is None else f"{new['status']} {new['code'] or ''}".strip()
        yield Regression(name, GONE, OK, now)
        return
    for figure, only_with in JUDGED.items():
        bound: float = getattr(bounds, fact_of(figure).bound)
        found = Regression(name, figure, old.get(figure), new.get(figure), bound)
        is_one_kind = all(old.get(key) == new.get(key) for key in only_with)
        if found.old is not None and is_one_kind and found.is_beyond_bound:
            yield found
