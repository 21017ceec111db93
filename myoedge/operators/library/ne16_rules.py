# SPDX-License-Identifier: Apache-2.0
"""Kernels of NE16, GAP9's convolution accelerator, and its constraints on layers.

Sources: GreenWaves' gap_sdk 4.12 (NE16 register pages) and its platform model;
docs/developers/ne16.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.requant import INT32_MAX
from myoedge.numerics.weight_format import HALVES_MAX
from myoedge.operators.base import QuantizedNode
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.format import Format
from myoedge.operators.kernel import Kernel, TiledKernel
from myoedge.operators.library.packing import INT8_PRODUCTS, acc_bound, row_sums, unsigned_bound
from myoedge.operators.library.rows import is_int8, row_sizes
from myoedge.targets.chip import Engine

NE16 = "ne16"  # name of the engine
MULTIPLIER_BITS = 6  # with fewer, adapting weights to exact multipliers loses more than a pre-shift

Rule = Callable[[QuantizedNode], ConstraintViolation | None]  # None, or the violated requirement


def on_ne16(
    tiling: Callable[[QuantizedNode, Engine], TiledKernel],
    *rules: Rule,
    form: Format = INT8_PRODUCTS,
) -> Kernel:
    """Return an NE16 kernel for layers that satisfy the accelerator's constraints and `rules`.

    tiling   (layer, engine) -> tiled kernel
    form     supported element types
    """
    rules = (*rules, _check_int8, requantised_by_engine)
    return _ne16_kernel(tiling, form, *rules, unsigned_sums=True)


def sums_on_ne16(
    tiling: Callable[[QuantizedNode, Engine], TiledKernel], form: Format, *rules: Rule
) -> Kernel:
    """Return an NE16 kernel whose int32 sums the cores requantise, for layers that satisfy `rules`.

    tiling   (layer, engine) -> tiled kernel
    form     supported element types
    """
    return _ne16_kernel(tiling, form, *rules, unsigned_sums=False)


def _ne16_kernel(
    tiling: Callable[[QuantizedNode, Engine], TiledKernel],
    form: Format,
    *rules: Rule,
    unsigned_sums: bool,
) -> Kernel:
    def broken_rule(step: QuantizedNode) -> ConstraintViolation | None:
        return next((broken for rule in rules if (broken := rule(step))), None)

    return Kernel(
        NE16,
        tiling,
        lambda step: broken_rule(step) is None,
        (form,),
        unsigned_sums=unsigned_sums,
        broken_rule=broken_rule,
    )


def _check_int8(step: QuantizedNode) -> ConstraintViolation | None:
    if is_int8(step):
        return None
    has = "int16 results" if step.element_type == INT16 else "int16 weights"
    change = "ranges that fit int8, or a lower [budget] sqnr"
    return ConstraintViolation("int8 inputs, weights and results", has, change)


def requantised_by_engine(step: QuantizedNode) -> ConstraintViolation | None:
    """Require a result that NE16 can requantise itself.

    -> None, or the violated requirement
    """
    return _check_no_clamp(step) or _check_multipliers(step)


def _check_no_clamp(step: QuantizedNode) -> ConstraintViolation | None:
    if (step.low, step.high) == (INT8.low, INT8.high):
        return None
    change = "calibration samples that reach the clamp's ends, or an activation without a clamp"
    return ConstraintViolation(
        "results over all of int8", f"a clamp to {step.low} .. {step.high}", change
    )


def _check_multipliers(step: QuantizedNode) -> ConstraintViolation | None:
    """Check that multipliers need no pre-shift and that sums of unsigned products fit int32."""
    mult, weight = step.integers.mult.astype(np.int64), step.integers.weight
    bound = unsigned_bound(weight, step.integers.bias)
    largest = bound * mult + np.abs(step.integers.offset.astype(np.int64))
    # Channels whose products cannot move the result by one step may have fewer bits.
    reach = 255 * row_sums(np.abs(weight.astype(np.int64))) * mult
    live = reach >= np.left_shift(np.int64(1), step.integers.shift.astype(np.int64))
    bits = int(mult[live].min()).bit_length() if live.any() else MULTIPLIER_BITS
    if not 0 <= int(mult.min()) <= int(mult.max()) < 1 << 16:
        has = f"{mult.min()} to {mult.max()}"
        return ConstraintViolation("unsigned 16-bit multipliers", has, "other multipliers")
    if step.integers.pre == 0 and int(largest.max()) <= INT32_MAX and bits >= MULTIPLIER_BITS:
        return None
    needs = f"multipliers of {MULTIPLIER_BITS} bits or more that leave the largest sums in 32 bits"
    has = f"{bits} bits" if bits < MULTIPLIER_BITS else "sums of more than 32 bits"
    return ConstraintViolation(
        needs, has, "fewer products per output: smaller kernels, fewer channels"
    )


def has_int8_products(step: QuantizedNode) -> ConstraintViolation | None:
    """Require int8 inputs, weights of at most 8 bits, and sums of uint8 inputs times weights that
    fit int32.

    -> None, or the violated requirement
    """
    if step.weight_type == INT16:
        change = "ranges that fit int8, or a lower [budget] sqnr"
        return ConstraintViolation("int8 inputs and weights", "int16", change)
    if int(unsigned_bound(step.integers.weight, step.integers.bias).max()) <= INT32_MAX:
        return None
    return ConstraintViolation("sums of 32 bits", "sums of more", "fewer inputs")


def has_weights_in_halves(step: QuantizedNode) -> ConstraintViolation | None:
    """Require int16 weights that two halves of 8 bits hold, and sums that fit int32.

    -> None, or the violated requirement
    """
    if step.weight_type != INT16:
        return ConstraintViolation("int16 inputs or results", "int8", "int16")
    largest = int(np.abs(step.integers.weight.astype(np.int64)).max(initial=0))
    if largest > HALVES_MAX:
        change = "weights that the build quantises"
        return ConstraintViolation(f"weights up to {HALVES_MAX:,}", f"{largest:,}", change)
    if acc_bound(step) <= INT32_MAX:
        return None
    return ConstraintViolation("sums of 32 bits", "sums of more", "fewer inputs")


def is_in_words(step: QuantizedNode) -> ConstraintViolation | None:
    """Require input rows of a multiple of 4 bytes, so that they can be converted to uint8 in place.

    -> None, or the violated requirement
    """
    has = row_sizes(step)[1]
    return (
        ConstraintViolation("inputs in multiples of 4", str(has), "more inputs")
        if has % 4
        else None
    )
