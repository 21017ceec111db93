# SPDX-License-Identifier: Apache-2.0
"""Frames of padding that a stream does not compute: the operators that read them have them in their
history.

A pad before the first frame gives no frames of its own. What it pads stands for it, with frames
counted from the first real one, and what operators that run frame by frame make of the padding is
known too. The next operator that looks back, such as a pool, then has an output as soon as its last
operand frame is there, as if the padding were its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import integer_step
from myoedge.operators.streaming_rule import StreamingRule
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.time_axis import TimeAxisMap

Rules = Mapping[str, StreamingRule]  # operand -> rule


@dataclass(frozen=True, slots=True)
class Padding:
    """Frames before the first real one of a tensor, which the whole network has and a stream lacks.

    frames   their number
    values   their integers: of the tensor's shape with so many frames, or one number of no axes
    """

    frames: int
    values: Array

    def expanded(self, frames: int, shape: Shape, axis: int) -> Array:
        """Return as many frames before the first real one; what comes before the padding is like
        its first frame.

        shape   shape of the tensor, with any number of frames
        """
        if not self.values.ndim:
            return np.full((*shape[:axis], frames, *shape[axis + 1 :]), self.values)
        missing = [(max(frames - self.frames, 0) * (d == axis), 0) for d in range(len(shape))]
        padded = np.pad(self.values, missing, "edge")
        return np.take(padded, range(padded.shape[axis] - frames, padded.shape[axis]), axis)


NONE = Padding(0, np.zeros((), np.int64))


@dataclass(frozen=True)
class Unpadded:
    """Streaming rules of a graph without frames of padding.

    rules    node -> operand -> rule, with frames counted from the first real one
    before   node -> operand -> the frames that it reads before the first real one
    padded   tensors that lack their padding
    """

    rules: Mapping[str, Rules]
    before: Mapping[str, Mapping[str, Padding]]
    padded: frozenset[str]


def unpadded(q: QuantGraph, paths: TimeAxisMap) -> Unpadded:
    """Return rules with which only outputs have frames of padding."""
    padded: dict[str, Padding] = {}
    rules: dict[str, Rules] = {}
    before: dict[str, Mapping[str, Padding]] = {}
    for step in q.steps:
        name, own = step.node.name, paths.rules[step.node.name]
        lacking = {n: padded.get(n, NONE) for n in own}
        before[name] = {n: _frames_before(q, step, n, paths, lacking[n]) for n in own}
        made = NONE if name in q.graph.outputs else _result_padding(q, step, paths, lacking)
        if made.frames:
            padded[name] = made
        rules[name] = {
            n: replace(rule, before=rule.before + lacking[n].frames - made.frames)
            for n, rule in own.items()
        }
    return Unpadded(rules, before, frozenset(padded))


def _frames_before(
    q: QuantGraph, step: QuantizedNode, name: str, paths: TimeAxisMap, lacking: Padding
) -> Padding:
    """Return the frames that a node reads before the first real frame of an operand: its own
    padding, then those that the operand lacks; a crop leaves some out.

    lacking   padding that the operand lacks
    """
    rule, shape, axis = paths.rules[step.node.name][name], q.graph.shape(name), paths.axis[name]
    frames = max(lacking.frames + rule.before, 0)
    own = Padding(max(rule.before, 0), np.asarray(rule.fill(step)))
    if not lacking.frames or (not lacking.values.ndim and own.values == lacking.values):
        return Padding(frames, own.values)
    if not own.frames:
        values = lacking.expanded(frames, shape, axis) if lacking.values.ndim else lacking.values
        return Padding(frames, values)
    parts = [x.expanded(x.frames, shape, axis) for x in (own, lacking)]
    return Padding(frames, np.concatenate(parts, axis))


def _result_padding(
    q: QuantGraph, step: QuantizedNode, paths: TimeAxisMap, lacking: Mapping[str, Padding]
) -> Padding:
    """Return the padding of a result, if its node runs frame by frame.

    lacking   padding that each operand lacks
    """
    rules = paths.rules[step.node.name]
    counts = {lacking[n].frames + rule.before for n, rule in rules.items()}
    if len(counts) != 1 or not all(rule.is_by_frame for rule in rules.values()):
        return NONE
    if (frames := counts.pop()) <= 0:
        return NONE
    operands = _padded_operands(q, step, paths, lacking)
    axis = paths.axis[step.node.name]
    made = np.take(integer_step(step, operands), range(frames), axis)
    # whether the node makes one number of one number, whatever its weights are
    is_scalar = (OPS[step.node.op].is_data_movement or step.node.op == "table") and not any(
        _frames_before(q, step, name, paths, x).values.ndim for name, x in lacking.items()
    )
    return Padding(frames, made.reshape(-1)[0] if is_scalar else made)


def _padded_operands(
    q: QuantGraph, step: QuantizedNode, paths: TimeAxisMap, lacking: Mapping[str, Padding]
) -> list[Array]:
    """Return a node's constants, and tensors that begin with their padding; their other frames do
    not matter."""
    operands = []
    for name, shape in zip(step.operands, step.shapes, strict=True):
        if name not in paths.rules[step.node.name]:
            operands.append(q.constants[name])
            continue
        x, axis, padding = np.zeros(shape, q.dtype(name)), paths.axis[name], lacking[name]
        first = (*(slice(None),) * axis, slice(padding.frames))
        x[first] = padding.expanded(padding.frames, shape, axis)
        operands.append(x)
    return operands
