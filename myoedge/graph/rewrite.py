# SPDX-License-Identifier: Apache-2.0
"""Rules that replace one node by others, applied until none matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from myoedge.graph.ir import Graph, Node, Tensor, prune
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Replacement of the matched node; every tensor that is written again has its old value.

    nodes      new nodes, in order, at the place of the matched one (none: it is dropped)
    renamed    tensors that readers see under another name from now on: {old: new}
    tensors    descriptions of the tensors that `nodes` write
    constants  arrays that `nodes` read
    quant_params   parameters carried by values that had another name, by their new one
    """

    nodes: tuple[Node, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    constants: Mapping[str, Array] = field(default_factory=dict)
    quant_params: Mapping[str, QuantParams] = field(default_factory=dict)


Rule = Callable[[Graph, Node], Rewrite | None]


def apply(rules: Sequence[Rule], graph: Graph, *, limit: int = 1_000) -> Graph:
    """The graph after every rule has been applied wherever it matches; the first in the table wins.

    Sweeps from inputs to outputs until nothing matches; `limit` bounds the number of sweeps.
    """
    for _ in range(limit):
        rewritten = _sweep(rules, graph)
        if rewritten is graph:
            return graph
        graph = rewritten
    raise RuntimeError(f"rules still match after {limit} sweeps: {[r.__name__ for r in rules]}")


def _sweep(rules: Sequence[Rule], graph: Graph) -> Graph:
    """One pass over the nodes; each is offered the graph as rewritten so far."""
    for node in graph.nodes:
        if graph.producer.get(node.name) is node:
            graph = _first_match(rules, graph, node)
    return graph


def _first_match(rules: Sequence[Rule], graph: Graph, node: Node) -> Graph:
    for rule in rules:
        found = rule(graph, node)
        if found is not None:
            return splice(graph, node, found)
    return graph


def splice(graph: Graph, node: Node, change: Rewrite) -> Graph:
    """The graph with `node` replaced; values that nobody reads any more are dropped.

    A renamed tensor's parameters go to the tensor that readers see, unless it carries its own.
    """
    names, carried = change.renamed, graph.quant_params
    moved = {new: carried[old] for old, new in names.items() if old in carried}
    at = next(i for i, other in enumerate(graph.nodes) if other is node)
    nodes = (*graph.nodes[:at], *change.nodes, *(_reading(n, names) for n in graph.nodes[at + 1 :]))
    return prune(
        replace(
            graph,
            nodes=nodes,
            outputs=tuple(names.get(out, out) for out in graph.outputs),
            tensors={**graph.tensors, **{t.name: t for t in change.tensors}},
            constants={**graph.constants, **change.constants},
            quant_params={**moved, **carried, **change.quant_params},
        )
    )


def _reading(node: Node, names: Mapping[str, str]) -> Node:
    if not any(name in names for name in node.inputs):
        return node
    return node.but(inputs=tuple(names.get(name, name) for name in node.inputs))
