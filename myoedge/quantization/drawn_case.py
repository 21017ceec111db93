# SPDX-License-Identifier: Apache-2.0
"""A random test case of one operator, quantised as a network with only this operator, and error
bounds of its integer results: 3/4 of a step plus the case's slack."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node, Shape, Tensor
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16, INT32
from myoedge.numerics.pointwise import evaluate
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.weight_format import EIGHT_BITS
from myoedge.operators.base import OPS, QuantizedNode, QuantizeInputs
from myoedge.operators.cases import DrawnUse
from myoedge.operators.interpreter import PRE
from myoedge.operators.kernel_formats import (
    always_reads,
    always_writes,
    layer_shapes,
    may_read,
    may_write,
    weight_bits,
)
from myoedge.operators.recurrent.cells import gate_params
from myoedge.quantization.calibrate import Calibration
from myoedge.quantization.masked_ranges import Range
from myoedge.quantization.scales import QuantGraph, quantize_graph, site_of
from myoedge.quantization.stated_widths import LayerRule
from myoedge.quantization.tensor_params import INNER_HEADROOM

INDICES = QuantParams(1.0, 0, INT32)
ROUNDING = 0.75  # half an output step, plus the rounding of the fixed-point factors


@dataclass(frozen=True)
class DrawnCase(DrawnUse):
    """A random test case of one operator, with its input data and its quantised network.

    Float results come from the operator's own definition; tests compare them with torch.
    """

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(len(self.shapes)))

    @cached_property
    def data(self) -> tuple[Array, ...]:
        """Random integer values of each input."""
        rng = np.random.default_rng(self.seed)
        pairs = zip(self.shapes, self.types, strict=True)
        return tuple(
            self._draw_samples(rng, shape, i)
            if i in self.wide
            else self._draw_values(rng, shape, kind)
            for i, (shape, kind) in enumerate(pairs)
        )

    @property
    def wide(self) -> tuple[int, ...]:
        """Positions of the int16 inputs: those that the operator always reads as int16, and for
        some seeds the first operand of a product."""
        op, (node,) = OPS[self.op], self.graph.nodes
        products = INT16.bits in weight_bits(self.op) and not op.weights.multiply_result
        layer = layer_shapes(self.graph, node)
        if products and self.seed % 5 < 2 and may_read(node, 0, INT16, *layer):
            return (0,)
        always = always_reads(node, INT16)
        return self.int16 or tuple(i for i in always if self.types[i] != "int16")

    @property
    def types(self) -> tuple[str, ...]:
        """Element type of every input in the float graph; float32 inputs are quantised to int8."""
        return self.kinds or (self.dtype,) * len(self.shapes)

    def _draw_values(self, rng: np.random.Generator, shape: Shape, kind: str) -> Array:
        if kind in ("int32", "uint8") and self.classes:
            least = self.least if kind == "int32" else 0
            return rng.integers(least, self.classes, shape).astype(kind)
        if kind == "int32":
            return rng.integers(-(2**31), 2**31, shape).astype(np.int32)
        if kind == "int16":
            return self._draw_gates(rng, shape)
        kinds: dict[str, Callable[[], Array]] = {
            "uniform": lambda: rng.integers(-128, 128, shape),
            "edges": lambda: rng.choice([-128, 127], shape),
            "lowest": lambda: np.full(shape, -128),
            "highest": lambda: np.full(shape, 127),
            "few": lambda: rng.choice([-128, -1, 0, 3, 127], shape),
            "narrow": lambda: np.clip(np.rint(rng.normal(0, 12, shape)), -128, 127),
        }
        return np.asarray(kinds[self.pattern]()).astype(np.int8)

    def _draw_gates(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw gate sums: mostly near 0, where sigmoid and tanh bend, otherwise over the whole
        int16 range."""
        wide = {"edges": [-32768, 32767], "lowest": [-32768], "highest": [32767]}
        if self.pattern in wide:
            return rng.choice(wide[self.pattern], shape).astype(np.int16)
        spread = 32 if self.pattern == "narrow" else 2048
        return np.clip(np.rint(rng.normal(0, spread, shape)), -32768, 32767).astype(np.int16)

    def _draw_samples(self, rng: np.random.Generator, shape: Shape, index: int) -> Array:
        """Draw an int16 input; its values are not negative if the case requires that."""
        values = self._draw_adc_samples(rng, shape)
        return np.abs(np.maximum(values, -32767)) if index in self.positive else values

    def _draw_adc_samples(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw int16 samples as from an AD converter: noise of a random amplitude, or values at the
        ends of the range."""
        few = [-32768, -1, 0, 3, 32767]
        wide = {"edges": [-32768, 32767], "lowest": [-32768], "highest": [32767], "few": few}
        if self.pattern in wide:
            values = rng.choice(wide[self.pattern], shape).astype(np.int16)
            values.reshape(-1)[:1] = wide[self.pattern][-1]  # at least one end of the range
            return values
        # If sums reach less than 2**-16 of their bound, no int32 multiplier represents the factor.
        spread = 400 if self.pattern == "narrow" else 8000
        return np.clip(np.rint(rng.normal(0, spread, shape)), -32768, 32767).astype(np.int16)

    @cached_property
    def quant(self) -> QuantGraph:
        """The quantised network of the operator, made as in a build."""
        rules = [LayerRule("layer", "per_tensor")] if self.per_tensor else []
        return quantize_graph(self.graph, self.calibration, rules, self.wider)

    @cached_property
    def graph(self) -> Graph:
        """The float network that consists of the operator."""
        weights = {f"w{i}": value.astype(np.float32) for i, value in enumerate(self.weights)}
        attrs = {**self.attrs, **({"act": self.act} if self.act else {})}
        node = Node(self.op, (*self.names, *weights), ("y",), attrs, (Origin("layer", "net.py:1"),))
        out = OPS[self.op].shape(attrs, *self.shapes, *(w.shape for w in weights.values()))
        wide = OPS[self.op].result.dtype
        kind = self.dtype if wide == "float32" else wide
        tensors = {
            n: Tensor(n, s, kind)
            for n, s, kind in zip(self.names, self.shapes, self.types, strict=True)
        }
        tensors["y"] = Tensor("y", out, kind)
        return Graph(self.names, ("y",), (node,), tensors, as_constants(weights))

    @property
    def is_wide(self) -> bool:
        """Whether results are int16."""
        (node,) = self.graph.nodes
        if OPS[self.op].same_scale:  # data movement keeps the element type
            return 0 in self.wide
        layer = layer_shapes(self.graph, node)
        may = may_write(node, INT16, *layer) and not always_writes(self.op, INT16)
        return self.seed % 7 < 3 and may

    @property
    def wider(self) -> frozenset[str]:
        """Names of the tensors that are int16."""
        return frozenset([*(["y"] if self.is_wide else []), *(self.names[i] for i in self.wide)])

    @cached_property
    def calibration(self) -> Calibration:
        spans = dict(zip(self.names, self.spans, strict=True))
        reals = [self._dequantise_input(i, x, self.spans[i]) for i, x in enumerate(self.data)]
        before = np.asarray(self.real(reals))
        # Nor if int16 steps are a 500th of those of the narrow data.
        tiny = self.is_wide and self.pattern == "narrow" and self.factors[0] < 0.01
        factors = (1.0, 0.0) if tiny else self.factors
        spans["y" + PRE] = _scale_values(before, factors)
        spans["y"] = _scale_values(self.activated(self.act, before), factors)
        if not self.has_table:
            del spans["y" + PRE]
        return Calibration(spans, 1, "drawn", "")

    def _dequantise_input(self, index: int, x: Array, span: Range) -> Array:
        low, high = span
        if index in self.wide:
            return np.asarray(x * (INNER_HEADROOM * max(-low, high) / 32767))
        if x.dtype == np.int16:
            return np.asarray(x * gate_params(self.attrs).scale)
        if self.is_index(x):
            return x.astype(np.float64)
        return np.asarray(low + (x.astype(np.float64) + 128) / 255 * (high - low))

    @property
    def has_table(self) -> bool:
        return any(step[0] != "clamp" for step in self.act)

    @property
    def step(self) -> QuantizedNode:
        return self.quant.steps[0]

    @property
    def site(self) -> QuantizeInputs:
        """Arguments of the operator's `quantize`; the format of weights is the usual one."""
        return site_of(self.quant.graph, self.step.node, self.quant.params, EIGHT_BITS)

    def params(self, name: str) -> QuantParams:
        return self.quant.params[name]

    @property
    def target(self) -> QuantParams:
        """Quantisation parameters of the requantised value, before a fused table."""
        return self.params("y" + PRE if self.has_table else "y")

    def real(self, inputs: Sequence[Array]) -> Any:
        """Return the operator's float result, before a fused activation.

        inputs   float values of the inputs
        """
        kind = np.int32 if self.dtype == "int32" else np.float32
        arrays = [np.asarray(x, kind) for x in inputs]
        return OPS[self.op].real(self.attrs, *arrays, *(w.astype(np.float32) for w in self.weights))

    def activated(self, chain: Any, values: Array) -> Array:
        """Apply a chain of pointwise functions to an array; an empty chain leaves it unchanged."""
        return evaluate(chain, np.asarray(values, np.float64)) if chain else values

    @cached_property
    def dequantized(self) -> list[Array]:
        """The dequantised inputs, float64."""
        pairs = zip(self.names, self.data, strict=True)
        gates = gate_params(self.attrs)
        usual = (INDICES if self.is_index(x) else gates for x in self.data)
        params = ((x, self.quant.params.get(n, q)) for (n, x), q in zip(pairs, usual, strict=True))
        return [(x.astype(np.float64) - q.zero_point) * q.scale for x, q in params]

    def is_index(self, x: Array) -> bool:
        """Return whether an input array holds indices: integers without a scale."""
        return bool(self.classes) and x.dtype in (np.int32, np.uint8)

    @property
    def size(self) -> int:
        return sum(x.size for x in (*self.data, *self.weights))


def _scale_values(values: Array, factors: tuple[float, float]) -> Range:
    scale, shift = factors
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    width = max(high - low, abs(high), 1e-6)
    return (low + shift * width) * scale, (high + shift * width) * scale


def is_exact(case: DrawnCase) -> bool:
    """Return whether the integer results must be exact, because the operator only moves or compares
    values."""
    op = OPS[case.op]
    return op.result.dtype == "int32" or (op.same_scale and case.op != "pad")


def allowed(case: DrawnCase) -> tuple[Array, Array]:
    """Return the minimum and maximum allowed integer for each result of a test case, as floats."""
    if is_exact(case):
        exact = np.asarray(case.real(case.data))
        return exact, exact
    before = np.asarray(case.real(case.dequantized)) / case.unit(case)
    slack = ROUNDING + np.asarray(case.slack(case)) + finer(case)
    if case.has_table:
        return _bounds_through_table(case, before, slack)
    wanted = steps_from(case.activated(case.act, before), case.params("y"))
    return wanted - slack, wanted + slack


def steps_from(expected: Array, q: QuantParams) -> Array:
    """Convert real numbers to the integer scale without rounding; values are clipped to the
    integers' range."""
    finite = np.clip(np.nan_to_num(expected, nan=0.0, posinf=1e30, neginf=-1e30), -1e30, 1e30)
    return np.asarray(np.clip(finite / q.scale + q.zero_point, q.low, q.high))


def finer(case: DrawnCase) -> float:
    """Return the error, in output steps, that rounded multipliers add to int16 results; 0 for int8.

    Accumulator and multiplier share 32 bits, so that int16 leaves fewer bits to the multiplier.
    """
    numbers = {**case.step.integers.scalars, **case.step.integers.arrays}
    if case.params("y").element_type.bits == 8 or not {"mult", "pre"}.issubset(numbers):
        return 0.0
    factors = np.asarray(numbers["mult"]) / 2.0 ** (np.asarray(numbers["shift"]) + numbers["pre"])
    largest = numbers.get("acc_bound", case.step.bound)  # before requantisation
    return math.sqrt(float(largest) * float(factors.max())) / 256


def _bounds_through_table(case: DrawnCase, before: Array, slack: Array) -> tuple[Array, Array]:
    """Return the minimum and maximum of the activation, as integers, over the error range of the
    requantised value before it."""
    pre, post = case.target, case.params("y")
    at = steps_from(before, pre)
    low, high = np.clip(at - slack, -128, 127), np.clip(at + slack, -128, 127)
    points = 17 + 2 * int(np.max(high - low, initial=0.0))  # a function may not be monotone
    near = [low + f * (high - low) for f in np.linspace(0.0, 1.0, points)]
    reals = [np.asarray((n - pre.zero_point) * pre.scale) for n in near]
    steps = np.stack([steps_from(case.activated(case.act, r), post) for r in reals])
    return steps.min(axis=0) - 1.0, steps.max(axis=0) + 1.0
