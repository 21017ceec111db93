# SPDX-License-Identifier: Apache-2.0
"""Export of tree ensembles as ai.onnx.ml's TreeEnsembleRegressor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer
from myoedge.operators.trees.branches import asks_twice

LEAF = {"featureids": 0, "modes": "LEAF", "values": 0.0, "truenodeids": 0, "falsenodeids": 0}
Rows = list[dict[str, Any]]


def _write(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write an ensemble as an ONNX TreeEnsembleRegressor; nodes below several parents are written
    once per parent."""
    _, _, roots, leaves, base = (w.floats[name] for name in step.node.inputs[1:])
    tests = _tests(w, step)
    nodes: Rows = []
    targets: Rows = []
    for tree, root in enumerate(roots.astype(int).tolist()):
        pending, count = [(root, 0)], 1
        while pending:
            at, own = pending.pop()
            row = {"treeids": tree, "nodeids": own}
            if at < 0:
                nodes.append({**row, **LEAF})
                weights = enumerate(leaves[-1 - at].tolist())
                targets += [{**row, "ids": k, "weights": value} for k, value in weights]
                continue
            test, ways = tests[at]
            nodes.append({**row, **test, "truenodeids": count, "falsenodeids": count + 1})
            pending += [(ways[0], count), (ways[1], count + 1)]
            count += 2
    lists = {f"nodes_{key}": [n[key] for n in nodes] for key in nodes[0]}
    lists |= {f"target_{key}": [t[key] for t in targets] for key in targets[0]}
    attrs = {**lists, "base_values": base.tolist(), "n_targets": len(base)}
    return w.node("ai.onnx.ml.TreeEnsembleRegressor", x, **attrs)


def _tests(w: Writer, step: QuantizedNode) -> list[tuple[dict[str, Any], tuple[int, int]]]:
    """Return, for each node, its test as ONNX attributes and the next nodes or leaves (if it holds,
    if not); limits are between two steps of x, or equal to one."""
    links = w.floats[step.node.inputs[2]]
    grid, integers = w.params[step.operands[0]], step.integers
    units = integers.nodes[:, 0].astype(np.int16).astype(np.float64) - grid.zero_point
    same = integers.nodes[:, 1].astype(np.int16) == integers.nodes[:, 1] >> 16
    scale, tests = np.float32(grid.scale), []
    links = links.astype(np.int64)
    for at, (feature, yes, no, _) in enumerate(links.tolist()):
        unit, ways, mode = units[at] + 0.5, (no if same[at] else yes, no), "BRANCH_LEQ"
        is_one = asks_twice(links, at) and units[at] - units[yes] == 1
        if is_one and not (same[at] or same[yes]):
            unit, mode = units[at], "BRANCH_EQ"
            ways = int(links[yes, 2]), no
        value = float(np.float32(unit) * scale)
        tests.append(({"featureids": feature, "modes": mode, "values": value}, ways))
    return tests


WRITE: Mapping[str, Write] = {"trees": _write}
