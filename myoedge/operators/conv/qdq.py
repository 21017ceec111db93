# SPDX-License-Identifier: Apache-2.0
"""Convolutions as ONNX writes them, and weights: integer initialisers, dequantised per channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import (
    Write,
    Writer,
    channels_first,
    channels_last,
)


def _weight_scale(w: Writer, step: QuantizedNode) -> Array:
    """float64 scale per output channel: of the two ways to choose it, the one that was taken."""
    x, floats = w.params[step.operands[0]], [w.floats[n] for n in step.node.inputs[1:]]
    weight = floats[0].astype(np.float64)
    bias = floats[1].astype(np.float64) if len(floats) > 1 else np.zeros(len(weight))
    unfolded = _unfolded_bias(step)
    for per_channel in (True, False):
        made = WeightFormat(step.weight_type.bits, per_channel)
        integers, scale = made.quantize(weight, bias, x)
        same_bias = np.array_equal(np.rint(bias / (x.scale * scale)), unfolded)
        if same_bias and np.array_equal(integers, step["weight"]):
            return scale
    raise AssertionError(f"{step.node.where}: integers do not come from its weights")


def _unfolded_bias(step: QuantizedNode) -> Array:
    """int32 [K] without the contribution of the input's zero point, which QDQ has elsewhere."""
    rows = step["weight"].reshape(len(step["bias"]), -1).astype(np.int64).sum(axis=1)
    return np.asarray(step["bias"] + step["x_zero"] * rows, np.int32)


def weights(w: Writer, step: QuantizedNode, layout: Sequence[int]) -> tuple[str, str]:
    """(weights with their axes in the order `layout`, bias), dequantised."""
    scale, axis = _weight_scale(w, step), layout.index(0)
    factor = (scale * w.params[step.operands[0]].scale).astype(np.float32)
    parts = (
        ("weight", step["weight"].transpose(layout), scale.astype(np.float32), axis),
        ("bias", _unfolded_bias(step), factor, 0),
    )
    names = [
        w.node(
            "DequantizeLinear",
            w.constant(values, f"{w.label}/{part}"),
            w.constant(scales, f"{w.label}/{part}.scale"),
            axis=axis,
        )
        for part, values, scales, axis in parts
    ]
    return names[0], names[1]


def _conv(w: Writer, step: QuantizedNode, x: str) -> str:
    rank, attrs = len(step.out), step.attrs
    weight, bias = weights(w, step, [0, rank - 1, *range(1, rank - 1)])
    y = w.node(
        "Conv",
        channels_first(w, x, rank),
        weight,
        bias,
        strides=list(attrs["stride"]),
        dilations=list(attrs["dilation"]),
        pads=[*(p[0] for p in attrs["pads"]), *(p[1] for p in attrs["pads"])],
        group=attrs["groups"],
    )
    return channels_last(w, y, rank)


WRITE: Mapping[str, Write] = {"conv": _conv}
