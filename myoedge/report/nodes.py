# SPDX-License-Identifier: Apache-2.0
"""Layers that are in no report yet, called as reports call them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from myoedge.ir import Node
from myoedge.op import Step
from myoedge.report import words
from myoedge.report.rows import origin_rows


def node_rows(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """What report.json says of their names and where they come from."""
    return [
        {"name": n.name, "label": n.label, "op": n.op, "origin": origin_rows(n.origin)}
        for n in nodes
    ]


def located(steps: Iterable[Step]) -> list[str]:
    """Names of layers with operator and source line: "head (linear, net.py:9)"; of several at one
    place "linear head (2) (net.py:9)".
    """
    return located_rows(node_rows(step.node for step in steps))


def located_rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same of layers of report.json."""
    names = words.told_apart(rows)
    return [_located(row, name) for row, name in zip(rows, names, strict=True)]


def _located(row: Mapping[str, Any], name: str) -> str:
    op = "" if name.startswith(f"{row['op']} ") else row["op"]
    known = ", ".join(filter(None, (op, words.source(row))))
    return f"{name} ({known})" if known else name
