# SPDX-License-Identifier: Apache-2.0
"""Channels between two products are evened out, and floats stay the same bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.quantization.calibrate import InputArrays, Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.moves.equalize import equalized
from myoedge.quantization.sqnr import measure
from tests.support.searches import searched, workshop_of


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


def given(graph: Graph, seed: int = 3) -> InputArrays:
    x = np.random.default_rng(seed).standard_normal((64, 1, 8, 6, 6))
    return {graph.inputs[0]: x.astype(np.float32)}


def decibels(graph: Graph, samples: InputArrays) -> float:
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
        before, after = run_float(graph, sample), run_float(even, sample)
        np.testing.assert_array_equal(before[graph.outputs[0]], after[even.outputs[0]])
    assert decibels(even, samples) > decibels(graph, samples) + 8.0


def test_rows_and_the_weights_that_read_them_are_alike_within_a_factor_of_two() -> None:
    """For each channel: neither has more than its rounding over."""
    graph = graph_of(separable(nn.ReLU()), 1, 8, 6, 6)
    even = equalized(graph, given(graph))
    first, second = (node for node in even.nodes if node.op == "conv")
    rows = np.linalg.norm(even.array(first.inputs[1]).reshape(8, -1), axis=1)
    rows = rows + np.abs(even.array(first.inputs[2]))
    read = np.abs(even.array(second.inputs[1])).reshape(-1, 8).max(axis=0)
    assert np.ptp(np.log2(read / rows)) <= 2.0 + 1e-6


def test_factors_between_layers_do_not_depend_on_samples() -> None:
    """Largest values of the samples at hand were a gain that others do not have."""
    graph = graph_of(separable(nn.ReLU()), 1, 8, 6, 6)
    x = given(graph)[graph.inputs[0]]
    one, other = (equalized(graph, {graph.inputs[0]: x * np.float32(f)}) for f in (1.0, 0.01))
    for name in one.constants:
        np.testing.assert_array_equal(one.array(name), other.array(name))


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
    assert all(np.isfinite(x).all() for x in even.arrays.values())
    assert decibels(even, given(graph)) > decibels(graph, given(graph))


def test_channels_are_evened_out_where_that_is_all_it_takes() -> None:
    """Not before a goal is missed; 16 bits are not needed then."""
    graph = graph_of(separable(nn.ReLU()), 1, 8, 6, 6)
    samples = given(graph)
    goal = Goal(decibels(equalized(graph, samples), samples) - 4.0)
    for form, is_kept in ((graph, True), (equalized(graph, samples), False)):
        found, moves = searched(workshop_of(form, samples), form, goal)
        assert not found.design.names
        assert [x.remedy for x in moves if x.is_kept] == ["equalization"] * is_kept
        assert measure(found.network.engined, samples, layers=False).worst_db >= goal.db


class Branch(nn.Module):
    """A network of images: two convolutions, between them functions, and a linear layer behind."""

    def __init__(self, *between: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(5)
        first, last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3, groups=2)
        strength = torch.logspace(0, 2, 6)
        with torch.no_grad():
            first.weight *= strength.reshape(-1, 1, 1, 1)
            first.bias *= strength
            last.weight[:2] /= strength[:3].reshape(1, -1, 1, 1)
            last.weight[2:] /= strength[3:].reshape(1, -1, 1, 1)
        self.body = nn.Sequential(first, *between, last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def images(graph: Graph, seed: int) -> InputArrays:
    x = np.random.default_rng(seed).standard_normal((64, 1, 3, 10, 10))
    return {graph.inputs[0]: x.astype(np.float32)}


def slopes() -> nn.PReLU:
    prelu = nn.PReLU(6)
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([-0.5, 0.1, 0.3, 0.0, 1.2, 0.2]))
    return prelu


@pytest.mark.parametrize(
    "between",
    [
        [slopes(), nn.MaxPool2d(2, ceil_mode=True)],
        [nn.LeakyReLU(0.1), nn.AvgPool2d(2, padding=1)],
        [nn.MaxPool2d(2), nn.ReLU()],
    ],
)
def test_channels_pass_through_what_keeps_their_factors(between: list[nn.Module]) -> None:
    """To a reader of several groups; floats stay the same bit for bit."""
    graph = graph_of(Branch(*between), 1, 3, 10, 10)
    even = equalized(graph, images(graph, 3))
    for x in images(graph, 9)[graph.inputs[0]]:
        before, after = (run_float(g, {g.inputs[0]: x})[g.outputs[0]] for g in (graph, even))
        np.testing.assert_array_equal(before, after)
    assert decibels(even, images(graph, 3)) > decibels(graph, images(graph, 3)) + 8.0


def test_a_flattened_image_is_read_by_channels() -> None:
    torch.manual_seed(7)
    first, last = nn.Conv2d(3, 6, 3), nn.Linear(6 * 8 * 8, 5)
    strength = torch.logspace(0, 2, 6)
    with torch.no_grad():
        first.weight *= strength.reshape(-1, 1, 1, 1)
        first.bias *= strength
        last.weight /= strength.repeat_interleave(64)
    graph = graph_of(nn.Sequential(first, nn.ReLU(), nn.Flatten(), last), 1, 3, 10, 10)
    even = equalized(graph, images(graph, 3))
    for x in images(graph, 9)[graph.inputs[0]]:
        before, after = (run_float(g, {g.inputs[0]: x})[g.outputs[0]] for g in (graph, even))
        np.testing.assert_allclose(before, after, rtol=0, atol=1e-5)
    assert decibels(even, images(graph, 3)) > decibels(graph, images(graph, 3)) + 8.0


def test_sums_of_channels_are_left_alone() -> None:
    """A mean over channels mixes them: nothing may be divided behind it."""
    body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Unflatten(1, (2, 3)), nn.AvgPool3d((1, 2, 2)))
    graph = graph_of(nn.Sequential(body, nn.Flatten(1, 2), nn.Conv2d(6, 4, 1)), 1, 3, 10, 10)
    even = equalized(graph, images(graph, 3))
    for x in images(graph, 9)[graph.inputs[0]]:
        before, after = (run_float(g, {g.inputs[0]: x})[g.outputs[0]] for g in (graph, even))
        np.testing.assert_array_equal(before, after)


class Channels(nn.Module):
    """Eight electrodes, two of them a thousand times weaker, and weights that make up for it."""

    def __init__(self, scaled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.scaled = scaled
        self.conv = nn.Conv1d(8, 12, 5, padding=2)
        self.head = nn.Linear(12, 3)
        with torch.no_grad():
            self.conv.weight[:, 2:4] *= 1000.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = 0.5 * x if self.scaled else x
        return self.head(torch.relu(self.conv(x)).mean(2))


@pytest.mark.parametrize("scaled", [False, True])
def test_channels_of_an_input_have_factors(scaled: bool) -> None:
    """Along their axis, beside a factor that the network has itself; the floats stay the same."""
    graph = graph_of(Channels(scaled), 1, 8, 40)
    x = np.random.default_rng(0).standard_normal((64, 1, 8, 40)).astype(np.float32)
    x[:, :, 2:4] /= 1000.0
    samples = {graph.inputs[0]: x}
    even = equalized(graph, samples)
    (border,) = even.input_normalization.values()
    assert border.axis == 1
    assert len(border.scale) == 8
    assert min(border.scale[2:4]) / max(border.scale[4:]) >= 256.0
    sample = {graph.inputs[0]: x[0]}
    before, after = run_float(graph, sample), run_float(even, sample)
    np.testing.assert_allclose(
        before[graph.outputs[0]], after[even.outputs[0]], rtol=1e-5, atol=1e-6
    )
    assert decibels(even, samples) > decibels(graph, samples) + 15.0


def test_channels_of_an_input_that_others_read_have_none() -> None:
    class Twice(Channels):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + x.abs().amax()

    graph = graph_of(Twice(), 1, 8, 40)
    x = np.random.default_rng(0).standard_normal((4, 1, 8, 40)).astype(np.float32)
    assert not equalized(graph, {graph.inputs[0]: x}).input_normalization


def test_an_input_of_alike_channels_has_none() -> None:
    graph = graph_of(separable(nn.Tanh()), 1, 8, 6, 6)
    assert not equalized(graph, given(graph)).input_normalization


class Branches(nn.Module):
    """Two convolutions and a GRU read the same input, of which a channel is weaker by far."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.near, self.far = nn.Conv1d(8, 6, 1), nn.Conv1d(8, 6, 5, padding=2)
        self.gru = nn.GRU(8, 5, batch_first=True)
        with torch.no_grad():
            for weights in (self.near.weight, self.far.weight):
                weights[:, 5] *= 1000.0
            self.gru.weight_ih_l0[:, 5] *= 1000.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        convolved = torch.cat([self.near(x), self.far(x)], 1).relu()
        return convolved.mean(2) @ torch.ones(12, 5) / 12 + self.gru(x.transpose(1, 2))[0][:, -1]


def test_all_products_that_read_an_input_have_its_factors() -> None:
    graph = graph_of(Branches(), 1, 8, 40)
    x = np.random.default_rng(0).standard_normal((64, 1, 8, 40)).astype(np.float32)
    x[:, :, 5] /= 1000.0
    samples = {graph.inputs[0]: x}
    even = equalized(graph, samples)
    (border,) = even.input_normalization.values()
    assert border.axis == 1
    assert border.scale[5] / max(np.delete(border.scale, 5)) >= 256.0
    sample = {graph.inputs[0]: x[0]}
    before, after = (run_float(form, sample)[form.outputs[0]] for form in (graph, even))
    np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)
    assert decibels(even, samples) > decibels(graph, samples) + 10.0


@pytest.mark.parametrize("size", [1e-30, 1e-39, 1e30])
def test_factors_are_finite(size: float) -> None:
    """Of channels so small or so large that a quotient of two leaves float32."""
    graph = graph_of(Channels(), 1, 8, 40)
    x = np.random.default_rng(0).standard_normal((4, 1, 8, 40)).astype(np.float32)
    x[:, :, 2] *= np.float32(size)
    even = equalized(graph, {graph.inputs[0]: x})
    assert all(np.isfinite(border.scale).all() for border in even.input_normalization.values())
    assert all(np.isfinite(value).all() for value in even.arrays.values())


def test_no_factor_changes_along_time() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.mix = nn.Linear(16, 16)
            with torch.no_grad():
                self.mix.weight /= torch.logspace(0, 3, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.mix(x.transpose(0, 1)).transpose(0, 1)

    graph = graph_of(Mixed(), 16, 6)
    x = np.random.default_rng(0).standard_normal((4, 16, 6)) * np.logspace(0, 3, 16)[:, None]
    samples = {graph.inputs[0]: x.astype(np.float32)}
    assert [border.axis for border in equalized(graph, samples).input_normalization.values()] == [0]
    assert not equalized(graph, samples, {graph.inputs[0]: 0}).input_normalization
