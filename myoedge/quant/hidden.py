# SPDX-License-Identifier: Apache-2.0
"""Ranges of what a softmax alone reads: what masks hide in it is not seen, and gets no share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from myoedge.ir import Array, Graph, Node
from myoedge.op import OPS
from myoedge.ops.attention import UNSEEN
from myoedge.quant.ties import operand_names
from myoedge.reference import PRE

SWAMPED = -5e3  # far below what networks compute, and far above with the other sign
STEPS = 512  # half a step of a softmax's results is one of these

Range = tuple[float, float]


def rows_of(graph: Graph) -> dict[str, int | None]:
    """Tensors that softmax alone reads, each with the axis that its rows lie along; None where they
    only become such rows, in another shape."""
    found: dict[str, int | None] = {}
    for node in reversed(graph.nodes):
        moved = OPS[node.op].moves and node.name in found
        for name in node.inputs if moved or node.op == "softmax" else ():
            if graph.only_user(name) is node:
                found[name] = None if moved else node.attrs["axis"]
    return found


def seen(values: Array, axis: int | None) -> Array:
    """bool: what of such rows is not hidden."""
    most = 0.0 if axis is None else values.max(axis=axis, keepdims=True)
    return np.asarray(values - most > UNSEEN)


def counted(rows: Mapping[str, int | None], name: str, real: Array) -> Array:
    """bool: what of a tensor says how well it is kept."""
    return seen(real, rows[name]) if name in rows else np.ones(real.shape, bool)


def shown(values: Array, axis: int | None) -> Array:
    """What of the rows is seen; where something is hidden, also where that has to begin so that all
    of it together has less than half a step of the results."""
    left = seen(values, axis)
    if axis is None or left.all():
        return values
    smallest = values.max(axis=axis).min() - math.log(STEPS * values.shape[axis])
    return np.append(values[left], smallest)


def views_follow(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The ranges with those of tensors that only become such rows, in another shape."""
    found, rows = {**ranges}, rows_of(graph)
    for node in reversed(graph.nodes):
        if OPS[node.op].moves and node.name in rows:
            moved = (x for x in node.inputs if x in rows)
            found.update(dict.fromkeys(moved, found[node.name]))
    return found


def swamped(graph: Graph, ranges: Mapping[str, Range]) -> Iterator[tuple[Node, float]]:
    """(node, what it fills with) where that, and not what else there is, makes int8's range."""
    for node in graph.nodes:
        span = np.array(ranges.get(node.name + PRE, ranges.get(node.name, (0.0, 0.0))))
        for value in (graph.constants[x] for x in node.inputs if x in graph.constants):
            for sign in (1, -1):
                fill = float((sign * value).min(initial=0.0))
                wide = (sign * span).min() <= SWAMPED
                if wide and fill <= SWAMPED and bool((sign * value > SWAMPED).any()):
                    yield node, sign * fill


def declared(graph: Graph, node: Node, index: int, ranges: Mapping[str, Range]) -> Range:
    """The range of a constant operand: where its smallest integer hides, or is added to what hides,
    that of what does not."""
    value = graph.constants[node.inputs[index]]
    left = value[value > UNSEEN]
    if left.size == value.size or not left.size:
        return float(value.min()), float(value.max())
    low, high = float(left.min()), float(left.max())
    if index in OPS[node.op].hiding(node.attrs):
        return low - (max(high, 0.0) - min(low, 0.0)) / 254, high
    if node.op == "add" and ranges.get(node.name, (UNSEEN,))[0] > UNSEEN:
        other = ranges[node.inputs[1 - index]]
        return min(low, ranges[node.name][0] - other[1]), high
    return float(value.min()), high


def constants_of(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges of all constants that operators read as integers."""
    found: dict[str, Range] = {}
    for node in graph.nodes:
        for index, name in enumerate(node.inputs):
            if name in graph.constants and name in operand_names(node):
                low, high = declared(graph, node, index, ranges)
                before = found.get(name, (low, high))
                found[name] = min(before[0], low), max(before[1], high)
    return found
