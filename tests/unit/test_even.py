# SPDX-License-Identifier: Apache-2.0
"""Channels between two products are evened out, and floats stay the same bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_real
from myoedge.passes import prepare
from myoedge.plan.l1.layer_kernels import layer_cycles
from myoedge.quantization.calibrate import Calibration, Observer, Samples, calibrate
from myoedge.quantization.equalization import equalized
from myoedge.quantization.refinement import Aim, refine_precision
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.targets.gap9.chip import GAP9


def graph_of(model: nn.Module, *shape: int) -> Graph:
    return prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))


def separable(act: nn.Module) -> nn.Module:
    """A depthwise convolution whose channels differ a hundredfold, and a pointwise one."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), act, nn.Conv2d(8, 12, 1))
    strength = torch.logspace(0, 2, 8)
    with torch.no_grad():
        model[0].weight *= strength.reshape(-1, 1, 1, 1)
        model[0].bias *= strength
        model[2].weight /= strength.reshape(1, -1, 1, 1)
    return model


def given(graph: Graph, seed: int = 3) -> Samples:
    x = np.random.default_rng(seed).standard_normal((12, 1, 8, 6, 6))
    return {graph.inputs[0]: x.astype(np.float32)}


def decibels(graph: Graph, samples: Samples) -> float:
    network = quantize_graph(graph, calibrate(graph, samples, Observer(), "test"))
    found = measure(network, samples, layers=False).worst_db
    assert found is not None
    return found


@pytest.mark.parametrize("act", [nn.Identity(), nn.ReLU()])
def test_the_floats_are_the_same_and_the_integers_better(act: nn.Module) -> None:
    graph = graph_of(separable(act), 1, 8, 6, 6)
    samples = given(graph)
    even = equalized(graph, samples)
    for sample in ({name: x[i] for name, x in given(graph, 9).items()} for i in range(4)):
        before, after = run_real(graph, sample), run_real(even, sample)
        np.testing.assert_array_equal(before[graph.outputs[0]], after[even.outputs[0]])
    assert decibels(even, samples) > decibels(graph, samples) + 8.0


def test_channels_share_their_largest_within_a_factor_of_two() -> None:
    """Of values and of the weights that read them: neither has more than its rounding over."""
    graph = graph_of(separable(nn.ReLU()), 1, 8, 6, 6)
    samples = given(graph)
    even = equalized(graph, samples)
    middle = next(node for node in even.nodes if node.op == "conv").name
    reader = next(node for node in even.nodes if middle in node.inputs).name
    rows: list[Array] = []
    for x in samples[graph.inputs[0]]:
        values = run_real(even, {graph.inputs[0]: x})[middle]
        rows.append(np.abs(values).reshape(-1, values.shape[-1]).max(axis=0))
    weights = even.constants[even.producer[reader].inputs[1]]
    ratio = np.log2(np.abs(weights).reshape(-1, 8).max(axis=0) / np.max(rows, axis=0))
    assert np.ptp(ratio) <= 2.0 + 1e-6


@pytest.mark.parametrize("act", [nn.Tanh(), nn.ReLU6()])
def test_what_is_not_linear_stays_as_it_is(act: nn.Module) -> None:
    graph = graph_of(separable(act), 1, 8, 6, 6)
    assert equalized(graph, given(graph)) is graph


def test_a_dead_channel_keeps_its_weights() -> None:
    model = separable(nn.ReLU())
    with torch.no_grad():
        model[0].weight[3] = 0.0
        model[0].bias[3] = -1.0
    graph = graph_of(model, 1, 8, 6, 6)
    even = equalized(graph, given(graph))
    assert all(np.isfinite(x).all() for x in even.constants.values())
    assert decibels(even, given(graph)) > decibels(graph, given(graph))


def test_channels_are_evened_out_where_that_is_all_it_takes() -> None:
    """Not before 16 bits are asked for, and kept only where it is better."""
    graph = graph_of(separable(nn.ReLU()), 1, 8, 6, 6)
    samples = given(graph)

    def calibrated(form: Graph) -> Calibration:
        return calibrate(form, samples, Observer(), "test")

    for form, kept in ((graph, "even"), (equalized(graph, samples), "itself")):
        network = quantize_graph(form, calibrated(form))
        before = measure(network, samples, layers=False)
        aim = decibels(equalized(graph, samples), samples) - 4.0
        cycles = layer_cycles(GAP9.cores_alone())
        refined = refine_precision(network, before, samples, calibrated, cycles, aim=Aim(aim))
        found = refined.network
        assert 16 not in {p.element_type.bits for p in found.params.values()}
        assert (found is network) == (kept == "itself")
        assert measure(found, samples, layers=False).worst_db >= aim
