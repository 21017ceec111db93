# SPDX-License-Identifier: Apache-2.0
"""Activations next to fake_quantize nodes: fused between int8, separate next to int16."""

from __future__ import annotations

from dataclasses import replace

from myoedge.graph.ir import PRE, Graph, Node
from myoedge.graph.match import attempt, found, require, writer
from myoedge.graph.rewrite import joined_origins
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.pointwise import IDENTITY, bounds, is_continuous
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize import carried_params
from myoedge.operators.interpreter import has_table
from myoedge.operators.kernel_formats import layer_shapes, may_write

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
