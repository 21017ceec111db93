# SPDX-License-Identifier: Apache-2.0
"""Tensors that only members of one group of element-wise layers read, and their parameters.

One generated loop computes such a group, so these values stay in registers: they may have 16 bits,
and a scale with which a product needs no multiplier and a sum one less. For x of scale 0.02 and y
of scale 0.03, x * y has scale 0.0006 * 2**j, and x * y + z the same with another j. Of
(x * y).sum(-1), only the sum is rounded to 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from myoedge.graph.ir import Graph, Node, Shape
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.turns import loop_of
from myoedge.quantization.formats import fused_tables, int16_groups, with_tables_apart
from myoedge.quantization.masked_ranges import Range
from myoedge.quantization.tensor_params import INNER_HEADROOM

# Operators whose results may be such tensors -> largest |result| for operands of these magnitudes.
LARGEST: Mapping[str, Callable[[float, float], float]] = {
    "mul": lambda a, b: a * b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a + b,
    "maximum": max,
}
SUMS = ("sum", "mean")  # they read such tensors, too; the group goes on with what they write
# Values beyond the calibrated range need no limit if that costs at most two bits.
MOST_OF_RANGE = 4.0


def inner_groups(graph: Graph, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the tensors that may keep 16 bits inside groups of layers, group by group.

    names   names of all tensors with parameters
    """
    graph = with_tables_apart(graph, fused_tables(graph))
    free = {group[0] for group in int16_groups(graph, names) if len(group) == 1}
    groups: dict[str, list[str]] = {}
    for name, last in _last_layers_of_groups(graph).items():
        if name != last and name in free and _allows_int16(graph, name):
            groups.setdefault(last, []).append(name)
    return [tuple(group) for group in groups.values()]


def _allows_int16(graph: Graph, name: str) -> bool:
    """Return whether the operators that write and read a tensor allow 16 bits at any scale."""
    readers = graph.users.get(name, ())
    is_read = all(reader.op in LARGEST or reader.op in SUMS for reader in readers)
    return is_read and graph.producer[name].op in LARGEST


def _last_layers_of_groups(graph: Graph) -> dict[str, str]:
    """Return element-wise layer -> the last one of its group, whose result other layers read."""
    loops = loop_of(graph.nodes)
    last: dict[str, str] = {}
    described = (node.name for node in graph.nodes[::-1] if OPS[node.op].meaning is not None)
    for name in described:
        last[name] = name
        readers = graph.users.get(name, ())
        ends = {last.get(reader.name, "") for reader in readers}
        if len(ends) == 1 and "" not in ends and name not in graph.outputs:
            places = {(_element_shape(graph, x), loops.get(x.name)) for x in readers}
            is_one_loop = places == {(graph.shape(name), loops.get(name))}
            last[name] = ends.pop() if is_one_loop else name
    return last


def _element_shape(graph: Graph, node: Node) -> Shape:
    """Return the shape of the elements that a layer computes from: a sum's terms, or results."""
    return graph.shape(node.inputs[0] if node.op in SUMS else node.name)


def inner_params(
    graph: Graph,
    params: Mapping[str, QuantParams],
    ranges: Mapping[str, Range],
    names: frozenset[str],
) -> dict[str, QuantParams]:
    """Return int16 parameters of tensors inside groups of layers.

    params   parameters of all tensors
    ranges   range of every tensor
    names    the tensors
    """
    known, reach = dict(params), dict[str, float]()
    for node in graph.nodes:
        if node.name in names:
            sizes = [reach.get(x, known[x].reach * known[x].scale) for x in node.inputs]
            worst = LARGEST[node.op](sizes[0], sizes[1])
            low, high = ranges[node.name]
            most = INNER_HEADROOM * max(-low, high)
            covered = worst if worst <= MOST_OF_RANGE * most else most
            # The smallest unit * 2**j with which int16 covers a magnitude
            unit = _base_scale(node, known, names)
            wanted = math.ceil(math.log2(max(covered, 1e-30) / INT16.high / unit))
            scale = float(
                np.float32(math.ldexp(unit, max(wanted, 0) if node.op == "mul" else wanted))
            )
            known[node.name] = QuantParams(scale, 0, INT16)
            reach[node.name] = min(worst, INT16.high * scale)
    return {name: known[name] for name in names}


def _base_scale(node: Node, known: Mapping[str, QuantParams], names: frozenset[str]) -> float:
    """Return the scale of which a result's scale is a multiple by a power of two: of a product the
    product of scales, otherwise that of an operand, an inner one if possible."""
    a, b = (known[x].scale for x in node.inputs)
    if node.op == "mul":
        return a * b
    return b if node.inputs[1] in names and node.inputs[0] not in names else a
