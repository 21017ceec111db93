# SPDX-License-Identifier: Apache-2.0
"""Drawn descriptions, with sums and extremes over axes inside one another: generated C in tiles of
many sizes equals NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.nest.c import c_kernel
from myoedge.nest.c_formula import FormulaText
from myoedge.nest.formula_parts import FormulaParts
from myoedge.nest.formulas import clip, equal, index_of, maximum, where
from myoedge.nest.ir import Affine, Array, Axis, Binary, Expr, Nest, Number, Reduced, walk
from myoedge.nest.nodes import Taken
from myoedge.nest.reference import NestReference
from myoedge.numerics.arrays import Array as Values
from myoedge.numerics.element_type import ElementType
from myoedge.operators.base import QuantizedNode, QuantizedParams
from myoedge.operators.chain_nest import ChainNest, ChainParams
from myoedge.operators.chains import chain_of
from myoedge.operators.interpreter import integer_step
from myoedge.plan.l1.layer_kernels import NetworkKernels, candidates
from myoedge.plan.l1.tiling import Tiling
from myoedge.targets import find_chip
from tests.ops.case import Case
from tests.ops.harness import mismatches, run_c
from tests.ops.test_tiles import in_room
from tests.support.run import optimization

GAP9 = find_chip("gap9")
COUNT, SLOW_COUNT = 30, 500
LOW, HIGH = -900, 900  # of drawn intermediates: a product of two, summed, stays inside int32


@dataclass(frozen=True, eq=False)
class Description:
    """A description as a layer, with its operands."""

    seed: int
    chain: ChainNest = field(repr=False)
    step: QuantizedNode = field(repr=False)
    data: tuple[Values, ...] = field(repr=False)

    @property
    def size(self) -> int:
        return len(walk(self.chain.flat.nest.value))


class Drawing:
    """Parts of a formula that is drawn, and the arrays that they read."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        extents = rng.choice([1, 2, 3, 5, 8, 24], int(rng.integers(1, 4)))
        self.axes = tuple(Axis(f"i{d}", int(n)) for d, n in enumerate(extents))
        count = int(rng.integers(0, 3))
        self.over = tuple(Axis(f"r{n}", int(rng.integers(1, 14))) for n in range(count))
        self.arrays: list[Array] = []

    def one_of(self, items: list[Expr]) -> Expr:
        return items[self.rng.integers(len(items))]

    def load(self, axes: tuple[Axis, ...], dtype: str = "") -> Expr:
        """An element of a new array: broadcast, or a part of it; with rows along reduced axes."""
        rng = self.rng
        kept = [axis for axis in axes if rng.integers(4)] or [axes[-1]]
        if any(axis in self.over for axis in kept) and rng.integers(2):
            kept = [kept[at] for at in rng.permutation(len(kept))]  # in any order
        index = [axis.at + int(rng.integers(3)) * int(rng.integers(2)) for axis in kept]
        if not dtype and rng.integers(3) == 0:  # every second element, or overlapping windows
            at = int(rng.integers(len(kept)))
            index[at] = index[at] * int(rng.integers(2, 4))
            if kept[at] not in self.over and {*axes} & {*self.over} - {*kept}:
                index[at] += axes[-1].at * int(rng.integers(1, 3))
        return self.array(index, dtype)

    def array(self, index: list[Affine], dtype: str = "") -> Expr:
        """An element of a new array that has the elements of an index, and maybe more."""
        rng = self.rng
        shape = tuple(i.high + 1 + int(rng.integers(2)) for i in index)
        kind = dtype or str(rng.choice(["int8", "int16"]))
        values = rng.integers(-100, 100, shape).astype(kind) if rng.integers(4) == 0 else None
        array = Array(f"x{len(self.arrays)}", kind, shape, values)
        self.arrays.append(array)
        return array[tuple(index)]

    def channel_constant(self) -> Expr:
        axis = self.axes[-1]
        values = self.rng.integers(-100, 100, (axis.extent,), np.int32)
        return Array("constant", "int32", values.shape, values)[axis]

    def combined(self, a: Expr, b: Expr) -> Expr:
        a, b = clip(a, LOW, HIGH), clip(b, LOW, HIGH)
        kind = str(self.rng.choice(["+", "-", "*", "max", "where", "<", ">>"]))
        if kind == ">>":
            return Binary(">>", a, Number(int(self.rng.integers(8))))
        return where(a < b, a + 1, b) if kind == "where" else Binary(kind, a, b)

    def reduced(self, axis: Axis, outer: list[Expr]) -> Expr:
        """A reduction of elements along the axis and of parts outside of it, such as another
        reduction."""
        if self.rng.integers(2):
            dtype = str(self.rng.choice(["int8", "int16"]))
            shared, count = self.load((self.axes[0], axis), dtype), int(self.rng.integers(1, 6))
            sums = [
                Reduced("sum", axis, shared * self.load((*self.axes, axis), dtype))
                for _ in range(count)
            ]
            return sum(sums[1:], sums[0] >> 4)
        inner = self.load((*self.axes, axis))
        value = self.combined(inner, self.one_of([*outer, self.load((*self.axes, axis)), inner]))
        return Reduced(str(self.rng.choice(["sum", "max", "min"])), axis, value)

    def window(self, axis: Axis, outer: list[Expr]) -> Expr:
        """A reduction over a window of an array with padding, which is cut off at both ends."""
        rng, along = self.rng, self.axes[self.rng.integers(len(self.axes))]
        stride, pad = int(rng.integers(1, 4)), int(rng.integers(axis.extent))
        n = (along.extent - 1) * stride + 1 + int(rng.integers(axis.extent))
        starts = np.arange(along.extent, dtype=np.int32) * stride - pad
        ends = np.maximum(-starts, 0), np.minimum(n - starts, axis.extent)
        first, end = (Array("ends", "int32", each.shape, each)[along] for each in ends)
        others = [other for other in self.axes if other != along]
        array = Array(f"x{len(self.arrays)}", "int8", (n, *(x.extent for x in others)), outside=9)
        self.arrays.append(array)
        value = array[(along.at * stride + axis.at + -pad, *others)]
        value = self.combined(value, self.one_of(outer)) if rng.integers(2) else value
        return Reduced(str(rng.choice(["sum", "max", "min"])), axis, value, (first, end))

    def taken(self, at: Expr) -> Expr:
        """An element of a new array, or of a constant, at a computed index along one dimension."""
        rng = self.rng
        kept = [axis for axis in self.axes if rng.integers(3)]
        dimension, n = int(rng.integers(len(kept) + 1)), int(rng.integers(1, 9))
        shape = [axis.extent for axis in kept]
        kind = str(rng.choice(["int8", "int16"]))
        shape.insert(dimension, n)
        table = np.random.default_rng(n).integers(-100, 100, shape).astype(kind)
        values = table if n % 3 == 0 else None
        array = Array(f"x{len(self.arrays)}", kind, tuple(shape), values)
        self.arrays.append(array)
        index: list[Axis | int] = [*kept]
        index.insert(dimension, 0)
        return Taken(array[tuple(index)], dimension, clip(at, 0, n - 1))

    def nest(self) -> Nest:
        parts = [self.load(self.axes) for _ in range(int(self.rng.integers(1, 4)))]
        if self.rng.integers(4) == 0:
            parts.append(self.taken(self.one_of([*parts, self.channel_constant()])))
        for axis in self.over:
            for _ in range(1 + int(self.rng.integers(4) == 0)):  # the second may read the first
                reduced = self.reduced if self.rng.integers(3) else self.window
                parts.append(clip(reduced(axis, parts) >> 3, LOW, HIGH))
        for _ in range(int(self.rng.integers(1, 5))):
            parts.append(self.combined(self.one_of(parts), self.one_of(parts)))
        for _ in range(int(self.rng.integers(4)) * 2):  # constants side by side
            parts.append(self.combined(self.one_of(parts), self.channel_constant()))
        value = clip(sum(parts[len(parts) // 2 :], maximum(parts[-1], -7)), -128, 127)
        out = Array("y", "int8", tuple(axis.extent for axis in self.axes))
        at: tuple[Affine, ...] = tuple(axis.at for axis in self.axes)
        operands = tuple(x for x in self.arrays if x.values is None)
        return Nest(self.axes, operands, out, at, value)


def described(seed: int) -> Description | None:
    """A drawn description as a layer; None if no C is generated from it."""
    drawing = Drawing(seed)
    return as_layer(seed, drawing.nest(), drawing.rng)


def as_layer(seed: int, nest: Nest, rng: np.random.Generator) -> Description | None:
    """A description as a layer of drawn operands; None if no C is generated from it."""
    chain = chain_of(nest, {})
    if chain is None or not nest.operands:
        return None
    kinds = tuple(ElementType.of(np.dtype(x.dtype)) for x in nest.operands)
    names = tuple(x.name for x in nest.operands)
    node = Node("add", names, ("y",))
    shapes = tuple(x.shape for x in nest.operands)
    written = ElementType.of(np.dtype(nest.out.dtype))
    member = QuantizedNode(
        node, names, shapes, nest.out.shape, QuantizedParams(), element_type=written
    )
    step = QuantizedNode(
        node,
        names,
        shapes,
        nest.out.shape,
        ChainParams(chain=chain),
        element_type=written,
        operand_types=kinds,
        members=(member,),
    )
    data = tuple(
        rng.integers(k.low, k.high + 1, s).astype(k.dtype)
        for k, s in zip(kinds, shapes, strict=True)
    )
    return Description(seed, chain, step, data)


def in_tiles(cases: Sequence[Description]) -> list[Tiling]:
    """Generated layers in rooms that differ from case to case, some in several tiles."""
    tilings = []
    for number, case in enumerate(cases):
        (kernel,) = candidates(case.step, GAP9)
        tilings.append(in_room(kernel, NetworkKernels.of([case.step], GAP9), number))
    assert any(len(tiling.tiles) > 1 for tiling in tilings)
    return tilings


def compare(cases: Sequence[Description], tilings: Sequence[Tiling], folder: Path) -> None:
    wanted = [NestReference.of(case.chain.flat.nest)(*case.data) for case in cases]
    assert not mismatches(cases, wanted, run_c(cases, folder, optimization(), tilings))


@pytest.mark.parametrize(
    ("first", "count"), [(2300, COUNT), pytest.param(3000, SLOW_COUNT, marks=pytest.mark.slow)]
)
def test_generated_c_equals_numpy(first: int, count: int, tmp_path: Path) -> None:
    drawn = (described(seed) for seed in range(first, first + 3 * count))
    cases = [case for case in drawn if case is not None][:count]
    assert len(cases) == count
    tilings = in_tiles(cases)
    text = "".join(text for x in tilings for text in x.kernel.sources.values())
    assert all(f"me_dot{n}_b(" in text for n in ("", 2, 4))
    assert "me_dot_h(" in text
    assert "INT32_MIN" in text
    assert "at most" in text
    assert "g0 = " in text
    compare(cases, tilings, tmp_path)


def side_by_side(place: int, count: int) -> Nest:
    """A formula for each index of an axis, which is one of the result's axes."""
    i, k, s = Axis("i", 5), Axis("k", 24), Axis("s", count)
    axes = [i, k]
    axes.insert(place, s)
    x, z = Array("x", "int8", (5, 48)), Array("z", "int16", (24, count))
    a, b = x[i, k], x[i, k.at + 24]
    value = where(equal(index_of(s), 1), clip(b + z[k, s], LOW, HIGH), a)
    value = clip(where(equal(index_of(s), 0), a - b, value) >> 1, -128, 127)
    out = Array("y", "int8", tuple(axis.extent for axis in axes))
    return Nest(tuple(axes), (x, z), out, tuple(axis.at for axis in axes), value)


def test_formulas_of_one_axis_are_computed_side_by_side(tmp_path: Path) -> None:
    rng, wanted, cases = np.random.default_rng(4), [], []
    for place, count in product(range(3), (2, 3)):
        nest = side_by_side(place, count)
        case = as_layer(len(cases), nest, rng)
        assert case is not None
        assert len(case.chain.flat.nest.results) == count
        cases.append(case)
        wanted.append(NestReference.of(nest)(*case.data))
    assert not mismatches(cases, wanted, run_c(cases, tmp_path, optimization(), in_tiles(cases)))


def test_another_training_may_choose_other_formulas() -> None:
    i, s = Axis("i", 24), Axis("s", 2)
    chosen = Array("chosen", "int8", (2,), np.array([0, 1], np.int8), varies=True)
    x, y = Array("x", "int8", (24,)), Array("y", "int8", (24, 2))
    nest = Nest((i, s), (x,), y, (i.at, s.at), where(equal(chosen[s], 0), x[i], -1 - x[i]))
    chain = chain_of(nest, {})
    assert chain is not None
    assert len(chain.flat.nest.results) == 1


@pytest.mark.parametrize("kind", ["int8", "int16"])
@pytest.mark.parametrize("extent", [64, 136])
def test_eight_rows_side_by_side_share_one(extent: int, kind: str, tmp_path: Path) -> None:
    """Rows of whole words, for as many elements as eight cores have in eights."""
    rng, (i, r) = np.random.default_rng(extent), (Axis("i", 128), Axis("r", extent))
    weights = rng.integers(-100, 100, (128, extent)).astype(kind)
    x, w = Array("x", kind, (extent,)), Array("w", kind, weights.shape, weights)
    total = Reduced("sum", r, x[r] * w[i, r])
    state = Array("state", "int8", (128,))
    value = total >> 4
    for number in range(4):
        value = clip(value * 3 + state[i] - number, LOW, HIGH) >> 1
    nest = Nest((i,), (x, state), Array("y", "int8", (128,)), (i.at,), clip(value, -128, 127))
    case = as_layer(0, nest, rng)
    assert case is not None
    (kernel,) = candidates(case.step, GAP9)
    assert ("me_dot8_" in str(kernel.sources)) == (extent == 64)
    compare([case], [in_room(kernel, NetworkKernels.of([case.step], GAP9), 3)], tmp_path)


def test_each_number_has_its_text() -> None:
    """Also those of a description that has not been kept."""
    text = FormulaText(FormulaParts((Number(0),), {}, {}, {}, (), 0), {}, "v")
    assert [text.of(Number(n)) for n in range(100)] == [str(n) for n in range(100)]


def test_sums_inside_one_another_are_computed_in_one_loop() -> None:
    i, r, q = Axis("i", 5), Axis("r", 7), Axis("q", 3)
    x = Array("x", "int16", (7, 5, 3))
    part = x[r, i, q]
    each = [part, part * part >> 15, part * part >> 9]
    sums = [Reduced("int32 sum", r, Reduced("int32 sum", q, value)) for value in each]
    value = clip(sums[0] >> 20, -9, 9) + clip(sums[1] >> 20, -9, 9) + clip(sums[2] >> 20, -9, 9)
    chain = chain_of(Nest((i,), (x,), Array("y", "int8", (5,)), (i.at,), value), {})
    assert chain is not None
    assert str(c_kernel(chain.flat, {}).files).count("for (int32_t r") == 2


@pytest.mark.parametrize(
    ("op", "attrs", "shape", "text"),
    [
        ("mean", {"axes": (0, 1), "keepdim": False}, (1, 5), "x0.mean((0, 1))"),
        ("softmax", {"axis": 0}, (1, 64), "x0.softmax(0)"),
    ],
)
def test_an_axis_of_one_iteration_has_neither_loop_nor_row(
    op: str, attrs: Attrs, shape: Shape, text: str, tmp_path: Path
) -> None:
    case = Case(op, attrs, (shape,), text, ((0.0, 1.0),))
    (kernel,) = candidates(case.step, GAP9)
    assert "r0 < 1;" not in str(kernel.sources)
    wanted = [integer_step(case.step, case.data)]
    assert not mismatches([case], wanted, run_c([case], tmp_path, "-O0"))


def test_a_sum_reads_another_one_over_its_axis() -> None:
    """The other one, which the result reads later, is neither written twice nor loaded again."""
    i, r = Axis("i", 5), Axis("r", 7)
    x, w = Array("x", "int8", (5, 7)), Array("w", "int8", (7, 5))
    own = Reduced("sum", r, x[i, r] * 3 >> 1)
    both = Reduced("sum", r, clip(own, -9, 9) * w[r, i])
    nest = Nest((i,), (x, w), Array("y", "int8", (5,)), (i.at,), clip(both + own, -128, 127))
    chain = chain_of(nest, {})
    assert chain is not None
    text = str(c_kernel(chain.flat, {}).files)
    assert text.count("for (int32_t r") == 2
    assert text.count("_at = x0;") == 1
