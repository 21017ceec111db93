# SPDX-License-Identifier: Apache-2.0
"""Refined networks beside accelerators and other ranges: what is kept of several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.building import precision
from myoedge.building.precision import Means, Refined, refined_for
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import CORES, EngineChoice
from myoedge.quantization.calibrate import Observer, Samples, calibrate
from myoedge.quantization.refinement import Refinement
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.quantization.trials import UNLIMITED, Aim, Allowance, Choice
from tests.unit.test_refine import graph_of, quiet

__all__ = ["quiet"]


def test_refined_networks_take_no_more_cycles_than_allowed_on_engines_either(
    quiet: tuple[QuantGraph, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that return to the cores count too; a network that wins nothing without is dropped."""
    network, windows = quiet
    given = {network.graph.inputs[0]: windows}
    start = Refined(network, measure(network, given, layers=False))
    refined = refined_for(start, None, means_of(given, lambda q: q), ALLOWED)
    assert len(refined.network.int16) > len(network.int16)

    def returned(
        cores: QuantGraph, engined: QuantGraph, samples: Samples, *_: object
    ) -> tuple[Any, Any]:
        steps = (replace(step, engine=EngineChoice(CORES)) for step in engined.steps)
        return replace(engined, steps=tuple(steps)), measure(engined, samples, layers=False)

    monkeypatch.setattr(precision, "within_sqnr", returned)
    cheap = refined_for(start, None, means_of(given, lambda q: q), ALLOWED)
    assert all(step.engine.name != CORES for step in cheap.network.steps)
    assert cheap.network.int16 == refined.network.int16

    def accelerated(q: QuantGraph) -> QuantGraph:
        return replace(q, steps=tuple(map(on_ne16, q.steps)))

    dear = replace(means_of(given, accelerated), cycles=dear_on_accelerators)
    assert refined_for(start, None, dear, ALLOWED).network is network
    nothing_won = refined_for(start, None, means_of(given, lambda q: network), ALLOWED)
    assert nothing_won.network is network
    assert {x.is_kept for x in nothing_won.choices} == {False}
    assert "more layers on the cores" in nothing_won.choices[0].remedy


@pytest.mark.parametrize(("count", "is_kept"), [(8, False), (16, False), (64, True)])
def test_of_many_samples_other_ranges_need_to_win_less(
    quiet: tuple[QuantGraph, Array],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    is_kept: bool,
) -> None:
    """Four decibels of one output, where both miss the aim."""
    network, windows = quiet
    given = {network.graph.inputs[0]: np.resize(windows, (count, *windows.shape[1:]))}
    other = quantize_graph(
        network.graph, replace(network.calibration, observer=Observer("percentile"))
    )
    missing_db = {"minmax": 9.0, "percentile": 5.0}

    def refinement(start: QuantGraph, *_: object) -> Refinement:
        return Refinement(start, missing_db[start.calibration.observer.method], 1)

    monkeypatch.setattr(precision, "_refinement", refinement)
    start = Refined(network, measure(network, given, layers=False))
    found = refined_for(start, other, means_of(given, lambda q: q), ALLOWED)
    assert found.choices == (Choice("ranges by percentile", ANY, 0.0, is_kept),)
    assert (found.network.calibration.observer.method == "percentile") == is_kept


ALLOWED = Aim(allowances=(Allowance(0.34, math.inf),))


def test_layers_that_leave_an_accelerator_cost_what_they_took_there_less() -> None:
    """In 16 bits a layer takes 100 cycles instead of 40. Equalized layers have the cores' integers,
    100 cycles each, which do not tell that. As many tensors have 16 bits as 34 % are enough for."""
    network, given = unlike()
    start = Refined(in_8_bits_on_ne16(network), measure(network, given, layers=False))
    means = replace(means_of(given, in_8_bits_on_ne16), cycles=fast_on_ne16)
    aim = Aim(30.0, allowances=ALLOWED.allowances)
    found = refined_for(start, None, means, aim)
    assert [x.remedy for x in found.choices if x.is_kept] == ["equalization", "16 bits"]
    before, after = (
        sum(map(fast_on_ne16, x.steps)) for x in (in_8_bits_on_ne16(network), found.network)
    )
    assert before < after <= 1.34 * before
    (share,) = [x.more_cycles for x in found.choices if x.is_kept and x.remedy == "16 bits"]
    assert share == pytest.approx(after / before - 1.0)
    ample = refined_for(start, None, means, replace(aim, allowances=UNLIMITED))
    assert ample.network.int16 > found.network.int16


def test_layers_that_are_on_the_cores_already_leave_no_accelerator() -> None:
    """In 8 bits they take 100 cycles too, so that the same share is enough for more 16 bits."""
    network, given = unlike()
    steps = (replace(step, engine=EngineChoice(CORES)) for step in network.steps)
    fidelity = measure(network, given, layers=False)
    means = replace(means_of(given, in_8_bits_on_ne16), cycles=fast_on_ne16)
    aim = Aim(30.0, allowances=ALLOWED.allowances)
    returned, engined = (
        refined_for(Refined(start, fidelity), None, means, aim)
        for start in (replace(network, steps=tuple(steps)), in_8_bits_on_ne16(network))
    )
    assert len(returned.network.int16) > len(engined.network.int16) > 0
    assert (returned.fidelity.worst_db or 0.0) > (engined.fidelity.worst_db or 0.0) + 1.0


def unlike() -> tuple[QuantGraph, Samples]:
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
    windows = np.random.default_rng(0).standard_normal((16, 1, 16), np.float32)
    graph = graph_of(model, 1, 16)
    given = {graph.inputs[0]: windows}
    return quantize_graph(graph, calibrate(graph, given, Observer(), "test")), given


def in_8_bits_on_ne16(q: QuantGraph) -> QuantGraph:
    """Layers that read and write 8 bits alone run on NE16."""
    steps = (
        step if INT16 in map(q.element_type, (step.node.name, *step.operands)) else on_ne16(step)
        for step in q.steps
    )
    return replace(q, steps=tuple(steps))


def on_ne16(step: QuantizedNode) -> QuantizedNode:
    return replace(step, engine=EngineChoice("ne16"))


def fast_on_ne16(step: QuantizedNode) -> float:
    return 40.0 if step.engine.name == "ne16" else 100.0


def dear_on_accelerators(step: QuantizedNode) -> float:
    """Layers of 16 bits take five times the cycles there, which their candidates do not tell."""
    if step.engine.name == CORES:
        return 1000.0
    return 500.0 if step.engine.name == "ne16" and step.element_type == INT16 else 100.0


def means_of(given: Samples, on_engines: Callable[[QuantGraph], QuantGraph]) -> Means:
    """A layer takes 100 cycles, ten times as many on the cores."""
    return Means(
        samples=given,
        calibrated=lambda graph, observers: [calibrate(graph, given, Observer(), "test")],
        observers=(),
        cycles=lambda step: 1000.0 if step.engine.name == CORES else 100.0,
        on_engines=on_engines,
        fits=lambda network: True,
        rules=(),
    )
