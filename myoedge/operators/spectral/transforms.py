# SPDX-License-Identifier: Apache-2.0
"""Discrete Fourier transforms along an axis, as products with constant matrices.

A transform, a constant per frequency and the inverse transform are merged into one real matrix.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    concat,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.library.complex_numbers import Complex, Filtered, paired, tensor
from myoedge.operators.spectral.fourier import Stages, forward, inverse, stages_of

MOST_WEIGHTS = 2**22  # weights of one matrix
MOST_AT_ONCE = 2**19  # weights up to which one matrix is faster than two stages
PARTS = ("real", "imaginary")


@dataclass(frozen=True, slots=True)
class Transform:
    """A discrete Fourier transform along one axis of n samples, as in torch.fft.

    inverse    whether it transforms frequencies to samples
    onesided   whether samples are real, with n / 2 + 1 frequencies
    scale      factor of all results
    """

    n: int
    inverse: bool
    onesided: bool
    scale: float

    @property
    def frequencies(self) -> int:
        return self.n // 2 + 1 if self.onesided else self.n

    @property
    def length(self) -> int:
        """Number of input elements along the axis."""
        return self.frequencies if self.inverse else self.n

    @property
    def results(self) -> int:
        """Number of output elements along the axis."""
        return self.n if self.inverse else self.frequencies


def scale_of(norm: str | None, n: int, *, inverse: bool) -> float:
    """Return the factor that torch's `norm` ("backward", "forward" or "ortho") gives a
    transform."""
    if norm == "ortho":
        return float(1 / np.sqrt(n))
    divided = "backward" if inverse else "forward"
    return 1 / n if (norm or "backward") == divided else 1.0


@functools.cache
def waves(rows: int, n: int) -> Array:
    """Return the matrix exp(-2 pi i row * column / n), complex [rows, n]; sines that are 0 are
    exactly 0."""
    quarters = np.outer(np.arange(rows), np.arange(n)) % n * 4
    cos, sin = (f(quarters * (np.pi / (2 * n))) for f in (np.cos, np.sin))
    cos[quarters % (2 * n) == n] = sin[quarters % (2 * n) == 0] = 0.0
    return np.asarray(cos - 1j * sin)


def check_size(t: Transform) -> None:
    """Check that the matrix of a transform is not too large. Errors: Unsupported."""
    if t.frequencies * t.n > MOST_WEIGHTS:
        most = f"a matrix of at most {MOST_WEIGHTS:,} weights"
        raise Unsupported(f"a transform of {t.n:,} samples: {t.frequencies * t.n:,}, {most}")


def matrix_of(t: Transform) -> Array:
    """Return the transform as a complex matrix [results, inputs]; one-sided inverses use only the
    real part of the product."""
    check_size(t)
    forward = waves(t.frequencies, t.n)
    if not t.inverse:
        return forward * t.scale
    return np.asarray(forward.conj().T * (_frequency_counts(t) * t.scale))


def _frequency_counts(t: Transform) -> Array:
    """Return how often each frequency counts in an inverse transform: 2 if its conjugate is
    omitted, otherwise 1."""
    counts = np.ones(t.frequencies)
    if t.onesided:
        counts[1 : (t.n + 1) // 2] = 2.0  # counts their conjugates
    return counts


def transformed(b: GraphBuilder, x: Complex, axis: int, t: Transform, shape: Shape) -> Complex:
    """Transform x along an axis, after cutting or zero-padding it to the transform's length.

    shape   shape of x
    """
    whole = shape[axis] == t.length
    parts = [part if part == "" else fitted(b, tensor(b, part, shape), axis, t) for part in x.parts]
    if stages := _two_stage_form(t):
        return in_stages(b, paired(parts), axis, t, stages)
    if whole and (known := _match_filtered_signal(b, x.filtered, axis, t)) is not None:
        matrix = (matrix_of(t) * known.factors) @ waves(t.frequencies, t.n)
        return product(b, Complex(known.x), axis, matrix.real if t.onesided else matrix)
    if t.inverse or parts[1] != "":
        return product(b, paired(parts), axis, matrix_of(t), real=t.inverse and t.onesided)
    return spectrum(b, str(parts[0]), axis, t)


def _two_stage_form(t: Transform) -> Stages | None:
    """Return the two-stage form of a transform; None if one matrix is faster."""
    large = t.frequencies * t.n > MOST_AT_ONCE
    return stages_of(t.n, t.frequencies, MOST_WEIGHTS) if large else None


def _match_filtered_signal(
    b: GraphBuilder, known: Filtered | None, axis: int, t: Transform
) -> Filtered | None:
    """Return the filtered signal whose spectrum is transformed back, if the inverse has the same
    length; otherwise None."""
    if not t.inverse or known is None or known.axis != axis or len(known.factors) != t.frequencies:
        return None
    return known if b.shape(known.x)[axis] == t.n else None


def in_stages(b: GraphBuilder, x: Complex, axis: int, t: Transform, stages: Stages) -> Complex:
    """Transform x along an axis of the transform's length, as two matrix products.

    stages   the factors of the length
    """
    shape, parts = x.shape(b), x.parts if x.imaginary != "" else x.parts[:1]
    last, back = _axis_to_end_permutations(len(shape), axis)
    rows = [transpose(b, tensor(b, part, shape), last) for part in parts]
    lead = b.shape(rows[0])[:-1]
    flat = [reshape(b, row, (math.prod(lead), t.length)) for row in rows]
    if t.inverse:
        factors = np.pad(_frequency_counts(t) * t.scale, (0, stages.count - t.length))
        filled = [_pad_with_zeros(b, row, 1, stages.count) for row in flat]
        made = inverse(b, filled, stages, factors, real=t.onesided)
    else:
        made = [slice_axis(b, y, 1, 0, t.frequencies) for y in forward(b, flat, stages, t.scale)]
    found = [transpose(b, reshape(b, y, (*lead, b.shape(y)[-1])), back) for y in made]
    return paired((*found, "")[:2])


def _axis_to_end_permutations(rank: int, axis: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the permutation that moves an axis to the end, and its inverse."""
    last = (*range(axis), *range(axis + 1, rank), axis)
    return last, (*range(axis), rank - 1, *range(axis, rank - 1))


def fitted(b: GraphBuilder, x: str, axis: int, t: Transform) -> str:
    length = b.shape(x)[axis]
    return _pad_with_zeros(b, slice_axis(b, x, axis, 0, min(length, t.length)), axis, t.length)


def _pad_with_zeros(b: GraphBuilder, x: str, axis: int, length: int) -> str:
    """Pad an axis with zeros at its end to `length` elements."""
    more = length - b.shape(x)[axis]
    pads = tuple((0, more if i == axis else 0) for i in range(len(b.shape(x))))
    return b.add("pad", x, pads=pads, value=0.0) if more else x


def product(
    b: GraphBuilder, x: Complex, axis: int, matrix: Array, *, real: bool = False
) -> Complex:
    """Return matrix @ x along an axis for complex x.

    matrix   complex [results, inputs]
    real     whether only the real part of the product is needed
    Both parts of x are joined into one operand, so that their products are summed before rounding.
    """
    columns = [matrix.real, matrix.imag]
    if x.imaginary != "":
        columns = [np.hstack([matrix.real, -matrix.imag]), np.hstack([matrix.imag, matrix.real])]
    joined = concat(b, x.given, axis)
    largest = np.abs(matrix).max() * 1e-12
    needed = [np.abs(part).max() > largest and not (real and i) for i, part in enumerate(columns)]
    made = (along(b, joined, axis, m) if n else "" for m, n in zip(columns, needed, strict=True))
    return paired(made)


def along(b: GraphBuilder, x: str, axis: int, matrix: Array) -> str:
    """Multiply a tensor by a real matrix [results, inputs] along an axis; return the result's
    name."""
    rank = len(b.shape(x))
    if rank == 1:
        return reshape(b, along(b, reshape(b, x, (1, *b.shape(x))), 1, matrix), (len(matrix),))
    last, back = _axis_to_end_permutations(rank, axis)
    return transpose(b, b.add("linear", transpose(b, x, last), b.constant(matrix)), back)


def spectrum(b: GraphBuilder, x: str, axis: int, t: Transform) -> Complex:
    """Return the transform of a real tensor along an axis, as real and imaginary part."""
    filtered = Filtered(x, axis, np.full(t.frequencies, t.scale, complex))
    if not t.onesided:
        return replace(product(b, Complex(x), axis, matrix_of(t)), filtered=filtered)
    rank = len(b.shape(x))
    moved = transpose(b, x, (axis, *range(axis), *range(axis + 1, rank)))
    made = frames(b, moved, np.full(t.n, t.scale), t.n)  # [1, *others, frequencies]
    _, back = _axis_to_end_permutations(rank, axis)
    real, imaginary = (transpose(b, reshape(b, part, b.shape(part)[1:]), back) for part in made)
    return Complex(real, imaginary, filtered)


def frames(b: GraphBuilder, x: str, window: Array, hop: int) -> list[str]:
    """Return the short-time Fourier transform of x [T, *E], as real and imaginary part [frames, *E,
    n / 2 + 1].

    window   [n]
    hop      samples from one frame to the next
    """
    check_size(Transform(len(window), inverse=False, onesided=True, scale=1.0))
    lanes = int(np.prod(b.shape(x)[1:]))
    constants = [b.constant(c) for c in (window, np.ones(lanes), np.zeros(lanes))]
    return [b.add("spectrogram", x, *constants, hop=hop, chain=(), part=part) for part in PARTS]


def as_products(b: GraphBuilder, x: str, window: Array, hop: int, part: str) -> str:
    """Add the real or the imaginary part of the short-time Fourier transform of x, as a convolution
    with cosines or sines, or as a matrix product if there is one frame.

    window   [n]
    hop      samples from one frame to the next
    part     "real" or "imaginary"
    """
    n, (samples, *lanes) = len(window), b.shape(x)
    matrix = matrix_of(Transform(n, inverse=False, onesided=True, scale=1.0)) * window
    weight = matrix.real if part == "real" else matrix.imag
    rank = 1 + len(lanes)
    rows = transpose(b, x, (*range(1, rank), 0))
    count = int(np.prod(lanes))
    if n == samples:
        y = b.add("linear", reshape(b, rows, (count, n)), b.constant(weight))
        return reshape(b, y, (1, *lanes, len(weight)))
    attrs: dict[str, Any] = {"stride": (hop,), "dilation": (1,), "pads": ((0, 0),), "groups": 1}
    images = reshape(b, rows, (count, samples, 1))
    y = b.add("conv", images, b.constant(weight[:, :, None]), **attrs)
    apart = reshape(b, y, (*lanes, *b.shape(y)[1:]))
    return transpose(b, apart, (rank - 1, *range(rank - 1), rank))


def axes_of(dims: Sequence[int] | None, sizes: Sequence[int] | None, rank: int) -> list[int]:
    """Return the axes of a multi-dimensional transform.

    dims, sizes   arguments of the call; without dims, the last axes, as many as sizes
    """
    if dims is None:
        dims = range(rank) if sizes is None else range(rank - len(sizes), rank)
    return [axis % rank for axis in dims]
