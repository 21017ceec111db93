# SPDX-License-Identifier: Apache-2.0
"""Import of Fourier transforms, short-time and along axes; an inverse short-time one is a constant
matrix per frame, then overlap-add."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.conv.transposed import conv_transpose
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    concat,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.complex_numbers import (
    Complex,
    pair_of,
    paired,
    stacked,
    tensor,
    unstacked,
)
from myoedge.operators.library.import_moves import padded
from myoedge.operators.spectral.transforms import (
    Transform,
    axes_of,
    frames,
    matrix_of,
    scale_of,
    transformed,
)

LEAST_OVERLAP = 1e-11  # of the sum of squared windows, as in torch


def window_of(d: GraphBuilder, a: Arguments, n: int) -> Array:
    """Return the call's window as [n]; a shorter window is centred, with zeros around it."""
    size, given = int(a["win_length"] or n), a.get("window")
    window = np.ones(size) if given is None else weights(d, given, "a window").astype(np.float64)
    before = (n - size) // 2
    return np.pad(window, (before, n - size - before))


def istft(d: GraphBuilder, a: Arguments, out: Shape) -> Complex | str:
    """Import istft: complex [B, frequencies, frames] or [frequencies, frames] -> [B, T] or [T]."""
    x, n = pair_of(d, a["self"]), int(a["n_fft"])
    given, hop, is_complex = x.shape(d), int(a["hop_length"] or n // 4), bool(a["return_complex"])
    onesided = a["onesided"] is not False and not is_complex
    t = Transform(n, True, onesided, 1 / np.sqrt(n) if a["normalized"] else 1 / n)
    window = window_of(d, a, n)
    matrix = matrix_of(t) * window[:, None]
    shape = (*(1,) * (3 - len(given)), *given)
    count = shape[-1]
    parts = [reshape(d, tensor(d, part, given), shape) for part in x.parts]
    rows, kept = concat(d, parts, 1), _kept_samples(a, out[-1], (count - 1) * hop + n)
    # of each overlap-added sample: 1 / sum of squared windows, or 0 if that sum is almost 0
    total = np.zeros((count - 1) * hop + len(window))
    for at in range(0, count * hop, hop):
        total[at : at + len(window)] += window**2
    factors = np.divide(1.0, total, out=np.zeros_like(total), where=total > LEAST_OVERLAP)[kept]
    both = ([matrix.real, -matrix.imag], [matrix.imag, matrix.real])
    sums = (
        _overlap_add(d, rows, np.hstack(m).T, hop, (kept, factors)) for m in both[: 1 + is_complex]
    )
    made = [reshape(d, y, out) for y in sums]
    return paired(made) if is_complex else made[0]


def _kept_samples(a: Arguments, length: int, whole: int) -> slice:
    """Return the slice of the overlap-added samples that the result keeps."""
    first = int(a["n_fft"]) // 2 if a["center"] else 0
    if first + length > whole:
        raise Unsupported(f"{length} samples of frames that make {whole - first}")
    return slice(first, first + length)


def _overlap_add(d: GraphBuilder, x: str, taps: Array, hop: int, ends: tuple[slice, Array]) -> str:
    """Overlap-add frames [B, rows, frames] to samples [B, T].

    taps   [rows, n] matrix from a frame's frequencies to its n samples
    ends   (slice of the samples that are kept, factor of each of them)
    """
    kept, factors = ends
    if not factors.all():
        raise Unsupported("windows that leave samples out: their squares are zero there")
    even, length = float(factors.min()), len(factors)
    weight = d.constant((taps * even)[:, None])
    cut = {"stride": [hop], "padding": [kept.start], "dilation": [1], "groups": 1}
    shape = (d.shape(x)[0], 1, length)
    y = conv_transpose(d, {"input": x, "weight": weight, "bias": None, **cut}, shape)
    y = reshape(d, y, (shape[0], length))
    if np.allclose(factors, even, rtol=1e-6, atol=0.0):
        return y
    return d.add("mul", y, d.constant((factors / even)[None]))


Made = Complex | str


def stft(d: GraphBuilder, a: Arguments, out: Shape) -> Made:
    """Import stft: [B, T] or [T] -> complex [B, frequencies, frames], or real [.., 2]."""
    x, n = first(a), int(a["n_fft"])
    rows = x if len(d.shape(x)) == 2 else reshape(d, x, (1, *d.shape(x)))
    if a.get("center"):
        rows = padded(d, rows, [(0, 0), (n // 2, n // 2)], str(a["pad_mode"]), 0.0)
    window = window_of(d, a, n) / (np.sqrt(n) if a["normalized"] else 1.0)
    size = d.shape(rows)[-1]
    if n > size:
        raise Unsupported(f"n_fft = {n} of {size} samples")
    parts = frames(d, transpose(d, rows, (1, 0)), window, int(a["hop_length"] or n // 4))
    sides = [d.add("transpose", part, perm=(1, 2, 0), back=True) for part in parts]
    if a["onesided"] is False:
        sides = [_extend_spectrum(d, part, n, i, 1) for i, part in enumerate(sides)]
    if a["return_complex"]:
        return paired(reshape(d, part, out) for part in sides)
    return stacked(d, paired(reshape(d, part, out[:-1]) for part in sides), out)


def _extend_spectrum(d: GraphBuilder, part: str, n: int, number: int, axis: int) -> str:
    """Extend a one-sided spectrum, n / 2 + 1 frequencies along an axis, to n frequencies by their
    conjugates.

    number   0: `part` is the real part; 1: the imaginary part, whose conjugates have the opposite
             sign
    """
    rest = slice_axis(d, part, axis, (n + 1) // 2 - 1, 0, -1)
    if number:
        rest = d.add("table", rest, chain=(("affine", -1.0, 0.0),))
    return concat(d, [part, rest], axis)


def _transform_of_call(
    length: int, size: int | None, norm: str | None, *, inverse: bool, onesided: bool
) -> Transform:
    """Return the transform along an axis for the arguments of a call.

    length   elements along the axis
    size     number of samples to which it is cut or padded; None or -1: unchanged
    """
    whole = 2 * (length - 1) if inverse and onesided else length
    n = whole if size in (None, -1) else int(size)
    return Transform(n, inverse, onesided, scale_of(norm, n, inverse=inverse))


def fourier(*, inverse: bool, onesided: bool, several: bool = False) -> Row:
    """Return a function that imports a transform of torch.fft along one axis, or along several in
    turn.

    inverse, onesided   which transform
    several             whether the call has a list of axes
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> Made:
        x = pair_of(d, a["self"])
        shape = x.shape(d)
        sizes: Any = a.get("s") if several else (a.get("n"),)
        axes = axes_of(a["dim"], sizes, len(shape)) if several else [a["dim"] % len(shape)]
        turns = [*zip(axes, sizes or [None] * len(axes), strict=True)]
        for axis, size in turns if inverse else reversed(turns):
            halves = onesided and axis == axes[-1]
            t = _transform_of_call(
                shape[axis], size, a.get("norm"), inverse=inverse, onesided=halves
            )
            x = transformed(d, x, axis, t, shape)
            shape = (*shape[:axis], t.results, *shape[axis + 1 :])
        return str(x.real) if inverse and onesided else x

    return row


def dft(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's DFT of [.., 1] (real) or [.., 2] (complex) -> [.., 2], or [.., 1] for a
    one-sided inverse."""
    shape, inverse = d.shape(a["self"]), bool(a["inverse"])
    x = unstacked(d, a["self"])
    axis = (a["dim"][0] if a["dim"] else _default_axis(shape, out)) % len(shape)
    n = out[axis] if inverse or not a["onesided"] else int((a["n"] or shape[axis : axis + 1])[0])
    t = Transform(n, inverse, bool(a["onesided"]), scale_of(None, n, inverse=inverse))
    y = transformed(d, x, axis, t, shape[:-1])
    if out[-1] == 1:
        return reshape(d, tensor(d, y.real, out[:-1]), out)
    return stacked(d, y, out)


def _default_axis(shape: Shape, out: Shape) -> int:
    """Return the default axis of a DFT: 1 up to opset 19, then -2."""
    changed = [axis for axis in range(len(out) - 1) if shape[axis] != out[axis]]
    if len(shape) != 3 and not changed:
        raise Unsupported("a DFT without its axis")
    return changed[0] if changed else 1


def stft_onnx(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's STFT: [B, T] or [B, T, 1] -> [B, frames, frequencies, 2]."""
    shape = d.shape(a["self"])
    if len(shape) == 3 and shape[2] != 1:
        raise Unsupported("an STFT of complex samples")
    window = _onnx_window(d, a, out)
    rows = transpose(d, reshape(d, a["self"], shape[:2]), (1, 0))
    parts = (transpose(d, part, (1, 0, 2)) for part in frames(d, rows, window, int(a["hop"][0])))
    if not a["onesided"]:
        parts = (_extend_spectrum(d, part, len(window), i, 2) for i, part in enumerate(parts))
    return stacked(d, paired(parts), out)


def _onnx_window(d: GraphBuilder, a: Arguments, out: Shape) -> Array:
    """Return the window [samples of a frame]; ones if the call has none."""
    given, n = a.get("window"), int(a["frame_length"][0]) if a["frame_length"] else 0
    if given is None:
        return np.ones(n or 2 * (out[2] - 1))
    window = weights(d, given, "a window").astype(np.float64)
    if n and len(window) != n:
        raise Unsupported(f"frames of {n} samples under a window of {len(window)}")
    return window


def shifted(sign: int) -> Row:
    """Return a function that imports fftshift or ifftshift, which move half of an axis to the other
    end.

    sign   1 for fftshift, -1 for ifftshift
    """

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        x = first(a)
        dims = range(len(out)) if a["dim"] is None else a["dim"]
        for axis in (int(dim) % len(out) for dim in dims):
            n = out[axis]
            cut = -sign * (n // 2) % n
            if cut:
                ends = (slice_axis(d, x, axis, cut, n), slice_axis(d, x, axis, 0, cut))
                x = concat(d, ends, axis)
        return x

    return row


FFT: tuple[tuple[str, dict[str, bool]], ...] = (
    ("fft", {"inverse": False, "onesided": False}),
    ("ifft", {"inverse": True, "onesided": False}),
    ("rfft", {"inverse": False, "onesided": True}),
    ("irfft", {"inverse": True, "onesided": True}),
)
ROWS = (
    ImportRow("spectrogram", stft, "stft stft.center"),
    ImportRow("conv", istft, "istft"),
    *(ImportRow("linear", fourier(**kind), f"fft_{name}") for name, kind in FFT),
    *(
        ImportRow("linear", fourier(**kind, several=True), f"fft_{name}2 fft_{name}n")
        for name, kind in FFT
    ),
    ImportRow("linear", dft, onnx="DFT(self, n: ints, dim: axis, *, inverse=0, onesided=0)"),
    ImportRow(
        "spectrogram",
        stft_onnx,
        onnx="STFT(self, hop: ints, window: weights, frame_length: ints, *, onesided=1)",
    ),
    ImportRow("concat", shifted(1), "fft_fftshift"),
    ImportRow("concat", shifted(-1), "fft_ifftshift"),
)
