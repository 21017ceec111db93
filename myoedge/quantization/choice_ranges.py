# SPDX-License-Identifier: Apache-2.0
"""Ranges of tensors with few possible values, also if the samples do not show all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.pointwise import COMPARISONS, Chain, evaluate
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE

Range = tuple[float, float]
Values = tuple[float, ...]
TRUTH: Values = (0.0, 1.0)
JOINED: Mapping[str, Callable[[Sequence[float]], float]] = {"mul": math.prod, "maximum": max}
VALUES_MAX = 4


def choice_ranges(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return the ranges of tensors with few possible values.

    ranges   tensor -> range over the samples
    """
    known = few_values(graph).items()
    return {name: (min(values), max(values)) for name, values in known if name in ranges}


def few_values(graph: Graph) -> dict[str, Values]:
    """Return the possible values of tensors that are computed from comparisons alone, at most
    VALUES_MAX each; also before a fused function (name + PRE)."""
    known: dict[str, Values] = {}
    for node in graph.nodes:
        given, functions = _possible_values(node, [known.get(x, ()) for x in node.inputs])
        values = _distinct_values(evaluate(functions, np.array(given)))
        if 0 < len(given) <= VALUES_MAX and np.isfinite(values).all():
            known[node.name] = values
            known |= {node.name + PRE: given} if "act" in node.attrs else {}
    return known


def _possible_values(node: Node, read: Sequence[Values]) -> tuple[Values, Chain]:
    """Return the possible values of an operator before functions of its result, and these
    functions; () if the values are not known.

    read   possible values of the operands
    """
    chain = node.attrs.get("chain", node.attrs.get("act", ()))
    if node.op.startswith("integer_compare"):
        return TRUTH, chain
    if node.op == "table":
        at = [i for i, call in enumerate(chain) if call[0] in COMPARISONS]
        return (TRUTH, chain[at[-1] + 1 :]) if at else (read[0], chain)
    if node.op in JOINED:
        return _distinct_values(map(JOINED[node.op], itertools.product(*read))), chain
    moved = OPS[node.op].is_data_movement and all(read)
    return _distinct_values(itertools.chain(*read)) if moved else (), chain


def _distinct_values(values: Iterable[float]) -> Values:
    return tuple(sorted({float(value) for value in values}))
