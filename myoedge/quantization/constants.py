# SPDX-License-Identifier: Apache-2.0
"""Constant operands: their ranges, and the operands beside them, whose 16 bits they follow."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain

import numpy as np

from myoedge.graph.ir import PRE, Graph, Node
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import range_params, rounded, symmetric_params
from myoedge.operators.base import OPS
from myoedge.operators.kernel_formats import layer_shapes, operand_places, read_beside_int16
from myoedge.operators.library.masks import MASK_GAP
from myoedge.quantization.binary_fractions import bits_of, with_exact_scale
from myoedge.quantization.formats import (
    fills,
    fused_tables,
    int16_groups,
    operand_names,
    with_tables_apart,
)
from myoedge.quantization.masked_ranges import Range

Beside = Mapping[tuple[str, ...], frozenset[str]]


def constants_of(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return the ranges of all constants that operators read as integers, by name."""
    declared: dict[str, Range] = {}
    for node in graph.nodes:
        for index, name in enumerate(node.inputs):
            if name in graph.constants and name in operand_names(node):
                low, high = _constant_range(graph, node, index, ranges)
                before = declared.get(name, (low, high))
                declared[name] = min(before[0], low), max(before[1], high)
    return declared


def _constant_range(graph: Graph, node: Node, index: int, ranges: Mapping[str, Range]) -> Range:
    """Return the range of a constant; for an addend, clipped where it exceeds the other operand's
    range so far that the sum saturates."""
    value = graph.array(node.inputs[index])
    low, high = float(value.min()), float(value.max())
    if node.attrs.get("masked") and index == len(node.inputs) - 1:
        return 0.0, 1.0
    name = node.inputs[1 - index] if node.op == "add" else ""
    other = graph.arrays.get(name, np.array(ranges.get(name, (np.inf,))))
    if low > -MASK_GAP or not np.isfinite(other).all():
        return low, high
    least = ranges.get(node.name + PRE, ranges[node.name])[0] - float(other.max())
    return min(max(low, least), high), high


def constants_beside(graph: Graph, ranges: Mapping[str, Range]) -> Beside:
    """Return constants that share parameters -> the operands beside them, in layers whose kernels
    are generated from a formula.

    If one of these is int16, so are the constants: the sum of an int16 tensor and an int8 constant
    is no more exact than int8. Left out are constants that int8 represents as well as int16, such
    as ones and zeros.

    ranges   range of every tensor
    """
    spans = constants_of(graph, ranges)
    if not spans:
        return {}
    apart = with_tables_apart(graph, fused_tables(graph))
    found = dict[tuple[str, ...], frozenset[str]]()
    for group in int16_groups(apart, {**ranges, **spans, **fills(apart)}):
        made = (apart.producer.get(name) for name in group if not apart.is_const(name))
        has_only_constants = all(node is not None and OPS[node.op].same_scale for node in made)
        if has_only_constants and not all(_is_exact(apart, name, spans) for name in group):
            found[group] = frozenset(_operands_beside(apart, group))
    return found


def following_constants(beside: Beside, int16: AbstractSet[str]) -> frozenset[str]:
    """Return the constants that are int16 because an operand beside them is.

    beside   as constants_beside returns
    int16    int16 tensors
    """
    found = (group for group, operands in beside.items() if not operands.isdisjoint(int16))
    return frozenset(chain.from_iterable(found))


def _is_exact(graph: Graph, name: str, spans: Mapping[str, Range]) -> bool:
    """Return whether int8 represents a constant's values within half a step of int16."""
    array = graph.find_array(name)
    if array is None:
        return True
    span = spans[name]
    values, bits = np.clip(array, *span), bits_of(array)
    each = (with_exact_scale(q, span, bits) for q in (range_params(*span), symmetric_params(*span)))
    most = float(np.abs(values).max()) / INT16.high
    return all(float(np.abs(rounded(values, q) - values).max()) <= most for q in each)


def _operands_beside(graph: Graph, group: Container[str]) -> Iterator[str]:
    for node in graph.nodes:
        if OPS[node.op].meaning is None or OPS[node.op].same_scale:
            continue
        for place in (i for i in operand_places(node) if node.inputs[i] in group):
            for i in read_beside_int16(node, place, *layer_shapes(graph, node)):
                yield node.inputs[i]
