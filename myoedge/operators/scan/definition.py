# SPDX-License-Identifier: Apache-2.0
"""Linear recurrences along an axis, element by element: h_t = a_t h_(t-1) + b_t, h_0 = 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import (
    all_beside_axis,
    axis_permuted,
    elementwise,
    same_shape,
    stored_bound,
)
from myoedge.operators.format import EITHER_WIDTH
from myoedge.operators.kernel import on_cluster
from myoedge.operators.scan.tiling import in_tiles

STATE_BITS = 7  # fraction bits of a state, in output steps: 255 << 7 fits 16 bits
MOST = (1 << 15) - 1
WIDE_MOST = (1 << 23) - 1  # largest state for int16, with 8 more bits


def along(attrs: Attrs, a: Array, b: Array, step: Callable[[Array, Array, Array], Array]) -> Array:
    """Run a recurrence along attrs["axis"] from state 0; return the states after all iterations.

    a, b   operands, one slice per iteration
    step   (a_t, state, b_t) -> next state
    """
    moved_a, moved_b = (np.moveaxis(x, attrs["axis"], 0) for x in (a, b))
    state, states = np.zeros_like(moved_b[0]), []
    for at, more in zip(moved_a, moved_b, strict=True):
        state = step(at, state, more)
        states.append(state)
    return np.ascontiguousarray(np.moveaxis(np.stack(states), 0, attrs["axis"]))


def real(attrs: Attrs, a: Array, b: Array) -> Array:
    """Compute the states h_t = a_t h_(t-1) + b_t of a linear recurrence in floats; a and b have the
    same shape."""
    return along(attrs, a, b, lambda a, state, b: a * state + b)


def _multiplier(factor: float, bits: int = 15) -> tuple[int, int]:
    """Return (mult, shift) with factor = mult / 2^shift, mult of the given number of bits."""
    shift = int(np.clip(bits - math.frexp(factor)[1], 0, 30))
    return min(round(math.ldexp(factor, shift)), (1 << bits) - 1), shift


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanParams(QuantizedParams):
    """Integer constants of a linear recurrence h_t = a_t h_(t-1) + b_t.

    a_zero, b_zero, y_zero   zero points of operands and result
    a_mult, a_shift   conversion of a to `bits` fraction bits
    b_mult, b_shift   conversion of b to state steps
    acc_bound         largest |int32 intermediate|
    """

    a_zero: int
    a_mult: int
    a_shift: int
    bits: int
    b_zero: int
    b_mult: int
    b_shift: int
    y_zero: int
    acc_bound: int


def quantize(site: QuantizeInputs) -> ScanParams:
    """Return the constants of s = clip16((w s + half >> bits) + (b b_mult + half >> b_shift)) and y
    = s + half >> 7.

    w = a a_mult + half >> a_shift has `bits` fraction bits. If an operand or the result is int16, s
    has 24 bits and its products have 64.
    """
    a, b, y = site.params(0), site.params(1), site.target
    is_wide = site.has_int16(2)
    bits = int(np.clip(15 - math.frexp(a.scale * a.reach)[1], 0, 15))
    a_mult, a_shift = _multiplier(math.ldexp(a.scale, bits))
    b_bits = 30 - b.reach.bit_length() if is_wide else 15
    b_mult, b_shift = _multiplier(math.ldexp(b.scale / y.scale, STATE_BITS), b_bits)
    numbers: dict[str, Any] = {
        "a_zero": a.zero_point, "a_mult": a_mult, "a_shift": a_shift, "bits": bits,
        "b_zero": b.zero_point, "b_mult": b_mult, "b_shift": b_shift, "y_zero": y.zero_point,
    }  # fmt: skip
    if not is_wide:
        return ScanParams(**numbers, acc_bound=(MOST + 1) ** 2 + (1 << 15))
    bound = max(a.reach * a_mult + (1 << a_shift >> 1), b.reach * b_mult + (1 << b_shift >> 1))
    return ScanParams(**numbers, acc_bound=bound)


def integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """Run the recurrence in integers along attrs["axis"]; a, b and the result are int8 or int16."""
    most = WIDE_MOST if step.has_int16 else MOST

    def scaled(x: Array, name: str) -> Array:
        half = (1 << getattr(step.integers, f"{name}_shift")) >> 1
        centred = x.astype(np.int64) - getattr(step.integers, f"{name}_zero")
        return np.asarray(
            (centred * getattr(step.integers, f"{name}_mult") + half)
            >> getattr(step.integers, f"{name}_shift")
        )

    half = (1 << step.integers.bits) >> 1

    def moved(w: Array, state: Array, more: Array) -> Array:
        return np.asarray(
            np.clip(((w * state + half) >> step.integers.bits) + more, -most - 1, most)
        )

    weights = np.clip(scaled(a, "a"), -MOST - 1, MOST)
    states = along(step.attrs, weights, scaled(b, "b"), moved)
    y = ((states + (1 << STATE_BITS >> 1)) >> STATE_BITS) + step.integers.y_zero
    return np.asarray(np.clip(y, step.low, step.high), step.element_type.dtype)


SCAN = register(
    OpDef(
        name="scan",
        doc="linear recurrence along an axis: h_t = a_t * h_(t-1) + b_t, 16-bit states",
        shape=same_shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        params=(ScanParams,),
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles, EITHER_WIDTH),
        permute_rule=axis_permuted,
        streaming_rule=all_beside_axis,
    )
)
