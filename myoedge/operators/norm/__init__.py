# SPDX-License-Identifier: Apache-2.0
"""Layer norm, RMS norm and group norm; export as ONNX nodes, and random
test cases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.norm.definition import fraction_bits
from myoedge.operators.norm.group_norm import fraction_bits as group_fraction_bits
from myoedge.operators.norm.group_norm import layout
from myoedge.operators.qdq import Write, Writer, number, reshaped, whole


def norm(op: str, d: Draw) -> DrawnUse:
    length = d.pick([1, 2, 3, 4, 7, 16, 64, 192, 768, 1023])
    gain, offset = (d.rng.normal(size=length) * d.pick([0.0, 1.0, 30.0]) for _ in range(2))
    weights = (gain, offset) if op == "layer_norm" else (gain,)
    common = d.common(1, act=False) | {"weights": weights, "slack": slack}
    attrs, shape = {"eps": d.pick([1e-5, 1e-12, 0.1])}, (*d.shape(0, 3, 4), length)
    text = f"F.{op}(x0, x0.shape[-1:], *ws, eps=eps)"
    return DrawnUse(op, attrs, (shape,), text, int16=d.pick([(), (0,)]), **common)


def slack(case: Any) -> Array:
    """Return the largest permitted deviation of a layer norm in output steps, from rounding the
    normalised value to `fraction_bits`, the inverse root to 14 bits, and eps to an integer; int16
    inputs keep 12 bits."""
    x = case.data[0].astype(np.float64)
    middle = x.mean(-1, keepdims=True) if case.op == "layer_norm" else case.params("x0").zero_point
    spread = np.maximum(np.square(x - middle).sum(-1, keepdims=True) * x.shape[-1], 1.0)
    unit, bits = x.shape[-1] / np.sqrt(spread), fraction_bits(x.shape[-1])
    normal, kept = np.abs(x - middle) * unit, np.abs(x).max(-1, keepdims=True) / 1024
    kept = np.maximum(kept, 2.0**case.step.integers.down * (case.step.integers.down > 0))
    error = 2.0**-bits + normal * (2.0**-13 + 0.25 / spread)
    error += (1 + normal) * np.maximum(kept, 1) * unit * (kept > 1)
    gain, largest = np.abs(case.weights[0]), np.abs(case.weights[0]).max()
    real = (gain * error + normal * largest * 2.0**-15) / case.target.scale
    return np.asarray(real + gain_slack(case, normal, bits))


def gain_slack(case: Any, normal: Array, bits: int) -> Array:
    """Return the deviation in output steps due to rounding each gain by half a step; 0 for int8
    results.

    All gains share one shift, which the largest offset limits.
    normal   |normalised value|
    bits     its fraction bits
    """
    is_wide = case.target.element_type == INT16
    return np.asarray(normal * 2.0 ** (bits - 1 - case.step.integers.shift) * is_wide)


def draw_group_norm(d: Draw) -> DrawnUse:
    """Return a random test case of group norm: the channel axis is first, last or in the middle,
    with one channel per group up to one group in all, and one row or more."""
    groups, each = d.pick([1, 1, 2, 3, 8, 13]), d.pick([1, 1, 2, 5, 8])
    before, after = (d.pick([(), (1,), (7,), (19,), (3, 5)]) for _ in range(2))
    shape = (d.pick([1, 1, 2, 9]), *before, groups * each, *after)
    gain, offset = (d.rng.normal(size=groups * each) * d.pick([0.0, 1.0, 30.0]) for _ in range(2))
    attrs = {
        "axis": 1 + len(before),
        "groups": groups,
        "eps": d.pick([1e-5, 1e-12, 0.1]),
        "centred": d.flag(),
    }
    common = d.common(1, act=True) | {"weights": (gain, offset), "slack": group_slack}
    int16 = d.pick([(), (0,)])
    return DrawnUse("group_norm", attrs, (shape,), GROUP_NORM, int16=int16, **common)


GROUP_NORM = """
first = x0.movedim(axis, 1)
rows = first.reshape(len(x0), groups, -1)
middle = rows.mean(-1, keepdim=True) if centred else 0.0
normal = (rows - middle) / ((rows - middle).square().mean(-1, keepdim=True) + eps).sqrt()
each = (-1, *[1] * (x0.ndim - 2))
(normal.reshape(first.shape) * w0.reshape(each) + w1.reshape(each)).movedim(1, axis)
"""


def group_slack(case: Any) -> Array:
    """Return the largest permitted deviation of a group norm in output steps: that of a layer norm,
    with a factor of x in steps of 2**-13."""
    x, attrs = case.data[0].astype(np.float64), case.attrs
    first = np.moveaxis(x, attrs["axis"], 1)
    rows = first.reshape(len(x), attrs["groups"], -1)
    n = rows.shape[-1]
    middle = rows.mean(-1, keepdims=True) if attrs["centred"] else case.params("x0").zero_point
    spread = np.maximum(np.square(rows - middle).sum(-1, keepdims=True) * n, 1.0)
    normal = np.abs(rows - middle) * n / np.sqrt(spread)
    bits = group_fraction_bits(n)
    error = 2.0**-bits * (1 + np.abs(rows) * 2.0**-13) + normal * (2.0**-13 + 0.25 / spread)
    largest, each = np.abs(case.weights[0]).max(), (-1, *[1] * (x.ndim - 2))
    gain = np.abs(case.weights[0]).reshape(each)
    both = gain * error.reshape(first.shape) + normal.reshape(first.shape) * largest * 2.0**-13
    steps = both / case.target.scale + gain_slack(case, normal.reshape(first.shape), bits)
    return np.moveaxis(steps, 1, attrs["axis"])


CASES = {"group_norm": draw_group_norm} | {
    op: partial(norm, op) for op in ("layer_norm", "rms_norm")
}


def _write_layer_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    parts = (w.constant(w.floats[n].astype(np.float32)) for n in step.node.inputs[1:])
    return w.node("LayerNormalization", x, *parts, axis=-1, epsilon=step.attrs["eps"])


def _write_rms_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write an RMS norm as basic ONNX operators, as ONNX has an RMS norm only from opset 23 on."""
    square = w.node("ReduceMean", w.node("Mul", x, x), whole(w, -1), keepdims=1)
    eps = number(w, step.attrs["eps"])
    root = w.node("Sqrt", w.node("Add", square, eps))
    gain = w.constant(w.floats[step.node.inputs[1]].astype(np.float32))
    return w.node("Mul", w.node("Div", x, root), gain)


def _write_group_norm(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write a group norm as basic ONNX operators, because ONNX has a group norm, with channels
    first, only from opset 21 on."""
    at, over = layout(step.attrs, step.out), whole(w, 1, 3, 4)
    rows = reshaped(w, x, *at)
    if step.attrs["centred"]:
        rows = w.node("Sub", rows, w.node("ReduceMean", rows, over, keepdims=1))
    square = w.node("ReduceMean", w.node("Mul", rows, rows), over, keepdims=1)
    root = w.node("Sqrt", w.node("Add", square, number(w, step.attrs["eps"])))
    gain, offset = (
        reshaped(w, w.float_constant(name), at.groups, at.channels, 1)
        for name in step.node.inputs[1:]
    )
    y = w.node("Add", w.node("Mul", w.node("Div", rows, root), gain), offset)
    return reshaped(w, y, *step.out)


WRITE: Mapping[str, Write] = {
    "layer_norm": _write_layer_norm,
    "rms_norm": _write_rms_norm,
    "group_norm": _write_group_norm,
}
