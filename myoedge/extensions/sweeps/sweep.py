# SPDX-License-Identifier: Apache-2.0
"""Execution of a sweep, from SWEEP.toml to its tables; finished results are reused."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from myoedge.building.energy import coefficients
from myoedge.errors import set_in
from myoedge.extensions.sweeps.executors import OK, Result, on_cluster, on_processes, work
from myoedge.extensions.sweeps.page import sweep_html
from myoedge.extensions.sweeps.results import (
    Regression,
    junit_cases,
    keep,
    kept,
    read_table,
    regressions,
    table_csv,
    table_json,
)
from myoedge.extensions.sweeps.settings import name_of, read_sweep
from myoedge.extensions.sweeps.tasks import Task, tasks
from myoedge.reports.junit import junit_xml
from myoedge.system.control_characters import document_bytes
from myoedge.system.folder import explained, replace_files
from myoedge.system.notebook import Tabular, framed

Say = Callable[[str], None]


@dataclass(frozen=True)
class Swept(Tabular):
    """Result of a sweep.

    folder        its folder
    results       one result per combination, in the order of SWEEP.toml
    computed      number of results that were computed now rather than reused
    regressions   regressions against an earlier sweep; () without one
    """

    folder: Path
    results: tuple[Result, ...]
    computed: int
    regressions: tuple[Regression, ...]

    def junit(self) -> bytes:
        """Return JUnit XML: one case per result, which fails if a figure is worse than before."""
        return junit_xml("myoedge sweep", junit_cases(self.results, self.regressions))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per result, as in sweep.json."""
        return [dict(row) for row in self.results]

    def _repr_html_(self) -> str:
        return framed(sweep_html(self.results, self.regressions), "sweep")


def sweep(
    file: Path, output: Path | None, jobs: int | None, against: Path | None, scheduler: str | None,
    say: Say,
) -> Swept:  # fmt: skip
    """Implement api.sweep, which documents the arguments."""
    settings = read_sweep(file)
    old = None if against is None else read_table(against)
    folder = output or Path("build") / f"{file.stem}-sweep"
    with set_in(str(file)):
        everything = tasks(settings, file.parent, json.dumps(asdict(coefficients())))
    known = {t.key: found for t in everything if (found := kept(folder, t)) is not None}
    missing = [task for task in everything if task.key not in known]
    if known:
        say(f"{len(known)} of {len(everything)} are there already")
    found, began_s = dict(known), time.monotonic()
    for number, result in enumerate(
        _compute_results(missing, jobs or os.cpu_count() or 1, scheduler), 1
    ):
        keep(folder, result)
        found[result["key"]] = result
        left_s = (time.monotonic() - began_s) / number * (len(missing) - number)
        left = f"; about {round(left_s)} s more" * (left_s >= 2.0)
        say(f"{len(found)}/{len(everything)}  {_result_name(result)}{left}")
    rows = [found[task.key] for task in everything]
    worse = [] if old is None else regressions(old, rows, settings.bounds)
    _write_results(folder, rows, worse)
    return Swept(folder, tuple(rows), len(missing), tuple(worse))


def _compute_results(missing: Sequence[Task], jobs: int, scheduler: str | None) -> Iterator[Result]:
    if not missing:
        return iter(())
    return (
        on_processes(missing, jobs, work) if scheduler is None else on_cluster(missing, scheduler)
    )


def _write_results(folder: Path, rows: Sequence[Result], worse: Sequence[Regression]) -> None:
    texts = {
        "sweep.json": table_json(rows),
        "sweep.csv": table_csv(rows),
        "sweep.html": sweep_html(rows, worse),
    }
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    replace_files(folder, {name: document_bytes(text) for name, text in texts.items()})


def _result_name(row: Result) -> str:
    """Return a result's name, "m / free / default / high", with its error code if it failed."""
    return " ".join(filter(None, (name_of(row), row["code"] if row["status"] != OK else "")))
