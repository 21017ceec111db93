# SPDX-License-Identifier: Apache-2.0
"""Accuracy per class: float and int8 with intervals, most frequent confusions, confusion
matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from myoedge.errors import printable
from myoedge.numerics.arrays import Array
from myoedge.quantization.evaluation import Evaluation
from myoedge.reports.tables import ReportTable

MOST_CONFUSED = 32  # classes with stored confusions
MOST_CLASSES = 1000  # classes with rows
WILSON_Z = 1.959964  # 95 % of a normal distribution
NETWORKS = ("float", "int8")


def by_class(judged: Evaluation) -> dict[str, Any]:
    """Return counts per class for report.json: samples, correct predictions of the float and int8
    network with confidence intervals, and confusion matrices [label][class], null for too many
    classes."""
    chosen, names = judged.results, judged.names
    largest = max(int(x.max()) for x in (judged.labels, *chosen.values()))
    size = max(1 + largest, len(names))
    seen = np.unique(judged.labels)[:MOST_CLASSES]
    rows = [
        {
            "class": int(x),
            "name": names[x] if names else None,
            **_row(judged.labels, chosen, judged.labels == x),
        }
        for x in seen
    ]
    confusion = {name: _confusion(judged.labels, x, size) for name, x in chosen.items()}
    return {
        **_row(judged.labels, chosen, np.ones(len(judged.labels), bool)),
        "interval": "Wilson, 95 %",
        "names": [*names],
        "rows": rows,
        "confusion": confusion if size <= MOST_CONFUSED else None,
    }


def _row(labels: Array, chosen: Mapping[str, Array], kept: Array) -> dict[str, Any]:
    """Return the number of samples, the correct predictions of each network, and the accuracies'
    confidence intervals; null for a network that was not run."""
    total, row = int(kept.sum()), dict[str, Any]()
    for name in NETWORKS:
        right = int((chosen[name] == labels)[kept].sum()) if name in chosen else None
        interval = None if right is None else wilson(right, total)
        row |= {f"right_{name}": right, f"interval_{name}": interval}
    return {"samples": total, **row}


def _confusion(labels: Array, classes: Array, size: int) -> list[list[int]]:
    size = min(size, MOST_CONFUSED)
    counts, few = np.zeros((size, size), np.int64), (labels < size) & (classes < size)
    np.add.at(counts, (labels[few], classes[few]), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def wilson(right: int, total: int) -> list[float]:
    """Return the 95 % confidence interval of a fraction right / total; 0 to 1 for no trials.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not total:
        return [0.0, 1.0]
    share, z2 = right / total, WILSON_Z**2
    middle = share + z2 / (2 * total)
    half = WILSON_Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    ends = ((middle - half) / (1 + z2 / total), (middle + half) / (1 + z2 / total))
    return [round(min(max(end, 0.0), 1.0), 6) for end in ends]


# --- for people -----------------------------------------------------------------------------------


def class_names(classes: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of the classes, or their numbers."""
    names = classes.get("names") or ()
    return [printable(names[i]) if i < len(names) else str(i) for i in range(count)]


def share(row: Mapping[str, Any], network: str) -> str:
    """Return the accuracy of a network on a class, "96.8 %"; "" if it was not run."""
    if row[f"right_{network}"] is None:
        return ""
    return f"{100 * row[f'right_{network}'] / row['samples']:.1f} %"


def interval(row: Mapping[str, Any], network: str) -> str:
    """Return the confidence interval of a network's accuracy on a class: "94.2 to 98.3 %"."""
    low, high = row[f"interval_{network}"]
    return f"{100 * low:.1f} to {100 * high:.1f} %"


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
        (name, *_shares(row), *(most_confused(classes, row["class"], "int8") for _ in confused))
        for name, row in rows
    ]
    cells.append(("all", *_shares(classes), *("" for _ in confused)))
    titles = ("class", "labels", "float", "int8", "95 % of int8", *confused)
    return ReportTable(titles, tuple(cells), words=("class", *confused))


def _shares(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row: number of samples, accuracy of each network, interval of int8's accuracy."""
    yield f"{row['samples']:,}"
    yield from (share(row, network) for network in NETWORKS)
    yield interval(row, "int8")


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
