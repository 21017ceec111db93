# SPDX-License-Identifier: Apache-2.0
"""Bits of weights that are chosen layer by layer, for noise, bytes, and budgets."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building.config import from_tables
from myoedge.building.options import BuildOptions
from myoedge.building.plan_limits import keeper
from myoedge.building.plans import planned_cycles
from myoedge.building.precision import _make_cycle_planner
from myoedge.building.request import build_request
from myoedge.building.weight_choice import is_chosen
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.interpreter import run_float
from myoedge.operators.library.packing import WeightedParams
from myoedge.passes import prepare
from myoedge.power.model import PUBLISHED
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.bench import Bench
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.moves.weight_bits import with_chosen_bits
from myoedge.quantization.search.moves.weight_steps import (
    PLANE_BITS,
    STORED_BITS,
    WeightBudget,
    ordered_steps,
)
from myoedge.quantization.search.state import Design, Network, TriedMove
from myoedge.quantization.stated_widths import LayerRule
from tests.conftest import save_exported
from tests.support.feedback import Feedback
from tests.unit.test_few_bits import quantized

RULES = (LayerRule("nothing"),)


def budget(q: QuantGraph, db: float) -> WeightBudget:
    return WeightBudget(Goal(db).limits(q), planes=layers(q))


def layers(q: QuantGraph) -> frozenset[str]:
    return frozenset(step.node.name for step in q.steps)


def networks(q: QuantGraph) -> Network:
    """A network that no engine changes."""
    return Network(Design(q.graph, q.calibration), q, q, lambda step: 0.0)


def chosen_bits(
    q: QuantGraph, samples: Mapping[str, Array], limits: WeightBudget
) -> tuple[QuantGraph, tuple[TriedMove, ...]]:
    def quantise(graph: Graph) -> Network:
        made = quantize_graph(graph, q.calibration, RULES, before=q)
        return networks(replace(made, digest=q.digest))

    bench = Bench.of(q.graph, samples)
    found, tried = with_chosen_bits(networks(q), bench, RULES, limits, quantise)
    return found.engined, tried


def stored_bits(q: QuantGraph) -> int:
    return sum(step.weight_bits * int(step.integers.weight.size) for step in q.steps)


@pytest.mark.parametrize("db", [15.0, 20.0, 25.0])
def test_as_few_bits_as_the_noise_allows(db: float) -> None:
    """Fewer for more noise; 3 dB are left for other samples."""
    q, samples = quantized(8)
    made, choices = chosen_bits(q, samples, budget(q, db))
    noise = Bench.of(q.graph, samples).measure(made).noise()
    assert -10 * np.log10(noise.max()) >= db + 3.0
    assert [choice.is_kept for choice in choices].count(True) == 1
    more = chosen_bits(q, samples, budget(q, db + 6.0))[0]
    assert stored_bits(made) < stored_bits(more) < stored_bits(q)


def test_layers_come_first_whose_bytes_cost_least_noise() -> None:
    """Noise by floats with one layer's weights alone rounded."""
    q, samples = quantized(8)
    steps = ordered_steps(q, samples, RULES, WeightBudget(Goal(20.0).limits(q)))
    assert sorted((*step.weight, step.bits) for step in steps) == [
        ("v", 2), ("v", 4), ("w", 2), ("w", 4)
    ]  # fmt: skip

    def noise_of(step: object) -> float:
        (weight,), form = step.weight, step.format  # type: ignore[attr-defined]
        rounded = form.integers * np.array(form.scale).reshape(-1, *[1] * (form.integers.ndim - 1))
        other = q.graph.with_arrays({weight: rounded})
        few = samples["x"][[0, 6, 12, 19]]
        real, changed = (
            np.stack([run_float(graph, {"x": one})["linear"] for one in few])
            for graph in (q.graph, other)
        )
        return float(((real - changed) ** 2).sum() / (real**2).sum())

    first = [next(step for step in steps if step.weight == (weight,)) for weight in "wv"]
    prices = {step.weight: noise_of(step) / step.saved_bytes for step in first}
    assert steps[0].weight == min(prices, key=prices.__getitem__)
    for step in first:
        assert float(step.noise.max()) == pytest.approx(noise_of(step), rel=1e-3)


def test_bits_that_a_rule_names_stay() -> None:
    q, samples = quantized(8)
    rules = (LayerRule("head", weight_bits=8),)
    steps = ordered_steps(q, samples, rules, WeightBudget(Goal(20.0).limits(q)))
    assert {step.weight for step in steps} == {("w",)}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_samples_leave_others_their_noise_too(count: int) -> None:
    """Rounding fits few vectors so well that 2 bits seem enough."""
    torch.manual_seed(0)
    layers_of = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    program = torch.export.export(nn.Sequential(*layers_of).eval(), (torch.zeros(1, 64),))
    mixed = np.random.default_rng(0).normal(size=(64, 64)) / 4
    drawn = (np.random.default_rng(1).normal(size=(36, 1, 64)) @ mixed).astype(np.float32)
    graph = prepare(from_exported(program))
    own, others = ({graph.inputs[0]: x} for x in (drawn[:count], drawn[4:]))
    q = quantize_graph(graph, calibrate(graph, others, Observer(), "test"))
    made = chosen_bits(q, own, budget(q, 15.0))[0]
    assert stored_bits(made) < stored_bits(q)
    noise = Bench.of(graph, others).measure(made).noise()
    assert -10 * np.log10(noise.max()) >= 15.0


def test_the_cores_have_bits_that_save_bytes() -> None:
    """3 bits would be stored in 4 there, 5 to 7 in 8."""
    q, samples = quantized(8)
    limits = Goal(20.0).limits(q)
    steps = ordered_steps(q, samples, RULES, WeightBudget(limits, planes=frozenset({"conv"})))
    bits = {name: [s.bits for s in steps if s.weight == (name,)] for name in "wv"}
    assert bits == {"w": [*PLANE_BITS], "v": [*STORED_BITS]}


def test_a_budget_of_bytes_asks_for_no_fewer_bits() -> None:
    q, samples = quantized(8)
    most = 6 * stored_bits(q) // 8
    keeping = replace(budget(q, 10.0), stops=lambda _: lambda network: stored_bits(network) <= most)
    found = chosen_bits(q, samples, keeping)[0]
    steps = ordered_steps(q, samples, RULES, keeping)
    largest = max(step.saved_bytes for step in steps) * 8
    assert most - largest < stored_bits(found) <= most
    enough = replace(keeping, stops=lambda _: lambda network: True)
    assert chosen_bits(q, samples, enough)[0] is q
    never = replace(keeping, stops=lambda _: lambda network: False)
    short, choices = chosen_bits(q, samples, never)
    assert stored_bits(short) < most
    assert "would need more" in choices[-1].remedy


@pytest.mark.parametrize("kept", [8, 4, 2])
def test_16_bits_stay_within_l2_that_bits_were_chosen_for(kept: int) -> None:
    """But where no bits were enough, nothing more is refused."""
    chosen, larger = quantized(4)[0], quantized(8)[0]
    options: Any = SimpleNamespace(
        planned_cycles=lambda network: 1e6,
        keeps=lambda network: stored_bits(network) <= kept * stored_bits(chosen) // 4,
    )
    bits: Any = SimpleNamespace(tried=("4 bits",))
    cycles = _make_cycle_planner(options, bits, chosen)
    assert cycles is not None
    assert cycles(chosen) == 1e6
    assert np.isinf(cycles(larger)) == (kept == 4)


@pytest.mark.parametrize("levels", [STORED_BITS, PLANE_BITS])
def test_the_same_samples_give_the_same_bits(levels: tuple[int, ...]) -> None:
    q, samples = quantized(8)
    planes = layers(q) if levels == PLANE_BITS else frozenset[str]()
    limits = replace(budget(q, 18.0), planes=planes)
    one, other = (chosen_bits(q, samples, limits)[0] for _ in range(2))
    for a, b in zip(one.steps, other.steps, strict=True):
        assert np.array_equal(a.integers.weight, b.integers.weight)
        assert a.weight_bits <= max(levels)


def test_without_a_budget_they_are_refused_and_the_advice_works() -> None:
    empty = from_tables({}, "myoedge.toml")
    assert not is_chosen(None, empty.budget, has_limits=False)
    with pytest.raises(MyoedgeError) as caught:
        is_chosen("auto", empty.budget, has_limits=False)
    assert caught.value.code == "E245"
    toml, option, named = caught.value.notice.tries
    table, line = toml.split(" ", 1)
    given = from_tables(tomllib.loads(f"{table}\n{line}"), "x")
    assert is_chosen("auto", given.budget, has_limits=False)
    assert option.startswith("build --l2")
    assert is_chosen("auto", empty.budget, has_limits=True)
    table, line = named.split(" ", 1)
    assert from_tables(tomllib.loads(f"{table}\n{line}"), "x").quant["*"].weights == 4
    with pytest.raises(MyoedgeError) as caught:
        is_chosen("4", empty.budget, has_limits=True)
    assert caught.value.code == "E203"


def samples_of(rows: int) -> Array:
    return np.random.default_rng(0).normal(size=(24, 1, rows)).astype(np.float32)


def test_a_build_whose_weights_l2_has_no_room_for_else(tmp_path: Path) -> None:
    """131 KB at 8 bits, in 112 KiB of L2; without L3, which the same network needs at 8 bits."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256))
    model = save_exported(network.eval(), (torch.zeros(1, 256),), tmp_path / "model.pt2")
    config = tmp_path / "myoedge.toml"
    config.write_text('[budget]\nl2 = "112KiB"\nsqnr = 18.0\n')
    common = {"calib": samples_of(256), "config": config, "engine": "cores", "simulate": False}
    eight = myoedge.build(model, output=tmp_path / "eight", **common)
    made = myoedge.build(model, output=tmp_path / "auto", weights="auto", **common)
    assert eight.report["memory"]["l3_bytes"] > 0
    assert made.report["memory"]["l3_bytes"] == 0
    bits = [row["weight_bits"] for row in made.report["layers"] if row["weight_bits"]]
    assert bits == [8, 4]  # either alone is enough
    told = [row for row in made.report["quantization"]["choices"] if row["kept"]]
    assert told[0]["remedy"] == "weights of 1 layer in 4 bits, 32,768 B less"
    quick = myoedge.quantize(model, calib=samples_of(256), config=config, weights="auto")
    assert [step.weight_bits for step in quick.network.steps] == [8, 4]


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("feedback") / "model.pt2"
    return save_exported(Feedback().eval(), (torch.zeros(1, 12, 64),), path)


ROOM = '[budget]\nl2 = "110KiB"\n'  # not for all weights, 101 KB at 8 bits


def built_feedback(model: Path, folder: Path, table: str) -> tuple[myoedge.Build, list[Any]]:
    """The build, and the reductions of bits that it keeps."""
    folder.mkdir()
    config = folder / "myoedge.toml"
    config.write_text(table)
    calib = np.random.default_rng(0).normal(size=(40, 12, 64)).astype(np.float32)
    common = {"calib": calib, "engine": "cores", "simulate": False}
    made = myoedge.build(model, config=config, output=folder / "made", **common)
    choices = made.report["quantization"]["choices"]
    return made, [x for x in choices if x["kept"] and "B less" in x["remedy"]]


def fewest_bits(build: myoedge.Build) -> int:
    return min(row["weight_bits"] for row in build.report["layers"] if row["weight_bits"])


def test_weights_that_a_loop_would_read_again_have_fewer_bits(
    feedback: Path, tmp_path: Path
) -> None:
    made, kept = built_feedback(feedback, tmp_path / "few", ROOM)
    rule = '[quant]\n"*" = { weights = 8 }\n'
    eight, none = built_feedback(feedback, tmp_path / "eight", ROOM + rule)
    assert (fewest_bits(made), len(kept)) == (4, 1)
    assert (fewest_bits(eight), len(none)) == (8, 0)  # as the rule says
    cycles = [x.report["cycles"]["total"] for x in (made, eight)]
    assert kept[0]["more_cycles"] == pytest.approx(cycles[0] / cycles[1] - 1.0, abs=0.02)
    assert cycles[0] < 0.8 * cycles[1]
    assert made.report["quantization"]["sqnr_db"] > 25.0


def test_weights_of_16_bits_get_fewer_where_cycles_fall(feedback: Path, tmp_path: Path) -> None:
    """Read in every step of a loop from L3; and on NE16, in a network that L2 holds."""
    rule = '[quant]\n"*" = { activations = 16 }\n'
    made, kept = built_feedback(feedback, tmp_path / "few", ROOM + rule)
    wide = rule.replace("16 }", "16, weights = 16 }")
    sixteen, none = built_feedback(feedback, tmp_path / "sixteen", ROOM + wide)
    assert (fewest_bits(made) in (4, 8), fewest_bits(sixteen)) == (True, 16)
    assert (len(kept), len(none)) == (1, 0)
    cycles = [x.report["cycles"]["total"] for x in (made, sixteen)]
    assert cycles[0] < 0.5 * cycles[1]
    network = nn.Sequential(nn.Conv2d(16, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 16, 3))
    model = save_exported(network.eval(), (torch.zeros(1, 16, 8, 8),), tmp_path / "model.pt2")
    config = tmp_path / "myoedge.toml"
    config.write_text(rule)
    calib = np.random.default_rng(0).normal(size=(24, 1, 16, 8, 8)).astype(np.float32)
    build = myoedge.build(
        model, calib=calib, config=config, output=tmp_path / "ne16", simulate=False
    )
    rows = [x for x in build.report["layers"] if x["weight_bits"]]
    assert [(x["engine"], x["weight_bits"]) for x in rows] == [("ne16", 8)] * 2


def test_an_output_below_25_db_is_judged_by_its_own_goal(feedback: Path, tmp_path: Path) -> None:
    """Fewer bits than for 25 dB, and on held-out samples at least the goal."""
    little = ROOM.replace("110", "80")
    made, kept = built_feedback(feedback, tmp_path / "made", little + "sqnr = 15.0\n")
    assert len(kept) == 1
    assert 15.0 <= made.report["quantization"]["sqnr_db"] < 25.0


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_a_latency_is_a_limit_of_bits(share: float) -> None:
    q = quantized(8)[0]
    request = build_request(BuildOptions(engine="cores"), from_tables({}, "x"))
    latency_s = planned_cycles(q, request) / request.chip.point.clock_hz
    limits = replace(request.limits, latency_s=share * latency_s)
    keeps = keeper(replace(request, limits=limits), PUBLISHED)
    assert keeps is not None
    assert keeps(q) == (share > 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["", ROOM + "sqnr = 40.0\n"], ids=["room", "sqnr"])
def test_bits_stay_where_nothing_is_gained(feedback: Path, tmp_path: Path, table: str) -> None:
    """All weights fit in L2; 8 bits reach the goal only with int16 tensors, beside which they take
    fewer cycles than 16."""
    made, kept = built_feedback(feedback, tmp_path / "made", table)
    assert fewest_bits(made) == 8
    stored = {  # once, whatever number of steps reads it
        step.integers.weight.tobytes(): step.integers.weight.size
        for step in made.network.steps
        if isinstance(step.integers, WeightedParams)
        and (step.weight_type, step.weight_bits) == (INT16, INT8.bits)
    }
    told = f"weights of {len(stored)} layers in 8 bits, {sum(stored.values()):,} B less"
    assert [x["remedy"] for x in kept] == [told] * bool(table)
    assert all(x["more_cycles"] < 0.0 for x in kept)
