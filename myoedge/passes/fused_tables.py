# SPDX-License-Identifier: Apache-2.0
"""Tables between two roundings of a file go into the operator in front: one layer, not two."""

from __future__ import annotations

from dataclasses import replace

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import joined_origins
from myoedge.numerics.element_type import INT8
from myoedge.numerics.pointwise import IDENTITY, bounds
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import has_table


def fuse_stated_tables(graph: Graph) -> Graph:
    """The graph with tables of 8 bits, between tensors that carry parameters, fused into the
    operators that alone write for them; what limits their results is part of the table then.

    Returns the graph itself where it has none.
    """
    for node in graph.nodes:
        maker = _maker(graph, node)
        if maker is not None:
            graph = _fused(graph, maker, node)
    return graph


def _maker(graph: Graph, node: Node) -> Node | None:
    """The operator that a table goes into; None where it stays a layer."""
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
