# SPDX-License-Identifier: Apache-2.0
"""Rules that replace one node by others, applied until none matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from myoedge.graph.ir import Graph, Node, Origin, Tensor, prune
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


@dataclass(frozen=True, slots=True)
class Rule:
    """A rewrite of the nodes of some operators; of all nodes where `ops` is empty."""

    rewrite: Callable[[Graph, Node], Rewrite | None]
    ops: tuple[str, ...] = ()


def rewrites(*ops: str) -> Callable[[Callable[[Graph, Node], Rewrite | None]], Rule]:
    """Decorator that makes a function the rule for these operators, or for all without any."""
    return lambda rewrite: Rule(rewrite, ops)


def apply(rules: Sequence[Rule], graph: Graph, *, limit: int = 1_000) -> Graph:
    """The graph after every rule has been applied wherever it matches; the first in the table wins.

    Sweeps from inputs to outputs until nothing matches; `limit` bounds the number of sweeps.
    """
    for _ in range(limit):
        before = graph
        for node in before.nodes:
            if graph.producer.get(node.name) is not node:  # a rule has replaced it in this sweep
                continue
            fitting = (rule for rule in rules if not rule.ops or node.op in rule.ops)
            changes = (change for rule in fitting if (change := rule.rewrite(graph, node)))
            change = next(changes, None)
            graph = graph if change is None else splice(graph, node, change)
        if graph is before:
            return graph
    names = [rule.rewrite.__name__ for rule in rules]
    raise RuntimeError(f"rules still match after {limit} sweeps: {names}")


def splice(graph: Graph, node: Node, change: Rewrite) -> Graph:
    """The graph with `node` replaced; values that nobody reads any more are dropped.

    A renamed tensor's parameters go to the tensor that readers see, unless it carries its own.
    """
    names, carried = change.renamed, graph.quant_params
    moved = {new: carried[old] for old, new in names.items() if old in carried}
    at = next(i for i, other in enumerate(graph.nodes) if other is node)
    after = (
        n.but(inputs=tuple(names.get(x, x) for x in n.inputs)) if set(names) & set(n.inputs) else n
        for n in graph.nodes[at + 1 :]
    )
    nodes = (*graph.nodes[:at], *change.nodes, *after)
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


def joined_origins(*nodes: Node) -> tuple[Origin, ...]:
    """The origins of several nodes, each once, in order."""
    return tuple(dict.fromkeys(o for node in nodes for o in node.origin))


def made_by(graph: Graph, name: str, *ops: str, reader: Node | None = None) -> Node | None:
    """The node that writes a tensor, if it is one of these operators, or any without them.

    reader   that alone may read the tensor, which is no output then
    """
    node = graph.producer.get(name)
    alone = reader is None or graph.only_user(name) is reader
    return node if node is not None and alone and (not ops or node.op in ops) else None
