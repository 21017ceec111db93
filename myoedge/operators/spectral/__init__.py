# SPDX-License-Identifier: Apache-2.0
"""Spectrograms and Fourier transforms; export of spectrograms as ONNX nodes (a convolution with
cosines and sines, then magnitudes), and random test cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.cases import Chain, Draw, DrawnUse
from myoedge.operators.elementwise import NATIVE
from myoedge.operators.qdq import Write, Writer, number, reshaped, transposed, whole
from myoedge.operators.spectral.fast_fourier import radixes_of

CHAINS: tuple[Chain, ...] = (
    (), (("square",),), (("abs",), ("pow", 2.0), ("affine", 0.05, 1e-6), ("log10",)),
    (("square",), ("log1p",), ("affine", -2.0, 1.0)), (("sqrt",),),
    (("square",), ("clamp", 1e-4, math.inf), ("log",)),
)  # fmt: skip
SPECTROGRAM = """\
length, rows = len(w0), x0.reshape(len(x0), -1).T
size = torch.stft(rows, length, hop, window=w0, center=False, return_complex=True).abs()
y = activated(chain, size) * w1[:, None, None] + w2[:, None, None]
y.permute(2, 0, 1).reshape(-1, *x0.shape[1:], length // 2 + 1)
"""


def draw_spectrogram(d: Draw) -> DrawnUse:
    """Return a random test case of a spectrogram of several signals, each with its own factor and
    offset."""
    length, lanes = d.pick([4, 8, 16, 32, 64, 256, 6, 12, 20, 60, 62, 66, 98]), d.shape(0, 2, 3)
    hop, count = d.integer(1, length + 3), math.prod(lanes)
    samples = length + d.integer(0, 4 * hop)
    window = np.hanning(length + 1)[:-1] if d.flag() else d.rng.uniform(0, 2, length)
    weights = (window, d.rng.choice([0.5, 1.0, -1.5], count), d.rng.normal(size=count))
    attrs, common = {"hop": hop, "chain": d.pick(CHAINS)}, d.common(1, act=False)
    common |= {"weights": weights, "slack": slack}
    return DrawnUse("spectrogram", attrs, ((samples, *lanes),), SPECTROGRAM, **common)


def slack(case: Any) -> Array:
    """Return the largest permitted deviation in output steps.

    The function of the power is interpolated linearly between 16 points per octave, whose values
    are limited to an eighth beyond the output's range. Magnitudes are off by a few steps, which
    are 2**exponent: the last stage's shift leaves at least 2**14.5 / (2 radix) of the largest.
    """
    window, scale, offset = case.weights
    unit = case.params("x0").scale * float(np.abs(window).max())
    attrs = {**case.attrs, "chain": ()}
    ones, none = np.ones(scale.size), np.zeros(scale.size)
    x = case.dequantized[0]
    size = OPS["spectrogram"].real(attrs, x, window, ones, none).astype(np.float64) / unit

    def f(size: Array) -> Array:
        return np.asarray(case.activated(case.attrs["chain"], size * unit))

    power = np.maximum(size, 1.0) ** 2
    octave = np.exp2(np.floor(np.log2(power)))
    first = octave * (1 + np.floor((power / octave - 1) * 16) / 16)
    points = (np.sqrt(n) for n in (first, first + octave / 16))
    low, high = (within_reach(case, f(point), scale, offset) for point in points)
    chord = low + (high - low) * (power - first) / (octave / 16)
    step = np.maximum(size.max(-1, keepdims=True) * 4 * radixes_of(len(window))[-1] / 2**14.5, 1)
    blur = 2 * np.log2(len(window)) * step + size * 2.0**-12  # rounding; 15 bits, 256 parts
    ends = (f(np.maximum(size + part, 0.0)) for part in (blur, -blur))
    around = np.subtract(*(within_reach(case, end, scale, offset) for end in ends))
    steps = (np.abs(chord - f(np.maximum(size, 1.0))) + np.abs(around)) / case.target.scale
    lanes = np.abs(scale).reshape(*case.shapes[0][1:], 1)
    # int16: two points of an int16 curve over 1.25 times the range, and a 15-bit factor
    return np.asarray(steps * lanes + (0.1 if case.target.element_type.bits == 8 else 3.5))


def within_reach(case: Any, y: Array, scale: Array, offset: Array) -> Array:
    """Clip values of the interpolated function to the range that the kernel's table can represent:
    that of all outputs before factor and offset, widened by an eighth at each end.

    y               values of the function of a magnitude (attrs["chain"])
    scale, offset   factor and offset of each signal, [signals]
    """
    y_q = case.target
    edges = (np.array([[y_q.low], [y_q.high]]) - y_q.zero_point) * y_q.scale
    seen = (edges - offset) / scale
    beyond = np.ptp(seen) / 8
    return np.clip(y, seen.min() - beyond, seen.max() + beyond)


CASES = {"spectrogram": draw_spectrogram}


def _write_log(w: Writer, x: str, base: float) -> str:
    return w.node("Mul", w.node("Log", x), number(w, 1 / math.log(base)))


# Curves of magnitudes, which are not negative.
CURVES: Mapping[str, Write] = {
    **NATIVE,
    "log": lambda w, x: w.node("Log", x),
    "log10": lambda w, x: _write_log(w, x, 10),
    "log1p": lambda w, x: w.node("Log", w.node("Add", x, number(w, 1.0))),
    "log2": lambda w, x: _write_log(w, x, 2),
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
