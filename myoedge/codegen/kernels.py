# SPDX-License-Identifier: Apache-2.0
"""C names and comments of a layer, and its constants."""

from __future__ import annotations

import re
from collections.abc import Mapping

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode


def function_name(index: int, step: QuantizedNode) -> str:
    return f"l{index:02d}_{step.node.op}"


def heading(step: QuantizedNode) -> str:
    """One line for people: operator, shapes, module path, source."""
    reads = ", ".join(_dims(shape) for shape in step.shapes)
    return comment(f"{step.node.op} {reads} -> {_dims(step.out)}  {step.node.where}")


def comment(text: str) -> str:
    """Text from a user's program for a C comment: one line, nothing that ends or continues it."""
    clean = re.sub(r"[^\x20-\x7e]", "?", text).replace("*/", "* /")
    clean = re.sub(r"\?(?=\?)", "? ", clean)  # no trigraphs
    return clean.rstrip("\\ ")


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def arrays(index: int, step: QuantizedNode, stored: Mapping[str, Array]) -> dict[str, Array]:
    """The constant arrays of a step, as its kernel reads them, under their C names."""
    name = function_name(index, step)
    return {f"{name}_{key}": value for key, value in sorted(stored.items())}
