# SPDX-License-Identifier: Apache-2.0
"""Operators that run a part of the graph (the body) once per iteration of a loop.

Attributes: `loop`, its name; `steps`, its number of iterations. The operators only copy bytes:
loop_state sets the initial states, loop_read reads a row of a sequence, and at the end of an
iteration loop_write writes a row of the result and loop_next sets the next iteration's states. The
export as ONNX nodes is unrolled, with weights stored once; test cases have one iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.nest.ir import Nest
from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import NAME, whole
from myoedge.operators.base import QuantizedNode, add_operator
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.chains import in_tiles
from myoedge.operators.common_rules import as_in_floats, same_shape
from myoedge.operators.described import unary_nest
from myoedge.operators.format import EITHER_WIDTH, MOVES
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.kernel import TiledKernel, on_cluster
from myoedge.operators.library import moves
from myoedge.operators.library.copy_loops import Along, in_bytes
from myoedge.operators.qdq import Write, Writer, named
from myoedge.operators.qdq import whole as constant
from myoedge.operators.traits import ByHand, Described, Kept, Operands, Result
from myoedge.operators.turns import LAST, MOST_STEPS, NEXT, READ, STATE, ordered_ends
from myoedge.operators.turns import WRITE as WRITE_ROW
from myoedge.targets.chip import Engine

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
        return [*last, *(add(WRITE_ROW, x, *nexts.values(), **attrs) for x in rows)]


def row_shape(attrs: Attrs, x: Shape) -> Shape:
    """Return the shape of one row of a sequence.

    Errors: ValueError if the sequence does not have attrs["steps"] rows.
    """
    if not x or x[0] != attrs["steps"]:
        raise ValueError(f"{attrs['steps']} steps of {list(x)}")
    return x[1:]


def _row_copy(step: QuantizedNode) -> QuantizedNode:
    """Return the layer as a copy of one row; its address advances with every iteration."""
    row = step.out[1:] if step.node.op == WRITE_ROW else step.out
    node = step.node.but(op=STATE)
    return replace(step, node=node, out=row, shapes=(row,), operands=step.operands[:1])


def _tile_row_copy(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel that copies one row as words."""
    row = _row_copy(step)
    loops = [Along(n, n, axis) for axis, n in enumerate(row.out)]
    return moves.pieces(row, engine, [in_bytes(row, loops)])


def _generate_row_copy(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the generated kernel that copies one row, which is faster for few elements."""
    return in_tiles(_row_copy(step), engine)


def copied(step: QuantizedNode) -> Nest:
    """Return the description of a copy of the first operand."""
    return unary_nest(step, lambda x, axes: x)


def _repeat_row(step: QuantizedNode, row: Array, *_: Array) -> Array:
    """Return the row of one step in the place of every step."""
    return np.repeat(row[None], step.attrs["steps"], 0)


def _first_row(attrs: Attrs, *xs: np.ndarray) -> np.ndarray:
    return xs[0]


def next_shape(attrs: Attrs, x: Shape, state: Shape) -> Shape:
    """Return the shape of the next state. Errors: ValueError if it is not that of the state."""
    if x != state:
        raise ValueError(f"a state of {list(state)} that becomes {list(x)}")
    return x


ATTRIBUTES = {"loop": NAME, "steps": whole(1, MOST_STEPS + 1)}  # one more on a stream

moves_rows = partial(
    add_operator,
    attributes=ATTRIBUTES,
    result=Result(kept=Kept.ELEMENTS),
    kernels=(*on_cluster(_tile_row_copy, MOVES), *on_cluster(_generate_row_copy, EITHER_WIDTH)),
)
copies = partial(moves_rows, shape=same_shape, real=_first_row, integer=Described(copied))


LOOP_STATE = copies(name=STATE, doc="a state of a loop; its initial value is the operand")

LOOP_READ = moves_rows(
    name=READ,
    doc="the row of a sequence for one step of a loop",
    shape=row_shape,
    real=lambda attrs, x: x[0],
    integer=ByHand(lambda step, x: x[0]),
)

LOOP_NEXT = copies(
    name=NEXT,
    doc="copies the first operand into the state for the next step, the second operand",
    shape=next_shape,
)

LOOP_WRITE = moves_rows(
    name=WRITE_ROW,
    doc="the rows computed by the steps of a loop, along a new first axis",
    shape=lambda attrs, x, *_: (attrs["steps"], *x),
    real=lambda attrs, x, *_: np.repeat(x[None], attrs["steps"], 0),
    integer=Described(lambda step: copied(_row_copy(step)), _repeat_row),
    operands=Operands(read=1),
)

LOOP_LAST = add_operator(
    name=LAST,
    attributes=ATTRIBUTES,
    doc="the state after the last step of a loop; costs nothing",
    shape=same_shape,
    result=Result(kept=Kept.ELEMENTS),
    real=_first_row,
    integer=ByHand(as_in_floats(_first_row)),
    operands=Operands(read=1),
)


def _make_case(
    op: str, oracle: str, operands: int = 1, rows: int = 0
) -> Callable[[Draw], DrawnUse]:
    """Return a function that draws a test case of a loop operator.

    operands   number of operands, all of one shape
    rows       leading axes of extent 1
    """

    def drawn(d: Draw) -> DrawnUse:
        shape = (*[1] * rows, *d.shape(1, 4, 9))
        common = d.common(operands, act=False)
        return DrawnUse(op, {"loop": "l", "steps": 1}, (shape,) * operands, oracle, **common)

    return drawn


CASES = {
    STATE: _make_case(STATE, "x0.clone()"),
    READ: _make_case(READ, "x0[0].clone()", rows=1),
    NEXT: _make_case(NEXT, "x0.clone()", operands=2),
    WRITE_ROW: _make_case(WRITE_ROW, "x0[None].clone()"),
    LAST: _make_case(LAST, "x0.clone()"),
}


def write_in_step(w: Writer, node: Node, step: int, rows: dict[str, list[str]]) -> None:
    """Export one of the loop operators (loop_state, loop_read, ..) for iteration `step`.

    rows   sequence that the loop returns -> names of its rows so far
    """
    name, x = node.name, node.inputs[0]
    if node.op == READ:
        _store_tensor(w, name, _write_row(w, w.reals[x], step), x)
    elif node.op != WRITE_ROW:
        for y in (name, *node.inputs[1:2]):
            w.integers[y], w.reals[y] = w.integers[x], w.reals[x]
    else:
        rows.setdefault(name, []).append(w.node("Unsqueeze", w.reals[x], constant(w, 0)))
        if step == node.attrs["steps"] - 1:
            _store_tensor(w, name, w.node("Concat", *rows[name], axis=0), x)


def _store_tensor(w: Writer, name: str, value: str, x: str) -> None:
    """Store a tensor in the format of `x`; ids have no scale."""
    if x in w.params:
        w.store(name, value, w.params[x])
    else:
        w.integers[name] = w.reals[name] = value


def _write_row(w: Writer, x: str, step: int) -> str:
    return w.node("Gather", x, w.constant(np.array(step, np.int64)), axis=0)


def _write_rows(w: Writer, step: QuantizedNode, x: str) -> str:
    return w.node("Expand", w.node("Unsqueeze", x, constant(w, 0)), constant(w, *step.out))


WRITE: Mapping[str, Write] = {
    STATE: named("Identity"),
    READ: lambda w, step, x: _write_row(w, x, 0),
    NEXT: lambda w, step, x, state: w.node("Identity", x),
    WRITE_ROW: _write_rows,
    LAST: named("Identity"),
}
