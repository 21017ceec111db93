# SPDX-License-Identifier: Apache-2.0
"""Import rows of softmax of whole numbers."""

from __future__ import annotations

from typing import Any

from myoedge.graph.ir import Shape
from myoedge.numerics.stated_requant import LEVELS_MAX
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.requant_shift.import_rows import whole
from myoedge.operators.whole_softmax.definition import exponentials, fits


def _levels(a: Arguments) -> int:
    levels = whole(a["n_levels"], "a number of levels")
    if not 2 <= levels <= LEVELS_MAX:
        raise Unsupported(f"results of {levels} levels", "use 2 to 256 levels: 8 bits")
    return levels


def whole_softmax(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Errors: Unsupported for exponentials below 0, and for products beyond 32 bits."""
    numbers = {name: whole(a[name], f"a coefficient {name}") for name in ("a", "b", "c", "log2")}
    attrs: dict[str, Any] = {**numbers, "levels": _levels(a)}
    if attrs["log2"] < 2:  # its distances in units of log2 have 7 bits
        raise Unsupported(f"log2 = {attrs['log2']}", "use a log2 of at least 2")
    if not fits(attrs, out[-1]):
        exp = exponentials(attrs)
        raise Unsupported(
            f"exponentials from {exp.min():,} to {exp.max():,}", "use smaller coefficients"
        )
    return b.add("whole_softmax", a["self"], **attrs)


def shift_softmax(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """ITAMax: one group, up to n_levels - 1."""
    return b.add("shift_softmax", a["self"], group=out[-1], most=_levels(a) - 1)


def partial_softmax(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """ITAPartialMax: up to n_levels / 2 - 1. Errors: Unsupported for other groups."""
    group = whole(a["group_width"], "a group's width")
    if group < 1 or out[-1] % group:
        needs = "use groups that make up whole rows"
        raise Unsupported(f"groups of {group} in rows of {out[-1]}", needs)
    return b.add("shift_softmax", a["self"], group=group, most=_levels(a) // 2 - 1)


ROWS = (
    ImportRow(
        "whole_softmax",
        whole_softmax,
        onnx="PACTOps.iSoftmax(self, *, a: coeffA, b: coeffB, c: coeffC, log2, n_levels)",
    ),
    ImportRow("shift_softmax", shift_softmax, onnx="PACTOps.ITAMax(self, *, n_levels)"),
    ImportRow(
        "shift_softmax",
        partial_softmax,
        onnx="PACTOps.ITAPartialMax(self, *, group_width, n_levels)",
    ),
)
