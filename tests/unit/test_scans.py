# SPDX-License-Identifier: Apache-2.0
"""Loops that export has written out: recurrences become one operator, steps are joined."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch import Tensor, nn

from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare

STEPS, WIDTH, STATES = 6, 8, 4


class Selective(nn.Module):
    """A selective scan as Mamba has it: h = exp(dt A) h + dt B x, y = <C, h>."""

    def __init__(self, *, inside: bool, backwards: bool = False) -> None:
        super().__init__()
        self.inside, self.order = inside, range(STEPS)[:: -1 if backwards else 1]
        self.dt, self.bc = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * STATES)
        self.a = nn.Parameter(-torch.rand(WIDTH, STATES))

    def forward(self, x: Tensor) -> Tensor:
        dt = torch.sigmoid(self.dt(x))
        b, c = self.bc(x).split(STATES, -1)
        decay = torch.exp(dt[..., None] * self.a)
        term = dt[..., None] * b[:, :, None] * x[..., None]
        h, ys = torch.zeros(x.shape[0], WIDTH, STATES), []
        for t in self.order:
            factor = torch.exp(dt[:, t, :, None] * self.a) if self.inside else decay[:, t]
            h = factor * h + term[:, t]
            ys.append((h * c[:, t, None]).sum(-1))
        return torch.stack(ys, 1)


class Decaying(nn.Module):
    """States that one factor a channel decays."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.rand(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x, h, states = torch.tanh(x), torch.zeros(1, WIDTH), []
        for t in range(STEPS):
            h = x[:, t] + h * self.a
            states.append(h)
        return torch.stack(states, 1)


NETWORKS = {
    "outside": lambda: Selective(inside=False),
    "inside": lambda: Selective(inside=True),
    "backwards": lambda: Selective(inside=False, backwards=True),
    "decaying": Decaying,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loop_of_states_is_one_scan(name: str) -> None:
    torch.manual_seed(0)
    network: nn.Module = NETWORKS[name]().eval()
    x = torch.randn(1, STEPS, WIDTH)
    graph = prepare(from_exported(torch.export.export(network, (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    ops = Counter(node.op for node in graph.nodes)
    assert ops["scan"] + ops["selective_scan"] == 1
    assert len(graph.nodes) < 25


def test_a_loop_may_begin_with_its_first_state() -> None:
    class Begun(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x[:, 0] - 0.5
            states = [h]
            for t in range(1, STEPS):
                h = h * x[:, t] + x[:, t]
                states.append(h)
            return torch.stack(states, 1)

    x = torch.rand(1, STEPS, WIDTH)
    graph = prepare(from_exported(torch.export.export(Begun().eval(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, Begun()(x).numpy(), rtol=1e-5, atol=1e-5)
    assert [node.op for node in graph.nodes].count("scan") == 1


def test_states_of_another_loop_are_no_scan() -> None:
    class Bounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h, states = torch.zeros(1, WIDTH), []
            for t in range(STEPS):
                h = torch.tanh(h * x[:, t]) + x[:, t]
                states.append(h)
            return torch.stack(states, 1)

    x = torch.rand(1, STEPS, WIDTH)
    graph = prepare(from_exported(torch.export.export(Bounded().eval(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, Bounded()(x).numpy(), rtol=1e-5, atol=1e-5)
    assert all(node.op != "scan" for node in graph.nodes)


class Last(nn.Module):
    """The last state of a loop that begins with zeros, the number 0, or a state of its own."""

    def __init__(self, begins: str, steps: int = STEPS) -> None:
        super().__init__()
        self.begins, self.steps = begins, steps

    def forward(self, x: Tensor) -> Tensor:
        zeros: Any = torch.zeros(1, WIDTH) if self.begins == "zeros" else 0.0
        h: Tensor = x[:, 0] - 0.5 if self.begins == "state" else zeros
        decays = torch.sigmoid(x)
        for t in range(self.begins == "state", self.steps):
            h = decays[:, t] * h + x[:, t]
        return h


def prepared(network: nn.Module) -> Graph:
    """The network's graph, which computes what torch does."""
    torch.manual_seed(0)
    x = torch.randn(1, STEPS, WIDTH)
    graph = prepare(from_exported(torch.export.export(network.eval(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    return graph


@pytest.mark.parametrize("begins", ["zeros", "number", "state"])
def test_a_loop_whose_last_state_alone_is_read_is_one_scan(begins: str) -> None:
    ops = Counter(node.op for node in prepared(Last(begins)).nodes)
    assert (ops["scan"], ops["mul"], ops["add"]) == (1, 0, 0)


@pytest.mark.parametrize("begins", ["zeros", "number"])
def test_nothing_multiplies_the_zeros_of_few_steps(begins: str) -> None:
    ops = Counter(node.op for node in prepared(Last(begins, 3)).nodes)
    assert (ops["scan"], ops["mul"], ops["add"], ops["affine"]) == (0, 2, 2, 0)


def test_nothing_multiplies_zeros_of_onnx(tmp_path: Path) -> None:
    zeros = numpy_helper.from_array(np.zeros((1, WIDTH), np.float32), "zeros")
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a"]),
        helper.make_node("Mul", ["zeros", "a"], ["none"]),
        helper.make_node("Add", ["none", "x"], ["first"]),
        helper.make_node("Mul", ["first", "a"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, WIDTH]) for n in "xy"]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], [zeros])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, tmp_path / "model.onnx")
    graph = prepare(load_onnx(tmp_path / "model.onnx").graph)
    assert [node.op for node in graph.nodes] == ["table"]  # x * sigmoid(x)


def test_a_factor_that_is_learnt_may_begin_with_zero() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Parameter(torch.zeros(WIDTH))

        def forward(self, x: Tensor) -> Tensor:
            return x + torch.tanh(x) * self.gate

    assert "affine" in [node.op for node in prepared(Gated()).nodes]


def test_states_that_something_else_reads_stay_steps() -> None:
    class Read(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x[:, 0]
            for t in range(1, STEPS):
                h = h * x[:, t] + torch.tanh(h)
            return h

    assert all(node.op != "scan" for node in prepared(Read()).nodes)


class Repeated(nn.Module):
    """h = f(h a) + b with one a and one b for all steps, from a state of its own."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.sigmoid(x[:, 0]), x[:, 1]
        h = x[:, 2] - 0.5
        for _ in range(STEPS):
            h = self.act(h * a) + b
        return h


def test_terms_may_be_one_tensor() -> None:
    ops = Counter(node.op for node in prepared(Repeated(lambda x: x)).nodes)
    assert (ops["scan"], ops["mul"], ops["add"]) == (1, 0, 0)


def test_states_of_products_with_a_fused_function_are_no_scan() -> None:
    network = Repeated(torch.tanh)
    graph = prepare(prepared(network))  # functions are fused from the first call on
    x = torch.randn(1, STEPS, WIDTH)
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("shape", "axis"), [((1, 3, 7), -1), ((2, 5), 0), ((2, 1, 4), 1)])
def test_products_along_an_axis_are_a_scan(shape: tuple[int, ...], axis: int) -> None:
    class Products(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x).cumprod(axis)

    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    graph = prepare(from_exported(torch.export.export(Products(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, Products()(x).numpy(), rtol=1e-5, atol=1e-6)
    assert [node.op for node in graph.nodes].count("scan") == (shape[axis] > 1)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_products_of_onnx(tmp_path: Path, exclusive: int, reverse: int) -> None:
    attrs = {"exclusive": exclusive, "reverse": reverse}
    node = helper.make_node("CumProd", ["x", "axis"], ["y"], **attrs)
    axis = numpy_helper.from_array(np.array(1, np.int64), "axis")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 5]) for n in "xy"]
    made = helper.make_graph([node], "g", values[:1], values[1:], [axis])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 26)], ir_version=9)
    save(model, tmp_path / "model.onnx")
    graph = prepare(load_onnx(tmp_path / "model.onnx").graph)
    x = np.random.default_rng(0).standard_normal((2, 5), np.float32)
    found = run_float(graph, {"x": x})[graph.outputs[0]]
    columns = x[:, ::-1] if reverse else x
    expected = [
        [math.prod(row[: at + 1 - exclusive]) for at in range(len(row))] for row in columns.tolist()
    ]
    wanted = np.array(expected)[:, ::-1] if reverse else np.array(expected)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
