# SPDX-License-Identifier: Apache-2.0
"""Inputs of networks of whole numbers: their element types follow the samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node, TensorQuant
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.pointwise import is_continuous
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.stated_requant import whole_params
from myoedge.operators.base import OPS
from myoedge.quantization.calibrate import Samples


def with_input_types(graph: Graph, samples: Samples | None = None) -> Graph:
    """The graph, its inputs of whole numbers int8, uint8 or int16: the first that holds all
    samples; int8 without samples.

    Errors: E249 for samples of fractions, of more than 16 bits, or of 16 where a layer reads 8.
    """
    untyped = {name for name in graph.integer_inputs if graph.given(name) is None}
    if not untyped:
        return graph
    given = {} if samples is None else samples
    limits = {name: _limits(name, given[name]) for name in untyped if name in given}
    usual = (INT8.low, INT8.high)
    params = {name: whole_params(*limits.get(name, usual)) for name in sorted(untyped)}
    for node in graph.nodes:  # what only moves an input's numbers has its parameters too
        of = params.get(node.inputs[0]) if OPS[node.op].same_scale else None
        if of is not None and graph.given(node.name) is None:
            params[node.name] = of
    for node in graph.nodes:
        _check_widths(graph, node, params)
    return graph.with_given({name: TensorQuant(q, name in untyped) for name, q in params.items()})


def _check_widths(graph: Graph, node: Node, params: Mapping[str, QuantParams]) -> None:
    """Errors: E249 where an operator has no kernel for inputs of 16 bits."""
    wide = [name for name in node.inputs if name in params and params[name].element_type == INT16]
    if not wide or OPS[node.op].same_scale or _reads_int16(graph, node):
        return
    raise MyoedgeError(
        "E249",
        f"samples of {wide[0]} are not the integers that {node.label} reads",
        {"needs": f"whole numbers of 8 bits, for {node.op}", "has": "numbers of 16 bits"},
        ["RequantShift in front of it, which brings them to 8 bits"],
    )


def _reads_int16(graph: Graph, node: Node) -> bool:
    """Whether an operator has a kernel with its integers; a fused table is a layer of its own then,
    lines between jumps are not the file's."""
    rule, attrs = OPS[node.op].accepts_int16, {k: v for k, v in node.attrs.items() if k != "act"}
    shapes = [graph.shape(name) for name in node.inputs]
    is_able = rule is not None and rule(attrs, shapes, graph.shape(node.name))
    return is_able and is_continuous(attrs.get("chain", ()))


def _limits(name: str, values: Array) -> tuple[int, int]:
    low, high = float(values.min()), float(values.max())
    wrong = values[values != np.rint(values)]
    if wrong.size or low < INT16.low or high > INT16.high:
        number = float(wrong.reshape(-1)[0]) if wrong.size else (low if low < INT16.low else high)
        raise MyoedgeError(
            "E249",
            f"samples of {name} are not the integers that the network reads",
            {"needs": f"whole numbers from {INT16.low:,} to {INT16.high:,}", "has": f"{number:g}"},
            [f"quantise the samples as in training: np.rint({name} / scale)"],
        )
    return int(low), int(high)
