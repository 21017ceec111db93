# SPDX-License-Identifier: Apache-2.0
"""Graph + Calibration -> QuantGraph: parameters of every tensor, integers of every operator."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from myoedge.errors import MyoedgeError, Notice, notice
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.numerics.pointwise import bounds
from myoedge.numerics.quant_params import QuantParams, quantize, range_params, symmetric_params
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.checks import enforce
from myoedge.operators.elementwise.definition import make_table
from myoedge.operators.interpreter import PRE, has_table
from myoedge.quantization.calibrate import Calibration, Observer
from myoedge.quantization.checks import QUANTIZED
from myoedge.quantization.formats import required_int16, residual_streams
from myoedge.quantization.masked_ranges import Range, constants_of, swamped
from myoedge.quantization.shared_scales import integer_tensors, operand_names, shared_scale_groups

SYMMETRIC_SCALE_MAX = 1.125  # times the affine scale, 1 dB: up to it zero point 0 is preferred
HEADROOM = 8.0  # of 16-bit outputs: samples outside the calibration set go beyond their range


@dataclass(frozen=True, slots=True)
class LayerRule:
    """`[quant] "head.*" = {...}`: settings of the layers whose module path matches."""

    pattern: str
    weights: str = "per_channel"
    observer: Observer | None = None

    def matches(self, node: Node) -> bool:
        return any(fnmatch.fnmatchcase(o.path, self.pattern) for o in node.origin)


@dataclass(frozen=True)
class QuantGraph:
    """A network in integers.

    graph      the float network, with one node for every step
    params     of every tensor, `name.pre` before fused tables included
    steps      the quantised nodes in order
    constants  constant operands in integers
    digest     of the float network, also where its weights are left out
    """

    graph: Graph
    params: Mapping[str, QuantParams]
    steps: tuple[QuantizedNode, ...]
    constants: Mapping[str, Array]
    calibration: Calibration
    digest: str
    warnings: tuple[Notice, ...] = field(default_factory=tuple)

    def element_type(self, name: str) -> ElementType:
        """Element type of a tensor's integers."""
        tensor = self.graph.tensors.get(name)
        if tensor is not None and tensor.dtype != "float32":
            return ElementType.of(tensor.dtype)
        return self.params[name].element_type if name in self.params else INT8

    def dtype(self, name: str) -> str:
        """Name of a tensor's element type, as in files and reports."""
        return str(self.element_type(name))


def quantize_graph(
    graph: Graph,
    calibration: Calibration,
    rules: Iterable[LayerRule] = (),
    int16: frozenset[str] = frozenset(),
) -> QuantGraph:
    """Chooses scales (equal where an operator needs it) and every operator's integers.

    int16   tensors of 16 bits besides residual streams
    Errors: E117 where an accumulator could leave int32 whatever is done.
    """
    params = choose_params(graph, calibration.ranges, int16)
    constants = {name: quantize(graph.constants[name], params[name]) for name in _operands(graph)}
    rules = tuple(rules)
    steps = tuple(quantize_node(graph, node, params, rules) for node in graph.nodes)
    for step in steps:
        _prove_no_overflow(step)
    warnings = (
        *_dead_layers(graph, calibration.ranges),
        *_swamped_layers(graph, calibration.ranges),
    )
    network = QuantGraph(graph, params, steps, constants, calibration, graph.digest, warnings)
    enforce(QUANTIZED, network, graph, "quantized")
    return network


def _operands(graph: Graph) -> dict[str, None]:
    """Constants that operators read as int8 tensors, in order of use."""
    names = (name for node in graph.nodes for name in operand_names(node))
    return dict.fromkeys(name for name in names if graph.is_const(name))


@dataclass(frozen=True, slots=True)
class SymmetricTensors:
    """Tensors with zero point 0: those that an operator requires so, or is faster with."""

    required: frozenset[str]
    preferred: frozenset[str]

    @staticmethod
    def of(graph: Graph) -> SymmetricTensors:
        read = [(node.inputs, OPS[node.op]) for node in graph.nodes]
        required = frozenset(inputs[i] for inputs, op in read for i in op.symmetric)
        preferred = frozenset(inputs[i] for inputs, op in read for i in op.prefers_symmetric)
        return SymmetricTensors(required, preferred)

    def params(self, low: float, high: float, names: Sequence[str]) -> QuantParams:
        """int8 parameters of a group of tensors with this range."""
        affine, symmetric = range_params(low, high), symmetric_params(low, high)
        close = symmetric.scale <= SYMMETRIC_SCALE_MAX * affine.scale
        wanted = self.required | self.preferred if close else self.required
        return affine if wanted.isdisjoint(names) else symmetric


def choose_params(
    graph: Graph, ranges: Mapping[str, Range], int16: frozenset[str] = frozenset()
) -> dict[str, QuantParams]:
    """Parameters of every tensor and constant operand.

    Tensors that must agree share those that an operator fixes, else those that one of them carries,
    else the union of their ranges.
    int16   tensors of 16 bits besides residual streams
    """
    spans = {**ranges, **_declared_ranges(graph, ranges)}
    symmetric, always = SymmetricTensors.of(graph), required_int16(graph)
    int16 |= residual_streams(graph)
    params: dict[str, QuantParams] = {}
    for names in shared_scale_groups(graph, spans):
        chosen = _given(graph, names)
        if chosen is None:
            low, high = min(spans[n][0] for n in names), max(spans[n][1] for n in names)
            if int16.issuperset(names) or not always.isdisjoint(names):
                factor = 1.0 if set(graph.outputs).isdisjoint(names) else HEADROOM
                chosen = symmetric_params(factor * low, factor * high, INT16)
            else:
                chosen = symmetric.params(low, high, names)
        params.update(dict.fromkeys(names, chosen))
    return params | _fixed_integer_params(graph)


def _given(graph: Graph, names: Sequence[str]) -> QuantParams | None:
    """Parameters of a group that an operator fixes, else that one of its tensors carries."""
    fixed = [OPS[graph.producer[n].op].fixed_params for n in names if n in graph.producer]
    given = (*fixed, *(graph.quant_params.get(name) for name in names))
    return next((q for q in given if q is not None), None)


def _declared_ranges(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges that follow from the graph itself: constants, and the values of padding."""
    found = constants_of(graph, ranges)
    for node in graph.nodes:
        if node.op == "pad":
            found[node.name + ".fill"] = (node.attrs["value"], node.attrs["value"])
    return found


def _fixed_integer_params(graph: Graph) -> dict[str, QuantParams]:
    """Parameters of integer tensors, which their operators fix."""
    names = integer_tensors(graph)
    fixed = {node.name: OPS[node.op].fixed_params for node in graph.nodes if node.name in names}
    return {name: params for name, params in fixed.items() if params is not None}


def quantize_node(
    graph: Graph, node: Node, params: Mapping[str, QuantParams], rules: tuple[LayerRule, ...]
) -> QuantizedNode:
    """Weights, multipliers and tables of one node, for these parameters."""
    op, names = OPS[node.op], operand_names(node)
    out = graph.shape(node.name)
    target = params.get(node.name + PRE if has_table(node) else node.name, QuantParams(1.0, 0))
    per_tensor = any(r.matches(node) and r.weights == "per_tensor" for r in rules)
    inputs = QuantizeInputs(
        attrs=node.attrs,
        shapes=tuple(graph.shape(name) for name in node.inputs),
        out=out,
        input_params=tuple(params.get(name) for name in node.inputs),
        target=target,
        constants=tuple(graph.constants.get(name) for name in node.inputs),
        weight_format=WeightFormat(per_channel=not per_tensor),
    )
    low, high = limits(node, target)
    integers = _with_table(op.quantize(inputs), node, params)
    kind = graph.tensors[node.name].dtype
    made = params[node.name].element_type if kind == "float32" else ElementType.of(kind)
    shapes = tuple(map(graph.shape, names))
    return QuantizedNode(node, names, shapes, out, integers, low, high, made)


def limits(node: Node, target: QuantParams) -> tuple[int, int]:
    """Saturation of requantised values: the element type's limits, or those of a fused clamp."""
    found = bounds(node.attrs.get("act", ()))
    if found is None:
        return target.low, target.high
    low, high = (_limit(edge, target) for edge in found)
    return low, high


def _limit(edge: float, q: QuantParams) -> int:
    if math.isinf(edge):
        return q.low if edge < 0 else q.high
    return int(quantize(edge, q))


def _with_table(
    integers: QuantizedParams, node: Node, params: Mapping[str, QuantParams]
) -> QuantizedParams:
    if not has_table(node):
        return integers
    table = make_table(node.attrs["act"], params[node.name + PRE], params[node.name])
    return replace(integers, arrays={**integers.arrays, "table": table})


def _prove_no_overflow(step: QuantizedNode) -> None:
    bound = OPS[step.node.op].acc_bound(step)
    if bound > INT32_MAX:
        raise MyoedgeError(
            "E117",
            f"{step.node.where} could overflow its 32-bit accumulator",
            {"needs": f"at most {INT32_MAX:,}", "has": f"{bound:,} at the worst input"},
            ["fewer products per output: smaller kernels, fewer channels, or groups"],
        )


def _dead_layers(graph: Graph, ranges: Mapping[str, Range]) -> Iterable[Notice]:
    """Weighted layers whose output never changed over the calibration samples."""
    for node in graph.nodes:
        low, high = ranges.get(node.name, (0.0, 1.0))
        if OPS[node.op].multiplies and low == high:
            yield notice(
                "W101",
                f"{node.where} is dead: its output is {low:g} for every calibration sample",
                {"found": "the rest of the network learns nothing from it"},
                ["calibrate with samples of every class", "look for a dying ReLU in training"],
            )


def _swamped_layers(graph: Graph, ranges: Mapping[str, Range]) -> Iterable[Notice]:
    """Layers that are filled with numbers far from all others, where no softmax hides them."""
    for node, fill in swamped(graph, ranges):
        yield notice(
            "W103",
            f"{node.where} fills with {fill:g}, which leaves int8 nothing for all other values",
            {"found": f"steps of {abs(fill) / 255:.3g}"},
            [
                "fill with a number just beyond what is there, masked_fill(mask, -10.0) say",
                "only what a softmax alone reads may be hidden so",
            ],
        )
