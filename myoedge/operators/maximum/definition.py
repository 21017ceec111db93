# SPDX-License-Identifier: Apache-2.0
"""The larger of two tensors, element by element."""

from __future__ import annotations

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX
from myoedge.numerics.requant import SumRequant, choose_sum_requant, factor_max
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import always, limited
from myoedge.operators.elementwise.definition import pairwise
from myoedge.operators.elementwise.tiling import pair, wide_pair
from myoedge.operators.kernel import TiledKernel, on_cluster
from myoedge.operators.products.packing import limit_fields
from myoedge.targets.chip import Engine

NUMBERS = tuple(f"{name}_{part}" for name in "ab" for part in ("mult", "offset", "shift"))


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """Both operands in steps of the result: (x * mult + offset) >> shift, each with its own."""
    scalars, bounds, y = dict[str, int](), list[int](), site.target
    operands = site.params(0), site.params(1)
    types = {"a_wide": operands[0], "b_wide": operands[1], "y_wide": y}
    wide = {name: int(q.element_type == INT16) for name, q in types.items()}
    for name, x in zip("ab", operands, strict=True):
        r = choose_sum_requant(
            (x.scale / y.scale,),
            (-x.low,),
            (x.zero_point,),
            y.zero_point,
            factor_max=factor_max((x.element_type,), y.element_type),
            mult_max=INT32_MAX if any(wide.values()) else MULT_MAX,
        )
        scalars |= {f"{name}_mult": r.mult[0], f"{name}_offset": r.offset, f"{name}_shift": r.shift}
        bounds.append(r.largest((-x.low,)))
    scalars |= wide if any(wide.values()) else {}
    return QuantizedParams({**scalars, "acc_bound": max(bounds)})


def integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """a, b int8 or int16, broadcast -> int8 or int16."""
    terms = [
        SumRequant((step[f"{name}_mult"],), step[f"{name}_offset"], step[f"{name}_shift"])
        for name in "ab"
    ]
    limits = (step.low, step.high, step.element_type)
    left, right = (r.apply([x], *limits) for r, x in zip(terms, (a, b), strict=True))
    return np.maximum(left, right)


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    if "y_wide" not in step.integers.scalars:
        return pair(step, engine, "me_maximum_s8", NUMBERS)
    op = {**{name: step[name] for name in NUMBERS}, "scale.pre": 0, **limit_fields(step)}
    return wide_pair(step, engine, "me_maximum_s16", op)


MAXIMUM = register(
    pairwise(
        name="maximum",
        doc="the larger of two tensors, broadcast",
        real=lambda attrs, a, b: np.maximum(a, b),
        integer=integer,
        quantize=quantize,
        kernels=on_cluster(in_tiles),
        accepts_int16=always,
        emits_int16=limited,
    )
)
