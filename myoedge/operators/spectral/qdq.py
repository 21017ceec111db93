# SPDX-License-Identifier: Apache-2.0
"""Spectrograms as ONNX writes them: a convolution with cosines and sines, and its magnitudes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import (
    Write,
    Writer,
    number,
    whole,
)


def _times(w: Writer, x: str, factor: float) -> str:
    return w.node("Mul", x, number(w, factor))


def _plus(w: Writer, x: str, offset: float) -> str:
    return w.node("Add", x, number(w, offset))


def _power(w: Writer, x: str, exponent: float) -> str:
    return w.node("Pow", x, number(w, exponent))


def _clamp(w: Writer, x: str, low: float, high: float) -> str:
    edges = ["" if math.isinf(e) else number(w, e) for e in (low, high)]
    return w.node("Clip", x, *edges)


CURVES: Mapping[str, Write] = {
    "abs": lambda w, x: w.node("Abs", x),
    "affine": lambda w, x, scale, offset: _plus(w, _times(w, x, scale), offset),
    "clamp": _clamp,
    "log": lambda w, x: w.node("Log", x),
    "log10": lambda w, x: _times(w, w.node("Log", x), 1 / math.log(10)),
    "log1p": lambda w, x: w.node("Log", _plus(w, x, 1.0)),
    "log2": lambda w, x: _times(w, w.node("Log", x), 1 / math.log(2)),
    "neg": lambda w, x: w.node("Neg", x),
    "pow": _power,
    "sqrt": lambda w, x: w.node("Sqrt", x),
    "square": lambda w, x: w.node("Mul", x, x),
}


def spectrogram(w: Writer, step: QuantizedNode, x: str) -> str:
    """Frames are a convolution's windows; every lane is an image of its own."""
    window, scale, offset = (w.floats[name] for name in step.node.inputs[1:])
    count, lanes, bins = step.out[0], scale.size, step.out[-1]
    rows = w.node("Transpose", w.node("Reshape", x, whole(w, -1, 1, lanes)), perm=[2, 1, 0])
    waves = w.constant(_waves(window), f"{w.label}/waves")
    parts = w.node("Conv", rows, waves, strides=[step.attrs["hop"]])
    apart = w.node("Reshape", parts, whole(w, lanes, 2, bins, count))
    y = w.node("ReduceL2", apart, whole(w, 1), keepdims=0)
    for function, *parameters in step.attrs["chain"]:
        y = CURVES[function](w, y, *parameters)
    y = w.node("Mul", y, w.constant(scale.reshape(-1, 1, 1)))
    y = w.node("Add", y, w.constant(offset.reshape(-1, 1, 1)))
    return w.node("Reshape", w.node("Transpose", y, perm=[2, 0, 1]), whole(w, *step.out))


def _waves(window: Array) -> Array:
    """float32 [2 * bins, 1, n]: cosines and sines under the window."""
    length = len(window)
    turns = np.outer(np.arange(length // 2 + 1), np.arange(length)) % length
    angle = 2 * np.pi * turns / length
    waves = np.stack([np.cos(angle), np.sin(angle)]) * window.astype(np.float64)
    return waves.reshape(-1, 1, length).astype(np.float32)


WRITE: Mapping[str, Write] = {"spectrogram": spectrogram}
