# SPDX-License-Identifier: Apache-2.0
"""What GAP9Quantizer annotates, by networks whose tensors are counted by hand; without torchao."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from myoedge.frontend.torch import quantized_tensors as q
from myoedge.numerics.quant_params import QuantParams


class Convs(nn.Module):
    """A convolution with batch norm and ReLU, one whose batch norm a sum reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 4, 3, padding=1)
        self.norm, self.other = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.norm(self.first((x - 1.0) / 3.0)))
        z = nn.functional.hardtanh(self.other(self.second(y)) + y)
        return torch.cat([z, y], 1)[:, 2:6].flatten(1)


class Block(nn.Module):
    """Attention over a residual stream; sums that nobody but norms and sums read."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.last = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(x) + torch.sin(x)
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return torch.softmax(self.last(x + self.out(y)), -1)


class Masked(nn.Module):
    """Scores with a mask, written out, in front of a softmax."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.ones(4, 4, dtype=torch.bool).triu(1)
        scores = (x @ x.transpose(1, 2)).masked_fill(hidden, -1e9)
        return torch.softmax(scores, -1) @ x


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y, (_, cell) = self.lstm(x)
        return self.head(nn.functional.dropout(y[:, -1], 0.5, self.training)) + cell[0, :, :2]


def graph_of(net: nn.Module, *shape: int) -> Any:
    return torch.export.export(net.eval(), (torch.randn(shape),)).module().graph


def names(graph: Any) -> list[list[str]]:
    return [[node.name for node in group.nodes] for group in q.tensor_groups(graph)]


def test_results_that_the_operator_behind_takes_over_are_no_tensors() -> None:
    """The host normalises the input; batch norms, ReLU and hardtanh are parts of what they follow;
    all parts of a concat, and what moves them, have one scale."""
    groups = names(graph_of(Convs(), 1, 2, 8))
    shared = ["relu_", "hardtanh", "cat", "slice_1", "flatten"]
    assert groups == [["div"], shared, ["batch_norm_1"]]


def test_residual_streams_attention_and_softmax_have_the_formats_of_their_operators() -> None:
    groups = {group.nodes[0].name: group for group in q.tensor_groups(graph_of(Block(), 1, 4, 8))}
    assert [name for name, group in groups.items() if group.residual] == ["add", "add_1"]
    assert [name for name, group in groups.items() if group.symmetric] == ["linear"]
    assert groups["softmax"].fixed == QuantParams(2.0**-8, -128)
    moved = [node.name for node in groups["linear"].nodes]
    assert moved == ["linear", "getitem", "getitem_1", "getitem_2"]
    assert [*groups] == [
        *("x", "tanh", "sin", "add", "layer_norm", "linear", "scaled_dot_product_attention"),
        *("linear_1", "add_1", "layer_norm_1", "softmax"),
    ]


def test_masked_scores_have_no_range() -> None:
    groups = names(graph_of(Masked(), 1, 4, 8))
    assert groups == [["x", "transpose"], ["matmul"], ["softmax"], ["matmul_1"]]


def test_hidden_states_have_the_scale_of_their_operator_and_cells_their_own() -> None:
    graph = graph_of(Recurrent(), 1, 6, 3)
    fixed = {group.nodes[0].name: group.fixed for group in q.tensor_groups(graph)}
    assert fixed["getitem"] is not None
    assert fixed["getitem_2"] is None
    (lstm,) = (node for node in graph.nodes if q.call_of(node) == "aten.lstm.input")
    matrices = [node.target for node in q.recurrent_weights(lstm)]
    assert matrices == ["lstm.weight_ih_l0", "lstm.weight_hh_l0"]


@pytest.mark.parametrize(
    ("layer", "shape", "axis"),
    [
        (nn.Conv1d(2, 4, 3), (1, 2, 8), 0),
        (nn.ConvTranspose2d(2, 4, 3), (1, 2, 8, 8), 1),
        (nn.Linear(8, 4), (1, 8), 0),
    ],
)
def test_weights_have_a_scale_for_each_output_channel(
    layer: nn.Module, shape: tuple[int, ...], axis: int
) -> None:
    graph = graph_of(nn.Sequential(layer), *shape)
    (found,) = (weights for node in graph.nodes if (weights := q.weights_of(node)) is not None)
    assert (found.node.target, found.bias.target, found.axis) == ("0.weight", "0.bias", axis)
    channels = 4
    parameter: Any = layer.weight
    assert parameter.shape[found.axis] == channels
