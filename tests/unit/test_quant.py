# SPDX-License-Identifier: Apache-2.0
"""Observers, scales, SQNR and the stored network, against numpy on the same numbers and torch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.operands import (
    BYTES,
    FINE,
    ExpTable,
    distance_numbers,
    units_apart,
)
from myoedge.operators.interpreter import run_int
from myoedge.passes import prepare
from myoedge.quantization import files as store
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.evaluation import evaluate
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import measure, quantized_inputs
from myoedge.quantization.stated_widths import LayerRule
from myoedge.system.folder import to_json
from tests.support.each import each

NO_BITS = 2.0**-11  # rounding up to 12 bits adds at most this share


class Joined(nn.Module):
    """Two branches of very different size that are concatenated, and a softmax at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.small = nn.Linear(6, 5)
        self.large = nn.Linear(6, 7)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([torch.relu(self.small(x)), 8.0 * self.large(x)], 1)
        return self.head(both).softmax(1)


def graph_of(model: nn.Module, *shape: int) -> Graph:
    return prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))


@pytest.fixture(scope="module")
def joined() -> tuple[nn.Module, Graph, Array]:
    torch.manual_seed(0)
    model = Joined()
    windows = np.random.default_rng(0).standard_normal((200, 1, 6), np.float32)
    return model, graph_of(model, 1, 6), windows


def quantized(graph: Graph, windows: Array, *rules: LayerRule) -> QuantGraph:
    found = calibrate(graph, {graph.inputs[0]: windows}, Observer(), "test")
    return quantize_graph(graph, found, rules)


def up_to_12_bits(found: float, exact: float) -> bool:
    return abs(exact) <= abs(found) <= abs(exact) * (1 + NO_BITS)


def test_min_max_is_what_was_seen(joined: tuple[nn.Module, Graph, Array]) -> None:
    _, graph, windows = joined
    x = graph.inputs[0]
    low, high = calibrate(graph, {x: windows}, Observer(), "test").ranges[x]
    assert up_to_12_bits(low, float(windows.min()))
    assert up_to_12_bits(high, float(windows.max()))


def test_percentile_leaves_out_both_ends(joined: tuple[nn.Module, Graph, Array]) -> None:
    _, graph, windows = joined
    x = graph.inputs[0]
    found = calibrate(graph, {x: windows}, Observer("percentile", 90.0), "test").ranges[x]
    wanted = np.percentile(windows, [5.0, 95.0])
    bin_width = (windows.max() - windows.min()) / 2048
    assert np.abs(np.array(found) - wanted).max() <= 2 * bin_width + np.abs(wanted).max() * NO_BITS


def test_mse_clips_an_outlier_and_gains(joined: tuple[nn.Module, Graph, Array]) -> None:
    _, graph, windows = joined
    x, spiked = graph.inputs[0], np.tile(windows, (5, 1, 1))
    spiked[7, 0, 0] = 30.0

    def squared_error(span: tuple[float, float]) -> float:
        scale = (span[1] - span[0]) / 255
        levels = np.rint(np.clip(spiked, *span) / scale) * scale
        return float(np.sum((spiked - levels) ** 2))

    methods = ("minmax", "mse")
    ranges = [calibrate(graph, {x: spiked}, Observer(m), "test").ranges[x] for m in methods]
    assert up_to_12_bits(ranges[0][1], 30.0)
    assert ranges[1][1] < ranges[0][1]
    assert squared_error(ranges[1]) < squared_error(ranges[0])


def test_last_bits_of_a_float_sum_do_not_show(joined: tuple[nn.Module, Graph, Array]) -> None:
    _, graph, windows = joined
    x = graph.inputs[0]
    nudged = np.nextafter(windows, np.float32(0.0))
    a, b = (calibrate(graph, {x: w}, Observer(), "test").ranges[x] for w in (windows, nudged))
    assert a == b


class Rejoined(nn.Module):
    """A result with a scale of its own, joined with a part of itself."""

    def __init__(self, fixed: str, circular: bool) -> None:
        super().__init__()
        kinds: dict[str, Callable[[], nn.Module]] = {
            "softmax": lambda: nn.Softmax(-1),
            "LSTM": lambda: nn.LSTM(8, 8, batch_first=True),
            "GRU": lambda: nn.GRU(8, 8, batch_first=True),
        }
        self.fixed = kinds[fixed]()
        padding = {"padding": 1, "padding_mode": "circular"} if circular else {}
        self.conv = nn.Conv1d(5, 3, 3, **padding)
        self.circular = circular

    def forward(self, x: Tensor) -> Tensor:
        y = self.fixed(x)
        y = y[0] if isinstance(y, tuple) else y
        return self.conv(y if self.circular else torch.cat([y, y[:, :, :2]], 2))


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("fixed", ["softmax", "LSTM", "GRU"])
def test_a_fixed_scale_is_joined_with_a_part_of_itself(fixed: str, circular: bool) -> None:
    torch.manual_seed(0)
    model, x = Rejoined(fixed, circular).eval(), torch.randn(16, 1, 5, 8)
    graph = graph_of(model, 1, 5, 8)
    q = quantized(graph, x.numpy())
    (name,), (y,) = graph.inputs, graph.outputs
    given = [quantized_inputs(q, {name: window}) for window in x.numpy()]
    found = np.stack([run_int(q.steps, q.constants, window)[y] for window in given])
    with torch.no_grad():
        wanted = np.stack([model(window).numpy() for window in x])
    noise = wanted - (found.astype(float) - q.params[y].zero_point) * q.params[y].scale
    assert 10 * np.log10((wanted**2).sum() / (noise**2).sum()) >= 30.0


def test_concatenated_tensors_share_a_scale(joined: tuple[nn.Module, Graph, Array]) -> None:
    _, graph, windows = joined
    q = quantized(graph, windows)
    concat = next(node for node in graph.nodes if node.op == "concat")
    params = {q.params[name] for name in (*concat.inputs, concat.name)}
    assert len(params) == 1
    (shared,) = params
    relu = next(s for s in q.steps if s.node.name == concat.inputs[0])
    assert (relu.low, relu.high) == (shared.zero_point, 127), "ReLU cuts at the shared zero point"
    assert shared.zero_point > -128


def test_sqnr_is_the_formula_over_all_samples(joined: tuple[nn.Module, Graph, Array]) -> None:
    """Of differences between the scores before the final softmax; floats from torch, integers
    dequantised by hand."""
    model, graph, windows = joined
    q, x = quantized(graph, windows), graph.inputs[0]
    logits = next(node.inputs[0] for node in graph.nodes if node.op == "softmax")
    captured: list[Array] = []
    hook = model.head.register_forward_hook(lambda m, i, y: captured.append(y.numpy().copy()))
    with torch.no_grad():
        for window in windows:
            model(torch.from_numpy(window))
    hook.remove()
    real = np.array(captured, np.float64)
    scale, zero = q.params[logits].scale, q.params[logits].zero_point
    integers = [run_int(q.steps, q.constants, quantized_inputs(q, {x: w}))[logits] for w in windows]
    found = (np.array(integers, np.float64) - zero) * scale
    real, found = (scores - scores.mean(-1, keepdims=True) for scores in (real, found))
    wanted = 10 * math.log10(np.sum(real**2) / np.sum((real - found) ** 2))
    measured = measure(q, {x: windows})
    assert measured.worst_db == pytest.approx(wanted, abs=1e-3)
    assert measured.cumulative[logits] == pytest.approx(wanted, abs=1e-3)
    assert measured.final_functions == ("softmax",)
    alone, so_far = measured.local[logits], measured.cumulative[logits]
    assert alone is not None
    assert so_far is not None
    assert alone >= so_far


@pytest.mark.parametrize(
    ("last", "wanted"),
    [(nn.Sigmoid(), ("sigmoid",)), (nn.LogSoftmax(-1), ("log_softmax",)), (nn.ReLU(), ())],
)
def test_what_sqnr_is_measured_before_is_told(last: nn.Module, wanted: tuple[str, ...]) -> None:
    torch.manual_seed(1)
    graph = graph_of(nn.Sequential(nn.Linear(6, 5), last), 1, 6)
    windows = np.random.default_rng(1).standard_normal((4, 1, 6), np.float32)
    q = quantized(graph, windows)
    assert measure(q, {graph.inputs[0]: windows}).final_functions == wanted


def test_per_tensor_weights_where_a_rule_says_so() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    with torch.no_grad():
        model[0].weight[0] *= 0.001
    graph = graph_of(model, 1, 6)
    windows = np.random.default_rng(1).standard_normal((50, 1, 6), np.float32)
    both = [quantized(graph, windows, *rules) for rules in ((), (LayerRule("0", "per_tensor"),))]
    by_channel, in_one = (q.steps[0].integers.weight for q in both)
    assert (np.abs(by_channel).max(axis=1) == 127).all()
    assert np.abs(in_one).max() == 127
    assert np.abs(in_one[0]).max() <= 1, "the tiny row drowns in the scale of the others"
    np.testing.assert_array_equal(*(q.steps[1].integers.weight for q in both))


def test_stored_network_computes_the_same(joined: tuple[nn.Module, Graph, Array]) -> None:
    _, graph, windows = joined
    q, x = quantized(graph, windows), graph.inputs[0]
    document = json.loads(to_json(store.to_json(q)))
    again = store.from_files(document, store.to_safetensors(q))
    for window in windows[:20]:
        sample = quantized_inputs(q, {x: window})
        assert {n: v.tolist() for n, v in quantized_inputs(again, {x: window}).items()} == {
            n: v.tolist() for n, v in sample.items()
        }
        first, second = (run_int(n.steps, n.constants, sample) for n in (q, again))
        for step in q.steps:
            np.testing.assert_array_equal(first[step.node.name], second[step.node.name])


def test_labels_of_frames_say_which_axis_has_the_classes() -> None:
    """Classes in front of the frames, as a convolution has them, and behind."""
    scores = np.random.default_rng(0).standard_normal((1, 4, 9)).astype(np.float32)
    best = scores.argmax(1)
    best[0, 0] = (best[0, 0] + 1) % 4
    for axes in ((0, 1, 2), (0, 2, 1)):
        x = scores.transpose(axes)
        exported = torch.export.export(nn.ReLU(), (torch.zeros(x.shape),))
        graph = from_exported(exported)
        judged = evaluate(graph, Data({"x": x[None]}, best, ""), ((x,),), ((-x,),))
        assert judged is not None
        wrong = np.mean((-x).argmax(axes.index(1)) == best)
        assert judged.accuracies == pytest.approx({"float": 8 / 9, "int8": wrong})
        assert evaluate(graph, Data({"x": x[None]}, best[:, :5], ""), ((x,),), ((-x,),)) is None


@pytest.mark.parametrize(("low", "zero"), [(-1.0, 0), (-0.79, 0), (-0.77, -17), (0.0, -128)])
def test_a_right_operand_has_no_zero_point_where_that_costs_little(low: float, zero: int) -> None:
    """A range of -0.79 to 1 has steps of 1.79 / 255; 2 / 255 are 1.12 times as large."""

    class Product(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a @ b

    shapes = torch.zeros(1, 2, 3), torch.zeros(1, 3, 4)
    graph = prepare(from_exported(torch.export.export(Product().eval(), shapes)))
    a, b = graph.inputs
    both = {a: np.linspace(-1.0, 3.0, 6), b: np.linspace(low, 1.0, 12)}
    shaped = {a: both[a].reshape(1, 1, 2, 3), b: both[b].reshape(1, 1, 3, 4)}
    windows = {name: value.astype(np.float32) for name, value in shaped.items()}
    params = quantize_graph(graph, calibrate(graph, windows, Observer(), "test")).params
    assert params[b].zero_point == zero
    assert params[a].zero_point == -64


@each(("kind", "size"), [(BYTES, 512), (FINE, 4096)])
@each("step", [0.0123, 0.0244, 0.3, 5.0, math.log(510) / 39, math.log(510) / 20])
def test_keys_far_behind_the_best_get_no_share_of_attention(
    kind: ExpTable, size: int, step: float
) -> None:
    """From 1/510 of the largest on an exponential is 0: of 800 such keys the sum would be three."""
    table, end = kind.table(step), math.ceil(math.log(2 * kind.one) / step)
    lower, upper = table[:size], table[size:] if kind is FINE else np.zeros(size, np.uint8)
    exponentials = [int(a) + 256 * int(b) for a, b in zip(lower, upper, strict=True)]
    assert exponentials[0] == kind.one in (255, 4095)
    assert exponentials[:end] == [round(kind.one * math.exp(-step * i)) for i in range(end)]
    assert exponentials[end - 1]
    assert not any(exponentials[end:])


@pytest.mark.parametrize("units", [1, 2, 3, 7, 100, 4095, 300_000])
def test_distances_of_scores_read_the_exponential_next_to_theirs(units: int) -> None:
    """entry = distance / units, rounded, as products of 31 bits tell it; never behind the table."""
    end = 510
    numbers = distance_numbers(units, end, reach=2**30)
    far = units * end
    for distance in {0, 1, 2, 3, far // 3, far // 2, far - 1, far, far + 1, 2**29}:
        shown = min(distance + numbers["half"], numbers["most"])
        at = shown * numbers["mult"] >> numbers["shift"]
        exact = Fraction(distance, units)
        assert at <= end
        off = Fraction(1, 2) + exact / (2 * numbers["mult"])
        assert abs(at - exact) <= off or min(at, exact) >= end - 1


@pytest.mark.parametrize("units", [1, 44, 63, 64, 100, 4095, 300_000, 2**24])
def test_cores_take_distances_apart_only_where_products_stay_in_int32(units: int) -> None:
    numbers = distance_numbers(units, 4060, reach=2**30)
    apart = units_apart(numbers, units)
    assert apart in (0, units)
    for core in range(9):
        farthest = numbers["most"] + 4 * core * apart
        assert farthest * numbers["mult"] < 2**31
        assert farthest * numbers["mult"] >> numbers["shift"] < 4096
    assert apart or (numbers["most"] + 36 * units) * numbers["mult"] >= 2**31
