# SPDX-License-Identifier: Apache-2.0
"""Selective scans are found in the forms in which people write them; float networks stay equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare

STEPS, WIDTH, STATES, HEADS = 5, 6, 4, 3
Read = Callable[[Tensor, Tensor], Tensor]


class Scan(nn.Module):
    """delta, B, C and x of one input; `form` makes decays and terms [batch, T, D, N]."""

    def __init__(
        self,
        form: Callable[..., tuple[Tensor, Tensor]],
        *,
        skip: bool = False,
        read: Read | None = None,
    ) -> None:
        super().__init__()
        self.form, self.read = form, read or (lambda h, c: (h * c[:, None]).sum(-1))
        self.dt, self.bc = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * STATES)
        self.a_log = nn.Parameter(torch.randn(WIDTH, STATES))
        self.d = nn.Parameter(torch.randn(WIDTH)) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        delta = softplus(self.dt(x))
        b, c = self.bc(x).split(STATES, -1)
        decay, term = self.form(delta, x, b, -torch.exp(self.a_log))
        h, ys = torch.zeros(x.shape[0], WIDTH, STATES), []
        for t in range(STEPS):
            h = decay[:, t] * h + term[:, t]
            ys.append(self.read(h, c[:, t]))
        y = torch.stack(ys, 1)
        return y if self.d is None else y + x * self.d


def mamba(delta: Tensor, x: Tensor, b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return torch.exp(delta[..., None] * a), delta[..., None] * b[:, :, None] * x[..., None]


def input_first(delta: Tensor, x: Tensor, b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return torch.exp(-(delta[..., None] * -a)), (delta * x)[..., None] * b[:, :, None]


def by_einsum(delta: Tensor, x: Tensor, b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    decay = torch.exp(torch.einsum("bld,dn->bldn", delta, a))
    return decay, torch.einsum("bld,bln,bld->bldn", delta, b, x)


def by_heads(delta: Tensor, x: Tensor, b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """One delta and one rate a head, as Mamba-2 has them."""
    each = delta[..., :HEADS].repeat_interleave(WIDTH // HEADS, -1)
    return mamba(each, x, b, a[:, :1].expand(WIDTH, STATES))


def growing(delta: Tensor, x: Tensor, b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return mamba(delta, x, b, -a)


def of_other_sign(delta: Tensor, x: Tensor, b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return mamba(delta - 1.0, x, b, a)


def without_delta(delta: Tensor, x: Tensor, b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return torch.exp(delta[..., None] * a), b[:, :, None] * x[..., None]


def by_matmul(h: Tensor, c: Tensor) -> Tensor:
    return (h @ c[:, :, None]).squeeze(-1)


def prepared(network: nn.Module, x: Tensor) -> Graph:
    """The network's graph, which computes what torch does."""
    graph = prepare(from_exported(torch.export.export(network, (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    return graph


@pytest.mark.parametrize(
    ("form", "batch"),
    [
        *((form, batch) for form in (mamba, input_first, by_heads) for batch in (1, 2)),
        (by_einsum, 1),
    ],
)
def test_a_selective_scan_is_one_operator(
    form: Callable[..., tuple[Tensor, Tensor]], batch: int
) -> None:
    torch.manual_seed(0)
    network = Scan(form).eval()
    ops = Counter(n.op for n in prepared(network, torch.randn(batch, STEPS, WIDTH)).nodes)
    assert (ops["selective_scan"], ops["scan"], ops["sum"]) == (1, 0, 0)
    assert ops["mul"] == 0


@pytest.mark.parametrize("batch", [1, 2])
def test_what_passes_by_the_states_is_part_of_it(batch: int) -> None:
    torch.manual_seed(0)
    network = Scan(mamba, skip=True).eval()
    ops = Counter(n.op for n in prepared(network, torch.randn(batch, STEPS, WIDTH)).nodes)
    assert (ops["selective_scan"], ops["add"], ops["affine"]) == (1, 0, 0)


def test_a_readout_may_be_a_matrix_product() -> None:
    torch.manual_seed(0)
    graph = prepared(Scan(mamba, read=by_matmul).eval(), torch.randn(1, STEPS, WIDTH))
    assert [node.op for node in graph.nodes].count("selective_scan") == 1


@pytest.mark.parametrize("form", [growing, of_other_sign, without_delta])
def test_other_recurrences_stay_scans(form: Callable[..., tuple[Tensor, Tensor]]) -> None:
    torch.manual_seed(0)
    graph = prepared(Scan(form).eval(), torch.randn(1, STEPS, WIDTH))
    assert [node.op for node in graph.nodes].count("scan") == 1
    assert all(node.op != "selective_scan" for node in graph.nodes)
