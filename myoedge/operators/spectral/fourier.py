# SPDX-License-Identifier: Apache-2.0
"""Fourier transforms of length n = first * second as products with two small matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis, transpose

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
