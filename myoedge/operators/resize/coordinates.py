# SPDX-License-Identifier: Apache-2.0
"""Resizing an axis: coordinates of the results, neighbouring elements and their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import Unsupported


@dataclass(frozen=True, slots=True)
class ResizedAxis:
    """An axis of n elements, resized to `wanted` elements.

    step     input elements per result, as the call specifies it
    mode     ONNX's coordinate_transformation_mode, also used for torch
    region   start and end of the crop of tf_crop_and_resize, as fractions of the axis
    """

    n: int
    wanted: int
    step: float
    mode: str
    region: tuple[float, float] = (0.0, 1.0)

    @property
    def length(self) -> float:
        """Number of results n / step, which may be fractional."""
        exact = self.n / self.step
        return round(exact) if abs(exact - round(exact)) < 1e-9 else exact

    def places(self) -> Array:
        """Return the coordinates of the results in units of input elements, float64 [wanted], by
        the formulas of ONNX's Resize."""
        return np.broadcast_to(PLACES[self.mode](self, np.arange(self.wanted)), (self.wanted,))


def _half_pixel(axis: ResizedAxis, at: Array) -> Array:
    return np.asarray((at + 0.5) * axis.step - 0.5)


def _half_pixel_symmetric(axis: ResizedAxis, at: Array) -> Array:
    """Return coordinates for half_pixel_symmetric: half pixels, centred for the exact length."""
    return np.asarray(axis.n / 2 * (1 - axis.wanted / axis.length) + _half_pixel(axis, at))


def _align_corners(axis: ResizedAxis, at: Array) -> Array:
    return np.asarray(at * ((axis.n - 1) / (axis.length - 1)) if axis.length != 1 else 0.0 * at)


def _pytorch_half_pixel(axis: ResizedAxis, at: Array) -> Array:
    return _half_pixel(axis, at) if axis.length != 1 else np.asarray(0.0 * at - 0.5)


def _crop_and_resize(axis: ResizedAxis, at: Array) -> Array:
    (start, end), last = axis.region, axis.n - 1
    if axis.length == 1:
        return np.asarray(0.5 * (start + end) * last)
    return np.asarray(start * last + at * (end - start) * last / (axis.length - 1))


PLACES: Mapping[str, Callable[[ResizedAxis, Array], Array]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "tf_half_pixel_for_nn": lambda axis, at: np.asarray((at + 0.5) * axis.step),
    "align_corners": _align_corners,
    "asymmetric": lambda axis, at: np.asarray(at * axis.step),
    "tf_crop_and_resize": _crop_and_resize,
}


def nearest(axis: ResizedAxis, rounding: str) -> Array:
    """Return the index of the input element nearest to every result, int64 [wanted]; coordinates
    are float32, as in onnxruntime.

    rounding   ONNX's nearest_mode
    """
    place = axis.places().astype(np.float32)
    low, up = np.floor(place), np.floor(place + 0.5)
    ties = place - low == 0.5
    found = {
        "floor": low,
        "ceil": np.ceil(place),
        "round_prefer_ceil": np.where(ties, low + 1, up),
        "round_prefer_floor": np.where(ties, low, up),
    }
    if rounding not in found:
        raise Unsupported(f"nearest_mode {rounding}")
    return np.clip(found[rounding], 0, axis.n - 1).astype(np.int64)


def nearest_of_torch(axis: ResizedAxis, first: float) -> Array:
    """Return the index of the input element nearest to every result as torch computes it in
    float32, int64 [wanted]: floor((i + first) * step)."""
    at = np.arange(axis.wanted, dtype=np.float32) + np.float32(first)
    place = np.floor(at * np.float32(axis.step))
    return np.asarray(np.minimum(place, axis.n - 1), np.int64)


def linear_weights(place: Array) -> Array:
    """Return the weights of linear interpolation, [2, wanted], of the elements floor(place) and
    floor(place) + 1.

    place   coordinates of the results
    """
    share = place - np.floor(place)
    return np.stack([1 - share, share])


def cubic_weights(place: Array, a: float) -> Array:
    """Return the weights of cubic interpolation, [4, wanted], of the elements from floor(place) - 1
    on.

    place   coordinates of the results
    a       coefficient of Keys' kernel
    """
    share = place - np.floor(place)
    near, far = np.stack([share, 1 - share]), np.stack([share + 1, 2 - share])
    inside = ((a + 2) * near - (a + 3)) * near**2 + 1
    outside = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    return np.stack([outside[0], inside[0], inside[1], outside[1]])


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The input elements of which each result of a resize is a weighted sum.

    starts    per result, index of the first of `taps` adjacent elements
    weights   float64 [results, taps]
    """

    starts: tuple[int, ...]
    weights: Array


def neighbours(axis: ResizedAxis, place: Array, weights: Array, *, outside: bool) -> Neighbours:
    """Return the neighbours of each result, beginning with element floor(place) - taps / 2 + 1.

    place     coordinates of the results
    weights   [taps, results]
    outside   whether positions outside the axis repeat its first or last element; otherwise they
              are left out and the other weights rescaled
    """
    taps = len(weights)
    index = np.floor(place).astype(np.int64) - (taps // 2 - 1) + np.arange(taps)[:, None]
    if not outside:
        weights = np.where((index >= 0) & (index < axis.n), weights, 0.0)
        weights = weights / weights.sum(axis=0)
    index, width = np.clip(index, 0, axis.n - 1), min(taps, axis.n)
    starts = np.minimum(index[0], axis.n - width)
    made = np.zeros((len(place), width))
    np.add.at(made, (np.arange(len(place)), index - starts), weights)
    return Neighbours(tuple(starts.tolist()), made)
