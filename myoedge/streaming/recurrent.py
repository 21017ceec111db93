# SPDX-License-Identifier: Apache-2.0
"""Recurrent steps in passes: the state after the last frame goes to the next pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from myoedge.operators.base import QuantizedNode, StreamingRule, StreamState
from myoedge.streaming.pass_builder import PassBuilder
from myoedge.streaming.stream import State
from myoedge.streaming.time_axis import not_causal


def add_recurrent(
    builder: PassBuilder,
    step: QuantizedNode,
    inputs: Sequence[str],
    rule: StreamingRule,
    begins: int,
) -> None:
    """Adds a recurrent step on the frames of a pass, with the states of the pass before.

    inputs   in the order of the node's, before they are states
    Errors: E131 a first state that is not one number for all of it.
    """
    fills = [_fill(builder, step, state) for state in rule.carries]
    scalars, pasts = dict(step.integers.scalars), dict[int, str]()
    for state in rule.carries:
        pasts[state.operand] = past = f"{step.node.name}_{state.name}_past"
        builder.add_tensor(past, state.shape, state.params)
        scalars |= state.scalars
    count = max(len(inputs), *(at + 1 for at in pasts))
    operands = [pasts[at] if at in pasts else inputs[at] for at in range(count)]
    stateful = replace(step, integers=replace(step.integers, scalars=scalars))
    added = builder.add_step(stateful, operands, step.attrs)
    for state, fill in zip(rule.carries, fills, strict=True):
        next_state = _next_state(builder, added, state)
        builder.states.append(State(operands[state.operand], next_state, fill, begins))


def _fill(builder: PassBuilder, step: QuantizedNode, state: StreamState) -> int:
    """The single value of an initial state."""
    if state.operand >= len(step.node.inputs):
        return state.fill(step)
    constant = builder.q.constants.get(step.node.inputs[state.operand])
    values = set() if constant is None else set(state.first(step, constant).reshape(-1).tolist())
    if len(values) != 1:
        reason = f"begins with a {state.name} that is not one number all over"
        raise not_causal(builder.q.graph, step.node, reason)
    return int(values.pop())


def _next_state(builder: PassBuilder, step: QuantizedNode, state: StreamState) -> str:
    """The state after the last frame, without the step's activation."""
    name = f"{step.node.name}_{state.name}_kept"
    if not state.last:
        return builder.last(step.node.name, name)
    builder.add_tensor(name, state.shape, state.params)
    attrs = {key: value for key, value in step.attrs.items() if key != "act"}
    arrays = {key: value for key, value in step.integers.arrays.items() if key != "table"}
    node = step.node.but(op=state.last, outputs=(name,), attrs=attrs)
    integers = replace(step.integers, arrays=arrays)
    low, high = state.params.low, state.params.high
    element = state.params.element_type
    last_step = replace(step, node=node, out=state.shape, low=low, high=high, element_type=element)
    builder.steps.append(replace(last_step, integers=integers))
    return name
