# SPDX-License-Identifier: Apache-2.0
"""Spectrograms: a function, such as a logarithm, of the magnitudes of short-time Fourier
transforms.

Samples and transforms are int16, with one exponent per frame. The function is a table over the
power with 16 points per octave, so that any function costs one interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import evaluate
from myoedge.numerics.requant import choose_sum_requant
from myoedge.operators.attributes import CHAIN, MOST_TIMES, chosen, optional, whole
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.format import EITHER, SIXTEEN, Format
from myoedge.operators.kernel import OUT, AffineExpr, Operand, TiledKernel, on_cluster
from myoedge.operators.spectral.fast_fourier import (
    LARGEST_FACTOR,
    MOST_RADIX,
    ONE,
    cycles_of,
    products_of,
    tables_of,
    transformed,
)
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import (
    BOUND,
    INTEGERS_16,
    SHIFT,
    SYMMETRIC_32,
    ByHand,
    Constants,
    Learnt,
    Weights,
    sums_fit,
)
from myoedge.targets.chip import Engine

# Functions that the curve can contain, as it is interpolated; others follow as tables.
CURVES = frozenset(
    ("abs", "affine", "clamp", "log", "log10", "log1p", "log2", "neg", "pow", "sqrt", "square")
)
PART = optional(chosen("real", "imaginary"))
HALF = np.iinfo(np.int16)
OCTAVE = 16  # points per octave of power
CURVE = 53 * OCTAVE + 1  # powers of a transform are from 2**-1 to below 2**52; point 0: power 0
# Twice the largest magnitude behind a stage, whose values are rounded, times a root of unity
WIDEST = int(2 * (2**14.5 + MOST_RADIX * 0.5**0.5) * ONE)


def spectrogram_shape(attrs: Attrs, x: Shape, window: Shape, *_: Shape) -> Shape:
    """Return the result shape [frames, *E, n / 2 + 1] for samples [T, *E] and a window [n]."""
    inside = (x[0] - window[0]) // attrs["hop"] + 1  # frames that are completely inside the samples
    return (inside, *x[1:], window[0] // 2 + 1)


def spectrogram_real(attrs: Attrs, x: Array, window: Array, scale: Array, offset: Array) -> Array:
    """Compute chain(|X|) * scale + offset, X the Fourier transform of a frame times the window.

    x [T, *E], window [n], scale and offset [prod(E)] -> [frames, *E, n / 2 + 1]
    attrs["part"]   "real" or "imaginary": return that part of X instead, in a graph before lowering
    """
    cut = np.lib.stride_tricks.sliding_window_view(x, len(window), axis=0)[:: attrs["hop"]]
    spectra = np.fft.rfft(cut.astype(np.float64) * window)
    if "part" in attrs:
        return np.asarray(spectra.real if attrs["part"] == "real" else spectra.imag, np.float32)
    size = np.abs(spectra)
    shape = (*x.shape[1:], 1)
    y: Array = evaluate(attrs["chain"], size) * scale.reshape(shape) + offset.reshape(shape)
    return y.astype(np.float32)


def spectrogram_products(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> int:
    """Return the number of multiplications of the fast transforms of all frames and signals."""
    return int(math.prod(out[:-1])) * products_of(int(shapes[1][0]))


def spectrogram_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a spectrogram along time: each output frame reads a window of
    samples, one hop after the previous one."""
    if at.operand or at.axis:
        return None
    return StreamingRule(0, taps=at.shapes[1][0], stride=at.attrs["hop"])


# ---- integers


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrogramParams(QuantizedParams):
    """Integer constants of a spectrogram.

    acc_bound   largest |int32 intermediate|
    window      int16 [n] in Q15
    curve       int16 table of the function attrs["chain"] of the magnitude, by points of the power
    places, roots, sizes   tables of the transform (fast_fourier.tables_of)
    mult, offset, shift   int32 per signal
    """

    acc_bound: int
    window: Array
    places: Array
    roots: Array
    curve: Array
    mult: Array
    offset: Array
    shift: Array
    sizes: Array


def spectrogram_quantize(inputs: QuantizeInputs) -> SpectrogramParams:
    """Return the constants of a spectrogram: window in Q15, function table over the range that the
    outputs need, factor and offset per signal."""
    window, scale, offset = (inputs.constant(i).astype(np.float64) for i in (1, 2, 3))
    largest = float(np.abs(window).max()) or 1.0
    unit = inputs.params(0).scale * largest * 2.0**15 / LARGEST_FACTOR
    curve, middle, step = _curve_of_function(inputs, unit, scale, offset)
    y = inputs.target
    lanes = [
        choose_sum_requant((a * step / y.scale,), (-HALF.min,), (0,), y.zero_point + b / y.scale)
        for a, b in zip(scale.tolist(), (scale * middle + offset).tolist(), strict=True)
    ]
    bound = max(-HALF.min * abs(c.mult[0]) + abs(c.offset) for c in lanes)
    arrays = {
        "window": np.rint(window / largest * LARGEST_FACTOR).astype(np.int16),
        **tables_of(len(window)),
        "curve": curve,
        "mult": np.array([c.mult[0] for c in lanes], np.int32),
        "offset": np.array([c.offset for c in lanes], np.int32),
        "shift": np.array([c.shift for c in lanes], np.int32),
    }
    return SpectrogramParams(acc_bound=max(bound, WIDEST), **arrays)


def powers_of_points() -> Array:
    """Return the powers of the points of a function table; 0 for the first one."""
    at = np.arange(CURVE)
    power = np.ldexp(1.0 + at % OCTAVE / OCTAVE, at // OCTAVE - 1)
    return np.where(at == 0, 0.0, power)


def _curve_of_function(
    inputs: QuantizeInputs, unit: float, scale: Array, offset: Array
) -> tuple[Array, float, float]:
    """Return the function table as (int16 curve with 16 points per octave, real value of integer 0,
    real value of one step).

    The table extends an eighth beyond the range that any signal's output can represent, so that the
    last segment before a limit is complete.
    unit   magnitude of the integer 1
    """
    power = powers_of_points()
    values = evaluate(inputs.attrs["chain"], np.sqrt(power) * unit)
    values = np.nan_to_num(values, posinf=1e30, neginf=-1e30)
    live = np.abs(scale) > 0
    edges = (np.array([inputs.target.low, inputs.target.high]) - inputs.target.zero_point) * (
        inputs.target.scale
    )
    seen = (edges[:, None] - offset[live]) / scale[live] if live.any() else np.zeros((2, 1))
    more = float(np.ptp(seen)) / 8
    reach = (float(seen.min()) - more, float(seen.max()) + more)
    low, high = (float(edge) for edge in np.clip(reach, values.min(), values.max()))
    middle, step = (low + high) / 2, max((high - low) / (2 * HALF.max), 1e-30)
    rounded = np.rint(np.clip((values - middle) / step, HALF.min, HALF.max))
    return rounded.astype(np.int16), middle, step


def on_curve(curve: Array, real: Array, imaginary: Array, exponent: Array) -> Array:
    """Interpolate the table of a function of the magnitude at the power (real^2 + imaginary^2) *
    4**exponent; real^2 + imaginary^2 < 2**31, and 0 takes the point before the octave of 1."""
    power = real**2 + imaginary**2
    top = np.frexp((power | 1).astype(np.float64))[1].astype(np.int64) - 1
    mantissa = power << (31 - top)
    at, rest = (top + 2 * exponent) * OCTAVE + (mantissa >> 27), (mantissa >> 19) & 255
    points = curve.astype(np.int64)
    return np.asarray(points[at] + (((points[at + 1] - points[at]) * rest + 128) >> 8))


def spectrogram_integer(step: QuantizedNode, x: Array) -> Array:
    """Compute a spectrogram in integers: x int16 [T, *E] -> int8 or int16 [frames, *E, n / 2 +
    1]."""
    length = len(step.integers.window)
    cut = np.lib.stride_tricks.sliding_window_view(x, length, axis=0)[:: step.attrs["hop"]]
    value = on_curve(step.integers.curve, *transformed(step, cut))
    lanes = value.reshape(len(value), -1, value.shape[-1])
    mult, offset, shift = (
        getattr(step.integers, name)[:, None] for name in ("mult", "offset", "shift")
    )
    y = np.clip((lanes * mult + offset) >> shift, step.low, step.high)
    return np.asarray(y.reshape(step.out), step.element_type.dtype)


LEARNT = Learnt(
    {
        "window": (-LARGEST_FACTOR, LARGEST_FACTOR),
        "curve": INTEGERS_16,
        "mult": SYMMETRIC_32,
        "offset": SYMMETRIC_32,
        "shift": SHIFT,
        "acc_bound": BOUND,
    },
    lambda integers, site: sums_fit(integers.mult, integers.offset, -HALF.min),
)


# ---- in tiles


def spectrogram_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a spectrogram; tiles are ranges of frames, with all signals."""
    count, *signals, bins = step.out
    lanes, length = math.prod(signals), len(step.integers.window)
    y_bytes, names = step.element_type.size_bytes, ("window", "places", "roots", "curve", "sizes")
    arrays: dict[str, Array] = step.integers.named(names)
    last = [
        np.zeros(lanes, np.int32),
        *(getattr(step.integers, name) for name in ("mult", "offset", "shift")),
    ]
    arrays["channels"] = np.stack(last, axis=1)
    along: AffineExpr = (("t", step.attrs["hop"]), ("r", 1))
    operands = (
        Operand("x", 0, (step.shapes[0][0], lanes), (along, ()), itemsize=2),
        *(Operand.whole(name, array) for name, array in arrays.items()),
        Operand("y", OUT, (count, lanes * bins), ((("t", 1),), ()), itemsize=y_bytes),
    )
    return TiledKernel(
        function="me_spectrogram_s16",
        axes={"t": count, "r": length},
        split=("t",),
        operands=operands,
        op={
            "lanes": lanes,
            "length": length,
            "hop": step.attrs["hop"],
            "low": step.low,
            "high": step.high,
            "y_wide": y_bytes - 1,
            "stages": len(step.integers.sizes),
            **{name: f"@{name}" for name in arrays},
            "scratch": "@scratch",
        },
        tile=lambda regions: {"x": "@x", "y": "@y", "frames": regions["y"].extent[0]},
        scratch=lambda _: engine.cores * (2 * length + 4),
        work=lambda sizes: -(-sizes["t"] * lanes // engine.cores) * cycles_of(length),
    )


SPECTROGRAM = add_operator(
    name="spectrogram",
    attributes={"hop": whole(1, MOST_TIMES), "chain": CHAIN, "part": PART},
    doc="f(|STFT|), any function of magnitudes, as a log spectrogram; int16 samples",
    shape=spectrogram_shape,
    real=spectrogram_real,
    integer=ByHand(spectrogram_integer),
    constants=Constants(spectrogram_quantize, kinds=(SpectrogramParams,), learnt=LEARNT),
    kernels=on_cluster(spectrogram_in_tiles, Format((SIXTEEN,), EITHER)),
    weights=Weights((1, 2, 3)),
    macs=spectrogram_products,
    streaming_rule=spectrogram_streaming_rule,
)
