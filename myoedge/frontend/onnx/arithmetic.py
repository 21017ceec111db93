# SPDX-License-Identifier: Apache-2.0
"""Rows of the ONNX import table that do arithmetic, with two operands or any number of them."""

from __future__ import annotations

import numpy as np

from myoedge.frontend.graph_builder import reshape
from myoedge.frontend.onnx.call import Call, OnnxRow
from myoedge.frontend.torch import arithmetic


def binary(op: str) -> OnnxRow:
    def row(c: Call) -> str:
        return str(arithmetic.binary(op)(c.draft, {"self": c.x(0), "other": c.x(1)}, c.out))

    return row


def div(c: Call) -> str:
    return arithmetic.div(c.draft, {"self": c.x(0), "other": c.x(1)}, c.out)


def power(c: Call) -> str:
    y = arithmetic.pow(c.draft, {"self": c.x(0), "exponent": c.x(1)}, c.out)
    return reshape(c.draft, y, c.out)


def extreme(low: bool) -> OnnxRow:
    """Max and Min of any number of inputs, two at a time."""
    pair = arithmetic.extreme(low)

    def row(c: Call) -> str:
        y = c.x()
        for i in range(1, len(c.inputs)):
            shape = np.broadcast_shapes(c.draft.shape(y), c.draft.shape(c.x(i)))
            y = pair(c.draft, {"self": y, "other": c.x(i)}, shape)
        return reshape(c.draft, y, c.out)

    return row


def where(c: Call) -> str:
    """A choice that is constant."""
    c.array(0, "the condition")
    named = {"condition": c.x(0), "self": c.x(1), "other": c.x(2)}
    return arithmetic.where(c.draft, named, c.out)


def total(c: Call) -> str:
    """Sum of any number of inputs."""
    y = c.x()
    for i in range(1, len(c.inputs)):
        shape = np.broadcast_shapes(c.draft.shape(y), c.draft.shape(c.x(i)))
        y = arithmetic.binary("add")(c.draft, {"self": y, "other": c.x(i)}, shape)
    return y


def average(c: Call) -> str:
    """Mean of any number of inputs."""
    y = total(c)
    share = (("affine", 1.0 / len(c.inputs), 0.0),)
    return y if len(c.inputs) == 1 else c.draft.add("table", y, chain=share)
