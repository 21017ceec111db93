# SPDX-License-Identifier: Apache-2.0
"""States of recurrent layers within an unrolled loop.

A body is followed from its results. In an LSTM decoder they do not read the last cell state, so
the body seems to compute each cell state from the gates of the preceding iteration, again:

    h[t] = lstm(gates[t], h[t-1], c[t-1])
    c[t-1] = lstm_cell(gates[t-1], h[t-2], c[t-2])

`gates` is no float tensor and cannot be a state; c[t] can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from myoedge.graph.ir import Node
from myoedge.passes.loop_columns import Column, Unrolled, UnrolledBody, unrolled_body

Later = dict[Column, Column]  # column -> the same one iteration later


def without_repeats(body: UnrolledBody) -> UnrolledBody:
    """Return the body with the results that are computed from a repeated column as states; the body
    itself if it repeats none."""
    later = _later_columns(body)
    starts = [after for column, after in later.items() if body.unrolled.is_float(column)]
    if not starts:
        return body
    graph = body.graph
    missing = [x for x, after in later.items() if after[-1] not in graph.tensors]
    nodes = tuple(_last_node(body, x, later) for x in missing)
    tensors = {later[x][-1]: replace(graph.tensors[x[-1]], name=later[x][-1]) for x in missing}
    whole = replace(graph, nodes=(*graph.nodes, *nodes), tensors={**graph.tensors, **tensors})
    return unrolled_body(Unrolled(whole), [*body.starts, *starts]) or body


def _later_columns(body: UnrolledBody) -> Later:
    """Return the repeated columns that cannot be states, and the columns computed from them."""
    unrolled, later = body.unrolled, Later()
    by_first = {column[0]: column for column in body.columns}
    for column in body.stateful:
        again = by_first.get(column[1], ())
        if again[:-1] == column[1:]:
            later[column] = again
        elif any(x in later and not unrolled.is_float(x) for x in unrolled.inputs(column)):
            inputs = _last_inputs(body, column, later)
            if inputs is not None:
                later[column] = (*column[1:], _last_result(unrolled, column[-1], inputs))
    return later


def _last_inputs(body: UnrolledBody, column: Column, later: Later) -> list[str] | None:
    """Return the operands of a column's last tensor one iteration later; None if the body does not
    know one."""
    found = []
    for operand in body.unrolled.inputs(column):
        if operand in later:
            found.append(later[operand][-1])
        elif operand in body.states:
            found.append(body.states[operand][0][-1])
        elif body.unrolled.is_one_constant(operand):
            found.append(operand[-1])
        else:
            return None
    return found


def _last_result(unrolled: Unrolled, name: str, inputs: Sequence[str]) -> str:
    """Return the tensor that the node of `name` would compute from other operands: one of the
    graph, or a new one."""
    graph = unrolled.graph
    for node in graph.users.get(inputs[0], ()):
        if unrolled.kinds[node.name] == unrolled.kinds[name] and all(
            x == y or unrolled.is_one_constant((x, y))
            for x, y in zip(node.inputs, inputs, strict=True)
        ):
            return node.name
    return f"{name}.next"


def _last_node(body: UnrolledBody, column: Column, later: Later) -> Node:
    """Return the node that computes the last tensor of a column one iteration later."""
    inputs = _last_inputs(body, column, later)
    assert inputs is not None
    return body.graph.producer[column[-1]].but(inputs=(*inputs,), outputs=(later[column][-1],))
