# SPDX-License-Identifier: Apache-2.0
"""Rows of the import table that do arithmetic: two tensors, or a tensor and a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.frontend.graph_builder import Arguments, Draft, Row, Unsupported, reshape, weights
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array


def _scalar(d: Draft, value: Any) -> float | None:
    """A number, or the single element of a constant; None for tensors."""
    if isinstance(value, int | float):
        return float(value)
    found = d.constants.get(value)
    return float(found.reshape(-1)[0]) if found is not None and found.size == 1 else None


def binary(op: str) -> Row:
    def row(d: Draft, a: Arguments, out: Shape) -> str:
        return combined(d, op, a["self"], a["other"], _alpha(a), out)

    return row


def rsub(d: Draft, a: Arguments, out: Shape) -> str:
    return combined(d, "sub", a["other"], a["self"], _alpha(a), out)


def _alpha(a: Arguments) -> float:
    """The factor of the second operand; overloads without one have 1."""
    return 1.0 if a.get("alpha") is None else float(a["alpha"])


def combined(d: Draft, op: str, left: Any, right: Any, alpha: float, out: Shape) -> str:
    """Scalars become a step of a table, tensors a node."""
    a, b = _scalar(d, left), _scalar(d, right)
    if any(c is not None and math.isinf(c) for c in (a, b)):
        raise Unsupported(f"{op} with an infinity")
    if b is not None and not _is_number(d, left):
        return _widened(d, left, _by_scalar(op, b, alpha, scalar_right=True), out)
    if a is not None and not _is_number(d, right):
        return _widened(d, right, _by_scalar(op, a, alpha, scalar_right=False), out)
    if alpha != 1.0:
        right = times(d, right, alpha)
    return d.add(op, left, right)


def times(d: Draft, x: str, factor: float) -> str:
    if x in d.constants:
        return d.constant(np.float32(factor) * d.constants[x])
    return d.add("table", x, chain=(("affine", factor, 0.0),))


def _is_number(d: Draft, value: Any) -> bool:
    return isinstance(value, int | float)


def _by_scalar(op: str, c: float, alpha: float, *, scalar_right: bool) -> tuple[Any, ...]:
    if op == "mul":
        return ("affine", c, 0.0)
    sign = 1.0 if op == "add" else -1.0
    return ("affine", 1.0, sign * alpha * c) if scalar_right else ("affine", sign * alpha, c)


def _widened(d: Draft, x: str, step: tuple[Any, ...], out: Shape) -> str:
    """The table, and a reshape where the scalar had more axes than the tensor."""
    return reshape(d, d.add("table", x, chain=(step,)), out)


def div(d: Draft, a: Arguments, out: Shape) -> str:
    if a.get("rounding_mode"):
        raise Unsupported(f"div with rounding_mode={a['rounding_mode']!r}")
    left, right = a["self"], a["other"]
    divisor = _scalar(d, right)
    if divisor == 0.0:
        raise Unsupported("division by zero")
    if divisor is not None:
        return combined(d, "mul", left, 1.0 / divisor, 1.0, out)
    if right in d.constants:
        return d.add("mul", left, d.constant(1.0 / d.constants[right]))
    return combined(d, "mul", left, d.add("table", right, chain=(("reciprocal",),)), 1.0, out)


def pow(d: Draft, a: Arguments, out: Shape) -> str:
    exponent, base = _scalar(d, a["exponent"]), _scalar(d, a["self"])
    if base is not None:
        return _power_of(d, base, a["exponent"])
    if exponent is None:
        raise Unsupported("pow with an exponent that is a tensor")
    return d.add("table", a["self"], chain=(("pow", exponent),))


def _power_of(d: Draft, base: float, x: str) -> str:
    if base <= 0.0:
        raise Unsupported(f"pow with the base {base:g}")
    return d.add("table", x, chain=(("affine", math.log(base), 0.0), ("exp",)))


def extreme(low: bool) -> Row:
    """maximum and minimum of a tensor and a number."""

    def row(d: Draft, a: Arguments, out: Shape) -> str:
        pair = (a["self"], a["other"])
        edge = next((c for x in pair if (c := _scalar(d, x)) is not None), None)
        if edge is None:
            raise Unsupported("the larger or smaller of two tensors")
        x = next(x for x in pair if _scalar(d, x) is None)
        step = ("clamp", edge, math.inf) if low else ("clamp", -math.inf, edge)
        return _widened(d, x, step, out)

    return row


def masked_fill(d: Draft, a: Arguments, out: Shape) -> str:
    return where(d, {"condition": a["mask"], "self": a["value"], "other": a["self"]}, out)


def where(d: Draft, a: Arguments, out: Shape) -> str:
    """A constant choice: both sides, each with zeros where it is not chosen, added up."""
    chosen = weights(d, a["condition"], "a mask").astype(bool)
    sides = ((a["self"], chosen), (a["other"], ~chosen))
    (x, kept), (y, _) = sides if _value(d, a["self"]) is None else sides[::-1]
    value = _value(d, y)
    if value is None:
        total = combined(d, "add", _masked(d, x, kept), _masked(d, y, ~kept), 1.0, out)
    else:
        total = _filled(d, x, kept, np.where(kept, np.float32(0), value), out)
    return total if d.shape(total) == tuple(out) else d.add("expand", total, shape=tuple(out))


def _value(d: Draft, x: Any) -> Array | None:
    """A number, or a constant; None of what is computed."""
    return np.asarray(x, np.float32) if isinstance(x, int | float) else d.constants.get(x)


def _masked(d: Draft, x: str, mask: Array) -> str:
    return d.add("mul", x, d.constant(mask.astype(np.float32)))


def _filled(d: Draft, x: str, kept: Array, rest: Array, out: Shape) -> str:
    """x where it is kept, and the rest; to x itself minus infinity may be added."""
    left = kept | np.isneginf(rest)
    if not left.all():
        x = _masked(d, x, left)
    return combined(d, "add", x, d.constant(rest), 1.0, out) if rest.any() else x
