# SPDX-License-Identifier: Apache-2.0
"""Random test cases for integer functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.integers.tiling import COMPARISONS, NUMBERS

TORCH = {
    "add": "{a} + {b}",
    "sub": "{a} - {b}",
    "mul": "{a} * {b}",
    "min": "torch.minimum({a}, {b})",
    "max": "torch.maximum({a}, {b})",
    "floor_div": "torch.div({a}, {b}, rounding_mode='floor')",
    "mod": "torch.remainder({a}, {b})",
    **{name: f"torch.{name}({{a}}, {{b}}).double()" for name in COMPARISONS},
}


def drawn(op: str, functions: tuple[str, ...], *, constant: bool) -> Callable[[Draw], DrawnUse]:
    def draw(d: Draw) -> DrawnUse:
        x, function = d.pick([(), *(d.shape(1, 3) for _ in range(3)), (70,)]), d.pick(functions)
        kinds = (d.pick(["int32", "uint8"]), "int32" if constant else d.pick(["int32", "uint8"]))
        low = 1 if function in ("floor_div", "mod") else -50
        each = d.rng.integers(low, 50, d.pick([x, (1,)]) or (1,)).astype(float)
        common = _common(d, kinds[: 2 - constant])
        common["dtype"] = "float32" if function in COMPARISONS else "int32"
        b = "w0.reshape(x0.shape if w0.numel() > 1 else ())" if constant else "x1"
        text = TORCH[function].format(a="x0", b=b)
        attrs, weights = {"function": function, "kinds": kinds}, (each,) if constant else ()
        return DrawnUse(op, attrs, (x,) * (2 - constant), text, weights=weights, **common)

    return draw


def cumsum(d: Draw) -> DrawnUse:
    x = d.pick([d.shape(1, 5), d.shape(1, 3, 12), (3, 200, 2)])
    kinds = (d.pick(["int32", "uint8"]),)
    attrs = {"axis": d.integer(0, len(x) - 1), "kinds": kinds}
    return DrawnUse("integer_cumsum", attrs, (x,), "x0.cumsum(axis)", **_common(d, kinds))


def _common(d: Draw, kinds: tuple[str, ...]) -> dict[str, Any]:
    return {**d.common(len(kinds), act=False), "kinds": kinds, "classes": 99, "dtype": "int32"}


CASES = {
    "integer_math": drawn("integer_math", NUMBERS[:5], constant=False),
    "integer_math_constant": drawn("integer_math_constant", NUMBERS, constant=True),
    "integer_compare": drawn("integer_compare", COMPARISONS, constant=False),
    "integer_compare_constant": drawn("integer_compare_constant", COMPARISONS, constant=True),
    "integer_cumsum": cumsum,
}
