# SPDX-License-Identifier: Apache-2.0
"""Rows of the ONNX import table that do arithmetic, with two operands or any number of them."""

from __future__ import annotations

from myoedge.frontend.torch import arithmetic
from myoedge.operators.import_rows import OnnxCall


def where(c: OnnxCall) -> str:
    """A choice that is constant."""
    c.array(0, "the condition")
    named = {"condition": c.x(0), "self": c.x(1), "other": c.x(2)}
    return arithmetic.where(c.builder, named, c.out)
