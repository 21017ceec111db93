# SPDX-License-Identifier: Apache-2.0
"""Random test cases for pooling and reductions."""

from __future__ import annotations

from functools import partial
from typing import Any

from myoedge.graph.ir import Shape
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.pool.definition import adaptive, regular


def pool(op: str, d: Draw) -> DrawnUse:
    if d.integer(0, 7) == 0:
        return _in_any_order(op, d)
    rank = d.pick([1, 2, 2])
    windows = _adaptive if d.integer(0, 3) == 0 else _regular
    spatial, attrs, call = windows(d, op, rank)
    shape, common = (
        (d.pick([1, 1, 2]), *spatial, d.integer(1, 6)),
        d.common(1, act=op != "max_pool"),
    )
    text = f"x = x0.movedim(-1, 1)\n{call}.movedim(1, -1)"
    return DrawnUse(op, attrs, (shape,), text, int16=d.pick([(), (0,)]), **common)


def _in_any_order(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of a dilated pool along one axis, whose windows do not start in
    ascending order."""
    size, stride, dilation = d.integer(2, 4), d.integer(1, 3), d.integer(2, 3)
    n = (size - 1) * dilation + d.integer(1, 9)
    windows = regular(n, size, stride, (1, 0), dilation, ceil=d.flag(), count_pad=d.flag())
    one = "x0[:, low:high].amax(1)" if op == "max_pool" else "x0[:, low:high].sum(1) / divisor"
    text = f"torch.stack([{one} for low, high, divisor in windows[0]], 1)"
    shape = (d.pick([1, 1, 2]), n, d.integer(1, 6))
    common = d.common(1, act=op != "max_pool")
    return DrawnUse(op, {"windows": (windows,)}, (shape,), text, int16=d.pick([(), (0,)]), **common)


def _adaptive(d: Draw, op: str, rank: int) -> tuple[Shape, dict[str, Any], str]:
    """Draw an adaptive pool; return (input shape, attributes, call of the torch oracle)."""
    spatial = tuple(d.integer(1, 9) for _ in range(rank))
    out = tuple(d.integer(1, 6) for _ in range(rank))
    windows = tuple(adaptive(n, m) for n, m in zip(spatial, out, strict=True))
    return spatial, {"windows": windows}, f"F.adaptive_{op}{rank}d(x, {out})"


def _regular(d: Draw, op: str, rank: int) -> tuple[Shape, dict[str, Any], str]:
    """Draw a regular pool, sometimes with a divisor; return (input shape, attributes with the
    windows, call of the torch oracle)."""
    axes = []
    for _ in range(rank):
        size = d.integer(1, 5)
        pad = d.integer(0, size // 2)
        axes.append((d.integer(max(1, size - 2 * pad), 8), size, d.integer(1, 4), pad))
    spatial, sizes, stride, padding = zip(*axes, strict=True)
    ceil, count = d.flag(), d.flag()
    windows = tuple(regular(*axis, ceil=ceil, count_pad=count) for axis in axes)
    attrs: dict[str, Any] = {"windows": windows}
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil}
    if op == "avg_pool":
        options["count_include_pad"] = count
        if rank == 2 and d.integer(0, 3) == 0:
            attrs["divisor"] = options["divisor_override"] = d.integer(1, 12)
    named = ", ".join(f"{name}={value}" for name, value in options.items())
    return spatial, attrs, f"F.{op}{rank}d(x, {sizes}, {named})"


def reduction(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of a mean or sum (`op`) over adjacent axes; with int16 operands the
    output's range is at least half of the results'."""
    shape = d.pick([d.shape(1, 5), d.shape(1, 5), (2, 200, 3)])
    first = d.integer(0, len(shape) - 1)
    axes = tuple(range(first, d.integer(first + 1, len(shape))))
    attrs, text = {"axes": axes, "keepdim": d.flag()}, f"torch.{op}(x0, axes, keepdim)"
    int16, common = d.pick([(), (0,)]), d.common(1, act=True)
    if int16:
        common["factors"] = (max(common["factors"][0], 0.5), common["factors"][1])
    return DrawnUse(op, attrs, (shape,), text, int16=int16, **common)


CASES = {
    **{op: partial(pool, op) for op in ("max_pool", "avg_pool")},
    **{op: partial(reduction, op) for op in ("mean", "sum")},
}
