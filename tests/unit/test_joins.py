# SPDX-License-Identifier: Apache-2.0
"""Parts of concats that keep their own scale, in a copy beside the concat, and constant parts of
16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Calibration, Observer, calibrate
from myoedge.quantization.joins import copied_parts, unlike_parts, with_copies
from myoedge.quantization.reuse import inherit_params
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.sqnr import measure
from tests.conftest import save_exported
from tests.support.searches import searched, workshop_of


class Skipped(nn.Module):
    """A small part joins one that is `times` as large; the branch that reads it too is the output's
    larger term."""

    def __init__(self, times: float, *, is_read: bool = True) -> None:
        super().__init__()
        self.times, self.is_read = times, is_read
        self.small, self.branch = nn.Linear(12, 8), nn.Linear(8, 6)
        self.large, self.last = nn.Linear(12, 8), nn.Linear(16, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = self.small(x)
        joined = self.last(torch.cat([small, self.times * self.large(x)], -1))
        return self.times * self.branch(small) + 0.1 * joined if self.is_read else joined


def prepared(model: nn.Module, *shape: int) -> Graph:
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))


def windows() -> Array:
    return np.random.default_rng(0).standard_normal((16, 4, 12)).astype(np.float32)


def calibrated(graph: Graph) -> Calibration:
    return calibrate(graph, {graph.inputs[0]: windows()}, Observer(), "drawn")


@pytest.fixture(scope="module")
def network() -> QuantGraph:
    graph = prepared(Skipped(100.0), 4, 12)
    return quantize_graph(graph, calibrated(graph))


def found(graph: Graph) -> frozenset[tuple[str, str]]:
    return unlike_parts(graph, calibrated(graph).ranges)


def test_a_small_part_that_is_computed_with_is_copied(network: QuantGraph) -> None:
    graph = network.graph
    (concat,) = (node for node in graph.nodes if node.op == "concat")
    joins = found(graph)
    assert joins == {(concat.name, concat.inputs[0])}
    changed = with_copies(graph, joins)
    sample = {graph.inputs[0]: windows()[0]}
    before, after = (run_float(g, sample)[graph.outputs[0]] for g in (graph, changed))
    np.testing.assert_array_equal(before, after)
    assert copied_parts(changed) == joins
    assert with_copies(changed, joins) is changed
    assert found(changed) == frozenset()


@pytest.mark.parametrize(("times", "is_read"), [(2.0, True), (100.0, False)])
def test_parts_that_are_alike_or_only_joined_are_not(times: float, is_read: bool) -> None:
    assert found(prepared(Skipped(times, is_read=is_read), 4, 12)) == frozenset()


class Steps(nn.Module):
    """Small predictions, each of features a hundred times larger and the prediction before: nobody
    computes with one, they join the features of the next step, and each other in the output."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(20, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small, steps = 0.01 * x[..., :8], []
        for _ in range(3):
            small = 0.005 * self.step(torch.cat([x, small], -1))
            steps.append(small)
        return 2.0 * torch.stack(steps)


def test_parts_of_two_concats_are_copied() -> None:
    graph = prepared(Steps(), 4, 12)
    given = {graph.inputs[0]: windows()}
    before = quantize_graph(graph, calibrated(graph))
    alone = measure(before, given, layers=False)
    after = searched(workshop_of(graph, given), graph, Goal())[0].network.engined
    joined, *_ = (node.name for node in graph.nodes if node.op == "concat")
    low, high = calibrated(graph).ranges[joined]
    parts = [part for _, part in copied_parts(after.graph)]
    assert len(parts) == 2  # the last one joins the output alone
    assert all(after.params[part].scale < (high - low) / 255 / 20 for part in parts)
    worst_db = measure(after, given, layers=False).worst_db
    assert alone.worst_db is not None
    assert worst_db is not None
    assert worst_db > max(alone.worst_db + 15.0, 25.0)


def test_a_range_is_never_more_than_the_tensors_own() -> None:
    graph = prepared(Skipped(100.0, is_read=False), 4, 12)
    (concat,) = (node for node in graph.nodes if node.op == "concat")
    ranges = calibrated(graph).ranges
    own = [run_float(graph, {graph.inputs[0]: x})[concat.inputs[0]] for x in windows()]
    low, high = ranges[concat.inputs[0]]
    assert np.min(own) >= low > 1.001 * np.min(own)
    assert np.max(own) <= high < 1.001 * np.max(own)


def test_the_branch_reads_a_scale_of_its_own(network: QuantGraph) -> None:
    given = {network.graph.inputs[0]: windows()}
    before = measure(network, given, layers=False)
    workshop = workshop_of(network.graph, given)
    better = searched(workshop, network.graph, Goal())[0].network.engined
    assert before.worst_db is not None
    after = measure(better, given, layers=False).worst_db
    assert after is not None
    assert after > max(before.worst_db + 10.0, 25.0)
    ((_, part),) = copied_parts(better.graph)
    low, high = network.calibration.ranges[part]
    assert better.params[part].scale < 1.2 * (high - low) / 255


def test_a_network_that_is_tuned_further_has_the_copies_and_their_scales(
    network: QuantGraph,
) -> None:
    graph = network.graph
    old = quantize_graph(apart := with_copies(graph, found(graph)), calibrated(apart))
    again = inherit_params(graph, old, (), {})
    assert copied_parts(again) == copied_parts(old.graph)
    new = quantize_graph(again, calibrated(again))
    assert new.params == old.params


class Token(nn.Module):
    """A small constant row in front of the others, which a norm makes as large as these."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.norm, self.last = nn.Linear(12, 16), nn.LayerNorm(16), nn.Linear(16, 6)
        self.token = nn.Parameter(torch.zeros(1, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(torch.cat([self.token, self.rows(x)], 0)))[0]


def test_a_constant_part_has_16_bits_with_what_it_is_joined_with(tmp_path: Path) -> None:
    """The output is that of the constant row alone, which 8 bits leave nothing of."""
    torch.manual_seed(2)
    model = Token().eval()
    with torch.no_grad():
        model.token += 2e-3 * torch.randn(1, 16)
        model.norm.weight += 0.5 * torch.randn(16)
    path = tmp_path / "token.pt2"
    save_exported(model, (torch.zeros(4, 12),), path)
    build = myoedge.build(path, calib={"x": windows()}, output=tmp_path / "out")
    kinds = {layer["op"]: layer["dtype"] for layer in build.report["layers"]}
    assert kinds["concat"] == "int16"
    assert build.report["quantization"]["sqnr_db"] > 30.0
    assert myoedge.validate(build, on=("host",)).exact["host"]
