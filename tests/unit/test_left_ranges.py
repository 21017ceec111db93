# SPDX-License-Identifier: Apache-2.0
"""Intervals count samples beyond the calibrated ranges, and steep functions their worst sample."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.building.quantized import Known
from myoedge.building.warning_rules import set_by_one
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.calibrate import InputArrays, Observer, calibrate
from myoedge.quantization.masked_ranges import MOST_BEYOND
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.quantization.unseen_values import beyond_ranges, without_extremes
from tests.support.searches import started, workshop_of
from tests.support.warning_rules import warnings_of
from tests.unit.test_refine import graph_of


class Adding(nn.Module):
    """A state that adds up what comes in."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.back = nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.new_zeros(1, 6)
        for row in x.unbind(1):
            h = 0.98 * h + 0.1 * torch.tanh(0.1 * self.back(h)) + self.inner(row)
        return h


def drawn(count: int, seed: int) -> Array:
    """Rows with an offset that is seldom large: then the state is, too."""
    rng = np.random.default_rng(seed)
    offset = 0.3 * rng.standard_t(4, (count, 1, 1, 4))
    return (offset + rng.standard_normal((count, 1, 12, 4))).astype(np.float32)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of(Adding(), 1, 12, 4)


def given(graph: Graph, x: Array) -> InputArrays:
    return {graph.inputs[0]: x}


@pytest.mark.parametrize(("count", "beyond"), [(9, 3), (3, 2), (2, 1)])
def test_ends_are_those_without_the_samples_that_reach_furthest(
    graph: Graph, count: int, beyond: int
) -> None:
    """As calibration without some of the samples finds them, for each end of each tensor."""
    x = drawn(count, 0)
    whole = calibrate(graph, given(graph, x), Observer(), "")
    narrow = without_extremes(graph, whole)
    fewer = [
        calibrate(graph, given(graph, np.delete(x, at, 0)), Observer(), "").ranges
        for at in itertools.combinations(range(count), beyond)
    ]
    for name, (low, high) in narrow.ranges.items():
        assert low == max(ranges[name][0] for ranges in fewer)
        assert high == min(ranges[name][1] for ranges in fewer)


def test_the_share_of_new_samples_beyond_an_end_has_95_percent_confidence() -> None:
    """Of none of n samples beyond an end, a new one is with a chance of at most 3 / n."""
    for count in (8, 16, 32, 64):
        at_most = 1.0 - 0.05 ** (1.0 / count)  # none of n, of each by this chance: 5 %
        assert MOST_BEYOND - 1 < at_most * count < MOST_BEYOND


def test_the_interval_includes_what_other_samples_keep(graph: Graph) -> None:
    """200 new samples, in 95 % of draws of 40 samples; without the chance that a sample is beyond
    their ranges in half of them."""
    inside = [0, 0]
    for seed in range(1, 9):
        x, fresh = drawn(40, seed), given(graph, drawn(200, 100 + seed))
        chosen, held_out = given(graph, x[:32]), given(graph, x[32:])
        workshop = workshop_of(graph, chosen)
        state = started(workshop, graph)
        told = measure(state.network.engined, held_out, layers=False)
        found_db = measure(state.network.engined, fresh, layers=False).worst_db
        both = told.within(beyond_ranges(workshop, state.design))
        for at, each in enumerate((told, both)):
            inside[at] += each.interval_db[0] <= found_db
    assert inside[1] == 8
    assert inside[0] <= 4


@pytest.mark.parametrize(("factor", "codes"), [(1.0, set()), (6.0, {"W113"})])
def test_a_sample_that_alone_sets_the_range_of_a_state_is_told(
    graph: Graph, factor: float, codes: set[str]
) -> None:
    x = np.random.default_rng(0).standard_normal((32, 1, 12, 4)).astype(np.float32)
    x[5] *= factor
    workshop = workshop_of(graph, given(graph, x))
    state = started(workshop, graph)
    network = state.network.engined
    found = measure(network, given(graph, np.delete(x, 5, 0)), layers=False)
    found = found.within(beyond_ranges(workshop, state.design))
    told = warnings_of(set_by_one, Known(network=network, fidelity=found))
    assert {warning.code for warning in told} == codes


@pytest.mark.parametrize(
    ("function", "is_steep"), [(torch.tanh, False), (torch.log, True), (torch.reciprocal, True)]
)
def test_steep_functions_count_their_worst_sample(
    function: Callable[[torch.Tensor], torch.Tensor], is_steep: bool
) -> None:
    """Near 0 a step of int8 is a factor: the mean of few samples hides the one that is there."""

    class Steep(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)

    graph = graph_of(Steep(), 1, 16)
    x = np.random.default_rng(0).uniform(0.5, 2.0, (30, 1, 16)).astype(np.float32)
    x[3] = 0.03
    network = quantize_graph(graph, calibrate(graph, given(graph, x), Observer(), ""))
    (found,) = measure(network, given(graph, x), layers=False).outputs.values()
    worst_db = min(db for db in found.samples_db if db is not None)
    assert found.interval_db is not None
    assert (found.interval_db[0] <= worst_db) == is_steep
