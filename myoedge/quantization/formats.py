# SPDX-License-Identifier: Apache-2.0
"""Tensors of 16 bits: residual streams always, others where a network needs them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS, macs
from myoedge.quantization.shared_scales import shared_scale_groups

NORMS = ("layer_norm", "rms_norm")
PRODUCTS_A_CYCLE = 16  # that a product with results of 16 bits loses beside one of 8, roughly


def residual_streams(graph: Graph) -> frozenset[str]:
    """Sums that a norm reads, and else nobody but norms and other sums; outputs are none of them.

    Their noise would add up from block to block. Sums of 16 bits cost little, as they are bound by
    loads and stores of single numbers anyway, norms of them half as much again, and both twice the
    bytes of L2: 1.2 % of TinyMyo's cycles.
    """
    return frozenset(node.name for node in graph.nodes if _in_stream(graph, node))


def required_int16(graph: Graph) -> set[str]:
    """Inputs that an operator reads with 16 bits always: samples of a converter."""
    return {node.inputs[i] for node in graph.nodes for i in OPS[node.op].int16_inputs}


def _in_stream(graph: Graph, node: Node) -> bool:
    readers = graph.users.get(node.name, ())
    return (
        node.op == "add"
        and _emits_int16(graph, node)
        and _without_broadcast(graph, node)
        and node.name not in graph.outputs
        and any(reader.op in NORMS for reader in readers)
        and all(
            r.op in ("add", *NORMS) and _accepts_int16(graph, r) and _without_broadcast(graph, r)
            for r in readers
        )
    )


def _without_broadcast(graph: Graph, node: Node) -> bool:
    """Whether all operands have the shape of the result."""
    weights = OPS[node.op].weights
    read = (graph.shape(x) for i, x in enumerate(node.inputs) if i not in weights)
    return all(shape == graph.shape(node.name) for shape in read)


def _accepts_int16(graph: Graph, node: Node) -> bool:
    rule = OPS[node.op].accepts_int16
    return rule is not None and rule(node.attrs, *_shapes(graph, node))


def _emits_int16(graph: Graph, node: Node) -> bool:
    rule = OPS[node.op].emits_int16
    return rule is not None and rule(node.attrs, *_shapes(graph, node))


def _shapes(graph: Graph, node: Node) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    return [graph.shape(name) for name in node.inputs], graph.shape(node.name)


def int16_groups(graph: Graph, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Tensors that may have 16 bits and have not, by groups that share their parameters.

    Tensors that carry parameters keep them.

    names   of all tensors with parameters
    """
    int16, carried = residual_streams(graph), graph.quant_params.keys()
    groups = (
        tuple(group)
        for group in shared_scale_groups(graph, names)
        if not int16.issuperset(group) and carried.isdisjoint(group)
    )
    return [group for group in groups if all(_may_be_int16(graph, name) for name in group)]


def _may_be_int16(graph: Graph, name: str) -> bool:
    node = graph.producer.get(name)
    if node is None or not _emits_int16(graph, node):
        return False
    return all(_accepts_int16(graph, reader) for reader in graph.users.get(name, ()))


def int16_cost_cycles(graph: Graph, names: Iterable[str]) -> float:
    """Estimated cycles of 16 bits instead of 8 for a group of tensors: to choose among groups."""
    readers = {n.name: n for name in names for n in graph.users.get(name, ())}
    weighted = [n for n in readers.values() if OPS[n.op].int16_weights is not None]
    producers = [graph.producer[name] for name in names]
    own = sum(_cost_of(graph, node) for node in producers)
    return own + sum(_products(graph, node) for node in weighted)


def _cost_of(graph: Graph, node: Node) -> float:
    if OPS[node.op].view:
        return 0.0
    return math.prod(graph.shape(node.name)) + _products(graph, node)


def _products(graph: Graph, node: Node) -> float:
    return macs(node, *_shapes(graph, node)) / PRODUCTS_A_CYCLE
