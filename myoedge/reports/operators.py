# SPDX-License-Identifier: Apache-2.0
"""The page of operators: those that are supported, generated from the operator tables."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from myoedge.codegen.render import render
from myoedge.frontend.onnx.control_flow import CONTROL
from myoedge.frontend.onnx.integer_operators import WRITTEN_OUT as WRITTEN_OUT_INTEGERS
from myoedge.frontend.onnx.quantized import QUANTIZERS
from myoedge.frontend.onnx.refusals import MISSING, SPECIAL
from myoedge.frontend.onnx.sequences import SEQUENCES
from myoedge.frontend.operator_table import (
    aten_folded,
    calls_of,
    complex_calls,
    onnx_folded,
    onnx_of,
)
from myoedge.frontend.refusals import INSTEAD
from myoedge.frontend.torch.traced import WRITTEN_OUT
from myoedge.numerics.pointwise import FUNCTIONS
from myoedge.operators.kernel_formats import format_rows

if TYPE_CHECKING:
    from myoedge.api import Operator


def markdown(operators: Sequence[Operator]) -> str:
    """Return the page of supported operators as Markdown; equal tables give equal text."""
    # besides x; "" for NumPy's functions
    parameters = {
        name: ", ".join([*inspect.signature(f).parameters][1:]) if inspect.isfunction(f) else ""
        for name, f in sorted(FUNCTIONS.items())
    }
    values = {
        "operators": operators,
        "formats": [*format_rows()],
        "no_operator": calls_of(""),
        "complex": complex_calls(),
        "onnx_no_operator": sorted([*onnx_of(""), *SEQUENCES, *CONTROL]),
        "onnx_quantized": sorted([*QUANTIZERS, *WRITTEN_OUT_INTEGERS]),
        "folded": aten_folded(),
        "written_out": [name.removeprefix("aten.") for name in sorted(WRITTEN_OUT)],
        "onnx_folded": onnx_folded(),
        "functions": parameters,
        "missing": INSTEAD,
        "onnx_missing": MISSING,
        "onnx_special": SPECIAL,
    }
    return render("report/ops.md.j2", values)
