# SPDX-License-Identifier: Apache-2.0
"""Activations next to fake-quantise nodes: fused between int8 tensors, separate next to int16."""

from __future__ import annotations

from dataclasses import replace

from myoedge.graph.ir import PRE, Graph, Node
from myoedge.graph.rewrite import joined_origins
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.pointwise import IDENTITY, bounds, is_continuous
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize.definition import carried_params
from myoedge.operators.interpreter import has_table
from myoedge.operators.kernel_formats import layer_shapes, may_write

ROUND = "fake_quantize"


def tables_of_16_bits_apart(graph: Graph) -> Graph:
    """Split off fused int16 activations from operators that only write int8, and discontinuous
    ones, which interpolation cannot represent, from all operators."""
    apart = [node for node in graph.nodes if _needs_table_apart(graph, node)]
    if not apart:
        return graph
    before = [(node, graph.given_params(node.name + PRE)) for node in apart]
    split = {node.name: _apart(node, params) for node, params in before if params is not None}
    made = {x: graph.tensors[n] for n, parts in split.items() for p in parts for x in p.outputs}
    return replace(
        graph,
        nodes=tuple(part for node in graph.nodes for part in split.get(node.name, (node,))),
        tensors={**graph.tensors, **{x: replace(t, name=x, pre_q=None) for x, t in made.items()}},
    )


def _needs_table_apart(graph: Graph, node: Node) -> bool:
    before = graph.given_params(node.name + PRE)
    if before is None or not has_table(node):
        return False
    if before.element_type != INT16:  # tables of 16-bit results are nodes of their own
        return _is_rounded_to_16_bits(graph, node.name)
    alone = node.but(attrs={name: x for name, x in node.attrs.items() if name != "act"})
    written = [alone, node] if _is_rounded_to_16_bits(graph, node.name) else [alone]
    layer = layer_shapes(graph, node)
    is_written = all(may_write(each, INT16, *layer) for each in written)
    return not (is_written and is_continuous(node.attrs["act"]))


def _is_rounded_to_16_bits(graph: Graph, name: str) -> bool:
    rounds = [reader for reader in graph.users.get(name, ()) if reader.op == ROUND]
    return any(carried_params(reader.attrs).element_type == INT16 for reader in rounds)


def _apart(node: Node, before: QuantParams) -> tuple[Node, Node, Node]:
    """Split a node into the operator, the rounding of its result, and its function."""
    whole, rounded = f"{node.name}.whole", f"{node.name}.rounded"
    attrs = {name: value for name, value in node.attrs.items() if name != "act"}
    kind = before.element_type
    limits = {"low": kind.low, "high": kind.high}
    stated = {"scale": before.scale, "zero_point": before.zero_point, **limits}
    return (
        node.but(outputs=(whole,), attrs=attrs),
        Node(ROUND, (whole,), (rounded,), stated, node.origin),
        Node("table", (rounded,), node.outputs, {"chain": node.attrs["act"]}, node.origin),
    )


def fuse_tables_between_roundings(graph: Graph) -> Graph:
    """Fuse int8 tables between quantised tensors into the operator that writes them, if it has no
    other reader; clamps of the results become part of the table.

    Returns the graph itself if it has none.
    """
    for node in graph.nodes:
        maker = _maker(graph, node)
        if maker is not None:
            graph = _fused(graph, maker, node)
    return graph


def _maker(graph: Graph, node: Node) -> Node | None:
    """Return the operator that a table is fused into; None if the table stays a separate layer."""
    if node.op != "table":
        return None
    x = node.inputs[0]
    maker, stated = graph.producer.get(x), (graph.given_params(x), graph.given_params(node.name))
    if maker is None or not OPS[maker.op].epilogue or has_table(maker):
        return None
    alone = graph.only_user(x) is node and x not in graph.outputs
    of_8_bits = all(q is not None and q.element_type == INT8 for q in stated)
    return maker if alone and of_8_bits and graph.is_fake_quantized(x) else None


def _fused(graph: Graph, maker: Node, table: Node) -> Graph:
    act = (*maker.attrs.get("act", ()), *table.attrs["chain"])
    act = act if bounds(act) is None else (*act, *IDENTITY)  # limits alone would round once
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
