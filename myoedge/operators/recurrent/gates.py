# SPDX-License-Identifier: Apache-2.0
"""Sums before the gates of a recurrent layer, in 16 bits: what a step's input adds to them."""

from __future__ import annotations

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import exact_matmul
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OpDef, QuantizedNode, register
from myoedge.operators.common_rules import beside_last
from myoedge.operators.kernel import TiledKernel, on_cluster
from myoedge.operators.linear.definition import linear_nest, linear_real, linear_shape, row_sizes
from myoedge.operators.products.int16 import wide_rows
from myoedge.operators.products.weighted import acc_bound, quantize
from myoedge.targets.chip import Engine

# What a gate's function is taken of: +-32 in steps of 1/1024, beyond which it does not change.
GATE = QuantParams(2.0**-10, 0, INT16)


def gates_integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 [..., C] -> int16 [..., K]."""
    acc = exact_matmul(x, step["weight"].T) + step["bias"]
    return step.requantize(acc)


def gates_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return wide_rows(step, engine, *row_sizes(step))


GATES = register(
    OpDef(
        name="gates",
        doc="y = x W^T + b in 16 bits, steps of 1/1024: what inputs add to the gates of lstm, gru",
        shape=linear_shape,
        nest=linear_nest,
        real=linear_real,
        integer=gates_integer,
        quantize=quantize,
        acc_bound=acc_bound,
        kernels=on_cluster(gates_in_tiles),
        weights=(1, 2),
        out_dtype="int16",
        fixed_params=GATE,
        multiplies=True,
        streaming_rule=beside_last,
    )
)
