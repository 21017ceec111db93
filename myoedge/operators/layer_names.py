# SPDX-License-Identifier: Apache-2.0
"""Names of layers in reports, errors and warnings, from `op`, `label` and `origin` of their rows in
report.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from myoedge.graph.ir import Node
from myoedge.operators.base import QuantizedNode


def origin_rows(origin: Iterable[Any]) -> list[dict[str, str]]:
    """Module paths and source lines, as JSON."""
    return [{"path": o.path, "source": o.source} for o in origin]


def node_rows(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """Rows of report.json with the names and origins of nodes."""
    return [
        {"name": n.name, "label": n.label, "op": n.op, "origin": origin_rows(n.origin)}
        for n in nodes
    ]


def place(row: Mapping[str, Any]) -> str:
    """Module paths of a layer, siblings shortened ("block.0.conv + relu"), else its source line."""
    paths = list(dict.fromkeys(o["path"] for o in row["origin"] if o["path"]))
    if not paths:
        return str(row["label"])
    parent = paths[0].rpartition(".")[0]
    rest = (p.removeprefix(f"{parent}.") if parent else p for p in paths[1:])
    return " + ".join([paths[0], *rest])


def named(row: Mapping[str, Any]) -> str:
    """A layer where its operator is not beside it: "head.fc", or "add net.py:41" without a path."""
    has_path = any(o["path"] for o in row["origin"])
    return place(row) if has_path else f"{row['op']} {place(row)}"


def told_apart(
    layers: Sequence[Mapping[str, Any]], older: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """`named` of all, with the operator where a place is several layers', here or in an older
    build, and their number where that is the same too: "linear net.py:41 (2)".
    """
    known = Counter(place(row) for row in layers) | Counter(place(row) for row in older)
    return [
        f"{row['op']} {numbered}" if known[place(row)] > 1 else named(row)
        for row, numbered in zip(layers, places(layers), strict=True)
    ]


def places(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """`place` of all, the operator beside it; with their number where both are the same."""
    seen = Counter[tuple[str, str]]()
    found = []
    for row in layers:
        key = (str(row["op"]), place(row))
        seen[key] += 1
        found.append(f"{key[1]} ({seen[key]})" if seen[key] > 1 else key[1])
    return found


def source(row: Mapping[str, Any]) -> str:
    """The line of the user's program, unless `place` says it already."""
    found = next((o["source"] for o in row["origin"] if o["source"]), "")
    return "" if found == place(row) else found


def located(steps: Iterable[QuantizedNode]) -> list[str]:
    """Names of layers with operator and source line: "head (linear, net.py:9)"; of several at one
    place "linear head (2) (net.py:9)".
    """
    return located_rows(node_rows(step.node for step in steps))


def located_rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """`located` of layers of report.json."""
    names = told_apart(rows)
    return [_located(row, name) for row, name in zip(rows, names, strict=True)]


def _located(row: Mapping[str, Any], name: str) -> str:
    op = "" if name.startswith(f"{row['op']} ") else row["op"]
    known = ", ".join(filter(None, (op, source(row))))
    return f"{name} ({known})" if known else name
