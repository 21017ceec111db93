# SPDX-License-Identifier: Apache-2.0
"""Drawn uses of normalisations of rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.norm.definition import fraction_bits


def norm(op: str, d: Draw) -> DrawnUse:
    length = d.pick([1, 2, 3, 4, 7, 16, 64, 192, 768, 1023])
    gain, offset = (d.rng.normal(size=length) * d.pick([0.0, 1.0, 30.0]) for _ in range(2))
    weights = (gain, offset) if op == "layer_norm" else (gain,)
    common = d.common(1, act=False) | {"weights": weights, "slack": slack}
    attrs, shape = {"eps": d.pick([1e-5, 1e-12, 0.1])}, (*d.shape(0, 3, 4), length)
    text = f"F.{op}(x0, x0.shape[-1:], *ws, eps=eps)"
    return DrawnUse(op, attrs, (shape,), text, **common)


def slack(case: Any) -> Array:
    """The normalised number has so many bits after its point; its root 14; eps is whole."""
    x = case.data[0].astype(np.float64)
    middle = x.mean(-1, keepdims=True) if case.op == "layer_norm" else case.params("x0").zero_point
    spread = np.maximum(np.square(x - middle).sum(-1, keepdims=True) * x.shape[-1], 1.0)
    normal = np.abs(x - middle) * x.shape[-1] / np.sqrt(spread)
    error = 2.0 ** -fraction_bits(x.shape[-1]) + normal * (2.0**-13 + 0.25 / spread)
    gain, largest = np.abs(case.weights[0]), np.abs(case.weights[0]).max()
    return np.asarray((gain * error + normal * largest * 2.0**-15) / case.target.scale)


CASES = {op: partial(norm, op) for op in ("layer_norm", "rms_norm")}
