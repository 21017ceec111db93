# SPDX-License-Identifier: Apache-2.0
"""Drawn descriptions that carry values of 32 and 64 bits along an axis: generated C in tiles of
many sizes equals NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoedge.nest.formulas import clip
from myoedge.nest.ir import Array, Axis, Binary, Call, Expr, Nest, Number
from myoedge.nest.nodes import Carried, results_of
from myoedge.nest.scan import last, running_total, scan_of
from myoedge.operators.norm.definition import LINE_OF_ROW
from myoedge.plan.l1.layer_kernels import candidates
from tests.ops.test_descriptions_in_c import GAP9, Description, as_layer, compare, in_tiles

COUNT, SLOW_COUNT = 16, 300
WRITTEN = ("me_long_shifted(", "_step)", "int64_t s", "int32_t s", "const me_line v")
SHORT, LONG = (-900, 900), (-(2**40), 2**40)  # ranges of carried values


class DrawnScan:
    """A formula of up to three carried values, which each iteration computes from all of them, from
    elements along the axis, and from those that a row has in common."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 6])
        extents = rng.choice([1, 2, 3, 5, 9], int(rng.integers(1, 4)))
        self.axes = tuple(Axis(f"i{d}", int(n)) for d, n in enumerate(extents))
        self.along = Axis("k", int(rng.integers(2, 14)))
        self.arrays: list[Array] = []

    def element(self, axes: tuple[Axis, ...], dtype: str = "") -> Expr:
        kind = dtype or str(self.rng.choice(["int8", "uint8", "int16", "int32"]))
        shape = tuple(axis.extent for axis in axes)
        limits = np.iinfo(kind)
        values = None
        if self.rng.integers(4) == 0:
            values = self.rng.integers(limits.min, limits.max, shape, endpoint=True).astype(kind)
        self.arrays.append(Array(f"x{len(self.arrays)}", kind, shape, values))
        return self.arrays[-1][axes]

    def some(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(axis for axis in axes if self.rng.integers(4)) or (axes[-1],)

    def combined(self, a: Expr, b: Expr) -> Expr:
        a, b = clip(a, *LONG), clip(b, *SHORT)
        kind = str(self.rng.choice(["+", "-", "*", "max", "min", "long >>"]))
        bits = Number(int(self.rng.integers(1, 31)))
        return Binary(kind, a * (b + (1 << 20)), bits) if kind == "long >>" else Binary(kind, a, b)

    def nest(self) -> Nest:
        rng = self.rng
        axes = list(self.axes)
        axes.insert(int(rng.integers(len(axes) + 1)), self.along)
        common = [self.element(self.some(self.axes)) for _ in range(2)]
        given = [self.element(self.some(tuple(axes))) for _ in range(2)]
        given.append(self.element((self.along,)))
        given += [normalized(given[0])] * int(rng.integers(2))
        limits = [[SHORT, LONG][int(rng.integers(2))] for _ in range(int(rng.integers(1, 4)))]
        states = [Carried(x) for x in limits]
        parts: list[Expr] = [*states, *common, *given]
        for _ in range(int(rng.integers(2, 6))):
            parts.append(self.combined(*(parts[at] for at in rng.integers(len(parts), size=2))))
        parts.append(sum((clip(x, *SHORT) for x in states), clip(parts[-1], *LONG)))
        nexts = [clip(parts[-1 - at], *x) for at, x in enumerate(limits)]
        if len(states) > 1 and limits[0] == limits[1]:
            nexts[1] = states[0]  # a delay
        starts = [clip(common[at % 2], *x) for at, x in enumerate(limits)]
        value = scan_of(self.along, states, starts, nexts, nexts[0])
        if rng.integers(3) == 0:
            axes, value = [*self.axes], last(self.along, value) + common[0]
        dtype = str(rng.choice(["int8", "int16", "int32"]))
        info = np.iinfo(dtype)
        out = Array("y", dtype, tuple(axis.extent for axis in axes))
        operands = tuple(x for x in self.arrays if x.values is None)
        at = tuple(axis.at for axis in axes)
        return Nest(tuple(axes), operands, out, at, clip(value, int(info.min), int(info.max)))


def normalized(x: Expr) -> Expr:
    """An element as layer norm normalises rows of one element: by a call that has results."""
    x = clip(x, *SHORT)
    call = Call(LINE_OF_ROW, None, (x, x * x, x, *map(Number, (1, 0, 2600, 0, 15))))
    slope, start, shift = results_of(call)
    return Binary("int32 +", Binary("int32 *", x, slope), start) >> shift


def drawn(seed: int) -> Description | None:
    drawing = DrawnScan(seed)
    return as_layer(seed, drawing.nest(), drawing.rng)


def test_products_with_learnt_constants_have_32_bits() -> None:
    """Another training that needed 64 bits is refused, as beside a loop without carried values."""
    c, k = Axis("i0", 3), Axis("i1", 5)
    x = Array("x0", "int8", (3, 5))
    values = np.array([5, 70, -9], np.int32)
    mult = Array("mult", "int32", (3,), values, varies=True)
    sums = running_total(k, clip((x[c, k] * mult[c]) >> 7, -128, 127))
    out = Array("y", "int8", (3, 5))
    nest = Nest((c, k), (x,), out, (c.at, k.at), clip(sums, -128, 127))
    case = as_layer(0, nest, np.random.default_rng(0))
    assert case is not None
    (kernel,) = candidates(case.step, GAP9)
    assert "int64_t" not in "".join(kernel.sources.values())


@pytest.mark.parametrize(
    ("first", "count"), [(0, COUNT), pytest.param(1000, SLOW_COUNT, marks=pytest.mark.slow)]
)
def test_generated_c_of_scans_equals_numpy(first: int, count: int, tmp_path: Path) -> None:
    found = (drawn(seed) for seed in range(first, first + 3 * count))
    cases = [case for case in found if case is not None][:count]
    assert len(cases) == count
    tilings = in_tiles(cases)
    text = "".join(text for x in tilings for text in x.kernel.sources.values())
    assert all(x in text for x in WRITTEN)
    compare(cases, tilings, tmp_path)
