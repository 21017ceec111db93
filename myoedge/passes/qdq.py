# SPDX-License-Identifier: Apache-2.0
"""Integer formats of a model file: refusal of those that no kernel supports unchanged, and
activations next to fake_quantize nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import PRE, Graph, Node
from myoedge.graph.match import attempt, found, require, writer
from myoedge.graph.rewrite import joined_origins
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.pointwise import IDENTITY, bounds, is_continuous
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize import carried_params
from myoedge.operators.interpreter import has_table
from myoedge.operators.kernel_formats import layer_shapes, may_write


class _ScaleRefusal(NamedTuple):
    says: str
    needs: str
    has: str
    tries: list[str]


def reject_unsupported_qdq(graph: Graph) -> None:
    """Raise E111 if an integer constant of the file cannot be used unchanged."""
    for node in graph.nodes:
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


# --- activations ----------------------------------------------------------------------------------


ROUND = "fake_quantize"


def tables_of_16_bits_apart(graph: Graph) -> Graph:
    """Split off activations that a kernel cannot apply: int16 activations of operators that write
    only int8, and discontinuous functions, which interpolation cannot represent."""
    nodes, tensors = list[Node](), {**graph.tensors}
    for node in graph.nodes:
        parts = attempt(_split_activation, graph, node) or ()
        nodes += parts or (node,)
        for part in parts:
            tensors[part.name] = replace(graph.tensors[node.name], name=part.name, pre_q=None)
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _check_activation_splits(graph: Graph, node: Node, before: QuantParams) -> None:
    """Check that a node's fused activation must become a separate node. Errors: NoMatch."""
    rounds = [reader for reader in graph.users.get(node.name, ()) if reader.op == ROUND]
    is_rounded = any(carried_params(reader.attrs).element_type == INT16 for reader in rounds)
    if before.element_type != INT16:  # tables next to int16 results are separate nodes
        require(is_rounded)
        return
    written = [_without_activation(node), node] if is_rounded else [_without_activation(node)]
    layer = layer_shapes(graph, node)
    is_written = all(may_write(each, INT16, *layer) for each in written)
    require(not is_written or not is_continuous(node.attrs["act"]))


def _without_activation(node: Node) -> Node:
    """Return a node without its fused activation."""
    return node.but(attrs={name: x for name, x in node.attrs.items() if name != "act"})


def _split_activation(graph: Graph, node: Node) -> tuple[Node, Node, Node]:
    """Split a node into three: operator, rounding of its result, activation.

    Errors: NoMatch if the activation can stay fused.
    """
    before = found(graph.given_params(node.name + PRE))
    require(has_table(node))
    _check_activation_splits(graph, node, before)
    whole, rounded = f"{node.name}.whole", f"{node.name}.rounded"
    kind = before.element_type
    limits = {"low": kind.low, "high": kind.high}
    stated = {"scale": before.scale, "zero_point": before.zero_point, **limits}
    return (
        _without_activation(node).but(outputs=(whole,)),
        Node(ROUND, (whole,), (rounded,), stated, node.origin),
        Node("table", (rounded,), node.outputs, {"chain": node.attrs["act"]}, node.origin),
    )


def fuse_tables_between_roundings(graph: Graph) -> Graph:
    """Fuse int8 tables into the producers of their inputs, if both tensors have parameters from the
    file and the table is the only reader.

    Clamps of the producer become part of the table. Returns the same graph if nothing is fused.
    """
    for node in graph.nodes:
        maker = attempt(_match_table_producer, graph, node)
        if maker is not None:
            graph = _fuse_table(graph, maker, node)
    return graph


def _match_table_producer(graph: Graph, node: Node) -> Node:
    """Return the producer into which a table is fused. Errors: NoMatch if the table stays a
    separate layer."""
    require(node.op == "table")
    maker = writer(graph, node.inputs[0], reader=node)
    require(OPS[maker.op].epilogue, not has_table(maker), graph.is_fake_quantized(maker.name))
    stated = (found(graph.given_params(x)) for x in (maker.name, node.name))
    require(all(params.element_type == INT8 for params in stated))
    return maker


def _fuse_table(graph: Graph, maker: Node, table: Node) -> Graph:
    act = (*maker.attrs.get("act", ()), *table.attrs["chain"])
    act = act if bounds(act) is None else (*act, *IDENTITY)  # a clamp alone would round once
    before, made = maker.name, table.name
    one = maker.but(
        outputs=table.outputs,
        attrs={**maker.attrs, "act": act},
        origin=joined_origins(maker, table),
    )
    tensors = {name: tensor for name, tensor in graph.tensors.items() if name != before}
    tensors[made] = replace(tensors[made], pre_q=graph.tensors[before].q)
    return replace(
        graph,
        nodes=tuple(one if n is maker else n for n in graph.nodes if n is not table),
        tensors=tensors,
    )
