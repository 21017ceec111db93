# SPDX-License-Identifier: Apache-2.0
"""Export of spectrograms as ONNX nodes: a convolution with cosines and sines, then magnitudes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.qdq import NATIVE
from myoedge.operators.qdq import Write, Writer, number, reshaped, transposed, whole


def _log(w: Writer, x: str, base: float) -> str:
    return w.node("Mul", w.node("Log", x), number(w, 1 / math.log(base)))


# Curves of magnitudes, which are not negative.
CURVES: Mapping[str, Write] = {
    **NATIVE,
    "log": lambda w, x: w.node("Log", x),
    "log10": lambda w, x: _log(w, x, 10),
    "log1p": lambda w, x: w.node("Log", w.node("Add", x, number(w, 1.0))),
    "log2": lambda w, x: _log(w, x, 2),
    "pow": lambda w, x, exponent: w.node("Pow", x, number(w, exponent)),
    "sqrt": lambda w, x: w.node("Sqrt", x),
    "square": lambda w, x: w.node("Mul", x, x),
}


def spectrogram(w: Writer, step: QuantizedNode, x: str) -> str:
    """Export a spectrogram as a convolution over frames, in which each signal is an image of the
    batch."""
    window, scale, offset = (w.floats[name] for name in step.node.inputs[1:])
    count, lanes, bins = step.out[0], scale.size, step.out[-1]
    rows = transposed(w, reshaped(w, x, -1, 1, lanes), 2, 1, 0)
    length = len(window)
    turns = np.outer(np.arange(length // 2 + 1), np.arange(length)) % length
    angle = 2 * np.pi * turns / length
    waves = np.stack([np.cos(angle), np.sin(angle)]) * window.astype(np.float64)
    kernel = w.constant(waves.reshape(-1, 1, length).astype(np.float32), f"{w.label}/waves")
    parts = w.node("Conv", rows, kernel, strides=[step.attrs["hop"]])
    apart = reshaped(w, parts, lanes, 2, bins, count)
    y = w.node("ReduceL2", apart, whole(w, 1), keepdims=0)
    for function, *parameters in step.attrs["chain"]:
        y = CURVES[function](w, y, *parameters)
    y = w.node("Mul", y, w.constant(scale.reshape(-1, 1, 1)))
    y = w.node("Add", y, w.constant(offset.reshape(-1, 1, 1)))
    return reshaped(w, transposed(w, y, 2, 0, 1), *step.out)


WRITE: Mapping[str, Write] = {"spectrogram": spectrogram}
