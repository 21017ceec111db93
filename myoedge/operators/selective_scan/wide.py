# SPDX-License-Identifier: Apache-2.0
"""Selective scans with int16 operands: upper words of 64-bit products, 30-bit states."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.kernel import TiledKernel
from myoedge.operators.traits import BOUND, Span, inside

OPERANDS = ("delta", "x", "b", "c")
CHANNEL = ("term", "sum_drop", "sum_mult", "skip", "out_shift")  # me_selective_wide_channel
INDEX_BITS, PART_BITS = 10, 11  # bits of an index of the table of 2^-f; bits between two entries
POINT = INDEX_BITS + PART_BITS  # fraction bits of exponents of 1/2 per step
HALVINGS = (32 << POINT) - 1  # largest exponent: with larger ones nothing is left of 31 bits
DECAY_UP_MAX = 8
STATE_BITS = 30  # without the sign, if states saturate; by the bound, the worst inputs' have 29
READ_BITS = 8  # bits that C keeps free, more with over 255 states, so that sums fit 63 bits
OUT_SHIFT = 8  # fraction bits of a result; fewer if sums have fewer, or D exceeds it
DROP_MAX = 45
FACTOR_MAX = INT32_MAX - (1 << OUT_SHIFT)  # two products plus half are below 2^32


def powers() -> Array:
    """Return the table 2^-f in Q31 for f = 0 .. 1, int32 [2^10 + 1]; the first entry, 2^31, is to
    be read as unsigned."""
    f = np.arange((1 << INDEX_BITS) + 1) / (1 << INDEX_BITS)
    return np.asarray(np.rint(np.exp2(31 - f)), np.uint32).view(np.int32)


TABLE = powers()


@dataclass(frozen=True, slots=True, kw_only=True)
class WideScanParams(QuantizedParams):
    """Integer constants of a selective scan if an operand is int16; `quantize` has the formulas.

    delta_zero, x_zero, b_zero, c_zero, y_zero   zero points
    x_up, b_up, delta_up, v_up, c_up, decay_up   left shifts
    most        largest exponent before decay_up
    acc_bound   largest |int32 intermediate|
    term, decay, sum_mult, skip, sum_drop, out_shift   per channel [D]
    powers      powers of 1/2 in Q31
    """

    delta_zero: int
    x_zero: int
    b_zero: int
    c_zero: int
    x_up: int
    b_up: int
    delta_up: int
    v_up: int
    c_up: int
    decay_up: int
    most: int
    y_zero: int
    acc_bound: int
    term: Array
    decay: Array
    powers: Array
    sum_mult: Array
    skip: Array
    sum_drop: Array
    out_shift: Array


def is_wide(step: QuantizedNode) -> bool:
    return isinstance(step.integers, WideScanParams)


def quantize(site: QuantizeInputs, bound: Array) -> WideScanParams | None:
    """Return the constants of a selective scan with int16 operands; None if all operands are int8.

    The state is s = clip31((a * 2 s >> 32) + (u * (B << b_up) >> 32) + r), with u = (v << v_up) *
    term >> 32, v = (delta << delta_up) * (x << x_up) >> 32, all products in 64 bits.

    bound   [D] bound of states, in units of the product of delta's, x's and B's steps
    a       power of 1/2 for p = min((delta << delta_up) * decay >> 32, most) << decay_up
    r       1, half a step for each product; 0 in even steps of u = 0, and where delta is 0
    y       (z * sum_mult >> 32) + ((x << x_up) * skip >> 32) + half >> out_shift, z = clip32(sum of
            (C << c_up) s >> sum_drop)
    """
    operands = {name: site.params(i) for i, name in enumerate(OPERANDS)}
    if all(q.element_type != INT16 for q in operands.values()):
        return None
    ups, largest = _operand_shifts(operands)
    scales = [operands[name].scale for name in OPERANDS]
    # The finest step of states, and the term, that the bounds on states and term allow
    moved = 2.0 ** (96 - sum(ups.values()))
    size = np.maximum(bound / 2.0 ** (STATE_BITS - 1), moved / INT32_MAX)
    term = np.rint(np.minimum(moved / size, INT32_MAX)).astype(np.int32)
    ups["c_up"] = _normalising_shift(operands["c"].reach) - max(
        READ_BITS, site.shapes[2][-1].bit_length()
    )
    unit = size * math.ldexp(math.prod(scales), -ups["c_up"])
    decay, halvings = _decay_and_shifts(site.constant(4), scales[0], ups["delta_up"])
    numbers: dict[str, Any] = {
        **{f"{name}_zero": q.zero_point for name, q in operands.items()},
        **ups, **halvings, "y_zero": site.target.zero_point, "acc_bound": largest,
    }  # fmt: skip
    numbers |= {"term": term, "decay": decay, "powers": TABLE}
    return WideScanParams(**numbers, **_readout_constants(site, unit, ups["x_up"]))


LEARNT: Mapping[str, Span] = {
    "term": BOUND,
    "decay": BOUND,
    "decay_up": (0, DECAY_UP_MAX),
    "most": (0, HALVINGS),
    "sum_mult": (-FACTOR_MAX, FACTOR_MAX),
    "skip": (-FACTOR_MAX, FACTOR_MAX),
    "sum_drop": (0, DROP_MAX),
    "out_shift": (0, OUT_SHIFT),
}


def fits(integers: WideScanParams, site: QuantizeInputs) -> bool:
    """Return whether exponents stay inside the table of powers, for operands and shifts as
    `quantize` has them."""
    ups, largest = _operand_shifts({name: site.params(i) for i, name in enumerate(OPERANDS)})
    stated = {**integers.named(ups), "most": integers.most, "acc_bound": integers.acc_bound}
    return (
        inside(integers, LEARNT)
        and stated == {**ups, "most": HALVINGS >> integers.decay_up, "acc_bound": largest}
        and np.array_equal(integers.powers, TABLE)
    )


def highest(delta: QuantParams) -> int:
    """Return the largest integer of delta minus its zero point; delta is never negative.

    delta   quantisation parameters of delta
    """
    return max(delta.high - delta.zero_point, 1)


def _normalising_shift(reach: int) -> int:
    """Return the left shift after which values up to `reach` use at least 30 bits of int32."""
    return 31 - reach.bit_length()


def _operand_shifts(operands: Mapping[str, QuantParams]) -> tuple[dict[str, int], int]:
    """Return (left shifts of the operands and of v, bound on states before they saturate)."""
    reach = {name: operands[name].reach for name in ("x", "b")}
    reach["delta"] = highest(operands["delta"])
    moved = {name: most << _normalising_shift(most) for name, most in reach.items()}
    v = _upper_product_bound(moved["delta"], moved["x"])
    u = _upper_product_bound(v << _normalising_shift(v), INT32_MAX)
    ups = {f"{name}_up": _normalising_shift(most) for name, most in {**reach, "v": v}.items()}
    return ups, (1 << STATE_BITS) + _upper_product_bound(u, moved["b"]) + 1


def _upper_product_bound(a: int, b: int) -> int:
    """Return a bound on the upper 32 bits of a product, for factors of these magnitudes; negative
    products round down by one more."""
    return (a * b >> 32) + 1


def _decay_and_shifts(a: Array, scale: float, delta_up: int) -> tuple[Array, dict[str, int]]:
    """Return (decay, shifts): decay int32 [D, N] converts steps of delta to exponents of 1/2, in
    units of 2^(decay_up - 21)."""
    wanted = np.abs(a.astype(np.float64)) * (scale * math.log2(math.e) * 2.0 ** (32 + POINT))
    wanted = wanted / 2.0**delta_up
    up = int(np.clip(math.frexp(wanted.max())[1] - 31, 0, DECAY_UP_MAX))
    limited = np.minimum(np.rint(np.ldexp(wanted, -up)), INT32_MAX)
    return limited.astype(np.int32), {"decay_up": up, "most": HALVINGS >> up}


def _readout_constants(site: QuantizeInputs, unit: Array, x_up: int) -> dict[str, Any]:
    """Return the multipliers and shifts of the readout sums and of x, int32 [D] each.

    unit  [D] real value of 1 in a readout sum
    """
    x, y = site.params(1), site.target
    d = site.constant(5).astype(np.float64) if len(site.constants) > 5 else np.zeros(len(unit))
    of_sums, of_x = unit / y.scale, np.ldexp(d * x.scale / y.scale, 32 - x_up)
    free = -1 - np.frexp(of_sums)[1]  # bits by which sums are finer than a result
    shift = np.clip(np.minimum(31 - np.frexp(np.abs(of_x))[1], free), 0, OUT_SHIFT)
    drop = np.clip(free - shift, 0, DROP_MAX)
    mult, skip = np.ldexp(of_sums, drop + shift + 32), np.ldexp(of_x, shift)
    factors = {"sum_mult": mult, "skip": skip}
    limited = {k: np.rint(v).clip(-FACTOR_MAX, FACTOR_MAX) for k, v in factors.items()}
    numbers = {**limited, "sum_drop": drop, "out_shift": shift}
    return {name: x.astype(np.int32) for name, x in numbers.items()}


# ---- in integers


def _subtract_zero_point(step: QuantizedNode, x: Array, name: str) -> Array:
    return np.asarray(x.astype(np.int64) - getattr(step.integers, f"{name}_zero"))


def integer(
    step: QuantizedNode, delta: Array, x: Array, b: Array, c: Array, *before: Array
) -> Array:
    """Run a selective scan on int8 or int16 operands, shaped as for `real`; return int8 or int16
    [..., T, D].

    before   optional states, with the parity of the steps behind them
    """
    more = _subtract_zero_point(step, x, "x") << step.integers.x_up
    read = np.moveaxis(_subtract_zero_point(step, c, "c") << step.integers.c_up, -2, 0)
    each = zip(states(step, delta, x, b, before), read, strict=True)
    sums = np.stack([(state * c[..., None, :]).sum(-1) for state, c in each], -2)
    sums = sums >> step.integers.sum_drop
    of_states = np.clip(sums, -INT32_MAX - 1, INT32_MAX) * step.integers.sum_mult >> 32
    half = (1 << step.integers.out_shift) >> 1
    y = (
        of_states + (more * step.integers.skip >> 32) + half >> step.integers.out_shift
    ) + step.integers.y_zero
    return np.asarray(np.clip(y, step.low, step.high), step.element_type.dtype)


def states(
    step: QuantizedNode, delta: Array, x: Array, b: Array, before: Sequence[Array]
) -> Iterator[Array]:
    """Yield the states [..., D, N] after every step."""
    now = np.maximum(_subtract_zero_point(step, delta, "delta"), 0) << step.integers.delta_up
    more, into = (
        _subtract_zero_point(step, q, n) << getattr(step.integers, f"{n}_up")
        for q, n in ((x, "x"), (b, "b"))
    )
    v = now * more >> 32
    term = (v << step.integers.v_up) * step.integers.term >> 32
    most, decays = 1 << STATE_BITS, step.integers.decay.astype(np.int64)
    state, parity = np.zeros((*x.shape[:-2], *decays.shape), np.int64), np.zeros((), np.int64)
    if before:
        state, parity = (q.astype(np.int64) for q in (before[0][..., :-1], before[0][..., -1]))
    steps = (np.moveaxis(q, -2, 0) for q in (now, term, into))
    for t, (now, more, into) in enumerate(zip(*steps, strict=True)):
        a = _power_of_half(step, now[..., None] * decays >> 32)
        rounded = (now > 0) & ((more != 0) | ((t + parity) % 2 == 1))
        moved = (a * (state << 1) >> 32) + (more[..., None] * into[..., None, :] >> 32)
        state = np.clip(moved + rounded[..., None], -most, most - 1)
        yield state


def _power_of_half(step: QuantizedNode, halvings: Array) -> Array:
    """Return 2**-halvings in Q31, by linear interpolation between table entries."""
    p = np.minimum(halvings, step.integers.most) << step.integers.decay_up
    index = p >> PART_BITS & ((1 << INDEX_BITS) - 1)
    low, high = (TABLE.view(np.uint32).astype(np.int64)[index + i] for i in range(2))
    between = low - ((low - high) * (p & ((1 << PART_BITS) - 1)) >> PART_BITS)
    return np.asarray(between >> (p >> POINT))


# ---- in tiles


def in_tiles(step: QuantizedNode, tiled: TiledKernel) -> TiledKernel:
    """Return the kernel for int16 operands, with the loops and operands of `tiled`."""
    flags = step.wide_flags(*OPERANDS, "y")
    y_wide = flags.pop("y_wide")
    kinds = step.operand_types[: len(OPERANDS)]
    sizes = {name: kind.size_bytes for name, kind in zip(OPERANDS, kinds, strict=True)}
    operands = (replace(x, itemsize=sizes.get(x.name, x.itemsize)) for x in tiled.operands)
    zeros = step.integers.named(f"{name}_zero" for name in OPERANDS)
    numbers = {k: v for k, v in step.integers.scalars.items() if k != "acc_bound"}
    return replace(
        tiled,
        operands=(*operands,),
        op={
            **tiled.op,
            **zeros,
            **flags,
            **numbers,
            "y_wide": y_wide,
            "powers": "@powers",
            "scratch": "@scratch",
        },
    )
