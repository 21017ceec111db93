# SPDX-License-Identifier: Apache-2.0
"""Every function of one number, alone and fused two and three at a time, from torch to C."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import myoedge
from myoedge.numerics.pointwise import FUNCTIONS
from tests.conftest import save_exported
from tests.support.pages import summary

TORCH: Mapping[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "acos": lambda x: torch.acos(x / 8.0),
    "acosh": lambda x: torch.acosh(x + 1.0),
    "affine": lambda x: x * 0.5 + 0.25,
    "asin": lambda x: torch.asin(x / 8.0),
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atanh": lambda x: torch.atanh(x / 9.0),
    "ceil": torch.ceil,
    "clamp": lambda x: x.clamp(-0.5, 1.5),
    "cos": torch.cos,
    "cosh": torch.cosh,
    "elu": F.elu,
    "eq": lambda x: (x.floor() == 1.0).float(),
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "frac": torch.frac,
    "ge": lambda x: (x >= 1.5).float(),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gt": lambda x: (x > 1.5).float(),
    "hardshrink": F.hardshrink,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "is_finite": lambda x: torch.isfinite(torch.log(x - 1.5)).float(),
    "is_inf": lambda x: torch.isinf(torch.log(x.floor() - 1.0)).float(),
    "is_nan": lambda x: torch.isnan(torch.log(x - 1.5)).float(),
    "larger": lambda x: torch.maximum(torch.sin(x), torch.cos(x)),
    "le": lambda x: (x <= 1.5).float(),
    "leaky_relu": F.leaky_relu,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log_sigmoid": F.logsigmoid,
    "lt": lambda x: (x < 1.5).float(),
    "mish": F.mish,
    "nan_to_num": lambda x: torch.nan_to_num(torch.log(x - 1.5), -1.0, 3.0, -2.0),
    "ne": lambda x: (x.floor() != 1.0).float(),
    "neg": torch.neg,
    "pow": lambda x: x**3,
    "product": lambda x: x * torch.tanh(x),
    "quotient": lambda x: x // 3.0,
    "reciprocal": torch.reciprocal,
    "round": torch.round,
    "rsqrt": torch.rsqrt,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": F.silu,
    "sin": torch.sin,
    "sinc": torch.sinc,
    "sinh": torch.sinh,
    "softplus": F.softplus,
    "softshrink": F.softshrink,
    "softsign": F.softsign,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": lambda x: torch.tan(x / 8.0),
    "tanh": torch.tanh,
    "tanhshrink": F.tanhshrink,
    "threshold": lambda x: F.threshold(x, 0.75, 0.125),
    "total": lambda x: torch.sin(x) + torch.tanh(x),
    "trunc": torch.trunc,
}
NAMES = sorted(TORCH)


class Chains(nn.Module):
    """An output for every function behind a linear layer: it alone, or with one or two others."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.chain(self.fc(x + i / 64).abs() + 1.0, i) for i in range(len(NAMES)))

    def chain(self, x: Tensor, first: int) -> Tensor:
        for i in range(1 + first % 3):
            name = NAMES[(first + 7 * i) % len(NAMES)]
            # Logarithms and roots of what is negative are not numbers.
            x = TORCH[name](x) if i == 0 else TORCH[name](x.clamp(0.25, 8.0))
        return x


@pytest.mark.slow
def test_chains_are_built_named_and_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = save_exported(Chains(), (torch.zeros(1, 12),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((8, 1, 12), np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out")
    assert myoedge.validate(build).exact["host"]
    texts = [row["activation"] for row in build.layers]
    named = {part.partition("(")[0] for text in texts for part in text.split(" + ")}
    # torch takes two of these apart, and a sign that changes is folded into weights; abs and affine
    # stand before every chain, clamp inside it.
    assert named >= set(NAMES) - {"softsign", "tanhshrink", "neg"}
    assert {len(text.split(" + ")) for text in texts} >= {3, 4, 5, 6}
    assert not any(math.isnan(row["sqnr_db"] or 0.0) for row in build.layers)
    assert "operator" in summary(build.report, width=120)


def test_no_function_is_left_out() -> None:
    """Those of a file's integers are no calls of torch."""
    of_torch = {name for name in FUNCTIONS if not name.startswith("integer_")} - {"lookup"}
    assert set(TORCH) == of_torch
