# SPDX-License-Identifier: Apache-2.0
"""Import of variances, standard deviations and vector norms."""

from __future__ import annotations

import math
from typing import Any

from myoedge.operators.graph_builder import GraphBuilder, Unsupported, as_tuple
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.pool.import_rows import REDUCED, reduction
from myoedge.operators.variance import LENGTH_MAX


def axes_of(d: GraphBuilder, a: Arguments) -> tuple[int, ...]:
    """Return the axes that a call reduces; all axes if it does not name any."""
    rank, dims = len(d.shape(first(a))), as_tuple([] if a.get("dim") is None else a["dim"], 1)
    return tuple(sorted({axis % rank for axis in dims})) or tuple(range(rank))


def spread(
    d: GraphBuilder, a: Arguments, correction: float | None, *, centred: bool, root: bool
) -> str:
    """Add sum(x^2) / (n - correction), or sum(x^2) if correction is None; return the result's name.

    centred   whether the mean is subtracted from x
    root      whether the square root is returned
    Errors: Unsupported for too many or too few elements.
    """
    axes, x = axes_of(d, a), first(a)
    n = math.prod(d.shape(x)[axis] for axis in axes)
    divisor = 1.0 if correction is None else float(n - correction)
    if n > LENGTH_MAX:
        raise Unsupported(f"squares of {n:,} elements, at most {LENGTH_MAX:,}")
    if divisor <= 0.0:
        raise Unsupported(f"a variance of {n} elements with correction={correction:g}")
    attrs: dict[str, Any] = {
        "axes": axes,
        "keepdim": bool(a.get("keepdim", False)),
        "divisor": divisor,
    }
    return d.add("variance", x, **attrs, centred=centred, root=root)


def variance(*, root: bool, with_mean: bool = False) -> Row:
    """Return a function that imports torch's var or std; the divisor is n - 1, or n - correction.

    root        whether it is std
    with_mean   whether the call also returns the mean
    """

    def row(d: GraphBuilder, a: Arguments, out: Any) -> Any:
        given = a["correction"] if "correction" in a else a["unbiased"]
        y = spread(d, a, 1.0 if given is None else float(given), centred=True, root=root)
        if not with_mean:
            return y
        keepdim = bool(a.get("keepdim", False))
        return y, d.add("mean", first(a), axes=axes_of(d, a), keepdim=keepdim)

    return row


def length(*, root: bool) -> Row:
    """Return a function that imports the sum of squares, or with `root` its square root."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        if a.get("noop") and not a.get("dim"):
            return d.add("table", first(a), chain=(("abs",),) if root else (("square",),))
        return spread(d, a, None, centred=False, root=root)

    return row


def vector_norm(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import a vector norm of any order: the root of a power sum, the maximum, the minimum, or the
    number of nonzero elements."""
    order = a.get("ord", a.get("p"))
    order = 2 if order is None else order
    if order == 2:
        return spread(d, a, None, centred=False, root=True)
    if order == -math.inf:
        least = reduction("max_pool", [("abs",), ("neg",)], [("neg",)])
        return str(least(d, a, out))
    if order in (1, math.inf):
        return str(reduction("sum" if order == 1 else "max_pool", [("abs",)])(d, a, out))
    if order == 0:
        return str(reduction("sum", [("ne", 0.0)])(d, a, out))
    powers, root = [("abs",), ("pow", float(order))], [("pow", 1.0 / order)]
    return str(reduction("sum", powers, root)(d, a, out))


ROWS = (
    ImportRow("variance", variance(root=False), "var var.dim var.correction"),
    ImportRow("variance", variance(root=True), "std std.dim std.correction"),
    *(
        ImportRow(
            "variance mean",
            variance(root=root, with_mean=True),
            f"{name}_mean {name}_mean.dim {name}_mean.correction",
            all_results=True,
        )
        for name, root in (("var", False), ("std", True))
    ),
    ImportRow(
        "variance",
        vector_norm,
        "linalg_vector_norm norm.Scalar norm.ScalarOpt_dim norm.ScalarOpt_dtype "
        "norm.ScalarOpt_dim_dtype",
    ),
    ImportRow("variance", length(root=True), onnx=f"ReduceL2{REDUCED}"),
    ImportRow("variance", length(root=False), onnx=f"ReduceSumSquare{REDUCED}"),
)
