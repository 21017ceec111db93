# SPDX-License-Identifier: Apache-2.0
"""Ranges of single tensors by other observers, ranges of what maxima are taken of, and weights of 8
bits that are rounded for the samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.passes import prepare
from myoedge.plan.l1.layer_kernels import layer_cycles
from myoedge.quantization.calibrate import Calibration, Observer, Samples, calibrate
from myoedge.quantization.few_bits import with_rounded_weights
from myoedge.quantization.refinement import refine_precision
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import Fidelity, measure
from myoedge.quantization.trials import Aim, Allowance
from myoedge.quantization.tuned_ranges import with_tuned_ranges
from myoedge.targets.gap9.chip import GAP9

FREE = (Allowance(0.0, 100.0),)  # no 16 bits


def graph_of(model: nn.Module, *shape: int) -> Graph:
    return prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))


def calibration(graph: Graph, samples: Samples) -> Calibration:
    return calibrate(graph, samples, Observer(), "drawn")


class Pair(nn.Module):
    """Large values of x are where tanh is flat; those of z are the output's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.flat, self.plain = nn.Conv1d(2, 4, 1, groups=2, bias=False), nn.Conv1d(2, 4, 1)
        with torch.no_grad():
            self.flat.weight.fill_(2.0)

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return 8.0 * torch.tanh(self.flat(x)) + self.plain(z)


@pytest.fixture(scope="module")
def peaked() -> tuple[Graph, Samples]:
    """One value in fifty of x is large."""
    given = (torch.zeros(1, 2, 256), torch.zeros(1, 2, 256))
    graph = prepare(from_exported(torch.export.export(Pair().eval(), given)))
    x, z = np.random.default_rng(0).standard_normal((2, 6, 1, 2, 256)).astype(np.float32)
    x[..., ::50] *= 12.0
    return graph, dict(zip(graph.inputs, (x, z), strict=True))


CLIPPED = Observer("percentile", 97.0)


def worst_db(network: QuantGraph, samples: Samples) -> float:
    found = measure(network, samples, layers=False).worst_db
    assert found is not None
    return found


def test_each_tensor_has_the_range_that_wins(peaked: tuple[Graph, Samples]) -> None:
    """Better than all tensors by one observer: x is clipped, z is not."""
    graph, samples = peaked
    whole, clipped = (
        calibrate(graph, samples, observer, "drawn") for observer in (Observer(), CLIPPED)
    )

    def lost_db(network: QuantGraph, fidelity: Fidelity) -> float:
        assert fidelity.worst_db is not None
        return 100.0 - fidelity.worst_db

    start = quantize_graph(graph, clipped)
    found = with_tuned_ranges(start, [whole], samples, (), lost_db)
    alone = [worst_db(quantize_graph(graph, x), samples) for x in (whole, clipped)]
    assert worst_db(found, samples) >= max(alone) + 3.0
    ranges = found.calibration.ranges
    x, z = graph.inputs
    assert (ranges[x], ranges[z]) == (clipped.ranges[x], whole.ranges[z])


def test_ranges_change_only_where_something_is_missing(peaked: tuple[Graph, Samples]) -> None:
    graph, samples = peaked
    start = quantize_graph(graph, calibration(graph, samples))
    others = [calibrate(graph, samples, CLIPPED, "drawn")]
    assert with_tuned_ranges(start, others, samples, (), lambda *_: 0.0) is start


def test_what_a_maximum_discards_takes_no_range() -> None:
    """Against torch: the range of what a max pool gives, not of what it reads."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.MaxPool1d(4), nn.Conv1d(4, 2, 1))
    graph = graph_of(model, 1, 2, 66)
    x = np.random.default_rng(2).standard_normal((8, 1, 2, 66)).astype(np.float32)
    found = calibration(graph, {graph.inputs[0]: x})
    with torch.no_grad():
        read = model[0](torch.from_numpy(x[:, 0]))
        given = model[1](read)
    node = next(n for n in graph.nodes if n.op == "conv")
    low, high = found.ranges[node.name]
    assert low == pytest.approx(float(given.min()), rel=1e-3)
    assert high == pytest.approx(float(given.max()), rel=1e-3)
    assert float(read.min()) < 1.5 * low


def test_what_else_is_read_keeps_its_range() -> None:
    """A tensor that a sum reads beside a max pool, and one that is an output."""

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.pool = nn.Conv1d(2, 4, 3), nn.MaxPool1d(4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = self.first(x)
            return self.pool(y), y.mean(-1)

    torch.manual_seed(1)
    graph = graph_of(Beside(), 1, 2, 66)
    x = np.random.default_rng(2).standard_normal((8, 1, 2, 66)).astype(np.float32)
    found = calibration(graph, {graph.inputs[0]: x})
    conv, pool = (next(n for n in graph.nodes if n.op == op) for op in ("conv", "max_pool"))
    assert found.ranges[conv.name][0] < found.ranges[pool.name][0]


def sums(w: Array, x: Array) -> Array:
    return np.asarray(x @ w.T)


def test_rounded_weights_of_8_bits_change_sums_less() -> None:
    """Integers times scales against the floats, by the vectors that are multiplied."""
    torch.manual_seed(4)
    graph = graph_of(nn.Linear(24, 6), 1, 24)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((200, 1, 1)) + 0.1 * rng.standard_normal((200, 1, 24))
    x = x.astype(np.float32)  # inputs that go together
    node = next(n for n in graph.nodes if n.op == "linear")
    w = graph.array(node.inputs[1]).astype(np.float64)
    rounded = with_rounded_weights(graph, {graph.inputs[0]: x}, {node.name: 8})
    form = rounded.formats[node.inputs[1]]
    assert form.integers is not None
    ours = form.integers * np.array(form.scale)[:, None]
    step = np.abs(w).max(axis=1, keepdims=True) / 127
    errors = [
        np.sum((sums(q, x[:, 0]) - sums(w, x[:, 0])) ** 2) for q in (ours, np.rint(w / step) * step)
    ]
    assert errors[0] < 0.5 * errors[1]
    assert int(np.abs(form.integers).max()) <= 127


def test_remedies_that_cost_no_cycles_are_told(peaked: tuple[Graph, Samples]) -> None:
    graph, samples = peaked
    network = quantize_graph(graph, calibrate(graph, samples, CLIPPED, "drawn"))
    before = measure(network, samples, layers=False)
    assert before.worst_db is not None
    cycles = layer_cycles(GAP9.cores_alone())
    others = [calibration(graph, samples)]
    aim = Aim(before.worst_db - 2.0, allowances=FREE)  # 3 more are asked of these samples
    found = refine_precision(
        network,
        before,
        samples,
        lambda g: calibration(g, samples),
        cycles,
        aim=aim,
        others=lambda g: others,
    )
    (choice,) = [x for x in found.choices if x.remedy == "ranges by tensor" and x.is_kept]
    assert choice.more_cycles == 0.0
    assert choice.worst_db == pytest.approx(worst_db(found.network, samples), abs=1e-6)
    assert choice.worst_db > before.worst_db + 1.0
    assert not found.network.int16


def test_ranges_come_first_where_that_alone_meets_the_aim(peaked: tuple[Graph, Samples]) -> None:
    """16 bits first go to what another range would do for; ranges first leave them to others."""
    graph, samples = peaked
    network = quantize_graph(graph, calibrate(graph, samples, CLIPPED, "drawn"))
    before, others = measure(network, samples, layers=False), [calibration(graph, samples)]
    aim = Aim(40.0, allowances=(Allowance(0.05, 100.0),))
    given = (samples, lambda g: calibration(g, samples), layer_cycles(GAP9.cores_alone()))
    found = refine_precision(network, before, *given, aim=aim, others=lambda g: others)
    assert found.missing_db == 0.0
    assert worst_db(found.network, samples) >= 43.0
    remedies = [(x.remedy, x.is_kept) for x in found.choices]
    ranges, wider = "ranges by tensor", "16 bits"
    assert remedies == [(wider, False), (ranges, False), (ranges, True), (wider, True)]
    assert max(x.worst_db for x in found.choices if not x.is_kept) < 43.0
