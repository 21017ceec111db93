# SPDX-License-Identifier: Apache-2.0
"""Quantisation of a calibrated graph: parameters of every tensor, integers of every operator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from myoedge.errors import MyoedgeError, set_in
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.pointwise import bounds
from myoedge.numerics.quant_params import QuantParams, quantize
from myoedge.numerics.requant import INT32_MAX
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.checks import enforce
from myoedge.operators.elementwise.tables import make_table
from myoedge.operators.formula_overflow import overflow
from myoedge.operators.interpreter import PRE, has_table
from myoedge.operators.kernel_formats import weight_bits
from myoedge.quantization.calibrate import Calibration
from myoedge.quantization.consistency import QUANTIZED
from myoedge.quantization.constants import constants_of
from myoedge.quantization.first_states import int16_states
from myoedge.quantization.formats import (
    fills,
    operand_names,
    tables_beside_int16,
    with_tables_apart,
)
from myoedge.quantization.ports import QuantPort
from myoedge.quantization.stated_widths import LayerRule, stated_int16, weight_rule, wide_weights
from myoedge.quantization.tensor_params import choose_params, inner_params

OVERFLOW = "E117"


@dataclass(frozen=True)
class QuantGraph:
    """A quantised network.

    graph         the float network, with one node per step
    params        quantisation parameters of every tensor, also of `name.pre` before fused tables
    steps         the quantised nodes in execution order
    constants     constant operands as integers
    calibration   ranges from which the parameters were chosen
    digest        digest of the float network, even if its weights are left out
    """

    graph: Graph
    params: Mapping[str, QuantParams]
    steps: tuple[QuantizedNode, ...]
    constants: Mapping[str, Array]
    calibration: Calibration
    digest: str

    @property
    def layers(self) -> tuple[QuantizedNode, ...]:
        """The steps that compute: all but views."""
        return tuple(step for step in self.steps if not OPS[step.node.op].view)

    @property
    def int16(self) -> frozenset[str]:
        """Names of the int16 tensors."""
        return frozenset(name for name, q in self.params.items() if q.element_type == INT16)

    @property
    def with_numbers_as_data(self) -> QuantGraph:
        """The network whose generated C reads numbers that follow from scales as constants."""
        return replace(self, steps=tuple(replace(step, as_data=True) for step in self.steps))

    @property
    def traced(self) -> QuantGraph:
        """The network whose generated kernels write the results of all their nodes."""
        return replace(self, steps=tuple(replace(step, is_traced=True) for step in self.steps))

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
    inner: frozenset[str] = frozenset(),
    before: QuantGraph | None = None,
) -> QuantGraph:
    """Quantise a graph: choose the parameters of all tensors, and compute the integers of every
    operator.

    rules    layer rules of [quant]
    int16    int16 tensors in addition to residual streams and states beyond the int8 range; fused
             tables next to them are split off
    inner    tensors inside groups of layers that keep 16 bits, at scales of their own
    before   network with the same rules; steps with equal node, constants and parameters are reused
    Errors: E117 an accumulator that could exceed int32; E244 a rule for 16 bits without a kernel.
    """
    rules = tuple(rules)
    ranges = calibration.ranges
    constant_ranges = constants_of(graph, ranges)
    names = (*ranges, *constant_ranges, *fills(graph))
    int16 |= stated_int16(graph, names, rules) | int16_states(graph, names, ranges)
    params = choose_params(graph, ranges, int16, inner=inner)
    params |= inner_params(graph, params, ranges, inner)
    digest = graph.digest
    wide = {name for name, q in params.items() if q.element_type == INT16}
    if wide:
        graph = with_tables_apart(graph, tables_beside_int16(graph, wide))
    constants = {name: quantize(graph.array(name), params[name]) for name in constant_ranges}
    known = {} if before is None else _unchanged_steps(before, graph, params)
    steps = tuple(
        known.get(id(node)) or quantize_node(graph, node, params, rules) for node in graph.nodes
    )
    for step in steps:
        if step.bound > INT32_MAX:
            raise _overflow_error(step, graph)
    network = QuantGraph(graph, params, steps, constants, calibration, digest)
    enforce(QUANTIZED, network, graph, "quantized")
    return network


def _unchanged_steps(
    before: QuantGraph, graph: Graph, params: Mapping[str, QuantParams]
) -> dict[int, QuantizedNode]:
    """Return id(node) -> step of the network `before`, for steps whose integers stay the same with
    these parameters."""

    def is_same(name: str) -> bool:
        old, new = before.graph.constants.get(name), graph.constants.get(name)
        is_known = old is new or (
            old is not None
            and new is not None
            and old.array is new.array
            and old.format is new.format
        )
        return is_known and before.params.get(name) == params.get(name)

    return {
        id(step.node): step
        for step in before.steps
        if all(map(is_same, (*step.node.inputs, step.node.name, step.node.name + PRE)))
    }


def _overflow_error(step: QuantizedNode, graph: Graph) -> MyoedgeError:
    """Return E117 for a layer."""
    facts = {"needs": f"at most {INT32_MAX:,}", "has": f"{step.bound:,} at the worst input"}
    remedies = ["fewer products per output: smaller kernels, fewer channels, or groups"]
    has_weights = weight_bits(step.node.op) and step.weight_type == INT16
    if has_weights and any(graph.format(name) is not None for name in step.node.inputs):
        remedies = ["int8 weights in the file: weight_type=QuantType.QInt8 of quantize_static"]
    if (found := overflow(step)) is not None:
        facts["has"], remedies = found
    title = f"{step.node.where} could overflow its 32-bit accumulator"
    return MyoedgeError(OVERFLOW, title, facts, remedies)


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
    per_tensor = any(r.matches(node) and r.weights == "per_tensor" for r in rules)
    # Whether a layer's weights are integers of the model file, not rounded floats
    read = (node.inputs[i] for i in OPS[node.op].weights.at if i < len(node.inputs))
    has_file_weights = any(
        (f := graph.format(name)) is not None and f.integers is None for name in read
    )
    free = () if has_file_weights else rules
    shapes, target = tuple(map(graph.shape, node.inputs)), _requantised_params(node, params)
    bits = wide_weights(node, shapes, graph.shape(node.name), free, target.element_type)
    rule = weight_rule(free, node)
    is_stated = rule is not None and rule.weight_bits != INT16.bits
    form = WeightFormat(bits, per_channel=not per_tensor, is_stated=is_stated)
    site = site_of(graph, node, params, form, unsigned_sums=unsigned_sums)
    return quantized_at(site, graph, node, params)


def _requantised_params(node: Node, params: Mapping[str, QuantParams]) -> QuantParams:
    """Return the parameters of a node's requantised values, before a fused table."""
    return params.get(node.name + PRE if has_table(node) else node.name, QuantParams(1.0, 0))


def site_of(
    graph: Graph,
    node: Node,
    params: Mapping[str, QuantParams],
    weight_format: WeightFormat,
    *,
    unsigned_sums: bool = False,
) -> QuantizeInputs:
    """Return the arguments of an operator's `quantize` for one node; arguments as in
    quantize_node."""
    return QuantizeInputs(
        attrs=node.attrs,
        shapes=tuple(map(graph.shape, node.inputs)),
        out=graph.shape(node.name),
        input_params=tuple(map(params.get, node.inputs)),
        target=_requantised_params(node, params),
        constants=tuple(map(graph.find_array, node.inputs)),
        weight_format=weight_format,
        unsigned_sums=unsigned_sums,
        formats={i: f for i, x in enumerate(node.inputs) if (f := graph.format(x)) is not None},
    )


def quantized_at(
    site: QuantizeInputs, graph: Graph, node: Node, params: Mapping[str, QuantParams]
) -> QuantizedNode:
    """Quantise one node from the arguments that site_of returns."""
    names, (low, high) = operand_names(node), limits(node, site.target)
    with set_in(node.where, code="E111", fact="layer"):
        integers = OPS[node.op].constants.quantize(site)
    if has_table(node):
        table = make_table(node.attrs["act"], site.target, params[node.name])
        integers = replace(integers, table=table)
    made, *read = (element_type(graph, params, name) for name in (node.name, *names))
    shapes = tuple(map(graph.shape, names))
    return QuantizedNode(
        node, names, shapes, site.out, integers, low, high, made, operand_types=tuple(read)
    )


def equal(a: QuantizedNode, b: QuantizedNode) -> bool:
    """Return whether two quantised nodes have equal integers, bit for bit."""
    types = a.operand_types == b.operand_types
    return types and (a.low, a.high) == (b.low, b.high) and alike(a.integers, b.integers)


def alike(a: QuantizedParams, b: QuantizedParams) -> bool:
    """Return whether all fields that kernels read are equal, bit for bit."""
    left, right = a.arrays, b.arrays
    return (
        a.scalars == b.scalars
        and left.keys() == right.keys()
        and all(
            x.dtype == right[name].dtype and np.array_equal(x, right[name])
            for name, x in left.items()
        )
    )


def limits(node: Node, target: QuantParams) -> tuple[int, int]:
    """Return the saturation limits of requantised values: the element type's, or a fused
    clamp's."""
    low, high = bounds(node.attrs.get("act", ())) or (-math.inf, math.inf)
    return (
        target.low if math.isinf(low) and low < 0 else int(quantize(low, target)),
        target.high if math.isinf(high) and high > 0 else int(quantize(high, target)),
    )
