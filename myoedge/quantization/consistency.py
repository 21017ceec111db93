# SPDX-License-Identifier: Apache-2.0
"""Consistency checks of a quantised network; a violation is a bug in myoedge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from myoedge.numerics.element_type import INT8, INT16, INT32, ElementType
from myoedge.numerics.requant import INT32_MAX, MULT_MAX, PRE_MAX, SHIFT_MAX
from myoedge.operators.base import OPS
from myoedge.operators.checks import Spec

if TYPE_CHECKING:
    from myoedge.quantization.scales import QuantGraph

# Name of an array -> range of its values, for each element type that it may have.
RANGES: Mapping[str, Mapping[ElementType, tuple[int, int]]] = {
    "weight": {t: (t.low, t.high) for t in (INT8, INT16)},  # our weights are symmetric
    "bias": {INT32: (-INT32_MAX, INT32_MAX)},
    "mult": {INT32: (-MULT_MAX, MULT_MAX)},
    "shift": {INT32: (0, SHIFT_MAX)},
    "table": {INT8: (INT8.low, INT8.high)},
    "lut": {t: (t.low, t.high) for t in (INT8, INT16)},
}


def _check_nodes_match(q: QuantGraph) -> Iterator[str]:
    names = [step.node.name for step in q.steps]
    expected = [node.name for node in q.graph.nodes]
    return iter(() if names == expected else set(names) ^ set(expected) or names)


def _check_params_present(q: QuantGraph) -> Iterator[str]:
    tensors = (name for name in q.graph.tensors if q.graph.tensors[name].dtype == "float32")
    return (name for name in (*tensors, *q.constants) if name not in q.params)


def _check_shared_scales(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        name = step.node.name
        moves = OPS[step.node.op].same_scale and name in q.params
        read = (x for x in step.operands if x in q.params)  # indices have no scale
        if moves and len({q.params[x] for x in (name, *read)}) > 1:
            yield name


def _check_integers(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        for key, array in step.integers.arrays.items():
            if key in RANGES and not (key == "mult" and step.has_int16):
                low, high = RANGES[key].get(ElementType.of(array.dtype), (0, -1))
                if not array.size or int(array.min()) < low or high < int(array.max()):
                    yield step.node.name


def _check_limits(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        pre, limits = step.integers.scalars.get("pre", 0), q.element_type(step.node.name)
        if not (limits.low <= step.low <= step.high <= limits.high and 0 <= pre <= PRE_MAX):
            yield step.node.name


QUANTIZED: Spec[QuantGraph] = (
    (_check_nodes_match, "steps and nodes do not go together"),
    (_check_params_present, "a tensor has no scale"),
    (
        lambda q: (
            name
            for name, p in q.params.items()
            if not (p.low <= p.zero_point <= p.high and 0 < p.scale < np.inf)
        ),
        "a zero point or scale is out of range",
    ),
    (_check_shared_scales, "an operator that moves bytes changes their scale"),
    (_check_integers, "weights, multipliers or shifts are out of range"),
    (_check_limits, "limits or pre-shift are out of range"),
    (
        lambda q: (step.node.name for step in q.steps if step.bound > INT32_MAX),
        "an accumulator may leave int32",
    ),
)
