# SPDX-License-Identifier: Apache-2.0
"""Quantisation parameters of all tensors of a network; some operators require shared ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

import numpy as np

from myoedge.graph.ir import Graph, Node, Shape
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams, range_params, symmetric_params
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import result_bounds
from myoedge.operators.kernel_formats import always_reads, always_writes
from myoedge.operators.queries import own_params
from myoedge.operators.turns import loop_of
from myoedge.quantization.binary_fractions import fraction_bits, with_exact_scale
from myoedge.quantization.constants import (
    constants_beside,
    constants_of,
    following_constants,
)
from myoedge.quantization.formats import (
    fills,
    fused_tables,
    int16_groups,
    integer_tensors,
    residual_streams,
    rounded_apart,
    shared_scale_groups,
    with_tables_apart,
)
from myoedge.quantization.masked_ranges import Range

SYMMETRIC_SCALE_MAX = 1.125  # of the affine scale (1 dB), up to which zero point 0 is preferred
# Headroom of int16 outputs and of other int16 tensors, because samples outside the calibration set
# exceed their range. Saturation before other layers cost covariances 16 dB; 2.0 costs 6 of 90 dB.
HEADROOM, INNER_HEADROOM = 8.0, 2.0
UNBOUNDED = (-math.inf, math.inf)


def choose_params(
    graph: Graph,
    ranges: Mapping[str, Range],
    int16: frozenset[str] = frozenset(),
    apart: Container[str] = (),
    inner: frozenset[str] = frozenset(),
) -> dict[str, QuantParams]:
    """Return the quantisation parameters of every tensor and constant operand.

    Tensors that must share parameters get those that an operator fixes for int8, otherwise those of
    the model file, otherwise parameters for the union of their ranges.
    ranges   range of every tensor
    int16    int16 tensors in addition to residual streams and to constants beside int16 operands
    apart    nodes whose result does not share the parameters of its operands
    inner    tensors inside groups of layers that keep 16 bits, beside which constants do
    """
    padding = fills(graph).keys()
    spans = {**ranges, **constants_of(graph, ranges), **_padding_ranges(graph, ranges)}
    int16 |= residual_streams(graph) | rounded_apart(graph, spans)
    always = _int16_only_tensors(graph)
    int16 |= _constants_beside_int16(graph, ranges, int16 | always | inner)
    fixed = {node.name: q for node in graph.nodes if (q := own_params(node)) is not None}
    groups = shared_scale_groups(graph, spans, apart)
    exact = fraction_bits(graph, spans, groups)
    params: dict[str, QuantParams] = {}
    for names in groups:
        wide = int16.issuperset({*names}.difference(padding))
        chosen = _stated_params(graph, names, spans, {} if wide else fixed)
        if chosen is None:
            is_int16 = wide or not always.isdisjoint(names)
            chosen = (_int16_params if is_int16 else _int8_params)(graph, names, spans)
            if names[0] in exact:
                span = _union_of_ranges(graph, names, spans)
                chosen = with_exact_scale(chosen, span, exact[names[0]])
        params.update(dict.fromkeys(names, chosen))
    integers = filter(fixed.__contains__, integer_tensors(graph))
    return params | {name: fixed[name] for name in integers}


def _constants_beside_int16(
    graph: Graph, ranges: Mapping[str, Range], int16: frozenset[str]
) -> frozenset[str]:
    """Return the constants that are int16 because an operand beside them is.

    int16   int16 tensors that are not so in the model file
    """
    given = (name for name, q in graph.all_given.items() if q.params.element_type == INT16)
    wide = int16.union(given)
    if not wide:
        return wide
    return following_constants(constants_beside(graph, ranges), wide)


def _padding_ranges(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return the range of each padding value, limited to that of the padded tensor: values below
    all results of a max pool need no range."""
    found = dict[str, Range]()
    for name, value in fills(graph).items():
        low, high = ranges[name.removesuffix(".fill")]
        found[name] = (min(max(value, low), high),) * 2
    return found


def _int16_only_tensors(graph: Graph) -> frozenset[str]:
    """Return the tensors that an operator always reads or writes as int16, such as AD converter
    samples and gate sums."""
    read = (node.inputs[i] for node in graph.nodes for i in always_reads(node, INT16))
    return frozenset((*read, *(n.name for n in graph.nodes if always_writes(n.op, INT16))))


def _stated_params(
    graph: Graph,
    names: Sequence[str],
    spans: Mapping[str, Range],
    fixed: Mapping[str, QuantParams],
) -> QuantParams | None:
    """Return the parameters fixed by an operator, otherwise those of the file, for tensors that
    share them; None if there are none.

    fixed   int8 parameters, for tensors that may be int8
    """
    carried = [q for q in map(graph.given_params, names) if q is not None]
    is_fixed = all(q.element_type != INT16 for q in carried)
    of_operators = _params_chosen_by_operators(graph, names, spans, fixed) if is_fixed else []
    return next(iter((*of_operators, *carried)), None)


def _params_chosen_by_operators(
    graph: Graph,
    names: Sequence[str],
    spans: Mapping[str, Range],
    fixed: Mapping[str, QuantParams],
) -> list[QuantParams]:
    """Return the int8 parameters that these tensors' producers fix or choose by range."""
    found = [name for name in names if name in fixed]
    nodes = [graph.producer[name] for name in found if name in graph.producer]
    rules = [*filter(None, (OPS[node.op].result.rules.get(INT8) for node in nodes))]
    if not rules or len(rules) < len(found):
        return [fixed[name] for name in found]
    low, high = _union_of_ranges(graph, names, spans)
    carried = {*filter(None, map(graph.given_params, names))}
    agreed = [q for q in carried if all(rule.of(-q.low * q.scale) == q for rule in rules)]
    return agreed or [rule.of(max(-low, high)) for rule in rules]


def _union_of_ranges(graph: Graph, names: Sequence[str], spans: Mapping[str, Range]) -> Range:
    """Return the union of the tensors' ranges and the ranges of initial states."""
    made = [graph.producer[name] for name in names if name in graph.producer]
    first = {node.inputs[i] for node in made for i in OPS[node.op].operands.first_states}
    lows, highs = zip(*(spans[name] for name in {*names, *first}), strict=True)
    return min(lows), max(highs)


def _int16_params(graph: Graph, names: Sequence[str], spans: Mapping[str, Range]) -> QuantParams:
    """Return int16 parameters for the tensors' range: symmetric with headroom for outputs, or as
    their producer chooses."""
    low, high = _union_of_ranges(graph, names, spans)
    made = [graph.producer[name] for name in names if name in graph.producer]
    own = [rule for node in made if (rule := OPS[node.op].result.rules.get(INT16)) is not None]
    if own:
        return max((rule.of(max(-low, high)) for rule in own), key=lambda q: q.scale)
    factor = INNER_HEADROOM if set(graph.outputs).isdisjoint(names) else HEADROOM
    least, most = _result_bounds(made) if set(graph.inputs).isdisjoint(names) else UNBOUNDED
    return symmetric_params(max(factor * low, least), min(factor * high, most), INT16)


def _result_bounds(made: Sequence[Node]) -> Range:
    """Return the bounds on the results of these operators; infinite if one has no bounds."""
    spans = [result_bounds(node) for node in made if not OPS[node.op].same_scale]
    known = [span for span in spans if span is not None]
    if not known or len(known) < len(spans):
        return UNBOUNDED
    return min(low for low, _ in known), max(high for _, high in known)


def _int8_params(graph: Graph, names: Sequence[str], spans: Mapping[str, Range]) -> QuantParams:
    """Return int8 parameters for the tensors' range; the zero point is 0 if a reader requires it,
    or gains speed from it at little loss."""
    low, high = _union_of_ranges(graph, names, spans)
    affine, symmetric = range_params(low, high), symmetric_params(low, high)
    close = symmetric.scale <= SYMMETRIC_SCALE_MAX * affine.scale
    for node in (reader for name in names for reader in graph.users.get(name, ())):
        read = OPS[node.op].operands
        at = (*read.symmetric, *read.nearly_symmetric) if close else read.symmetric
        if any(node.inputs[i] in names for i in at):
            return symmetric
    return affine


# --- tensors that only members of one group of element-wise layers read, and their parameters -----

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
    if LARGEST.keys().isdisjoint(node.op for node in graph.nodes):
        return []
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
