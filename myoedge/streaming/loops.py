# SPDX-License-Identifier: Apache-2.0
"""Loops over time in a stream: a pass runs one iteration per frame, and its last states are the
first ones of the next pass. The last state of a loop is on a stream that of the newest frame.
Selective scans get the operand behind which streams have their states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node
from myoedge.operators.streaming_rule import StreamingRule, StreamState
from myoedge.operators.turns import IN_LOOPS, LAST, READ, STATE, WRITE, in_order, loop_spans

STATES = StreamState(0, "loop", (), None)  # the node of a loop that reads frames has none itself


@dataclass(frozen=True)
class SequenceLoop:
    """A loop of a graph.

    name        name of the loop
    nodes       its nodes: states, then the body
    sequences   tensors of which every iteration reads a row
    """

    name: str
    nodes: tuple[Node, ...]
    sequences: tuple[str, ...]

    def is_over_time(self, axis: Mapping[str, int]) -> bool:
        """Return whether its iterations are frames.

        axis   tensor -> time axis
        """
        return any(axis.get(name) == 0 for name in self.sequences)

    def rules(self) -> dict[str, StreamingRule]:
        """Return the rules by which an iteration reads: the same frame of all sequences, from frame
        0 on, which the initial states precede."""
        return dict.fromkeys(self.sequences, StreamingRule(0, carries=(STATES,)))


def loops_of(graph: Graph) -> dict[str, SequenceLoop]:
    """Return the loops of a graph by the names of their nodes."""
    found: dict[str, SequenceLoop] = {}
    for span in loop_spans(graph.nodes):
        body = graph.nodes[span.first : span.end]
        name = next(node.attrs["loop"] for node in body if node.op in IN_LOOPS)
        states = [n for n in graph.nodes if n.op == STATE and n.attrs["loop"] == name]
        sequences = dict.fromkeys(node.inputs[0] for node in body if node.op == READ)
        loop = SequenceLoop(name, (*states, *body), tuple(sequences))
        found.update((node.name, loop) for node in loop.nodes)
    return found


def with_sequences_of_states(graph: Graph) -> Graph:
    """Return the graph in which the last state of a loop is the last row of a sequence that the
    loop writes: on a stream, the state of each frame."""
    nodes, tensors = list[Node](), dict(graph.tensors)
    for node in graph.nodes:
        if node.op != LAST:
            nodes.append(node)
            continue
        state, steps = graph.tensors[node.name], node.attrs["steps"]
        every, last = f"{node.name}.states", f"{node.name}.last"
        cuts = ((steps - 1, steps, 1), *((0, n, 1) for n in state.shape))
        nodes += (
            node.but(op=WRITE, outputs=(every,)),
            node.but(op="slice", inputs=(every,), outputs=(last,), attrs={"cuts": cuts}),
            node.but(op="reshape", inputs=(last,), attrs={"shape": state.shape}),
        )
        tensors[every] = replace(state, name=every, shape=(steps, *state.shape))
        tensors[last] = replace(state, name=last, shape=(1, *state.shape))
    ordered = in_order(nodes, (*graph.inputs, *graph.constants))
    return replace(graph, nodes=ordered, tensors=tensors)


# --- selective scans ------------------------------------------------------------------------------


WITHOUT_D = 5  # operands: delta, x, B, C, A


def with_skip_factors(graph: Graph) -> Graph:
    """Return the graph with a D of zeros for selective scans that have none."""
    without = {
        n.name: n for n in graph.nodes if n.op == "selective_scan" and len(n.inputs) == WITHOUT_D
    }
    zeros = {
        f"{name}.skip": np.zeros(graph.shape(node.inputs[1])[-1:], np.float32)
        for name, node in without.items()
    }
    nodes = (
        node.but(inputs=(*node.inputs, f"{node.name}.skip")) if node.name in without else node
        for node in graph.nodes
    )
    constants = {**graph.constants, **as_constants(zeros)}
    return replace(graph, nodes=tuple(nodes), constants=constants) if without else graph
