# SPDX-License-Identifier: Apache-2.0
"""Which tensors get 16 bits, and that networks which need none stay as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import ElementType
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.added_noise import added_noise
from myoedge.quantization.search.candidates import (
    Candidate,
    int16_candidates,
    most_noise,
    picked_candidates,
    rounded_group,
)
from myoedge.quantization.search.goal import UNLIMITED, CycleBudget, Goal
from myoedge.quantization.sqnr import measure
from myoedge.quantization.tensor_params import HEADROOM
from tests.conftest import save_exported
from tests.support.searches import CYCLES, searched, workshop_of


class Rounded(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.round(4 * x) / 4


class Quiet(nn.Module):
    """A norm behind a layer whose channels share no scale well: one of them is far larger."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 24)
        self.norm = nn.LayerNorm(24)
        self.last = nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)))


def graph_of(model: nn.Module, *shape: int) -> Graph:
    return prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))


@pytest.fixture(scope="module")
def quiet() -> tuple[QuantGraph, Array]:
    torch.manual_seed(0)
    model = Quiet()
    with torch.no_grad():
        model.first.weight[0] *= 20.0
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((32, 1, 16), np.float32)
    graph = graph_of(model, 1, 16)
    ranges = calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test")
    return quantize_graph(graph, ranges), windows


def test_what_wins_most_gets_16_bits(quiet: tuple[QuantGraph, Array]) -> None:
    """A norm lies between its products: nothing can be equalized."""
    network, windows = quiet
    given = {network.graph.inputs[0]: windows}
    before = measure(network, given, layers=False)
    assert before.worst_db is not None
    goal = Goal(before.worst_db, budgets=UNLIMITED)
    found, again = (
        searched(workshop_of(network.graph, given), network.graph, goal)[0] for _ in range(2)
    )
    wider = found.network.engined
    after = measure(wider, given, layers=False)
    assert after.worst_db is not None
    assert after.worst_db > before.worst_db + 1.0
    first, output = network.graph.nodes[0].name, network.graph.outputs[0]
    assert {n for n, p in wider.params.items() if p.element_type.bits == 16} == {first, output}
    assert again.network.engined.params == wider.params


def test_outputs_of_16_bits_have_room_beyond_their_range(quiet: tuple[QuantGraph, Array]) -> None:
    network, _ = quiet
    output = network.graph.outputs[0]
    wider = quantize_graph(network.graph, network.calibration, (), frozenset([output]))
    low, high = network.calibration.ranges[output]
    params = wider.params[output]
    assert params.scale * 32767 == pytest.approx(HEADROOM * max(-low, high), rel=1e-6)
    assert params.zero_point == 0


def noise_by(
    network: QuantGraph, group: tuple[str, ...], sample: Mapping[str, Array], at: str
) -> float:
    """Noise of a tensor, relative to its signal, if only one group is rounded."""
    graph, params = network.graph, network.params
    samples = {name: value[np.newaxis] for name, value in sample.items()}
    rounding = [rounded_group(graph, params, group)]
    return float(added_noise(graph, samples, [at], rounding, params)[0, 0])


def test_noise_of_a_tensor_is_that_of_rounding_it_alone(quiet: tuple[QuantGraph, Array]) -> None:
    """Against the float network run by hand from the rounded tensor on."""
    network, windows = quiet
    graph, (first, norm, last) = network.graph, network.graph.nodes
    q, sample = network.params[first.name], {network.graph.inputs[0]: windows[0]}
    found = noise_by(network, (first.name,), sample, last.name)
    real = run_float(graph, sample)
    steps = np.clip(np.rint(real[first.name] / q.scale + q.zero_point), -128, 127)
    x = torch.tensor((steps - q.zero_point) * q.scale, dtype=torch.float64)
    gain, shift = (torch.tensor(graph.array(name)).double() for name in norm.inputs[1:])
    x = nn.functional.layer_norm(x, (24,), gain, shift, norm.attrs["eps"])
    w, b = (torch.tensor(graph.array(name)).double() for name in last.inputs[1:])
    wanted = float(np.sum(((x @ w.T + b).numpy() - real[last.name]) ** 2))
    assert found == pytest.approx(wanted / np.sum(real[last.name] ** 2), rel=1e-3)


def test_the_cheapest_of_equals_is_picked_until_the_aim_is_met() -> None:
    noise = np.array([0.01])
    left = [Candidate((name,), cost, np.array([0.003])) for name, cost in (("a", 9.0), ("b", 1.0))]
    assert [c.names for c in picked_candidates(left, noise, 0.008)] == [("b",)]
    assert [c.names for c in picked_candidates(left, noise, 0.005)] == [("b",), ("a",)]
    assert picked_candidates(left, noise, 0.02) == []
    cheap = Candidate(("c",), 1.0, np.array([1e-6]))
    assert picked_candidates([cheap], noise, 0.008) == []
    assert picked_candidates([cheap, Candidate(("d",), 1e6, noise)], noise, 0.008)[0].names == (
        "d",
    )


def test_the_noisiest_is_picked_where_cheap_ones_leave_no_cycles_for_it() -> None:
    noise, most_cycles = np.array([0.01]), 10.0
    cheap, dear = (
        Candidate((name,), cost, np.array([share]))
        for name, cost, share in (("cheap", 1.0, 0.003), ("dear", 9.5, 0.006))
    )
    given = ([cheap, dear], noise, 0.0045, most_cycles)
    assert picked_candidates(*given) == [cheap]
    assert picked_candidates(*given, most_noise) == [dear]


def test_choices_are_tensors_that_all_their_readers_take(quiet: tuple[QuantGraph, Array]) -> None:
    """Rounding reads 8 bits alone: what it reads is none of them; what it writes is one."""
    model, windows = nn.Sequential(nn.Linear(16, 6), Rounded(), nn.Linear(6, 6)), quiet[1]
    graph = graph_of(model, 1, 16)
    ranges = calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test")
    samples = {graph.inputs[0]: windows}
    found = int16_candidates(quantize_graph(graph, ranges), samples, np.array([1e-9]), CYCLES)
    wanted = {node.name for node in graph.nodes}  # rounding is fused: its operand has no node
    assert {name for choice in found for name in choice.names} == wanted
    assert all(math.isfinite(choice.cost_cycles) and choice.cost_cycles > 0 for choice in found)


class Heads(nn.Module):
    """A head of sharp attention: 8 bits of queries and keys cost it most."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = 4 * self.q(x), 4 * self.k(x), self.v(x)
        return nn.functional.scaled_dot_product_attention(q, k, v)


def test_what_attention_reads_is_chosen_together() -> None:
    """One of them of 16 bits takes as many cycles as all; rounded together they are the noise."""
    torch.manual_seed(0)
    windows = np.random.default_rng(0).standard_normal((4, 1, 12, 16)).astype(np.float32)
    graph = graph_of(Heads(), 1, 12, 16)
    samples = {graph.inputs[0]: windows}
    network = quantize_graph(graph, calibrate(graph, samples, Observer(), "test"))
    found = int16_candidates(network, samples, np.array([1e-9]), CYCLES)
    (node,) = (node for node in graph.nodes if node.op == "attention")
    (read,) = (c for c in found if {*node.inputs[:3]}.intersection(c.names))
    assert {*node.inputs[:3]} <= {*read.names}
    wide = quantize_graph(graph, network.calibration, (), frozenset(read.names))
    db = [measure(q, samples, layers=False).worst_db or 0.0 for q in (network, wide)]
    assert db[1] > db[0] + 4.0  # the result keeps 8 bits
    more = sum(map(CYCLES, wide.steps)) - sum(map(CYCLES, network.steps))
    assert more == pytest.approx(read.cost_cycles)


def test_an_output_is_judged_behind_its_softmax_too(quiet: tuple[QuantGraph, Array]) -> None:
    torch.manual_seed(0)
    windows = quiet[1]
    graph = graph_of(nn.Sequential(nn.Linear(16, 6), nn.Softmax(-1)), 1, 16)
    ranges = calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test")
    found = measure(quantize_graph(graph, ranges), {graph.inputs[0]: windows}, layers=False)
    (output,) = found.outputs.values()
    real, integer = (np.array([x[0] for x in values]) for values in (found.real, found.integer))
    wanted = 10 * np.log10(np.sum(real**2) / np.sum((real - integer) ** 2))
    assert output.end_db == pytest.approx(wanted, abs=1e-3)
    assert output.db is not None
    assert found.worst_judged_db == pytest.approx(min(wanted, output.db), abs=1e-3)


class Spread(nn.Module):
    """Two convolutions; in the second's weights a few are some hundred times the others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(4, 12, 3, padding=1), nn.Conv1d(12, 5, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))


def spread() -> tuple[QuantGraph, Array]:
    torch.manual_seed(3)
    model = Spread()
    with torch.no_grad():
        model.last.weight[:, 0] *= 300.0
        model.first.weight[0] *= 0.001  # so that the large ones count no more than the others
        model.first.bias[0] *= 0.001
    windows = np.random.default_rng(3).standard_normal((16, 1, 4, 20)).astype(np.float32)
    graph = graph_of(model, 1, 4, 20)
    ranges = calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test")
    return quantize_graph(graph, ranges), windows


def test_noise_of_a_tensor_is_that_of_the_weights_beside_it_as_well() -> None:
    """Against torch with the rounded tensor and the weights in 8 bits a channel."""
    network, windows = spread()
    graph = network.graph
    first, last = (node for node in graph.nodes if node.op == "conv")
    q, sample = network.params[first.name], {graph.inputs[0]: windows[0]}
    found = noise_by(network, (first.name,), sample, last.name)
    real = run_float(graph, sample)
    x = np.clip(np.rint(real[first.name] / q.scale + q.zero_point), -128, 127) - q.zero_point
    w, b = (torch.tensor(graph.array(name)).double() for name in last.inputs[1:])
    step = w.abs().amax((1, 2), keepdim=True) / 127
    w = (w / step).round() * step
    given = torch.tensor(x * q.scale, dtype=torch.float64).movedim(-1, 1)
    y = nn.functional.conv1d(given, w.movedim(-1, 1), b, padding=1).movedim(1, -1).numpy()
    wanted = np.sum((y - real[last.name]) ** 2) / np.sum(real[last.name] ** 2)
    assert found == pytest.approx(wanted, rel=1e-3)


def test_weights_that_8_bits_lose_get_16_with_what_they_multiply() -> None:
    network, windows = spread()
    first, last = (node.name for node in network.graph.nodes if node.op == "conv")
    given = {network.graph.inputs[0]: windows}
    before = measure(network, given, layers=False).worst_db
    wide = quantize_graph(network.graph, network.calibration, (), frozenset([first]))
    after = measure(wide, given, layers=False).worst_db
    kinds = {
        step.node.name: step.integers.weight.dtype for step in wide.steps if step.node.op == "conv"
    }
    assert kinds == {first: np.int16, last: np.int16}
    assert before is not None
    assert after is not None
    assert after > before + 10.0


def test_cycles_of_16_bits_stay_within_what_is_allowed() -> None:
    """No tensor for no cycles; one or more for those of the cheapest; the same for all the rest."""
    network, windows = spread()
    graph, given = network.graph, {network.graph.inputs[0]: windows}

    def types(step: QuantizedNode) -> tuple[ElementType, ...]:
        return (step.element_type, *step.operand_types)

    def cycles(step: QuantizedNode, times: int = 1, byte_cost: float = 0.0) -> float:
        """Of a kernel that takes a quarter longer for each tensor of 16 bits."""
        return times * 1000.0 * (1.0 + 0.25 * sum(x.bits == 16 for x in types(step)))

    total = sum(map(cycles, network.steps))
    costs = [c.cost_cycles for c in int16_candidates(network, given, np.array([1e-9]), cycles)]
    found = []
    for share in (0.0, 1.01 * max(costs) / total, math.inf):
        goal = Goal(80.0, budgets=(CycleBudget(share),), moves=frozenset({"int16"}))
        state, moves = searched(workshop_of(graph, given, cycles=cycles), graph, goal)
        wide = state.network.engined
        assert sum(map(cycles, wide.steps)) <= (1.0 + share) * total
        kept = [x for x in moves if x.is_kept]
        tensors = sum(p.element_type.bits == 16 for p in wide.params.values())
        assert tensors == (kept[-1].tensors if kept else 0)
        found.append((tensors, state.measured.worst_db))
    assert found[0][0] == 0
    assert found[1][0] > 0
    assert found[2][1] >= found[1][1] > found[0][1] + 1.0


def test_an_output_that_needs_less_gets_fewer_16_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Quiet()
    with torch.no_grad():
        model.first.weight[0] *= 20.0
    save_exported(model, (torch.zeros(1, 16),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((32, 1, 16), np.float32)
    config = tmp_path / "myoedge.toml"
    found = {}
    for sqnr in (15.0, 25.0):
        config.write_text(f"[calib]\nholdout = 0.0\n[budget]\nsqnr = {sqnr}\n")
        quantized = myoedge.quantize(tmp_path / "m.pt2", calib=calib, config=config)
        assert quantized.fidelity is not None
        assert quantized.fidelity.worst_db is not None
        assert quantized.fidelity.worst_db > sqnr
        found[sqnr] = len(quantized.network.int16)
    assert found == {15.0: 0, 25.0: 2}
