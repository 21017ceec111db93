# SPDX-License-Identifier: Apache-2.0
"""Invariants of a quantised network, as (check, message) pairs; a violation is a bug."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from myoedge.numerics.element_type import INT8, INT16, INT32, ElementType
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX, PRE_MAX, SHIFT_MAX
from myoedge.operators.base import OPS
from myoedge.operators.checks import Spec

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


def _nodes_match(q: QuantGraph) -> Iterator[str]:
    names = [step.node.name for step in q.steps]
    expected = [node.name for node in q.graph.nodes]
    return iter(() if names == expected else set(names) ^ set(expected) or names)


def _has_params(q: QuantGraph) -> Iterator[str]:
    tensors = (name for name in q.graph.tensors if q.graph.tensors[name].dtype == "float32")
    return (name for name in (*tensors, *q.constants) if name not in q.params)


def _zero_is_exact(q: QuantGraph) -> Iterator[str]:
    return (
        name
        for name, p in q.params.items()
        if not (p.low <= p.zero_point <= p.high and 0 < p.scale < np.inf)
    )


def _shared_scales(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        name = step.node.name
        moves = OPS[step.node.op].same_scale and name in q.params
        if moves and len({q.params[x] for x in (name, *step.operands)}) > 1:
            yield name


def _integers(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        for key, array in step.integers.arrays.items():
            if key in RANGES:
                low, high = RANGES[key].get(ElementType.of(array.dtype), (0, -1))
                if not array.size or int(array.min()) < low or high < int(array.max()):
                    yield step.node.name


def _limits(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        pre, limits = step.integers.scalars.get("pre", 0), q.element_type(step.node.name)
        if not (limits.low <= step.low <= step.high <= limits.high and 0 <= pre <= PRE_MAX):
            yield step.node.name


def _overflows(q: QuantGraph) -> Iterator[str]:
    steps = (step for step in q.steps if OPS[step.node.op].acc_bound(step) > INT32_MAX)
    return (step.node.name for step in steps)


QUANTIZED: Spec[QuantGraph] = (
    (_nodes_match, "steps and nodes do not go together"),
    (_has_params, "a tensor has no scale"),
    (_zero_is_exact, "a zero point or scale is out of range"),
    (_shared_scales, "an operator that moves bytes changes their scale"),
    (_integers, "weights, multipliers or shifts are out of range"),
    (_limits, "limits or pre-shift are out of range"),
    (_overflows, "an accumulator may leave int32"),
)
