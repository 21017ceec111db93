# SPDX-License-Identifier: Apache-2.0
"""Networks with masks in front of a softmax, and what int8 keeps of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import dequantize
from myoedge.operators.interpreter import run_int
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs

FRAMES, INF = 12, math.inf
AT = torch.arange(FRAMES)
LATER = torch.ones(FRAMES, FRAMES, dtype=torch.bool).triu(1)
OWN = torch.eye(FRAMES, dtype=torch.bool)
FIRST = AT < 3
HOLES = (LATER | FIRST) & ~OWN  # no window: frame 0 sees itself, frame 5 itself, 3 and 4
SLOPES = torch.stack([(AT[None] - AT[:, None]) * 2.0**-n for n in (1, 2)])[None]
BIAS = torch.randn(1, 2, FRAMES, FRAMES, generator=torch.Generator().manual_seed(5))
LEAST = torch.finfo(torch.float32).min
WINDOWS = torch.randn(24, 1, FRAMES, 8, generator=torch.Generator().manual_seed(1)) * 1.5


class Heads(nn.Module):
    """Two heads of attention whose scores something is done to, and a layer behind them."""

    def __init__(self, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.out, self.attend = nn.Linear(8, 24), nn.Linear(8, 4), attend

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(1, FRAMES, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return self.out(self.attend(q, k, v).transpose(1, 2).reshape(1, FRAMES, 8))


def given(mask: Tensor, *, is_causal: bool = False) -> Heads:
    return Heads(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal))


def written(change: Callable[[Tensor], Tensor]) -> Heads:
    return Heads(lambda q, k, v: change(q @ k.mT / 2.0).softmax(-1) @ v)


def read_twice(change: Callable[[Tensor], Tensor]) -> Heads:
    """Shares that the network uses besides, so that attention is no single operator."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shares = change(q @ k.mT / 2.0).softmax(-1)
        return shares @ v + 0.1 * shares.mean()

    return Heads(attend)


def prepared(model: nn.Module, *x: Tensor) -> Graph:
    return prepare(from_exported(torch.export.export(model.eval(), x or (WINDOWS[0],))))


def quantized(graph: Graph, *samples: Tensor) -> QuantGraph:
    """Calibrated with the first 16 of the samples of each input."""
    named = zip(graph.inputs, samples or (WINDOWS,), strict=True)
    found = calibrate(graph, {name: x[:16].numpy() for name, x in named}, Observer(), "test")
    return quantize_graph(graph, found)


@cache
def quantized_model(model: nn.Module, *samples: Tensor) -> QuantGraph:
    """Calibrated with the first 16 of the samples of each input; made once for all tests of it."""
    return quantized(prepared(model, *(x[0] for x in samples)), *samples)


def integers(q: QuantGraph, *x: Array) -> Array:
    named = dict(zip(q.graph.inputs, x, strict=True))
    values = run_int(q.steps, q.constants, quantized_inputs(q, named))
    return values[q.graph.outputs[0]]


def kept_db(model: nn.Module, *samples: Tensor) -> float:
    """Of all samples, those after the 16th calibrated by nobody, against torch."""
    q = quantized_model(model, *samples)
    samples = samples or (WINDOWS,)
    with torch.no_grad():
        wanted = np.stack([model(*x).numpy() for x in zip(*samples, strict=True)])
    params = q.params[q.graph.outputs[0]]
    every = zip(*(x.numpy() for x in samples), strict=True)
    got = np.stack([dequantize(integers(q, *x), params) for x in every])
    return float(10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum()))
