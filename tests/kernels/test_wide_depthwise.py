# SPDX-License-Identifier: Apache-2.0
"""me_depthwise_conv_s16: products of 16 bits against the operator's integer meaning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Attrs, Shape
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.depthwise import wide_packed
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.interpreter import integer_step
from myoedge.operators.library.packing import packed_channels
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_wide import draw, params
from tests.kernels.test_wide_conv import WIDTHS, quantized

# x [N, H, W, C], kernel, stride, dilation, pads
SHAPES: tuple[tuple[Shape, Shape, Shape, Shape, tuple[Shape, Shape]], ...] = (
    ((1, 5, 6, 4), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))),
    ((1, 6, 7, 8), (3, 3), (2, 2), (1, 1), ((0, 1), (0, 1))),
    ((1, 4, 5, 3), (2, 3), (1, 2), (2, 1), ((1, 2), (2, 0))),
    ((1, 1, 9, 5), (1, 4), (1, 1), (1, 1), ((0, 0), (3, 0))),
    ((1, 1, 1, 2), (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))),
    ((1, 9, 1, 2), (3, 1), (1, 1), (1, 1), ((4, 4), (0, 0))),  # windows of padding alone
    ((1, 12, 12, 16), (5, 5), (1, 1), (1, 1), ((2, 2), (2, 2))),
)


def step_of(rng: np.random.Generator, number: int, wide: tuple[bool, bool]) -> QuantizedNode:
    shape, kernel, stride, dilation, pads = SHAPES[number]
    c = shape[-1]
    attrs: Attrs = {"stride": stride, "dilation": dilation, "pads": pads, "groups": c}
    x, y = (params(rng, wide=one) for one in wide)
    w = rng.normal(0, 0.3, (c, *kernel, 1)).astype(np.float32)
    bias = rng.normal(0, 2.0, c).astype(np.float32)
    return quantized(attrs, shape, (x, y), (w, bias), number)


def case_of(rng: np.random.Generator, number: int, wide: tuple[bool, bool]) -> Case:
    step = step_of(rng, number, wide)
    sizes = Conv2dGeometry.of(step)
    _, h, w, c = sizes.x
    x = draw(rng, h * w * c, "int16" if wide[0] else "int8")
    weights = wide_packed(step.integers.weight.reshape(c, *sizes.kernel))
    data = blob(x, weights, np.pad(packed_channels(step), ((0, c % 2), (0, 0))))
    (top, _), (left, _) = sizes.pads
    numbers = (
        *(*sizes.kernel, *sizes.stride, *sizes.dilation, step.integers.x_zero, int(wide[0])),
        *(int(wide[1]), step.integers.pre, step.low, step.high),
        *(data.starts[0], h, w, top, left, *data.starts[1:], *sizes.y[1:]),
    )
    expected = integer_step(step, [x.reshape(step.shapes[0])])
    assert step.integers.weight.dtype == np.int16
    assert expected.dtype == (np.int16 if wide[1] else np.int8)
    name = f"{SHAPES[number]} {wide}"
    return Case(name, numbers, data.data, expected.ravel().view(np.int8))


@pytest.mark.parametrize("run", RUNS)
def test_results_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(73)
    cases = [case_of(rng, n, w) for n, w in itertools.product(range(len(SHAPES)), WIDTHS)]
    check(cases, run("wide_depthwise", ("me_depthwise_conv_s16",), cases, tmp_path))
