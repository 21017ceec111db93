# SPDX-License-Identifier: Apache-2.0
"""Which tensors have 16 bits: residual streams always, others where a network needs them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS, macs
from myoedge.quantization.shared_scales import tied

NORMS = ("layer_norm", "rms_norm")
PRODUCTS_A_CYCLE = 16  # that a product with results of 16 bits loses beside one of 8, roughly


def residual_streams(graph: Graph) -> frozenset[str]:
    """Sums that a norm reads, and else nobody but norms and other sums; outputs are none of them.

    Their noise would add up from block to block. Sums of 16 bits cost little, as they are bound by
    loads and stores of single numbers anyway, norms of them half as much again, and both twice the
    bytes of L2: 1.2 % of TinyMyo's cycles.
    """
    return frozenset(node.name for node in graph.nodes if _in_stream(graph, node))


def always_wide(graph: Graph) -> set[str]:
    """Tensors that an operator reads with 16 bits always: what a converter measured."""
    return {node.inputs[i] for node in graph.nodes for i in OPS[node.op].int16_inputs}


def _in_stream(graph: Graph, node: Node) -> bool:
    readers = graph.users.get(node.name, ())
    return (
        node.op == "add"
        and _writes(graph, node)
        and _alike(graph, node)
        and node.name not in graph.outputs
        and any(reader.op in NORMS for reader in readers)
        and all(r.op in ("add", *NORMS) and _reads(graph, r) and _alike(graph, r) for r in readers)
    )


def _alike(graph: Graph, node: Node) -> bool:
    """Without a broadcast of an operand."""
    weights = OPS[node.op].weights
    read = (graph.shape(x) for i, x in enumerate(node.inputs) if i not in weights)
    return all(shape == graph.shape(node.name) for shape in read)


def _reads(graph: Graph, node: Node) -> bool:
    able = OPS[node.op].accepts_int16
    return able is not None and able(node.attrs, *_shapes(graph, node))


def _writes(graph: Graph, node: Node) -> bool:
    able = OPS[node.op].emits_int16
    return able is not None and able(node.attrs, *_shapes(graph, node))


def _shapes(graph: Graph, node: Node) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    return [graph.shape(name) for name in node.inputs], graph.shape(node.name)


def candidates(graph: Graph, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Tensors that may have 16 bits and have not, by groups that share their parameters.

    Tensors that carry parameters keep them.

    names   of all tensors with parameters
    """
    wide, carried = residual_streams(graph), graph.quant_params.keys()
    groups = (
        tuple(group)
        for group in tied(graph, names)
        if not wide.issuperset(group) and carried.isdisjoint(group)
    )
    return [group for group in groups if all(_may_be_wide(graph, name) for name in group)]


def _may_be_wide(graph: Graph, name: str) -> bool:
    node = graph.producer.get(name)
    if node is None or not _writes(graph, node):
        return False
    return all(_reads(graph, reader) for reader in graph.users.get(name, ()))


def cost_cycles(graph: Graph, names: Iterable[str]) -> float:
    """What 16 bits instead of 8 cost a group of tensors, roughly: to choose among them."""
    made = [graph.producer[name] for name in names]
    readers = {n.name: n for name in names for n in graph.users.get(name, ())}
    wider = [n for n in readers.values() if OPS[n.op].int16_weights is not None]
    return sum(_cost_of(graph, node) for node in made) + sum(_products(graph, n) for n in wider)


def _cost_of(graph: Graph, node: Node) -> float:
    if OPS[node.op].view:
        return 0.0
    return math.prod(graph.shape(node.name)) + _products(graph, node)


def _products(graph: Graph, node: Node) -> float:
    return macs(node, *_shapes(graph, node)) / PRODUCTS_A_CYCLE
