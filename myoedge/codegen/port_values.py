# SPDX-License-Identifier: Apache-2.0
"""Template values of a network's inputs and outputs: shapes, sizes, and the scales of integers."""

from __future__ import annotations

import math
from typing import Any

from myoedge.codegen.constants import comment
from myoedge.codegen.render import C_TYPES
from myoedge.operators.embedding import id_limits
from myoedge.plan.plan import Plan
from myoedge.quantization.ports import QuantPort


def port_values(plan: Plan) -> dict[str, Any]:
    """Return the template values of the inputs and outputs."""
    outputs = zip(plan.graph_outputs, plan.quant.graph.output_names, strict=True)
    return {
        "inputs": [
            _port_fields(plan, i, plan.quant.input_port(name), name)
            for i, name in enumerate(plan.graph_inputs)
        ],
        "outputs": [
            _port_fields(plan, i, plan.quant.output_port(name), shown)
            for i, (name, shown) in enumerate(outputs)
        ],
    }


def _port_fields(plan: Plan, number: int, port: QuantPort, shown: str) -> dict[str, Any]:
    location = plan.where[port.name]
    return {
        "number": number,
        "name": comment(shown),
        "shape": port.shape,
        "count": math.prod(port.shape),
        "type": C_TYPES[port.dtype],
        "bytes": port.size_bytes,
        # offset of an input or output in L3
        "map": plan.maps[str(location.index)] + location.offset if location.in_level else None,
        "meaning": _scale_formula(plan, port),
        "params": port.params,
        "border": port.normalization,
    }


def _scale_formula(plan: Plan, port: QuantPort) -> str:
    """Return the formula that converts integers to floats, "real = 0.0123 * (q + 128)", as text."""
    params = port.params
    if params is None and port.name in plan.graph_inputs:
        low, high = id_limits(plan.quant.graph, port.name) or (0, 0)
        return f"integers {low} to {high}"
    if params is None:
        return "indices"
    zero = f"(q - {params.zero_point})" if params.zero_point > 0 else f"(q + {-params.zero_point})"
    text = f"real = {params.scale!r} * {zero if params.zero_point else 'q'}"
    if (border := port.normalization) is not None:
        text += ", where real = x * FACTORS + OFFSETS"
        text += f", one of each along axis {border.axis}" if len(border.scale) > 1 else ""
    return text
