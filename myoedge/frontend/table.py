# SPDX-License-Identifier: Apache-2.0
"""Which PyTorch calls lead to which operator: for `myoedge ops` and docs/ops.md; needs no torch."""

from __future__ import annotations

from myoedge.frontend.aten import CALLS


def calls_of(op: str) -> tuple[str, ...]:
    """Names of the calls that this operator does the work of, without overloads, sorted.

    op   "" for the calls that leave no operator behind
    """
    names = {_plain(name) for name in CALLS[op]}
    return tuple(sorted(name for name in names if not name.startswith("_")))


def _plain(name: str) -> str:
    return name.removeprefix("aten.").split(".")[0]
