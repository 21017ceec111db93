# SPDX-License-Identifier: Apache-2.0
"""Quantisation parameters that tensors carry, through every rewrite into the QuantGraph.

Every tensor of a drawn graph carries a scale of its own, so that a scale found behind the passes
names the tensor that it was given to; its values have to be the ones that it has there now.
"""

from __future__ import annotations

import numpy as np
import pytest

from myoedge.graph.constants import TensorQuant
from myoedge.graph.ir import PRE, Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.interpreter import every_value
from myoedge.operators.queries import own_params
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.formats import shared_scale_groups
from myoedge.quantization.reuse import inherit_params
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.moves.equalize import equalized
from tests.unit.test_passes_random import random_graph, weights

GELU = (("gelu",),)


def carrying(graph: Graph) -> Graph:
    """Scale 1 + i / 1024 for tensor i, and a zero point."""
    params = {
        name: QuantParams(float(np.float32(1 + i / 1024)), i % 200 - 100)
        for i, name in enumerate(graph.tensors)
    }
    return graph.with_given({name: TensorQuant(q) for name, q in params.items()})


def inputs_of(graph: Graph, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {n: rng.normal(size=graph.shape(n)).astype(np.float32) for n in graph.inputs}


def quantized(graph: Graph) -> QuantGraph:
    inputs = {name: x[None] for name, x in inputs_of(graph, 1).items()}
    return quantize_graph(graph, calibrate(graph, inputs, Observer(), "drawn"))


def same_numbers(a: Array, b: Array) -> bool:
    """Whatever their order: transposes are values of their own."""
    a, b = np.sort(a, axis=None), np.sort(b, axis=None)
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(a).max(initial=1))


@pytest.mark.parametrize("block", range(6))
def test_parameters_stay_with_the_values_that_they_were_given_to(block: int) -> None:
    survived = 0
    for seed in range(block * 20, (block + 1) * 20):
        graph = carrying(random_graph(seed))
        after = prepare(graph)
        givers = {q.params.scale: name for name, q in graph.all_given.items()}
        before, now = (every_value(g, inputs_of(graph, seed)) for g in (graph, after))
        for name, q in after.all_given.items():
            if name in now:  # there is no value before a table that only clamps
                assert same_numbers(before[givers[q.params.scale]], now[name]), (seed, name)
        survived += len(after.all_given)
        for old, new in zip(graph.outputs, after.outputs, strict=True):
            if new in after.producer and graph.outputs.count(old) == 1:
                assert new in after.all_given, (seed, new)
        assert {*graph.inputs} - {*after.input_normalization} <= after.all_given.keys()
    assert survived > 100


@pytest.mark.parametrize("block", range(4))
def test_carried_parameters_come_out_in_the_quantised_graph(block: int) -> None:
    for seed in range(block * 10, (block + 1) * 10):
        after = prepare(carrying(random_graph(seed)))
        network = quantized(after)
        for names in shared_scale_groups(after, network.params):
            fixed = [own_params(after.producer[n]) for n in names if n in after.producer]
            carried = [after.given_params(n) for n in names if after.given(n)]
            allowed = [q for q in fixed if q is not None] or carried
            found = {network.params[name] for name in names}
            assert len(found) == 1
            assert not allowed or found <= {*allowed}, (seed, names)


def test_the_value_before_a_fused_table_keeps_its_parameters() -> None:
    b, rng = GraphBuilder(), np.random.default_rng(0)
    x = b.input("x", (2, 5))
    hidden = b.add("linear", x, b.constant(weights(rng, 4, 5)))
    y = b.add("table", hidden, chain=GELU)
    graph = carrying(b.build([y], ["y"]))
    after = prepare(graph)
    assert [node.op for node in after.nodes] == ["linear"]
    (out,) = after.outputs
    assert after.given_params(out + PRE) == graph.given_params(hidden)
    assert after.given_params(out) == graph.given_params(y)
    params = quantized(after).params
    assert params[out + PRE] == graph.given_params(hidden)


def test_an_input_that_is_normalised_by_the_host_has_the_parameters_of_its_reader() -> None:
    b = GraphBuilder()
    x = b.input("x", (2, 5))
    scaled = b.add("table", x, chain=(("affine", 0.5, -3.0),))
    graph = carrying(b.build([b.add("softmax", scaled, axis=1)], ["y"]))
    after = prepare(graph)
    assert after.input_normalization
    assert after.given_params("x") == graph.given_params(scaled)


def test_equalization_leaves_values_that_carry_parameters_alone() -> None:
    b, rng = GraphBuilder(), np.random.default_rng(0)
    w = weights(rng, 4, 5)
    w[0] *= 100.0
    hidden = b.add("linear", b.input("x", (2, 5)), b.constant(w))
    graph = b.build([b.add("linear", hidden, b.constant(weights(rng, 3, 4)))], ["y"])
    samples = {"x": rng.normal(size=(4, 2, 5)).astype(np.float32)}
    assert equalized(graph, samples) is not graph
    given = graph.with_given({hidden: TensorQuant(QuantParams(0.5, 0))})
    assert equalized(given, samples) is given


def test_parameters_of_the_file_go_before_those_of_an_older_build() -> None:
    after = prepare(random_graph(3))
    old, (x, *_) = quantized(after), after.inputs
    own = QuantParams(7.0, 5)
    reused = inherit_params(
        after.with_given(dict.fromkeys(after.all_given) | {x: TensorQuant(own)}), old, (), {}
    )
    assert reused.given_params(x) == own
    others = {name: q for name, q in reused.all_given.items() if name != x}
    assert others
    assert all(old.params[name] == q.params for name, q in others.items())


def test_the_digest_is_of_the_float_network() -> None:
    graph = random_graph(5)
    assert carrying(graph).digest == graph.digest
