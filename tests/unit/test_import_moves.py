# SPDX-License-Identifier: Apache-2.0
"""The rows of the import table that move elements, and the shapes networks have, against torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.oracles.torch import (
    FLAT,
    SQUARE,
    WHOLE,
    X1,
    X2,
    Case,
    Net,
    agrees,
    case,
    module,
    seeded,
)

VIEWS = [
    case("reshape", lambda x: x.reshape(6, -1), SQUARE),
    case("view", lambda x: x.view(2, 12, 6), SQUARE),
    case("flatten", lambda x: x.flatten(1), SQUARE),
    module("Flatten", nn.Flatten(), SQUARE),
    case("unflatten", lambda x: x.unflatten(1, (2, -1)), X1),
    module("Unflatten", nn.Unflatten(1, (3, 2)), X1),
    case("ravel", lambda x: x.ravel(), SQUARE),
    case("squeeze", lambda x: x[:1].squeeze(), SQUARE),
    case("squeeze_dim", lambda x: x[:1].squeeze(0), SQUARE),
    case("squeeze_dims", lambda x: x[:1, :, :1].squeeze((0, 2)), SQUARE),
    case("unsqueeze", lambda x: x.unsqueeze(-1), SQUARE),
    case("view_as", lambda x, y: x.view_as(y) + y, SQUARE, WHOLE),
    case("reshape_as", lambda x, y: x.reshape_as(y) + y, SQUARE, WHOLE),
    case("permute", lambda x: x.permute(0, 2, 3, 1), SQUARE),
    case("permute_neg", lambda x: x.permute(-1, 0, -2, 1), SQUARE),
    case("transpose", lambda x: x.transpose(-1, 1), SQUARE),
    case("t", lambda x: x.t(), FLAT),
    case("T", lambda x: x.T, FLAT),
    case("mT", lambda x: x.mT, SQUARE),
    case("swapaxes", lambda x: x.swapaxes(0, -1), SQUARE),
    case("swapdims", lambda x: x.swapdims(1, 2), SQUARE),
    case("movedim", lambda x: x.movedim(1, -1), SQUARE),
    case("movedims", lambda x: x.movedim((0, 1), (2, 0)), SQUARE),
    case("moveaxis", lambda x: x.moveaxis(3, 1), SQUARE),
    case("contiguous", lambda x: x.mT.contiguous(), SQUARE),
    case("clone", lambda x: x.clone().detach() + 1, SQUARE),
    case("to_double", lambda x: x.double() * 2, SQUARE),
    case("type_as", lambda x: x.type_as(x) * 2, SQUARE),
    case("to_float", lambda x: x.to(torch.float32) * 2, SQUARE),
    case("t_vector", lambda x: x.t() * 2, seeded(5)),
    case("conv_reshape", lambda net, x: net.c(x).reshape(1, 2, 3, 7, 9), X2, c=nn.Conv2d(4, 6, 3)),
    case("conv_merge", lambda net, x: net.c(x).flatten(1, 2), X2, c=nn.Conv2d(4, 6, 3)),
    case(
        "conv_flatten_relu_linear",
        lambda net, x: net.l(F.relu(net.c(x).flatten(1))),
        X1,
        c=nn.Conv1d(6, 4, 3),
        l=nn.Linear(60, 3),
    ),
    case(
        "squeeze_between",
        lambda net, x: net.d(net.c(x).squeeze(-1)),
        X2,
        c=nn.Conv2d(4, 6, (1, 11)),
        d=nn.Conv1d(6, 3, 3),
    ),
]

CUTS = [
    case("slice", lambda x: x[:, 1:], SQUARE),
    case("slice_step", lambda x: x[..., 1:5:2], SQUARE),
    case("slice_negative", lambda x: x[:, :, -3:-1], SQUARE),
    case("slice_over", lambda x: x[:, :99], SQUARE),
    case("ellipsis_none", lambda x: x[..., None, 1], SQUARE),
    case("select", lambda x: x[:, -1], SQUARE),
    case("select_0", lambda x: x.select(2, 1), SQUARE),
    case("narrow", lambda x: x.narrow(3, 1, 4), SQUARE),
    case("narrow_back", lambda x: x.narrow(3, -4, 2), SQUARE),
    case("split", lambda x: x.split(4, dim=-1)[1] * 2, SQUARE),
    case("split_sizes", lambda x: x.split([1, 2, 3], -1), SQUARE),
    case("chunk", lambda x: x.chunk(4, dim=2), X1),
    case("chunk_uneven", lambda x: x.chunk(3, dim=2)[2], X1),
    case("tensor_split", lambda x: torch.tensor_split(x, 4, dim=2), X1),
    case("tensor_split_at", lambda x: torch.tensor_split(x, (2, 9), dim=2), X1),
    case("unbind", lambda x: x.unbind(1), SQUARE),
    case("unbind_last", lambda x: x.unbind(-1)[2], SQUARE),
    case("flip", lambda x: x.flip(1), SQUARE),
    case("flip_two", lambda x: torch.flip(x, (0, -1)), SQUARE),
    case("roll", lambda x: x.roll(2, -1), SQUARE),
    case("roll_back", lambda x: x.roll(-1, 0), SQUARE),
    case("roll_two", lambda x: x.roll((1, -2), (1, 3)), SQUARE),
    case("roll_flat", lambda x: x.roll(5), SQUARE),
    case("pick", lambda x: x[:, [0, 2]], SQUARE),
    case("pick_order", lambda x: x[:, :, [3, 1, 2, -4]], SQUARE),
    case("index_select", lambda x: x.index_select(3, torch.tensor([5, 0, 1])), SQUARE),
    case(
        "index_select_from_the_end", lambda x: x.index_select(-1, torch.tensor([5, 0, 1])), SQUARE
    ),
    case("conv_slice", lambda net, x: net.c(x)[:, 1:, 2:-1], X1, c=nn.Conv1d(6, 5, 3)),
    case("conv_flip", lambda net, x: net.c(x).flip(2), X1, c=nn.Conv1d(6, 5, 3)),
]

JOINS = [
    case("cat", lambda x, y: torch.cat([x, y, x], 1), SQUARE, WHOLE),
    case("cat_negative", lambda x, y: torch.cat([x, y], -1), SQUARE, WHOLE),
    case("concat", lambda x, y: torch.concat([x, y], 2), SQUARE, WHOLE),
    case("concatenate", lambda x, y: torch.concatenate([x, y]), SQUARE, WHOLE),
    case("cat_const", lambda x: torch.cat([x, torch.ones(2, 3, 4, 1)], -1), SQUARE),
    case("cat_empty", lambda x: torch.cat([torch.zeros(0), x], 0), SQUARE),
    case("stack", lambda x, y: torch.stack([x, y]), SQUARE, WHOLE),
    case("stack_last", lambda x, y: torch.stack([x, y], -1), SQUARE, WHOLE),
    case("expand", lambda x: x[:, :1].expand(2, 5, 4, 6), SQUARE),
    case("expand_keep", lambda x: x[:1].expand(3, -1, -1, -1), SQUARE),
    case("expand_more", lambda x: x.expand(5, 3, 8), FLAT),
    case("expand_as", lambda x, y: x[:, :1].expand_as(y) * y, SQUARE, WHOLE),
    case("broadcast_to", lambda x: torch.broadcast_to(x, (2, 3, 8)), FLAT),
    case("repeat", lambda x: x.repeat(2, 3), FLAT),
    case("repeat_more", lambda x: x.repeat(2, 1, 3), FLAT),
    case("tile", lambda x: torch.tile(x, (2,)), FLAT),
    case("tile_more", lambda x: torch.tile(x, (2, 1, 2)), FLAT),
    case("repeat_interleave", lambda x: x.repeat_interleave(3, dim=1), FLAT),
    case("repeat_interleave_flat", lambda x: x.repeat_interleave(2), FLAT),
    case("upsample1", lambda x: F.interpolate(x, scale_factor=3), X1),
    case("upsample2", lambda x: F.interpolate(x, size=(18, 22)), X2),
    case("pad", lambda x: F.pad(x, (1, 2)), X1),
    case("pad_value", lambda x: F.pad(x, (0, 2, 1, 0), value=0.5), X2),
    case("pad_negative", lambda x: F.pad(x, (-1, 2, 0, -3)), X2),
    case("pad_cut", lambda x: F.pad(x, (-2, -1)), X1),
    case("pad_all_axes", lambda x: F.pad(x, (1, 0, 0, 1, 1, 1)), X1),
    case("causal", lambda net, x: net.c(F.pad(x, (4, 0))), X1, c=nn.Conv1d(6, 5, 3, dilation=2)),
    *(
        case(f"pad_{mode}", lambda x, m=mode: F.pad(x, (3, 2), mode=m), X1)
        for mode in ("reflect", "replicate", "circular")
    ),
    *(
        case(f"pad2_{mode}", lambda x, m=mode: F.pad(x, (1, 3, 2, 0), mode=m), X2)
        for mode in ("reflect", "replicate", "circular")
    ),
    module("ZeroPad", nn.ZeroPad2d((1, 2, 0, 3)), X2),
    module("ConstantPad", nn.ConstantPad1d(2, -1.5), X1),
]


def in_place(x: Tensor) -> Tensor:
    y = x + 0
    y += 1
    y.mul_(2).relu_()
    y -= 0.5
    return y


def of_input(x: Tensor) -> Tensor:
    x -= 0.25
    return x.abs()


def without_gradient(net: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = net.c(x)
    return y + 1


def unused(net: Net, x: Tensor) -> Tensor:
    x.sort(1)
    return net.c(x)


SHAPES = [
    case("two_inputs", lambda x, y: x * y + x, SQUARE, WHOLE),
    case("unused_input", lambda x, y: x * 2, SQUARE, WHOLE),
    case(
        "several_outputs", lambda net, x: (net.c(x), net.c(x).relu(), x), X1, c=nn.Conv1d(6, 5, 3)
    ),
    case("output_inside", lambda net, x: (y := net.c(x), y * 2), X1, c=nn.Conv1d(6, 5, 3)),
    case("output_twice", lambda net, x: (y := net.c(x), y), X1, c=nn.Conv1d(6, 5, 3)),
    case("input_returned", lambda x: (x, x + 1), X1),
    case("only_input", lambda x: x, X1),
    case("identity_output", lambda x: (F.dropout(x, training=False), x.contiguous()), X1),
    case("unused_branch", unused, X1, c=nn.Conv1d(6, 5, 3)),
    case("in_place", in_place, X1),
    case("in_place_input", of_input, X1),
    case("no_grad", without_gradient, X1, c=nn.Conv1d(6, 5, 3)),
    module("in_place_relu", nn.Sequential(nn.Conv1d(6, 6, 3), nn.ReLU(inplace=True)), X1),
    case("shared", lambda net, x: net.c(F.relu(net.c(x))), X1, c=nn.Conv1d(6, 6, 3)),
    module(
        "dropouts",
        nn.Sequential(nn.Dropout(), nn.Identity(), nn.AlphaDropout(), nn.Dropout1d()),
        X1,
    ),
    case("arange", lambda x: x + torch.arange(17), X1),
    case("zeros", lambda x: x + torch.zeros(6, 1) + torch.ones_like(x), X1),
    case("literal", lambda x: x[:, :3, 0] * torch.tensor([1.0, 2.0, 3.0]), X1),
    case("mask", lambda x: x * torch.ones(17, 17).tril()[4], X1),
    case("bool_mask", lambda x: x * (torch.arange(17) == 3), X1),
    case("full", lambda x: x * torch.full((17,), 0.5) + torch.eye(17)[2], X1),
    module("glu_net", nn.Sequential(nn.Conv1d(6, 8, 3), nn.GLU(dim=1), nn.Conv1d(4, 2, 1)), X1),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("made", [*VIEWS, *CUTS, *JOINS, *SHAPES], ids=lambda made: made.name)
def test_graph_computes_what_torch_computes(made: Case) -> None:
    agrees(made.model, *made.inputs)
