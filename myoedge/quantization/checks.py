# SPDX-License-Identifier: Apache-2.0
"""Invariants of a quantised network, as (check, message) pairs; a violation is a bug."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, INT32, ElementType
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX, PRE_MAX, SHIFT_MAX
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.checks import Check, Spec

if TYPE_CHECKING:
    from myoedge.quantization.scales import QuantGraph

# By name of an array: the range of its values for every element type that it may have.
RANGES: Mapping[str, Mapping[ElementType, tuple[int, int]]] = {
    "weight": {t: (-t.high, t.high) for t in (INT8, INT16)},
    "bias": {INT32: (-INT32_MAX, INT32_MAX)},
    "mult": {INT32: (-MULT_MAX, MULT_MAX)},
    "shift": {INT32: (0, SHIFT_MAX)},
    "table": {INT8: (INT8.low, INT8.high)},
    "lut": {INT8: (INT8.low, INT8.high)},
}


def every_node(holds: Callable[[QuantGraph, QuantizedNode], bool]) -> Check[QuantGraph]:
    """Check of all quantised nodes from a predicate of one."""

    def find(q: QuantGraph) -> Iterator[str]:
        return (step.node.name for step in q.steps if not holds(q, step))

    return find


def _nodes_match(q: QuantGraph) -> Iterator[str]:
    names = [step.node.name for step in q.steps]
    wanted = [node.name for node in q.graph.nodes]
    return iter(() if names == wanted else set(names) ^ set(wanted) or names)


def _has_params(q: QuantGraph) -> Iterator[str]:
    tensors = (name for name in q.graph.tensors if q.graph.tensors[name].dtype == "float32")
    return (name for name in (*tensors, *q.constants) if name not in q.params)


def _zero_is_exact(q: QuantGraph) -> Iterator[str]:
    return (
        name
        for name, p in q.params.items()
        if not (p.low <= p.zero_point <= p.high and 0 < p.scale < np.inf)
    )


def _scale_is_shared(q: QuantGraph, step: QuantizedNode) -> bool:
    if not OPS[step.node.op].same_scale or step.node.name not in q.params:
        return True
    return all(q.params[name] == q.params[step.node.name] for name in step.operands)


def _integers_in_range(q: QuantGraph, step: QuantizedNode) -> bool:
    arrays = [(RANGES[n], a) for n, a in step.integers.arrays.items() if n in RANGES]
    spans = [(ranges.get(ElementType.of(a.dtype)), a) for ranges, a in arrays]
    return all(span is not None and a.size and _within(a, *span) for span, a in spans)


def _within(values: Array, low: int, high: int) -> bool:
    return low <= int(values.min()) and int(values.max()) <= high


def _limits_in_range(q: QuantGraph, step: QuantizedNode) -> bool:
    pre = step.integers.scalars.get("pre", 0)
    limits = q.element_type(step.node.name)
    return limits.low <= step.low <= step.high <= limits.high and 0 <= pre <= PRE_MAX


def _no_overflow(q: QuantGraph, step: QuantizedNode) -> bool:
    return OPS[step.node.op].acc_bound(step) <= INT32_MAX


QUANTIZED: Spec[QuantGraph] = (
    (_nodes_match, "steps and nodes do not go together"),
    (_has_params, "a tensor has no scale"),
    (_zero_is_exact, "a zero point or scale is out of range"),
    (every_node(_scale_is_shared), "an operator that moves bytes changes their scale"),
    (every_node(_integers_in_range), "weights, multipliers or shifts are out of range"),
    (every_node(_limits_in_range), "limits or pre-shift are out of range"),
    (every_node(_no_overflow), "an accumulator may leave int32"),
)
