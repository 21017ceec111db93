# SPDX-License-Identifier: Apache-2.0
"""me_conv_s16: products of 16 bits against the operator's integer meaning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.base import QuantizedNode, QuantizeInputs
from myoedge.operators.conv import CONV
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.wide import wide_weights
from myoedge.operators.interpreter import integer_step
from myoedge.operators.library.packing import channels_in_blocks
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_wide import draw, params

ONE_BY_ONE = ((1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)))  # kernel, stride, dilation, pads
# x [N, H, W, C], channels of the result, kernel, stride, dilation, pads
SHAPES: tuple[tuple[Shape, int, Shape, Shape, Shape, tuple[Shape, Shape]], ...] = (
    ((1, 1, 4, 129), 20, (1, 3), (1, 1), (1, 1), ((0, 0), (1, 1))),
    ((1, 1, 4, 32), 7, (1, 3), (1, 2), (1, 1), ((0, 0), (1, 1))),
    ((1, 1, 1, 1), 1, (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))),
    ((1, 5, 6, 3), 5, (3, 3), (2, 1), (1, 2), ((1, 2), (2, 1))),
    ((1, 9, 1, 2), 9, (4, 1), (1, 1), (2, 1), ((3, 3), (0, 0))),
    ((1, 3, 5, 8), 16, (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))),
    ((1, 1, 6, 8), 5, (1, 2), (1, 3), (1, 1), ((0, 0), (4, 3))),  # windows of padding alone
    ((1, 1, 1, 25), 17, *ONE_BY_ONE),
    ((1, 1, 1, 6), 32, *ONE_BY_ONE),
    ((1, 1, 1, 7), 33, *ONE_BY_ONE),
    ((1, 1, 1, 8), 3, *ONE_BY_ONE),
)
WIDTHS = ((True, True), (True, False), (False, True))
LIMITS = {"int8": ((-128, 127), (-7, 100)), "int16": ((-32768, 32767), (0, 32767), (-300, 9000))}


def step_of(rng: np.random.Generator, number: int, wide: tuple[bool, bool]) -> QuantizedNode:
    shape, k, kernel, stride, dilation, pads = SHAPES[number]
    attrs: Attrs = {"stride": stride, "dilation": dilation, "pads": pads, "groups": 1}
    x, y = (params(rng, wide=one) for one in wide)
    w = rng.normal(0, 0.3, (k, *kernel, shape[-1])).astype(np.float32)
    w[0] *= rng.choice([1.0, 300.0], w[0].shape, p=[0.9, 0.1])
    bias = rng.normal(0, 2.0, k).astype(np.float32)
    if wide == (False, True) and not any(map(any, pads)) and kernel == stride:
        attrs = {**attrs, "pads": ((0, 0), (0, 1))}  # else its windows lie side by side
    return quantized(attrs, shape, (x, y), (w, bias), number)


def quantized(
    attrs: Attrs,
    shape: Shape,
    scales: tuple[QuantParams, QuantParams],
    learnt: tuple[Array, Array],
    number: int,
) -> QuantizedNode:
    """A convolution of x in this shape.

    scales   of x and y
    learnt   weights and bias
    number   chooses the limits of y
    """
    (x, y), (w, bias) = scales, learnt
    out = CONV.shape(attrs, shape, w.shape)
    inputs = QuantizeInputs(
        attrs, (shape, w.shape, bias.shape), out, (x, None, None), y, (None, w, bias)
    )
    limits = LIMITS[str(y.element_type)][number % len(LIMITS[str(y.element_type)])]
    node, result = Node("conv", ("x", "w", "b"), ("y",), attrs), (*limits, y.element_type)
    integers, types = CONV.constants.quantize(inputs), (x.element_type,)
    return QuantizedNode(node, ("x",), (shape,), out, integers, *result, operand_types=types)


def case_of(rng: np.random.Generator, number: int, wide: tuple[bool, bool]) -> Case:
    step = step_of(rng, number, wide)
    sizes = Conv2dGeometry.of(step)
    _, h, w, c = sizes.x
    row = (w + 3 * (number % 2)) * c  # where the kernel reads columns of wider rows too
    image = draw(rng, h * row, "int16" if wide[0] else "int8")
    x = image.reshape(h, row)[:, : w * c]
    weights = wide_weights(step.integers.weight.reshape(len(step.integers.weight), -1))
    data = blob(image, weights, channels_in_blocks(step))
    (top, _), (left, _) = sizes.pads
    both = (*sizes.kernel, *sizes.stride, *sizes.dilation)
    in_place = wide[0] and (h, w, *both) == (1,) * 8 and len(step.integers.weight) <= 32
    numbers = (
        *(c, *both, step.integers.x_zero, int(wide[0]), int(wide[1])),
        *(step.integers.pre, step.low, step.high, -1),
        *(data.starts[0], h, w, top, left, row * x.itemsize, *data.starts[1:]),
        *sizes.y[1:],
        int(in_place),
    )
    expected = integer_step(step, [x.reshape(step.shapes[0])])
    assert expected.dtype == (np.int16 if wide[1] else np.int8)
    name = f"{SHAPES[number]} {wide}"
    return Case(name, numbers, data.data, expected.ravel().view(np.int8))


@pytest.mark.parametrize("run", RUNS)
def test_results_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(67)
    cases = [case_of(rng, n, w) for n, w in itertools.product(range(len(SHAPES)), WIDTHS)]
    check(cases, run("wide_conv", ("me_conv_s16",), cases, tmp_path))


@pytest.mark.parametrize("wide", WIDTHS)
def test_weights_are_as_large_as_int32_has_room_for(wide: tuple[bool, bool]) -> None:
    """Summed over whole numbers, the largest inputs of either sign stay in int32, and weights use
    15 bits or as many as that leaves, or a large bias."""
    rng = np.random.default_rng(71)
    for number in range(len(SHAPES)):
        step = step_of(rng, number, wide)
        rows = step.integers.weight.reshape(len(step.integers.weight), -1).astype(object)
        reach = 32768 if wide[0] else 128
        sums = [
            abs(int(b)) + reach * sum(abs(w) for w in row)
            for row, b in zip(rows, step.integers.bias, strict=True)
        ]
        assert max(sums) == step.bound <= INT32_MAX
        largest = np.array([max(abs(w) for w in row) for row in rows])
        full = np.array([s > 0.8 * 2**31 for s in sums]) | (
            np.abs(step.integers.bias) > 0.99 * 2**28
        )
        assert ((largest > 32000) | full).all(), (number, largest, sums)
