# SPDX-License-Identifier: Apache-2.0
"""Pooling over spatial axes, channels last: maximum and average, regular or adaptive windows, which
are an index along each axis: first + t * stride + r, with r from end to end."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes
from myoedge.nest.ir import Affine, Axis, Element, Expr, Lookup, Nest, Reduced, Value, as_expr, walk
from myoedge.nest.ir import Array as NestArray
from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import INT32_MAX, choose_requant
from myoedge.operators.attributes import are_whole, optional, per_axis, whole
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import CentredParams, as_in_floats, sum_bound, with_entry
from myoedge.operators.described import nest_constant, operand, own_number, requantised, result
from myoedge.operators.format import EITHER_WIDTH, LIMITED, int16_where
from myoedge.operators.library.reductions import Window
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Constants, Described, Kept, Result


@dataclass(frozen=True)
class WindowAxis:
    """The windows along an axis of a pool.

    windows   the windows
    along     axis of the result
    taps      reduced axis, as long as the longest window
    stride    distance between the starts of windows
    first     start of window 0; negative if it is cut off there
    """

    windows: Sequence[Window]
    along: Axis
    taps: Axis
    stride: int
    first: int

    @staticmethod
    def of(windows: Sequence[Window], along: Axis) -> WindowAxis:
        """Return evenly spaced ranges of taps that contain the windows."""
        lows, count = [low for low, _, _ in windows], len(windows)
        stride = max(round((lows[-1] - lows[0]) / (count - 1)), 0) if count > 1 else 0
        first = min(low - i * stride for i, low in enumerate(lows))
        size = max(high - i * stride - first for i, (_, high, _) in enumerate(windows))
        return WindowAxis(windows, along, Axis(f"r{along.name}", size), stride, first)

    @property
    def index(self) -> Affine:
        return self.along.at * self.stride + self.taps + self.first

    @property
    def ends(self) -> tuple[Expr, Expr] | None:
        """The first tap of each window and its end; None if all windows have all taps."""
        starts = np.arange(len(self.windows)) * self.stride + self.first
        low, high = (np.array([w[at] for w in self.windows]) - starts for at in (0, 1))
        if np.all(low == 0) and np.all(high == self.taps.extent):
            return None
        return self._constant_per_window("first", low), self._constant_per_window("end", high)

    @property
    def count(self) -> Value:
        """The number of taps of each window."""
        counts = {high - low for low, high, _ in self.windows}
        if len(counts) == 1:
            return counts.pop()
        return self._constant_per_window(
            "taps", np.array([high - low for low, high, _ in self.windows])
        )

    @property
    def divisors(self) -> list[int]:
        """The distinct divisors of windows in ascending order."""
        return sorted({divisor for _, _, divisor in self.windows})

    @property
    def kind(self) -> Value:
        """The number of each window's divisor among the distinct ones."""
        known = self.divisors
        if len(known) == 1:
            return 0
        return self._constant_per_window(
            "kind", np.array([known.index(w[2]) for w in self.windows])
        )

    def reduced(self, operation: str, value: Expr) -> Expr:
        return Reduced(operation, self.taps, value, self.ends)

    def _constant_per_window(self, name: str, values: np.ndarray) -> Expr:
        """Return a constant per window."""
        name = f"{name}_{self.along.name}"
        return NestArray(name, "int32", values.shape, values.astype(np.int32))[self.along]


def _windows_fit_axis(value: Any, extent: int) -> bool:
    """Return whether windows have elements, and only those of an axis."""
    return (
        isinstance(value, tuple)
        and bool(value)
        and all(are_whole(w, 3, 0, INT32_MAX) and w[0] < w[1] <= extent and w[2] for w in value)
    )


WINDOWS = per_axis("windows of elements that it has", _windows_fit_axis, spatial=True)


def shape(attrs: Attrs, x: Shape) -> Shape:
    """Return the result shape [N, *T, C] for x [N, *S, C].

    attrs["windows"]   per spatial axis, its T windows
    """
    return (x[0], *(len(axis) for axis in attrs["windows"]), x[-1])


def _windows_of_input(attrs: Attrs, x: Array) -> Iterator[tuple[tuple[int, ...], Array, int]]:
    """Yield (position, input elements in its window [N, taps, C], divisor) for every output."""
    per_axis = [list(enumerate(axis)) for axis in attrs["windows"]]
    for combination in itertools.product(*per_axis):
        position: tuple[int, ...] = tuple(i for i, _ in combination)
        cut = tuple(slice(low, high) for _, (low, high, _) in combination)
        divisor = attrs.get("divisor") or math.prod(window[2] for _, window in combination)
        patch = x[(slice(None), *cut, slice(None))]
        yield position, patch.reshape(x.shape[0], -1, x.shape[-1]), divisor


def at(position: tuple[int, ...]) -> tuple[slice | int, ...]:
    """Return the index of an array [N, *S, C] that selects all samples and channels at a spatial
    position."""
    return (slice(None), *position)


def max_real(attrs: Attrs, x: Array) -> Array:
    """Compute max pooling of floats or integers, x [N, *S, C] -> [N, *T, C]; padding is ignored."""
    for axis, windows in enumerate(attrs["windows"], start=1):
        slices = np.moveaxis(x, axis, 0)
        x = np.stack([slices[low:high].max(axis=0) for low, high, _ in windows], axis)
    return x


def _reduce_windows(
    step: QuantizedNode, operation: str, outside: int
) -> tuple[Expr, list[WindowAxis]]:
    """Return the sums or extremes over windows, and the windows along each spatial axis."""
    image, *inner, channel = broadcast_axes(step.out)
    pairs = zip(step.attrs["windows"], inner, strict=True)
    axes = [WindowAxis.of(windows, axis) for windows, axis in pairs]
    x = replace(operand(step, 0), outside=outside)
    value = x[(image, *(axis.index for axis in axes), channel)]
    for axis in reversed(axes):
        value = axis.reduced(operation, value)
    return value, axes


def _broadcast_over_windows(step: QuantizedNode, value: Expr) -> Nest:
    axes, x = broadcast_axes(step.out), next(x.array for x in walk(value) if isinstance(x, Element))
    return Nest(axes, (x,), result(step), tuple(axis.at for axis in axes), value)


def max_nest(step: QuantizedNode) -> Nest:
    """Describe max pooling: the largest element of a window."""
    return _broadcast_over_windows(step, _reduce_windows(step, "max", step.element_type.low)[0])


def _streaming_rule(at: OperandAxis, fill: Callable[[QuantizedNode], int]) -> StreamingRule | None:
    """Return the rule for streaming a pool with regular windows, which may be clipped at both ends;
    images are independent.

    A single window is assumed to span the whole axis. Divisors of windows that are clipped at the
    end do not matter, as a stream has no end.
    """
    attrs, axis = at.attrs, at.axis
    if axis in (0, len(at.shapes[0]) - 1):
        return StreamingRule(axis)
    windows = attrs["windows"][axis - 1]
    lows, highs, divisors = zip(*windows, strict=True)
    size, last = max(map(operator.sub, highs, lows)), highs[0]
    stride = windows[1][1] - last if len(windows) > 1 else 0
    ends, frames = [last + i * stride for i in range(len(windows))], at.shapes[0][axis]
    regular = [(max(end - size, 0), min(end, frames)) for end in ends]
    whole = {divisor for end, divisor in zip(ends, divisors, strict=True) if end <= frames}
    if stride < 1 or regular != [*zip(lows, highs, strict=True)] or len(whole) > 1:
        return None

    def resized(made: int) -> Attrs:
        whole = tuple((i * stride, i * stride + size, divisors[0]) for i in range(made))
        return with_entry(attrs, "windows", axis - 1, whole)

    return StreamingRule(axis, resized, taps=size, stride=stride, before=size - last, fill=fill)


def _max_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for max pools; padding before the first frame is ignored."""
    windows = tuple(tuple((*w[:2], 1) for w in axis) for axis in at.attrs["windows"])
    alike = replace(at, attrs={**at.attrs, "windows": windows})
    return _streaming_rule(alike, lambda step: step.low)


MAX_POOL = add_operator(
    name="max_pool",
    attributes={"windows": WINDOWS},
    doc="maximum over windows: any size, stride, padding, ceil mode; adaptive",
    shape=shape,
    real=max_real,
    integer=Described(max_nest, as_in_floats(max_real)),
    kernels=generated(EITHER_WIDTH),
    result=Result(kept=Kept.SCALE),
    streaming_rule=_max_streaming_rule,
)


def avg_real(attrs: Attrs, x: Array) -> Array:
    y = np.empty(shape(attrs, x.shape), x.dtype)
    for position, taps, divisor in _windows_of_input(attrs, x):
        y[at(position)] = taps.sum(axis=1) / divisor
    return y


def most_taps(attrs: Attrs) -> int:
    """Return the number of taps of the largest window."""
    return math.prod(max(w[1] - w[0] for w in axis) for axis in attrs["windows"])


def divisors(attrs: Attrs) -> tuple[int, ...]:
    """Return the distinct divisors of an average pool in ascending order; each has its own
    multiplier."""
    if attrs.get("divisor"):
        return (attrs["divisor"],)
    per_axis = [{w[2] for w in axis} for axis in attrs["windows"]]
    return tuple(sorted({math.prod(c) for c in itertools.product(*per_axis)}))


def avg_quantize(inputs: QuantizeInputs) -> CentredParams:
    """Return the constants of an average pool: the sum of x - x_zero over the taps inside the input
    is requantised with one factor per divisor."""
    x, attrs = inputs.params(0), inputs.attrs
    taps = most_taps(attrs)
    distinct = divisors(attrs)
    factors = [x.scale / (inputs.target.scale * d) for d in distinct]
    bound, y = sum_bound(x, taps), inputs.target
    r = choose_requant(factors, [bound] * len(distinct), y.zero_point, y.element_type)
    numbers = {"mult": r.mult, "offset": r.offset, "shift": r.shift}
    return CentredParams(x_zero=x.zero_point, pre=r.pre, acc_bound=bound, **numbers)


def avg_nest(step: QuantizedNode) -> Nest:
    """Describe average pooling: the sum of x - x_zero over a window, requantised by its divisor."""
    zero = step.integers.x_zero
    acc, axes = _reduce_windows(
        step, "sum", 0 if isinstance(zero, Expr) else int(zero)
    )  # is not read
    counts = [axis.count for axis in axes]
    number = math.prod(n for n in counts if isinstance(n, int))
    zeros = math.prod((n for n in counts if isinstance(n, Expr)), start=as_expr(zero * number))
    return _broadcast_over_windows(
        step, requantised(step, acc - zeros, partial(_window_constant, step, axes))
    )


def _window_constant(step: QuantizedNode, axes: Sequence[WindowAxis], name: str) -> Value:
    """Return a constant of requantisation: one for all windows, or by their divisors."""
    values, distinct = getattr(step.integers, name), divisors(step.attrs)
    if len(distinct) == 1:
        return own_number(step, name)
    known = [*itertools.product(*(axis.divisors for axis in axes))]
    table = values[[distinct.index(math.prod(pair)) for pair in known]]
    at: Value = 0
    for axis in axes:
        at = axis.kind + as_expr(at) * len(axis.divisors)
    return Lookup(nest_constant(name, table), as_expr(at))


AVG_POOL = add_operator(
    name="avg_pool",
    attributes={"windows": WINDOWS, "divisor": optional(whole(1, INT32_MAX))},
    doc="average over windows: any size, stride, padding counted or not, ceil mode; adaptive",
    shape=shape,
    real=avg_real,
    integer=Described(avg_nest),
    constants=Constants(avg_quantize, kinds=(CentredParams,)),
    kernels=generated(*int16_where(LIMITED)),
    epilogue=True,
    streaming_rule=lambda at: _streaming_rule(at, lambda step: int(step.integers.x_zero)),
)
