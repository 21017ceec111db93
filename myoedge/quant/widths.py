# SPDX-License-Identifier: Apache-2.0
"""Which tensors have 16 bits: residual streams, whose noise would add up from block to block."""

from __future__ import annotations

from myoedge.ir import Graph, Node
from myoedge.op import OPS

NORMS = ("layer_norm", "rms_norm")


def wide_tensors(graph: Graph) -> frozenset[str]:
    """Sums that a norm reads, and else nobody but norms and other sums; outputs are none of them.

    Sums of 16 bits cost little, as they are bound by loads and stores of single numbers anyway,
    norms of them half as much again, and both twice the bytes of L2: 1.2 % of TinyMyo's cycles.
    """
    return frozenset(node.name for node in graph.nodes if _is_wide(graph, node))


def samples(graph: Graph) -> set[str]:
    """Tensors that an operator reads with 16 bits always: what a converter measured."""
    return {node.inputs[i] for node in graph.nodes for i in OPS[node.op].wide}


def _is_wide(graph: Graph, node: Node) -> bool:
    readers = graph.users.get(node.name, ())
    return (
        OPS[node.op].writes_wide
        and _plain(graph, node)
        and node.name not in graph.outputs
        and any(reader.op in NORMS for reader in readers)
        and all(OPS[reader.op].reads_wide and _plain(graph, reader) for reader in readers)
    )


def _plain(graph: Graph, node: Node) -> bool:
    """Without an activation, and without a broadcast of an operand."""
    weights = OPS[node.op].weights
    read = (graph.shape(x) for i, x in enumerate(node.inputs) if i not in weights)
    return "act" not in node.attrs and all(s == graph.shape(node.name) for s in read)
