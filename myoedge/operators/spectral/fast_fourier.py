# SPDX-License-Identifier: Apache-2.0
"""Fast Fourier transforms of windowed int16 samples, with one exponent per frame.

docs/developers/integer-semantics.md has the formulas. Lengths are even; half of the length is
factorised, with one stage per factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.numerics.arrays import Array, rounded_shift
from myoedge.operators.base import QuantizedNode

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
    roots = np.exp(-2j * np.pi * np.arange(length) / length)
    re, im = (np.rint(part * ONE).astype(np.int64) for part in (roots.real, roots.imag))
    words = np.stack([re & 0xFFFF | -im << 16, im & 0xFFFF | re << 16], 1)
    return {
        "places": 4 * np.argsort(_input_order(radixes)).astype(np.int16),
        "roots": words.astype(np.int32),
        "sizes": np.array(sizes, np.int16),
    }


def _input_order(radixes: Sequence[int]) -> Array:
    if not radixes:
        return np.zeros(1, np.int16)
    *before, radix = radixes
    inner = _input_order(before)
    return np.concatenate([j + radix * inner for j in range(radix)]).astype(np.int16)


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
            np.where(plain, rounded_shift(x, shift), rounded_shift(y, shift + ROOT_BITS))
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
    first, radix = parts[0], len(parts)
    x = np.stack([np.stack(part) for part in parts])  # [radix, real and imaginary, ...]
    half = x[1 : radix // 2 + 1], x[: radix // 2 : -1]
    sums, offs, made = half[0] + half[1], half[0] - half[1], [first] * radix
    made[0] = first[0] + sums[:, 0].sum(0), first[1] + sums[:, 1].sum(0)
    for out in range(1, radix // 2 + 1):
        turns = out * np.arange(1, radix // 2 + 1) % radix
        cos, sin = (each[turns * (len(each) // radix)] for each in w)
        re, im = x[0] + rounded_shift(np.tensordot(cos, sums, 1), ROOT_BITS)
        odd_re, odd_im = rounded_shift(np.tensordot(sin, offs, 1), ROOT_BITS)
        made[out] = re - odd_im, im + odd_re
        made[radix - out] = re + odd_im, im - odd_re
    return made


def transformed(step: QuantizedNode, x: Array) -> tuple[Array, Array, Array]:
    """Transform x int16 [..., n] times the window in integers; return real and imaginary part [...,
    n / 2 + 1] and the exponents [..., 1]: the transform is (real + i imaginary) * 2**exponent, in
    units of 2**-15 of the window's factors."""
    window, places = step.integers.window.astype(np.int64), step.integers.places
    cos, sin = step.integers.roots.astype(np.int16).astype(np.int64).T  # lower halves
    w, half = (cos, sin), len(window) // 2
    samples = rounded_shift(x.astype(np.int64) * window, ROOT_BITS)
    pairs = samples.reshape(*x.shape[:-1], half, 2)[..., np.argsort(places), :]
    z = pairs[..., 0], pairs[..., 1]
    exponent = np.zeros(x.shape[:-1], np.int64)
    for radix, part, _, _ in step.integers.sizes.tolist():
        # sums of `radix` values stay below 2**14.5
        most = np.maximum(np.abs(z[0]).max(-1), np.abs(z[1]).max(-1))
        top = np.frexp((2 * radix * most).astype(np.float64))[1]
        shift = np.maximum(top - MAGNITUDE_BITS, 0).astype(np.int64)
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
    first = [rounded_shift((e << 14) + o, ROOT_BITS) for e, o in zip(even, t, strict=True)]
    last = [rounded_shift((e << 14) - o, ROOT_BITS) for e, o in zip(even, t, strict=True)]
    real, imaginary = (
        np.concatenate([f, b[..., : half - half // 2][..., ::-1]], -1)
        for f, b in zip(first, last, strict=True)
    )
    return real, imaginary
