# SPDX-License-Identifier: Apache-2.0
"""Parameters and integers that a file gives: into the quantised network as they are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from myoedge.graph.constants import TensorQuant
from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.ir import PRE, Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams, dequantize, quantize
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.interpreter import run_float, run_int
from myoedge.passes import prepare
from myoedge.quantization import holdout
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from tests.support.onnx.quantized import network

RELU = (("clamp", 0.0, math.inf),)
RNG = np.random.default_rng


def rounded(b: GraphBuilder, x: str, scale: float, zero: int, low: int = 0, high: int = 255) -> str:
    step = float(np.float32(scale))
    return b.add("fake_quantize", x, scale=step, zero_point=zero, low=low, high=high)


def stored(b: GraphBuilder, q: Array, scales: Any, axis: int = 0, zero: int = 0) -> str:
    """A constant that the file has as integers."""
    scale = tuple(np.float32(scales).reshape(-1).tolist())
    kind = ConstantFormat(scale, (zero,) * len(scale), -128, 127 + (zero > 0) * 128, axis)
    name = b.constant(kind.real(q))
    b.constants[name] = replace(b.constants[name], format=kind)
    return name


def quantized(graph: Graph, seed: int = 0) -> QuantGraph:
    drawn = {n: RNG(seed).normal(size=(4, *graph.shape(n))) for n in graph.inputs}
    floats = {n: x.astype(np.float32) for n, x in drawn.items()}
    return quantize_graph(graph, calibrate(graph, floats, Observer(), "test"))


def steps_db(q: QuantGraph, seed: int = 1) -> float:
    """Largest difference of outputs from the float meaning with its roundings, in steps."""
    graph, worst = q.graph, 0.0
    sample = {n: RNG(seed).normal(size=graph.shape(n)).astype(np.float32) for n in graph.inputs}
    real = run_float(graph, sample)
    ours = run_int(q.steps, q.constants, {n: q.input_integers(n, x) for n, x in sample.items()})
    for name in graph.outputs:
        far = np.abs(dequantize(ours[name], q.params[name]) - real[name])
        worst = max(worst, float(far.max()) / q.params[name].scale)
    return worst


def layer() -> tuple[Graph, Array]:
    b, rng = GraphBuilder(), RNG(0)
    x = rounded(b, b.input("x", (1, 6, 6, 3)), 0.03, 117)
    q = rng.integers(-128, 128, (5, 3, 3, 3))
    w = stored(b, q, [0.01, 0.02, 0.004, 0.03, 0.01])
    attrs = {"stride": (1, 1), "dilation": (1, 1), "pads": ((1, 1), (1, 1)), "groups": 1}
    y = b.add("table", b.add("conv", x, w, **attrs), chain=RELU)
    return prepare(b.build([rounded(b, y, 0.05, 3)], ["y"])), q


def test_parameters_stand_behind_the_activation_and_weights_are_the_files() -> None:
    graph, q = layer()
    assert [node.op for node in graph.nodes] == ["conv"]
    network = quantized(graph)
    scale, wide = float(np.float32(0.05)), float(np.float32(0.03))
    assert network.params[graph.outputs[0]] == QuantParams(scale, 3 - 128)
    assert network.params["x"] == QuantParams(wide, 117 - 128)
    assert np.array_equal(network.steps[0].integers.weight, q)
    assert steps_db(network) <= 1.001


def test_ranges_and_floats_are_of_the_files_roundings() -> None:
    graph, _ = layer()
    x = RNG(0).normal(size=graph.shape("x")).astype(np.float32) * 50
    real = run_float(graph, {"x": x})
    for name in (graph.outputs[0], "x"):
        params = graph.given_params(name)
        assert np.array_equal(real[name], dequantize(quantize(real[name], params), params))


def test_a_tensor_that_two_branches_round_otherwise_has_a_copy_for_each() -> None:
    b = GraphBuilder()
    x = b.input("x", (2, 8))
    branches = [b.add("table", rounded(b, x, s, 128), chain=(("tanh",),)) for s in (0.02, 0.03)]
    graph = prepare(b.build([rounded(b, y, 0.01, 128) for y in branches], ["a", "b"]))
    assert sorted(q.params.scale for q in graph.all_given.values()) == pytest.approx(
        [0.01, 0.01, 0.02, 0.03]
    )
    assert [node.op for node in graph.nodes] == ["table"] * 4
    assert graph.given("x") is None
    # x itself is rounded once more: a copy is one step of 0.03 off at most, tanh no stretch
    assert steps_db(quantized(graph)) <= 0.03 / 0.01 + 1e-6


def test_parts_of_a_concat_are_copied_into_its_parameters() -> None:
    b = GraphBuilder()
    x = b.input("x", (2, 8))
    parts = [
        rounded(b, b.add("table", x, chain=((f,),)), s, 128)
        for f, s in (("tanh", 0.01), ("sin", 0.02), ("abs", 0.02))
    ]
    graph = prepare(b.build([rounded(b, b.add("concat", *parts, axis=1), 0.02, 128)], ["y"]))
    assert [node.op for node in graph.nodes].count("table") == 4
    network = quantized(graph)
    assert steps_db(network) <= 1.001
    assert min(round(q.params.scale, 4) for q in graph.all_given.values()) == 0.01


def test_fewer_integers_than_their_type_has_are_limits() -> None:
    b = GraphBuilder()
    x = b.input("x", (2, 8))
    y = rounded(b, b.add("add", x, x), 0.1, 0, -8, 7)
    graph = prepare(b.build([y], ["y"]))
    assert graph.nodes[0].attrs["act"][0][0] == "clamp"
    network = quantized(graph)
    assert (network.steps[0].low, network.steps[0].high) == (-8, 7)


def test_integers_stay_through_turns_cuts_and_filling_up() -> None:
    q = RNG(0).integers(-128, 128, (6, 4))
    scale = tuple(np.float32([0.1, 0.2, 0.3, 0.4, 0.5, 0.7]).tolist())
    kind = ConstantFormat(scale, (0,) * 6, -128, 127)
    w = kind.real(q)
    turned = kind.of(np.ascontiguousarray(w.T))
    assert turned is not None
    assert turned.axis == 1
    for made, wanted in [
        (w[[3, 1, 1, 5]], q[[3, 1, 1, 5]]),
        (np.pad(w, ((0, 0), (1, 2))), np.pad(q, ((0, 0), (1, 2)))),
    ]:
        found = kind.of(made)
        assert found is not None
        assert np.array_equal(found.steps(made), wanted)
    assert kind.of(w * np.float32(1.1)) is None


def test_a_factor_behind_a_product_scales_the_scales() -> None:
    b = GraphBuilder()
    q = RNG(0).integers(-128, 128, (4, 8))
    y = b.add("linear", b.input("x", (2, 8)), stored(b, q, 0.01))
    factors = np.array([1.7, -0.3, 2.1, 0.9], np.float32)
    y = b.add("affine", y, b.constant(factors), b.constant(np.ones(4, np.float32)), axis=1)
    network = quantized(prepare(b.build([y], ["y"])))
    assert [step.node.op for step in network.steps] == ["linear"]
    assert np.array_equal(network.steps[0].integers.weight, q * np.sign(factors)[:, None])


def test_weights_with_zero_points_have_16_bits_where_8_do_not_hold_them() -> None:
    b = GraphBuilder()
    q = RNG(0).integers(0, 256, (4, 8))
    x = rounded(b, b.input("x", (2, 8)), 0.02, 128)
    y = rounded(b, b.add("linear", x, stored(b, q, 0.01, zero=77)), 0.05, 128)
    network = quantized(prepare(b.build([y], ["y"])))
    (step,) = network.steps
    assert step.weight_type == INT16
    assert network.params["x"].element_type == INT8
    assert np.array_equal(step.integers.weight, q - 77)
    assert steps_db(network) <= 1.001


@pytest.mark.parametrize("act", ["silu", "leaky_relu"])
def test_a_function_of_a_rounded_result_is_fused(act: str) -> None:
    b, q = GraphBuilder(), RNG(0).integers(-128, 128, (4, 8))
    x = rounded(b, b.input("x", (2, 8)), 0.02, 128)
    hidden = rounded(b, b.add("linear", x, stored(b, q, 0.01)), 0.05, 100)
    y = rounded(b, b.add("table", hidden, chain=((act,),)), 0.03, 90)
    graph = prepare(b.build([y], ["y"]))
    assert [node.op for node in graph.nodes] == ["linear"]
    network, (out,) = quantized(graph), graph.outputs
    assert network.params[out + PRE] == QuantParams(float(np.float32(0.05)), 100 - 128)
    assert network.params[out] == QuantParams(float(np.float32(0.03)), 90 - 128)
    real: dict[str, Array] = {}
    sample = {"x": RNG(1).normal(size=(2, 8)).astype(np.float32)}
    run_float(graph, sample, lambda name, value: real.update({name: value}))
    params = network.params[out + PRE]
    before = dequantize(quantize(real[out + PRE], params), params)
    assert np.array_equal(real[out + PRE], before)
    assert steps_db(network) <= 2.0  # a step of 0.05 before the function


def test_torch_rounds_alike() -> None:
    b = GraphBuilder()
    x = b.input("x", (64,))
    graph = b.build([rounded(b, x, 0.25, 100)], ["y"])
    sample = RNG(0).uniform(-60, 60, 64).astype(np.float32)
    wanted = torch.fake_quantize_per_tensor_affine(torch.from_numpy(sample), 0.25, 100, 0, 255)
    found = run_float(graph, {"x": sample})[graph.outputs[0]]
    np.testing.assert_array_equal(found, wanted.numpy())


@pytest.mark.parametrize(("groups", "longest"), [(2, 2**14), (6, 2**14), (2, 26)])
def test_weights_of_9_bits_in_groups(
    groups: int, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of 16 bits; sums of weights of 8 bits, three for 255, of sums too long for that."""
    monkeypatch.setattr("myoedge.operators.library.packing.INT16_TAPS_MAX", longest)
    b, zero = GraphBuilder(), 0 if groups == 2 else 100
    q = RNG(0).integers(0, 256, (6, 3, 3, 6 // groups))
    q[0, 0, 0, 0] = 255
    x = rounded(b, b.input("x", (1, 5, 5, 6)), 0.03, 117)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "pads": ((1, 1), (1, 1)), "groups": groups}
    w = stored(b, q, [0.01] * 6, zero=max(zero, 1)) if zero else unsigned(b, q)
    y = rounded(b, b.add("conv", x, w, **attrs), 0.5, 9)
    network = quantized(prepare(b.build([y], ["y"])))
    (step,) = [step for step in network.steps if step.node.op == "conv"]
    assert step.weight_type == (INT16 if longest > 26 else INT8)
    parts = step.integers.weight.astype(int).reshape(6, 3, 3, -1, 6 // groups).sum(axis=3)
    assert np.array_equal(parts, q - zero)
    assert steps_db(network) <= 1.001


def unsigned(b: GraphBuilder, q: Array) -> str:
    kind = ConstantFormat((float(np.float32(0.01)),), (0,), 0, 255)
    name = b.constant(kind.real(q))
    b.constants[name] = replace(b.constants[name], format=kind)
    return name


def test_where_the_file_gives_all_ranges_no_samples_are_needed() -> None:
    graph, _ = layer()
    assert holdout.need_none(graph)
    drawn = holdout.at_random(graph).inputs["x"]
    params = graph.given_params("x")
    integers = quantize(drawn, params)
    assert integers.min() == params.low
    assert integers.max() == params.high
    b = GraphBuilder()
    half = b.add("table", rounded(b, b.input("x", (2, 8)), 0.02, 128), chain=(("tanh",),))
    assert not holdout.need_none(prepare(b.build([half], ["y"])))


def test_random_samples_are_in_the_file_s_range_behind_the_border() -> None:
    """Whose factors are along an axis of each sample."""
    graph, _ = layer()
    channels = graph.shape("x")[1]
    border = InputNormalization(tuple(range(1, channels + 1)), (0.5,) * channels, axis=1)
    drawn = holdout.at_random(graph.with_input_normalization("x", border)).inputs["x"]
    assert drawn.shape[1:] == graph.shape("x")
    params = graph.given_params("x")
    integers = [quantize(border.apply(sample), params) for sample in drawn]
    assert (np.min(integers), np.max(integers)) == (params.low, params.high)


def test_what_a_file_leaves_in_float_is_named_where_samples_are_missing() -> None:
    nodes = [
        Node("linear", ("x", "w"), ("sums",), {}),
        Node("table", ("sums",), ("y",), {"chain": (("tanh",),)}),
    ]
    graph = network(nodes, {"x": (1, 4)}, {"w": np.ones((3, 4))})
    assert "in float" not in dict(holdout.none_given(graph).notice.facts)
    stated = dict.fromkeys(("x", "sums"), QuantParams(0.1, 0))
    graph = graph.with_given({name: TensorQuant(q, True) for name, q in stated.items()})
    assert dict(holdout.none_given(graph).notice.facts)["in float"] == "y (table)"
