# SPDX-License-Identifier: Apache-2.0
"""Guards against infinities after operators on two tensors: near torch where torch is finite, also
for divisors of 0 that no calibration sample shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from tests.support.onnx.models import model, node, saved
from tests.support.oracles.torch import Net, agrees
from tests.unit.test_cell_steps import decibels


def whole(x: Tensor) -> Tensor:
    """0, 1, 2 or more: integers show a 0 exactly."""
    return F.relu(x).floor()


def quotient(a: Tensor, b: Tensor) -> Tensor:
    return a / whole(b)


def of_quotient(guard: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: guard(quotient(a, b))


def chosen(test: Callable[[Tensor], Tensor], fill: float) -> Callable[[Tensor], Tensor]:
    return lambda q: torch.where(test(q), torch.full_like(q, fill), q)


GUARDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nan_to_num": of_quotient(lambda q: torch.nan_to_num(q, 0.0, 0.0, 0.0)),
    "nan_to_num of three": of_quotient(lambda q: torch.nan_to_num(q, 2.0, 3.0, -2.5)),
    "nan_to_num of one": of_quotient(lambda q: torch.nan_to_num(q, 1.5, 1.5, 1.5)),
    "isfinite": of_quotient(lambda q: torch.where(q.isfinite(), q, 0.0)),
    "isinf and isnan": of_quotient(chosen(lambda q: q.isinf() | q.isnan(), 0.0)),
    "one after another": of_quotient(
        lambda q: chosen(torch.isnan, 1.0)(chosen(torch.isinf, 2.0)(q))
    ),
    "nan first": of_quotient(
        lambda q: torch.nan_to_num(chosen(torch.isnan, 1.0)(q), 0.0, 2.0, 3.0)
    ),
    "x == inf": of_quotient(
        lambda q: torch.where((q == torch.inf) | (q == -torch.inf) | (q != q), 0.0, q)
    ),
    "masked_fill": of_quotient(lambda q: q.masked_fill(~q.isfinite(), -1.5)),
    "divisor": lambda a, b: torch.where(whole(b) == 0, 0.0, quotient(a, b)),
    "another value": lambda a, b: torch.where(whole(b) == 0, 2.0, quotient(a, b)),
    "positive divisor": lambda a, b: torch.where(whole(b) > 0, quotient(a, b), -1.0),
    "two divisors": lambda a, b: torch.nan_to_num(a / whole(b) + a / whole(a), 0.0, 0.0, 0.0),
    "functions of a quotient": lambda a, b: torch.nan_to_num(quotient(a, b).tanh() * 2, nan=1.0),
    "a shared divisor": lambda a, b: torch.nan_to_num(a / whole(b[..., :1]), 0.0, 0.0, 0.0),
    "moved": lambda a, b: torch.nan_to_num(quotient(a, b).mT.flatten(1), 0.0, 1.0, 1.0),
    "logarithm": lambda a, b: torch.nan_to_num(a + whole(b).log(), neginf=-1.0),
    "logarithm and product": lambda a, b: torch.nan_to_num(a * whole(b).log(), -1.0, 0.0, 0.0),
    "root": lambda a, b: torch.nan_to_num(a * (b - 2).sqrt(), nan=-1.0),
    "power": lambda a, b: torch.nan_to_num(a * whole(b) ** -0.5, 0.0, 1.0, 1.0),
    "a share of the sum": lambda a, b: torch.nan_to_num(
        whole(b[:, ::2]) / whole(b[:, ::2]).sum(-1, keepdim=True)
    ),
}


def samples(zeros: bool, count: int = 24) -> list[Array]:
    """a: of either sign, not near 0; b: 2 and more. With zeros: b is below 1 in the first row and
    in half of the second one, and a is 0 once."""
    rng = np.random.default_rng(3)
    a = rng.choice([-1.0, 1.0], (count, 1, 4, 6)) * rng.uniform(0.5, 4.0, (count, 1, 4, 6))
    b = rng.uniform(2.25, 6.0, a.shape)
    if zeros:
        b[:, :, 0], b[:, :, 1, 1::2], a[:, :, 1, 1] = 0.25, 0.25, 0.0
    return [a.astype(np.float32), b.astype(np.float32)]


def torch_values(function: Callable[..., Tensor], inputs: list[Array]) -> Array:
    pairs = zip(*map(torch.as_tensor, inputs), strict=True)
    return np.stack([function(*pair).numpy() for pair in pairs])


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_means_what_torch_says(name: str) -> None:
    function = GUARDS[name]
    a, b = (torch.as_tensor(x[0]) for x in samples(True))
    assert function(a, b).isfinite().all()
    graph = agrees(Net(lambda net, a, b: function(a, b)), a, b)
    shown = dict(zip(graph.inputs, samples(False), strict=True))
    network = quantize_graph(graph, calibrate(graph, shown, Observer(), ""))
    fresh = samples(True)
    wanted = torch_values(function, fresh)
    given = dict(zip(graph.inputs, fresh, strict=True))
    assert min(decibels(network, given, [wanted])) > 23.0


@pytest.mark.parametrize(
    "test", [torch.isinf, lambda q: q.isinf() | q.isnan(), lambda q: ~q.isfinite(), torch.isnan]
)
def test_tests_of_a_function_behind_a_layer_are_part_of_it(
    test: Callable[[Tensor], Tensor],
) -> None:
    """The layer's values are in range: those that are not finite are between two functions."""
    net = Net(lambda net, x: test((whole(net.layer(x)) - 1).log()), layer=torch.nn.Linear(6, 3))
    x = samples(True)[0][:, 0]
    graph = agrees(net, torch.as_tensor(x[0]))
    assert [node.op for node in graph.nodes] == ["linear"]
    calibrate(graph, {graph.inputs[0]: x}, Observer(), "")


def after_a_layer(guarded: bool) -> Net:
    layer = torch.nn.Linear(6, 3)

    def run(net: Net, a: Tensor, b: Tensor) -> Tensor:
        b = torch.where(b == 0, 1.0, b) if guarded else b
        y = net.layer(a / b)
        return y if guarded else torch.nan_to_num(y)

    return Net(run, layer=layer)


def test_a_guard_after_a_layer_is_refused_with_a_remedy_that_builds() -> None:
    a, b = (torch.as_tensor(x[0]) for x in samples(True))
    with pytest.raises(MyoedgeError, match="mixed with other elements") as caught:
        agrees(after_a_layer(False), a, b)
    assert caught.value.code == "E111"
    assert "a / torch.where(b == 0, 1.0, b)" in str(caught.value)
    agrees(after_a_layer(True), a, b)


def test_what_is_finite_needs_no_guard() -> None:
    """An argument that is never 0: sums of squares and powers, also through weights above 0."""
    weights = torch.linspace(0.1, 1.0, 18).reshape(6, 3)

    def run(net: Net, a: Tensor, b: Tensor) -> Tensor:
        energy = (a.square() + b.exp()) @ weights
        return torch.nan_to_num(net.layer((energy + 1e-3).log() / (1 + energy.sqrt())))

    a, b = (torch.as_tensor(x[0]) for x in samples(True))
    graph = agrees(Net(run, layer=torch.nn.Linear(3, 3)), a, b)
    assert not any("nan_to_num" in str(made.attrs) for made in graph.nodes)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_a_division_by_zero_of_the_samples_is_told_what_helps() -> None:
    def divided(divisor: Callable[[Tensor], Tensor]) -> Graph:
        return agrees(Net(lambda net, a, b: (a / divisor(b)).tanh()), a, b)

    zeros, shown = samples(True), samples(False)
    a, b = (torch.as_tensor(x[0]) for x in shown)
    graph = divided(whole)
    given = dict(zip(graph.inputs, zeros, strict=True))
    with pytest.raises(MyoedgeError, match=r"torch.where\(b == 0, 1.0, b\)") as caught:
        calibrate(graph, given, Observer(), "")
    assert caught.value.code == "E224"
    graph = divided(lambda b: torch.where(whole(b) == 0, 1.0, whole(b)))
    calibrate(graph, dict(zip(graph.inputs, zeros, strict=True)), Observer(), "")


def onnx_guards(sign: str) -> list[onnx.NodeProto]:
    signs = {"both": {}, "positive": {"detect_negative": 0}, "negative": {"detect_positive": 0}}
    return [
        node("Relu", "b", "r"),
        node("Floor", "r", "f"),
        node("Div", "a f", "q"),
        node("IsInf", "q", "i", **signs[sign]),
        node("IsNaN", "q", "n"),
        node("Where", "i two q", "p"),
        node("Where", "n one p", "y"),
        node("Cast", "i", "z", to=onnx.TensorProto.FLOAT),
    ]


@pytest.mark.parametrize("sign", ["both", "positive", "negative"])
def test_onnx_guards_are_what_onnxruntime_computes(sign: str, tmp_path: Path) -> None:
    shape = (1, 4, 6)
    made = model(
        onnx_guards(sign), {"a": shape, "b": shape}, ("y", "z"),
        {"one": np.float32(1), "two": np.float32(2)},
    )  # fmt: skip
    path, given = saved(made, tmp_path), dict(zip("ab", (x[0] for x in samples(True)), strict=True))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    y, z = session.run(None, given)
    for graph in ((loaded := load_onnx(path).graph), prepare(loaded)):
        values = run_float(graph, given)
        ours, tests = (values[name].reshape(shape) for name in graph.outputs)
        np.testing.assert_array_equal(tests, z)
        np.testing.assert_allclose(ours[np.isfinite(y)], y[np.isfinite(y)], rtol=1e-5)
