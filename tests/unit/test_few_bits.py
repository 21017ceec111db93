# SPDX-License-Identifier: Apache-2.0
"""Weights of 2 to 7 bits: scales and rounding, against exhaustive searches and plain rounding."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from myoedge.building.config import from_tables
from myoedge.building.layer_rules import layer_rules
from myoedge.building.plugin_check import joined
from myoedge.errors import MyoedgeError
from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node, Tensor
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.weight_format import Moments, WeightFormat, _round_by_columns, rounded_rows
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import run_float, run_int
from myoedge.operators.library.packed_weights import PACKED_BITS, packed_bytes
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.few_bits import weight_noise, with_few_bits
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.goal import UNLIMITED, Goal
from myoedge.quantization.search.moves.weight_steps import WeightBudget, ordered_steps
from myoedge.quantization.search.state import Design
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.quantization.stated_widths import LayerRule
from myoedge.targets import find_chip
from tests.ops.harness import drawn
from tests.support.searches import searched, workshop_of

CHIP = find_chip("gap9")
MINMAX = Observer("minmax")


def correlated(seed: int, count: int, taps: int) -> Array:
    """Vectors of which few directions hold most, as those of trained networks."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, taps)) * 2.0 ** -np.arange(taps)
    return mixed @ rng.normal(size=(taps, taps)) + 0.5


def error(w: Array, q: Array, scale: Array, x: Array) -> float:
    return float(np.sum((x @ (w - q * scale[:, None]).T) ** 2))


@pytest.mark.parametrize("bits", [2, 3, 4, 7])
def test_sums_keep_more_than_with_rounding_to_nearest(bits: int) -> None:
    """Of vectors that were not rounded for."""
    x, w = correlated(bits, 600, 24), np.random.default_rng(bits).normal(size=(8, 24))
    q, scale = rounded_rows(w, [Moments.of(x[:400])], WeightFormat(bits), np.zeros(8))
    nearest = np.abs(w).max(axis=1) / WeightFormat(bits).high
    plain = np.rint(w / nearest[:, None])
    assert np.abs(q).max() <= 2 ** (bits - 1) - 1
    assert error(w, q, scale, x[400:]) < 0.6 * error(w, plain, nearest, x[400:])


@pytest.mark.parametrize("taps", [1, 64, 65, 150])
def test_later_columns_compensate_the_errors_of_earlier_ones(taps: int) -> None:
    """Oracle: the least squares of all columns that are not rounded yet, solved for each column."""
    rng = np.random.default_rng(taps)
    block = Moments.of(rng.normal(size=(300, taps)) @ rng.normal(size=(taps, taps)))
    w, scale, squares = rng.normal(size=(3, taps)), np.full(3, 0.4), block.damped
    expected, left = np.zeros_like(w), list(np.argsort(-np.diag(squares), kind="stable"))
    known: list[int] = []
    while left:
        errors = (w - expected * scale[:, None])[:, known]
        moved = np.linalg.solve(
            squares[np.ix_(left, left)], squares[np.ix_(left, known)] @ errors.T
        )
        column = left[0]
        wanted = (w[:, column] + moved[0]) / scale
        expected[:, column] = np.clip(np.rint(wanted), -7, 7)
        known.append(left.pop(0))
    assert np.array_equal(_round_by_columns(w, block, scale, 7), expected)


def test_few_columns_are_nearly_as_good_as_the_best_integers_of_all() -> None:
    """Every one of 7^4 rows of integers, at the scale that was chosen."""
    x, w = correlated(3, 4000, 4), np.random.default_rng(3).normal(size=(5, 4))
    q, scale = rounded_rows(w, [Moments.of(x)], WeightFormat(3), np.zeros(5))
    every = np.array(list(itertools.product(range(-3, 4), repeat=4)))
    for row, mine, step in zip(w, q, scale, strict=True):
        errors = np.sum((x @ (row - every * step).T) ** 2, axis=0)
        own = np.sum((x @ (row - mine * step)) ** 2)
        assert own <= max(1.5 * errors.min(), float(np.sort(errors)[20]))


def test_vectors_of_zeros_leave_the_nearest_integers() -> None:
    w = np.array([[0.5, -1.0, 0.25], [0.0, 0.0, 0.0]])
    q, scale = rounded_rows(w, [Moments.of(np.zeros((4, 3)))], WeightFormat(4), np.zeros(2))
    assert np.abs(w - q * scale[:, None]).max() <= 0.5 * scale[0] * 1.01
    assert not q[1].any()


def test_blocks_of_columns_have_one_scale() -> None:
    x, w = correlated(5, 300, 8), np.random.default_rng(5).normal(size=(3, 8))
    blocks = [Moments.of(x[:, :5]), Moments.of(x[:, 5:])]
    q, scale = rounded_rows(w, blocks, WeightFormat(4), np.zeros(3))
    assert np.abs(w - q * scale[:, None]).max() < np.abs(w).max()
    assert (q.shape, scale.shape, q.dtype) == ((3, 8), (3,), np.dtype(np.int8))


def test_a_large_bias_keeps_the_scale_up() -> None:
    w = np.full((1, 4), 1e-9)
    _, scale = rounded_rows(w, [Moments.of(correlated(1, 20, 4))], WeightFormat(4), np.array([0.5]))
    assert scale.tolist() == [0.5]


# ---- networks

SHAPES = {"x": (1, 9, 4), "conv": (1, 9, 6), "linear": (1, 9, 5)}


def network() -> tuple[Graph, dict[str, Array]]:
    """A convolution in two groups, and a linear layer behind it; and samples."""
    rng = np.random.default_rng(0)
    conv = {"stride": (1,), "dilation": (1,), "pads": ((1, 1),), "groups": 2}
    nodes = (
        Node("conv", ("x", "w", "b"), ("conv",), conv, (Origin("features.conv"),)),
        Node("linear", ("conv", "v"), ("linear",), {}, (Origin("head"),)),
    )
    shapes = {"w": (6, 3, 2), "b": (6,), "v": (5, 6)}
    constants = {x: rng.normal(size=n).astype(np.float32) for x, n in shapes.items()}
    tensors = {name: Tensor(name, shape) for name, shape in SHAPES.items()}
    samples = {"x": rng.normal(size=(20, *SHAPES["x"])).astype(np.float32)}
    return Graph(("x",), ("linear",), nodes, tensors, as_constants(constants)), samples


def quantized(
    bits: int, pattern: str = "*", activations: int = 8
) -> tuple[QuantGraph, dict[str, Array]]:
    graph, samples = network()
    rules = (LayerRule(pattern, weight_bits=bits, activations=activations),)
    few = with_few_bits(graph, samples, rules)
    return quantize_graph(few, calibrate(graph, samples, MINMAX, "test"), rules), samples


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_networks_have_integers_of_so_many_bits_and_their_own_floats(bits: int) -> None:
    q, _ = quantized(bits)
    graph, _ = network()
    assert [step.weight_bits for step in q.steps] == [bits, bits]
    assert all(np.array_equal(q.graph.array(x), w) for x, w in graph.arrays.items())
    assert q.digest == graph.digest


def test_integers_are_those_of_the_sums_by_fractions() -> None:
    """The head: each output within a step of what its integers and scales stand for."""
    q, samples = quantized(4)
    values = run_int(q.steps, q.constants, quantized_inputs(q, {"x": samples["x"][0]}))
    x, y, scales = q.params["conv"], q.params["linear"], q.graph.formats["v"].scale
    for k, (row, scale) in enumerate(zip(q.steps[1].integers.weight, scales, strict=True)):
        pairs = zip(row.tolist(), values["conv"][0, 0].tolist(), strict=True)
        total = sum(w * (v - x.zero_point) for w, v in pairs)
        real = total * Fraction(x.scale) * Fraction(scale) / Fraction(y.scale) + y.zero_point
        assert abs(values["linear"][0, 0, k] - min(max(real, -128), 127)) <= Fraction(51, 100)


def test_8_bits_beside_16_are_the_nearest_integers_by_fractions() -> None:
    """Of every weight; and each output of the head within a step of what the integers stand for."""
    q, samples = quantized(8, activations=16)
    graph, _ = network()
    for step, name in zip(q.steps, "wv", strict=True):
        assert (step.weight_type, step.weight_bits) == (INT16, 8)
        rows, scales = graph.array(name).reshape(len(graph.array(name)), -1), step.integers.scale
        for row, integers, scale in zip(
            rows, step.integers.weight.reshape(rows.shape), scales, strict=True
        ):
            for real, integer in zip(row.tolist(), integers.tolist(), strict=True):
                assert abs(integer) <= 127
                assert abs(Fraction(real) / Fraction(scale) - integer) <= Fraction(1, 2)
    values = run_int(q.steps, q.constants, quantized_inputs(q, {"x": samples["x"][0]}))
    x, y, head = q.params["conv"], q.params["linear"], q.steps[1].integers
    for k, (row, scale) in enumerate(zip(head.weight.tolist(), head.scale, strict=True)):
        total = sum(
            w * (v - x.zero_point) for w, v in zip(row, values["conv"][0, 0].tolist(), strict=True)
        )
        real = total * Fraction(x.scale) * Fraction(scale) / Fraction(y.scale) + y.zero_point
        error = abs(values["linear"][0, 0, k] - min(max(real, y.low), y.high))
        # multipliers have 15 bits, and low bits of the sum are dropped before them
        assert error <= 1 + abs(real) / 2**14


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("taps", [100, 4000, 16384])
def test_sums_of_weights_beside_int16_fit_int32(taps: int, bits: int) -> None:
    """Of equal weights, whose sum is the largest, and a bias that 2^28 steps hold."""
    x, w = QuantParams(2.0**-15, 0, INT16), np.full((2, taps), -0.75)
    bias = np.array([0.0, 1e6])
    used = WeightFormat(bits, is_stated=True).beside(INT16)
    q, scale = used.quantize(w, bias, x)
    assert q.dtype == np.int16
    assert np.abs(q).max() <= used.high
    for row, step, added in zip(q.tolist(), scale.tolist(), bias.tolist(), strict=True):
        most = sum(map(abs, row)) * 2**15 + round(Fraction(added) / Fraction(step) * 2**15)
        assert most < 2**31
        assert any(row) or added


def test_the_search_may_give_8_bits_to_weights_of_16() -> None:
    """As the first reduction of their bits, whose bytes are half."""
    graph, samples = network()
    rules = (LayerRule("*", activations=16),)
    q = quantize_graph(graph, calibrate(graph, samples, MINMAX, "test"), rules)
    budget = WeightBudget(np.full(1, 1.0))
    steps = ordered_steps(q, samples, rules, budget)
    by_weight = {name: [x for x in steps if x.weight == (name,)] for name in "wv"}
    assert [x.bits for x in by_weight["w"]] == [x.bits for x in by_weight["v"]] == [8, 4, 2]
    assert [x.saved_bytes for x in by_weight["v"]] == [30.0, 15.0, 7.5]
    made = quantize_graph(
        graph.with_formats({"w": by_weight["w"][0].format, "v": by_weight["v"][1].format}),
        q.calibration,
        rules,
    )
    assert [(x.weight_type, x.weight_bits) for x in made.steps] == [(INT16, 8), (INT16, 4)]
    least = replace(budget, layers={"conv": 8})
    assert [(x.weight, x.bits) for x in ordered_steps(q, samples, rules, least)] == [(("w",), 8)]


@pytest.mark.parametrize("rules", [(), (LayerRule("head", weight_bits=16),)])
def test_a_search_may_have_rules_that_those_of_quant_override(rules: tuple[LayerRule, ...]) -> None:
    graph, samples = network()
    workshop = replace(
        workshop_of(graph, samples), usual_rules=(LayerRule("*", weight_bits=8),), rules=rules
    )
    design = Design(graph, calibrate(graph, samples, MINMAX, "test"))
    eight = workshop.make(design).cores
    assert [x.weight_type for x in eight.steps] == [INT8, INT16 if rules else INT8]
    wide = workshop.make(replace(design, int16=(("x",), ("conv",), ("linear",)))).cores
    assert [x.weight_bits for x in wide.steps] == [8, 16 if rules else 8]
    assert [x.weight_type for x in wide.steps] == [INT16, INT16]


def test_the_last_rule_that_names_bits_counts_and_8_are_as_ever() -> None:
    graph, samples = network()
    rules = (LayerRule("*", weight_bits=3), LayerRule("head", weight_bits=8), LayerRule("*"))
    few = with_few_bits(graph, samples, rules)
    assert few.formats.keys() == {"w"}
    assert with_few_bits(graph, samples, rules[1:]) is graph


@pytest.mark.parametrize(("last", "bits"), [("head", [4, 8]), ("*", [4, 4])])
def test_the_last_rule_s_bits_are_told_beside_16_bits_too(last: str, bits: list[int]) -> None:
    """Weights lie in int16 beside an operand of 16 bits; few bits stay few in their values."""
    graph, samples = network()
    few, wide = LayerRule("*", weight_bits=4), LayerRule("head", weight_bits=8)
    rules = (LayerRule("*", activations=16), *((few, wide) if last == "head" else (wide, few)))
    made = with_few_bits(graph, samples, rules)
    q = quantize_graph(made, calibrate(graph, samples, MINMAX, "test"), rules)
    assert [step.integers.weight.dtype for step in q.steps] == [np.int16, np.int16]
    assert [step.weight_bits for step in q.steps] == bits
    assert np.abs(q.steps[0].integers.weight).max() == 7


def test_the_same_samples_give_the_same_integers() -> None:
    first, again = quantized(3)[0], quantized(3)[0]
    pairs = zip(first.steps, again.steps, strict=True)
    assert all(np.array_equal(a.integers.weight, b.integers.weight) for a, b in pairs)


def test_what_a_convolution_multiplies_is_what_its_sums_are_of() -> None:
    graph, samples = network()
    node, w = graph.nodes[0], graph.array("w")
    vectors = OPS["conv"].weights.multiplicands
    assert vectors is not None
    groups = vectors(node.attrs, samples["x"][0], w)
    sums = [x @ rows.T for x, rows in zip(groups, w.reshape(2, 3, -1), strict=True)]
    bare = graph.with_arrays({"b": np.zeros(6, np.float32)})
    found: dict[str, Array] = {}
    run_float(bare, {"x": samples["x"][0]}, found.__setitem__)
    assert np.allclose(np.concatenate(sums, axis=1), found["conv"][0], atol=1e-5)


@pytest.mark.parametrize("op", ["lstm", "gru", "rnn_relu"])
def test_what_a_recurrent_layer_multiplies_is_h_before_every_step(op: str) -> None:
    units, gates = 3, {"lstm": 4, "gru": 3, "rnn_relu": 1}[op]
    rng, attrs = np.random.default_rng(1), {"reverse": True, "reset_first": False}
    states = [rng.normal(size=(2, units)) for _ in range(2 if op == "lstm" else 1)]
    weights = [rng.normal(size=(gates * units, units))]
    weights += [rng.normal(size=gates * units)] if op == "gru" else []
    inputs = (rng.normal(size=(5, 2, gates * units)), *states, *weights)
    vectors = OPS[op].weights.multiplicands
    assert vectors is not None
    steps = OPS[op].real(attrs, *inputs)[::-1]  # in the order of the steps
    wanted = np.concatenate([states[0], *steps[:-1]])
    assert np.array_equal(vectors(attrs, *inputs)[0], wanted)


# ---- [quant]


def test_bits_of_a_rule_are_those_of_myoedge_toml() -> None:
    settings = from_tables({"quant": {"head": {"weights": 4}, "*": {"weights": "per_tensor"}}}, "t")
    head, rest = layer_rules(network()[0], settings)
    assert (head.weight_bits, head.weights) == (4, "per_channel")
    assert (rest.weight_bits, rest.weights) == (None, "per_tensor")


@pytest.mark.parametrize("bits", [0, 1, 9, 15, -4])
def test_other_numbers_of_bits_are_refused(bits: int) -> None:
    with pytest.raises(MyoedgeError, match="bits of weights must be 2 to 8"):
        from_tables({"quant": {"head": {"weights": bits}}}, "myoedge.toml")


def test_a_pattern_without_such_weights_is_refused_and_the_advice_works() -> None:
    graph, _ = network()
    relu = Node("table", ("linear",), ("relu",), {"chain": ()}, (Origin("act"),))
    graph = replace(graph, nodes=(*graph.nodes, relu))
    with pytest.raises(MyoedgeError, match="matches no layer whose weights") as raised:
        layer_rules(graph, from_tables({"quant": {"act": {"weights": 4}}}, "t"))
    assert raised.value.code == "E233"
    tables = tomllib.loads(raised.value.notice.tries[0].replace("[quant] ", "quant."))
    assert layer_rules(graph, from_tables(tables, "t"))[0].weight_bits == 4


def test_noise_of_weights_alone_is_that_of_the_sums() -> None:
    """Of the head, which reads the same floats with and without its integers."""
    q, samples = quantized(3, "head")
    graph, form = q.graph, q.graph.formats["v"]
    assert form.integers is not None
    rounded = form.integers * np.array(form.scale)[:, None]
    x = np.concatenate([run_float(graph, {"x": one})["conv"] for one in samples["x"][:16]])
    real, error = x @ graph.array("v").T, x @ (graph.array("v") - rounded).T
    few = {"x": samples["x"][:16]}
    assert weight_noise(q, few)["linear"] == pytest.approx((error**2).sum() / (real**2).sum(), 1e-4)
    assert weight_noise(quantize_graph(graph_of_floats(q), q.calibration), few) == {}


def graph_of_floats(q: QuantGraph) -> Graph:
    return q.graph.with_formats(dict.fromkeys(q.graph.formats))


def test_16_bits_are_not_for_the_noise_of_weights() -> None:
    """2 bits keep some 8 dB; of tensors with 8 bits there are 25 more."""
    q, samples = quantized(2)
    goal = Goal(budgets=UNLIMITED)
    assert searched(workshop_of(q.graph, samples), q.graph, goal)[1]
    above = replace(goal, floor=weight_noise(q, samples))
    found, moves = searched(workshop_of(q.graph, samples), q.graph, above)
    assert found.network.engined.params == q.params
    assert not moves


@pytest.mark.parametrize(("kind", "bits"), [(k, n) for k in PACKED_BITS for n in PACKED_BITS[k]])
def test_packed_words_have_the_weights_of_a_lane_apart(kind: ElementType, bits: int) -> None:
    """Each as the two's complement of so many bits, in one number of 32 bits a word."""
    high, count, lanes = (1 << (bits - 1)) - 1, 32 // bits, 4 // kind.size_bytes
    weights = np.random.default_rng(bits).integers(-high - 1, high + 1, (3, count + 4))
    packed = packed_bytes(weights.astype(kind.dtype), bits)
    padded = [[*row, *[0] * (-len(row) % count)] for row in weights.tolist()]
    for row, words in zip(padded, packed.view("<u4").tolist(), strict=True):
        for number, word in enumerate(words):
            parts = [
                (row[number * count + lanes * part + i] % (1 << bits))
                << (kind.bits * i + bits * part)
                for part in range(kind.bits // bits)
                for i in range(lanes)
            ]
            assert word == sum(parts)


# ---- a weight of several layers


def copies(second: str, *, tied: bool = False) -> tuple[Graph, dict[str, Array]]:
    """Two layers that multiply different vectors by equal weights; and samples.

    tied   whether both read one tensor; otherwise each has a copy
    """
    rng = np.random.default_rng(4)
    w = rng.normal(size=(5, 6)).astype(np.float32)
    nodes = (
        Node("linear", ("x", "w"), ("first",), {}, (Origin("first"),)),
        Node("linear", ("y", "w" if tied else "copy"), ("second",), {}, (Origin(second),)),
    )
    shapes = {"x": (1, 9, 6), "y": (1, 9, 6), "first": (1, 9, 5), "second": (1, 9, 5)}
    tensors = {name: Tensor(name, shape) for name, shape in shapes.items()}
    constants = {"w": w} if tied else {"w": w, "copy": w.copy()}
    x = correlated(1, 16 * 9, 6).reshape(16, 1, 9, 6).astype(np.float32)
    y = correlated(2, 16 * 9, 6).reshape(16, 1, 9, 6).astype(np.float32)
    graph = Graph(("x", "y"), ("first", "second"), nodes, tensors, as_constants(constants))
    return graph, {"x": x, "y": y}


@pytest.mark.parametrize("tied", [False, True])
def test_a_weight_is_rounded_for_the_vectors_of_all_its_layers(tied: bool) -> None:
    graph, samples = copies("second", tied=tied)
    few = with_few_bits(graph, samples, (LayerRule("*", weight_bits=3),))
    vectors = np.concatenate([x.reshape(-1, 6) for x in samples.values()])
    w = graph.array("w")
    expected, scale = rounded_rows(w, [Moments.of(vectors)], WeightFormat(3), np.zeros(5))
    for chosen in few.formats.values():
        assert chosen.integers is not None
        assert np.array_equal(chosen.integers, expected)
        assert np.allclose(chosen.scale, scale, rtol=1e-6)
    assert len(few.formats) == 2 - tied


def test_copies_with_other_bits_are_rounded_on_their_own() -> None:
    graph, samples = copies("second")
    rules = (LayerRule("first", weight_bits=3), LayerRule("second", weight_bits=5))
    few = with_few_bits(graph, samples, rules)
    assert {name: f.high for name, f in few.formats.items()} == {"w": 3, "copy": 15}


@pytest.mark.parametrize(("three", "five"), [("first", "second"), ("second", "first")])
def test_a_tensor_of_several_layers_has_the_most_bits_that_they_state(
    three: str, five: str
) -> None:
    graph, samples = copies("second", tied=True)
    rules = (LayerRule(three, weight_bits=3), LayerRule(five, weight_bits=5))
    assert with_few_bits(graph, samples, rules).formats["w"].high == 15


@pytest.mark.parametrize("tied", [False, True])
def test_the_search_for_bits_stores_a_weight_once(tied: bool) -> None:
    graph, samples = copies("second", tied=tied)
    network = quantize_graph(graph, calibrate(graph, samples, MINMAX, "test"))
    budget = WeightBudget(np.full(len(graph.outputs), 1.0))
    steps = ordered_steps(network, samples, (), budget)
    names = ("w",) if tied else ("w", "copy")
    assert [(step.weight, step.bits, step.saved_bytes) for step in steps] == [
        (names, 4, 15.0),
        (names, 2, 7.5),
    ]


def test_a_layer_that_a_rule_sets_keeps_the_bits_of_its_tensor() -> None:
    graph, samples = copies("second", tied=True)
    network = quantize_graph(graph, calibrate(graph, samples, MINMAX, "test"))
    rules = (LayerRule("second", weight_bits=8),)
    assert not ordered_steps(network, samples, rules, WeightBudget(np.full(2, 1.0)))


TAKE_FEW_BITS = [op for op in OPS if OPS[op].weights.multiplicands is not None]


@pytest.mark.parametrize("bits", [2, 3, 4, 7])
def test_two_layers_of_any_operator_store_equal_weights_once(bits: int) -> None:
    """Each has its own input, so that weights rounded for one of them would differ."""
    seen = set[str]()
    for case in (case for op in TAKE_FEW_BITS for case in drawn(op, 3)):
        graph = joined([case, case]).graph
        rng = np.random.default_rng(case.seed)
        samples = {
            name: rng.normal(size=(8, *graph.shape(name))).astype(np.float32)
            for name in graph.inputs
        }
        few = with_few_bits(graph, samples, (LayerRule("*", weight_bits=bits),))
        for name in [name for name in few.formats if name.startswith("u0_")]:
            first, second = few.formats[name], few.formats[name.replace("u0_", "u1_")]
            assert first.integers is not None
            assert second.integers is not None
            assert np.array_equal(first.integers, second.integers)
            assert first.scale == second.scale
            seen.add(case.op)
    assert seen == {*TAKE_FEW_BITS}
