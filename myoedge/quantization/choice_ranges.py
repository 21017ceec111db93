# SPDX-License-Identifier: Apache-2.0
"""Ranges of comparisons, and of what they choose, also if the samples show only one of their two
results."""

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
SUMS = ("add", "sub")
TRUTH: Values = (0.0, 1.0)
JOINED: Mapping[str, Callable[[Sequence[float]], float]] = {"mul": math.prod, "maximum": max}
FARTHEST = 8.0  # times the values that samples show: a farther value would leave these too few bits
VALUES_MAX = 4


def choice_ranges(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return the ranges of tensors with few possible values, and of sums in which one of these is
    the value that a comparison chooses.

    ranges   tensor -> range over the samples
    """
    known = few_values(graph)
    found = {name: (min(values), max(values)) for name, values in known.items() if name in ranges}
    further: dict[str, list[float]] = {}
    for node in graph.nodes:
        if node.name in known:
            continue
        chosen = _unseen(node, known, ranges)
        if node.op in SUMS or OPS[node.op].is_data_movement:
            operands = enumerate(node.inputs)
            chosen += [_sign(node, at) * v for at, x in operands for v in further.get(x, ())]
        if chosen:
            further[node.name] = _widened(node, chosen, {**ranges, **found}, found)
    return found


def few_values(graph: Graph) -> dict[str, Values]:
    """Return the possible values of tensors that are computed from comparisons alone, at most
    VALUES_MAX each; also before a fused function (name + PRE)."""
    known: dict[str, Values] = {}
    for node in graph.nodes:
        given, functions = _values_before(node, [known.get(x, ()) for x in node.inputs])
        values = _distinct(evaluate(functions, np.array(given)))
        if 0 < len(given) <= VALUES_MAX and np.isfinite(values).all():
            known[node.name] = values
            known |= {node.name + PRE: given} if "act" in node.attrs else {}
    return known


def _values_before(node: Node, read: Sequence[Values]) -> tuple[Values, Chain]:
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
        return _distinct(map(JOINED[node.op], itertools.product(*read))), chain
    moved = OPS[node.op].is_data_movement and all(read)
    return _distinct(itertools.chain(*read)) if moved else (), chain


def _distinct(values: Iterable[float]) -> Values:
    return tuple(sorted({float(value) for value in values}))


def _unseen(node: Node, known: Mapping[str, Values], ranges: Mapping[str, Range]) -> list[float]:
    """Return values that a sum may take, where a comparison chooses one that no sample shows."""
    found = list[float]()
    for at, name in enumerate(node.inputs if node.op in SUMS else ()):
        low, high = ranges.get(name, (0.0, 0.0))
        values = (value for value in known.get(name, ()) if not low <= value <= high)
        found += [_sign(node, at) * value for value in values]
    return found


def _sign(node: Node, operand: int) -> float:
    return -1.0 if node.op == "sub" and operand == 1 else 1.0


def _widened(
    node: Node, chosen: Sequence[float], ranges: Mapping[str, Range], found: dict[str, Range]
) -> list[float]:
    """Widen the range of a result, before and after its fused function, by values that are not too
    far; return these values after it."""
    before = node.name + PRE if node.name + PRE in ranges else node.name
    reach = FARTHEST * max(map(abs, ranges[before]))
    near = [value for value in chosen if abs(value) <= reach]
    if not near:
        return []
    after = evaluate(node.attrs.get("act", ()), np.array(near)).tolist()
    for name, values in ((before, near), (node.name, after)):
        found[name] = min(ranges[name][0], *values), max(ranges[name][1], *values)
    return list(after)
