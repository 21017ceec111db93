# SPDX-License-Identifier: Apache-2.0
"""Networks of the uses that operators' families draw for their own tests: any operator behind any
other, on elements in any shape."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from myoedge.graph.ir import Shape
from myoedge.operators.cases import Draw, DrawnUse, drawn_uses
from tests.fuzz import networks
from tests.fuzz.layers import Rng
from tests.ops.case import oracle_value

LARGEST = 4000  # elements of a tensor
OF_VALUES = re.compile(r"\bnp\.|\bsignal\.|numpy|unique|\.item\(")  # what torch does not export
USES = drawn_uses()
BETWEEN = (torch.tanh, torch.relu, torch.neg, torch.abs, lambda x: x * 0.7 - 0.2, lambda x: x)
UNUSUAL = 1e3  # magnitude
Read = tuple[int, int]  # number of an earlier tensor, and which of its elements


class OfUses(nn.Module):
    """Uses behind each other, each of elements of earlier tensors; one to three outputs."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        draw = Draw(rng)
        shapes = draw.shape(1, 5, 9), draw.shape(1, 3, 5), (129,), (2, 64), (1, 3, 33)
        self.shape: Shape = draw.pick(shapes)
        self.uses: list[tuple[DrawnUse, tuple[Read, ...], int]] = []
        self.weights = nn.ModuleList()
        made, names = [torch.tanh(torch.randn(self.shape))], sorted(USES)
        for _ in range(2 + int(rng.integers(7))):
            use = USES[draw.pick(names)](draw)
            read = tuple((draw.integer(0, len(made) - 1), draw.integer(0, 2)) for _ in use.shapes)
            between, weights = draw.integer(0, len(BETWEEN) - 1), _parameters(use)
            if (y := _tried(use, [*_operands(use, read, made), *weights.parameters()])) is not None:
                self.uses.append((use, read, between))
                self.weights.append(weights)
                made.append(BETWEEN[between](y))
        self.taps = sorted({draw.integer(1, len(made) + 1) for _ in range(2)} & {*range(len(made))})

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        made = [torch.tanh(x)]
        for (use, read, between), weights in zip(self.uses, self.weights, strict=True):
            y = oracle_value(use, [*_operands(use, read, made), *weights.parameters()])
            made.append(BETWEEN[between](y.float()))
        return (made[-1] + 0.1, *(made[i] for i in self.taps))


def _parameters(use: DrawnUse) -> nn.ParameterList:
    return nn.ParameterList(torch.from_numpy(np.asarray(x, np.float32)) for x in use.weights)


def _operands(use: DrawnUse, read: Sequence[Read], made: Sequence[Tensor]) -> list[Tensor]:
    shapes = zip(read, use.shapes, strict=True)
    return [_in_shape(made[at], shape, which) for (at, which), shape in shapes]


def _in_shape(x: Tensor, shape: Shape, which: int) -> Tensor:
    """Elements of a tensor in another shape, repeated if there are few.

    which   0: the first ones, 1: the last ones backwards, 2: the last ones
    """
    flat, count = x.reshape(-1), math.prod(shape)
    flat = flat.repeat(-(-count // flat.numel()))
    flat = flat.flip(0) if which == 1 else flat
    return (flat[-count:] if which == 2 else flat[:count]).reshape(shape)


def _tried(use: DrawnUse, operands: Sequence[Tensor]) -> Tensor | None:
    """The result of a use; None if it is no part of a network of floats, or has unusual values."""
    if use.dtype != "float32" or use.kinds or OF_VALUES.search(use.torch):
        return None
    try:
        with torch.no_grad():
            y: Tensor = oracle_value(use, operands).float()
    except (RuntimeError, ValueError, TypeError):
        return None
    is_usual = 0 < y.numel() <= LARGEST and y.dim() <= 5 and bool(y.isfinite().all())
    return y if is_usual and y.abs().max() < UNUSUAL else None


def drawn(seed: int) -> networks.Drawn:
    """The network of a seed, with options of its build."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = OfUses(rng)
    return networks.Drawn("uses", model, (model.shape,), *networks.drawn_options(rng))


def run(seed: int, folder: Path) -> dict[str, Any]:
    """Outcome of a network: exact, refused with a code, or what is wrong."""
    return networks.outcome(drawn(seed), seed, folder)
