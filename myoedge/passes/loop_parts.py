# SPDX-License-Identifier: Apache-2.0
"""Division of a loop in front of a product that needs only some of its states.

    h = f(h, x), g = k(g, W h)   becomes   a loop of h; W times the rows of all h; a loop of g

A product of all iterations reads its weights once, and the accelerator computes it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from myoedge.graph.ir import Graph, Node, prune
from myoedge.graph.match import attempt, first_match, require
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.turns import IN_LOOPS, LAST, NEXT, READ, STATE, WRITE
from myoedge.passes.loop_rows import body_of_loop, compute_rows_of_loop, states_of_loop
from myoedge.passes.loops import in_loop_order, in_operand_order, with_patch

MOST_DIVISIONS = 64
FEWEST_MACS = 1 << 14  # of a product in all iterations: fewer do not pay for two more layers
MOST_ELEMENTS = 1 << 18  # of a sequence between two loops: L2 keeps it


def divide_loops(graph: Graph) -> Graph:
    """Divide each loop in front of each product whose operand needs only some of the states."""
    for _ in range(MOST_DIVISIONS):
        loops = dict.fromkeys(node.attrs["loop"] for node in graph.nodes if node.op in IN_LOOPS)
        bodies = [_LoopBody(graph, loop) for loop in loops]
        candidates = ((body, product) for body in bodies for product in body.products())
        divided = attempt(first_match, _compute_in_front, candidates)
        if divided is None:
            break
        graph = divided
    return graph


@dataclass(frozen=True)
class _LoopBody:
    """The nodes of one loop of a graph."""

    graph: Graph
    loop: str

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """Nodes that run in each iteration, in execution order."""
        return body_of_loop(self.graph, self.loop)

    @cached_property
    def nexts(self) -> dict[str, Node]:
        """State -> the node that updates it."""
        return states_of_loop(self.nodes)

    @cached_property
    def computed(self) -> dict[str, Node]:
        """Nodes that compute or read the tensors of an iteration."""
        ends = (STATE, NEXT, WRITE)
        return {name: node for name, node in self.nodes.items() if node.op not in ends}

    @cached_property
    def states_behind(self) -> Mapping[str, frozenset[str]]:
        """Tensor of the body -> states on which it depends, over all iterations."""
        behind = {state: frozenset({state}) for state in self.nexts}
        for _ in range(len(self.nexts) + 1):
            for name, node in self.computed.items():
                behind[name] = frozenset().union(*(behind.get(x, ()) for x in node.inputs))
            for state, end in self.nexts.items():
                behind[state] |= behind.get(end.inputs[0], frozenset())
        return behind

    def needed_by(self, names: Iterable[str]) -> set[str]:
        """Return the tensors of an iteration from which tensors are computed, with themselves."""
        needed, pending = set[str](), [*names]
        while pending:
            name = pending.pop()
            if name in self.computed and name not in needed:
                needed.add(name)
                pending += self.computed[name].inputs
        return needed

    def products(self) -> Iterator[Node]:
        """Yield the products of rows and constants that need some of the states, fewest first."""
        behind = self.states_behind
        products = [node for node in self.computed.values() if node.op == "linear"]
        for node in sorted(products, key=lambda node: len(behind[node.name])):
            if 0 < len(behind[node.name]) < len(self.nexts):
                x, y = (math.prod(self.graph.shape(name)) for name in (node.inputs[0], node.name))
                macs = self.steps * y * self.graph.shape(node.inputs[0])[-1]
                if macs >= FEWEST_MACS and self.steps * max(x, y) <= MOST_ELEMENTS:
                    yield node

    @property
    def steps(self) -> int:
        """Number of iterations."""
        return int(next(iter(self.nexts.values())).attrs["steps"])


def _compute_in_front(body: _LoopBody, product: Node) -> Graph:
    """Return the graph in which the states that a product needs are a loop of their own, and the
    product of all iterations is behind it. Errors: NoMatch."""
    states = body.states_behind[product.name]
    updates = (body.nexts[state].inputs[0] for state in states)
    first = body.needed_by([*updates, product.inputs[0]])
    require(product.name not in first)
    divided = _Division(body, states, first, f"{product.name}.loop").graph()
    hoisted = compute_rows_of_loop(prune(in_operand_order(divided)), body.loop)
    require(product.name not in hoisted.producer)
    return in_loop_order(hoisted)


@dataclass(frozen=True)
class _Division:
    """A loop that becomes two: a new one, and the rest, which reads the rows of its results.

    states    states of the new loop
    computed  tensors that the new loop computes or reads
    loop      name of the new loop
    """

    body: _LoopBody
    states: Collection[str]
    computed: Collection[str]
    loop: str

    @cached_property
    def updates(self) -> list[str]:
        """Nodes that update the new loop's states."""
        return sorted(self.body.nexts[state].name for state in self.states)

    @cached_property
    def own(self) -> set[str]:
        """Nodes of the new loop, without its results."""
        return {*self.states, *self.updates, *self.computed}

    def graph(self) -> Graph:
        """Return the graph with two loops. Errors: NoMatch if the rest reads one of the states."""
        graph, nodes = self.body.graph, self.body.nodes.items()
        rest = [node for name, node in nodes if name not in self.own and node.op != WRITE]
        patch = GraphBuilder(graph, replace(rest[0], outputs=(f"{self.loop}.rows",)))
        rows: dict[str, str] = {}
        for name in dict.fromkeys(x for node in rest for x in node.inputs if x in self.own):
            with patch.made_from(name):
                rows[name] = self._row(patch, name)
        kept = (self._kept(node, rows) for node in graph.nodes)
        return with_patch(graph, patch, (*kept, *patch.nodes), graph.outputs)

    def _row(self, patch: GraphBuilder, name: str) -> str:
        """Return the row of this iteration of a sequence that the body reads, or of the one that
        the new loop writes. Errors: NoMatch for a state, which the next iteration overwrites."""
        body, attrs = self.body, next(iter(self.body.nexts.values())).attrs
        if body.nodes[name].op == READ:
            return patch.add(READ, body.nodes[name].inputs[0], name=f"{name}.row", **attrs)
        made = name
        while made in body.computed and OPS[body.computed[made].op].view:
            made = body.computed[made].inputs[0]
        require(made in body.computed, body.nodes[made].op != READ)
        written = patch.add(WRITE, name, *self.updates, **{**attrs, "loop": self.loop})
        return patch.add(READ, written, name=f"{name}.row", **attrs)

    def _kept(self, node: Node, rows: Mapping[str, str]) -> Node:
        """Return a node of the graph as a node of one of the two loops, or of neither."""
        is_own = node.name in self.own
        if node.op in (WRITE, LAST) and node.attrs["loop"] == self.body.loop:
            is_own = node.inputs[0] in self.own
            alive = (x for x in node.inputs[1:] if (x in self.updates) == is_own)
            node = node.but(inputs=(node.inputs[0], *alive))
        if is_own and "loop" in node.attrs:
            node = node.but(attrs={**node.attrs, "loop": self.loop})
        if is_own:
            return node
        return node.reading(rows) if node.name in self.body.nodes else node
