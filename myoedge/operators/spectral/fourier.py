# SPDX-License-Identifier: Apache-2.0
"""Fourier transforms: fast ones of windowed int16 samples with one exponent per frame, and ones of
length n = first * second as products with small matrices, in two stages.

docs/developers/integer-semantics.md has the formulas. Lengths of fast transforms are even; half
of the length is factorised, with one stage per factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis, transpose

Complex = tuple[Array, Array]  # real and imaginary parts

MOST_SAMPLES, MOST_RADIX = 1024, 31
ROOT_BITS = 15  # roots of unity and windows are in Q15
ONE = 2**15 - 1  # 1.0 of a root
LARGEST_FACTOR = 2**15 - 64  # of a window: rounding to the shift of a stage stays in int16
MAGNITUDE_BITS = 15  # 2 * radix * largest part of a stage's operands, after their shift


def radixes_of(length: int) -> tuple[int, ...]:
    """Return the radixes of a real transform's stages: the factors of half its length, the fours
    first."""
    rest, radix, found = length // 2, 4, list[int]()
    while rest > 1:
        if rest % radix:
            radix = {4: 2, 2: 3}.get(radix, radix + 2)
        else:
            found.append(radix)
            rest //= radix
    return tuple(found)


def has_transform(length: int) -> bool:
    """Return whether a fast transform of this length is implemented."""
    fits = length % 2 == 0 and 4 <= length <= MOST_SAMPLES
    return fits and max(radixes_of(length)) <= MOST_RADIX


def products_of(length: int) -> int:
    """Return the number of multiplications of a transform: window, roots, stages, and the
    conversion to the spectrum of real samples."""
    half, count = length // 2, 0
    for radix in radixes_of(length):
        own = (radix - 1) ** 2 if radix % 2 else 0
        count += half // radix * (4 * (radix - 1) + own)
    return length + count + 2 * half


# Cycles of a core, measured: a transform and a stage, a sample, a frequency, a butterfly by radix
FRAME_CYCLES, STAGE_CYCLES, SAMPLE_CYCLES, FREQUENCY_CYCLES = 300, 100, 9, 46
BUTTERFLY_CYCLES = {2: 30, 3: 78, 4: 55, 5: 137}


def cycles_of(length: int) -> int:
    """Return the estimated cycles of a core for one transform, its window and its function."""
    found = FRAME_CYCLES + SAMPLE_CYCLES * length + FREQUENCY_CYCLES * (length // 2 + 1)
    for radix in radixes_of(length):
        each = BUTTERFLY_CYCLES.get(radix, radix * (7 * radix + 41))  # 7 and 31, measured
        found += STAGE_CYCLES + length // 2 // radix * each
    return found


def tables_of(length: int) -> dict[str, Array]:
    """Return the constant tables of a transform of n = length samples.

    places    int16 [n / 2]: byte offset of each pair of samples in digit-reversed order
    roots     int32 [n, 2]: w = exp(-2 pi i k / n) in Q15 as two words of two halves, the lower
              half first: (real, -imaginary) and (imaginary, real)
    sizes     int16 [stages, 4]: radix, elements of each transform before the stage, distance
              between the radix's roots, groups of transforms
    """
    radixes = radixes_of(length)
    parts = [math.prod(radixes[:i]) for i in range(len(radixes))]
    sizes = [
        (radix, part, length // radix, length // (2 * radix * part))
        for radix, part in zip(radixes, parts, strict=True)
    ]
    return {
        "places": 4 * np.argsort(_input_order(radixes)).astype(np.int16),
        "roots": _packed(*_roots(length)),
        "sizes": np.array(sizes, np.int16),
    }


def _roots(length: int) -> Complex:
    """Return exp(-2 pi i k / length) in Q15."""
    roots = np.exp(-2j * np.pi * np.arange(length) / length)
    re, im = (np.rint(part * ONE).astype(np.int64) for part in (roots.real, roots.imag))
    return re, im


def _packed(re: Array, im: Array) -> Array:
    """Return words whose dot products with (real, imaginary) are the parts of a product."""
    words = np.stack([re & 0xFFFF | -im << 16, im & 0xFFFF | re << 16], 1)
    return np.asarray(words, np.int32)


def _input_order(radixes: Sequence[int]) -> Array:
    if not radixes:
        return np.zeros(1, np.int16)
    *before, radix = radixes
    inner = _input_order(before)
    return np.concatenate([j + radix * inner for j in range(radix)]).astype(np.int16)


def rounded(a: Array, shift: Array | int) -> Array:
    """Return a / 2**shift, rounded to the nearest integer, halves up."""
    return np.asarray((a + (np.int64(1) << shift >> 1)) >> shift)


def _stage_shift(z: Complex, radix: int) -> Array:
    """Return the right shift of each frame's values [..., n] before a stage: magnitudes of sums of
    `radix` values stay below 2**14.5."""
    most = np.maximum(np.abs(z[0]).max(-1), np.abs(z[1]).max(-1))
    top = np.frexp((2 * radix * most).astype(np.float64))[1]
    return np.asarray(np.maximum(top - MAGNITUDE_BITS, 0), np.int64)


def _multiply_by_roots(z: Complex, radix: int, shift: Array, w: Complex) -> list[Complex]:
    """Multiply the `radix` parts of each group by their roots of unity, and shift them right;
    element 0 of each part is only shifted.

    z       [..., groups, radix, part]
    shift   [..., 1, 1]
    w       n roots, a whole turn
    """
    part, found = z[0].shape[-1], list[Complex]()
    at = np.arange(part)
    for j in range(radix):
        a, b = z[0][..., j, :], z[1][..., j, :]
        cos, sin = (each[at * j * (len(each) // (radix * part))] for each in w)
        plain = (at == 0) | (j == 0)
        products = a * cos - b * sin, a * sin + b * cos
        re, im = (
            np.where(plain, rounded(x, shift), rounded(y, shift + ROOT_BITS))
            for x, y in zip((a, b), products, strict=True)
        )
        found.append((re, im))
    return found


def _combine_transforms(z: Complex, radix: int, part: int, shift: Array, w: Complex) -> Complex:
    """Combine groups of `radix` transforms of `part` values into one transform each."""
    shape = (*z[0].shape[:-1], -1, radix, part)
    groups = z[0].reshape(shape), z[1].reshape(shape)
    parts = _multiply_by_roots(groups, radix, shift[..., None, None], w)
    made = _combine_two_or_four(parts) if radix in (2, 4) else _combine_odd(parts, w)
    re, im = (np.stack(each, -2).reshape(z[0].shape) for each in zip(*made, strict=True))
    return re, im


def _combine_two_or_four(parts: list[Complex]) -> list[Complex]:
    if len(parts) == 2:
        (a, b), (c, d) = parts
        return [(a + c, b + d), (a - c, b - d)]
    (a, e), (b, f), (c, g), (d, h) = parts
    return [
        (a + c + b + d, e + g + f + h),
        (a - c + f - h, e - g + d - b),
        (a + c - b - d, e + g - f - h),
        (a - c + h - f, e - g + b - d),
    ]


def _combine_odd(parts: list[Complex], w: Complex) -> list[Complex]:
    """Combine an odd number of parts: cosines times sums, sines times differences, of opposites."""
    radix, (first, *others) = len(parts), parts
    opposite = [*zip(others[: radix // 2], others[::-1], strict=False)]
    sums = [(a[0] + b[0], a[1] + b[1]) for a, b in opposite]
    offs = [(a[0] - b[0], a[1] - b[1]) for a, b in opposite]
    made = [first] * radix
    made[0] = first[0] + sum(s[0] for s in sums), first[1] + sum(s[1] for s in sums)
    for out in range(1, radix // 2 + 1):
        turns = [out * j % radix for j in range(1, radix // 2 + 1)]
        cos, sin = (each[np.array(turns) * (len(each) // radix)] for each in w)
        re, im = (first[p] + _weighted(cos, [s[p] for s in sums]) for p in range(2))
        odd_re, odd_im = (_weighted(sin, [off[p] for off in offs]) for p in range(2))
        made[out] = re - odd_im, im + odd_re
        made[radix - out] = re + odd_im, im - odd_re
    return made


def _weighted(factors: Array, values: Sequence[Array]) -> Array:
    """Return the sum of values times factors in Q15, rounded once."""
    return rounded(np.sum([f * x for f, x in zip(factors, values, strict=True)], axis=0), ROOT_BITS)


def transformed(step: QuantizedNode, x: Array) -> tuple[Array, Array, Array]:
    """Transform x int16 [..., n] times the window in integers; return real and imaginary part [...,
    n / 2 + 1] and the exponents [..., 1]: the transform is (real + i imaginary) * 2**exponent, in
    units of 2**-15 of the window's factors."""
    window, places = step.integers.window.astype(np.int64), step.integers.places
    w, half = _roots(len(window)), len(window) // 2
    samples = rounded(x.astype(np.int64) * window, ROOT_BITS)
    pairs = samples.reshape(*x.shape[:-1], half, 2)[..., np.argsort(places), :]
    z = pairs[..., 0], pairs[..., 1]
    exponent = np.zeros(x.shape[:-1], np.int64)
    for radix, part, _, _ in step.integers.sizes.tolist():
        shift = _stage_shift(z, radix)
        z, exponent = _combine_transforms(z, radix, part, shift, w), exponent + shift
    real, imaginary = _real_spectrum(z, w)
    return real, imaginary, exponent[..., None]


def _real_spectrum(z: Complex, w: Complex) -> Complex:
    """Compute the spectrum of n real samples from the transform of n / 2 complex pairs."""
    half = z[0].shape[-1]
    at = np.arange(half // 2 + 1)
    (re, im), (back_re, back_im) = ([p[..., i % half] for p in z] for i in (at, half - at))
    even, odd = (re + back_re, im - back_im), (im + back_im, back_re - re)
    cos, sin = (each[at] for each in w)
    t = [(odd[0] * cos - odd[1] * sin) >> 1, (odd[0] * sin + odd[1] * cos) >> 1]
    first = [rounded((e << 14) + o, ROOT_BITS) for e, o in zip(even, t, strict=True)]
    last = [rounded((e << 14) - o, ROOT_BITS) for e, o in zip(even, t, strict=True)]
    real, imaginary = (
        np.concatenate([f, b[..., : half - half // 2][..., ::-1]], -1)
        for f, b in zip(first, last, strict=True)
    )
    return real, imaginary


# Cycles on eight cores, measured: products of a matrix, bytes of weights that are read once, groups
PRODUCTS, BYTES, OF_GROUP = 18, 6, 1000


@dataclass(frozen=True, slots=True)
class Stages:
    """A discrete Fourier transform of length first * second as two matrix products.

    rows   number of rows that are computed of the frequencies, arranged as a matrix [second, first]
    """

    first: int
    second: int
    rows: int

    @property
    def weights(self) -> int:
        """Number of weights in the larger of the two stages."""
        return max(4 * self.first**2, 4 * self.first * self.rows * self.second)

    @property
    def count(self) -> int:
        """Number of frequencies in the computed rows."""
        return self.rows * self.first

    @property
    def cycles(self) -> float:
        """Estimated cycles for one real tensor."""
        first, second = 2 * self.first**2 * self.second, 4 * self.count * self.second
        return first / PRODUCTS + second / BYTES + self.first * OF_GROUP

    def roots(self) -> Array:
        """Return the second stage's factors, complex [first, rows, second]: exp(-2 pi i (k1 + first
        * k2) b / n)."""
        n = self.first * self.second
        k = np.arange(self.first)[:, None] + self.first * np.arange(self.rows)
        turns = (k[..., None] * np.arange(self.second)) % n
        return np.asarray(np.exp(-2j * np.pi / n * turns))


def stages_of(n: int, frequencies: int, most_weights: int) -> Stages | None:
    """Return the two-stage transform with the fewest estimated cycles; None if every choice has a
    stage with more than `most_weights` weights.

    n             length of the transform
    frequencies   number of frequencies needed
    """
    pairs = ((n // second, second) for second in range(2, n // 2 + 1) if n % second == 0)
    found = (Stages(first, second, -(-frequencies // first)) for first, second in pairs)
    fit = [stages for stages in found if stages.weights <= most_weights]
    return min(fit, key=lambda stages: stages.cycles, default=None)


def forward(b: GraphBuilder, parts: Sequence[str], s: Stages, factor: float) -> list[str]:
    """Transform samples [L, n], real or as real and imaginary parts; return both parts [L, rows *
    first].

    factor   factor of all results
    """
    lanes, count = b.shape(parts[0])[0], len(parts)
    x = _stack_parts(b, parts, (s.first, s.second))  # [L, parts, a, b]
    x = reshape(b, transpose(b, x, (0, 3, 1, 2)), (lanes, s.second, count * s.first))
    turns = np.arange(s.first)
    matrix = np.exp(-2j * np.pi / s.first * (np.outer(turns, turns) % s.first))
    along = _real_weights(matrix[:, None, :], count)  # [k1, parts', 1, parts, a]
    y = b.add("linear", x, b.constant(along.reshape(2 * s.first, -1)))
    y = transpose(b, reshape(b, y, (lanes, s.second, s.first, 2)), (0, 2, 3, 1))
    y = _multiply_groups(b, y, _real_weights(s.roots() * factor, 2))
    y = transpose(b, reshape(b, y, (lanes, s.first, 2, s.rows)), (2, 0, 3, 1))
    return _split_parts(b, y)


def inverse(
    b: GraphBuilder, parts: Sequence[str], s: Stages, factors: Array, *, real: bool
) -> list[str]:
    """Transform both parts of a spectrum [L, rows * first] back; return both parts [L, n], or only
    the real one.

    factors   factor of each frequency [rows * first]
    real      whether only the real part is needed
    """
    lanes, n = b.shape(parts[0])[0], s.first * s.second
    x = transpose(b, _stack_parts(b, parts, (s.rows, s.first)), (0, 3, 1, 2))  # [L, k1, parts, k2]
    roots = s.roots().conj() * factors.reshape(s.rows, s.first).T[..., None]
    y = _multiply_groups(
        b, x, _real_weights(roots.swapaxes(1, 2), len(parts))
    )  # [L, 1, (k1, parts', b)]
    y = transpose(b, reshape(b, y, (lanes, s.first, 2, s.second)), (0, 3, 1, 2))
    turns = np.arange(s.first)
    matrix = np.exp(2j * np.pi / s.first * (np.outer(turns, turns) % s.first))
    along = _real_weights(matrix[None], 2)[0].transpose(0, 1, 3, 2)  # [parts', a, k1, parts]
    kept = 1 if real else 2
    weight = b.constant(along[:kept].reshape(kept * s.first, -1))
    y = b.add("linear", reshape(b, y, (lanes, s.second, 2 * s.first)), weight)
    y = transpose(b, reshape(b, y, (lanes, s.second, kept, s.first)), (2, 0, 3, 1))
    return [reshape(b, part, (lanes, n)) for part in _split_parts(b, y)]


def _real_weights(matrix: Array, count: int) -> Array:
    """Expand complex weights [g, rows, columns] to real weights [g, 2, rows, count, columns] for
    real (count 1) or complex operands."""
    both = np.stack([matrix, 1j * matrix], 2)[:, :, :count]
    return np.stack([both.real, both.imag], 1)


def _stack_parts(b: GraphBuilder, parts: Sequence[str], shape: tuple[int, int]) -> str:
    """Stack the parts, tensors [L, n], to one tensor [L, parts, *shape]."""
    lanes = b.shape(parts[0])[0]
    rows = tuple(reshape(b, part, (lanes, 1, *shape)) for part in parts)
    return rows[0] if len(rows) == 1 else b.add("concat", *rows, axis=1)


def _multiply_groups(b: GraphBuilder, x: str, weights: Array) -> str:
    """Multiply x [L, groups, ..] by weights [groups, 2, rows, ..] -> [L, 1, groups * 2 * rows]."""
    groups, lanes = len(weights), b.shape(x)[0]
    flat = weights.reshape(groups * 2 * weights.shape[2], 1, -1)
    attrs: dict[str, Any] = {"stride": (1,), "dilation": (1,), "pads": ((0, 0),), "groups": groups}
    images = reshape(b, x, (lanes, 1, groups * flat.shape[-1]))
    return b.add("conv", images, b.constant(flat), **attrs)


def _split_parts(b: GraphBuilder, y: str) -> list[str]:
    """Split a tensor [parts, L, rows, columns] into one tensor [L, rows * columns] per part."""
    count, lanes, rows, columns = b.shape(y)
    cuts = (slice_axis(b, y, 0, i, i + 1) for i in range(count))
    return [reshape(b, cut, (lanes, rows * columns)) for cut in cuts]
