# SPDX-License-Identifier: Apache-2.0
"""Fourier transforms of windowed int16 samples in int32, as docs/integer-semantics.md has them.

Of a power of two in stages of two, of other even lengths in a stage for each factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode

LENGTHS = tuple(1 << bits for bits in range(3, 11))  # powers of two, 8 .. 1,024
MOST_SAMPLES, MOST_RADIX = 1024, 31
INT31 = 2**31 - 1


def radixes_of(length: int) -> tuple[int, ...]:
    """Factors of half a frame, fours first."""
    rest, radix, found = length // 2, 4, list[int]()
    while rest > 1:
        if rest % radix:
            radix = {4: 2, 2: 3}.get(radix, radix + 2)
        else:
            found.append(radix)
            rest //= radix
    return tuple(found)


def is_mixed(length: int) -> bool:
    """Whether a transform has stages of other factors than two."""
    return length not in LENGTHS


def has_transform(length: int) -> bool:
    """Return whether frames of this length have a fast transform."""
    if not is_mixed(length):
        return True
    most = max(radixes_of(length), default=MOST_RADIX + 1) if length % 2 == 0 else MOST_RADIX + 1
    return length <= MOST_SAMPLES and most <= MOST_RADIX


def _halvings(radix: int) -> int:
    """Halvings in a stage, so that a sum of `radix` numbers is no larger than the largest."""
    return (radix - 1).bit_length()


def halved(length: int) -> int:
    """Product of all that a transform is divided by."""
    if not is_mixed(length):
        return length
    return int(2 << sum(map(_halvings, radixes_of(length))))


def products_of(length: int) -> int:
    """Products of the window, of all stages, and of the real spectrum."""
    half = length // 2
    if is_mixed(length):
        return int(length + 4 * half * sum(radixes_of(length)) + 2 * half)
    butterflies = half // 2 * (half.bit_length() - 1)
    return int(length + 4 * butterflies + 2 * half)


def tables_of(length: int) -> dict[str, Array]:
    """Constants of a transform.

    order    int16 [n / 2]: pairs of samples as a transform is begun, with digits in reverse
    roots    int32 [n / 2, 2]: exp(-2 pi i k / n) in Q31; of mixed radix [n, 2]
    radixes  int16: of mixed radix, the factor of each stage
    """
    radixes = radixes_of(length) if is_mixed(length) else (2,) * (length.bit_length() - 2)
    turns = np.arange(length if is_mixed(length) else length // 2) / length
    roots = np.exp(-2j * np.pi * turns)
    tables = {
        "order": _order(radixes),
        "roots": np.rint(np.stack([roots.real, roots.imag], 1) * INT31).astype(np.int32),
    }
    return tables | ({"radixes": np.array(radixes, np.int16)} if is_mixed(length) else {})


def _order(radixes: Sequence[int]) -> Array:
    if not radixes:
        return np.zeros(1, np.int16)
    *before, radix = radixes
    inner = _order(before)
    return np.concatenate([j + radix * inner for j in range(radix)]).astype(np.int16)


def high(a: Array, b: Array | int) -> Array:
    """Return the upper half of a 64-bit product."""
    return np.asarray(np.multiply(a, b, dtype=np.int64) >> 32)


def _begun(z: tuple[Array, Array]) -> tuple[Array, Array]:
    """The first two stages at once: sums of four."""
    (a, b, c, d), (e, f, g, h) = ([part[..., i::4] for i in range(4)] for part in z)
    re = (a + b + c + d, a - b + g - h, a + b - c - d, a - b - g + h)
    im = (e + f + g + h, e - f - c + d, e + f - g - h, e - f + c - d)
    return _woven(re), _woven(im)


def _woven(parts: Sequence[Array]) -> Array:
    return np.stack(parts, -1).reshape(*parts[0].shape[:-1], -1)


def _stage(z: tuple[Array, Array], size: int, w: Array) -> tuple[Array, Array]:
    """Butterflies of groups of `size`: halves of a + b w and a - b w."""
    shape = (*z[0].shape[:-1], -1, 2, size // 2)
    (re, im), (cos, sin) = (part.reshape(shape) for part in z), w.T
    b, d = re[..., 1, :], im[..., 1, :]
    t, u = high(b, cos) - high(d, sin), high(b, sin) + high(d, cos)
    a, c = re[..., 0, :] >> 1, im[..., 0, :] >> 1
    made = np.stack([a + t, a - t], -2), np.stack([c + u, c - u], -2)
    return made[0].reshape(z[0].shape), made[1].reshape(z[1].shape)


def _mixed_stage(z: tuple[Array, Array], radix: int, size: int, w: Array) -> tuple[Array, Array]:
    """Groups of `radix` transforms become one of `size` numbers, by products with all roots.

    w   int32 [n, 2] of a whole turn
    """
    shape = (*z[0].shape[:-1], -1, radix, size // radix)
    re, im = ((part >> _halvings(radix) - 1).reshape(shape) for part in z)
    at, turn = np.arange(size), len(w) // size
    real = imaginary = np.zeros((), np.int64)
    for j in range(radix):
        cos, sin = w[at * j % size * turn].T
        a, b = (np.tile(part[..., j, :], radix) for part in (re, im))
        real = real + (high(a, cos) - high(b, sin))
        imaginary = imaginary + (high(a, sin) + high(b, cos))
    return real.reshape(z[0].shape), imaginary.reshape(z[0].shape)


def transformed(step: QuantizedNode, x: Array) -> tuple[Array, Array]:
    """int16 [..., n] times the window -> n / 2 + 1 real and imaginary parts, 2**15 / halved(n) of
    them."""
    w, length = step.integers.roots.astype(np.int64), len(step.integers.window)
    half, mixed = length // 2, is_mixed(length)
    samples = high(x.astype(np.int64) << (16 if mixed else 14), step.integers.window)
    pairs = samples.reshape(*x.shape[:-1], half, 2)[..., step.integers.order, :]
    z, size = (pairs[..., 0], pairs[..., 1]), 1
    if mixed:
        for radix in step.integers.radixes.tolist():
            size *= radix
            z = _mixed_stage(z, radix, size, w)
        return _real_spectrum(z, w[: half // 2 + 1])
    z = _begun(z)
    for size in (1 << bits for bits in range(3, half.bit_length())):
        z = _stage(z, size, w[:: length // size][: size // 2])
    return _real_spectrum(z, w[: half // 2 + 1])


def _real_spectrum(z: tuple[Array, Array], w: Array) -> tuple[Array, Array]:
    """Spectrum of n real samples from the transform of their pairs as n / 2 complex numbers."""
    half = z[0].shape[-1]
    at = np.arange(half // 2 + 1)
    (re, im), (back_re, back_im) = ([p[..., i % half] >> 1 for p in z] for i in (at, half - at))
    even, odd = (re + back_re, im - back_im), (im + back_im, back_re - re)
    cos, sin = w.T
    t = high(odd[0], cos) - high(odd[1], sin), high(odd[0], sin) + high(odd[1], cos)
    first = [(e >> 1) + o for e, o in zip(even, t, strict=True)]
    last = [
        ((e >> 1) - o)[..., : half - half // 2][..., ::-1] for e, o in zip(even, t, strict=True)
    ]
    real, imaginary = (np.concatenate(pair, -1) for pair in zip(first, last, strict=True))
    return real, imaginary
