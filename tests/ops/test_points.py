# SPDX-License-Identifier: Apache-2.0
"""Functions of 8 and 16 bits by points: generated C against the operator's integer meaning, and
that against the function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode, QuantizeInputs
from myoedge.operators.elementwise.tables import HALF, LineParams, TableParams, points
from myoedge.operators.interpreter import integer_step
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.formats import int16_groups, with_tables_apart
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from tests.ops.harness import mismatches, run_c
from tests.support.onnx.quantized import network
from tests.support.run import optimization

TYPES = ((INT8, INT16), (INT16, INT8), (INT16, INT16))
ENDS = (0, 1, -1, 63, 64, 65, 127, 128, -128, -64, 255, 256, 16383, 16384, 32767, -32767, -32768)


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer and its operands."""

    step: QuantizedNode
    data: tuple[Array, ...]

    @property
    def size(self) -> int:
        return self.data[0].size


def check(layers: Sequence[Layer], folder: Path) -> None:
    """Generated C equals NumPy on a host."""
    wanted = [integer_step(layer.step, layer.data) for layer in layers]
    assert [y.dtype for y in wanted] == [layer.step.element_type.dtype for layer in layers]
    assert not mismatches(layers, wanted, run_c(layers, folder, optimization()))


def step_of(chain: tuple[Any, ...], x: QuantParams, y: QuantParams, n: int) -> QuantizedNode:
    inputs = QuantizeInputs({"chain": chain}, ((n,),), (n,), (x,), y, (None,))
    node = Node("table", ("x",), ("y",), {"chain": chain})
    integers = OPS["table"].constants.quantize(inputs)
    result, types = (y.low, y.high, y.element_type), (x.element_type,)
    return QuantizedNode(node, ("x",), ((n,),), (n,), integers, *result, operand_types=types)


def case_of(rng: np.random.Generator, n: int, kinds: tuple[ElementType, ElementType]) -> Layer:
    """Entries of any size, so that differences of neighbours are as large as 16 bits allow."""
    x, y = kinds
    zero = int(rng.integers(x.low, x.high + 1)) if rng.random() < 0.5 else 0
    step = step_of((("tanh",),), QuantParams(2.0**-8, zero, x), QuantParams(2.0**-15, 0, y), n)
    table = rng.choice([-32768, 32767, 0, 5], step.integers.lut.shape).astype(np.int16)
    step = replace(step, integers=replace(step.integers, lut=table, table=None))
    ends = [value for value in ENDS if x.low <= value <= x.high]
    drawn = rng.integers(x.low, x.high + 1, n) >> rng.integers(0, x.bits, n)
    values = np.where(rng.random(n) < 0.2, rng.choice(ends, n), drawn).astype(x.dtype)
    return Layer(step, (values,))


def test_functions_are_those_of_the_operator(tmp_path: Path) -> None:
    rng = np.random.default_rng(61)
    check([case_of(rng, n, kinds) for kinds in TYPES for n in (1, 7, 400, 2048)], tmp_path)


def test_points_are_every_number_up_to_127_and_64_an_octave_beyond() -> None:
    at = points().tolist()
    assert at[:128] == [*range(128)]
    for octave in range(7, 16):
        first = 64 * (octave - 5)
        assert at[first : first + 64] == [2**octave + k * 2 ** (octave - 6) for k in range(64)]
    assert len(at) == HALF
    assert at[704] == 2**16


# ---- precision, against the functions of math in float64

SPANS = {  # range of x
    "exp": (-8.0, 3.9), "gelu": (-6.0, 6.0), "log": (0.0, 20.0), "reciprocal": (0.0, 50.0),
    "sqrt": (0.0, 100.0), "tanh": (-4.0, 4.0),
}  # fmt: skip
BY_MATH = {
    "exp": math.exp, "gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2, "log": math.log,
    "reciprocal": lambda x: 1 / x, "sqrt": math.sqrt, "tanh": math.tanh,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SPANS))
def test_results_have_12_bits_and_more(name: str) -> None:
    """Over all inputs of the range but 0 where there is a pole: the largest error is below 2**-12
    of the largest result, which is where results saturate."""
    low, high = SPANS[name]
    x = QuantParams(max(-low, high) / 32767, 0, INT16)
    every = np.arange(1 if low == 0.0 else -32767, 32768, dtype=np.int64)
    real = every[(every * x.scale >= low) & (every * x.scale <= high)] * x.scale
    wanted = np.array([BY_MATH[name](value) for value in real.tolist()])
    y = QuantParams(float(np.abs(wanted).max()) / 32767, 0, INT16)
    values = np.rint(real / x.scale).astype(np.int16)
    found = integer_step(step_of(((name,),), x, y, len(values)), [values]) * y.scale
    assert np.abs(found - wanted).max() < 2.0**-12 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["log", "reciprocal"])
def test_a_pole_at_0_has_the_value_half_a_step_beside_it(name: str) -> None:
    x, y = QuantParams(2.0**-10, 0, INT16), QuantParams(2.0**-3, 0, INT16)
    zero: Array = np.zeros(1, np.int16)
    found = integer_step(step_of(((name,),), x, y, 1), [zero])[0]
    assert abs(found - BY_MATH[name](2.0**-11) / y.scale) <= 1.0  # points have steps of 2


def test_a_function_fused_into_a_layer_stands_apart_where_16_bits_are() -> None:
    """A logarithm behind a linear layer: 16 bits before it, behind it, or none."""
    rng = np.random.default_rng(3)
    x, weight = rng.uniform(0, 1, (8, 4, 6)).astype(np.float32), rng.uniform(0, 1, (5, 6))
    node = Node("linear", ("x", "w"), ("y",), {"act": (("log",),)})
    graph = network([node], {"x": (4, 6)}, {"w": weight.astype(np.float32)})
    calibration = calibrate(graph, {"x": x}, Observer(), "test")
    found = {}
    for names in ((), ("y.pre",), ("y",), ("y.pre", "y")):
        q = quantize_graph(graph, calibration, (), frozenset(names))
        found[names] = measure(q, {"x": x}).worst_db or 0.0
        assert [step.node.op for step in q.steps] == (["linear", "table"] if names else ["linear"])
        assert {s.node.name for s in q.steps if s.element_type == INT16} == {*names}
        assert q.digest == graph.digest
    assert found["y.pre", "y"] > found[()] + 1.0
    assert int16_groups(with_tables_apart(graph, ["y"]), q.params) == [("x",), ("y.pre",), ("y",)]


@pytest.mark.parametrize("kind", [INT8, INT16])
def test_linear_functions_of_16_bits_are_exact_to_a_step(kind: ElementType, tmp_path: Path) -> None:
    """All 2**16 values, with drawn slopes, offsets and clamps, rounded by fractions."""
    rng, layers = np.random.default_rng(5), []
    every = np.arange(INT16.low, INT16.high + 1).astype(INT16.dtype)
    for turn in range(24):
        slope, offset = rng.choice([-1, 1]) * rng.uniform(0.1, 4), rng.normal(0, 0.1)
        x = QuantParams(2.0**-15 * rng.uniform(0.5, 2), int(rng.integers(-2000, 2000)), INT16)
        y = QuantParams(
            2.0 ** (1 - kind.bits) * rng.uniform(0.5, 4), int(rng.integers(-9, 9)), kind
        )
        chain: tuple[Any, ...] = (("affine", float(slope), float(offset)),)
        low, high = sorted(rng.normal(0, 0.5, 2).tolist()) if turn % 2 else (-math.inf, math.inf)
        factor = 1.0
        if turn % 2:
            factor = float(rng.choice([-1.0, 0.5]))
            low = -math.inf if turn % 4 == 1 else low
            chain += ("clamp", low, high), ("affine", factor, 0.0)
        layer = Layer(step_of(chain, x, y, len(every)), (every,))
        assert isinstance(layer.step.integers, LineParams)
        lines = (
            Fraction(slope) * (v - x.zero_point) * Fraction(x.scale) + Fraction(offset)
            for v in every[::97].tolist()
        )
        steps = [
            Fraction(min(max(line, low), high)) * Fraction(factor) / Fraction(y.scale)
            + y.zero_point
            for line in lines
        ]
        wanted = [min(max(round(step), y.low), y.high) for step in steps]
        found = integer_step(layer.step, layer.data)[::97]
        assert max(abs(int(a) - b) for a, b in zip(found, wanted, strict=True)) <= 1
        layers.append(layer)
    check(layers, tmp_path)


@pytest.mark.parametrize(
    "chain", [(("affine", 0.0, 1.0),), (("affine", 1e-9, 1e9),), (("affine", 2.0, 0.0), ("tanh",))]
)
def test_other_functions_of_16_bits_are_points(chain: tuple[Any, ...]) -> None:
    x, y = QuantParams(2.0**-15, 0, INT16), QuantParams(2.0**-15, 0, INT16)
    assert isinstance(step_of(chain, x, y, 8).integers, TableParams)
