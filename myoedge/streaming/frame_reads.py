# SPDX-License-Identifier: Apache-2.0
"""Frames that each operator reads in a pass: index of each tensor's first frame, and past frames
kept as states; why a stream cannot go on with frames that are joined in another way.

A pass computes `frames / rate` frames of every tensor. The first one in pass 0 has the index
`start`: 0 is the first frame of the exported network; frames with negative indices are computed
from nonexistent frames and are never output.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS
from myoedge.operators.streaming_rule import StreamingRule
from myoedge.operators.turns import READ, WRITE

Rates = Mapping[str, Fraction]
NodeRules = Mapping[str, Mapping[str, StreamingRule]]


@dataclass(frozen=True, slots=True)
class Read:
    """Frames of one operand that an operator reads in a pass.

    delay     frames by which the operand is delayed, to align it with another operand
    history   number of frames of earlier passes, which precede the new ones
    taken     number of frames read, from the first frame of the history on
    begins    pass before which the history is set to its fill value again, so that frame 0 has the
              right past; None if no result depends on frames before 0
    """

    delay: int = 0
    history: int = 0
    taken: int = 0
    begins: int | None = None


@dataclass(frozen=True)
class PassReads:
    """Frames that the operators of a graph read in every pass.

    frames   input frames per pass
    start    tensor -> index of its first frame in pass 0
    reads    node -> operand -> frames read; "" stands for the outputs
    """

    frames: int
    start: Mapping[str, int]
    reads: Mapping[str, Mapping[str, Read]]

    def warmup(self, graph: Graph) -> int:
        """Return the number of output frames that depend on samples before the stream's first
        frame."""
        return -self.start[graph.outputs[0]]

    def early(self, graph: Graph) -> int:
        """Return the number of input frames of pass 0 that precede frame 0."""
        return -self.start[graph.inputs[0]]


def earliest_reads(graph: Graph, rate: Rates, rules: NodeRules, frames: int) -> PassReads:
    """Return the frames that operators read in every pass; pass 0 starts so many frames before
    frame 0 that the first outputs are ready earliest.

    rate     tensor -> input frames per frame of the tensor
    rules    node -> operand -> streaming rule
    frames   input frames per pass
    """
    tried = (reads_of_pass(graph, rate, rules, frames, early) for early in range(frames))
    of_output = rate[graph.outputs[0]]
    return min(tried, key=lambda r: (r.warmup(graph) * of_output - r.early(graph), r.early(graph)))


def reads_of_pass(
    graph: Graph, rate: Rates, rules: NodeRules, frames: int, early: int = 0
) -> PassReads:
    """Return the frames that every node reads in a pass, for a given start of pass 0.

    frames   input frames per pass, of which every tensor has whole frames
    early    number of frames in pass 0 before the stream's frame 0
    """
    start = dict.fromkeys(graph.inputs, -early)
    reads_of: dict[str, Mapping[str, Read]] = {}
    for node in graph.nodes:
        own = rules[node.name]
        if not own:  # in a loop over time, which writes the frames that it reads
            reads_of[node.name] = {}
            if node.op == WRITE:
                start[node.name] = start[_first_iteration_key(node)]
            continue
        count = int(frames / rate[next(iter(own))])
        now = _newest_operand_frame(own, start, count)
        reads_of[node.name] = {n: _frames_read(m, start[n], now, count) for n, m in own.items()}
        start[node.name] = min(_first_output_group(rule, now) * rule.up for rule in own.values())
        if node.op == READ:
            start[_first_iteration_key(node)] = start[node.name]
    last = min(start[name] for name in graph.outputs)
    count = int(frames / rate[graph.outputs[0]])
    reads_of[""] = {name: Read(start[name] - last, 0, count) for name in graph.outputs}
    return PassReads(frames, {**start, **dict.fromkeys(graph.outputs, last)}, reads_of)


def _newest_operand_frame(
    own: Mapping[str, StreamingRule], start: Mapping[str, int], count: int
) -> int:
    """Return the index of the first operand frame that a node reads as a new one in pass 0.

    That is the first frame that all operands have, the most delayed one's. Data before frame 0 can
    be inserted between two passes only: frame 0 then begins a pass.

    count   frames of an operand in a pass
    """
    latest = min(start[name] for name in own)
    return latest - (latest % count if any(rule.anchored for rule in own.values()) else 0)


def _first_iteration_key(node: Node) -> str:
    """Return the key in PassReads.start for the first iteration of a loop in a pass."""
    return f"{node.attrs['loop']} iteration"


def _first_output_group(rule: StreamingRule, now: int) -> int:
    """Return the number of the first group of output frames of a pass whose input frames begin at
    index `now`, with the shortest possible history."""
    history = max(rule.taps - rule.stride, rule.before, 0)
    return (now + rule.before - history) // rule.stride


def _frames_read(rule: StreamingRule, start: int, now: int, count: int) -> Read:
    groups = count // rule.stride
    return Read(
        delay=start - now,
        history=now + rule.before - _first_output_group(rule, now) * rule.stride,
        taken=(groups - 1) * rule.stride + rule.taps,
        begins=-now // count if rule.anchored else None,
    )


# --- frames joined one by one ---------------------------------------------------------------------


MOST_PAIRS = 600  # of nodes of two steps that are compared
SINGLE = (
    "joins frames one by one",
    "apply a layer to all frames at once: head(torch.stack(states, 1)), not head(state)",
)


def drops_time_axis(graph: Graph, name: str, axes: Mapping[str, int]) -> bool:
    """Return whether a reshape before this tensor drops the axis of a single frame."""
    while (node := graph.producer.get(name)) is not None:
        name = next((x for x in node.inputs if x in axes), "")
        if node.op == "reshape" and graph.shape(name)[axes[name]] == 1:
            return graph.shape(node.name)[axes[node.name]] > 1
    return False


def joins_windows(graph: Graph, node: Node, name: str, axis: int) -> bool:
    """Return whether a reshape makes one axis of a batch axis above 1 and the time axis."""
    shape, windows = graph.shape(name), graph.shape(graph.inputs[0])[0]
    if node.op != "reshape" or windows == 1 or math.prod(shape[:axis]) != windows:
        return False
    joined = next((n for n in node.attrs["shape"] if n > 1), 1)
    return bool(shape[0] == windows and joined == windows * shape[axis])


def constants_that_change(graph: Graph, node: Node) -> Node | None:
    """Return the nearest node that computes the last of the frames which are joined behind a node
    with other constants than the frame before; None if the frames differ in other things, such as
    the weights of a layer."""
    pairs = _last_joined_pair(graph, node)
    for before, after in pairs:  # `pairs` grows in the loop
        one, other = graph.producer.get(before), graph.producer.get(after)
        if one is None or other is None:
            continue
        if (one.op, len(one.inputs)) != (other.op, len(other.inputs)) or len(pairs) > MOST_PAIRS:
            break
        if changed := _changed_constants(graph, one, other):
            return None if changed & {*OPS[one.op].weights.at} else other
        inputs = zip(one.inputs, other.inputs, strict=True)
        pairs += (pair for pair in inputs if pair not in pairs)
    return None


def _last_joined_pair(graph: Graph, node: Node) -> list[tuple[str, str]]:
    """Return the last two tensors of the concat behind a node; [] if there is none."""
    while node.op != "concat" and graph.users.get(node.name):
        node = graph.users[node.name][0]
    if node.op != "concat":
        return []
    pairs = [*itertools.pairwise(node.inputs)]
    return pairs[-1:]


def _changed_constants(graph: Graph, one: Node, other: Node) -> set[int]:
    """Return the positions of constants that differ between two nodes; -1: a function's numbers."""
    is_same = all(one.attrs.get(name) == other.attrs.get(name) for name in ("chain", "act"))
    values = (
        (graph.find_array(x), graph.find_array(y))
        for x, y in zip(one.inputs, other.inputs, strict=True)
    )
    constants = ((at, x, y) for at, (x, y) in enumerate(values) if x is not None and y is not None)
    changed = {at for at, x, y in constants if not np.array_equal(x, y)}
    return changed if is_same else {*changed, -1}
