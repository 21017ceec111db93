# SPDX-License-Identifier: Apache-2.0
"""The shared integer arithmetic against exact fractions: docs/developers/integer-semantics.md."""

from __future__ import annotations

import math
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myoedge.backends import host
from myoedge.codegen.render import template_dir
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16, ElementType
from myoedge.numerics.quant_params import (
    QuantParams,
    dequantize,
    quantize,
    range_params,
    round_up_12_bits,
)
from myoedge.numerics.requant import Requant, choose_requant, choose_sum_requant
from myoedge.numerics.weight_format import WeightFormat
from myoedge.system import toolchain
from tests.support.each import each

IN_INT32 = range(-(2**31), 2**31)
FACTORS = st.floats(-30.0, 12.0).map(lambda e: 2.0**e)
BOUNDS = st.one_of(st.integers(1, 2**20), st.integers(1, 2**31 - 1), st.just(0))
ZEROS = st.one_of(st.sampled_from([-128, 127, 0]), st.integers(-128, 127))
settings.register_profile("exact", deadline=None, derandomize=True, max_examples=300)
exact = settings.get_profile("exact")


def one(pre: int, mult: int, offset: int, shift: int) -> Requant:
    return Requant(pre, *(np.array([v], np.int32) for v in (mult, offset, shift)))


def by_fractions(acc: int, pre: int, mult: int, offset: int, shift: int) -> int:
    kept = math.floor(Fraction(acc, 2**pre))
    return math.floor(Fraction(kept * mult + offset, 2**shift))


@exact
@given(
    st.integers(-(2**31), 2**31 - 1), st.integers(0, 20), st.integers(0, 32767),
    st.integers(-(2**31), 2**31 - 1), st.integers(0, 30),
)  # fmt: skip
def test_requantize_is_floor_arithmetic(
    acc: int, pre: int, mult: int, offset: int, shift: int
) -> None:
    wanted = by_fractions(acc, pre, mult, offset, shift)
    got = one(pre, mult, offset, shift).apply(np.array([acc]), -128, 127)
    assert got.tolist() == [min(max(wanted, -128), 127)]
    assert got.dtype == np.int8


def test_requantize_saturates_at_the_limits_it_is_given() -> None:
    got = one(0, 1, 0, 0).apply(np.arange(-3, 4), -1, 2)
    assert got.tolist() == [-1, -1, -1, 0, 1, 2, 2]


@exact
@given(
    st.integers(-(2**31), 2**31 - 1), st.integers(0, 20), st.integers(0, 32767),
    st.integers(-(2**31), 2**31 - 1), st.integers(0, 30),
)  # fmt: skip
def test_results_of_16_bits_saturate_there(
    acc: int, pre: int, mult: int, offset: int, shift: int
) -> None:
    wanted = by_fractions(acc, pre, mult, offset, shift)
    got = one(pre, mult, offset, shift).apply(np.array([acc]), INT16.low, INT16.high, INT16)
    assert got.tolist() == [min(max(wanted, -(2**15)), 2**15 - 1)]
    assert got.dtype == np.int16


@exact
@given(st.integers(0, 20), st.integers(0, 32767), st.integers(-(2**31) + 1, 2**31 - 1))
def test_below_the_exact_bound_no_intermediate_leaves_int32(
    pre: int, mult: int, offset: int
) -> None:
    """And the next value of the pre-shifted accumulator beyond it does, where there is one."""
    bound = one(pre, mult, offset, 0).exact_bound
    for acc in (-bound, bound):
        product = math.floor(Fraction(acc, 2**pre)) * mult
        assert product in IN_INT32
        assert product + offset in IN_INT32
    beyond = bound + 2**pre
    if mult and beyond < 2**31:
        reach = [abs((acc >> pre) * mult) + abs(offset) for acc in (-beyond, beyond)]
        assert max(reach) > 2**31 - 1


def test_c_fields_are_arrays_per_channel_and_scalars_where_one_factor_serves_all() -> None:
    several, single = choose_requant([0.01, 0.02], [900, 800], 3), choose_requant(0.01, 900, 3)
    assert (*several.scalars, *several.arrays) == ("pre", "mult", "offset", "shift")
    assert (*single.scalars, *single.arrays) == ("pre", "mult", "offset", "shift")
    assert [len(several.arrays), len(single.arrays)] == [3, 0]
    acc = np.arange(-800, 800)
    for r in (several, single):
        again = Requant.of({**r.scalars, **r.arrays})
        columns = np.stack([acc, acc], axis=1)
        assert np.array_equal(again.apply(columns, -128, 127), r.apply(columns, -128, 127))
    alone = choose_requant([0.01], [900], 3)
    assert np.array_equal(alone.apply(acc[:, None], -128, 127)[:, 0], single.apply(acc, -128, 127))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_element_types_are_numpys(dtype: str) -> None:
    found, limits = ElementType.of(dtype), np.iinfo(dtype)
    assert (str(found), found.dtype) == (dtype, np.dtype(dtype))
    assert (found.low, found.high, found.size_bytes) == (limits.min, limits.max, limits.bits // 8)


def test_floats_are_no_element_type() -> None:
    with pytest.raises(ValueError, match="float32"):
        ElementType.of(np.float32)


# ---- the choice of pre-shift, multiplier, offset and shift


@exact
@given(st.lists(st.tuples(FACTORS, BOUNDS), min_size=1, max_size=5), ZEROS)
def test_no_accumulator_in_its_bound_leaves_int32(
    channels: list[tuple[float, int]], zero: int
) -> None:
    """The extremes and what lies beside them and 0; in between everything is monotone."""
    r = choose_requant([f for f, _ in channels], [b for _, b in channels], zero)
    assert 0 <= r.pre <= 20
    for (_, bound), *numbers in zip(channels, r.mult, r.offset, r.shift, strict=True):
        mult, offset, shift = map(int, numbers)
        assert 0 <= mult <= 32767
        assert 0 <= shift <= 30
        assert offset in IN_INT32
        for acc in {-bound, 1 - bound, -1, 0, 1, bound - 1, bound}:
            product = (acc >> r.pre) * mult
            assert product in IN_INT32
            assert product + offset in IN_INT32


def error_bound(reach: float) -> float:
    """Output steps; `reach` is the range of the accumulator in output steps."""
    return 0.5 + math.sqrt(max(reach, 16.0)) / 512


@exact
@given(st.floats(0.0, 20.0), st.integers(1, 2**30), ZEROS, st.integers(0, 2**32 - 1))
def test_the_error_is_half_a_step_and_a_little(
    log_reach: float, bound: int, zero: int, seed: int
) -> None:
    """Inside the output's range. The root: int32 is shared by the range, multiplier and rest."""
    reach = min(2.0**log_reach, 500.0 * bound)
    factor = reach / bound
    r = choose_requant([factor], [bound], zero)
    numbers = r.pre, int(r.mult[0]), int(r.offset[0]), int(r.shift[0])
    seen = np.random.default_rng(seed).uniform(-256 / factor, 256 / factor, 40)
    for acc in [0, bound, -bound, *np.clip(seen, -bound, bound).astype(int).tolist()]:
        wanted = acc * Fraction(factor) + zero
        if -128 <= wanted <= 127:
            assert abs(by_fractions(acc, *numbers) - wanted) <= error_bound(reach)


@pytest.mark.parametrize("terms", [9, 27, 64, 288, 576, 1152, 2304, 4608])
@pytest.mark.parametrize("zero", [-128, 3])
def test_the_rule_costs_next_to_no_sqnr(terms: int, zero: int) -> None:
    """Noise of the rule against noise of exact rounding, for sums of `terms` products."""
    rng = np.random.default_rng(terms)
    w = np.clip(np.rint(rng.laplace(0, 25, (16, terms))), -127, 127).astype(np.int64)
    w[:, 0] = 127
    x = np.clip(np.rint(np.abs(rng.normal(0, 40, (3000, terms)))), 0, 255).astype(np.int64) - 128
    acc = (x.astype(float) @ w.T.astype(float)).astype(np.int64) + 128 * w.sum(axis=1)
    bound = np.abs(128 * w.sum(axis=1)) + 128 * np.abs(w).sum(axis=1)
    factor = 255 / (acc.max() - acc.min()) * rng.uniform(0.3, 1.0, 16)
    r = choose_requant(factor, bound, zero)
    real = np.clip(acc * factor + zero, -128, 127)
    rule = np.sum((r.apply(acc, -128, 127) - real) ** 2)
    ideal = np.sum((np.clip(np.rint(acc * factor) + zero, -128, 127) - real) ** 2)
    assert 10 * math.log10(rule / ideal) < (0.001 if terms <= 1152 else 0.002)


def test_a_dead_channel_does_not_cost_the_others_precision() -> None:
    """Its factor is arbitrary: taken seriously it would forbid the pre-shift."""
    alone = choose_requant([4e-4], [2**24], -5)
    both = choose_requant([4e-4, 1.0], [2**24, 0], -5)
    assert (both.pre, both.mult[0], both.shift[0]) == (alone.pre, alone.mult[0], alone.shift[0])
    assert both.apply(np.zeros((1, 2), np.int64), -128, 127).tolist() == [[-5, -5]]


# ---- sums of products


@exact
@given(
    st.lists(st.tuples(st.floats(-600.0, 600.0), ZEROS), min_size=1, max_size=3),
    st.floats(-1e9, 1e9),
)
def test_combine_is_exact_and_stays_inside_int32(
    terms: list[tuple[float, int]], constant: float
) -> None:
    zeros = [z for _, z in terms]
    c = choose_sum_requant([f for f, _ in terms], [128] * len(terms), zeros, constant)
    assert max(map(abs, c.mult)) <= 32767
    assert 128 * sum(map(abs, c.mult)) + abs(c.offset) < 2**31
    rows = [np.array([-128, 127, z, 5]) for z in zeros]
    got = c.apply(rows, -128, 127)
    for i in range(4):
        total = sum(int(x[i]) * m for x, m in zip(rows, c.mult, strict=True)) + c.offset
        assert got[i] == min(max(math.floor(Fraction(total, 2**c.shift)), -128), 127)


@exact
@given(st.floats(-8.0, 8.0), st.floats(-8.0, 8.0), ZEROS, ZEROS, ZEROS)
def test_combine_rounds_once(a: float, b: float, za: int, zb: int, zero: int) -> None:
    c = choose_sum_requant((a, b), (128, 128), (za, zb), zero)
    for x, y in [(-128, -128), (-128, 127), (127, -128), (127, 127), (za, zb), (3, -7)]:
        wanted = (x - za) * Fraction(a) + (y - zb) * Fraction(b) + zero
        got = math.floor(Fraction(x * c.mult[0] + y * c.mult[1] + c.offset, 2**c.shift))
        assert abs(got - wanted) <= 0.5 + 510 * 2.0 ** -(c.shift + 1)
        assert c.shift >= 11  # of factors up to 8: at least 15 bits of multiplier in all


def test_a_constant_far_outside_the_range_is_kept() -> None:
    """Batch norm at an input around 100: the factor brings the offset back."""
    c = choose_sum_requant((101.0,), (128,), (-128,), -25627.0)
    got = c.apply([np.array([125, 126, 127])], -128, 127)
    assert got.tolist() == [-74, 27, 127]


# ---- weights


@each("bits", [2, 3, 4, 5, 6, 7, 8, 16])
@each("per_channel", [True, False])
def test_weights_of_any_bits_are_off_by_half_a_step(bits: int, per_channel: bool) -> None:
    rng = np.random.default_rng(bits)
    w = rng.normal(size=(6, 40)) * 2.0 ** rng.integers(-3, 4, (6, 1))
    w[3] = 0.0
    made = WeightFormat(bits, per_channel)
    q, scale = made.quantize(w, np.zeros(6), QuantParams(0.02, 3))
    assert q.dtype == (np.int8 if bits <= 8 else np.int16)
    assert np.abs(q).max() == 2 ** (bits - 1) - 1 or bits == 16
    assert np.all(np.abs(q * scale[:, None] - w).max(axis=1) <= scale * 0.5001)
    assert per_channel or len({*scale}) == 1
    assert not q[3].any()


@exact
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.floats(-8.0, 8.0))
def test_sums_of_16_bit_products_stay_inside_int32(seed: int, taps: int, log_bias: float) -> None:
    """At the worst input of a channel: every product has the sign of its weight."""
    rng = np.random.default_rng(seed)
    w, bias = rng.laplace(size=(3, taps)), rng.normal(size=3) * 10.0**log_bias
    x = QuantParams(float(np.float32(1e-3)), 0, INT16)
    q, scale = WeightFormat(16).quantize(w, bias, x)
    sums = [sum(abs(int(v)) for v in row) * 2**15 for row in q]
    for total, b, s in zip(sums, bias, scale, strict=True):
        assert total + abs(Fraction(b) / (Fraction(x.scale) * Fraction(s))) < 2**31


# ---- the border


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_quantize_rounds_ties_to_even_and_saturates(dtype: str) -> None:
    q = QuantParams(0.5, 1, ElementType.of(dtype))
    x = np.array([0.25, 0.75, -0.25, -0.75, 1e9, -1e9, np.inf, -np.inf])
    got = quantize(x, q)
    assert got.tolist() == [1, 3, 1, -1, q.high, q.low, q.high, q.low]
    assert got.dtype == dtype


@exact
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_what_is_in_the_range_comes_back_within_half_a_step(
    a: float, b: float, values: list[float]
) -> None:
    low, high = min(a, b), max(a, b)
    q = range_params(low, high)
    x = np.clip(np.array(values), min(low, 0.0), max(high, 0.0))
    back = dequantize(quantize(x, q), q).astype(np.float64)
    # The zero point is rounded too: at one end up to half a step more is cut off.
    assert np.all(np.abs(back - x) <= q.scale * 1.0001 + 1e-5 * np.abs(x))


@exact
@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_zero_is_exact_in_every_range(a: float, b: float) -> None:
    q = range_params(min(a, b), max(a, b))
    assert -128 <= q.zero_point <= 127
    assert float(np.float32(q.scale)) == q.scale > 0
    assert dequantize(np.array([q.zero_point], np.int8), q)[0] == 0.0
    assert quantize(np.array(0.0), q) == q.zero_point


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(0, 1, -128), (0.5, 1, -128), (-1, 0, 127), (-3, -1, 127)]
)
def test_a_range_on_one_side_has_its_zero_point_at_the_end(
    low: float, high: float, zero: int
) -> None:
    assert range_params(low, high).zero_point == zero


def test_an_empty_range_has_a_scale() -> None:
    assert range_params(0.0, 0.0) == QuantParams(2.0**-7, 0)


@exact
@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_rounding_up_keeps_12_bits_and_hides_the_last_ones(x: float) -> None:
    y = round_up_12_bits(x)
    assert math.frexp(y)[0] * 4096 == int(math.frexp(y)[0] * 4096)
    assert abs(x) * (1 - 2.0**-22) <= abs(y) <= abs(x) * (1 + 2.0**-11)
    assert round_up_12_bits(y) == y
    assert round_up_12_bits(y * (1 + 2.0**-26)) == y, "another machine's last bits"
    assert round_up_12_bits(y * (1 - 2.0**-26)) == y


@pytest.mark.parametrize("x", [0.0, math.inf, -math.inf])
def test_rounding_up_leaves_these_alone(x: float) -> None:
    assert round_up_12_bits(x) == x


# ---- the same in C


PRIMITIVE = """
int NAME(const void *const in[], void *const out[]);
int NAME(const void *const in[], void *const out[])
{
    const int32_t *x = in[0];
    int32_t *y = out[0];
    for (int i = 0; i < 4000; i++, x += 5) y[i] = CALL;
    return 0;
}
"""


def primitives(folder: Path) -> host.Library:
    """me_math.h as functions over arrays, with UBSan."""
    folder.mkdir()
    calls = {
        "requant": "me_requant(x[0], x[1], x[2], x[3], x[4])",
        "clip": "me_clip(x[0], x[1], x[2])",
        "root": "(int32_t)me_root((uint32_t)x[0])",
    }
    texts = (PRIMITIVE.replace("NAME", n).replace("CALL", c) for n, c in calls.items())
    text = '#include "me_math.h"\n' + "".join(texts)
    (folder / "primitives.c").write_text(text)
    library = folder / "primitives.so"
    options = toolchain.CompileOptions(("undefined",), optimize="-O1")
    finished = toolchain.compile_library(
        folder, library, toolchain.compiler("zig"), options, [template_dir() / "include"]
    )
    assert finished.returncode == 0, finished.stderr
    return host.open_library(library)


def call(library: host.Library, name: str, rows: Array) -> Array:
    specs = [((len(rows),), np.int32)]
    return host.run(library, [rows.astype(np.int32)], specs, symbol=name)[0]


def test_the_c_primitives_are_the_same_arithmetic(tmp_path: Path) -> None:
    library, rng = primitives(tmp_path / "c"), np.random.default_rng(0)
    shift = rng.integers(0, 12, 4000)  # small ones: where a wrong rounding shows at once
    rows = np.stack(
        [rng.integers(-40_000, 40_000, 4000), rng.integers(0, 6, 4000),
         rng.integers(0, 32768, 4000), rng.integers(-5000, 5000, 4000), shift], axis=1,
    )  # fmt: skip
    assert call(library, "requant", rows).tolist() == [by_fractions(*map(int, r)) for r in rows]

    rows[:, 1:3] = np.sort(rng.integers(-128, 128, (4000, 2)), axis=1)
    rows[:, 0] = rng.integers(-200, 200, 4000)
    clipped = np.clip(rows[:, 0], rows[:, 1], rows[:, 2])
    assert call(library, "clip", rows).tolist() == clipped.tolist()

    rows[:, 0] = rng.integers(2**15, 2**31, 4000)
    assert call(library, "root", rows).tolist() == [math.isqrt(s) for s in rows[:, 0].tolist()]


ROOT_OF_A_ROW = """\
#include "me_math.h"
void roots(const uint32_t *x, uint32_t *y, int32_t n);
void roots(const uint32_t *x, uint32_t *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++) y[i] = me_root(*x);
}
"""


def test_roots_of_one_number_compile(tmp_path: Path) -> None:
    """clang 22 does not end where it vectorizes a loop around the root's 16 steps."""
    (tmp_path / "roots.c").write_text(ROOT_OF_A_ROW)
    cc, include = toolchain.compiler("zig"), f"-I{template_dir() / 'include'}"
    flags = (*toolchain.CompileOptions().flags(cc), include, "-c", "roots.c", "-o", "roots.o")
    env = os.environ | {"ZIG_LOCAL_CACHE_DIR": str(tmp_path / "zig")}
    subprocess.run([*cc.command, *flags], cwd=tmp_path, env=env, timeout=30, check=True)
