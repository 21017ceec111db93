# SPDX-License-Identifier: Apache-2.0
"""The precision search: what counts, what it may cost, and traps of earlier searches."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.building import confirm
from myoedge.building.loading import load_model
from myoedge.building.precision import Reached, reach
from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators import batches
from myoedge.operators.base import QuantizedNode
from myoedge.operators.engine_choice import EngineChoice
from myoedge.operators.interpreter import integer_step
from myoedge.quantization.calibrate import InputArrays, Observer, calibrate
from myoedge.quantization.cell_steps import with_cell_steps
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search import search as loop
from myoedge.quantization.search.bench import MOST_RUNS, Bench, MeasuredNoise
from myoedge.quantization.search.goal import UNLIMITED, CycleBudget, Goal
from myoedge.quantization.search.moves.equalize import equalized
from myoedge.quantization.search.moves.weight_steps import well_determined_weights
from myoedge.quantization.search.state import (
    NO_ROOM,
    ONE_HALF,
    TOO_SLOW,
    Design,
    Proposal,
    Search,
    SearchState,
)
from myoedge.quantization.sqnr import measure
from tests.conftest import save_exported
from tests.e2e.test_onnx_models import MODELS, pairs
from tests.support.searches import searched, started, workshop_of
from tests.unit.test_refine import Quiet, graph_of, quiet

__all__ = ["quiet"]

ANY = Goal(60.0, budgets=UNLIMITED)


def unlike() -> tuple[Graph, InputArrays]:
    """Two layers with unlike channels between them, and twelve layers of tanh."""
    torch.manual_seed(0)
    first, second, *others = (nn.Linear(16, 16, bias=False) for _ in range(14))
    with torch.no_grad():
        for layer in (first, second, *others):
            layer.weight.copy_(1.5 * nn.init.orthogonal_(torch.empty(16, 16)))
        factors = 2.0 ** (torch.arange(16) % 8)
        first.weight *= factors[:, None]
        second.weight /= factors
    pairs = ((nn.Tanh(), layer) for layer in others)
    model = nn.Sequential(first, nn.ReLU(), second, *(layer for pair in pairs for layer in pair))
    graph = graph_of(model, 1, 16)
    windows = np.random.default_rng(0).standard_normal((64, 1, 16), np.float32)
    return graph, {graph.inputs[0]: windows}


def on_ne16(step: QuantizedNode) -> QuantizedNode:
    return replace(step, engine=EngineChoice("ne16"))


def in_8_bits_on_ne16(q: QuantGraph) -> QuantGraph:
    """Layers that read and write 8 bits alone run on NE16."""
    steps = (
        step if INT16 in map(q.element_type, (step.node.name, *step.operands)) else on_ne16(step)
        for step in q.steps
    )
    return replace(q, steps=tuple(steps))


def fast_on_ne16(step: QuantizedNode, times: int = 1, byte_cost: float = 0.0) -> float:
    return 40.0 if step.engine.name == "ne16" else 100.0


# --- measuring ------------------------------------------------------------------------------------


def test_noise_is_that_of_sqnr(quiet: tuple[QuantGraph, Array]) -> None:
    """By half of the samples, the first and the second; halves add up to all."""
    network, windows = quiet
    middle = len(windows) // 2
    given = {network.graph.inputs[0]: windows}
    bench = workshop_of(network.graph, given).bench
    found = bench.measure(network)
    for half, taken in ((None, windows), (0, windows[:middle]), (1, windows[middle:])):
        wanted = measure(network, {network.graph.inputs[0]: taken}, layers=False).worst_db
        assert -10 * np.log10(found.noise(half)[0]) == pytest.approx(wanted, abs=1e-9)
    (error, signal) = (x.sum() for x in (found.error, found.signal))
    assert found.noise()[0] == pytest.approx(error / signal)


def test_what_two_networks_share_is_computed_once(
    quiet: tuple[QuantGraph, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 16 bits for the output the layers before the last run once; the noise is the same."""
    network, windows = quiet
    graph, given = network.graph, {network.graph.inputs[0]: windows[:4]}
    workshop = workshop_of(graph, given)
    start, ran = started(workshop, graph), list[str]()

    def counted(step: QuantizedNode, inputs: list[Array]) -> Array:
        ran.append(step.node.name)
        return integer_step(step, inputs)

    monkeypatch.setattr(batches, "integer_step", counted)
    wide = replace(start.design, int16=((graph.outputs[0],),))
    found = workshop.state(wide, start.network)
    assert ran == [graph.nodes[-1].name] * 4
    alone = workshop_of(graph, given).state(wide)
    assert np.array_equal(found.noise, alone.noise)


def test_a_goal_that_is_met_takes_one_run(quiet: tuple[QuantGraph, Array]) -> None:
    network, windows = quiet
    workshop = workshop_of(network.graph, {network.graph.inputs[0]: windows})
    start = started(workshop, network.graph)
    found, moves = searched(workshop, network.graph, Goal(start.measured.worst_db - 3.1))
    assert not moves
    assert found.network.engined.params == start.network.engined.params
    assert workshop.bench.runs == 2  # both starts


# --- cycles ---------------------------------------------------------------------------------------


def test_layers_that_leave_an_accelerator_cost_what_they_took_there_less() -> None:
    """In 16 bits a layer takes 100 cycles instead of 40: as many tensors as 34 % allow."""
    graph, given = unlike()
    workshop = workshop_of(graph, given, cycles=fast_on_ne16, on_engines=in_8_bits_on_ne16)
    start = started(workshop, graph)
    found, moves = searched(workshop, graph, Goal(30.0, budgets=(CycleBudget(0.34),)))
    kept = [x.remedy for x in moves if x.is_kept]
    assert kept[0] == "equalization"
    assert any("16 bits" in name for name in kept)
    before, after = (sum(map(fast_on_ne16, x.network.engined.steps)) for x in (start, found))
    assert before < after <= 1.34 * before
    shares = [x.more_cycles for x in moves if x.is_kept]
    assert shares[-1] == pytest.approx(after / before - 1.0)
    ample, _ = searched(workshop, graph, Goal(30.0, budgets=UNLIMITED))
    assert len(ample.design.names) > len(found.design.names)
    assert workshop.bench.runs <= MOST_RUNS


@pytest.mark.parametrize(
    ("start_db", "now_db", "found_db", "most"),
    [
        (15.0, 18.0, 19.0, 0.75),  # weak now
        (15.0, 21.0, 26.0, 0.75),  # weak in int8, and the move reaches 25 dB
        (15.0, 21.0, 24.0, 0.34),  # the move does not
        (22.0, 22.5, 26.0, 0.34),  # not weak in int8
        (15.0, 26.0, 29.0, 0.13),  # 25 dB are reached already
    ],
)
def test_a_large_budget_is_for_weak_outputs_and_moves_that_reach_the_goal(
    start_db: float, now_db: float, found_db: float, most: float
) -> None:
    graph, given = unlike()
    workshop = workshop_of(graph, given)
    network = started(workshop, graph).network

    def state(db: float) -> SearchState:
        return SearchState(network, MeasuredNoise(np.array([[10 ** (-db / 10)]]), np.ones((1, 1))))

    search = Search(workshop, Goal(), network, start_db, np.ones(1))
    assert max(search.shares(state(now_db), state(found_db))) == most


def test_a_missed_goal_names_the_budget_that_reaches_it_and_its_cycles() -> None:
    """The named option reaches what is said, at these cycles; a network that reaches its goal, or
    that has a budget of its own, names none."""
    graph, given = unlike()
    means = {"cycles": fast_on_ne16, "on_engines": in_8_bits_on_ne16}
    goal = Goal(25.0, budgets=(CycleBudget(0.01),), moves=frozenset({"int16"}))
    output = graph.outputs[0]

    def judge(network: QuantGraph) -> Fidelity:
        return measure(network, given)

    def reached(goal: Goal, needs: dict[str, float]) -> Reached:
        workshop = workshop_of(graph, given, **means)
        return reach(workshop, started(workshop, graph), goal, needs, judge)

    missed = reached(goal, {})
    offer = missed.tried[-1]
    assert offer.setting == "[budget] sqnr = 25"
    assert not offer.is_kept
    asked = reached(goal, {output: 25.0})
    assert missed.fidelity.computed_db[output] < 25.0 <= offer.worst_db
    assert asked.fidelity.computed_db[output] == pytest.approx(offer.worst_db, abs=0.01)
    int8 = sum(
        map(fast_on_ne16, started(workshop_of(graph, given, **means), graph).network.engined.steps)
    )
    wide = sum(map(fast_on_ne16, asked.network.steps))
    assert offer.more_cycles == pytest.approx(wide / int8 - 1.0)
    assert not any(move.setting for move in asked.tried)
    assert not any(move.setting for move in reached(replace(goal, budgets=UNLIMITED), {}).tried)


@pytest.mark.parametrize(("planned", "why"), [(1.66, TOO_SLOW), (math.inf, NO_ROOM)])
def test_a_candidate_is_planned_before_it_is_kept(planned: float, why: str) -> None:
    """16 bits of layers that take 34 % more by themselves, and 66 % once their weights are planned
    from L3; or have no room: what costs no cycles stays."""
    graph, given = unlike()
    means = {"cycles": fast_on_ne16, "on_engines": in_8_bits_on_ne16}
    workshop = workshop_of(graph, given, **means)

    def cycles(network: QuantGraph) -> float:
        is_wide = any(x.element_type.bits == 16 for x in network.params.values())
        return (planned if is_wide else 1.0) * 1e6

    goal = Goal(30.0, budgets=(CycleBudget(0.34),), planned_cycles=cycles)
    found, moves = searched(workshop, graph, goal)
    assert not found.design.names
    assert [x.remedy for x in moves if x.is_kept] == ["equalization"]
    assert any(x.remedy == f"16 bits, {why}" for x in moves), moves
    free = replace(goal, planned_cycles=lambda network: 1e6)
    assert searched(workshop_of(graph, given, **means), graph, free)[0].design.names


def test_a_program_too_large_with_16_bits_is_built_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--accurate ended in E303; the goal is missed and told instead."""
    torch.manual_seed(0)
    model = Quiet()
    with torch.no_grad():
        model.first.weight[0] *= 20.0
    save_exported(model.eval(), (torch.zeros(1, 16),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((8, 1, 16), np.float32)
    make, given = (
        confirm.make_contents,
        {"calib": calib, "simulate": False, "accurate": True, "engine": "cores"},
    )
    wide = myoedge.build(tmp_path / "m.pt2", output=tmp_path / "wide", **given)

    def limited(plan: Build, quantized: object, app: object) -> object:
        if quantized.network.int16:  # type: ignore[attr-defined]
            raise ProgramTooLarge("L2", 4096)
        return make(plan, quantized, app)  # type: ignore[arg-type]

    if not wide.network.int16:
        pytest.fail("the network needs no 16 bits")
    monkeypatch.setattr(confirm, "make_contents", limited)
    found = myoedge.build(tmp_path / "m.pt2", output=tmp_path / "out", **given)
    assert not found.network.int16
    choices = found.report["quantization"]["choices"]
    assert any(NO_ROOM in x["remedy"] for x in choices), choices


# --- samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "rounded"), [(4, 2), (3, 1)])
def test_weights_are_rounded_first_where_vectors_are_many(rows: int, rounded: int) -> None:
    """An output of the first layer has 16 weights, one of the second 12: 16 samples of four rows
    are 64 vectors, enough for both, and of three rows 48, enough for the second."""
    torch.manual_seed(0)
    graph = graph_of(nn.Sequential(nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 5)), rows, 16)
    given = np.random.default_rng(1).standard_normal((24, rows, 16), np.float32)
    workshop = workshop_of(graph, {graph.inputs[0]: given})
    start = started(workshop, graph)
    search = Search(workshop, Goal(), start.network, 0.0, np.ones(1))
    (proposal,) = well_determined_weights(search, start)
    assert len(proposal.design.graph.formats) == rounded


@pytest.mark.parametrize("is_fitted", [False, True])
def test_a_gain_on_one_half_of_the_samples_does_not_count(
    quiet: tuple[QuantGraph, Array], monkeypatch: pytest.MonkeyPatch, is_fitted: bool
) -> None:
    """Ranges of all samples gain on both halves of them; those of the second half, which is a
    hundred times smaller, cut off the first.

    is_fitted   whether the samples determine the ranges; a move without a fit counts
    """
    network, windows = quiet
    graph, drawn = network.graph, windows.copy()
    drawn[len(drawn) // 2 :] *= 0.01
    (name,) = graph.inputs
    workshop = workshop_of(graph, {name: drawn})
    start = started(workshop_of(graph, {name: 16.0 * drawn}), graph)
    start = workshop.state(start.design)

    def fit(samples: InputArrays) -> Design:
        (ranges,) = workshop.calibrated(graph, [Observer()], samples)
        return replace(start.design, calibration=ranges)

    def fitted(of: Search, state: object) -> object:
        yield Proposal("own ranges", fit({name: drawn}), fit if is_fitted else None)

    monkeypatch.setattr(loop, "STAGES", ({"observer": fitted},))
    found, moves = loop.search(workshop, start, Goal(60.0), start.network)
    assert moves[0].remedy == f"own ranges{f', {ONE_HALF}' * is_fitted}"
    assert moves[0].is_kept is not is_fitted
    assert np.array_equal(found.noise, start.noise) is is_fitted


@pytest.mark.parametrize("is_fitted", [False, True])
def test_a_goal_that_all_samples_meet_suffices_without_a_fit(
    quiet: tuple[QuantGraph, Array], monkeypatch: pytest.MonkeyPatch, is_fitted: bool
) -> None:
    """0.020 and 0.006 of noise on the halves become 0.002 and 0.007; 0.005 are allowed.

    is_fitted   whether the samples determine the move
    """
    network, windows = quiet
    (name,) = network.graph.inputs
    workshop = workshop_of(network.graph, {name: windows})
    start = started(workshop, network.graph)
    middle, count = len(windows) // 2, len(windows)

    def measured(first: float, second: float) -> MeasuredNoise:
        error = np.repeat([first, second], [middle, count - middle])[:, None]
        return MeasuredNoise(error, np.ones_like(error))

    def moved(of: Search, state: SearchState) -> object:
        fit = (lambda samples: state.design) if is_fitted else None
        yield Proposal("move", replace(state.design, int16=((name,),)), fit)

    monkeypatch.setattr(Bench, "measure", lambda *given: measured(0.002, 0.007))
    monkeypatch.setattr(loop, "STAGES", ({"int16": moved},))
    goal = Goal(10 * math.log10(1 / 0.005), budgets=UNLIMITED, margin_db=0.0)
    noisy = SearchState(start.network, measured(0.020, 0.006))
    _, moves = loop.search(workshop, noisy, goal, start.network)
    assert moves[0].is_kept is not is_fitted


def variations(faces: Array, count: int) -> Array:
    """Each face brighter or darker, with more or less contrast, and noise."""
    rng = np.random.default_rng(0)
    shape = (count, *(1 for _ in faces.shape[1:]))
    rows = []
    for face in faces:
        gain, shift = rng.uniform(0.7, 1.3, shape), rng.uniform(-0.2, 0.2, shape)
        rows.append(gain * face + shift + 0.02 * rng.standard_normal((count, *face.shape)))
    return np.concatenate(rows).astype(np.float32)


def test_equalization_by_two_faces_loses_nothing_on_two_others() -> None:
    """By largest values of the two, others lost up to 7.5 dB; with larger factors, 11.7."""
    graph = load_model(MODELS / "mtcnn_rnet.onnx").graph
    (name,) = graph.inputs
    faces = pairs("mtcnn_rnet")[f"in:{name}"]
    for own in itertools.combinations(range(4), 2):
        others = [at for at in range(4) if at not in own]
        chosen, judged = ({name: variations(faces[list(at)], 4)} for at in (own, others))
        before, after = (
            measure(quantize_graph(x, calibrate(x, chosen, Observer(), "")), judged, layers=False)
            for x in (graph, equalized(graph, chosen))
        )
        assert after.worst_db >= before.worst_db - 1.0, own


# --- recurrent layers -----------------------------------------------------------------------------


class Saturated(nn.Module):
    """An LSTM whose first unit starts with a c of 700, which it never forgets."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(6, 12, batch_first=True)
        with torch.no_grad():
            self.lstm.bias_ih_l0[12] = 20.0
        self.register_buffer("first", torch.zeros(1, 1, 12).index_fill(2, torch.tensor(0), 700.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.lstm(x, (torch.zeros(1, 1, 12), self.first))[0][:, -1, 1:]
        return y


def test_a_cell_state_beyond_16_has_the_usual_steps() -> None:
    """Of coarser ones, for values that change nothing after tanh, the other units lose 6 dB."""
    graph = graph_of(Saturated(), 1, 20, 6)
    drawn = 0.3 * np.random.default_rng(0).standard_normal((8, 1, 20, 6), np.float32)
    given = {graph.inputs[0]: drawn}
    graph = with_cell_steps(graph, given)
    assert started(workshop_of(graph, given), graph).measured.worst_db > 30.0
