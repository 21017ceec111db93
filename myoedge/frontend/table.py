# SPDX-License-Identifier: Apache-2.0
"""Which PyTorch calls lead to which operator: for `myoedge ops` and docs/ops.md; needs no torch."""

from __future__ import annotations

from myoedge.frontend.aten import IMPORT


def calls_of(op: str) -> tuple[str, ...]:
    """Names of the ATen calls whose row makes this operator, without overloads, sorted."""
    names = {_plain(name) for name, row in IMPORT.items() if op in getattr(row, "makes", ())}
    return tuple(sorted(names))


def _plain(name: str) -> str:
    return name.removeprefix("aten.").split(".")[0]
