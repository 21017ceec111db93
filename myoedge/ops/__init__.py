# SPDX-License-Identifier: Apache-2.0
"""The operators, one family a file; importing this package fills myoedge.op.OPS."""

from myoedge.ops import (
    conv,
    elementwise,
    gates,
    layout,
    linear,
    norm,
    pool,
    recurrent,
    reduce,
    softmax,
)

__all__ = [
    "conv",
    "elementwise",
    "gates",
    "layout",
    "linear",
    "norm",
    "pool",
    "recurrent",
    "reduce",
    "softmax",
]
