# SPDX-License-Identifier: Apache-2.0
"""The operators, one family a file; importing this package fills myoedge.op.OPS."""

from myoedge.ops import (
    attention,
    classes,
    conv,
    ctc,
    elementwise,
    filters,
    gates,
    layout,
    linear,
    magnitude,
    norm,
    pool,
    recurrent,
    reduce,
    rotary,
    running,
    softmax,
    spectral,
)

__all__ = [
    "attention",
    "classes",
    "conv",
    "ctc",
    "elementwise",
    "filters",
    "gates",
    "layout",
    "linear",
    "magnitude",
    "norm",
    "pool",
    "recurrent",
    "reduce",
    "rotary",
    "running",
    "softmax",
    "spectral",
]
