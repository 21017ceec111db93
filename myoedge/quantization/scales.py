# SPDX-License-Identifier: Apache-2.0
"""Quantisation of a calibrated graph: parameters of every tensor, integers of every operator.

QUANTIZED lists the consistency checks of the result; a violation is a bug in myoedge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from myoedge.errors import MyoedgeError, Notice
from myoedge.graph.constants import Constant
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, INT32, ElementType
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX, PRE_MAX, SHIFT_MAX
from myoedge.numerics.pointwise import bounds
from myoedge.numerics.quant_params import QuantParams, quantize
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.base import OPS, QuantizedNode, QuantizeInputs
from myoedge.operators.checks import Spec, enforce
from myoedge.operators.elementwise.tables import make_table
from myoedge.operators.interpreter import PRE, has_table
from myoedge.operators.kernel_formats import weight_bits
from myoedge.quantization.calibrate import Calibration
from myoedge.quantization.first_states import int16_states
from myoedge.quantization.formats import (
    fills,
    operand_names,
    tables_beside_int16,
    with_tables_apart,
)
from myoedge.quantization.layer_rules import LayerRule
from myoedge.quantization.ports import QuantPort
from myoedge.quantization.stated_widths import left_in_8_bits, stated_int16, wide_weights
from myoedge.quantization.suspicious_ranges import weak_layers
from myoedge.quantization.tensor_params import choose_params, constants_of


@dataclass(frozen=True)
class QuantGraph:
    """A quantised network.

    graph         the float network, with one node per step
    params        quantisation parameters of every tensor, also of `name.pre` before fused tables
    steps         the quantised nodes in execution order
    constants     constant operands as integers
    calibration   ranges from which the parameters were chosen
    digest        digest of the float network, even if its weights are left out
    warnings      warnings from quantisation
    """

    graph: Graph
    params: Mapping[str, QuantParams]
    steps: tuple[QuantizedNode, ...]
    constants: Mapping[str, Array]
    calibration: Calibration
    digest: str
    warnings: tuple[Notice, ...] = field(default_factory=tuple)

    @property
    def int16(self) -> frozenset[str]:
        """Names of the int16 tensors."""
        return frozenset(name for name, q in self.params.items() if q.element_type == INT16)

    def element_type(self, name: str) -> ElementType:
        """Return the element type of a tensor's integers."""
        return element_type(self.graph, self.params, name)

    def input_port(self, name: str) -> QuantPort:
        """Return the record of an input."""
        normalization = self.graph.tensors[name].input_normalization
        return replace(self.output_port(name), normalization=normalization)

    def output_port(self, name: str) -> QuantPort:
        """Return the record of an output; an output that is an input is not normalised."""
        shape, params = self.graph.shape(name), self.params.get(name)
        return QuantPort(name, shape, self.element_type(name), params)

    def input_integers(self, name: str, x: Array) -> Array:
        """Convert an input array to the integers that the network reads."""
        return self.input_port(name).integers(x)

    def dtype(self, name: str) -> str:
        """Return the name of a tensor's element type, as in files and reports."""
        return str(self.element_type(name))


def element_type(graph: Graph, params: Mapping[str, QuantParams], name: str) -> ElementType:
    """Return the element type of a tensor's integers."""
    tensor = graph.tensors.get(name)
    if tensor is not None and tensor.dtype != "float32":
        return ElementType.of(tensor.dtype)
    return params[name].element_type if name in params else INT8


def quantize_graph(
    graph: Graph,
    calibration: Calibration,
    rules: Iterable[LayerRule] = (),
    int16: frozenset[str] = frozenset(),
    before: QuantGraph | None = None,
) -> QuantGraph:
    """Quantise a graph: choose the parameters of all tensors, and compute the integers of every
    operator.

    rules    layer rules of [quant]
    int16    int16 tensors in addition to residual streams and states beyond the int8 range; fused
             tables next to them are split off
    before   network with the same rules; steps with equal node, constants and parameters are reused
    Errors: E117 an accumulator that could exceed int32; E244 a rule for 16 bits without a kernel.
    """
    rules = tuple(rules)
    ranges = calibration.ranges
    names = (*ranges, *constants_of(graph, ranges), *fills(graph))
    int16 |= stated_int16(graph, names, rules) | int16_states(graph, names, ranges)
    params = choose_params(graph, ranges, int16)
    digest = graph.digest
    wide = {name for name, q in params.items() if q.element_type == INT16}
    graph = with_tables_apart(graph, tables_beside_int16(graph, wide))
    operands = dict.fromkeys(chain.from_iterable(map(operand_names, graph.nodes)))
    constants = {
        name: quantize(graph.array(name), params[name]) for name in operands if graph.is_const(name)
    }
    known = {} if before is None else _unchanged(before, graph, params)
    steps = tuple(
        known.get(id(node)) or quantize_node(graph, node, params, rules) for node in graph.nodes
    )
    for step in steps:
        bound = OPS[step.node.op].acc_bound(step)
        if bound > INT32_MAX:
            raise MyoedgeError(
                "E117",
                f"{step.node.where} could overflow its 32-bit accumulator",
                {"needs": f"at most {INT32_MAX:,}", "has": f"{bound:,} at the worst input"},
                [_with_smaller_sums(step, graph)],
            )
    left = left_in_8_bits(graph, params, rules)
    warnings = (*weak_layers(graph, calibration.ranges, params), *left)
    network = QuantGraph(graph, params, steps, constants, calibration, digest, warnings)
    enforce(QUANTIZED, network, graph, "quantized")
    return network


def _unchanged(
    before: QuantGraph, graph: Graph, params: Mapping[str, QuantParams]
) -> dict[int, QuantizedNode]:
    """Return id(node) -> step of the network `before`, for steps whose integers stay the same with
    these parameters."""

    def is_same(name: str) -> bool:
        old, new = before.graph.constants.get(name), graph.constants.get(name)
        is_known = old is new or (old is not None and new is not None and _is_alike(old, new))
        return is_known and before.params.get(name) == params.get(name)

    return {
        id(step.node): step
        for step in before.steps
        if all(map(is_same, (*step.node.inputs, step.node.name, step.node.name + PRE)))
    }


def _is_alike(a: Constant, b: Constant) -> bool:
    return a.array is b.array and a.format is b.format


def _with_smaller_sums(step: QuantizedNode, graph: Graph) -> str:
    has_weights = weight_bits(step.node.op) and step.weight_type == INT16
    if has_weights and any(graph.format(name) is not None for name in step.node.inputs):
        return "int8 weights in the file: weight_type=QuantType.QInt8 of quantize_static"
    return "fewer products per output: smaller kernels, fewer channels, or groups"


def quantize_node(
    graph: Graph,
    node: Node,
    params: Mapping[str, QuantParams],
    rules: tuple[LayerRule, ...],
    *,
    unsigned_sums: bool = False,
) -> QuantizedNode:
    """Quantise one node: its weights, multipliers and tables, for the given parameters of its
    tensors.

    params          quantisation parameters by tensor
    rules           layer rules of [quant]
    unsigned_sums   as in QuantizeInputs
    """
    op, names = OPS[node.op], operand_names(node)
    out = graph.shape(node.name)
    target = params.get(node.name + PRE if has_table(node) else node.name, QuantParams(1.0, 0))
    per_tensor = any(r.matches(node) and r.weights == "per_tensor" for r in rules)
    node_shapes = tuple(map(graph.shape, node.inputs))
    free = () if _has_weights_of_file(graph, node) else rules
    bits = wide_weights(node, node_shapes, out, free, target.element_type)
    inputs = QuantizeInputs(
        attrs=node.attrs,
        shapes=node_shapes,
        out=out,
        input_params=tuple(map(params.get, node.inputs)),
        target=target,
        constants=tuple(map(graph.find_array, node.inputs)),
        weight_format=WeightFormat(bits, per_channel=not per_tensor),
        unsigned_sums=unsigned_sums,
        formats={i: f for i, x in enumerate(node.inputs) if (f := graph.format(x)) is not None},
    )
    low, high = limits(node, target)
    integers = op.quantize(inputs)
    if has_table(node):
        table = make_table(node.attrs["act"], target, params[node.name])
        integers = replace(integers, table=table)
    made, *read = (element_type(graph, params, name) for name in (node.name, *names))
    shapes = tuple(map(graph.shape, names))
    return QuantizedNode(
        node, names, shapes, out, integers, low, high, made, operand_types=tuple(read)
    )


def equal(a: QuantizedNode, b: QuantizedNode) -> bool:
    """Return whether two quantised nodes have equal integers, bit for bit."""
    left, right = a.integers, b.integers
    types = a.operand_types == b.operand_types
    numbers = dict(left.scalars) == dict(right.scalars) and (a.low, a.high) == (b.low, b.high)
    return (
        types
        and numbers
        and left.arrays.keys() == right.arrays.keys()
        and all(
            x.dtype == right.arrays[name].dtype and np.array_equal(x, right.arrays[name])
            for name, x in left.arrays.items()
        )
    )


def _has_weights_of_file(graph: Graph, node: Node) -> bool:
    """Return whether a layer's weights are integers of the model file, not rounded floats."""
    read = (node.inputs[i] for i in OPS[node.op].weights if i < len(node.inputs))
    return any((f := graph.format(name)) is not None and f.integers is None for name in read)


def limits(node: Node, target: QuantParams) -> tuple[int, int]:
    """Return the saturation limits of requantised values: the element type's, or a fused
    clamp's."""
    low, high = bounds(node.attrs.get("act", ())) or (-math.inf, math.inf)
    return (
        target.low if math.isinf(low) and low < 0 else int(quantize(low, target)),
        target.high if math.isinf(high) and high > 0 else int(quantize(high, target)),
    )


# Name of an array -> range of its values, for each element type that it may have.
RANGES: Mapping[str, Mapping[ElementType, tuple[int, int]]] = {
    "weight": {t: (t.low, t.high) for t in (INT8, INT16)},  # our weights are symmetric
    "bias": {INT32: (-INT32_MAX, INT32_MAX)},
    "mult": {INT32: (-MULT_MAX, MULT_MAX)},
    "shift": {INT32: (0, SHIFT_MAX)},
    "table": {INT8: (INT8.low, INT8.high)},
    "lut": {t: (t.low, t.high) for t in (INT8, INT16)},
}


def _nodes_match(q: QuantGraph) -> Iterator[str]:
    names = [step.node.name for step in q.steps]
    expected = [node.name for node in q.graph.nodes]
    return iter(() if names == expected else set(names) ^ set(expected) or names)


def _has_params(q: QuantGraph) -> Iterator[str]:
    tensors = (name for name in q.graph.tensors if q.graph.tensors[name].dtype == "float32")
    return (name for name in (*tensors, *q.constants) if name not in q.params)


def _is_valid(p: QuantParams) -> bool:
    return p.low <= p.zero_point <= p.high and 0 < p.scale < np.inf


def _shared_scales(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        name = step.node.name
        moves = OPS[step.node.op].same_scale and name in q.params
        read = (x for x in step.operands if x in q.params)  # indices have no scale
        if moves and len({q.params[x] for x in (name, *read)}) > 1:
            yield name


def _integers(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        for key, array in step.integers.arrays.items():
            if key in RANGES and not (key == "mult" and step.has_int16):
                low, high = RANGES[key].get(ElementType.of(array.dtype), (0, -1))
                if not array.size or int(array.min()) < low or high < int(array.max()):
                    yield step.node.name


def _limits(q: QuantGraph) -> Iterator[str]:
    for step in q.steps:
        pre, limits = step.integers.scalars.get("pre", 0), q.element_type(step.node.name)
        if not (limits.low <= step.low <= step.high <= limits.high and 0 <= pre <= PRE_MAX):
            yield step.node.name


QUANTIZED: Spec[QuantGraph] = (
    (_nodes_match, "steps and nodes do not go together"),
    (_has_params, "a tensor has no scale"),
    (
        lambda q: (name for name, params in q.params.items() if not _is_valid(params)),
        "a zero point or scale is out of range",
    ),
    (_shared_scales, "an operator that moves bytes changes their scale"),
    (_integers, "weights, multipliers or shifts are out of range"),
    (_limits, "limits or pre-shift are out of range"),
    (
        lambda q: (x.node.name for x in q.steps if OPS[x.node.op].acc_bound(x) > INT32_MAX),
        "an accumulator may leave int32",
    ),
)
