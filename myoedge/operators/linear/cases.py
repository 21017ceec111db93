# SPDX-License-Identifier: Apache-2.0
"""Random test cases for linear layers and matrix products."""

from __future__ import annotations

from myoedge.operators.cases import Draw, DrawnUse, weight_slack


def linear(d: Draw) -> DrawnUse:
    shape = (*d.shape(0, 3, 4), d.pick([1, 2, 3, 5, 8, 17, 150]))
    weights = d.weights((d.integer(1, 9), shape[-1]))
    common = d.common(1, act=True) | {"slack": weight_slack, "per_tensor": d.flag()}
    return DrawnUse("linear", {}, (shape,), "F.linear(x0, *ws)", weights=weights, **common)


def matmul(d: Draw) -> DrawnUse:
    """Return a random test case of a batched matrix product, with the second operand transposed or
    not."""
    batch_a, batch_b = d.broadcast(0, 3)
    m, k, c = d.integer(1, 5), d.integer(1, 5), d.pick([1, 2, 3, 5, 9, 100])
    common = d.common(2, act=True) | {"int16": d.pick([(), (), (0,), (1,), (0, 1)])}
    if d.flag():
        shapes, attrs = ((*batch_a, m, c), (*batch_b, k, c)), {"b_turned": True}
        return DrawnUse("matmul", attrs, shapes, "torch.matmul(x0, x1.mT)", **common)
    shapes = ((*batch_a, m, c), (*batch_b, c, k))
    return DrawnUse("matmul", {}, shapes, "torch.matmul(x0, x1)", **common)


CASES = {"linear": linear, "matmul": matmul}
