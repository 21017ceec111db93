# SPDX-License-Identifier: Apache-2.0
"""Import rows of Fourier transforms, short-time ones and along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.complex_numbers.import_rows import stacked
from myoedge.operators.complex_numbers.pairs import Complex, pair_of, paired
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
from myoedge.operators.layout.import_rows import padded
from myoedge.operators.spectral.transforms import (
    Transform,
    axes_of,
    frames,
    scale_of,
    transformed,
)

Made = Complex | str


def stft(d: GraphBuilder, a: Arguments, out: Shape) -> Made:
    """[B, T] or [T] -> complex [B, frequencies, frames], or [.., 2] of real numbers"""
    x, n = first(a), int(a["n_fft"])
    rows = x if len(d.shape(x)) == 2 else reshape(d, x, (1, *d.shape(x)))
    if a.get("center"):
        rows = padded(d, rows, [(0, 0), (n // 2, n // 2)], str(a["pad_mode"]), 0.0)
    window = _window(d, a, n)
    if a["normalized"]:
        window = window / np.sqrt(n)
    size = d.shape(rows)[-1]
    if n > size:
        raise Unsupported(f"n_fft = {n} of {size} samples")
    parts = frames(d, transpose(d, rows, (1, 0)), window, int(a["hop_length"] or n // 4))
    complete = a["onesided"] is False
    turned = (d.add("transpose", part, perm=(1, 2, 0), back=True) for part in parts)
    sides = [_both_sides(d, part, n, i) if complete else part for i, part in enumerate(turned)]
    shape = out if a["return_complex"] else out[:-1]
    made = paired(reshape(d, part, shape) for part in sides)
    return made if a["return_complex"] else stacked(d, made, out)


def _window(d: GraphBuilder, a: Arguments, n: int) -> Array:
    """The window's values; a shorter one stands in the middle."""
    size, given = int(a["win_length"] or n), a.get("window")
    window = np.ones(size) if given is None else weights(d, given, "a window").astype(np.float64)
    before = (n - size) // 2
    return np.pad(window, (before, n - size - before))


def _both_sides(d: GraphBuilder, part: str, n: int, number: int) -> str:
    """[B, n / 2 + 1, frames] -> [B, n, frames]: the other frequencies are conjugate."""
    rest = slice_axis(d, part, 1, (n + 1) // 2 - 1, 0, -1)
    if number:
        rest = d.add("table", rest, chain=(("affine", -1.0, 0.0),))
    return concat(d, [part, rest], 1)


def fourier(*, inverse: bool, onesided: bool, several: bool = False) -> Row:
    """torch.fft's transforms along one axis, or along several one after the other."""

    def row(d: GraphBuilder, a: Arguments, out: Shape) -> Made:
        x = pair_of(d, a["self"])
        shape = d.shape(next(str(part) for part in x.parts if part != ""))
        sizes: Any = a.get("s") if several else (a.get("n"),)
        axes = axes_of(a["dim"], sizes, len(shape)) if several else [a["dim"] % len(shape)]
        order = range(len(axes)) if inverse else range(len(axes) - 1, -1, -1)
        for i in order:
            axis, last = axes[i], i == len(axes) - 1
            whole = 2 * (shape[axis] - 1) if inverse and onesided and last else shape[axis]
            n = int(sizes[i]) if sizes and sizes[i] not in (None, -1) else whole
            scale = scale_of(a.get("norm"), n, inverse=inverse)
            t = Transform(n, inverse, onesided=onesided and last, scale=scale)
            x = transformed(d, x, axis, t, shape)
            results = t.n if inverse else t.frequencies
            shape = (*shape[:axis], results, *shape[axis + 1 :])
        return str(x.real) if inverse and onesided else x

    return row


def shifted(sign: int) -> Row:
    """Half of an axis to its other end."""

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
    *(ImportRow("linear", fourier(**kind), f"fft_{name}") for name, kind in FFT),
    *(
        ImportRow("linear", fourier(**kind, several=True), f"fft_{name}2 fft_{name}n")
        for name, kind in FFT
    ),
    ImportRow("concat", shifted(1), "fft_fftshift"),
    ImportRow("concat", shifted(-1), "fft_ifftshift"),
)
