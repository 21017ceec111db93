# SPDX-License-Identifier: Apache-2.0
"""Random test cases for spectrograms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.cases import Chain, Draw, DrawnUse
from myoedge.operators.spectral.fourier import halved

CURVES: tuple[Chain, ...] = (
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


def spectrogram(d: Draw) -> DrawnUse:
    """Return a random test case of a spectrogram of several signals, each with its own factor and
    offset."""
    length, lanes = d.pick([4, 8, 16, 32, 64, 256, 6, 12, 20, 60, 66, 98]), d.shape(0, 2, 3)
    hop, count = d.integer(1, length + 3), math.prod(lanes)
    samples = length + d.integer(0, 4 * hop)
    window = np.hanning(length + 1)[:-1] if d.flag() else d.rng.uniform(0, 2, length)
    weights = (window, d.rng.choice([0.5, 1.0, -1.5], count), d.rng.normal(size=count))
    attrs, common = {"hop": hop, "chain": d.pick(CURVES)}, d.common(1, act=False)
    common |= {"weights": weights, "slack": slack}
    return DrawnUse("spectrogram", attrs, ((samples, *lanes),), SPECTROGRAM, **common)


def slack(case: Any) -> Array:
    """Return the largest permitted deviation in output steps.

    The function of the power is interpolated linearly between 16 points per octave, whose values
    are limited to an eighth beyond the output's range; magnitudes are off by a few steps of 2**-15.
    """
    window, scale, offset = case.weights
    unit = case.params("x0").scale * halved(len(window)) * float(np.abs(window).max()) * 2.0**-15
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
    blur = 4 * np.log2(len(window)) + size * 2.0**-12  # rounding down; 15 bits, 256 parts
    around = f(np.maximum(size + blur, 1.0)) - f(np.maximum(size - blur, 1.0))
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


CASES = {"spectrogram": spectrogram}
