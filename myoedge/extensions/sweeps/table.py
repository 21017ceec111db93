# SPDX-License-Identifier: Apache-2.0
"""Terminal table of a sweep's results; names contain only labels that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from myoedge.errors import UNUSABLE, printable
from myoedge.extensions.sweeps.executors import OK, OTHER_LEVELS, PARTS, WARNINGS, Result
from myoedge.extensions.sweeps.results import warning_codes
from myoedge.extensions.sweeps.settings import LABELS, UNSET
from myoedge.quantization.holdout import TEST
from myoedge.quantization.sqnr import WEAK_DB
from myoedge.reports import near_memory, tables, wording
from myoedge.reports.energy import of_result
from myoedge.reports.evaluations import MAY_BE_TRAINED
from myoedge.reports.facts import TOLERATED
from myoedge.reports.speed import duration

if TYPE_CHECKING:
    from rich.table import Table

BEST = "best"
MEANING = (
    f"least energy within its budget, of results that keep {WEAK_DB:g} dB and are at most "
    f"{100 * TOLERATED['accuracy']:g} point less accurate than the most accurate, "
    f"without {', '.join(UNUSABLE[:-1])} or {UNUSABLE[-1]}"
)
SHORT = {"operating_point": "point"}  # column titles
LIMITS = ("budget", "external")  # axes that are limits of a build
INTERVAL = "95 % interval"  # of the accuracy
OF_FLOATS = ("float accuracy", "float RMSE")
# For narrow terminals.
BEHIND_L2 = {name.upper(): f"{name}_bytes" for name in ("l3", *OTHER_LEVELS)}
LEFT_OUT_FIRST = (
    *(INTERVAL, *OF_FLOATS, "L1", *BEHIND_L2, "cycles"),
    *("L2", "RAM", "accuracy", "RMSE", "SQNR", "parts"),
)
FIGURES = (
    *("cycles", "latency", "energy", "L1", "L2", "RAM", *BEHIND_L2, "parts", "SQNR"),
    *("accuracy", INTERVAL, "RMSE", *OF_FLOATS),
)
KNOWN = "*"  # marks accuracies on samples that may be training data


def best_in_budgets(rows: Sequence[Result]) -> list[bool]:
    """Return whether each result is the best within its budget: the one with the
    least energy (least latency, if energies are unknown) among those with sufficient accuracy.

    Of equal results the first is best. A result that nothing was compared with is not marked: its
    budget has no other result, refused ones and those over the budget included.
    """
    by_budget = dict[tuple[str, ...], list[Result]]()
    for row in rows:
        by_budget.setdefault(tuple(row[label] for label in LIMITS), []).append(row)
    chosen = [
        _best_result([*filter(_is_accurate_enough, tried)])
        for tried in by_budget.values()
        if len(tried) > 1
    ]
    return [any(row is best for best in chosen) for row in rows]


def _best_result(able: Sequence[Result]) -> Result | None:
    """Return the result with least energy or latency among those that are accurate enough; None if
    there is none."""
    judged = [row for row in able if row.get("accuracy_int8") is not None]
    # accuracies of different samples are not compared
    is_one_kind = len({row.get("evaluated_on") for row in judged}) == 1
    best = max((row["accuracy_int8"] for row in judged), default=0.0) if is_one_kind else 0.0
    least = best - TOLERATED["accuracy"]
    accurate = [row for row in judged if row["accuracy_int8"] >= least] or able
    return min(accurate, key=_result_cost, default=None)


def _is_accurate_enough(row: Result) -> bool:
    is_known = row["energy_uj"] is not None or row["latency_s"] is not None
    is_usable = row["status"] == OK and not {*UNUSABLE} & {*warning_codes(row)}
    return is_usable and is_known and (row["sqnr_db"] is None or row["sqnr_db"] >= WEAK_DB)


def _result_cost(row: Result) -> tuple[float, float]:
    infinite = float("inf")
    costs = (row["energy_uj"], row["latency_s"])
    return costs[0] or infinite, costs[1] or infinite


def differing(rows: Sequence[Result]) -> tuple[str, ...]:
    """Return the labels whose values differ between results; "model" if none differs."""
    labels = [label for label in LABELS if len({str(row[label]) for row in rows}) > 1]
    return tuple(labels or LABELS[:1])


def axes_text(rows: Sequence[Result]) -> str:
    """Return the names of the axes of which results have values: "model / budget / point"."""
    labels = (label for label in LABELS if any(row[label] != UNSET for row in rows))
    return " / ".join(SHORT.get(label, label) for label in labels)


def short_name(row: Result, labels: Sequence[str]) -> str:
    """Return a result's name, the values of these labels: "m low"."""
    return " ".join(str(row[label]) for label in labels)


def figures(row: Result) -> dict[str, str]:
    """Return the figures of a result as text, by title; "" if unknown."""
    is_ram = row.get("variables_bytes") is not None  # code and weights are in flash
    return {
        "cycles": f"{row['cycles']:,}" if row["cycles"] else "",
        "latency": duration(row["latency_s"]) if row["latency_s"] else "",
        "energy": of_result(row) if row["energy_uj"] is not None else "",
        "L1": _format_size(row, "l1_bytes"),
        "L2": "" if is_ram else _format_size(row, "l2_bytes", "code_bytes"),
        "RAM": _format_size(row, "l2_bytes", "variables_bytes") if is_ram else "",
        **{title: _format_size(row, key) for title, key in BEHIND_L2.items()},
        "parts": near_memory.external_parts({"memory": {**row, "external": row.get(PARTS)}}),
        "SQNR": wording.decibels(row["sqnr_db"]) if row["sqnr_db"] is not None else "",
        **_evaluation_text(row),
    }


def _evaluation_text(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the accuracies and errors of the int8 and float network as text, marked if they are
    not from a test set."""
    columns: dict[str, tuple[str, Callable[[float], str]]] = {
        "accuracy": ("accuracy_int8", wording.percent),
        "float accuracy": ("accuracy_float", wording.percent),
        "RMSE": ("rmse_int8", "{:.4g}".format),
        "float RMSE": ("rmse_float", "{:.4g}".format),
    }
    mark = "" if row.get("evaluated_on") == TEST else KNOWN
    values = {title: (row.get(key), show) for title, (key, show) in columns.items()}
    texts = {t: "" if x is None else f"{show(x)}{mark}" for t, (x, show) in values.items()}
    low, high = (row.get(f"accuracy_{end}") for end in ("low", "high"))
    interval = "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"
    return {**texts, INTERVAL: interval}


def _format_size(row: Mapping[str, Any], *keys: str) -> str:
    total = sum(row.get(key) or 0 for key in keys)
    return wording.size(total) if total else ""


def warned(row: Result) -> str:
    """Return the codes of a result's warnings: "W202 W209"."""
    return printable(" ".join(warning_codes(row)))


def outcome(row: Result, *, is_best: bool) -> str:
    """Return the mark of a result in the table: "best", "", or the code of its error: "E302"."""
    if row["status"] == OK:
        return BEST if is_best else ""
    return str(row["code"] or row["status"])


def printed(rows: Sequence[Result], width: int) -> Table:
    """Return the table of results for a terminal of this width; empty columns, and if necessary
    less important ones, are left out."""
    columns, _ = _columns_that_fit(rows, width)
    left = {*(SHORT.get(label, label) for label in differing(rows)), WARNINGS, ""}
    table = tables.columns(columns, left=left, overflow="fold")
    pairs = zip(zip(*columns.values(), strict=True), best_in_budgets(rows), strict=True)
    for texts, is_best in pairs:
        table.add_row(*texts, style="bold" if is_best else None)
    return table


def hidden(rows: Sequence[Result], width: int) -> list[str]:
    """Return a line that names the columns left out for lack of width; [] if there are none."""
    _, titles = _columns_that_fit(rows, width)
    return [f"not shown: {', '.join(titles)}: in sweep.csv and sweep.html"] if titles else []


def _columns_that_fit(rows: Sequence[Result], width: int) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns that fit, by title, and the titles of the others."""
    columns = {SHORT.get(n, n): [printable(str(row[n])) for row in rows] for n in differing(rows)}
    shown = [*map(figures, rows)]
    columns |= {title: [*map(itemgetter(title), shown)] for title in FIGURES}
    pairs = zip(rows, best_in_budgets(rows), strict=True)
    columns[WARNINGS] = [*map(warned, rows)]
    columns[""] = [printable(outcome(row, is_best=is_best)) for row, is_best in pairs]
    columns = {title: texts for title, texts in columns.items() if any(texts)}
    titles = []
    for title in LEFT_OUT_FIRST:
        if sum(2 + max(map(len, (title, *texts))) for title, texts in columns.items()) > width:
            titles += [title] * bool(columns.pop(title, None))
    return columns, titles


def said(rows: Sequence[Result]) -> Iterator[str]:
    """Yield the lines below the table of results, which explain its marks and codes."""
    if any(best_in_budgets(rows)):
        yield f"{BEST}: {MEANING}"
    if any(row.get("evaluated_on") not in (None, TEST) for row in rows):
        yield f"{KNOWN}: {MAY_BE_TRAINED}"
    yield from warning_lines(rows)
    refusals = [row for row in rows if row["status"] != OK]
    for code, title in dict.fromkeys((outcome(r, is_best=False), r["title"]) for r in refusals):
        yield f"{code}: {printable(title or 'outputs differ')}"


def warning_lines(rows: Sequence[Result]) -> list[str]:
    """Return one line per warning of the results, each once: "W209, never best: title; try ..."."""
    lines = []
    for warning in (warning for row in rows for warning in row.get(WARNINGS) or ()):
        code, tries = warning["code"], warning["tries"][:1]
        excluded = f", never {BEST}" if code in UNUSABLE else ""
        remedy = "".join(f"; try: {line}" for line in tries)
        lines.append(printable(f"{code}{excluded}: {warning['title']}{remedy}"))
    return [*dict.fromkeys(lines)]
