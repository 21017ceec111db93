# SPDX-License-Identifier: Apache-2.0
"""Bits of weights that are chosen layer by layer, for noise, bytes, and budgets."""

from __future__ import annotations

import tomllib
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
from myoedge.building.precision import _make_cycle_planner
from myoedge.building.weight_choice import is_chosen
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.layer_rules import LayerRule
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.bench import Bench
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.moves.weight_bits import (
    PLANE_BITS,
    STORED_BITS,
    WeightBudget,
    ordered_steps,
    with_chosen_bits,
)
from tests.conftest import save_exported
from tests.unit.test_few_bits import quantized

RULES = (LayerRule("nothing"),)


def budget(q: QuantGraph, db: float) -> WeightBudget:
    return WeightBudget(Goal(db).limits(q), planes=layers(q))


def layers(q: QuantGraph) -> frozenset[str]:
    return frozenset(step.node.name for step in q.steps)


def stored_bits(q: QuantGraph) -> int:
    return sum(step.weight_bits * int(step.integers.weight.size) for step in q.steps)


@pytest.mark.parametrize("db", [15.0, 20.0, 25.0])
def test_as_few_bits_as_the_noise_allows(db: float) -> None:
    """Fewer for more noise; 3 dB are left for other samples."""
    q, samples = quantized(8)
    made, choices = with_chosen_bits(q, Bench.of(q.graph, samples), RULES, budget(q, db))
    noise = Bench.of(q.graph, samples).measure(made).noise()
    assert -10 * np.log10(noise.max()) >= db + 3.0
    assert [choice.is_kept for choice in choices].count(True) == 1
    more = with_chosen_bits(q, Bench.of(q.graph, samples), RULES, budget(q, db + 6.0))[0]
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
    made = with_chosen_bits(q, Bench.of(q.graph, own), RULES, budget(q, 15.0))[0]
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
    keeping = replace(budget(q, 10.0), keeps=lambda network: stored_bits(network) <= most)
    found = with_chosen_bits(q, Bench.of(q.graph, samples), RULES, keeping)[0]
    steps = ordered_steps(q, samples, RULES, keeping)
    largest = max(step.saved_bytes for step in steps) * 8
    assert most - largest < stored_bits(found) <= most
    enough = replace(keeping, keeps=lambda network: True)
    assert with_chosen_bits(q, Bench.of(q.graph, samples), RULES, enough)[0] is q
    never = replace(keeping, keeps=lambda network: False)
    short, choices = with_chosen_bits(q, Bench.of(q.graph, samples), RULES, never)
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
    one, other = (
        with_chosen_bits(q, Bench.of(q.graph, samples), RULES, limits)[0] for _ in range(2)
    )
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
