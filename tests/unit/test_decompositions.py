# SPDX-License-Identifier: Apache-2.0
"""Calls that torch writes out in others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from myoedge.errors import MyoedgeError
from myoedge.frontend.operator_table import IMPORT
from myoedge.frontend.torch.export import from_exported
from myoedge.frontend.torch.traced import WRITTEN_OUT
from tests.support.oracles.torch import Net, close, evaluated, seeded

pytestmark = pytest.mark.filterwarnings("ignore")
X = seeded(2, 6, 8)
PLACES = torch.tensor([0, 2])

CALLS: Mapping[str, Callable[[Tensor], Any]] = {
    "addcdiv": lambda x: torch.addcdiv(x, x, x.exp()),
    "addcmul": lambda x: torch.addcmul(x, x, x.tanh(), value=2),
    "addmv": lambda x: torch.addmv(x[0, :, 0], x[0], x[1, 0], beta=0.5),
    "addr": lambda x: torch.addr(x[0], x[0, :, 0], x[1, 0]),
    "atleast_1d": lambda x: torch.atleast_1d(x.sum()),
    "atleast_2d": lambda x: torch.atleast_2d(x[0, 0]) * 2,
    "atleast_3d": lambda x: torch.atleast_3d(x[0]) * 2,
    "broadcast_tensors": lambda x: torch.broadcast_tensors(x, x[:1])[1] * 2,
    "channel_shuffle": lambda x: F.channel_shuffle(x[:1], 2),
    "column_stack": lambda x: torch.column_stack([x[0], x[1]]) * 2,
    "count_nonzero": lambda x: torch.count_nonzero(x.relu(), -1).float(),
    "cross": lambda x: torch.cross(x[:, :3], x[:, 3:], 1),
    "deg2rad": lambda x: torch.deg2rad(x),
    "diag_embed": lambda x: torch.diag_embed(x[0]),
    "diff": lambda x: x.diff(),
    "dist": lambda x: torch.dist(x[0], x[1]),
    "dsplit": lambda x: x.dsplit(2)[1] * 2,
    "dstack": lambda x: torch.dstack([x, x * 2]),
    "fliplr": lambda x: x[0].fliplr() * 2,
    "flipud": lambda x: x.flipud() * 2,
    "hsplit": lambda x: x.hsplit(2)[1] * 2,
    "hstack": lambda x: torch.hstack([x, x * 2]),
    "huber_loss": lambda x: F.huber_loss(x, x * 2),
    "index_copy": lambda x: x.index_copy(1, PLACES, x[:, 3:5]),
    "index_fill": lambda x: x.index_fill(1, PLACES, 2.0),
    "inner": lambda x: torch.inner(x[0], x[1]),
    "kron": lambda x: torch.kron(x[0, :2, :2], x[1, :2, :2]),
    "ldexp": lambda x: torch.ldexp(x, torch.tensor([2])),
    "lerp": lambda x: torch.lerp(x, x.flip(1), 0.3),
    "linalg_cross": lambda x: torch.linalg.cross(x[:, :3], x[:, 3:], dim=1),
    "linalg_multi_dot": lambda x: torch.linalg.multi_dot([x[0], x[0].T, x[1]]),
    "linalg_vecdot": lambda x: torch.linalg.vecdot(x, x.flip(1)),
    "logaddexp": lambda x: torch.logaddexp(x, x.flip(1)),
    "logaddexp2": lambda x: torch.logaddexp2(x, x.flip(1)),
    "logit": lambda x: x.sigmoid().logit(1e-3),
    "meshgrid": lambda x: torch.meshgrid(x[0, 0], x[0, 1], indexing="ij")[0] * 2,
    "mse_loss": lambda x: F.mse_loss(x, x * 2),
    "nansum": lambda x: x.nansum(-1),
    "outer": lambda x: torch.outer(x[0, 0], x[0, 1]),
    "pairwise_distance": lambda x: F.pairwise_distance(x[0], x[1]),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.view(1, 12, 4, 2), 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "rad2deg": lambda x: torch.rad2deg(x),
    "renorm": lambda x: x.renorm(2, 0, 1.0),
    "rot90": lambda x: x.rot90(1, (1, 2)) * 2,
    "row_stack": lambda x: torch.row_stack([x, x * 2]),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, x * 2),
    "special_entr": lambda x: torch.special.entr(x.sigmoid()),
    "special_expit": lambda x: torch.special.expit(x),
    "special_logit": lambda x: torch.special.logit(x.sigmoid(), eps=1e-3),
    "sum_to_size": lambda x: x.sum_to_size(1, 6, 8),
    "tensordot": lambda x: torch.tensordot(x, x, ([2], [2])),
    "trapezoid": lambda x: torch.trapezoid(x),
    "unsafe_chunk": lambda x: torch.unsafe_chunk(x, 2, 1)[1] * 2,
    "unsafe_split": lambda x: torch.unsafe_split(x, 2, 1)[1] * 2,
    "unsafe_split_with_sizes": lambda x: torch.unsafe_split_with_sizes(x, [2, 4], 1)[1] * 2,
    "vsplit": lambda x: x.vsplit(2)[1] * 2,
    "vstack": lambda x: torch.vstack([x, x * 2]),
}


def test_every_call_has_a_network() -> None:
    assert {f"aten.{name}" for name in CALLS} == WRITTEN_OUT


def test_none_of_them_has_a_row() -> None:
    """It would never be read."""
    assert not WRITTEN_OUT & {name.rpartition(".")[0] for name in IMPORT}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_what_torch_makes_of_it(name: str) -> None:
    program = torch.export.export(Net(lambda net, x: CALLS[name](x)).eval(), (X,))
    assert f"aten.{name}" in {str(n.target).rpartition(".")[0] for n in program.graph.nodes}
    graph = from_exported(program)
    assert all(node.origin[0].source for node in graph.nodes)
    (found,) = evaluated(graph, [X.numpy()])
    close(found, CALLS[name](X).numpy(), 1e-4)


# Of a tensor without dimensions, 0 and -1 name that of a row of one element.
SINGLE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.sum(0, keepdim=True),
    "mean": lambda x: x.mean(-1),
    "amax": lambda x: x.amax(()) + x.amax(0),
    "max": lambda x: x.max(-1).values,
    "argmax": lambda x: x.argmax(0).float() + x,
    "argmin": lambda x: (x.argmin(-1, keepdim=True) == 0).float() * x,
    "topk": lambda x: x.topk(1, 0).values,
    "softmax": lambda x: x.softmax(-1) + x,
    "log_softmax": lambda x: x.log_softmax(0) + x,
    "logsumexp": lambda x: x.logsumexp(0),
    "cumsum": lambda x: x.cumsum(0),
    "cumprod": lambda x: x.cumprod(-1),
    "logcumsumexp": lambda x: x.logcumsumexp(0),
    "prod": lambda x: x.prod(0),
    "any": lambda x: (x > 0).any(0).float() + x,
    "norm": lambda x: x.norm(dim=0) + x.norm(p=1, dim=-1) + x.norm(),
    "normalize": lambda x: F.normalize(x, dim=0) + x,
    "std": lambda x: x.std(0, correction=0) + torch.std_mean(x, correction=0)[1],
    "movedim": lambda x: x.movedim(0, -1) * 2,
    "unfold": lambda x: x.unfold(0, 1, 1) * 2,
    "index_select": lambda x: x.index_select(0, torch.tensor([0])) * 2,
    "gather": lambda x: x.gather(0, torch.tensor(0)) * 2,
    "flip": lambda x: x.flip(0) + x.flip([]),
    "nansum": lambda x: torch.nansum(x, 0),
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_tensor_without_dimensions_has_those_of_a_row(name: str) -> None:
    single = seeded(1)[0]
    function = SINGLE[name]
    program = torch.export.export(Net(lambda net, x: function(torch.tanh(x))).eval(), (single,))
    (found,) = evaluated(from_exported(program), [single.numpy()])
    close(found, function(torch.tanh(single)).numpy(), 1e-4)


def test_what_it_is_written_out_in_may_be_refused() -> None:
    """By the name of the call, not by those that the user has not written."""
    program = torch.export.export(
        Net(lambda net, x: x.index_copy(1, x[0, :2, 0].argsort(), x[:, :2])).eval(), (X,)
    )
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert dict(caught.value.notice.facts)["found"].startswith("argsort, at")
