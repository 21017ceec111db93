# SPDX-License-Identifier: Apache-2.0
"""Work of passes, quantisation and planner on networks of many nodes, in calls of functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import numpy as np
import pytest

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.operators.graph_builder import GraphBuilder, concat, slice_axis
from myoedge.passes import prepare
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.targets import find_chip
from myoedge.targets.chip import Chip

FEW = 150
MOST = 2.3  # times the calls for twice the nodes
LARGE = replace(find_chip("gap9"), l2_bytes=1 << 24)  # which holds the code of all


def elementwise(count: int) -> Graph:
    d = GraphBuilder()
    x = y = d.input("x", (1, 16))
    for index in range(count):
        y = d.add("mul" if index % 3 else "add", y, x)
        y = d.add("table", y, chain=(("tanh",),)) if index % 2 else y
    return d.build([y], ["y"])


def linears(count: int) -> Graph:
    d = GraphBuilder()
    y = d.input("x", (1, 8))
    weights = np.random.default_rng(0).standard_normal((count, 8, 8))
    for index in range(count):
        y = d.add("table", d.add("linear", y, d.constant(weights[index])), chain=(("tanh",),))
    return d.build([y], ["y"])


def scan(count: int) -> Graph:
    """h = tanh(0.9 h + x[t]), written out, its states joined."""
    d = GraphBuilder()
    x = d.input("x", (count, 8))
    state, states = d.input("h", (1, 8)), []
    for step in range(count):
        decayed = d.add("table", state, chain=(("affine", 0.9, 0.0),))
        moved = d.add("add", decayed, slice_axis(d, x, 0, step, step + 1))
        state = d.add("table", moved, chain=(("tanh",),))
        states.append(state)
    return d.build([concat(d, states, 0)], ["y"])


def calls(work: Callable[[], object]) -> int:
    """Calls of Python functions; resumed generators count."""
    count = 0

    def called(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def planned(graph: Graph, chip: Chip) -> None:
    """All of the way from an imported graph to a plan."""
    made = prepare(graph)
    rng = np.random.default_rng(1)
    samples = {name: rng.standard_normal((1, *made.shape(name))) for name in made.inputs}
    network = quantize_graph(made, calibrate(made, samples, Observer(), "random"))
    make_plan(network, chip)


@pytest.mark.parametrize("network", [elementwise, linears, scan])
def test_twice_the_nodes_are_twice_the_work(network: Callable[[int], Graph]) -> None:
    few, many = network(FEW), network(2 * FEW)
    planned(network(8), LARGE)  # tables that are made once
    once = calls(lambda: planned(few, LARGE))
    assert calls(lambda: planned(many, LARGE)) < MOST * once


def test_more_layers_than_l2_has_room_for_their_code_are_refused_at_once() -> None:
    small = replace(find_chip("gap9"), l2_bytes=1 << 18)  # of which 128 KiB are reserved
    with pytest.raises(MyoedgeError, match=r"has +0 B beside the code of 240 layers") as refused:
        planned(elementwise(240), small)
    assert refused.value.code == "E301"
