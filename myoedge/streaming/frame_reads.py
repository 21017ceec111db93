# SPDX-License-Identifier: Apache-2.0
"""When frames come: which frame of a tensor a pass begins with, and what is kept of those before.

A pass makes `frames / stride` frames of every tensor. The first one of pass 0 has a number, its
`start`: 0 is the first frame of the network as it was exported, and what comes before it, with
numbers below 0, is made of frames that there never were and is given to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import StreamingRule
from myoedge.streaming.time_axis import Paths


@dataclass(frozen=True, slots=True)
class Read:
    """What a step reads of an operand in a pass.

    delay    frames by which the operand comes later, to meet another one
    history  frames of the passes before, in front of the new ones
    taken    frames of all of them, from the first on
    begins   pass before which the history is filled, so that frame 0 sees what is in front of it;
             None where no result is made of frames before 0
    """

    delay: int = 0
    history: int = 0
    taken: int = 0
    begins: int | None = None


@dataclass(frozen=True)
class Reads:
    """A graph in passes of so many frames.

    start    of every tensor: the number of its first frame in pass 0
    reads    of every node, by operand; of "" those of the outputs
    """

    frames: int
    start: Mapping[str, int]
    reads: Mapping[str, Mapping[str, Read]]

    def warmup(self, graph: Graph) -> int:
        """Frames of the outputs that come before frame 0."""
        return -self.start[graph.outputs[0]]

    def early(self, graph: Graph) -> int:
        """Frames of the inputs that come before frame 0."""
        return -self.start[graph.inputs[0]]


def best_reads(graph: Graph, paths: Paths, frames: int) -> Reads:
    """With as many frames in front of the first one as let the outputs come earliest."""
    tried = (reads(graph, paths, frames, early) for early in range(frames))
    rate = paths.stride[graph.outputs[0]]
    return min(tried, key=lambda r: (r.warmup(graph) * rate - r.early(graph), r.early(graph)))


def reads(graph: Graph, paths: Paths, frames: int, early: int = 0) -> Reads:
    """What every node reads in a pass.

    frames   of the inputs, a multiple of paths.most()
    early    frames that pass 0 has in front of frame 0, so that passes begin where it suits
    """
    start = dict.fromkeys(graph.inputs, -early)
    found: dict[str, Mapping[str, Read]] = {}
    for node in graph.nodes:
        moves = paths.moves[node.name]
        count = frames // paths.stride[next(iter(moves))]
        now = _together(node, moves, start, count)
        found[node.name] = {n: _read(m, start[n], now, count) for n, m in moves.items()}
        start[node.name] = min(_first(move, now) for move in moves.values())
    last = min(start[name] for name in graph.outputs)
    count = frames // paths.stride[graph.outputs[0]]
    found[""] = {name: Read(start[name] - last, 0, count) for name in graph.outputs}
    return Reads(frames, {**start, **dict.fromkeys(graph.outputs, last)}, found)


def _together(
    node: Node, moves: Mapping[str, StreamingRule], start: Mapping[str, int], count: int
) -> int:
    """The frame that all operands begin with in pass 0: that of the one which comes last.

    What is in front of frame 0 can be put there between two passes only, so that frame 0 has to be
    the first one of a pass.
    """
    last = min(start[name] for name in moves)
    return last - (last % count if any(move.anchored for move in moves.values()) else 0)


def _first(move: StreamingRule, now: int) -> int:
    """The first frame made of frames from `now` on and of a history as short as can be."""
    reach = max(move.taps - move.stride, move.before, 0)
    return (now + move.before - reach) // move.stride


def _read(move: StreamingRule, start: int, now: int, count: int) -> Read:
    made = count // move.stride
    return Read(
        delay=start - now,
        history=now + move.before - _first(move, now) * move.stride,
        taken=(made - 1) * move.stride + move.taps,
        begins=-now // count if move.anchored else None,
    )
