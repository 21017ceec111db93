# SPDX-License-Identifier: Apache-2.0
"""Weights in NE16's bit planes, its parameters, and the cycles that are expected of its jobs."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import choose_requant
from myoedge.operators.attention.operands import sizes_of
from myoedge.operators.base import QuantizeInputs
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16_schedule import FILTER, PIXELS, JobSchedule
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.operators.library.ne16_jobs import (
    bit_planes,
    depthwise_cycles,
    depthwise_planes,
    filter_cycles,
    filter_planes,
    linear_cycles,
    linear_planes,
    pointwise_cycles,
    units_of_jobs,
    weight_halves,
)
from myoedge.operators.library.ne16_parts import WindowParts
from myoedge.operators.library.packing import quantize, unsigned_bound
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.targets import find_chip
from tests.ops.case import Case
from tests.ops.harness import drawn
from tests.simulator.ne16_jobs import recorded_cycles
from tests.simulator.ne16_meaning import Shape, packed_weights
from tests.support.each import each

NONE = (0, 0, 0, 0)
START = 12  # cycles of a recorded job from TRIGGER to the core that waited


@each("wide", [False, True])
@each("bits", [2, 3, 4, 7, 8])
@each(("k", "c"), [(1, 1), (5, 16), (33, 40), (7, 129)])
def test_weights_lie_as_recorded_jobs_have_them(k: int, c: int, bits: int, wide: bool) -> None:
    rng, half = np.random.default_rng(c), 1 << (bits - 1)
    for kind, side in (("1x1", 1), ("3x3", 3)):
        weights = rng.integers(-half, half, (k, c, side, side))
        shape = Shape(kind, k, c, 3, 3, NONE, NONE, wide=wide, strided=False)
        expected = packed_weights(shape, weights + half, bits)
        last = np.ascontiguousarray(np.moveaxis(weights, 1, -1)).astype(np.int8)
        pack, shape_of = (bit_planes, (k, c)) if side == 1 else (filter_planes, last.shape)
        found = pack(last.reshape(shape_of), bits, 8 if wide else 16)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("largest", [1, 5, 300, 12345, 127 * 257])
def test_halves_of_weights_have_as_few_bits_as_they_need(largest: int) -> None:
    weights = np.random.default_rng(largest).integers(-largest, largest + 1, (3, 2, 2, 9))
    weights[0, 0, 0, :2] = largest, -largest
    halves, bits = weight_halves(weights.astype(np.int16))
    assert halves.shape == (3, 2, 2, 2, 9)
    high, low = halves.astype(np.int64).swapaxes(0, 1)
    np.testing.assert_array_equal(high * 2**bits + low, weights)
    assert -(2 ** (bits - 1)) <= halves.min() <= halves.max() < 2 ** (bits - 1)
    fewer = 2 ** (bits - 2) - 1  # the largest half of a bit less
    assert bits == 2 or fewer * 2 ** (bits - 1) + fewer < largest


@pytest.mark.parametrize("is_filter", [False, True])
def test_scratch_holds_the_sums_of_all_smaller_tiles(is_filter: bool) -> None:
    """One row of results is three runs: 10 columns have 12 sums, 9 have 9."""
    conv = Conv2dGeometry((1, 9, 150, 5), (1, 7, 148, 6), (3, 3), (1, 1), (1, 1), ((0, 0),) * 2, 1)
    parts, number = WindowParts.of(conv, 2, 2, is_filter=is_filter), FILTER if is_filter else PIXELS
    way = JobSchedule(conv, number, 0, parts=parts, sizes=(2, 2))

    def least(rows: int, columns: int) -> int:
        """Bytes of the padded input of 5 numbers of 16 bits, and of 12 sums a result."""
        results = rows * columns if rows > 1 or is_filter else 3 * -(-columns // 3)
        return (rows + 2) * (columns + 2) * 10 + 4 * 12 * results

    for rows in range(1, 4):
        for columns in range(1, 140):
            of_tile = way.scratch({"t0": rows, "t1": columns, "k": 6})
            smaller = [least(r, n) for r in range(1, rows + 1) for n in (columns, columns - 1) if n]
            assert of_tile >= max(smaller), (rows, columns)


@pytest.mark.parametrize(("k", "c", "bits"), [(1, 16, 8), (40, 96, 4), (7, 272, 3)])
def test_weights_of_a_row_lie_as_recorded_jobs_have_them(k: int, c: int, bits: int) -> None:
    half = 1 << (bits - 1)
    weights = np.random.default_rng(c).integers(1 - half, half, (k, c, 1, 1))
    shape = Shape("linear", k, c, 1, 1, NONE, NONE, wide=False, strided=False)
    expected = packed_weights(shape, weights + half, bits)
    found = linear_planes(weights.reshape(k, c).astype(np.int8), bits)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("c", [1, 16, 37])
def test_weights_of_single_channels_lie_as_recorded_jobs_have_them(c: int) -> None:
    weights = np.random.default_rng(c).integers(-127, 128, (c, 1, 3, 3))
    shape = Shape("depthwise", c, c, 3, 3, NONE, NONE, wide=False, strided=False)
    expected = packed_weights(shape, weights + 128, 8)
    found = depthwise_planes(weights[:, 0].astype(np.int8))
    used = found.reshape(-1, 8, 9, 2).copy()
    lanes = np.packbits(np.arange(-(-c // 16) * 16) < c, bitorder="little").reshape(-1, 1, 1, 2)
    np.testing.assert_array_equal(used & lanes, expected.reshape(used.shape) & lanes)


def test_cycles_are_those_of_recorded_jobs() -> None:
    """A shift for all channels was recorded: one for each takes a cycle a tile more."""
    cycles = recorded_cycles()
    tiles = 2 * 4  # 64 outputs, 6 x 6 pixels
    expected = cycles["a02_1x1_w8_bias_shiftreg"]["cycles"] - START + tiles
    assert pointwise_cycles(36, 64, 64, 1) == expected


def test_cycles_of_a_recorded_depthwise_job() -> None:
    expected = recorded_cycles()["c01_dw_base"]["cycles"] - START + 1
    assert depthwise_cycles(3, 3, 16, 1) == expected


def test_cycles_of_recorded_linear_jobs() -> None:
    """The one reads 5 times 8 sums before; the other requantises 32 and 8 outputs in 12 cycles and
    6, and stores them in 2, where sums take 5."""
    cycles = recorded_cycles()
    assert linear_cycles(256, 40) == cycles["d05_lin_streamin_raw"]["cycles"] - START - 5
    expected = cycles["d02_lin_w8_rem"]["cycles"] - START - (12 + 6 + 2) + 5
    assert linear_cycles(320, 40) == expected


def test_a_job_of_eight_pixels_behind_others_takes_a_tile() -> None:
    assert pointwise_cycles(80, 64, 64, 1) == pointwise_cycles(81, 64, 64, 1)
    assert pointwise_cycles(8, 64, 64, 1) == 2 * pointwise_cycles(9, 64, 64, 1)


def test_sums_of_unsigned_inputs_stay_in_32_bits() -> None:
    """Each product and each result of the engine, at the inputs that make them largest."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        c = int(rng.integers(1, 3000))
        weight = rng.integers(-127, 128, (4, c)).astype(np.int8)
        bias = rng.integers(-(2**22), 2**22, 4)
        bound = unsigned_bound(weight, bias)
        real = 10.0 ** rng.uniform(-6, 0, 4)
        r = choose_requant(real, bound, int(rng.integers(-128, 128)), pre_max=0)
        assert r.pre == 0
        for k in range(4):
            least = sum(int(w) for w in weight[k] if w < 0) * 255
            most = sum(int(w) for w in weight[k] if w > 0) * 255
            added = int(bias[k]) - 128 * int(weight[k].astype(np.int64).sum())
            for total in (least, most):
                product, scaled = total * int(r.mult[k]), (total + added) * int(r.mult[k])
                assert abs(product) < 2**31
                assert abs(scaled + int(r.offset[k])) < 2**31
                wanted = Fraction(total + added) * Fraction(float(real[k]))
                found = Fraction(scaled, 1 << int(r.shift[k]))
                assert abs(found - wanted) <= abs(wanted) / max(int(r.mult[k]), 1) + 1


def test_weights_of_multipliers_of_few_bits_are_half_a_step_off_at_most() -> None:
    """With the step that the multiplier itself says: its rounding costs nothing."""
    rng, x, y = np.random.default_rng(1), QuantParams(0.021, -7), QuantParams(0.37, 11)
    weight = rng.standard_normal((40, 3000)).clip(-2, 2)
    weight *= rng.uniform(0.5, 2.0, (40, 1))
    made = quantize(
        QuantizeInputs(
            attrs={},
            shapes=((1, 3000), weight.shape),
            out=(1, 40),
            input_params=(x, None),
            target=y,
            constants=(None, weight),
            unsigned_sums=True,
        )
    )
    mult, shift = made.arrays["mult"], made.arrays["shift"]
    few = np.flatnonzero(mult < 64)
    assert len(few) > 5
    for k in few:
        row, integers, m, s = weight[k], made.arrays["weight"][k], mult[k], shift[k]
        step = Fraction(int(m), 1 << int(s)) * Fraction(y.scale) / Fraction(x.scale)
        off = max(
            abs(Fraction(float(w)) / step - int(q)) for w, q in zip(row, integers, strict=True)
        )
        assert off <= Fraction(1, 2) + Fraction(1, 10**9)


@pytest.mark.parametrize("least", [3, 9])
def test_jobs_of_a_tile_are_whole_tiles_of_the_engine_but_for_the_last(least: int) -> None:
    """No more jobs than asked for."""
    rng = np.random.default_rng(least)
    for _ in range(500):
        units, count = int(rng.integers(1, 200)), int(rng.integers(1, 5))
        first, others = units_of_jobs(units, least, count, *rng.uniform(100, 50_000, 2))
        assert 0 < first <= units
        assert first == units or first % least == others % least == 0
        assert first + (count - 1) * others >= units


def test_the_first_job_covers_the_operands_of_the_second() -> None:
    """Of 30 rows in 3 jobs: operands of 12 take 400 cycles and 800 around them, the engine 100 a
    row."""
    assert units_of_jobs(30, 3, 3, 1000.0, 3000.0) == (12, 9)
    assert units_of_jobs(30, 3, 3, 1000.0, 30_000.0) == (3, 15)


def test_cycles_of_filters_by_hand() -> None:
    """One tile of 3 x 3 pixels, 16 inputs, 32 outputs: 25 loads, 256 weights, 18 of waits, results
    with 8 scales, a shift, 4 biases and 9 stores."""
    assert filter_cycles(3, 3, 16, 32, 1) == 25 + 256 + 18 + 8 + 1 + 4 + 9
    assert filter_cycles(3, 3, 16, 32, 1, bits=3) == 25 + 32 * 3 + 18 + 8 + 1 + 4 + 9


# --- attention ------------------------------------------------------------------------------------


GAP9 = find_chip("gap9")
CASES = 80
LATER = {"q": 0, "bias": 2, "mask": 2, "y": 4}  # steps, me_ne16_attention_resident_s8.h


def resident() -> Iterator[tuple[Case, TiledKernel]]:
    """Drawn layers that the kernel can run."""
    for case in drawn("attention", CASES):
        for kernel in candidates(case.step, GAP9):
            if kernel.function == "me_ne16_attention_resident_s8":
                yield case, kernel


def read_or_written(operand: Operand, step: int, case: Case, part_rows: int) -> set[int]:
    """Rows or keys of a step, by the kernel's header."""
    sizes = sizes_of(case.step)
    if operand.name in ("k", "v"):
        end = sizes["keys"] if operand.name == "k" else sizes["v_row"]
        return {key for key in range(16 * step, 16 * (step + 1)) if key < end}
    part = step - (-(-sizes["keys"] // 16) - 1) - LATER[operand.name]
    return {r for r in range(part_rows * part, part_rows * (part + 1)) if 0 <= r < sizes["rows"]}


@pytest.mark.parametrize("steps", [1, 3, 1000])
def test_tiles_have_the_operands_of_their_steps(steps: int) -> None:
    tried = 0
    for case, kernel in resident():
        total, part_rows = kernel.axes["step"], kernel.axes["row"]
        for first in range(0, total, steps):
            count = min(steps, total - first)
            spans = {axis: (0, n) for axis, n in kernel.axes.items()}
            tile = {**spans, "b": (0, 1), "h": (0, 1), "step": (first, count)}
            regions = {operand.name: operand.region(tile) for operand in kernel.operands}
            fields = kernel.tile(regions)
            assert (fields["first"], fields["end"]) == (first, first + count)
            for operand in (o for o in kernel.operands if o.name != "exp"):
                d = next(d for d, dim in enumerate(operand.dims) if "step" in dict(dim))
                start, extent = (
                    x[d] for x in (regions[operand.name].start, regions[operand.name].extent)
                )
                wanted = [
                    read_or_written(operand, first + i, case, part_rows) for i in range(count)
                ]
                assert set(range(start, start + extent)) == set().union(*wanted)
                tried += 1
    assert tried > 20
