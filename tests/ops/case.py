# SPDX-License-Identifier: Apache-2.0
"""One drawn use of an operator with its data, quantised, and its float oracle by torch."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Any

import numpy as np
import torch
from scipy import signal

from myoedge.numerics.arrays import Array
from myoedge.operators.cases import DrawnUse
from myoedge.quantization.drawn_case import DrawnCase

ACTIVATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "clamp": lambda x, low, high: x.clamp(low, high),
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "abs": torch.abs,
    "affine": lambda x, scale, offset: x * scale + offset,
    "square": torch.square,
    "hardswish": torch.nn.functional.hardswish,
    "elu": torch.nn.functional.elu,
    "sqrt": torch.sqrt,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "pow": torch.pow,
    "reciprocal": torch.reciprocal,
    "ge": lambda x, limit: (x >= limit).to(x.dtype),
    "lt": lambda x, limit: (x < limit).to(x.dtype),
    "floor": torch.floor,
    "round": torch.round,
    "frac": torch.frac,
    "hardshrink": torch.nn.functional.hardshrink,
    "threshold": torch.nn.functional.threshold,
}


@dataclass(frozen=True)
class Case(DrawnCase):
    """A drawn case whose float meaning is an oracle by torch."""

    def real(self, inputs: Sequence[Array]) -> torch.Tensor:
        """The float64 oracle's value, before a fused activation."""
        constants = (w.astype(np.float32).astype(np.float64) for w in self.weights)
        arrays = (np.asarray(x, np.float64) for x in (*inputs, *constants))
        return oracle_value(self, [torch.as_tensor(x) for x in arrays])

    def activated(self, chain: Sequence[Sequence[object]], values: Array) -> Array:
        return activated(chain, torch.as_tensor(values)).numpy()


def oracle_value(use: DrawnUse, tensors: Sequence[torch.Tensor]) -> Any:
    """The value of a use's float oracle for these inputs and weights."""
    xs, ws = tensors[: len(use.shapes)], tensors[len(use.shapes) :]
    numbered = {f"x{i}": x for i, x in enumerate(xs)} | {f"w{i}": w for i, w in enumerate(ws)}
    names = {**LIBRARIES, **use.attrs, **numbered, "xs": xs, "ws": ws}
    body, value = compiled_oracle(use.torch)
    exec(body, names)
    return eval(value, names)


@cache
def compiled_oracle(text: str) -> tuple[CodeType, CodeType]:
    """The lines of an oracle but the last, and the last."""
    tree = ast.parse(text)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    value = ast.Expression(last.value)
    return compile(tree, "oracle", "exec"), compile(value, "oracle", "eval")


def activated(chain: Sequence[Sequence[object]], x: torch.Tensor) -> torch.Tensor:
    """A fused chain by torch."""
    for name, *parameters in chain:
        x = ACTIVATIONS[str(name)](x, *parameters)
    return x


LIBRARIES = {
    "torch": torch, "F": torch.nn.functional, "math": math, "np": np, "signal": signal,
    "activated": activated,
}  # fmt: skip
