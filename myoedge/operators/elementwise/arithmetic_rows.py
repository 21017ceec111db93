# SPDX-License-Identifier: Apache-2.0
"""Import rows of sums, products, quotients and powers of tensors and numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
    weights,
)
from myoedge.operators.import_rows import (
    Arguments,
    AtenRow,
    OnnxCall,
    one_by_one,
)


def number_of(d: GraphBuilder, value: Any) -> float | None:
    """A number, or the single element of a constant; None for tensors."""
    if isinstance(value, int | float):
        return float(value)
    found = d.constants.get(value)
    return float(found.reshape(-1)[0]) if found is not None and found.size == 1 else None


def binary(op: str) -> AtenRow:
    def row(d: GraphBuilder, a: Arguments, out: Shape) -> str:
        return combined(d, op, a["self"], a["other"], _alpha(a), out)

    return row


def rsub(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return combined(d, "sub", a["other"], a["self"], _alpha(a), out)


def _alpha(a: Arguments) -> float:
    """The factor of the second operand; overloads without one have 1."""
    return 1.0 if a.get("alpha") is None else float(a["alpha"])


def combined(d: GraphBuilder, op: str, left: Any, right: Any, alpha: float, out: Shape) -> str:
    """Scalars become a step of a table, tensors a node."""
    a, b = number_of(d, left), number_of(d, right)
    if any(c is not None and math.isinf(c) for c in (a, b)):
        raise Unsupported(f"{op} with an infinity")
    if b is not None and not _is_number(d, left):
        return _widened(d, left, _bynumber_of(op, b, alpha, scalar_right=True), out)
    if a is not None and not _is_number(d, right):
        return _widened(d, right, _bynumber_of(op, a, alpha, scalar_right=False), out)
    if alpha != 1.0:
        right = times(d, right, alpha)
    return d.add(op, left, right)


def times(d: GraphBuilder, x: str, factor: float) -> str:
    if x in d.constants:
        return d.constant(np.float32(factor) * d.constants[x])
    return d.add("table", x, chain=(("affine", factor, 0.0),))


def _is_number(d: GraphBuilder, value: Any) -> bool:
    return isinstance(value, int | float)


def _bynumber_of(op: str, c: float, alpha: float, *, scalar_right: bool) -> tuple[Any, ...]:
    if op == "mul":
        return ("affine", c, 0.0)
    sign = 1.0 if op == "add" else -1.0
    return ("affine", 1.0, sign * alpha * c) if scalar_right else ("affine", sign * alpha, c)


def _widened(d: GraphBuilder, x: str, step: tuple[Any, ...], out: Shape) -> str:
    """The table, and a reshape where the scalar had more axes than the tensor."""
    return reshape(d, d.add("table", x, chain=(step,)), out)


def div(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    if a.get("rounding_mode"):
        raise Unsupported(f"div with rounding_mode={a['rounding_mode']!r}")
    left, right = a["self"], a["other"]
    divisor = number_of(d, right)
    if divisor == 0.0:
        raise Unsupported("division by zero")
    if divisor is not None:
        return combined(d, "mul", left, 1.0 / divisor, 1.0, out)
    if right in d.constants:
        return d.add("mul", left, d.constant(1.0 / d.constants[right]))
    return combined(d, "mul", left, d.add("table", right, chain=(("reciprocal",),)), 1.0, out)


def pow(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    exponent, base = number_of(d, a["exponent"]), number_of(d, a["self"])
    if base is not None:
        return _power_of(d, base, a["exponent"])
    if exponent is None:
        raise Unsupported("pow with an exponent that is a tensor")
    return d.add("table", a["self"], chain=(("pow", exponent),))


def _power_of(d: GraphBuilder, base: float, x: str) -> str:
    if base <= 0.0:
        raise Unsupported(f"pow with the base {base:g}")
    return d.add("table", x, chain=(("affine", math.log(base), 0.0), ("exp",)))


def power_onnx(c: OnnxCall) -> str:
    """Pow, of which a base that is a number has the exponent's shape."""
    y = pow(c.builder, {"self": c.x(0), "exponent": c.x(1)}, c.out)
    return reshape(c.builder, y, c.out)


def average(c: OnnxCall) -> str:
    """Mean of any number of inputs."""
    y = str(total(c))
    share = (("affine", 1.0 / len(c.inputs), 0.0),)
    return y if len(c.inputs) == 1 else c.builder.add("table", y, chain=share)


total = one_by_one(binary("add"))


def batch_norm(d: GraphBuilder, a: Arguments, out: Any) -> Any:
    """Inference form: x * weight / sqrt(var + eps) + (bias - mean * that)."""
    if a["running_mean"] is None:
        raise Unsupported(
            "statistics of the batch (track_running_stats=False); the device has none"
        )
    mean, var = (weights(d, a[n], "a running statistic") for n in ("running_mean", "running_var"))
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    weight = ones if a.get("weight") is None else weights(d, a["weight"], "a batch norm's weight")
    bias = zeros if a.get("bias") is None else weights(d, a["bias"], "a batch norm's bias")
    scale = weight.astype(np.float64) / np.sqrt(var.astype(np.float64) + a["eps"])
    offset = bias - mean * scale
    return d.add("affine", a["input"], d.constant(scale), d.constant(offset), axis=1)


def batch_norm_onnx(c: OnnxCall) -> str:
    if c.attrs.get("training_mode"):
        raise Unsupported("training_mode=1: export after model.eval()")
    if len(c.shape()) < 2:
        raise Unsupported("a tensor without a channel axis")
    names = ("weight", "bias", "running_mean", "running_var")
    given: Mapping[str, Any] = {
        "input": c.x(),
        **{name: c.x(i) for i, name in enumerate(names, start=1)},
        "eps": float(c.attrs.get("epsilon", 1e-5)),
    }
    for name in names:
        found = weights(c.builder, given[name], f"a batch norm's {name}")
        if found.shape != c.shape()[1:2]:
            raise ValueError(f"{name} {list(found.shape)}")
    return str(batch_norm(c.builder, given, c.out))
