# SPDX-License-Identifier: Apache-2.0
"""Selective scans of state-space models: many states per channel, one readout sum per step.

h_t[d, n] = exp(delta_t[d] A[d, n]) h_(t-1)[d, n] + delta_t[d] x_t[d] B_t[n], h_0 = 0; y_t[d] =
sum_n C_t[n] h_t[d, n], plus D[d] x_t[d] if there is a D. A is at most 0.

On a stream, h_0 is an operand behind D: the states of the previous pass, in their own steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array, rounded_shift
from myoedge.numerics.element_type import INT32
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import INT32_MAX, Requant, choose_requant
from myoedge.operators.base import (
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    RequantParams,
    add_operator,
)
from myoedge.operators.common_rules import final_state
from myoedge.operators.format import EITHER, Format
from myoedge.operators.kernel import on_cluster
from myoedge.operators.selective_scan import wide
from myoedge.operators.selective_scan.tiling import (
    DECAY_BITS,
    DECAY_MAX,
    DROP,
    ENTRIES,
    EVEN_RATES,
    FINEST,
    HALF,
    INT16_MAX,
    LEARNT,
    MOST_HALVINGS,
    SKIP_MAX,
    STATE,
    STATE_MAX,
    UP_MAX,
    first_states,
    in_tiles,
    last_shape,
    scan_shape,
    streaming_rule,
    with_parity,
)
from myoedge.operators.traits import ByHand, Constants, Weights


def table_of(halvings: float, *, more: bool) -> Array:
    """Return a table of 2^-f in Q15, int16 [2^13], each entry at the middle of its part of [0,
    halvings).

    halvings   end of the range of f
    more       whether the last entry is 0, for all larger f
    """
    f = (np.arange(ENTRIES) + 0.5) * (halvings / ENTRIES)
    table = np.rint(np.exp2(15.0 - f)).clip(0, INT16_MAX).astype(np.int16)
    table[-1] = 0 if more else table[-1]
    return np.asarray(table)


# ---- meaning in floats


def steps(array: Array) -> Iterator[Array]:
    """Yield the slice [..., K] of every time step of an array [..., T, K]."""
    return iter(np.moveaxis(array, -2, 0))


def real(attrs: Attrs, delta: Array, x: Array, b: Array, c: Array, a: Array, *d: Array) -> Array:
    """Run a selective scan in floats: delta, x [..., T, D]; b, c [..., T, N]; a [D, N]; d [D], then
    initial states as of last_real."""
    ys = [
        (state * out[..., None, :]).sum(-1)
        for state, out in zip(_float_states(delta, x, b, a, d[1:]), steps(c), strict=True)
    ]
    skipped = x * d[0] if d else 0.0
    return np.ascontiguousarray(np.stack(ys, -2) + skipped, x.dtype)


def last_real(
    attrs: Attrs, delta: Array, x: Array, b: Array, c: Array, a: Array, *d: Array
) -> Array:
    """Return the states after the last step in floats, [..., D, N + 1]: the last one is the number
    of steps, modulo 2. Arguments as in real."""
    *_, state = _float_states(delta, x, b, a, d[1:])
    return np.asarray(with_parity(state, x.shape[-2], d[1:]), x.dtype)


def _float_states(
    delta: Array, x: Array, b: Array, a: Array, before: Sequence[Array]
) -> Iterator[Array]:
    """Yield the states [..., D, N] after every step in floats."""
    state = before[0][..., :-1] if before else np.zeros((*x.shape[:-2], *a.shape), x.dtype)
    for now, more, into in zip(*map(steps, (delta, x, b)), strict=True):
        decay = np.exp(now[..., None] * a)
        state = decay * state + (now * more)[..., None] * into[..., None, :]
        yield state


# ---- in integers


def b_shift(b: QuantParams) -> int:
    """Return the largest left shift with which B minus its zero point still fits int16."""
    return int(math.log2(INT16_MAX / b.reach))


def sums_of_delta(site: QuantizeInputs) -> Array:
    """Return a bound of the states per channel [D], if every addend were delta.

    Decay and addend depend on the same delta, so that the slowest decay with a constant delta has
    the largest state: delta / (1 - exp(-delta |A|)) <= delta + 1 / |A|.
    """
    delta = site.params(0)
    largest_delta = wide.highest(delta) * delta.scale
    slowest = np.maximum(np.abs(site.constant(4).astype(np.float64)).min(-1), 1e-30)
    return np.asarray(np.minimum(site.shapes[0][-2] * largest_delta, largest_delta + 1.0 / slowest))


def state_steps(site: QuantizeInputs) -> Array:
    """Return the quantisation step of the states per channel [D], with which the largest possible
    state fits 16 bits."""
    x, b, sums = site.params(1), site.params(2), sums_of_delta(site)
    size = sums * (x.reach * x.scale) * (b.scale * 2.0 ** (DECAY_BITS - b_shift(b))) / STATE_MAX
    return np.asarray(np.maximum(size, size.max() / FINEST))


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectiveScanParams(RequantParams):
    """Integer constants of a selective scan with int8 operands; `quantize` has the formulas.

    delta_zero, x_zero, b_zero, c_zero   zero points
    b_shift, term_shift   shifts of B and of the addend u
    limited     whether delta * decay may exceed the table `powers`
    acc_bound   largest |int32 intermediate|
    term, delta_up, decay, skip   per channel [D]
    powers      int16 [8192], powers of 1/2 in Q15
    """

    delta_zero: int
    x_zero: int
    b_zero: int
    c_zero: int
    b_shift: int
    term_shift: int
    limited: int
    acc_bound: int
    term: Array
    delta_up: Array
    decay: Array
    skip: Array
    powers: Array


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """Return the constants of s = clip16((a s + u B + half) >> 15), u = clip16(dq xq term + half >>
    term_shift).

    dq, xq, B, C   operands minus their zero points, B times 2^b_shift; dq is at least 0
    a              powers[min((dq << delta_up) decay >> 12, 8191)]
    y              (sum C s >> pre) mult + xq skip + offset >> shift
    """
    delta, x, b, c = (site.params(i) for i in range(4))
    of_16_bits = wide.quantize(site, sums_of_delta(site) / delta.scale * x.reach * b.reach)
    if of_16_bits is not None:
        return of_16_bits
    size = state_steps(site)
    wanted = delta.scale * x.scale * (b.scale / 2.0 ** b_shift(b)) * 2.0**DECAY_BITS / size
    term_shift = int(np.clip(14 - math.frexp(wanted.max())[1], 0, 30))
    numbers: dict[str, Any] = {
        "delta_zero": delta.zero_point, "x_zero": x.zero_point, "b_zero": b.zero_point,
        "c_zero": c.zero_point, "b_shift": b_shift(b), "term_shift": term_shift,
    }  # fmt: skip
    term = np.minimum(np.rint(np.ldexp(wanted, term_shift)), 1 << 14).astype(np.int32)
    powers = _decay_constants(site.constant(4), delta)
    requant, skip, bound = _readout_constants(site, size)
    numbers |= {"pre": requant.pre, "term": term, "skip": skip, **requant.arrays, **powers}
    largest = 2 * (INT16_MAX * (INT16_MAX + 1)) + HALF  # a s + u B + half
    return SelectiveScanParams(**numbers, acc_bound=max(bound, largest))


def _decay_constants(a: Array, delta: QuantParams) -> dict[str, Any]:
    """Return the constants of the decays: a table of powers of 1/2, and decay uint16 [D, N], table
    positions per step of delta."""
    most, rate = wide.highest(delta), np.abs(a.astype(np.float64)) * (delta.scale / math.log(2.0))
    halvings = max(float(rate.max()) * most * ENTRIES / (ENTRIES - 1), 2.0**-20)
    limited = halvings > MOST_HALVINGS and bool((rate.max() > EVEN_RATES * rate).any())
    halvings = min(halvings, MOST_HALVINGS) if limited else halvings
    wanted = rate * (ENTRIES << DROP) / halvings
    bits = np.frexp(wanted.max(-1) / (DECAY_MAX + 1))[1]
    up = np.clip(bits, 0, UP_MAX).astype(np.int32)
    last = np.full(len(up), DECAY_MAX) if limited else ((ENTRIES - 1) << DROP) // (most << up)
    decay = np.rint(np.ldexp(wanted, -up[:, None])).clip(0, np.minimum(last, DECAY_MAX)[:, None])
    return {
        "limited": int(limited),
        "delta_up": up,
        "decay": decay.astype(np.uint16),
        "powers": table_of(halvings, more=limited),
    }


def _readout_constants(site: QuantizeInputs, size: Array) -> tuple[Requant, Array, int]:
    """Return (requantisation of readout sums, int32 factors of x [D], largest intermediate)."""
    x, c, y = site.params(1), site.params(3), site.target
    d = site.constant(5).astype(np.float64) if len(site.constants) > 5 else np.zeros(len(size))
    most = site.shapes[3][-1] * c.reach * (INT16_MAX + 1)
    r = choose_requant(c.scale * size / y.scale, most, y.zero_point, y.element_type)
    less, half = np.zeros_like(r.shift), (1 << 30) // ((most >> r.pre) + 1)
    while True:  # x shares the multiplier's bits; without a shift both saturate at half of int32
        shift = r.shift - less
        mult = np.rint(np.ldexp(r.mult.astype(np.float64), -less)).astype(np.int64)
        mult = np.where(shift > 0, mult, np.minimum(mult, half))
        dropped = mult >> 1 if r.pre else 0  # mean of the bits that the pre-shift drops
        offset = ((np.int64(1) << shift) >> 1) + dropped + (np.int64(y.zero_point) << shift)
        most_of_x = np.where(shift > 0, 2.0**31, SKIP_MAX)
        skip = np.rint(np.ldexp(d * x.scale / y.scale, shift)).clip(-most_of_x, most_of_x)
        largest = ((most >> r.pre) + 1) * mult + np.abs(skip) * x.reach + np.abs(offset)
        beyond = (largest > INT32_MAX) & (shift > 0)
        if not beyond.any():
            requant = Requant(r.pre, *(v.astype(np.int32) for v in (mult, offset, shift)))
            return requant, skip.astype(np.int32), max(most, int(largest.max()))
        less = less + beyond


def integer(
    step: QuantizedNode, delta: Array, x: Array, b: Array, c: Array, *before: Array
) -> Array:
    """Run a selective scan on int8 or int16 operands, shaped as for `real`; return int8 or int16
    [..., T, D].

    before   optional states from last_integer
    """
    if wide.is_wide(step):
        return wide.integer(step, delta, x, b, c, *before)
    out = c.astype(np.int64) - step.integers.c_zero
    states = zip(_int8_states(step, delta, x, b, before), steps(out), strict=True)
    sums = [(state * read[..., None, :]).sum(-1) for state, read in states]
    xq = x.astype(np.int64) - step.integers.x_zero
    r = step.integers.requant
    acc = (np.stack(sums, -2) >> r.pre) * r.mult + xq * step.integers.skip + r.offset
    return np.asarray(np.clip(acc >> r.shift, step.low, step.high), step.element_type.dtype)


def last_integer(
    step: QuantizedNode, delta: Array, x: Array, b: Array, c: Array, *before: Array
) -> Array:
    """Return the states after the last step as in last_real, int32. Arguments as in integer."""
    each = wide.states if wide.is_wide(step) else _int8_states
    *_, state = each(step, delta, x, b, before)
    return with_parity(state, x.shape[-2], before).astype(np.int32)


def _int8_states(
    step: QuantizedNode, delta: Array, x: Array, b: Array, before: Sequence[Array]
) -> Iterator[Array]:
    """Yield the states [..., D, N] after every step, for int8 operands."""
    dq = np.maximum(delta.astype(np.int64) - step.integers.delta_zero, 0)
    xq = x.astype(np.int64) - step.integers.x_zero
    into = (b.astype(np.int64) - step.integers.b_zero) << step.integers.b_shift
    shift = step.integers.term_shift
    term = rounded_shift(dq * xq * step.integers.term, shift)
    term = np.clip(term, -INT16_MAX - 1, INT16_MAX)
    decay, powers = step.integers.decay.astype(np.int64), step.integers.powers.astype(np.int64)
    state = first_states(step, x, before)
    moved_up = dq << step.integers.delta_up
    for now, more, to in zip(*map(steps, (moved_up, term, into)), strict=True):
        a = powers[np.minimum(now[..., None] * decay >> DROP, ENTRIES - 1)]
        moved = a * state + more[..., None] * to[..., None, :] + HALF
        state = np.clip(moved >> DECAY_BITS, -INT16_MAX - 1, INT16_MAX)
        yield state


SELECTIVE_SCAN = add_operator(
    name="selective_scan",
    doc="selective scan of a state-space model (Mamba): 16-bit states and their readout",
    shape=scan_shape,
    real=real,
    integer=ByHand(integer),
    constants=Constants(quantize, kinds=(SelectiveScanParams, wide.WideScanParams), learnt=LEARNT),
    kernels=on_cluster(
        in_tiles,
        Format((EITHER,), EITHER, together=(0, 1, 2, 3)),
        Format((*(EITHER,) * 4, (INT32,)), EITHER),
    ),
    weights=Weights((4, 5)),
    macs=lambda attrs, shapes, out: math.prod(out) * shapes[2][-1],
    streaming_rule=streaming_rule,
)

SELECTIVE_SCAN_LAST = final_state(
    SELECTIVE_SCAN,
    macs=lambda attrs, shapes, out: math.prod(out),
    name="selective_scan_last",
    doc="states of selective_scan after the last step: on streams",
    shape=last_shape,
    real=last_real,
    integer=ByHand(last_integer),
    kernels=on_cluster(in_tiles, Format((*(EITHER,) * 4, (INT32,)), (INT32,))),
    fixed_params=STATE,
)
