# SPDX-License-Identifier: Apache-2.0
"""A loop under construction: its body is imported once, between its states and its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.loop.turns import LAST, MOST_STEPS, NEXT, READ, STATE, WRITE, ordered_ends

FEWER_STEPS = f"export with an example of at most {MOST_STEPS:,} steps: a shorter window"


@dataclass(frozen=True)
class LoopBody:
    """A loop whose body is the nodes that are added between `begin` and `end`.

    builder   builder of the graph
    name      unique name of the loop
    steps     number of iterations
    states    states as the body reads them
    """

    builder: GraphBuilder
    name: str
    steps: int
    states: list[str] = field(default_factory=list)

    @property
    def attrs(self) -> dict[str, Any]:
        return {"loop": self.name, "steps": self.steps}

    def begin(self, initial: Sequence[str], sequences: Sequence[str]) -> list[str]:
        """Add the loop's states and rows; return their names.

        initial     initial value of each state
        sequences   tensors [steps, *row], of which each iteration reads a row
        Errors: Unsupported for a sequence of another length, and for too many steps.
        """
        if self.steps > MOST_STEPS:
            reason = f"a loop of {self.steps:,} steps, at most {MOST_STEPS:,}"
            raise Unsupported(reason, FEWER_STEPS)
        add, attrs = self.builder.add, self.attrs
        if any(self.builder.shape(x)[:1] != (self.steps,) for x in sequences):
            raise Unsupported("sequences of different lengths")
        self.states.extend(add(STATE, x, **attrs) for x in initial)
        return [*self.states, *(add(READ, x, **attrs) for x in sequences)]

    def end(self, values: Sequence[str], rows: Sequence[str]) -> list[str]:
        """End the body; return the final states, then the concatenated rows [steps, *row] of all
        iterations.

        values   next value of each state, a tensor of the body
        rows     tensors of the body that each iteration returns
        Errors: Unsupported for a next state of another shape, and for states that are exchanged.
        """
        add, shape, attrs = self.builder.add, self.builder.shape, self.attrs
        pairs = [*zip(values, self.states, strict=True)]
        for value, state in pairs:
            if shape(value) != shape(state):
                raise Unsupported(
                    f"a state of {list(shape(state))} that becomes {list(shape(value))}"
                )
        nexts = {state: add(NEXT, value, state, **attrs) for value, state in pairs}
        nodes = self.builder.nodes
        try:
            ordered_ends(nodes[len(nodes) - len(nexts) :], nodes)
        except ValueError as error:
            raise Unsupported(f"{error} in every step") from None
        last = [
            add(LAST, x, *(n for n in nexts.values() if n != x), **attrs) for x in nexts.values()
        ]
        return [*last, *(add(WRITE, x, *nexts.values(), **attrs) for x in rows)]
