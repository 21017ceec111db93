# SPDX-License-Identifier: Apache-2.0
"""The table of a sweep as people read it: names by what differs, the best within each budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from myoedge.errors import printable
from myoedge.quantization.sqnr import WEAK_DB
from myoedge.reports import blocks, wording
from myoedge.reports.energy import of_result
from myoedge.reports.speed import duration
from myoedge.sweeps.executors import OK, Result
from myoedge.sweeps.results import LABELS

if TYPE_CHECKING:
    from rich.table import Table

BEST = "best"
MEANING = f"least energy within its budget, of results that keep {WEAK_DB:g} dB"
SHORT = {"operating_point": "point"}  # titles
LEFT_OUT_FIRST = ("L1", "cycles", "accuracy", "L2", "SQNR")  # where the terminal is narrow
FIGURES = ("cycles", "latency", "energy", "L1", "L2", "SQNR", "accuracy")


def best_in_budgets(rows: Sequence[Result]) -> list[bool]:
    """Whether a result takes the least energy of those of its budget that keep WEAK_DB; without
    energies the least latency. Where several do, the first; a single result is compared with none.
    """
    chosen = set()
    for budget in {row["budget"] for row in rows}:
        able = [i for i, row in enumerate(rows) if row["budget"] == budget and _is_good(row)]
        if len(able) > 1:
            chosen.add(min(able, key=lambda i: _cost(rows[i])))
    return [i in chosen for i in range(len(rows))]


def _is_good(row: Result) -> bool:
    is_known = row["energy_uj"] is not None or row["latency_s"] is not None
    return (
        row["status"] == OK and is_known and (row["sqnr_db"] is None or row["sqnr_db"] >= WEAK_DB)
    )


def _cost(row: Result) -> tuple[float, float]:
    infinite = float("inf")
    costs = (row["energy_uj"], row["latency_s"])
    return costs[0] or infinite, costs[1] or infinite


def differing(rows: Sequence[Result]) -> tuple[str, ...]:
    """Labels that tell the results apart; the model's, where none is needed."""
    labels = [label for label in LABELS if len({str(row[label]) for row in rows}) > 1]
    return tuple(labels or LABELS[:1])


def short_name(row: Result, labels: Sequence[str]) -> str:
    """A result's name by some of its labels: "m low"."""
    return " ".join(str(row[label]) for label in labels)


def figures(row: Result) -> dict[str, str]:
    """Figures of a result by their titles; "" where unknown."""
    return {
        "cycles": f"{row['cycles']:,}" if row["cycles"] else "",
        "latency": duration(row["latency_s"]) if row["latency_s"] else "",
        "energy": of_result(row) if row["energy_uj"] is not None else "",
        "L1": _size(row, "l1_bytes"),
        "L2": _size(row, "l2_bytes"),
        "SQNR": wording.decibels(row["sqnr_db"]) if row["sqnr_db"] is not None else "",
        "accuracy": wording.percent(row["accuracy_int8"]) if row.get("accuracy_int8") else "",
    }


def _size(row: Mapping[str, Any], key: str) -> str:
    return wording.size(row[key]) if row[key] else ""


def outcome(row: Result, *, is_best: bool) -> str:
    """ "best", "", or the code of why there is no result: "E302"."""
    if row["status"] == OK:
        return BEST if is_best else ""
    return str(row["code"] or row["status"])


def printed(rows: Sequence[Result], width: int) -> Table:
    """The table for a terminal of so many columns: figures that no result has are left out, and so
    are the least telling where there is no room."""
    from rich.markup import escape

    labels, best = differing(rows), best_in_budgets(rows)
    columns = {SHORT.get(n, n): [printable(str(row[n])) for row in rows] for n in labels}
    left = (*columns, "")
    shown = [figures(row) for row in rows]
    columns |= {title: [row[title] for row in shown] for title in FIGURES}
    pairs = zip(rows, best, strict=True)
    columns[""] = [printable(outcome(row, is_best=is_best)) for row, is_best in pairs]
    columns = {title: texts for title, texts in columns.items() if any(texts)}
    for title in LEFT_OUT_FIRST:
        if sum(2 + max(len(title), *map(len, texts)) for title, texts in columns.items()) > width:
            columns.pop(title, None)
    table = blocks.columns(columns, left=left, overflow="fold")
    for texts, is_best in zip(zip(*columns.values(), strict=True), best, strict=True):
        table.add_row(*map(escape, texts), style="bold" if is_best else None)
    return table


def said(rows: Sequence[Result]) -> Iterator[str]:
    """Lines below the table: what marks and codes in it mean."""
    if any(best_in_budgets(rows)):
        yield f"{BEST}: {MEANING}"
    refusals = [row for row in rows if row["status"] != OK]
    for code, title in dict.fromkeys((outcome(r, is_best=False), r["title"]) for r in refusals):
        yield f"{code}: {printable(title or 'outputs differ')}"
