# SPDX-License-Identifier: Apache-2.0
"""Constant folding: what does not depend on an input is a constant, from torch and from ONNX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import ModelProto, helper
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.operator_table import ATEN_FOLDED, ONNX_FOLDED, SHAPES
from myoedge.frontend.torch.export import from_exported
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.support.onnx.nodes import all_cases, arrays, baked, computed, imported
from tests.support.oracles.torch import Case, agrees, case, module, seeded

X, WIDE = seeded(3, 8), seeded(5, 8)
SIGNAL = seeded(1, 6, 20)
OF_CASES_AT_LEAST = 600  # cases of the onnx package


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(seeded(*shape))


class Renorm(nn.Module):
    """The rows of a weight are at most 0.5 long: braindecode's max-norm constraint."""

    def forward(self, w: Tensor) -> Tensor:
        return torch.renorm(w, 2, 0, 0.5)


class MaxNorm(nn.Module):
    """The same, written out."""

    def forward(self, w: Tensor) -> Tensor:
        length = w.norm(2, dim=0, keepdim=True)
        return w * (torch.clamp(length, max=0.5) / (1e-8 + length))


def constrained(layer: nn.Module, rule: nn.Module) -> nn.Module:
    return nn.utils.parametrize.register_parametrization(layer, "weight", rule)


class Network(nn.Module):
    """A function of an input and of the network's weights and layers."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Parameter | nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def learnt(name: str, function: Callable[..., Tensor], x: Tensor, **parts: Any) -> Case:
    return Case(name, Network(function, **parts), (x,))


def of(name: str, function: Callable[..., Tensor], *shape: int) -> Case:
    """A network that adds something computed of its weights to its input."""
    return learnt(name, lambda net, x: x + function(net.w), X, w=weight(*shape))


def sinc(net: nn.Module, x: Tensor) -> Tensor:
    """A bank of band-pass filters, of its learnt frequencies."""
    waves = torch.sinc(2 * net.w.abs().unsqueeze(1) * torch.linspace(-4, 4, 9))
    return F.conv1d(x, (waves * torch.hamming_window(9)).unsqueeze(1).expand(-1, 6, -1))


def rotated(x: Tensor) -> Tensor:
    rates = 1.0 / (10000 ** (torch.arange(0, 8, 2).float() / 8))
    angles = torch.einsum("i,j->ij", torch.arange(3).float(), rates)
    angles = torch.cat((angles, angles), -1)
    return x * angles.cos() + x.flip(-1) * angles.sin()


def standardized(net: nn.Module, x: Tensor) -> Tensor:
    centred = net.w - net.w.mean((1, 2), keepdim=True)
    return F.conv1d(x, centred / (net.w.std((1, 2), keepdim=True, unbiased=False) + 1e-5))


def of_positions(net: nn.Module, x: Tensor) -> Tensor:
    """A small network of the positions makes the biases."""
    return x + net.b(torch.relu(net.a(torch.linspace(-1, 1, 3)[:, None])))


def written(x: Tensor) -> Tensor:
    table = x.new_empty(3, 8)
    table[:, :3] = 1.0
    table[:, 3:] = torch.arange(5.0)
    return x + table


LONG = seeded(3, 9000)
MIXED, THREE = seeded(3, 3, 1), torch.tensor([2, 0, 4])
CASES = [
    module("renorm_linear", constrained(nn.Linear(8, 5), Renorm()), X),
    module("renorm_conv", constrained(nn.Conv2d(4, 6, (3, 1)), Renorm()), seeded(1, 4, 7, 5)),
    module("max_norm", constrained(nn.Linear(8, 5), MaxNorm()), X),
    module("spectral_norm", nn.utils.parametrizations.spectral_norm(nn.Linear(8, 5)), X),
    module("orthogonal", nn.utils.parametrizations.orthogonal(nn.Linear(8, 8)), X),
    learnt("unit_rows", lambda net, x: F.linear(x, F.normalize(net.w)), X, w=weight(5, 8)),
    learnt("cosine", lambda n, x: F.linear(F.normalize(x), F.normalize(n.w)), X, w=weight(5, 8)),
    learnt("standardized", standardized, SIGNAL, w=weight(5, 6, 3)),
    learnt("sinc", sinc, SIGNAL, w=weight(4)),
    learnt("positions", lambda n, x: x + n.e(torch.arange(3)), X, e=nn.Embedding(10, 8)),
    learnt("of_positions", of_positions, X, a=nn.Linear(1, 16), b=nn.Linear(16, 8)),
    case("rotary", rotated, X),
    learnt("recurrent", lambda n, x: x + n.l(n.w)[0], X, l=nn.LSTM(4, 8), w=weight(3, 4)),
    of("index_select", lambda w: w.index_select(0, THREE), 5, 8),
    of("gather", lambda w: w.gather(0, THREE.view(3, 1).expand(3, 8)), 5, 8),
    of("bucketized", lambda w: w[torch.bucketize(torch.arange(3) * 1.5, torch.arange(3.0))], 5, 8),
    of("rolled", lambda w: w.roll(1, 0).flip(1), 3, 8),
    of("repeated", lambda w: w.repeat_interleave(2, 1).tile(3, 1), 1, 4),
    of("sorted", lambda w: w.sort(0).values, 3, 8),
    of("convolved", lambda w: F.conv1d(w[None], MIXED)[0], 3, 8),
    of("normalized", lambda w: F.layer_norm(w, (8,)), 3, 8),
    of("relative", lambda w: w[torch.arange(3)[:, None] - torch.arange(3) + 2].mean(1), 5, 8),
    of("scalar", lambda w: w.repeat(3, 8) + torch.zeros(3, 8).masked_fill(X > 0, w)),
    case("long_einsum", lambda x: x + torch.einsum("ab, cb -> ac", LONG, LONG), X[:, :3]),
    case("written", written, X),
    case("joined", lambda x: torch.cat([x[:, :0], x[:, 1:1] * 2, x, x[:, :0]], 1), X),
    case("sum_of_none", lambda x: x + x[:, :0].sum(1, keepdim=True), X),
    of("holes", lambda w: torch.where(torch.isnan(w.log()), 0.0, w.exp()), 3, 8),
    learnt("diagonal", lambda net, x: x @ torch.diag(net.w), X, w=weight(8)),
    learnt("exponential", lambda net, x: x @ torch.matrix_exp(net.w), X, w=weight(8, 8)),
    case("fourier", lambda x: x @ torch.fft.rfft(torch.eye(8)).real, X),
    case("one_hot", lambda x: x + F.one_hot(torch.tensor([1, 2, 0]), 8), X),
    case("mask", lambda x: x * (torch.diff(torch.arange(9)).cumsum(0) > 4), X),
    case("filled", lambda x: x + torch.zeros_like(x).index_fill(1, THREE, 2.0), X),
    case("scattered", lambda x: x * torch.zeros(3, 8).scatter(1, THREE[:, None], 1.0), X),
    case("put", lambda x: x * torch.ones(5, 8).index_put((THREE[:2], THREE[1:]), X[0, :2]), WIDE),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("made", CASES, ids=lambda made: made.name)
def test_what_no_input_changes_is_a_constant_of_torch(made: Case) -> None:
    graph = agrees(made.model, *made.inputs)
    assert len(graph.nodes) <= 6, [node.op for node in graph.nodes]


Shapes = tuple[int, ...]


@pytest.mark.parametrize(
    ("a", "c", "products"),
    [((3, 8), (3, 8), 1), ((3, 8), (2, 3, 8), 1), ((3, 8), (2, 1, 8), 2)],
    ids=["alike", "of one size", "of more elements than either"],
)
def test_factors_that_are_constants_are_one(a: Shapes, c: Shapes, products: int) -> None:
    net = Network(lambda n, x: x * n.a * n.c, a=weight(*a), c=weight(*c))
    graph = agrees(net, seeded(2, 3, 8))
    assert [node.op for node in graph.nodes] == ["mul"] * products


def test_a_product_that_is_read_twice_is_no_factor_of_another() -> None:
    shared = weight(3, 8)
    net = Network(lambda n, x: (v := x * n.a) * n.c + torch.tanh(v), a=shared, c=weight(3, 8))
    graph = agrees(net, X)
    factors = [node.inputs[0] for node in graph.nodes if node.op == "mul"]
    assert factors == [graph.inputs[0]] * 2


FIXED = torch.linspace(-1.0, 1.0, 12).reshape(1, 3, 4)
# Outputs that no input changes, and whether a layer still computes them.
CONSTANT_OUTPUTS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "times 0": (lambda x: x * 0.0, True),
    "times zeros": (lambda x: (x * torch.zeros(1, 3, 4)).sigmoid(), True),
    "times 0, plus a tensor": (lambda x: x * 0.0 + FIXED, True),
    "times -0, plus rows": (lambda x: FIXED[:, :1] + x * -0.0, True),
    "times zeros that move": (lambda x: (x * -0.0).transpose(1, 2) + FIXED.transpose(1, 2), True),
    "product of matrices": (lambda x: x @ torch.zeros(4, 4) + FIXED, True),
    "choice": (lambda x: torch.where(FIXED > -2.0, FIXED, x), True),
    "mean times 0": (lambda x: x.tanh().mean(2, keepdim=True) * 0.0 + FIXED, True),
    "part of a concat": (lambda x: torch.cat([x, FIXED], 1)[:, 3:], False),
    "part of a stack": (lambda x: torch.stack([x, FIXED])[1], False),
    "part of a part": (lambda x: torch.cat([x, FIXED], 2)[:, :, 5:].tanh() * 2.0, False),
}


@pytest.mark.parametrize("name", CONSTANT_OUTPUTS)
def test_outputs_that_no_input_changes_are_computed_or_refused(name: str) -> None:
    function, is_computed = CONSTANT_OUTPUTS[name]
    x = seeded(1, 3, 4)
    net = Network(lambda n, x: (function(x), x.tanh()))
    graph = from_exported(torch.export.export(net, (x,)))
    if not is_computed:
        with pytest.raises(MyoedgeError, match="output0 does not depend on any input") as raised:
            prepare(graph)
        assert raised.value.code == "E115"
        return
    prepared = prepare(graph)
    found = run_float(prepared, {prepared.inputs[0]: x.numpy()})[prepared.outputs[0]]
    np.testing.assert_allclose(found, function(x), atol=1e-6)


def test_the_calls_exist_and_write_into_nothing() -> None:
    for name in ATEN_FOLDED:
        packet = getattr(torch.ops.aten, name.removeprefix("aten."))
        schemas = [getattr(packet, overload)._schema for overload in packet.overloads()]
        assert not all(schema.is_mutable for schema in schemas), name


def refusal(model: nn.Module, x: Tensor) -> str:
    with pytest.raises(MyoedgeError) as raised:
        from_exported(torch.export.export(model.eval(), (x,)))
    assert raised.value.code == "E111"
    return str(raised.value)


def test_an_einsum_without_bound_is_refused() -> None:
    made = case(
        "einsum",
        lambda x: x + torch.einsum("ab,cd,ac,bd->", *(torch.ones(199, 199) for _ in range(4))),
        X,
    )
    assert "an einsum of constants that large" in refusal(made.model, X)


def test_an_index_out_of_range_is_refused() -> None:
    class Beyond(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = weight(5, 8)
            self.register_buffer("at", torch.tensor([1, 2, 9]))

        def forward(self, x: Tensor) -> Tensor:
            return x + F.embedding(self.at, self.w)

    assert "torch refuses it" in refusal(Beyond(), X)


# ---- ONNX


def constant_cases() -> Iterator[tuple[Any, Array]]:
    """The onnx package's own cases of single folded operators, and their finite result."""
    for found in all_cases():
        nodes = found.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in {*ONNX_FOLDED, *SHAPES}:
            continue
        given, (result, *_) = arrays(found)
        plain = all(isinstance(x, np.ndarray | np.generic) for x in (*given, result))
        numbers = plain and np.size(result) and np.asarray(result).dtype.kind in "fiub"
        if numbers and np.isfinite(result).all():
            yield found, np.asarray(result)


def with_sum(found: Any, result: Array) -> ModelProto:
    """A network that adds the case's result to its input."""
    model = baked(found.model, arrays(found)[0], ())
    graph = model.graph
    graph.node.append(helper.make_node("Cast", [graph.output[0].name], ["floats"], to=1))
    graph.node.append(helper.make_node("Add", ["floats", "x_in"], ["sum_out"]))
    del graph.output[:]
    graph.input.append(helper.make_tensor_value_info("x_in", 1, result.shape))
    graph.output.append(helper.make_tensor_value_info("sum_out", 1, result.shape))
    return model


def test_parts_without_elements_join_as_nothing_of_onnx(tmp_path: Path) -> None:
    ends = [
        helper.make_node("Constant", [], [name], value_ints=[at])
        for name, at in (("first", 0), ("one", 1))
    ]
    nodes = [
        *ends,
        helper.make_node("Slice", ["x", "first", "first", "one"], ["none"]),
        helper.make_node("Concat", ["none", "x"], ["y"], axis=1),
    ]
    x, y = (helper.make_tensor_value_info(name, 1, [3, 8]) for name in "xy")
    model = helper.make_model(helper.make_graph(nodes, "joined", [x], [y]))
    graph = imported(model, tmp_path)
    assert not isinstance(graph, MyoedgeError)
    (found,) = computed(graph, [X.numpy()])
    np.testing.assert_array_equal(found, X.numpy())


def test_what_no_input_changes_is_a_constant_of_onnx(tmp_path: Path) -> None:
    ran = Counter[str]()
    for found, result in constant_cases():
        graph = imported(with_sum(found, result), tmp_path)
        if isinstance(graph, MyoedgeError):  # of 4 bits, 8-bit floats, text; old attributes
            assert graph.code in ("E111", "E119"), found.name
            continue
        (y,) = computed(graph, [np.zeros(result.shape, np.float32)])
        np.testing.assert_allclose(y, result, rtol=1e-3, atol=1e-5, err_msg=found.name)
        ran[found.model.graph.node[0].op_type] += 1
    assert ran.total() >= OF_CASES_AT_LEAST
    assert {*ONNX_FOLDED} - {*ran} <= {"Cast", "CastLike"}, "their names tell no type"
