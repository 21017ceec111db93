# SPDX-License-Identifier: Apache-2.0
"""Complex tensors as pairs of real tensors; sums and products of pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    concat,
    expand,
    reshape,
    slice_axis,
)
from myoedge.operators.import_rows import Arguments, Row
from myoedge.operators.library.arithmetic import combined, number_of, times

Part = str | float  # a tensor's name or a number; "" for zeros


@dataclass(frozen=True, slots=True)
class Filtered:
    """The discrete Fourier transform of a real tensor, times a constant per frequency.

    x         real tensor [.., n, ..]
    axis      axis of n elements along which it is transformed
    factors   complex [n], or [n / 2 + 1] without the conjugate half
    """

    x: str
    axis: int
    factors: Array


@dataclass(frozen=True, slots=True)
class Complex:
    """A complex tensor as a real and an imaginary part, each a tensor's name, a number, or "" for
    0; two tensors have equal shapes.

    filtered   the same tensor as the filtered spectrum of a real tensor; None if it is not one
    """

    real: Part = ""
    imaginary: Part = ""
    filtered: Filtered | None = None

    @property
    def parts(self) -> tuple[Part, Part]:
        return self.real, self.imaginary

    @property
    def given(self) -> list[str]:
        """Parts that are not zero everywhere, as tensors."""
        return [str(part) for part in self.parts if part != ""]

    def shape(self, b: GraphBuilder) -> Shape:
        """Return the shape of a complex tensor."""
        return b.shape(self.given[0])


def paired(parts: Iterable[Part]) -> Complex:
    real, imaginary = parts
    return Complex(real, imaginary)


def is_complex(b: GraphBuilder, value: Any) -> bool:
    """Return whether an argument of a call is a complex tensor or number."""
    held = b.find_array(value) if isinstance(value, str) else None
    return isinstance(value, Complex | complex) or (held is not None and held.dtype.kind == "c")


def pair_of(b: GraphBuilder, value: Any) -> Complex:
    """Convert an argument of a call to real and imaginary part; a real tensor or number gets
    imaginary part 0."""
    if isinstance(value, Complex):
        return value
    if isinstance(value, int | float | complex):
        return paired(float(x) or "" for x in (value.real, value.imag))
    held = b.find_array(value)
    if held is None or held.dtype.kind != "c":
        return Complex(value)
    return Complex(b.constant(held.real), b.constant(held.imag) if held.imag.any() else "")


def tensor(b: GraphBuilder, part: Part, shape: Shape) -> str:
    """Return a real or imaginary part as a tensor of this shape; numbers are broadcast."""
    if isinstance(part, str) and part:
        return expand(b, part, shape)
    return b.constant(np.full(shape, part or 0.0, np.float32))


def angle_of(b: GraphBuilder, y: str, x: str) -> str:
    """Return atan2 of two tensors. Errors: Unsupported for a constant with a negative zero, whose
    sign turns the angle by half or a full turn."""
    for name in (y, x):
        values = b.array(name) if name in b.constants else np.ones(1)
        if np.any(np.signbit(values) & (values == 0.0)):
            instead = "0.0 in its place, and a factor of -1 where its sign matters"
            raise Unsupported("an angle of a constant -0.0, which integers do not have", instead)
    return b.add("atan2", y, x)


def added(b: GraphBuilder, x: Part, y: Part, alpha: float, out: Shape) -> Part:
    """Return x + alpha * y for one part (real or imaginary) of two complex tensors."""
    if y == "":
        return x
    if x == "":
        return y * alpha if isinstance(y, float) else times(b, y, alpha)
    if isinstance(x, float) and isinstance(y, float):
        return x + alpha * y
    op, factor = ("sub", -alpha) if alpha < 0.0 else ("add", alpha)
    return combined(b, op, x, y, factor, out)


def multiplied(b: GraphBuilder, x: Part, y: Part, out: Shape) -> Part:
    """Return x * y for one part (real or imaginary) of two complex tensors."""
    if "" in (x, y):
        return ""
    if isinstance(x, float) and isinstance(y, float):
        return x * y
    values = constant_of(b, x), constant_of(b, y)
    if values[0] is not None and values[1] is not None:
        return b.constant(values[0] * values[1])
    ones = [z for z, other in ((x, y), (y, x)) if number_of(b, other) == 1.0]
    return reshape(b, str(ones[0]), out) if ones else combined(b, "mul", x, y, 1.0, out)


def sum_of(b: GraphBuilder, x: Complex, y: Complex, alpha: float, out: Shape) -> Complex:
    """Return x + alpha * y of complex tensors, both broadcast to the result's shape."""
    parts = [added(b, *both, alpha, out) for both in zip(x.parts, y.parts, strict=True)]
    return paired(part if part == "" else tensor(b, part, out) for part in parts)


def product_of(b: GraphBuilder, x: Complex, y: Complex, out: Shape) -> Complex:
    """Return x * y of complex tensors; the product of a tensor and its conjugate is the squared
    magnitude."""
    if _are_conjugate(b, x, y):
        return Complex(power_of(b, x, out))
    (a, c), (d, e) = x.parts, y.parts
    first, second = multiplied(b, a, d, out), multiplied(b, c, e, out)
    cross = multiplied(b, a, e, out), multiplied(b, c, d, out)
    real, imaginary = added(b, first, second, -1.0, out), added(b, *cross, 1.0, out)
    filtered = next(
        (f for z, w in ((x, y), (y, x)) if (f := _match_filtered_spectrum(b, z, w, out))), None
    )
    return Complex(real, imaginary, filtered)


def conjugate(b: GraphBuilder, x: Complex) -> Complex:
    return Complex(x.real, added(b, "", x.imaginary, -1.0, ()))


def power_of(b: GraphBuilder, x: Complex, out: Shape) -> str:
    """Return the squared magnitude |x|^2 of a complex tensor."""
    first, second = (
        "" if part == "" else b.add("table", tensor(b, part, out), chain=(("square",),))
        for part in x.parts
    )
    return tensor(b, added(b, first, second, 1.0, out), out)


def magnitude_of(b: GraphBuilder, x: Complex, out: Shape) -> str:
    """Return the magnitude |x|; repeated calls return the same node."""
    if "" in x.parts:
        part = tensor(b, x.real if x.imaginary == "" else x.imaginary, out)
        return b.add("table", part, chain=(("abs",),))
    parts = tuple(tensor(b, part, out) for part in x.parts)
    made = (n.name for n in b.nodes if n.op == "magnitude" and n.inputs == parts)
    return next(made, "") or b.add("magnitude", *parts)


def on_parts(row: Row) -> Row:
    """Return a function that imports a linear call of a complex tensor by applying `row` to its
    real and its imaginary part.

    row   import function of the call for real tensors
    """

    def pair_row(b: GraphBuilder, a: Arguments, out: Any) -> Any:
        made = {
            i: row(
                b, {name: _real_or_imaginary_part(b, value, i) for name, value in a.items()}, out
            )
            for i in range(2)
            if any(pair.parts[i] != "" for pair in _complex_arguments(b, a))
        }
        first = next(iter(made.values()), "")
        if isinstance(first, str):
            return paired(made.get(i, "") for i in range(2))
        columns = (made.get(i, ("",) * len(first)) for i in range(2))
        return tuple(paired(parts) for parts in zip(*columns, strict=True))

    return pair_row


def _complex_arguments(b: GraphBuilder, a: Arguments) -> list[Complex]:
    """Return the complex values among a call's arguments, including items of lists."""
    tensors = [
        x for value in a.values() for x in (value if _has_complex_values(b, value) else [value])
    ]
    return [pair_of(b, x) for x in tensors if is_complex(b, x)]


def _has_complex_values(b: GraphBuilder, value: Any) -> bool:
    return isinstance(value, list | tuple) and any(is_complex(b, x) for x in value)


def _real_or_imaginary_part(b: GraphBuilder, value: Any, i: int) -> Any:
    """Return the real (i = 0) or imaginary (i = 1) part of an argument, or of a list's items."""
    if _has_complex_values(b, value):
        pairs = [pair_of(b, x) for x in value]
        return [tensor(b, pair.parts[i], pair.shape(b)) for pair in pairs]
    if not is_complex(b, value):
        return value
    pair = pair_of(b, value)
    return tensor(b, pair.parts[i], pair.shape(b))


def _are_conjugate(b: GraphBuilder, x: Complex, y: Complex) -> bool:
    turned = (("affine", -1.0, 0.0),)
    pairs = {x.imaginary: y.imaginary, y.imaginary: x.imaginary}
    return (
        x.real == y.real
        and "" not in x.parts
        and any(
            n.op == "table" and n.attrs["chain"] == turned and pairs.get(n.name) == n.inputs[0]
            for n in b.nodes
        )
    )


def _match_filtered_spectrum(
    b: GraphBuilder, x: Complex, y: Complex, out: Shape
) -> Filtered | None:
    """Return x * y as a filtered spectrum if x is a (filtered) spectrum and y is constant per
    frequency; otherwise None."""
    if x.filtered is None:
        return None
    real, imaginary = (constant_of(b, part) for part in y.parts)
    if real is None or imaginary is None:
        return None
    factor = np.asarray(real + 1j * imaginary)
    axis, count = x.filtered.axis, len(x.filtered.factors)
    shape = (1,) * (len(out) - factor.ndim) + factor.shape
    if math.prod(shape) != shape[axis] or out[axis] != count:
        return None
    return replace(x.filtered, factors=x.filtered.factors * factor.reshape(-1))


def constant_of(b: GraphBuilder, part: Part) -> Array | None:
    """Return the values of a real or imaginary part if it is a constant or a number; None for a
    computed tensor."""
    if part == "" or isinstance(part, float):
        return np.asarray(part or 0.0)
    return b.array(part).astype(np.float64) if part in b.constants else None


def of_both(function: Callable[[GraphBuilder, Complex, Complex, Arguments, Shape], Any]) -> Row:
    """Return an import function that converts the arguments `self` and `other` to complex pairs and
    calls function(builder, self, other, arguments, output shape)."""
    return lambda b, a, out: function(b, pair_of(b, a["self"]), pair_of(b, a["other"]), a, out)


def unstacked(b: GraphBuilder, x: str) -> Complex:
    """Split x [.., 2] along its last axis into real and imaginary part; x [.., 1] becomes a complex
    tensor with imaginary part 0."""
    *out, count = b.shape(x)
    last = len(out)
    parts = [reshape(b, slice_axis(b, x, last, i, i + 1), out) for i in range(count)]
    return paired(parts) if count == 2 else Complex(parts[0])


def stacked(b: GraphBuilder, x: Complex, out: Shape) -> str:
    """Stack real and imaginary part along a new last axis; return the result's name.

    out   shape of the result, with that axis
    """
    thin = (*out[:-1], 1)
    parts = [reshape(b, tensor(b, part, out[:-1]), thin) for part in x.parts]
    return concat(b, parts, len(thin) - 1)
