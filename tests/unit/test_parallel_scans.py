# SPDX-License-Identifier: Apache-2.0
"""Parallel scans that a model writes out become the recurrence that they compute; what computes
anything else stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare

WIDTH, STATES = 3, 2
Scan = Callable[[Tensor, Tensor], Tensor]  # factors, terms [batch, T, D, N] -> states


def doubling(a: Tensor, b: Tensor) -> Tensor:
    """Every step is combined with the one 1, 2, 4, .. steps before."""
    far, steps = 1, a.shape[1]
    while far < steps:
        b = torch.cat([b[:, :far], b[:, far:] + a[:, far:] * b[:, :-far]], 1)
        a = torch.cat([a[:, :far], a[:, far:] * a[:, :-far]], 1)
        far *= 2
    return b


def shifted(a: Tensor, b: Tensor) -> Tensor:
    """The same, where each step has one before it: ones and zeros before the first."""
    far, steps = 1, a.shape[1]
    while far < steps:
        ones, zeros = torch.ones_like(a[:, :far]), torch.zeros_like(b[:, :far])
        b = b + a * torch.cat([zeros, b[:, :-far]], 1)
        a = a * torch.cat([ones, a[:, :-far]], 1)
        far *= 2
    return b


def tree(a: Tensor, b: Tensor) -> Tensor:
    """Sums of pairs, of pairs of pairs, and down again, in place, with the steps behind the
    channels."""
    steps, n = a.shape[1], 1
    while n < steps:
        n *= 2
    a, b = (pad(x, (0, 0, 0, 0, 0, n - steps)).transpose(1, 2).contiguous() for x in (a, b))
    far = 1
    while far < n:
        b[:, :, 2 * far - 1 :: 2 * far] += (
            a[:, :, 2 * far - 1 :: 2 * far] * b[:, :, far - 1 :: 2 * far]
        )
        a[:, :, 2 * far - 1 :: 2 * far] *= a[:, :, far - 1 :: 2 * far].clone()
        far *= 2
    far //= 2
    while far > 1:
        half = far // 2
        b[:, :, far + half - 1 :: far] += (
            a[:, :, far + half - 1 :: far] * b[:, :, far - 1 : -half : far]
        )
        a[:, :, far + half - 1 :: far] *= a[:, :, far - 1 : -half : far].clone()
        far = half
    return b.transpose(1, 2)[:, :steps]


def tree_of_channels(a: Tensor, b: Tensor) -> Tensor:
    """States with the steps behind the channels."""
    return tree(a, b).transpose(1, 2)


def too_short(a: Tensor, b: Tensor) -> Tensor:
    """Steps that see three steps before them, and no more."""
    for far in (1, 2):
        b = torch.cat([b[:, :far], b[:, far:] + a[:, far:] * b[:, :-far]], 1)
        a = torch.cat([a[:, :far], a[:, far:] * a[:, :-far]], 1)
    return b


def of_other_factors(a: Tensor, b: Tensor) -> Tensor:
    """The first two steps are those of the recurrence."""
    far = 1
    while far < a.shape[1]:
        b = torch.cat([b[:, :far], b[:, far:] + a[:, far:] * b[:, :-far]], 1)
        far *= 2
    return b


class Mamba(nn.Module):
    def __init__(self, scan: Scan) -> None:
        super().__init__()
        self.scan = scan
        self.dt, self.bc = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * STATES)
        self.a_log = nn.Parameter(torch.randn(WIDTH, STATES))

    def forward(self, x: Tensor) -> Tensor:
        delta, (b, c) = softplus(self.dt(x))[..., None], self.bc(x).split(STATES, -1)
        decays = torch.exp(delta * -torch.exp(self.a_log))
        states = self.scan(decays, delta * b[:, :, None] * x[..., None])
        y: Tensor = (states @ c[..., None]).squeeze(-1)
        return y


class Linear(nn.Module):
    """The states themselves."""

    def __init__(self, scan: Scan) -> None:
        super().__init__()
        self.scan = scan

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., None]
        return torch.tanh(self.scan(torch.sigmoid(x), torch.sin(x)))


def prepared(network: nn.Module, steps: int) -> Graph:
    """The network's graph, which computes what torch does."""
    torch.manual_seed(0)
    x = torch.randn(1, steps, WIDTH)
    graph = prepare(from_exported(torch.export.export(network.eval(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    return graph


@pytest.mark.parametrize("steps", [4, 7, 16])
@pytest.mark.parametrize("scan", [doubling, shifted, tree, tree_of_channels])
def test_algorithms_become_one_operator(scan: Scan, steps: int) -> None:
    found = [node.op for node in prepared(Linear(scan), steps).nodes]
    assert found.count("scan") == 1
    assert not {"add", "mul", "concat"} & {*found}


@pytest.mark.parametrize("scan", [doubling, shifted, tree])
def test_a_selective_scan_is_found_behind_them(scan: Scan) -> None:
    found = [node.op for node in prepared(Mamba(scan), 12).nodes]
    assert found.count("selective_scan") == 1
    assert not {"scan", "concat"} & {*found}


@pytest.mark.parametrize("scan", [too_short, of_other_factors])
def test_other_results_stay(scan: Scan) -> None:
    found = [node.op for node in prepared(Linear(scan), 8).nodes]
    assert "scan" not in found


class ProductsOfSome(nn.Module):
    """Products of all steps before each one, but of 512 at most."""

    def forward(self, x: Tensor) -> Tensor:
        far = 1
        while far < 512:
            x = torch.cat([x[:, :far], x[:, far:] * x[:, :-far]], 1)
            far *= 2
        return x


def test_tiny_products_are_compared_too() -> None:
    torch.manual_seed(0)
    x = 0.99 + 0.02 * torch.rand(1, 2048, 1)
    network = ProductsOfSome()
    graph = prepare(from_exported(torch.export.export(network.eval(), (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).numpy(), rtol=1e-4)


class ShiftedSums(nn.Module):
    """Sums of the steps before each one."""

    def forward(self, x: Tensor) -> Tensor:
        return pad(doubling(torch.ones_like(x), x)[:, :-1], (0, 0, 1, 0))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_steps_that_are_zero_give_no_warning() -> None:
    assert "cumsum" in [node.op for node in prepared(ShiftedSums(), 16).nodes]
