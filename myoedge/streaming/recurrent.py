# SPDX-License-Identifier: Apache-2.0
"""Recurrent steps in passes: what one frame leaves for the next goes from pass to pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from myoedge.operators.base import QuantizedNode, StreamingRule, StreamState
from myoedge.streaming.pass_builder import Parts
from myoedge.streaming.stream import State
from myoedge.streaming.time_axis import not_causal


def add_recurrent(
    parts: Parts, step: QuantizedNode, inputs: Sequence[str], move: StreamingRule, begins: int
) -> None:
    """The step on frames of a pass, from the states of the pass before.

    inputs   in the order of the node's, before they are states
    Errors: E131 a first state that is not one number for all of it.
    """
    fills = [_fill(parts, step, state) for state in move.carries]
    scalars, pasts = dict(step.integers.scalars), dict[int, str]()
    for state in move.carries:
        pasts[state.operand] = past = f"{step.node.name}_{state.name}_past"
        parts.plain(past, state.shape, state.params)
        scalars |= state.scalars
    count = max(len(inputs), *(at + 1 for at in pasts))
    taken = [pasts[at] if at in pasts else inputs[at] for at in range(count)]
    given = replace(step, integers=replace(step.integers, scalars=scalars))
    made = parts.add_on(given, taken, step.attrs)
    for state, fill in zip(move.carries, fills, strict=True):
        kept = _kept(parts, made, state)
        parts.states.append(State(taken[state.operand], kept, fill, begins))


def _fill(parts: Parts, step: QuantizedNode, state: StreamState) -> int:
    """The one number that all of a first state has."""
    if state.operand >= len(step.node.inputs):
        return state.fill(step)
    given = parts.q.constants.get(step.node.inputs[state.operand])
    values = set() if given is None else set(state.first(step, given).reshape(-1).tolist())
    if len(values) != 1:
        reason = f"begins with a {state.name} that is not one number all over"
        raise not_causal(parts.q.graph, step.node, reason)
    return int(values.pop())


def _kept(parts: Parts, step: QuantizedNode, state: StreamState) -> str:
    """What is left behind the last frame; activations are of results alone."""
    name = f"{step.node.name}_{state.name}_kept"
    if not state.last:
        return parts.last(step.node.name, name)
    parts.plain(name, state.shape, state.params)
    attrs = {key: value for key, value in step.attrs.items() if key != "act"}
    arrays = {key: value for key, value in step.integers.arrays.items() if key != "table"}
    node = step.node.but(op=state.last, outputs=(name,), attrs=attrs)
    integers = replace(step.integers, arrays=arrays)
    low, high = state.params.low, state.params.high
    element = state.params.element_type
    made = replace(step, node=node, out=state.shape, low=low, high=high, element_type=element)
    parts.steps.append(replace(made, integers=integers))
    return name
