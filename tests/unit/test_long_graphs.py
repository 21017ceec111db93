# SPDX-License-Identifier: Apache-2.0
"""Work of passes, quantisation and planner on networks of many nodes, in calls of functions."""

from __future__ import annotations

import cProfile
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.operators.graph_builder import GraphBuilder, concat, slice_axis
from myoedge.passes import prepare
from myoedge.plan import packing
from myoedge.plan.packing import MANY, place
from myoedge.plan.placement import LiveRange, greedy, height
from myoedge.plan.schedule import LINKED_CODE_BYTES, make_plan
from myoedge.plan.timeline import Chunk
from myoedge.quantization import samples
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.recordings.sources import read
from myoedge.quantization.scales import quantize_graph
from myoedge.targets import find_chip
from myoedge.targets.chip import Chip
from tests.conftest import save_exported

FEW = 192  # eight chains of 24 members
MOST = 2.3  # times the calls for twice the nodes
LARGE = replace(find_chip("gap9"), l2_bytes=1 << 24)  # which holds the code of all


def elementwise(count: int) -> Graph:
    """Layers in a drawn order, in which no part repeats often enough for a loop."""
    d, rng = GraphBuilder(), random.Random(0)
    x = y = d.input("x", (1, 16))
    for _ in range(count):
        y = d.add(rng.choice(("mul", "mul", "add")), y, x)
        y = d.add("table", y, chain=(("tanh",),)) if rng.random() < 0.5 else y
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
    profile = cProfile.Profile(subcalls=False, builtins=False)
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def planned(graph: Graph, chip: Chip) -> None:
    """All of the way from an imported graph to a plan."""
    made = prepare(graph)
    rng = np.random.default_rng(1)
    given = {name: rng.standard_normal((1, *made.shape(name))) for name in made.inputs}
    network = quantize_graph(made, calibrate(made, given, Observer(), "random"))
    make_plan(network, chip)


@pytest.mark.parametrize(
    "network", [elementwise, pytest.param(linears, marks=pytest.mark.slow), scan]
)
def test_twice_the_nodes_are_twice_the_work(network: Callable[[int], Graph]) -> None:
    few, many = network(FEW), network(2 * FEW)
    planned(network(8), LARGE)  # tables that are made once
    once = calls(lambda: planned(few, LARGE))
    assert calls(lambda: planned(many, LARGE)) < MOST * once


def test_more_samples_are_no_more_looks_at_a_graph() -> None:
    graph = elementwise(FEW)
    few, many = (read({"x": np.zeros((count, 1, 16), np.float32)}) for count in (4, 64))
    once = calls(lambda: samples.fit(few, graph))
    assert calls(lambda: samples.fit(many, graph)) < once + FEW


def test_more_layers_than_l2_has_room_for_their_code_are_refused_at_once() -> None:
    gap9 = find_chip("gap9")
    small = replace(gap9, l2_bytes=gap9.l2_reserved_bytes + 10 * LINKED_CODE_BYTES)
    with pytest.raises(MyoedgeError, match=r"code of 1[2-4]\d layers [\d,]+ B") as refused:
        planned(linears(140), small)
    assert refused.value.code == "E301"


def lives_at_random(count: int) -> list[LiveRange]:
    """Most are short, some are alive for an eighth of all steps."""
    rng = random.Random(count)
    lengths = [int(rng.expovariate(1 / rng.choice((2, 8, count / 8)))) for _ in range(count)]
    return [LiveRange(f"{n}", 4 * rng.randint(1, 300), n, n + k) for n, k in enumerate(lengths)]


def test_many_buffers_are_placed_without_a_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        packing, "_pack_buffers", lambda *given: pytest.fail("its work has no bound")
    )
    lives = lives_at_random(MANY + 1)
    placed = place(lives, 4)
    assert placed.lower_bound_bytes <= placed.arena_bytes
    assert placed.arena_bytes == height(lives, greedy(lives, 4), 4)
    assert not placed.proven
    alive = [[x for x in lives if x.first <= step <= x.last] for step in range(0, MANY, 50)]
    spans = (sorted((placed.offsets[x.name], x.size_bytes) for x in there) for there in alive)
    for rows in spans:
        ends = [at + size for at, size in rows]
        assert all(end <= at for end, (at, _) in zip(ends, rows[1:], strict=False))


def test_a_chunk_is_read_without_a_copy_of_its_array() -> None:
    d = GraphBuilder()
    weights = np.random.default_rng(0).standard_normal((512, 512))
    y = d.add("linear", d.input("x", (1, 512)), d.constant(weights))
    made = prepare(d.build([y], ["y"]))
    ones = {"x": np.ones((1, 1, 512), np.float32)}
    plan = make_plan(quantize_graph(made, calibrate(made, ones, Observer(), "ones")), LARGE)
    name, array = max(plan.stored(0).items(), key=lambda item: item[1].nbytes)
    tracemalloc.start()
    found = plan.content(Chunk(0, name, 1024, 2048, 0, 0))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert array.nbytes >= 1 << 18 > 10 * peak_bytes
    assert found == array.tobytes()[1024:3072]


def test_twice_the_calls_of_a_file_are_twice_the_work_of_loading(tmp_path: Path) -> None:
    def saved(count: int) -> Path:
        layers = [(torch.nn.Linear(4, 4), torch.nn.ReLU(inplace=True)) for _ in range(count)]
        network = torch.nn.Sequential(*(module for pair in layers for module in pair))
        return save_exported(network, (torch.zeros(1, 4),), tmp_path / f"{count}.pt2")

    load_model(saved(2))  # what is imported and made once
    few, many = (calls(partial(load_model, saved(count))) for count in (30, 60))
    assert many < MOST * few
