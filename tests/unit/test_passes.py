# SPDX-License-Identifier: Apache-2.0
"""What is left of networks after the passes, and that it computes the same."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import myoedge.passes
from myoedge.extensions.zoo import all_convnet
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import RewritePattern, rewrite_pattern
from myoedge.operators.base import OPS
from myoedge.operators.checks import check
from myoedge.operators.graph_builder import GraphBuilder, channels_first, transpose
from myoedge.passes import prepare
from tests.support.oracles.conv_attributes import attributes
from tests.support.oracles.torch import Net, agrees, randomized, seeded

pytestmark = pytest.mark.filterwarnings("ignore")

RELU = (("clamp", 0.0, math.inf),)


def imported(model: nn.Module, *inputs: Tensor) -> Graph:
    return from_exported(torch.export.export(randomized(model).eval(), inputs))


def ops(graph: Graph) -> list[str]:
    """The operators that cost something: views are left out."""
    return [node.op for node in graph.nodes if not OPS[node.op].view]


def paths(graph: Graph) -> set[str]:
    borders = (o for border in graph.input_normalization.values() for o in border.origin)
    return {o.path for o in (*(o for node in graph.nodes for o in node.origin), *borders)}


def test_all_convnet_is_nine_operators() -> None:
    graph = prepare(imported(all_convnet.hd(), seeded(1, 1, 16, 8)))
    assert ops(graph) == ["conv"] * 8 + ["avg_pool"]
    assert all(node.attrs["act"] == RELU for node in graph.nodes if node.op == "conv")


class Residual(nn.Module):
    """Two convolutions with batch norm around a skip."""

    def __init__(
        self, kind: type[nn.Module], norm: type[nn.Module], channels: int, dilation: int = 1
    ):
        super().__init__()
        same = {"padding": dilation, "dilation": dilation, "bias": False}
        self.first = kind(channels, channels, 3, **same)
        self.first_norm = norm(channels)
        self.second = kind(channels, channels, 3, **same)
        self.second_norm = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


def residual_net() -> nn.Sequential:
    blocks = [Residual(nn.Conv2d, nn.BatchNorm2d, 6) for _ in range(3)]
    stem = nn.Conv2d(3, 6, 3, stride=2)
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


def tcn() -> nn.Sequential:
    blocks = [Residual(nn.Conv1d, nn.BatchNorm1d, 6, dilation) for dilation in (1, 2, 4)]
    return nn.Sequential(nn.Conv1d(3, 6, 1), *blocks, nn.Flatten(), nn.Linear(6 * 20, 4))


@pytest.mark.parametrize(
    ("make", "shape"), [(residual_net, (1, 3, 13, 15)), (tcn, (1, 3, 20)), (tcn, (4, 3, 20))]
)
def test_residual_networks_keep_one_transpose_at_the_input(
    make: Callable[[], nn.Sequential], shape: tuple[int, ...]
) -> None:
    graph = agrees(randomized(make()), seeded(*shape))
    body = [op for op in ops(graph) if op != "avg_pool"]
    assert body == ["transpose", "conv", *["conv", "conv", "add"] * 3, "linear"]
    assert graph.nodes[0].op == "transpose"
    assert [n.attrs["act"] for n in graph.nodes if n.op == "add"] == [RELU] * 3


def test_a_squeeze_between_convolutions_costs_no_transpose() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 6, (8, 3)), nn.ReLU(), nn.Flatten(1, 2), nn.Conv1d(6, 4, 3), nn.ReLU()
    )
    graph = agrees(randomized(model), seeded(1, 1, 8, 30))
    assert ops(graph) == ["conv", "conv", "transpose"]


def test_a_relu_behind_a_flatten_is_fused_and_the_flatten_folded() -> None:
    model = nn.Sequential(nn.Conv1d(3, 6, 3), nn.Flatten(), nn.ReLU(), nn.Linear(6 * 18, 4))
    graph = agrees(randomized(model), seeded(1, 3, 20))
    assert ops(graph) == ["transpose", "conv", "linear"]


class Dense(nn.Module):
    """Twenty tensors behind each other."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x * k for k in range(1, 21)], 1)


def test_many_tensors_are_put_together_in_two_goes() -> None:
    graph = agrees(Dense(), seeded(1, 2, 5))
    assert [len(n.inputs) for n in graph.nodes if n.op == "concat"] == [8, 8, 4, 3]


def test_a_branch_of_pool_and_concat_stays_channels_last() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        return net.c(torch.cat([F.max_pool1d(y, 2), net.b(y)], 1))

    parts = {"a": nn.Conv1d(3, 4, 3), "b": nn.Conv1d(4, 4, 2, stride=2), "c": nn.Conv1d(8, 2, 1)}
    graph = agrees(randomized(Net(forward, **parts)), seeded(2, 3, 22))
    assert Counter(ops(graph))["transpose"] == 2


@pytest.mark.parametrize(("make", "shape"), [(residual_net, (1, 3, 13, 15)), (tcn, (1, 3, 20))])
def test_every_module_is_still_named(
    make: Callable[[], nn.Sequential], shape: tuple[int, ...]
) -> None:
    graph = imported(make(), seeded(*shape))
    views = {o.path for n in graph.nodes if OPS[n.op].view for o in n.origin}
    assert paths(graph) - views <= paths(prepare(graph))


def test_a_fused_operator_names_all_it_was_made_of() -> None:
    model = nn.Sequential(nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2))
    graph = prepare(imported(model, seeded(1, 3, 20)))
    assert [n.label for n in graph.nodes if n.op == "conv"] == ["0 + 1 + 2"]


def test_the_graph_that_goes_in_stays_as_it_was() -> None:
    graph = imported(residual_net(), seeded(1, 3, 13, 15))
    digest, nodes = graph.digest, graph.nodes
    constants = {name: replace(c, array=c.array.copy()) for name, c in graph.constants.items()}
    prepare(graph)
    fresh = Graph(graph.inputs, graph.outputs, nodes, graph.tensors, constants, graph.output_names)
    assert digest == fresh.digest
    assert graph.nodes is nodes


def test_the_same_graph_twice_gives_the_same_bytes() -> None:
    graphs = [prepare(imported(residual_net(), seeded(1, 3, 13, 15))) for _ in range(2)]
    assert graphs[0].digest == graphs[1].digest
    assert prepare(graphs[0]).digest == graphs[0].digest


def test_an_affine_at_the_input_moves_to_the_host() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Conv1d(3, 4, 3, padding=1))
    graph = agrees(randomized(model), seeded(1, 3, 20))
    assert "affine" not in ops(graph)
    assert graph.input_normalization["input"].axis == 1
    assert len(graph.input_normalization["input"].scale) == 3
    assert graph.input_normalization["input"].origin[0].path == "0"


def test_scaling_and_batch_norm_at_the_input_are_one_border() -> None:
    model = Net(
        lambda net, x: net.c(net.b((x - 0.5) / 2.0)), b=nn.BatchNorm1d(3), c=nn.Conv1d(3, 4, 3)
    )
    graph = agrees(randomized(model), seeded(1, 3, 20))
    assert [op for op in ops(graph) if op != "transpose"] == ["conv"]
    assert len(graph.input_normalization) == 1


def test_affines_along_different_axes_are_not_one_border() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        return net.b(x) * torch.arange(20.0)

    graph = agrees(randomized(Net(forward, b=nn.BatchNorm1d(3))), seeded(1, 3, 20))
    assert ops(graph) == ["affine"]
    assert graph.input_normalization["xs_0"].axis == 1


def test_an_input_that_is_read_twice_keeps_its_affine() -> None:
    model = Net(lambda net, x: net.b(x) + x, b=nn.BatchNorm1d(3))
    graph = agrees(randomized(model), seeded(1, 3, 20))
    assert ops(graph) == ["affine", "add"]
    assert not graph.input_normalization


def test_an_input_that_is_an_output_keeps_its_affine() -> None:
    graph = agrees(Net(lambda net, x: (x * 2, x)), seeded(1, 3, 20))
    assert not graph.input_normalization


def test_factors_around_a_convolution_fold() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        return F.relu((net.c(x) * 0.5 + 1.0) * torch.arange(4.0).reshape(4, 1) - 0.25)

    graph = agrees(randomized(Net(forward, c=nn.Conv1d(3, 4, 3))), seeded(1, 3, 20))
    assert [op for op in ops(graph) if op != "transpose"] == ["conv"]


def test_batch_norm_behind_a_relu_stays_an_affine() -> None:
    model = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.BatchNorm1d(4), nn.ReLU())
    graph = agrees(randomized(model), seeded(1, 3, 20))
    assert ops(graph) == ["transpose", "conv", "affine", "transpose"]
    assert [n.attrs.get("act") for n in graph.nodes if n.op == "affine"] == [RELU]


def test_affines_with_an_activation_between_them_are_not_merged() -> None:
    norms = [layer for _ in range(3) for layer in (nn.BatchNorm1d(4), nn.ReLU())]
    graph = agrees(randomized(nn.Sequential(nn.ReLU(), *norms)), seeded(1, 4, 20))
    assert ops(graph) == ["table", "affine", "affine", "affine"]


def test_a_relu_behind_a_max_pool_is_fused_into_the_convolution() -> None:
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.MaxPool1d(2), nn.ReLU())
    graph = agrees(randomized(model), seeded(1, 1, 20))
    assert ops(graph) == ["conv", "max_pool", "transpose"]
    assert graph.nodes[1].attrs["act"] == RELU or graph.nodes[0].attrs["act"] == RELU


def test_a_gelu_behind_a_max_pool_is_not() -> None:
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.MaxPool1d(2), nn.GELU())
    assert "table" in ops(agrees(randomized(model), seeded(1, 1, 20)))


def test_an_activation_is_not_fused_where_others_read_its_input() -> None:
    model = Net(lambda net, x: (y := net.c(x), F.relu(y)), c=nn.Conv1d(1, 4, 3))
    graph = agrees(randomized(model), seeded(1, 1, 20))
    assert not any("act" in node.attrs for node in graph.nodes)


def test_weights_that_two_readers_see_are_not_scaled() -> None:
    model = Net(lambda net, x: net.c(x) * 2 + net.c(x + 1).abs(), c=nn.Conv1d(3, 3, 1))
    agrees(randomized(model), seeded(1, 3, 20))


@pytest.mark.parametrize(
    ("pad", "left"),
    [((2, 1), 0), ((2, 1, 1, 0), 1), ((0, 0, 0, 1), 1), ((1, 1, 0, 1, 0, 1), 1)],
)
def test_only_padding_along_space_becomes_the_convolutions_own(
    pad: tuple[int, ...], left: int
) -> None:
    channels = 3 + sum(pad[2:4])
    model = Net(lambda net, x: net.c(F.pad(x, pad)), c=nn.Conv1d(channels, 4, 3))
    graph = agrees(randomized(model), seeded(2, 3, 20))
    assert Counter(ops(graph))["pad"] == left


def test_a_fused_clamp_chain_narrows() -> None:
    model = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-2.0, 4.0))
    graph = agrees(randomized(model), seeded(3, 8))
    assert ops(graph) == ["linear"]


def blocks(count: int) -> Graph:
    """`count` residual blocks of seven nodes and their transposes."""
    rng, d = np.random.default_rng(0), GraphBuilder()
    x = d.input("x", (1, 6, 12))
    for index in range(count):
        skip = x
        for half in range(2):
            d.stem = f"b{index}{half}"
            w = d.constant(rng.normal(size=(6, 3, 6)))
            attrs = attributes(1) | {"pads": ((1, 1),)}
            x = channels_first(d, d.add("conv", transpose(d, x, (0, 2, 1)), w, **attrs))
            x = d.add("affine", x, d.constant(np.ones(6)), d.constant(np.ones(6)), axis=1)
            x = d.add("table", x, chain=RELU) if half == 0 else d.add("add", x, skip)
        x = d.add("table", x, chain=RELU)
    return d.build([x], ["y"])


def test_work_grows_with_the_network_and_not_with_its_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted in rules offered, as clocks differ."""
    offered = Counter[int]()

    def counting(rules: Sequence[RewritePattern], size: int) -> tuple[RewritePattern, ...]:
        @rewrite_pattern()
        def counted(graph: Graph, node: Node) -> None:
            offered[size] += 1

        return (counted, *rules)

    stages = myoedge.passes.STAGES
    for size in (5, 40):
        counted = tuple((name, counting(rules, size)) for name, rules in stages)
        monkeypatch.setattr(myoedge.passes, "STAGES", counted)
        after = prepare(blocks(size))
        assert ops(after) == ["transpose", *["conv", "conv", "add"] * size, "transpose"]
    assert offered[40] <= 10 * offered[5]


def test_prepared_graphs_are_legal() -> None:
    check(prepare(blocks(3)), "prepared")
    check(prepare(blocks(3)), "prepared")


class Chomp(nn.Module):
    """Cuts what padding made at the end, as causal convolutions do."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, : -self.count].contiguous()


@pytest.mark.parametrize(("stride", "count"), [(1, 4), (1, 2), (2, 2), (2, 1)])
def test_cut_padding_is_no_padding_and_batch_norm_folds_behind_it(stride: int, count: int) -> None:
    conv = nn.Conv1d(8, 6, 3, padding=4, dilation=2, stride=stride)
    model = nn.Sequential(conv, Chomp(count), nn.BatchNorm1d(6), nn.ReLU())
    with torch.no_grad():
        model[2].running_mean.copy_(torch.randn(6))
        model[2].running_var.copy_(torch.rand(6) + 0.5)
    graph = agrees(model, torch.randn(1, 8, 21))
    assert [node.op for node in graph.nodes if node.op != "transpose"] == ["conv"]
    (made,) = [node for node in graph.nodes if node.op == "conv"]
    assert made.attrs["pads"] == ((4, 4 - count * stride),)


def test_cuts_into_the_signal_stay() -> None:
    deeper = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), Chomp(2))
    graph = agrees(deeper, torch.randn(1, 3, 9))
    assert "slice" in [node.op for node in graph.nodes]


class Magnitude(nn.Module):
    """Sines and cosines by convolution, and a function of their magnitude."""

    def __init__(self, behind: Callable[[Tensor], Tensor], power: float = 0.5) -> None:
        super().__init__()
        self.waves, self.behind, self.power = nn.Conv1d(1, 10, 8, stride=4), behind, power

    def forward(self, x: Tensor) -> Tensor:
        re, im = self.waves(x).chunk(2, 1)
        return self.behind((re.pow(2) + im.square()).pow(self.power))


@pytest.mark.parametrize("behind", [lambda x: x, lambda x: torch.log1p(x), F.relu])
def test_squares_under_a_root_are_a_magnitude(behind: Callable[[Tensor], Tensor]) -> None:
    graph = agrees(Magnitude(behind), seeded(1, 1, 32))
    assert ops(graph).count("magnitude") == 1
    assert {"add", "table"}.isdisjoint(ops(graph))


class Apart(Magnitude):
    """The same of two convolutions, the squares written in another way."""

    def __init__(self, square: Callable[[Tensor], Tensor]) -> None:
        super().__init__(F.relu)
        self.other, self.square = nn.Conv1d(1, 10, 8, stride=4), square

    def forward(self, x: Tensor) -> Tensor:
        re, im = self.waves(x), self.other(x)
        return self.behind((self.square(re) + self.square(im)).sqrt())


@pytest.mark.parametrize("square", [lambda x: x * x, torch.square, lambda x: x**2])
def test_squares_behind_convolutions_are_a_magnitude_too(
    square: Callable[[Tensor], Tensor],
) -> None:
    graph = agrees(Apart(square), seeded(1, 1, 32))
    assert ops(graph).count("magnitude") == 1
    assert {"add", "mul", "table"}.isdisjoint(ops(graph))
    assert "act" not in next(n for n in graph.nodes if n.op == "conv").attrs


def test_squares_that_somebody_else_reads_or_under_no_root_stay() -> None:
    class Read(Magnitude):
        def forward(self, x: Tensor) -> Tensor:
            re, im = self.waves(x).chunk(2, 1)
            square = re.pow(2)
            return (square + im.pow(2)).sqrt() + square

    for model in (Read(F.relu), Magnitude(F.relu, power=0.25)):
        assert "magnitude" not in ops(agrees(model, seeded(1, 1, 32)))


@pytest.mark.parametrize(
    ("turn", "left"),
    [
        (lambda b: b.transpose(-1, -2), []),
        (lambda b: b.permute(1, 0, 2).permute(1, 2, 0), []),
        (lambda b: b.permute(1, 2, 0), [(1, 0, 2)]),
        (lambda b: b.permute(2, 0, 1), [(2, 0, 1)]),
    ],
    ids=["last axes", "in two goes", "rows as well", "no rows"],
)
def test_a_product_by_rows_turns_no_numbers(
    turn: Callable[[Tensor], Tensor], left: list[tuple[int, ...]]
) -> None:
    """What moves rows alone stays; where numbers of a row come apart, all of it does."""
    graph = agrees(Net(lambda self, a, b: a @ turn(b)), seeded(6, 6, 6), seeded(6, 6, 6, seed=1))
    assert [n.attrs["perm"] for n in graph.nodes if n.op == "transpose"] == left
    (product,) = (n for n in graph.nodes if n.op == "matmul")
    assert product.attrs.get("b_turned", False) == (left != [(2, 0, 1)])


class Attending(nn.Module):
    """A module whose inner layers are weights that it computes with itself."""

    def __init__(self, **options: int) -> None:
        super().__init__()
        self.a = nn.MultiheadAttention(16, 2, batch_first=True, **options)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = self.a(x, y, y, need_weights=False)[0]
        return found


@pytest.mark.parametrize("width", [16, 8])
def test_layers_of_an_attention_say_what_they_make(width: int) -> None:
    """Weights for q, k and v in one array, of which k and v stay together, or in one each."""
    made = Attending(kdim=width, vdim=width).eval()
    example = (torch.zeros(1, 12, 16), torch.zeros(1, 12, width))
    graph = prepare(from_exported(torch.export.export(made, example)))
    paths = {(node.op, o.path) for node in graph.nodes for o in node.origin}
    linear = {path for op, path in paths if op == "linear"}
    apart = {"a.q", "a"} if width == 16 else {"a.q_proj", "a.k_proj", "a.v_proj"}
    assert linear == {*apart, "a.out_proj"}
    assert ("attention", "a") in paths
    assert {path for _, path in paths} > {"a.v"}


def test_an_axis_of_one_is_not_turned_round() -> None:
    """A slice backwards through one element is all of it."""
    graph = prepare(imported(Net(lambda net, x: x.flip(1).tanh()), seeded(2, 1, 4)))
    assert [node.op for node in graph.nodes] == ["table"]


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda net, x: ((y := x.tanh()) * y + 0.1).log(), ["table"]),
        (lambda net, x: ((y := net.linear(x)) * y + 0.1).log(), ["linear"]),
        (lambda net, x: (x * x).clamp(0.1, 2.0), ["mul"]),
        (lambda net, x: (x * x).exp() + x.square(), ["table"]),
    ],
)
def test_a_square_is_part_of_the_function_behind_it(
    function: Callable[..., Tensor], wanted: list[str]
) -> None:
    """Written x * x, as x**2; limits cost nothing behind a product."""
    graph = agrees(Net(function, linear=nn.Linear(4, 3)), seeded(2, 4))
    assert ops(graph) == wanted
