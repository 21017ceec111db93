# SPDX-License-Identifier: Apache-2.0
"""Accuracy of classes, or errors of regression targets, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from myoedge.errors import printable
from myoedge.quantization.holdout import TEST
from myoedge.reports import wording
from myoedge.reports.evaluations import NETWORKS
from myoedge.reports.tables import ReportTable

TITLES = {"rmse": "RMSE", "mae": "MAE", "r2": "R2"}
LABELS = "label \\ int8"  # rows and columns
SHOWN = 10  # classes or targets in a table on the terminal


def result_lines(q: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield (title, lines) that describe an evaluation on classes or targets; nothing without an
    evaluation.

    q   evaluation with the keys of evaluation_rows
    """
    where = f"{q['accuracy_source']}{samples_of(q) if is_of_test_set(q) else ''}"
    if q["accuracy_int8"] is not None:
        known = [name for name in NETWORKS if q[f"accuracy_{name}"] is not None]
        shares = [f"{name} {wording.percent(q[f'accuracy_{name}'])}" for name in known]
        if found := q.get("classes"):
            shares[-1] += f" ({wording.percent_range(found['interval_int8'])})"
            where += f"; 95 % interval{'' if found.get('names') else '; labels as classes'}"
        unknown = _explain_missing_float(q, q["accuracy_float"])
        yield "accuracy", ["   ".join(filter(None, (*shares, points(q)))), where, *unknown]
    elif q.get("targets"):
        lines = (f"{title} {errors(q['targets']['all'], e)}" for e, title in TITLES.items())
        unknown = _explain_missing_float(q, q["targets"]["all"]["mae_float"])
        yield "errors", [*lines, where, *unknown]


def _explain_missing_float(q: Mapping[str, Any], value: float | None) -> Iterator[str]:
    """Yield a line that explains a missing result of the float network on a test set."""
    if value is None and is_of_test_set(q):
        yield "float not measured: a build holds integers only; build --test measures both"


def card_facts(q: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the lines of `result_lines` as (name, value) facts; [] without an evaluation."""
    return [] if q is None else [(title, "\n".join(lines)) for title, lines in result_lines(q)]


def errors(row: Mapping[str, Any], error: str) -> str:
    """Format an error measure of both networks: "float 0.121, int8 0.123".

    error   key of the error measure
    """
    known = [name for name in NETWORKS if row[f"{error}_{name}"] is not None]
    return ", ".join(f"{name} {error_text(row, error, name)}" for name in known) or wording.UNKNOWN


def points(q: Mapping[str, Any]) -> str:
    """Format int8 accuracy minus float accuracy: "+0.1 points", "same as float"; "" if one is
    unknown."""
    if q["accuracy_float"] is None or q["accuracy_int8"] is None:
        return ""
    change = round(100 * (q["accuracy_int8"] - q["accuracy_float"]), 1)
    return "same as float" if change == 0 else f"{change:+z.1f} points"


def sentence(row: Mapping[str, Any]) -> str:
    """Return the errors of an output as a sentence: "The root mean square error is float 0.121,
    int8 0.123"."""
    return f"The root mean square error is {errors(row, 'rmse')}"


def error_text(row: Mapping[str, Any], error: str, network: str) -> str:
    """Format an error measure of one network: "0.121".

    error     key of the error measure
    network   "float" or "int8"
    """
    value = row[f"{error}_{network}"]
    return wording.UNKNOWN if value is None else f"{value:.4g}"


def interval(q: Mapping[str, Any]) -> str:
    """Format the confidence interval of the accuracy: "95 % interval of int8 93.6 to 98.4 %"; "" if
    unknown."""
    found = q.get("classes")
    return f"95 % interval of int8 {wording.percent_range(found['interval_int8'])}" if found else ""


def samples_of(q: Mapping[str, Any]) -> str:
    """Format the samples of the evaluation: ": 225 samples of test.npz"; "" for an older report."""
    found = q.get("evaluated_on")
    return f": {found['source']}" if found else ""


def is_of_test_set(q: Mapping[str, Any]) -> bool:
    return bool((q.get("evaluated_on") or {}).get("data") == TEST)


def tables(q: Mapping[str, Any]) -> Iterator[ReportTable]:
    """Yield the tables of a test set for the terminal: int8 confusions if there are few classes, or
    the errors of regression outputs."""
    found, targets = q.get("classes"), q.get("targets")
    if not is_of_test_set(q):
        return
    if found and found["confusion"] and len(found["confusion"]["int8"]) <= SHOWN:
        yield _frequent_confusions(found)
    elif targets and 1 < len(targets["rows"]) <= SHOWN:
        yield error_table(targets["rows"])


def _frequent_confusions(found: Mapping[str, Any]) -> ReportTable:
    counts: Sequence[Sequence[int]] = found["confusion"]["int8"]
    names = class_names(found, len(counts))
    rows = {row["class"]: row for row in found["rows"]}
    networks = [name for name in NETWORKS if found[f"right_{name}"] is not None]
    made = (
        (
            names[label],
            *(str(n) if n else "" for n in counts[label]),
            *(share(rows[label], name) for name in networks),
        )
        for label in sorted(rows)
    )
    return ReportTable((LABELS, *names, *networks), tuple(made), words=(LABELS,))


def error_table(rows: Sequence[Mapping[str, Any]]) -> ReportTable:
    """Return a table of the errors of both networks, one row per output."""
    columns = [(error, name) for error in TITLES for name in NETWORKS]
    titles = (f"{TITLES[error]} {name}" for error, name in columns)
    made = ((row["name"], *(error_text(row, *column) for column in columns)) for row in rows)
    return ReportTable(("output", *titles), tuple(made), words=("output",))


# --- classes --------------------------------------------------------------------------------------


def class_names(classes: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of the classes, or their numbers."""
    names = classes.get("names") or ()
    return [printable(names[i]) if i < len(names) else str(i) for i in range(count)]


def share(row: Mapping[str, Any], network: str) -> str:
    """Return the accuracy of a network on a class, "96.8 %"; "" if it was not run."""
    if row[f"right_{network}"] is None:
        return ""
    return f"{100 * row[f'right_{network}'] / row['samples']:.1f} %"


def most_confused(classes: Mapping[str, Any], label: int, network: str) -> str:
    """Return the class most often predicted instead of a label, "3 (4 times)"; "" for none."""
    if classes["confusion"] is None:
        return ""
    counts = [n if c != label else 0 for c, n in enumerate(classes["confusion"][network][label])]
    most = max(counts)
    name = class_names(classes, len(counts))[counts.index(most)]
    return f"{name} ({'once' if most == 1 else f'{most} times'})" if most else ""


def class_table(classes: Mapping[str, Any], most: int) -> ReportTable:
    """Return a table with the accuracy of the float and the int8 network: for each of the first
    `most` classes, and for all classes."""
    confused = ("int8 takes it for",) if classes["confusion"] else ()
    rows = [(str(row["name"] or row["class"]), row) for row in classes["rows"][:most]]
    cells = [
        (
            name,
            *_accuracy_row(row),
            *(most_confused(classes, row["class"], "int8") for _ in confused),
        )
        for name, row in rows
    ]
    cells.append(("all", *_accuracy_row(classes), *("" for _ in confused)))
    titles = ("class", "labels", "float", "int8", "95 % of int8", *confused)
    return ReportTable(titles, tuple(cells), words=("class", *confused))


def _accuracy_row(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row: number of samples, accuracy of each network, interval of int8's accuracy."""
    yield f"{row['samples']:,}"
    yield from (share(row, network) for network in NETWORKS)
    yield wording.percent_range(row["interval_int8"])


def matrix(classes: Mapping[str, Any], network: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a confusion matrix; a cell has a count, its percentage of the row, a CSS
    class and a tooltip."""
    confusion = classes["confusion"][network]
    names = class_names(classes, len(confusion))
    for label, counts in enumerate(confusion):
        total = sum(counts)
        yield [
            {
                "count": n,
                "percent": round(100 * n / total) if total else 0,
                "look": "right" if label == chosen else "wrong",
                "title": f"class {names[label]} taken for {names[chosen]}: {n} of {total}",
            }
            for chosen, n in enumerate(counts)
        ]
