# SPDX-License-Identifier: Apache-2.0
"""Functions of one number, reductions, products by letters and writes into constant places, in
every form that exporters give them, against torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.oracles.torch import FLAT, X1, X2, case, check_forms, seeded

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "hardshrink": F.hardshrink, "softshrink": F.softshrink, "softplus": F.softplus,
    "softplus_steep": lambda x: F.softplus(x, 2.0), "celu": lambda x: F.celu(x, 1.5),
    "selu": F.selu, "hardtanh": F.hardtanh, "relu6": F.relu6, "logsigmoid": F.logsigmoid,
    "mish": F.mish, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "leaky_relu": F.leaky_relu, "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid,
    "silu": F.silu, "softsign": F.softsign, "tanhshrink": F.tanhshrink,
    "chosen": lambda x: torch.where(x > 0, x, x * 2),
    "one of two numbers": lambda x: torch.where(x > 0, 1.5, -0.5),
    "huber": lambda x: torch.where((x > -1) & (x < 1), x * x, 2 * x.abs() - 1),
    "no_nan": lambda x: x.masked_fill(x.isnan() | x.isinf(), 0.0),
    "logarithms": lambda x: torch.where(x > 0, torch.log(x.abs() + 0.1), x - 1),
    "clamped": lambda x: torch.clamp(x, torch.tensor(-0.5), torch.tensor(0.5)),
}  # fmt: skip
TORCH_ONLY: dict[str, Callable[[Tensor], Tensor]] = {
    "threshold": lambda x: F.threshold(x, 0.1, 20.0),
    "beside_truths": lambda x: torch.where(((x > -1) & True) ^ True, -x, x * x),
    "of_logarithms": lambda x: torch.nan_to_num(torch.log(x), -5.0, 3.0, -2.0),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*FUNCTIONS, *TORCH_ONLY])
def test_a_function_of_one_number_is_one_table(name: str, tmp_path: Path) -> None:
    function = FUNCTIONS.get(name) or TORCH_ONLY[name]
    check_forms(case(name, function, FLAT), "table", tmp_path, onnx=name in FUNCTIONS)


def _written(x: Tensor, value: Any) -> Tensor:
    x[:, 1:3, 5:] = value
    return x


W = seeded(6, 4)
ROWS = torch.arange(17).reshape(1, 1, 17) % 3 == 0


def of_mask(x: Tensor) -> Tensor:
    y = x.clone()
    y[ROWS.expand(x.shape)] = 0.5
    return y


def of_steps(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, ::2] += 1
    y[:, 1::4, 1:16:7] = 0
    return y


def of_computed_mask(x: Tensor) -> Tensor:
    y = x.clone()
    y[x > 0.5] = 0
    return y


def of_computed_rows(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, x[0, :, 3] < 0] = x[0, 0]
    return y


def of_row(x: Tensor) -> Tensor:
    y = x * 1.0
    y[:, 2] = x[:, 3] * 2
    return y


def of_block(x: Tensor) -> Tensor:
    y = x * 1.0
    y[:, 2:4, 3:9] = x[:, 4:6, 1:7] * 2
    return y


def of_list(x: Tensor) -> Tensor:
    y = x * 1.0
    y[:, [1, 3]] = 0.0
    return y


OTHERS: dict[str, tuple[Callable[..., Any], Tensor]] = {
    "both_of_max": (lambda x: tuple(x.max(1)), X1),
    "both_of_min": (lambda x: tuple(x.min(-1, keepdim=True)), X1),
    "topk": (lambda x: tuple(x.topk(1)), X1),
    "amin": (lambda x: x.amin((1, 2)), X1),
    "aminmax": (lambda x: tuple(x.aminmax(dim=-1)), X1),
    "logsumexp": (lambda x: torch.logsumexp(x, -1), X1),
    "prod": (lambda x: x.prod(-1), seeded(2, 3, 5)),
    "argmax_as_number": (lambda x: x.argmax(1).float() * 2 + 1, X1),
    "unfold_axis": (lambda x: x.unfold(1, 3, 1), X1),
    "unfold": (lambda x: F.unfold(x, 3, padding=1), X2),
    "unfold_apart": (lambda x: F.unfold(x, (3, 2), stride=(3, 2)), X2),
    "unfold_dilated": (lambda x: F.unfold(x, 2, dilation=2), X2),
    "einsum_weights": (lambda x: torch.einsum("bct,cd->bdt", x, W), X1),
    "einsum_batch": (lambda x: torch.einsum("bct,bdt->bcd", x, x * 2), X1),
    "einsum_elements": (lambda x: torch.einsum("bct,bct->bc", x, x + 1), X1),
    "einsum_three": (lambda x: torch.einsum("bct,ck,tm->bkm", x, W, torch.ones(17, 2)), X1),
    "einsum_rest": (lambda x: torch.einsum("...t,td", x, torch.ones(17, 2)), X1),
    "einsum_sum": (lambda x: torch.einsum("bct->tb", x), X1),
    "einsum_outer": (lambda x: torch.einsum("bi,bj->bij", x, x * 2), FLAT),
    "mask": (of_mask, X1),
    "row": (of_row, X1),
    "block": (of_block, X1),
    "list": (of_list, X1),
    "gather": (lambda x: x.gather(2, torch.tensor([3, 1, 3]).expand(2, 6, 3)), X1),
    "gather_rows": (lambda x: x.gather(1, torch.arange(51).reshape(1, 3, 17) % 6), X1),
    "gather_computed": (lambda x: x.gather(1, x.argmax(1, keepdim=True)), X1),
    "gather_row": (lambda x: x.gather(1, x[:, :, :1].argmax(1, keepdim=True)), X1),
    "parts_computed": (lambda x: x[:, x[0, :, :6].argmax(1)], X1),
    "tril": (torch.tril, X1),
    "smaller_of_broadcast": (lambda x: torch.minimum(x, x.mean(-1, keepdim=True)), X1),
}
OTHERS_OF_TORCH: dict[str, tuple[Callable[..., Any], Tensor]] = {
    "unfold_last": (lambda x: x.unfold(-1, 6, 3), X1),
    "unfold_gaps": (lambda x: x.unfold(-1, 4, 6), X1),
    "select_scatter": (lambda x: torch.select_scatter(x, x[:, 0] * 2, 1, 3), X1),
    "number_into_slice": (lambda x: _written(x.tanh(), 0), X1),
    "tensor_into_slice": (lambda x: _written(x.tanh(), x[0, 0, 0]), X1),
    "steps_of_slice": (lambda x: torch.slice_scatter(x, x[:, :3] * 2, 1, 0, 6, 2), X1),
    "steps_and_end": (lambda x: torch.slice_scatter(x, x[..., :5] * 2, 2, 3, None, 3), X1),
    "one_step": (lambda x: torch.slice_scatter(x, x[..., :1] * 2, 2, 1, 17, 16), X1),
    "steps_added": (of_steps, X1),
    "computed_mask": (of_computed_mask, X1),
    "computed_rows": (of_computed_rows, X1),
    "any": (lambda x: (x > 1).any(1).float(), X1),
    "any_of_all": (lambda x: x * (x[:, 0] > 9).any(), X1),
    "all": (lambda x: (x > -1).all(-1, keepdim=True) * x, X1),
    "slice_scatter": (lambda x: torch.slice_scatter(x, x[:, :2] * 2, 1, 3, 5), X1),
    "take_along": (
        lambda x: torch.take_along_dim(x, torch.tensor([3, 1, 3]).expand(2, 6, 3), 2), X1),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*OTHERS, *OTHERS_OF_TORCH])
def test_forms_compute_what_torch_computes(name: str, tmp_path: Path) -> None:
    function, x = OTHERS.get(name) or OTHERS_OF_TORCH[name]
    check_forms(case(name, function, x), "", tmp_path, onnx=name in OTHERS)
