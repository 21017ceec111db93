# SPDX-License-Identifier: Apache-2.0
"""Every rule of the spec catches a graph that breaks it, and says at which stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from myoedge.errors import MyoedgeError
from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.ir import Graph, Node, Tensor
from myoedge.operators.checks import SPEC, check
from myoedge.operators.graph_builder import GraphBuilder
from tests.support.each import each
from tests.support.oracles.conv_attributes import attributes

ABS = {"chain": (("abs",),)}


def sound() -> Graph:
    """A convolution, a table and a mean: legal at every stage."""
    d = GraphBuilder()
    x = d.input("x", (1, 5, 3))
    d.stem = "conv"
    y = d.add("conv", x, d.constant(np.ones((2, 3, 3))), **attributes(1))
    d.stem = "table"
    y = d.add("table", y, **ABS)
    d.stem = "mean"
    return d.build([d.add("mean", y, axes=(1, 2), keepdim=False)], ["output"])


def after(op: str, *more: tuple[str, dict[str, Any]], **attrs: Any) -> Graph:
    """The sound graph with further operators behind its table, the first of them `op`."""
    d, graph = GraphBuilder(), sound()
    d.tensors, d.constants = dict(graph.tensors), dict(graph.constants)
    d.inputs, d.nodes = list(graph.inputs), list(graph.nodes[:2])
    d.tensors.pop("mean")
    y = "table"
    for index, (name, given) in enumerate(((op, attrs), *more)):
        d.stem = f"new{index}"
        y = d.add(name, y, **given)
    return d.build([y], ["output"])


def with_node(index: int, **changes: Any) -> Graph:
    graph = sound()
    nodes = list(graph.nodes)
    nodes[index] = nodes[index].but(**changes)
    return replace(graph, nodes=tuple(nodes))


def with_tensor(name: str, **changes: Any) -> Graph:
    graph = sound()
    return replace(graph, tensors={**graph.tensors, name: replace(graph.tensors[name], **changes)})


def computed_weights() -> Graph:
    d = GraphBuilder()
    x, w = d.input("x", (1, 5, 3)), d.input("w", (2, 3, 3))
    return d.build([d.add("conv", x, w, **attributes(1))], ["output"])


def on_constants() -> Graph:
    d = GraphBuilder()
    x, c = d.input("x", (2,)), d.constant(np.ones(2))
    return d.build([d.add("add", x, d.add("table", c, **ABS))], ["output"])


def long_rows() -> Graph:
    d = GraphBuilder()
    return d.build([d.add("softmax", d.input("x", (1, 32769)), axis=1)], ["output"])


def negative_eps() -> Graph:
    d = GraphBuilder()
    d.add("layer_norm", d.input("x", (1, 2)), *(d.constant(np.ones(2)) for _ in "ab"), eps=0.1)
    graph = d.build([d.nodes[0].name], ["output"])
    return replace(graph, nodes=(d.nodes[0].but(attrs={"eps": -0.1}),))


def empty() -> Graph:
    """The builder refuses such a node: its tensors lose their elements afterwards."""
    d = GraphBuilder()
    graph = d.build([d.add("table", d.input("x", (1, 2)), **ABS)], ["output"])
    tensors = {name: replace(tensor, shape=(0, 2)) for name, tensor in graph.tensors.items()}
    return replace(graph, tensors=tensors)


def doubles() -> Graph:
    graph = sound()
    broken = {name: np.full(c.shape, 1.0, np.float64) for name, c in graph.arrays.items()}
    return graph.with_arrays(broken)


BROKEN: dict[str, tuple[str, Callable[[], Graph]]] = {
    "is not in the table": ("imported", lambda: with_node(1, op="nonsense")),
    "not exactly one output": ("imported", lambda: with_node(1, outputs=("table", "more"))),
    "written twice": ("imported", lambda: with_node(1, outputs=("conv",))),
    "before it is written": ("imported", lambda: with_node(1, inputs=("mean",))),
    "input has no shape": ("imported", lambda: replace(sound(), inputs=("x", "y"))),
    "written by nothing": ("imported", lambda: replace(sound(), outputs=("nowhere",))),
    "shape or type": ("imported", lambda: with_tensor("table", shape=(1, 3, 3))),
    "type differs from": ("imported", lambda: with_tensor("mean", dtype="int32")),
    "no elements": ("imported", empty),
    "is not float32": ("imported", doubles),
    "does not allow": ("imported", negative_eps),
    "more than 32768": ("imported", long_rows),
    "computes with integers": (
        "imported", lambda: after("argmax", ("table", ABS), axis=1, keepdim=False)),
    "do not fit": ("imported", lambda: sound().with_input_normalization(
        "x", InputNormalization((1, 2), (0, 0), 2))),
    "weights are computed": ("imported", computed_weights),
    "was not folded": ("prepared", on_constants),
    "read by nothing": ("prepared", lambda: replace(sound(), outputs=("table",))),
    "not adjacent": ("prepared", lambda: after("mean", axes=(0, 2), keepdim=True)),
    "transpose follows": ("prepared", lambda: after(
        "transpose", ("transpose", {"perm": (2, 1, 0)}), perm=(0, 2, 1))),
    "reshape follows": ("prepared", lambda: after(
        "reshape", ("reshape", {"shape": (2, 3)}), shape=(6,))),
    "must share it": ("prepared", lambda: after(
        "softmax", ("pad", {"pads": ((0, 0), (1, 0), (0, 0)), "value": 0.0}), axis=1)),
}  # fmt: skip


@each("message", BROKEN)
def test_what_is_not_legal_is_a_bug_with_its_stage(message: str) -> None:
    stage, make = BROKEN[message]
    with pytest.raises(MyoedgeError) as caught:
        check(make(), stage)
    assert caught.value.code == "E920"
    assert caught.value.exit_code == 70
    assert message in caught.value.notice.title
    assert dict(caught.value.notice.facts)["stage"] == stage


@pytest.mark.parametrize("stage", SPEC)
def test_a_sound_graph_is_legal_at_every_stage(stage: str) -> None:
    check(sound(), stage)


def test_what_only_the_passes_establish_is_legal_before_them() -> None:
    for stage, make in BROKEN.values():
        if stage != "imported":
            check(make(), "imported")


def test_every_rule_is_broken_by_some_graph() -> None:
    messages = [message for rules in SPEC.values() for _, message in rules]
    assert all(any(part in message for part in BROKEN) for message in messages)


def test_the_place_is_named() -> None:
    with pytest.raises(MyoedgeError, match=r"table = table \(table\)"):
        check(with_tensor("table", shape=(1, 3, 3)), "imported")
    assert Node("abs", (), ("y",)).where == "y (abs)"
    assert Tensor("y", (2, 3)).size == 6
