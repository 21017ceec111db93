# SPDX-License-Identifier: Apache-2.0
"""One C function per step: what its template sees."""

from __future__ import annotations

import re
from collections.abc import Mapping

from myoedge.codegen.render import C_TYPES, render
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.plan.plan import Plan


def function_name(index: int, step: QuantizedNode) -> str:
    return f"l{index:02d}_{step.node.op}"


def kernel(plan: Plan, index: int, step: QuantizedNode) -> str:
    """The C function of a step, its header line included."""
    name = function_name(index, step)
    values = {
        "step": step,
        "op": step.node.op,
        "attrs": step.attrs,
        "fn": name,
        "x": step.shapes,
        "y": step.out,
        "low": step.low,
        "high": step.high,
        "table": step.table is not None,
        "types": [C_TYPES[plan.quant.dtype(n)] for n in step.operands],
        "out_type": C_TYPES[plan.quant.dtype(step.node.name)],
        "heading": heading(step),
        **step.integers.scalars,
        **OPS[step.node.op].literals(step),
    }
    return render(template_path(step.node.op), values)


def template_path(op: str) -> str:
    """Path of an operator's template below firmware_templates."""
    template = OPS[op].template
    return template if "/" in template else f"kernels/{template}"


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


def arrays(
    index: int, step: QuantizedNode, stored: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """The constant arrays of a step under their C names; `stored` where they are packed."""
    name = function_name(index, step)
    found = step.integers.arrays if stored is None else stored
    return {f"{name}_{key}": value for key, value in sorted(found.items())}
