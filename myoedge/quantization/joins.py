# SPDX-License-Identifier: Apache-2.0
"""Separate scales for operands of a concat whose ranges differ by more than a factor FAR.

All operands of a concat share one scale. If an operand with a small range also has other readers,
the concat reads a requantised copy of it, so that the operand itself keeps a fine scale.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, RewritePattern, apply
from myoedge.numerics.pointwise import IDENTITY
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.quantization.formats import shared_scale_groups
from myoedge.quantization.masked_ranges import Range
from myoedge.quantization.tensor_params import choose_params

Join = tuple[str, str]  # names of a concat and of one of its inputs
FAR = 4.0  # ratio of two scales, 2 bits, above which a copy is worth its cycles


def unlike_parts(graph: Graph, ranges: Mapping[str, Range]) -> frozenset[Join]:
    """Return (concat, operand) for operands that need a requantised copy: they have other readers,
    and their own scale would differ from the concat's by more than a factor FAR.

    ranges   range of every computed tensor
    """
    concats = {node.name: node for node in graph.nodes if node.op == "concat"}
    params = choose_params(graph, ranges, apart=concats)
    groups = shared_scale_groups(graph, params, apart=concats)
    used = {name for names in groups if _has_other_readers(graph, names) for name in names}
    return frozenset(
        (node.name, part)
        for node in concats.values()
        for part in node.inputs
        if part in used and _scale_ratio(params[part], params[node.name]) > FAR
    )


def _scale_ratio(a: QuantParams, b: QuantParams) -> float:
    return max(a.scale / b.scale, b.scale / a.scale)


def _has_other_readers(graph: Graph, names: Collection[str]) -> bool:
    """Return whether tensors with a shared scale have readers other than one concat."""
    readers = [reader for name in names for reader in graph.users.get(name, ())]
    concats = {reader.name for reader in readers if reader.op == "concat"}
    computes = any(not OPS[reader.op].same_scale for reader in readers)
    return computes or len(concats) > 1 or not set(graph.outputs).isdisjoint(names)


def with_copies(graph: Graph, joins: frozenset[Join]) -> Graph:
    """Return the graph in which concats read requantised copies of some operands; the same graph
    for no copies.

    joins   (concat, operand) pairs
    """
    return apply((RewritePattern(partial(_reads_only_copies, joins=joins), ("concat",)),), graph)


def _reads_only_copies(graph: Graph, node: Node, joins: frozenset[Join]) -> Rewrite | None:
    parts = dict.fromkeys(x for x in node.inputs if (node.name, x) in joins)
    if not parts:
        return None
    patch = GraphBuilder(graph, node)
    copies = {name: patch.add("table", name, chain=IDENTITY) for name in parts}
    return patch.last("concat", *(copies.get(name, name) for name in node.inputs), **node.attrs)


def copied_parts(graph: Graph) -> frozenset[Join]:
    """Return (concat, operand) for each operand that the concat already reads as a copy."""
    tables = (node for node in graph.nodes if node.attrs.get("chain") == IDENTITY)
    return frozenset(
        (reader.name, node.inputs[0])
        for node in tables
        for reader in graph.users.get(node.name, ())
        if reader.op == "concat"
    )
