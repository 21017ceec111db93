# SPDX-License-Identifier: Apache-2.0
"""Import of linear layers and matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.elementwise.arithmetic import combined, times
from myoedge.operators.graph_builder import (
    GraphBuilder,
    fusible_view,
    optional_bias,
    reshape,
    transpose,
)
from myoedge.operators.import_rows import Arguments, ImportRow


def linear(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a linear layer; with computed weights or a computed bias, as a matmul and a sum."""
    x, weight, bias = a["input"], a["weight"], a["bias"]
    if weight in d.constants and (bias is None or bias in d.constants):
        return _by_weights(d, x, weight, optional_bias(d, bias), out)
    columns = _transposed(d, weight) if len(d.shape(weight)) == 2 else weight
    y = matmul(d, {"self": x, "other": columns}, out)
    return y if bias is None else combined(d, "add", y, bias, 1.0, out)


def _by_weights(d: GraphBuilder, x: str, weight: str, bias: Sequence[str], out: Shape) -> str:
    """Multiply x [..., C] or [C] by weight [K, C]."""
    rows = reshape(d, x, (1, *d.shape(x))) if len(d.shape(x)) == 1 else x
    return fusible_view(d, d.add("linear", rows, weight, *bias), out)


def matmul(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    left, right = a["self"], next(a[n] for n in ("other", "mat2", "vec", "tensor") if n in a)
    if right in d.constants and d.array(right).ndim <= 2:
        w = d.array(right)
        return _by_weights(d, left, d.constant(w.T if w.ndim == 2 else w[None]), (), out)
    x, y = d.shape(left), d.shape(right)
    x, y = (x if len(x) > 1 else (1, *x)), (y if len(y) > 1 else (*y, 1))
    return reshape(d, d.add("matmul", reshape(d, left, x), reshape(d, right, y)), out)


def addmm(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import beta * C + alpha * (A @ B), for matrices or batches of matrices.

    If B is constant and C has a constant per column, it becomes a linear layer.
    """
    left, right = (_factor(d, a, i) for i in (1, 2))
    added, alpha, beta = a["self"], float(a["alpha"]), float(a["beta"])
    if right in d.constants:
        right, alpha = times(d, right, alpha), 1.0
        value = d.find_array(added or "")
        if len(d.shape(right)) == 2 and value is not None and {*value.shape[:-1]} <= {1}:
            bias = np.broadcast_to(value.reshape(-1), out[-1:])
            weight = d.constant(d.array(right).T)
            return d.add("linear", left, weight, times(d, d.constant(bias), beta))
    shape = (*d.shape(left)[:-1], d.shape(right)[-1])
    y = times(d, matmul(d, {"self": left, "other": right}, shape), alpha)
    return y if added is None else combined(d, "add", y, times(d, added, beta), 1.0, out)


def _factor(d: GraphBuilder, a: Arguments, i: int) -> str:
    """Return the first or second matrix of a call, transposed if the call says so."""
    x = str(next(a[name] for name in (f"mat{i}", f"batch{i}") if name in a))
    return _transposed(d, x) if a.get(f"trans{i}") else x


def _transposed(d: GraphBuilder, x: str) -> str:
    return d.constant(d.array(x).T) if x in d.constants else transpose(d, x, (1, 0))


# These calls have two operators: with a constant matrix they become linear layers.
ROWS = (
    ImportRow("linear matmul", linear, "linear"),
    ImportRow("linear matmul", matmul, "matmul mm bmm mv dot", "MatMul(self, other)"),
    ImportRow(
        "linear matmul",
        addmm,
        "addmm baddbmm",
        "Gemm(mat1, mat2: finite, self: finite, *, alpha=1.0, beta=1.0, trans1: transA = False, "
        "trans2: transB = False)",
    ),
)
