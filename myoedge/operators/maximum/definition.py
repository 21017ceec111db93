# SPDX-License-Identifier: Apache-2.0
"""The larger of two tensors, element by element."""

from __future__ import annotations

from functools import partial

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import SumRequant, choose_sum_requant
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.elementwise.definition import pairwise
from myoedge.operators.elementwise.tiling import pair
from myoedge.operators.kernel import on_cluster

NUMBERS = tuple(f"{name}_{part}" for name in "ab" for part in ("mult", "offset", "shift"))


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """Both operands in steps of the result: (x * mult + offset) >> shift, each with its own."""
    scalars, bounds = dict[str, int](), list[int]()
    for name, x in zip("ab", map(site.params, (0, 1)), strict=True):
        factor, zero = x.scale / site.target.scale, site.target.zero_point
        r = choose_sum_requant((factor,), (128,), (x.zero_point,), zero)
        scalars |= {f"{name}_mult": r.mult[0], f"{name}_offset": r.offset, f"{name}_shift": r.shift}
        bounds.append(r.largest((128,)))
    return QuantizedParams({**scalars, "acc_bound": max(bounds)})


def integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """a, b int8, broadcast -> int8."""
    terms = [
        SumRequant((step[f"{name}_mult"],), step[f"{name}_offset"], step[f"{name}_shift"])
        for name in "ab"
    ]
    left, right = (r.apply([x], step.low, step.high) for r, x in zip(terms, (a, b), strict=True))
    return np.maximum(left, right)


MAXIMUM = register(
    pairwise(
        name="maximum",
        doc="the larger of two tensors, broadcast",
        real=lambda attrs, a, b: np.maximum(a, b),
        integer=integer,
        quantize=quantize,
        kernels=on_cluster(partial(pair, kernel="me_maximum_s8", numbers=NUMBERS)),
    )
)
