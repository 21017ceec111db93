# SPDX-License-Identifier: Apache-2.0
"""Import of inverse short-time Fourier transforms: a constant matrix per frame, then
overlap-add."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.complex_numbers import Complex, pair_of, paired, tensor
from myoedge.operators.conv.transposed import conv_transpose
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, concat, reshape, weights
from myoedge.operators.import_rows import Arguments
from myoedge.operators.spectral.transforms import Transform, matrix_of

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
    rows, kept = concat(d, parts, 1), _kept(a, out[-1], (count - 1) * hop + n)
    factors = _factors(window, hop, count)[kept]
    both = ([matrix.real, -matrix.imag], [matrix.imag, matrix.real])
    sums = (
        _overlapped(d, rows, np.hstack(m).T, hop, (kept, factors)) for m in both[: 1 + is_complex]
    )
    made = [reshape(d, y, out) for y in sums]
    return paired(made) if is_complex else made[0]


def _kept(a: Arguments, length: int, whole: int) -> slice:
    """Return the slice of the overlap-added samples that the result keeps."""
    first = int(a["n_fft"]) // 2 if a["center"] else 0
    if first + length > whole:
        raise Unsupported(f"{length} samples of frames that make {whole - first}")
    return slice(first, first + length)


def _factors(window: Array, hop: int, count: int) -> Array:
    """Return the factor of each overlap-added sample: 1 / sum of squared windows, or 0 if that sum
    is almost 0."""
    total = np.zeros((count - 1) * hop + len(window))
    for at in range(0, count * hop, hop):
        total[at : at + len(window)] += window**2
    return np.divide(1.0, total, out=np.zeros_like(total), where=total > LEAST_OVERLAP)


def _overlapped(d: GraphBuilder, x: str, taps: Array, hop: int, ends: tuple[slice, Array]) -> str:
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
