# SPDX-License-Identifier: Apache-2.0
"""Ranges for the integers of NE16, in place of layers that return to the cores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from myoedge.graph.ir import Graph
from myoedge.quantization import engines
from myoedge.quantization.calibrate import Calibration, Observer, Samples, calibrate
from myoedge.quantization.engines import EngineRules, with_engines, within_sqnr
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.quantization.tuned_ranges import tuned_for_engines
from tests.e2e.test_engine_sqnr import runs_on_ne16
from tests.e2e.test_tinymyo_heads import graph_of
from tests.networks import autoencoder

SHAPE = (1, 640)
PERCENTS = {29: 99.0, 25: 98.0}  # dB of the output -> values inside the ranges


@pytest.fixture(scope="module")
def drawn() -> tuple[Graph, Samples]:
    torch.manual_seed(0)
    graph = graph_of(autoencoder().eval(), SHAPE)
    x = np.random.default_rng(0).standard_normal((8, *SHAPE)).astype(np.float32)
    return graph, {graph.inputs[0]: x}


def calibration(drawn: tuple[Graph, Samples], db: int | None = None) -> Calibration:
    """Ranges of all values; of those with which the output keeps so many decibels."""
    observer = Observer() if db is None else Observer("percentile", PERCENTS[db])
    return calibrate(*drawn, observer, "drawn")


def on_ne16(network: QuantGraph) -> QuantGraph:
    return with_engines(network, EngineRules(frozenset({"ne16"})))


def count_on_ne16(network: QuantGraph) -> int:
    return sum(s.engine.name != "cores" and runs_on_ne16(s) for s in network.steps)


def worst_db(network: QuantGraph, samples: Samples) -> float:
    found = measure(network, samples, layers=False).worst_judged_db
    assert found is not None
    return found


def test_ranges_are_tuned_with_the_engine_s_integers(drawn: tuple[Graph, Samples]) -> None:
    graph, samples = drawn
    start = on_ne16(quantize_graph(graph, calibration(drawn, 29)))
    found = tuned_for_engines(start, [calibration(drawn)], samples, (), on_ne16)
    assert worst_db(start, samples) < 30.0
    assert worst_db(found, samples) > 40.0
    assert count_on_ne16(found) == count_on_ne16(start) == 10
    again = on_ne16(quantize_graph(graph, found.calibration))
    assert all(
        np.array_equal(a.integers.mult, b.integers.mult)
        for a, b in zip(found.steps, again.steps, strict=True)
        if "mult" in a.integers.arrays
    )


def test_shares_of_the_own_ranges_are_tried_too(drawn: tuple[Graph, Samples]) -> None:
    graph, samples = drawn
    start = on_ne16(quantize_graph(graph, calibration(drawn, 29)))
    found = tuned_for_engines(start, [], samples, (), on_ne16)
    assert worst_db(found, samples) > worst_db(start, samples) + 0.5
    before, after = start.calibration.ranges, found.calibration.ranges
    shares = {round(after[x][1] / before[x][1], 6) for x in before if before[x][1]}
    assert shares - {1.0}
    assert shares <= {1.0, 0.95, 0.9, 1.05}


def test_other_ranges_come_before_layers_that_return(drawn: tuple[Graph, Samples]) -> None:
    """The cores keep 44 dB, NE16 29.5 of them; with the ranges that are tried, as many."""
    graph, samples = drawn
    cores = quantize_graph(graph, calibration(drawn))
    network = on_ne16(quantize_graph(graph, calibration(drawn, 29)))
    found, fidelity = within_sqnr(cores, network, samples, tuned=lambda _: on_ne16(cores))
    assert found.calibration.ranges == cores.calibration.ranges
    assert count_on_ne16(found) == 10
    assert fidelity.worst_judged_db == worst_db(found, samples) > 43.0


@pytest.mark.parametrize(("db", "is_tried", "on_engine"), [(None, False, 10), (29, True, 10),
                                                           (25, False, 0)])  # fmt: skip
def test_what_a_loss_changes_depends_on_what_is_kept(
    drawn: tuple[Graph, Samples],
    monkeypatch: pytest.MonkeyPatch,
    db: int | None,
    is_tried: bool,
    on_engine: int,
) -> None:
    """Above 40 dB nothing, above 28 other ranges, below that layers return to the cores."""
    graph, samples = drawn
    monkeypatch.setattr(engines, "MOST_LOST_DB", -300.0)  # nobody gains so much
    cores, tried = quantize_graph(graph, calibration(drawn, db)), list[QuantGraph]()

    def tuned(network: QuantGraph) -> QuantGraph:
        tried.append(network)
        return network

    found, _ = within_sqnr(cores, on_ne16(cores), samples, tuned=tuned)
    assert bool(tried) == is_tried
    assert count_on_ne16(found) == on_engine


def test_ranges_that_keep_less_are_left(drawn: tuple[Graph, Samples]) -> None:
    graph, samples = drawn
    cores = quantize_graph(graph, calibration(drawn))
    network = on_ne16(quantize_graph(graph, calibration(drawn, 29)))
    worse = on_ne16(quantize_graph(graph, calibration(drawn, 25)))
    found, fidelity = within_sqnr(cores, network, samples, tuned=lambda _: worse)
    assert found is network
    assert fidelity.worst_judged_db == worst_db(network, samples)
