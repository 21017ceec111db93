# SPDX-License-Identifier: Apache-2.0
"""Ranges of what a softmax alone reads: what masks hide in it is not seen, and gets no share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.definition import FAINT, UNSEEN, scores_of
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE
from myoedge.quantization.shared_scales import operand_names

SWAMPED = -5e3  # far below what networks compute, and far above with the other sign
STEPS = 512  # half a step of a softmax's results is one of these
SPARE = 20.0  # six that exponentials see, and scores that nobody calibrated on
ADDED = {"add": 1, "affine": 2, "linear": 2, "conv": 2}  # which operand an operator adds
ORDERED = ("softmax", "log_softmax", "argmax", "ctc_greedy")  # whose rows have a largest element

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rows:
    """A tensor of rows, of each of which what is far below its largest element does not matter.

    axis    that rows lie along; None where they only become such rows, in another shape
    limit   how far below, for each element
    """

    axis: int | None
    limit: Array

    def seen(self, values: Array) -> Array:
        """bool: what of such rows is not hidden."""
        most = 0.0 if self.axis is None else values.max(axis=self.axis, keepdims=True)
        return np.asarray(values - most > self.limit)


def rows_of(graph: Graph) -> dict[str, Rows]:
    """Tensors that softmax alone reads."""
    found: dict[str, Rows] = {}
    for node in reversed(graph.nodes):
        moved = OPS[node.op].is_data_movement and node.name in found
        for name in node.inputs if moved or node.op == "softmax" else ():
            if graph.only_user(name) is node:
                axis = None if moved else node.attrs["axis"]
                found[name] = Rows(axis, _limit(graph, name, axis))
    return found


def _limit(graph: Graph, name: str, axis: int | None) -> Array:
    """Where a constant that is added fills, less is enough."""
    made = graph.producer.get(name)
    at = None if made is None or axis is None else ADDED.get(made.op)
    if made is None or at is None or len(made.inputs) <= at or not graph.is_const(made.inputs[at]):
        return np.asarray(UNSEEN)
    added = graph.constants[made.inputs[at]]
    behind = len(graph.shape(name)) - 1 - made.attrs["axis"] if made.op == "affine" else 0
    return np.where(added <= FAINT, FAINT, UNSEEN).reshape(*added.shape, *[1] * behind)


def judged_rows(graph: Graph) -> dict[str, Rows]:
    """Tensors of which what is hidden does not say how well they are kept."""
    found = rows_of(graph)
    for node in graph.nodes:
        if node.op in ORDERED:
            both = (node.inputs[0], node.name) if node.op == "log_softmax" else node.inputs[:1]
            rows = Rows(node.attrs.get("axis", -1), np.asarray(FAINT))
            found.update(dict.fromkeys(both, rows))
    return found


def counted(rows: Mapping[str, Rows], name: str, real: Array) -> Array:
    """bool: what of a tensor says how well it is kept."""
    return rows[name].seen(real) if name in rows else np.ones(real.shape, bool)


def shown(values: Array, rows: Rows) -> Array:
    """What of the rows is seen; where something is hidden, also where that has to begin so that all
    of it together has less than half a step of the results."""
    left, axis = rows.seen(values), rows.axis
    if axis is None or left.all():
        return values
    smallest = values.max(axis=axis).min() - math.log(STEPS * values.shape[axis])
    return np.append(values[left], smallest)


def followed(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The ranges with those of what only becomes such rows: in another shape, or added up."""
    found, rows, asked = {**ranges}, rows_of(graph), dict[str, list[Range]]()
    for name in reversed((*graph.inputs, *(node.name for node in graph.nodes))):
        spans = asked.get(name, [])
        whole = len(spans) == len(graph.users.get(name, ())) and name not in graph.outputs
        if spans and whole:
            found[name] = min(low for low, _ in spans), max(high for _, high in spans)
        elif name not in rows:
            continue
        node = graph.producer.get(name)
        for x, span in () if node is None else _operands(graph, node, found):
            asked.setdefault(x, []).append(span)
    return found


def _operands(graph: Graph, node: Node, found: Mapping[str, Range]) -> Iterator[tuple[str, Range]]:
    """Those whose range follows from that of the result."""
    for index, name in enumerate(node.inputs):
        if name in found and OPS[node.op].is_data_movement:
            yield name, found[node.name]
        elif name in found and node.op == "add" and found[name][0] <= FAINT:
            yield name, _enough(graph, node, index, found[name], found)
        elif name in found and node.op == "affine" and index == 0 and found[name][0] <= FAINT:
            yield name, _enough_of_lines(graph, node, found[name], found)


def _enough(
    graph: Graph, node: Node, index: int, span: Range, ranges: Mapping[str, Range]
) -> Range:
    """Of an operand of a sum: no lower than makes the smallest sum of the largest other number."""
    name = node.inputs[1 - index]
    other = graph.constants.get(name, np.array(ranges.get(name, (np.inf,))))
    if span[0] > FAINT or not np.isfinite(other).all():
        return span
    least = ranges.get(node.name + PRE, ranges[node.name])[0] - float(other.max())
    return min(max(span[0], least), span[1]), span[1]


def _enough_of_lines(graph: Graph, node: Node, span: Range, ranges: Mapping[str, Range]) -> Range:
    """No lower than makes the smallest result in any channel, where factors are positive."""
    scale, offset = (graph.constants[x].astype(np.float64) for x in node.inputs[1:])
    if (scale <= 0.0).any():
        return span
    least = ranges.get(node.name + PRE, ranges[node.name])[0]
    return min(max(span[0], float(((least - offset) / scale).min())), span[1]), span[1]


def with_fills(graph: Graph) -> list[Node]:
    """Attention with fills that hide keys if scores let them."""
    found = (n for n in graph.nodes if n.op == "attention" and len(n.inputs) > 3)
    return [n for n in found if _fills(graph.constants.get(n.inputs[3], np.zeros(()))).any()]


def _fills(added: Array) -> Array:
    return np.asarray((added <= FAINT) & (added > UNSEEN))


def least_added(node: Node, values: Mapping[str, Array]) -> float:
    """Of an attention's fills, what is low enough for the values of one sample: no key has a share
    SPARE below the largest of its row."""
    q, k, _, added = (values[name] for name in node.inputs)
    scores = scores_of(node.attrs, q, k)
    enough = (scores + added).max(axis=-1, keepdims=True) - scores - SPARE
    fills = np.broadcast_to(_fills(added), enough.shape)  # a mask may be one for all heads
    return float(min(enough[fills].min(), added[added > FAINT].min(initial=0.0)))


def swamped(graph: Graph, ranges: Mapping[str, Range]) -> Iterator[tuple[Node, float]]:
    """(node, what it fills with) where that, and not what else there is, makes int8's range."""
    for node in graph.nodes:
        span = np.array(ranges.get(node.name + PRE, ranges.get(node.name, (0.0, 0.0))))
        for value in (graph.constants[x] for x in node.inputs if x in graph.constants):
            for sign in (s for s in (1, -1) if (s * span).min() <= SWAMPED):
                fill = float((sign * value).min(initial=0.0))
                if fill <= SWAMPED and bool((sign * value > SWAMPED).any()):
                    yield node, sign * fill


def declared(graph: Graph, node: Node, index: int, ranges: Mapping[str, Range]) -> Range:
    """The range of a constant operand: where its smallest integer hides, that of what does not;
    where it is added, no more than makes the smallest sum of the largest number; in attention no
    more than calibration says."""
    name = node.inputs[index]
    value = graph.constants[name]
    left = value[value > UNSEEN]
    if node.op == "attention" and name in ranges:
        value, left = (np.maximum(x, ranges[name][0]) for x in (value, left))
    low, high = float(value.min()), float(value.max())
    if index in OPS[node.op].hiding(node.attrs) and 0 < left.size < value.size:
        low, high = float(left.min()), float(left.max())
        return low - (max(high, 0.0) - min(low, 0.0)) / 254, high
    return _enough(graph, node, index, (low, high), ranges) if node.op == "add" else (low, high)


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
