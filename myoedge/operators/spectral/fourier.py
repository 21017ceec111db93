# SPDX-License-Identifier: Apache-2.0
"""Fast Fourier transforms of windowed int16 samples in int32; docs/integer-semantics.md has the
formulas.

Lengths are even; half of the length is factorised, with one stage per factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode

MOST_SAMPLES, MOST_RADIX = 1024, 31
INT31 = 2**31 - 1


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


def _halvings(radix: int) -> int:
    """Return the right shift of a stage: after it, a sum of `radix` values is no larger than the
    largest value."""
    return (radix - 1).bit_length()


def halved(length: int) -> int:
    """Return the number by which all stages of an integer transform together divide its results."""
    return int(2 << sum(map(_halvings, radixes_of(length))))


def products_of(length: int) -> int:
    """Return the number of multiplications of a transform: window, roots, stages, and the
    conversion to the spectrum of real samples."""
    half, count = length // 2, 0
    for radix in radixes_of(length):
        own = (radix - 1) ** 2 if radix % 2 else 0
        count += half // radix * (4 * (radix - 1) + own)
    return length + count + 2 * half


def tables_of(length: int) -> dict[str, Array]:
    """Return the constant tables of a transform of n = length samples.

    order     int16 [n / 2]: digit-reversed order of pairs of samples
    roots     int32 [n, 2]: exp(-2 pi i k / n) in Q31
    radixes   int16: the factor of each stage
    """
    radixes = radixes_of(length)
    roots = np.exp(-2j * np.pi * np.arange(length) / length)
    return {
        "order": _order(radixes),
        "roots": np.rint(np.stack([roots.real, roots.imag], 1) * INT31).astype(np.int32),
        "radixes": np.array(radixes, np.int16),
    }


def _order(radixes: Sequence[int]) -> Array:
    if not radixes:
        return np.zeros(1, np.int16)
    *before, radix = radixes
    inner = _order(before)
    return np.concatenate([j + radix * inner for j in range(radix)]).astype(np.int16)


def high(a: Array, b: Array | int) -> Array:
    """Return the upper 32 bits of the 64-bit product a * b."""
    return np.asarray(np.multiply(a, b, dtype=np.int64) >> 32)


Complex = tuple[Array, Array]  # real and imaginary parts


def _times(z: Complex, cos: Array, sin: Array) -> Complex:
    return high(z[0], cos) - high(z[1], sin), high(z[0], sin) + high(z[1], cos)


def _turned(z: Complex, radix: int, w: Array) -> list[Complex]:
    """Multiply the `radix` parts of each group by their roots of unity, and shift them right;
    element 0 of each part is only shifted.

    z   [.., radix, part]
    w   int32 [n, 2]: n roots, a whole turn
    """
    halvings, part = _halvings(radix), z[0].shape[-1]
    at, found = np.arange(part), list[Complex]()
    for j in range(radix):
        own = z[0][..., j, :], z[1][..., j, :]
        cos, sin = w[at * j * (len(w) // (radix * part))].T
        products = _times((own[0] >> (halvings - 1), own[1] >> (halvings - 1)), cos, sin)
        plain = (at == 0) | (j == 0)
        made = (np.where(plain, x >> halvings, y) for x, y in zip(own, products, strict=True))
        found.append((next(made), next(made)))
    return found


def _stage(z: Complex, radix: int, part: int, w: Array) -> Complex:
    """Combine groups of `radix` transforms of `part` values into one transform each."""
    shape = (*z[0].shape[:-1], -1, radix, part)
    parts = _turned((z[0].reshape(shape), z[1].reshape(shape)), radix, w)
    made = _of_two_or_four(parts) if radix in (2, 4) else _of_odd(parts, w)
    re, im = (np.stack(each, -2).reshape(z[0].shape) for each in zip(*made, strict=True))
    return re, im


def _of_two_or_four(parts: list[Complex]) -> list[Complex]:
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


def _of_odd(parts: list[Complex], w: Array) -> list[Complex]:
    """Combine an odd number of parts: cosines times sums, sines times differences, of opposites."""
    radix, (first, *others) = len(parts), parts
    opposite = [*zip(others[: radix // 2], others[::-1], strict=False)]
    sums = [(a[0] + b[0], a[1] + b[1]) for a, b in opposite]
    offs = [(a[0] - b[0], a[1] - b[1]) for a, b in opposite]
    made = [first] * radix
    made[0] = first[0] + sum(s[0] for s in sums), first[1] + sum(s[1] for s in sums)
    for out in range(1, radix // 2 + 1):
        (re, im), odd_re, odd_im = first, np.zeros((), np.int64), np.zeros((), np.int64)
        for j, (even, off) in enumerate(zip(sums, offs, strict=True), start=1):
            turn = out * j % radix
            sign = 1 if 2 * turn < radix else -1
            cos, sin = w[len(w) // radix * min(turn, radix - turn)]
            re, im = re + high(2 * even[0], cos), im + high(2 * even[1], cos)
            odd_re = odd_re + sign * high(2 * off[0], sin)
            odd_im = odd_im + sign * high(2 * off[1], sin)
        made[out] = re - odd_im, im + odd_re
        made[radix - out] = re + odd_im, im - odd_re
    return made


def transformed(step: QuantizedNode, x: Array) -> Complex:
    """Transform x int16 [..., n] times the window in integers; return real and imaginary part [...,
    n / 2 + 1], scaled by 2**15 / halved(n)."""
    w, half = step.integers.roots.astype(np.int64), len(step.integers.window) // 2
    samples = high(x.astype(np.int64) << 16, step.integers.window)
    pairs = samples.reshape(*x.shape[:-1], half, 2)[..., step.integers.order, :]
    z, part = (pairs[..., 0], pairs[..., 1]), 1
    for radix in step.integers.radixes.tolist():
        z = _stage(z, radix, part, w)
        part *= radix
    return _real_spectrum(z, w[: half // 2 + 1])


def _real_spectrum(z: tuple[Array, Array], w: Array) -> tuple[Array, Array]:
    """Compute the spectrum of n real samples from the transform of n / 2 complex pairs."""
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
