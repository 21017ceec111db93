# SPDX-License-Identifier: Apache-2.0
"""Tensors whose values are multiples of a power of two, whatever the network reads: comparisons,
spikes, counters, and the functions and sums of those.

    r = where(x > 1, 3.0, (r - 1).clamp(min=0))    multiples of 1
    r = r - 0.25                                   multiples of 2**-2

With a scale of a power of two, their integers have no rounding errors, which a loop would add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.pointwise import COMPARISONS, Call, Chain, evaluate
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE, has_table
from myoedge.quantization.formats import operand_names
from myoedge.quantization.masked_ranges import Range

FRACTION_BITS_MAX = 8  # of values that count as multiples
OTHER = FRACTION_BITS_MAX + 1  # fraction bits of all other values

# Functions with few values, and functions of two others' results.
POSSIBLE_VALUES = {"sign": np.array([-1.0, 0.0, 1.0])} | dict.fromkeys(
    COMPARISONS, np.array([0.0, 1.0])
)
OF_TWO: Mapping[str, Callable[[Array, Array], Array]] = {
    "product": np.outer,
    "total": np.add.outer,
    "larger": np.maximum.outer,
}

# Operators whose results have as many fraction bits as the operand with the most.
KEEP_MULTIPLES = frozenset(("add", "sub", "maximum", "sum"))


def fraction_bits(
    graph: Graph, ranges: Mapping[str, Range], groups: Sequence[Sequence[str]]
) -> dict[str, int]:
    """Return the number of fraction bits of tensors and constants that are multiples of a power of
    two; others are left out.

    ranges   range of every tensor and constant
    groups   tensors that share their scale, each of which has the most bits of the group
    States of loops start with 0 bits; the bits grow until they agree with those of the loop's body.
    """
    spans = {**ranges} | _spans_of(groups, ranges)
    bits = _first_bits(graph, (*ranges, *chain.from_iterable(groups)))
    before = dict[str, int]()
    while bits != before:
        before = dict(bits)
        for node in graph.nodes:
            for name, count in _bits_of_results(graph, node, bits, spans).items():
                bits[name] = max(bits[name], count)
        for group in groups:
            bits.update(dict.fromkeys(group, max(bits[name] for name in group)))
    return {name: count for name, count in bits.items() if count < OTHER}


def _spans_of(groups: Iterable[Sequence[str]], ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return the range of all tensors of its group, for each tensor: a loop's state has the values
    of its body, too."""
    spans = dict[str, Range]()
    for group in groups:
        lows, highs = zip(*(ranges[name] for name in group), strict=True)
        spans |= dict.fromkeys(group, (min(lows), max(highs)))
    return spans


def _first_bits(graph: Graph, names: Iterable[str]) -> dict[str, int]:
    """Return the fraction bits of constants, 0 of computed tensors, and OTHER of inputs."""
    bits = {name: bits_of(graph.array(name)) if graph.is_const(name) else OTHER for name in names}
    for node in graph.nodes:
        bits[node.name] = 0
        if has_table(node):
            bits[node.name + PRE] = 0
    return bits


def _bits_of_results(
    graph: Graph, node: Node, bits: Mapping[str, int], ranges: Mapping[str, Range]
) -> dict[str, int]:
    """Return the fraction bits of an operator's result, and of that before a fused table, given
    those of its operands."""
    read = [bits.get(name, OTHER) for name in operand_names(node)] or [OTHER]
    if node.op == "table":
        return {node.name: _bits_of_table(node.attrs["chain"], read[0], ranges[node.inputs[0]])}
    result = OTHER
    if node.op == "mul":
        result = min(sum(read), OTHER)
    elif node.op == "affine":
        factor, addend = (bits_of(graph.array(name)) for name in node.inputs[1:])
        result = min(max(read[0] + factor, addend), OTHER)
    elif node.op in KEEP_MULTIPLES or OPS[node.op].is_data_movement:
        result = max(read)
    if has_table(node):
        before = node.name + PRE
        after = _bits_of_table(node.attrs["act"], result, ranges[before])
        return {before: result, node.name: after}
    limits = evaluate(node.attrs.get("act", ()), np.array([-np.inf, np.inf]))
    return {node.name: max(result, bits_of(limits[np.isfinite(limits)]))}


def _bits_of_table(calls: Chain, bits: int, span: Range) -> int:
    """Return the fraction bits of a function of values with so many bits, or of any values.

    span   range of the values
    """
    low, high = (math.floor(span[0] * 2**bits), math.ceil(span[1] * 2**bits))
    is_listed = bits < OTHER and high - low <= INT16.high
    found = _possible_values(calls, np.arange(low, high + 1) / 2**bits if is_listed else None)
    return OTHER if found is None else bits_of(found)


def _possible_values(calls: Chain, values: Array | None) -> Array | None:
    """Return all values that a function can have; None if they cannot be listed.

    values   all arguments; None for any
    """
    for call in calls:
        values = _values_of_any(call) if values is None else evaluate([call], values)
    return values


def _values_of_any(call: Call) -> Array | None:
    """Return all values that a function can have for any argument; None if they cannot be
    listed."""
    name, *parameters = call
    if name not in OF_TWO:
        return POSSIBLE_VALUES.get(name)
    found = [_possible_values(inner, None) for inner in parameters]
    listed = [np.unique(values) for values in found if values is not None]
    return OF_TWO[name](*listed).ravel() if len(listed) == len(found) else None


def bits_of(values: Array) -> int:
    """Return the fewest fraction bits with which all values are exact; OTHER if there are none."""
    for count in range(OTHER):
        steps = np.ldexp(values.astype(np.float64), count)
        if np.array_equal(steps, np.rint(steps)):
            return count
    return OTHER


def with_exact_scale(params: QuantParams, span: Range, bits: int) -> QuantParams:
    """Return parameters whose scale is the next power of two; the same ones if it is not exact for
    values of so many fraction bits.

    span   range of the values
    """
    scale = 2.0 ** math.ceil(math.log2(params.scale))
    if scale > 2.0**-bits:
        return params
    is_symmetric = params.zero_point == 0
    zero_point = 0 if is_symmetric else round(params.low - min(span[0], 0.0) / scale)
    return QuantParams(scale, min(zero_point, params.high), params.element_type)
