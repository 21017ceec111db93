# SPDX-License-Identifier: Apache-2.0
"""Work of the passes on written cells, whose states read all of the earlier ones, in calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from myoedge.graph.ir import Graph
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis
from myoedge.operators.interpreter import run_float
from myoedge.operators.turns import loop_spans
from myoedge.passes import prepare
from tests.unit.test_long_graphs import calls

WIDTH = 6
MOST = 2.3  # times the calls for twice the steps
Cell = Callable[[GraphBuilder, str, list[str]], list[str]]


def one_minus(d: GraphBuilder, x: str) -> str:
    return d.add("table", x, chain=(("affine", -1.0, 1.0),))


def sigmoid(d: GraphBuilder, x: str) -> str:
    return d.add("table", x, chain=(("sigmoid",),))


def layer(d: GraphBuilder, x: str, seed: int) -> str:
    """The layer of this seed, its weights once per graph."""
    name = f"w{seed}"
    if name not in d.constants:
        drawn = np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)) / WIDTH
        d.constants[name] = d.constants.pop(d.constant(drawn))
    return d.add("linear", x, name)


def mixed(d: GraphBuilder, h: str, u: str, p: str) -> str:
    """h (1 - p) + p u"""
    return d.add("add", d.add("mul", h, one_minus(d, p)), d.add("mul", p, u))


def softmax_gate(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    p = d.add("softmax", layer(d, states[0], 1), axis=1)
    return [mixed(d, states[0], layer(d, x, 2), p)]


def softmax_of_state(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    return [mixed(d, states[0], x, d.add("softmax", states[0], axis=1))]


def norm_gate(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    h = states[0]
    total = d.add("sum", d.add("mul", h, h), axes=(1,), keepdim=True)
    return [mixed(d, h, x, sigmoid(d, total))]


def two_states_mix(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    h, g = states
    p, q = sigmoid(d, layer(d, g, 1)), sigmoid(d, layer(d, h, 2))
    return [mixed(d, h, layer(d, x, 3), p), mixed(d, g, h, q)]


def product_of_states(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    h = states[0]
    made = d.add("mul", d.add("mul", layer(d, h, 1), layer(d, h, 2)), x)
    bounded = d.add("table", made, chain=(("tanh",),))
    return [d.add("add", d.add("mul", h, bounded), x)]


def product_of_two_states(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    h, g = (d.add("table", state, chain=(("tanh",),)) for state in states)
    made = [d.add("mul", h, g), d.add("mul", g, layer(d, h, 1))]
    return [d.add("add", made[0], x), d.add("add", made[1], made[0])]


def deep_gate(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    """A gate whose every part is read twice."""
    p = sigmoid(d, states[0])
    for _ in range(3):
        p = d.add("add", d.add("mul", p, x), d.add("table", p, chain=(("tanh",),)))
    return [mixed(d, states[0], x, p)]


def second_order(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    h, before = states
    decayed = d.add("mul", h, sigmoid(d, x))
    return [d.add("add", decayed, d.add("mul", before, layer(d, x, 1))), h]


def parts_of_rows(d: GraphBuilder, x: str, states: list[str]) -> list[str]:
    """No state is read; of each part there are two readers."""
    for seed in range(12):
        x = d.add("mul", x, layer(d, x, seed))
    return [x]


CELLS: dict[Cell, int] = {
    softmax_gate: 1,
    softmax_of_state: 1,
    norm_gate: 1,
    two_states_mix: 2,
    product_of_states: 1,
    product_of_two_states: 2,
    deep_gate: 1,
    second_order: 2,
    parts_of_rows: 1,
}


def written(cell: Cell, steps: int, first: str, *, joined: bool) -> Graph:
    """A cell's steps, written out.

    first    of what the states begin: "zeros", "numbers" or the first "row"
    joined   whether all states are read, as rows of a matrix, or only the last ones
    """
    d = GraphBuilder()
    x = d.input("x", (steps, WIDTH))
    rows = [slice_axis(d, x, 0, t, t + 1) for t in range(steps)]
    begun = {"zeros": np.zeros((1, WIDTH)), "numbers": np.linspace(-1.0, 1.0, WIDTH)[None]}
    start = d.add("add", rows[0], layer(d, rows[0], 9))
    states = [d.constant(begun[first]) if first in begun else start for _ in range(CELLS[cell])]
    found = []
    for row in rows:
        states = cell(d, row, states)
        found.append(reshape(d, states[0], (1, 1, WIDTH)))
    y = d.add("concat", *found, axis=1) if joined else states[0]
    d.drop_unread([y])
    return d.build([y], ["y"])


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("first", ["zeros", "numbers", "row"])
@pytest.mark.parametrize("cell", CELLS)
def test_twice_the_steps_of_a_cell_are_twice_the_work(cell: Cell, first: str, joined: bool) -> None:
    few, many = (written(cell, steps, first, joined=joined) for steps in (24, 48))
    prepare(few)  # tables that are made once
    once = calls(partial(prepare, few))
    assert calls(partial(prepare, many)) < MOST * once


@pytest.mark.parametrize("steps", [7, 40])
@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("first", ["zeros", "numbers", "row"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_written_cell_is_one_loop_that_computes_its_steps(
    cell: Cell, first: str, joined: bool, steps: int
) -> None:
    graph = written(cell, steps, first, joined=joined)
    made = prepare(graph)
    given = {"x": np.random.default_rng(0).standard_normal((steps, WIDTH)).astype(np.float32)}
    (found,), (expected,) = (
        [run_float(some, given)[name] for name in some.outputs] for some in (made, graph)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    if cell is not parts_of_rows and steps > 7:
        (span,) = loop_spans(made.nodes)
        assert span.steps >= steps - 4
    assert len(made.nodes) < 100
