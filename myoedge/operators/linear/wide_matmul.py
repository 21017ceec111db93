# SPDX-License-Identifier: Apache-2.0
"""Matrix products of two int16 activations, or with int16 results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from myoedge.numerics.arrays import round_up
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import QuantizedNode, QuantizeInputs
from myoedge.operators.common_rules import ProductParams, with_requant
from myoedge.operators.kernel import Fields, Region, Sizes, TiledKernel
from myoedge.operators.products.packing import scale_fields
from myoedge.targets.chip import Engine

SUM_BITS = 30  # bits of a sum before requantisation, without the sign
FACTOR_MAX = 2**15  # largest |operand minus zero point|, stored as int16
TOO_LARGE = 2**32  # bound of other sums: E117
AROUND = 12.0  # overhead per sum, in words of taps


def quantize(inputs: QuantizeInputs) -> ProductParams | None:
    """Return the constants of a matrix product with 64-bit sums, which are shifted right to 31
    bits; None if all operands are int8."""
    a, b, y = inputs.params(0), inputs.params(1), inputs.target
    if not inputs.has_int16(2):
        return None
    reach = [255 if q.element_type == INT8 else q.reach for q in (a, b)]
    bound = inputs.shapes[0][-1] * reach[0] * reach[1]
    drop = max(bound.bit_length() - SUM_BITS, 0)
    numbers = {"a_zero": a.zero_point, "b_zero": b.zero_point, "drop": drop}
    factor = a.scale * b.scale / y.scale * 2.0**drop
    found = with_requant(ProductParams, inputs, factor, (bound >> drop) + 1, numbers)
    if max(reach) > FACTOR_MAX:
        return replace(found, acc_bound=TOO_LARGE)
    return found


def in_tiles(step: QuantizedNode, engine: Engine, narrow: TiledKernel) -> TiledKernel:
    """Return the int16 kernel of a matrix product, with the loops and operands of the int8 kernel
    `narrow`."""
    numbers = ("a_zero", "b_zero", "mult", "offset", "shift", "drop")
    kinds = {"a": step.read_type(0), "b": step.read_type(1), "y": step.element_type}
    c = step.shapes[0][-1]
    return replace(
        narrow,
        function="me_matmul_s16",
        kernel_waits=False,
        operands=tuple(
            replace(x, itemsize=kinds[x.name].size_bytes) if x.name in kinds else x
            for x in narrow.operands
        ),
        op={
            "c": c,
            **step.wide_flags("a", "b", "y"),
            **step.integers.named(numbers),
            "b_transposed": narrow.op["b_transposed"],
            **scale_fields(step),
        },
        tile=lambda regions: _tile(narrow, regions),
        scratch=lambda tile: 2 * (4 * tile["k"] + engine.cores) * round_up(c, 2),
        work=lambda tile: _work(step, engine.cores, tile),
        nine_cores=None,
    )


def _tile(narrow: TiledKernel, regions: Mapping[str, Region]) -> Fields:
    return {name: value for name, value in narrow.tile(regions).items() if name != "packed"}


def _work(step: QuantizedNode, cores: int, tile: Sizes) -> Any:
    """Work units: words of two taps of a core's sums, and copied elements: columns of b, and rows
    of a unless read in place."""
    c, columns = step.shapes[0][-1], 4 * tile["k"]
    sums = -(-tile["m"] * columns // cores) * (c / 2 + AROUND)
    copied = -(-columns // cores) + (
        0 if step.read_type(0) == INT16 and c % 2 == 0 else tile["m"] / cores + 1
    )
    return sums + copied * c
