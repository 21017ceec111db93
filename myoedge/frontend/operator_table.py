# SPDX-License-Identifier: Apache-2.0
"""Calls of PyTorch and operators of ONNX by the operator that they map to: for `myoedge ops` and
docs/ops.md.

Needs neither torch nor onnx.
"""

from __future__ import annotations

from myoedge.frontend.onnx.rows import FOLDED, ONNX_CALLS, SHAPES
from myoedge.frontend.torch.rows import CALLS


def calls_of(op: str) -> tuple[str, ...]:
    """Names of the calls that this operator does the work of, without overloads, sorted.

    op   "" for the calls that leave no operator behind
    """
    names = {_plain(name) for name in CALLS[op]}
    return tuple(sorted(name for name in names if not name.startswith("_")))


def onnx_of(op: str) -> tuple[str, ...]:
    """ONNX's operators that this operator does the work of, sorted; "" as for `calls_of`."""
    return tuple(sorted(ONNX_CALLS.get(op, ())))


def onnx_folded() -> tuple[str, ...]:
    """ONNX's operators that are worked out beforehand, where what they read is constant."""
    return tuple(sorted({*FOLDED, *SHAPES}))


def _plain(name: str) -> str:
    return name.removeprefix("aten.").split(".")[0]
