# SPDX-License-Identifier: Apache-2.0
"""Refusal of integer formats in a model file that no kernel supports unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import OPS


class _ScaleRefusal(NamedTuple):
    says: str
    needs: str
    has: str
    tries: list[str]


def reject_unsupported_qdq(graph: Graph) -> None:
    """Raise E111 if an integer constant of the file cannot be used unchanged."""
    for node in graph.nodes if graph.formats else ():
        if (found := next(_refusals_of_node(graph, node), None)) is not None:
            raise MyoedgeError(
                "E111",
                f"{node.where} {found.says}, which would be quantised again",
                {"needs": found.needs, "has": found.has},
                found.tries,
            )


def _refusals_of_node(graph: Graph, node: Node) -> Iterator[_ScaleRefusal]:
    op, formats = OPS[node.op], dict(enumerate(map(graph.format, node.inputs)))
    adds_to_gates = op.weights.multiply_result and op.weights.at
    gates = graph.given_params(node.inputs[0]) if adds_to_gates else None
    if gates is not None and gates.element_type != INT16:
        yield _ScaleRefusal(
            "reads gate sums that the file rounds to 8 bits",
            "16 bits",
            "8 bits",
            ["remove QuantizeLinear between gates and recurrent layer, or make it int16"],
        )
    stated = formats[op.weights.at[0]] if op.macs is not None and op.weights.at else None
    if stated is not None:
        yield from _refusals_of_weights(graph, node, stated)
    yield from _refusals_of_constants(graph, node, formats)


def _refusals_of_constants(
    graph: Graph, node: Node, formats: Mapping[int, ConstantFormat | None]
) -> Iterator[_ScaleRefusal]:
    """Yield refusals of constants whose parameters differ from those that the operator requires."""
    op, is_row = OPS[node.op], node.op == "embedding"
    rounds = graph.is_fake_quantized(node.name) and (is_row or op.same_scale)
    for i, kind in formats.items():
        if rounds or kind is None or (i in op.weights.at and not is_row):
            continue
        carried = graph.given_params(node.name if is_row else node.inputs[i])
        is_same = carried is not None and carried == kind.params
        if not is_same and graph.array(node.inputs[i]).any():  # zeros are exact at any scale
            yield _refusal_of_constant(kind, is_row)


def _refusals_of_weights(
    graph: Graph, node: Node, stated: ConstantFormat
) -> Iterator[_ScaleRefusal]:
    """Yield refusals of weights without one scale per output channel."""
    op = OPS[node.op]
    value = graph.array(node.inputs[op.weights.at[0]])
    rows = stated.by_rows
    if rows is None:
        yield _ScaleRefusal(
            "has weight scales along another axis than the output channels",
            "one scale for the weights, or one for each output channel",
            f"{len(stated.scale)} scales along axis {stated.axis} of "
            f"{'x'.join(map(str, value.shape))}, output channels first",
            [
                "quantise the weights with one scale for each output channel: axis=1 of a MatMul",
                "quantise the weights with one scale: per_channel=False of quantize_static",
            ],
        )
        return
    steps = rows.steps(value)
    if steps is None or not op.weights.multiply_result:
        return
    low, high = int(steps.min(initial=0)), int(steps.max(initial=0))
    result = graph.given_params(node.name)
    if result is not None and result.element_type == INT16:
        return  # recurrent weights next to int16 results are int16
    if not INT8.low <= low <= high <= INT8.high:
        yield _ScaleRefusal(
            "has recurrent weights that exceed int8 after subtraction of their zero points",
            f"{INT8.low} to {INT8.high} less the zero point",
            f"{low} to {high}",
            ["quantise the recurrent weights to int8 with a zero point of 0"],
        )


def _refusal_of_constant(kind: ConstantFormat, is_row: bool) -> _ScaleRefusal:
    """Return the refusal of a constant operand whose scales differ from those of the tensor."""
    thing = "rows of a table" if is_row else "a constant operand"
    has = (
        f"{len(kind.scale)} scales"
        if kind.params is None
        else "scales that differ from the other operand's"
    )
    return _ScaleRefusal(
        f"has {thing} with scales of {'their' if is_row else 'its'} own",
        "one scale and zero point of at most 16 bits for the whole tensor",
        has,
        [
            "quantise the constant with one scale: per_channel=False of quantize_static",
            *(["round the rows after it: QuantizeLinear, DequantizeLinear"] if is_row else []),
        ],
    )
