# SPDX-License-Identifier: Apache-2.0
"""Networks of PyTorch that are refused, what the refusal advises, and the networks that follow
the advice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import orthogonal

from tests.support.oracles.torch import Net, seeded

Module = nn.Module | Callable[..., Any]


@dataclass(frozen=True)
class Refused:
    """A refused network and the one that follows its refusal's advice.

    code       of the refusal          advice   in one of its tries
    inputs     of `network`; what it computes of them `followed` computes of `given`
    same       whether both compute the same; False where the advice asks for another network
    least_db   of the integers of `followed`; where steps of 8 bits are coarse less than usual
    """

    code: str
    advice: str
    network: nn.Module
    followed: nn.Module
    inputs: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    same: bool = True
    least_db: float = 25.0


X = seeded(1, 6, 16)
IMAGE = seeded(1, 2, 8, 8)
POSITIVE = X.abs() + 0.5
IDS = torch.tensor([[1, 4, 2], [0, 3, 3]])
MATRIX = seeded(4, 6)
PLACES = torch.tensor([0, 2, 4])
FEW = X > 1
FEW_PLACES = FEW.flatten().nonzero().flatten()


def refused(
    advice: str,
    network: Module,
    followed: Module,
    *inputs: Tensor,
    given: tuple[Tensor, ...] | None = None,
    code: str = "E111",
    **options: Any,
) -> Refused:
    """Functions become modules; without inputs they read X, and `followed` what `network` does."""
    read = inputs or (X,)
    modules = (_module(each).eval() for each in (network, followed))
    return Refused(code, advice, *modules, read, given or read, **options)


def _module(made: Module) -> nn.Module:
    if isinstance(made, nn.Module):
        return made
    return Net(lambda net, *xs: made(*xs))


def _masked(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, [0, 2], [3, 5]] = x[:, [1, 1], [1, 2]]
    return y


def _added(x: Tensor) -> Tensor:
    return x[0].index_put((torch.tensor([0, 2, 0]),), x[0, 3:], accumulate=True)


def _repeated_sort(x: Tensor) -> Tensor:
    x = x.tanh()
    for _ in range(40):
        x = x.sort(-1)[0]
    return x


class Weights(nn.Module):
    """A layer whose weight a parametrization computes by an operator that is not supported."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = orthogonal(nn.Linear(16, 16), orthogonal_map="cayley")

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def without_parametrizations() -> nn.Module:
    """The lines of the advice."""
    model = Weights().eval()
    for layer in filter(parametrize.is_parametrized, [*model.modules()]):
        for name in [*layer.parametrizations]:
            parametrize.remove_parametrizations(layer, name)
    return model


class Cache(nn.Module):
    """Attends to the frames so far, which it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(1, 8, 16))

    def forward(self, x: Tensor) -> Tensor:
        self.keys.copy_(torch.cat([self.keys[:, 1:], x], 1))
        return F.scaled_dot_product_attention(x, self.keys, self.keys)


def _with_state(x: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    keys = torch.cat([keys[:, 1:], x], 1)
    return F.scaled_dot_product_attention(x, keys, keys), keys


def _inverse(x: Tensor, window: Tensor) -> Tensor:
    spectrum = torch.stft(x, 16, 4, window=torch.hann_window(16), return_complex=True)
    return torch.istft(spectrum, 16, 4, window=window)


GRID = torch.stack(
    torch.meshgrid(torch.linspace(-0.8, 0.9, 4), torch.linspace(-1, 0.7, 5), indexing="ij"), -1
)[None]


def _sampled(x: Tensor) -> Tensor:
    return F.grid_sample(x, GRID, align_corners=False)


def _by_matrix(x: Tensor) -> Tensor:
    matrix = F.grid_sample(torch.eye(64).view(1, -1, 8, 8), GRID, align_corners=False)
    return (x.flatten(2) @ matrix.view(64, -1)).view(1, 2, 4, 5)


def _folded(x: Tensor) -> Tensor:
    return F.fold(x, (8, 8), 3)


def _by_transposed(x: Tensor) -> Tensor:
    taps = torch.eye(18).view(18, 2, 3, 3)
    return F.conv_transpose2d(x.view(1, 18, 6, 6), taps)


def _two_masks(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    hidden = (1 - first) * -1e4 + (1 - second) * -1e4
    return (x @ x.mT / 4.0 + hidden).softmax(-1) @ x


HIDDEN = torch.ones(6, 6, dtype=torch.bool).triu(1) | (torch.arange(6) < 2)
ATTENDED = HIDDEN & ~torch.eye(6, dtype=torch.bool)
SWITCHED = torch.where(torch.ones(6, 6).triu(1) > 0, 1e4, -1e4)
SEEN = (torch.arange(6) % 3 < 2).float()
TABLE = nn.Embedding(5, 4)
NUMBERED = seeded(5, 4, seed=5)
BAG = nn.EmbeddingBag(5, 4, _weight=TABLE.weight.detach().clone())


REFUSED: Mapping[str, Refused] = {
    # calls that have no row
    "embedding_bag": refused(
        "use nn.Embedding, and the sum, mean or amax over the ids",
        BAG,
        lambda ids: F.embedding(ids, BAG.weight).mean(1),
        IDS,
    ),
    "upsample": refused(
        "use F.interpolate without antialias=True, or avg_pool before it",
        lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True),
        lambda x: F.interpolate(F.avg_pool2d(x, 2), size=(4, 4), mode="bilinear"),
        IMAGE,
        same=False,
    ),
    "cdist": refused(
        "use (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1).sqrt()",
        lambda x: torch.cdist(x, x.flip(1)),
        lambda x: (x.unsqueeze(-2) - x.flip(1).unsqueeze(-3)).square().sum(-1).sqrt(),
    ),
    "padding alone": refused(
        "the padding alone: torch.full(shape, value)",
        lambda x: F.pad(x[..., :1], (1, -1), value=0.5) + x[..., 1:2],
        lambda x: torch.full((1, 6, 1), 0.5) + x[..., 1:2],
    ),
    "grid_sample": refused(
        "for a constant grid a product with the matrix of its weights", _sampled, _by_matrix, IMAGE
    ),
    "fold": refused(
        "use F.conv_transpose2d with the weights torch.eye(taps).view(taps, channels, h, w)",
        _folded,
        _by_transposed,
        seeded(1, 18, 36),
    ),
    "sparse": refused(
        "use dense tensors: to_dense() before the export",
        lambda x: torch.sparse.mm(MATRIX.to_sparse(), x[0]),
        lambda x: MATRIX @ x[0],
    ),
    "cond": refused(
        "use torch.where(condition, first, second) of both branches",
        lambda x: torch.cond(x.sum() > 0, lambda a: a * 2, lambda a: a * 3, (x,)),
        lambda x: torch.where(x.sum() > 0, x * 2, x * 3),
    ),
    "while": refused(
        "use a loop over range(n), n a number, which export unrolls",
        lambda x: torch.while_loop(
            lambda i, a: i < 3, lambda i, a: (i + 1, a.tanh()), (torch.tensor(0), x)
        )[1],
        lambda x: x.tanh().tanh().tanh(),
    ),
    "rand": refused(
        "use a network input for the random values, or leave them out",
        lambda x: x + torch.randn_like(x),
        lambda x, noise: x + noise,
        given=(X, seeded(1, 6, 16, seed=4)),
        same=False,
    ),
    "linalg": refused(
        "use a network input for it, computed on the host",
        lambda x: torch.linalg.inv(x[..., :6]) @ x,
        lambda x, inverse: inverse @ x,
        given=(X, torch.linalg.inv(X[..., :6])),
    ),
    "sort": refused(
        "use its input as a network output, and do this step on the host",
        lambda x: x.tanh().sort(-1)[0],
        lambda x: x.tanh(),
        same=False,
    ),
    "forty": refused(
        "use its input as a network output", _repeated_sort, lambda x: x.tanh(), same=False
    ),
    "other": refused(
        "rewrite cummax with supported operators, or move it to the host",
        lambda x: x[..., :3].cummax(-1)[0],
        lambda x: torch.stack([x[..., : i + 1].amax(-1) for i in range(3)], -1),
    ),
    # uses of calls that have one
    "table": refused(
        "use F.one_hot(ids, len(table)).float() @ table for a table that is computed",
        lambda ids, table: F.embedding(ids, table.tanh()),
        lambda ids, table: F.one_hot(ids, len(table)).float() @ table.tanh(),
        IDS,
        seeded(5, 4),
    ),
    "stft": refused(
        "use n_fft of at most 2,048 samples",
        lambda x: torch.stft(x, 4096, window=torch.ones(4096), return_complex=True).abs(),
        lambda x: torch.stft(x, 64, window=torch.ones(64), return_complex=True).abs(),
        seeded(1, 2100),
        given=(seeded(1, 128),),
        same=False,
    ),
    "window": refused(
        "and a window that is a buffer of the module",
        lambda x: torch.stft(x[0], 4, window=x[0, 0, :4], center=False, return_complex=True).abs(),
        lambda x: torch.stft(x[0], 4, window=X[0, 0, :4], center=False, return_complex=True).abs(),
    ),
    "inverse window": refused(
        "and a window that is a buffer of the module",
        lambda x, window: _inverse(x, window.abs()),
        lambda x, window: _inverse(x * window.mean(), torch.hann_window(16)),
        seeded(1, 64),
        seeded(16, seed=1),
        same=False,
    ),
    "fft": refused(
        "use n with small factors, up to 32,768, by appending zeros",
        lambda x: torch.fft.rfft(x).abs(),
        lambda x: torch.fft.rfft(x, 8192).abs(),
        seeded(1, 5003),
        same=False,
    ),
    "where": refused(
        "use the tensor's own extreme, torch.where(mask, x.amax(), x), if no softmax",
        lambda x: torch.where(x > 0, x, torch.inf).amin(-1),
        lambda x: torch.where(x > 0, x, x.amax()).amin(-1),
        least_db=20.0,
    ),
    "masked_fill": refused(
        "use the tensor's own extreme, torch.where(mask, x.amax(), x), if no softmax",
        lambda x: x.masked_fill(x > 0, torch.inf).clamp(max=0.0),
        lambda x: torch.where(x > 0, x.amax(), x).clamp(max=0.0),
    ),
    "scatter": refused(
        "use cat or stack of the parts instead of writing into a slice",
        lambda x: x.scatter(1, torch.zeros(1, 1, 16, dtype=torch.long), x[:, 1:2] * 2),
        lambda x: torch.cat([x[:, 1:2] * 2, x[:, 1:]], 1),
    ),
    "scatter of one": refused(
        "torch.where(F.one_hot(index, n) == 1, value, x)",
        lambda x: x.scatter(-1, x.argmax(-1, keepdim=True), 0.5),
        lambda x: torch.where(F.one_hot(x.argmax(-1), 16) == 1, 0.5, x),
    ),
    "scatter_add": refused(
        "use x + values @ F.one_hot(index, n).float()",
        lambda x: x.scatter_add(-1, PLACES.expand(1, 6, 3), x[..., :3]),
        lambda x: x + x[..., :3] @ F.one_hot(PLACES, 16).float(),
    ),
    "diagonal_scatter": refused(
        "use torch.where(torch.eye(n, dtype=torch.bool), values.unsqueeze(-1), x)",
        lambda x: torch.diagonal_scatter(x[0, :, :6], x[0, :, 9]),
        lambda x: torch.where(
            torch.eye(6, dtype=torch.bool), x[0, :, 9].unsqueeze(-1), x[0, :, :6]
        ),
    ),
    "complex": refused(
        "compute with x.real, x.imag, x.abs(), x.angle() or torch.view_as_real(x) instead",
        lambda x: torch.fft.rfft(x),
        lambda x: torch.view_as_real(torch.fft.rfft(x)),
        same=False,
    ),
    "complex product": refused(
        "compute with x.real, x.imag, x.abs()",
        lambda x: torch.fft.rfft(x[..., :4]).prod(-1).abs(),
        lambda x: torch.fft.rfft(x[..., :4]).abs().prod(-1),
    ),
    "lists apart": refused(
        "bring the axes side by side first: x.movedim(2, 1)[[0, 1], [2, 3]]",
        lambda x: x[[0, 1], :, [2, 3]],
        lambda x: x.movedim(2, 1)[[0, 1], [2, 3]],
        seeded(2, 3, 4),
    ),
    "padding": refused(
        'pad with edge values, F.pad(x, (1, 1), mode="replicate")',
        lambda x: torch.maximum(
            *(F.pad(x - 20.0, at, value=-torch.inf) for at in ((1, 0), (0, 1)))
        ),
        lambda x: torch.maximum(
            *(F.pad(x - 20.0, at, mode="replicate") for at in ((1, 0), (0, 1)))
        ),
        code="E112",
    ),
    "accumulate": refused(
        "add by a product: x + F.one_hot(index, n).float().T @ values, index a constant",
        _added,
        lambda x: x[0] + F.one_hot(torch.tensor([0, 2, 0]), 6).float().T @ x[0, 3:],
    ),
    "places": refused(
        "write torch.where(mask, values, x)",
        _masked,
        lambda x: torch.where(
            torch.zeros(6, 16).index_put(
                (torch.tensor([0, 2]), torch.tensor([3, 5])), torch.tensor(1.0)
            )
            > 0,
            F.pad(x[:, 1:2, 1:2], (3, 12, 0, 5)) + F.pad(x[:, 1:2, 2:3], (5, 10, 2, 3)),
            x,
        ),
    ),
    "computed weight": refused(
        'use torch.einsum("nclk,ock->nol", x.unfold(2, 3, 1), weight)',
        lambda x, w: F.conv1d(x, w.tanh()),
        lambda x, w: torch.einsum("nclk,ock->nol", x.unfold(2, 3, 1), w.tanh()),
        X,
        seeded(4, 6, 3),
    ),
    "indices": refused(
        "take them by argmax over windows, x.unfold(-1, 2, 2).argmax(-1) for pooling by 2",
        lambda x: F.max_pool1d(x, 2, return_indices=True)[1] - 2 * torch.arange(8),
        lambda x: x.unfold(-1, 2, 2).argmax(-1),
        least_db=22.0,  # two of 384 choose among neighbours that are equal in 8 bits
    ),
    "topk": refused(
        "move it to the host, after the network",
        lambda x: x.topk(9)[0],
        lambda x: x.topk(8)[0],
        same=False,
    ),
    "eps": refused(
        "use eps=0.0001",
        lambda x: F.cosine_similarity(x, x.flip(1), eps=0.1),
        lambda x: F.cosine_similarity(x, x.flip(1), eps=0.0001),
    ),
    "cut": refused(
        "use x.floor(), x.trunc() or x.round(), which stay floats",
        lambda x: x.int().float() * 0.5,
        lambda x: x.trunc() * 0.5,
        10 * X,
        least_db=15.0,
    ),
    "whole numbers": refused(
        "compute with floats",
        lambda x: torch.zeros_like(x, dtype=torch.int64) + x.tanh(),
        lambda x: torch.zeros_like(x) + x.tanh(),
    ),
    "ids as numbers": refused(
        "a float32 input, in addition to the ids, for arithmetic on their values",
        lambda ids: F.embedding(ids, NUMBERED) * ids[..., None].float(),
        lambda ids, numbers: F.embedding(ids, NUMBERED) * numbers[..., None],
        IDS,
        given=(IDS, IDS.float()),
    ),
    "sums as numbers": refused(
        "a float32 input, in addition to the ids, for arithmetic on their values",
        lambda ids: F.embedding(ids, NUMBERED).sum(1) * ids.sum(1, keepdim=True),
        lambda ids, numbers: F.embedding(ids, NUMBERED).sum(1) * numbers.sum(1, keepdim=True),
        IDS,
        given=(IDS, IDS.float()),
    ),
    "computed ids": refused(
        "use an input of integers for indices, an argmax, or sums, products, quotients",
        lambda ids: F.embedding(ids.amax(1), NUMBERED) * 2,
        lambda ids, largest: F.embedding(largest, NUMBERED) * 2,
        IDS,
        given=(IDS, IDS.amax(1)),
    ),
    "power": refused(
        "use (exponent * x.log()).exp(), x being positive",
        lambda x: x ** x.flip(1),
        lambda x: (x.flip(1) * x.log()).exp(),
        POSITIVE,
    ),
    "batch statistics": refused(
        "use BatchNorm with running statistics, or InstanceNorm, which it is for a batch of one",
        nn.BatchNorm1d(6, track_running_stats=False),
        nn.InstanceNorm1d(6, affine=True),
    ),
    "no key": refused(
        "leave every query a key, as its own frame",
        lambda x: F.scaled_dot_product_attention(x, x, x, ~HIDDEN),
        lambda x: F.scaled_dot_product_attention(x, x, x, ~ATTENDED),
        same=False,
    ),
    "masks by ones and zeros": refused(
        "use two masks, each 1 for a visible key",
        lambda x, kept: (x @ x.mT / 4.0 + kept * SWITCHED).softmax(-1) @ x,
        _two_masks,
        X,
        SEEN,
        given=(X, SEEN, SEEN.flip(0)),
        same=False,
    ),
    "einsum": refused(
        "expand the operands first, x.expand(2, -1, -1)",
        lambda x: torch.einsum("bij,bjk->bik", x[:1], x.mT),
        lambda x: torch.einsum("bij,bjk->bik", x[:1].expand(2, -1, -1), x.mT),
        seeded(2, 3, 4),
    ),
    "parametrization": refused(
        "from torch.nn.utils import parametrize", Weights(), without_parametrizations()
    ),
    # other codes
    "dynamic": refused(
        "keep the shape: x * mask",
        lambda x: x[x > 0].sum(),
        lambda x: (x * (x > 0)).sum(),
        code="E110",
    ),
    "constant mask": refused(
        "and read x[..., self.kept]",
        lambda x: x[..., torch.arange(16) % 3 == 0] * 2,
        lambda x: x[..., torch.arange(0, 16, 3)] * 2,
        code="E110",
    ),
    "constant mask of all axes": refused(
        "or x.flatten()[self.kept]",
        lambda x: torch.masked_select(x, FEW) * 2,
        lambda x: x.flatten()[FEW_PLACES] * 2,
        code="E110",
    ),
    "state": refused(
        "return the new state as an output and take the old one as an input",
        Cache(),
        _with_state,
        seeded(1, 1, 16),
        given=(seeded(1, 1, 16), seeded(1, 8, 16, seed=2)),
        code="E114",
        same=False,
    ),
    "cache": refused(
        "export without the cache, over the whole window",
        Cache(),
        lambda x: F.scaled_dot_product_attention(x[:, -1:], x, x),
        seeded(1, 1, 16),
        given=(seeded(1, 8, 16),),
        code="E114",
        same=False,
    ),
    "constant": refused(
        "leave it out of what forward() returns",
        lambda x: (x.tanh(), torch.arange(4)),
        lambda x: x.tanh(),
        code="E115",
        same=False,
    ),
    "type": refused(
        "export with an example input of torch.int64 or torch.float32 for",
        lambda x: x.float().tanh(),
        lambda x: x.tanh(),
        torch.ones(2, 3).to(torch.uint16),
        given=(torch.ones(2, 3),),
        code="E116",
    ),
    "filled maximum": refused(
        "fill with the minimum: torch.where(mask, x.amin(), x)",
        lambda x: (x - 20.0 + torch.zeros(6, 16).masked_fill(HIDDEN[:, 2:3], -torch.inf)).amax(1),
        lambda x: torch.where(HIDDEN[:, 2:3], (x - 20.0).amin(), x - 20.0).amax(1),
        code="E112",
    ),
    "filled sum": refused(
        "multiply by a mask of zeros and ones for a sum or a mean",
        lambda x: (x + torch.zeros(6, 16).masked_fill(HIDDEN[:, 2:3], -torch.inf)).exp().sum(1),
        lambda x: (x.exp() * ~HIDDEN[:, 2:3]).sum(1),
        code="E112",
        same=False,
    ),
}
