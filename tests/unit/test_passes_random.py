# SPDX-License-Identifier: Apache-2.0
"""Random networks compute the same before and after the passes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    channels_first,
    channels_last,
    concat,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.interpreter import run_float
from myoedge.operators.library.reductions import adaptive, regular
from myoedge.passes import prepare
from tests.conftest import thinned
from tests.support.each import each
from tests.support.oracles.conv_attributes import attributes
from tests.support.oracles.torch import agrees, randomized, seeded

RELU = (("clamp", 0.0, math.inf),)


def weights(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32) / math.sqrt(math.prod(shape[1:]) or 1)


def convolution(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    """[N, C, *S] channels first, as the importer writes it."""
    rank = len(d.shape(x))
    spatial, channels = d.shape(x)[2:], d.shape(x)[1]
    kernel = [int(rng.integers(1, min(n, 3) + 1)) for n in spatial]
    groups = channels if rng.random() < 0.2 else 1
    out = channels if groups > 1 or rng.random() < 0.5 else int(rng.integers(1, 7))
    attrs = attributes(rank - 2) | {
        "groups": groups,
        "pads": tuple((int(rng.integers(0, k)), int(rng.integers(0, k))) for k in kernel),
        "stride": tuple(int(rng.integers(1, 3)) for _ in kernel),
    }
    w = d.constant(weights(rng, out, *kernel, channels // groups))
    bias = [d.constant(weights(rng, out))] if rng.random() < 0.7 else []
    return channels_first(d, d.add("conv", transpose(d, x, channels_last(rank)), w, *bias, **attrs))


def pooling(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    rank = len(d.shape(x))
    op = str(rng.choice(["max_pool", "avg_pool"]))
    spatial = d.shape(x)[2:]
    if rng.random() < 0.3:
        windows = [adaptive(n, int(rng.integers(1, n + 1))) for n in spatial]
    else:
        count = bool(rng.integers(2))
        windows = [
            regular(n, min(n, 2), 2, 0, ceil=bool(rng.integers(2)), count_pad=count)
            for n in spatial
        ]
    y = d.add(op, transpose(d, x, channels_last(rank)), windows=tuple(windows))
    return channels_first(d, y)


def norm(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    n = d.shape(x)[1]
    return d.add(
        "affine", x, d.constant(weights(rng, n, 1)[:, 0]), d.constant(weights(rng, n)), axis=1
    )


CHAINS = (
    RELU,
    (("clamp", 0.0, 6.0),),
    (("tanh",),),
    (("gelu",),),
    (("affine", -0.7, 0.3),),
    (("abs",),),
)


def activation(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    return d.add("table", x, chain=CHAINS[rng.integers(len(CHAINS))])


def slopes(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    return d.add("prelu", x, d.constant(weights(rng, d.shape(x)[1])), axis=1)


def turned(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    return transpose(d, x, [int(i) for i in rng.permutation(len(d.shape(x)))])


def reshaped(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    """Axes merged, split or padded with ones, back to three or four of them."""
    shape = [n for n in d.shape(x) if n != 1] or [1]
    while len(shape) > 2 and (len(shape) > 4 or rng.random() < 0.6):
        at = int(rng.integers(len(shape) - 1))
        shape[at : at + 2] = [shape[at] * shape[at + 1]]
    at = int(rng.integers(len(shape)))
    if shape[at] % 2 == 0 and rng.random() < 0.5:
        shape[at : at + 1] = [2, shape[at] // 2] if rng.random() < 0.5 else [shape[at] // 2, 2]
    while len(shape) < 3 + int(rng.integers(2)):
        shape.insert(int(rng.integers(len(shape) + 1)), 1)
    return reshape(d, x, shape) if len(shape) < 5 else x


def with_constant(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    shape = [n if rng.random() < 0.5 else 1 for n in d.shape(x)]
    c = d.constant(rng.normal(size=shape[int(rng.integers(len(shape))) :]))
    pair = (x, c) if rng.random() < 0.5 else (c, x)
    return d.add(str(rng.choice(["add", "sub", "mul"])), *pair)


def cut(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    axis = int(rng.integers(len(d.shape(x))))
    n = d.shape(x)[axis]
    return slice_axis(d, x, axis, int(rng.integers(0, (n + 1) // 2)), n, int(rng.integers(1, 3)))


def padded(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    pads = tuple((int(rng.integers(0, 2)), int(rng.integers(0, 2))) for _ in d.shape(x))
    if rng.random() < 0.5:
        pads = ((0, 0), (0, 0), *pads[2:])
    return d.add("pad", x, pads=pads, value=float(rng.choice([0.0, 0.5])))


def reduced(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    rank = len(d.shape(x))
    axes = tuple(
        sorted(int(i) for i in rng.choice(rank, size=int(rng.integers(1, rank)), replace=False))
    )
    return d.add(str(rng.choice(["mean", "sum"])), x, axes=axes, keepdim=True)


def softened(d: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    return d.add("softmax", x, axis=int(rng.integers(len(d.shape(x)))))


LAYERS = (
    convolution, convolution, convolution, pooling, norm, norm, activation, activation, slopes,
    turned, turned, reshaped, with_constant, cut, padded, reduced, softened,
)  # fmt: skip


def joined(d: GraphBuilder, rng: np.random.Generator, x: str, made: Sequence[str]) -> str:
    """x with an earlier tensor: added where shapes agree, concatenated where one axis differs."""
    for y in (made[i] for i in rng.permutation(len(made))):
        a, b = d.shape(x), d.shape(y)
        if a == b and rng.random() < 0.7:
            return d.add(str(rng.choice(["add", "sub", "mul"])), x, y)
        differ = [i for i in range(len(a)) if len(a) == len(b) and a[i] != b[i]]
        if len(a) == len(b) and len(differ) <= 1:
            return concat(d, [x, y], differ[0] if differ else int(rng.integers(len(a))))
    return x


def random_graph(seed: int) -> Graph:
    """2 to 14 layers; every tensor may be read again later, some are outputs as well."""
    rng, d = np.random.default_rng(seed), GraphBuilder()
    shape = [int(n) for n in rng.integers(1, 9, size=rng.integers(3, 5))]
    made = [d.input("x", shape)]
    for index in range(int(rng.integers(2, 15))):
        d.stem = f"layer{index}"
        x = made[-1] if rng.random() < 0.75 else str(rng.choice(made))
        if rng.random() < 0.25:
            y = joined(d, rng, x, made)
        else:
            y = LAYERS[rng.integers(len(LAYERS))](d, rng, x)
        if math.prod(d.shape(y)) < 20_000:
            made.append(y)
    outputs = [made[-1], *(name for name in made[1:-1] if rng.random() < 0.1)]
    return d.build(outputs, [f"output{i}" for i in range(len(outputs))])


def same_values(graph: Graph, after: Graph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = {name: rng.normal(size=graph.shape(name)).astype(np.float32) for name in graph.inputs}
    old, new = run_float(graph, inputs), run_float(after, inputs)
    for a, b in zip(graph.outputs, after.outputs, strict=True):
        largest = float(np.abs(old[a]).max(initial=1e-3))
        assert old[a].shape == new[b].shape
        np.testing.assert_allclose(new[b], old[a], rtol=1e-4, atol=1e-4 * largest)


@pytest.mark.parametrize(
    "block", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 12))]
)
def test_random_networks_compute_the_same(block: int) -> None:
    for seed in range(block * 50, (block + 1) * 50):
        graph = random_graph(seed)
        after = prepare(graph)
        assert after.digest == prepare(graph).digest
        same_values(graph, after, seed)
        same_values(graph, prepare(after), seed)


@each("seed", range(40))
def test_transposes_of_any_order_come_to_an_end(seed: int) -> None:
    """Sandwiches of rank 3, where channels first and last are each other's square."""
    rng, d = np.random.default_rng(seed), GraphBuilder()
    made = [d.input("x", (3, 3, 3))]
    for index in range(25):
        d.stem = f"t{index}"
        x, other = made[-1], str(rng.choice(made))
        kind = rng.integers(5)
        if kind < 2:
            made.append(turned(d, rng, x))
        elif kind == 2:
            made.append(d.add(str(rng.choice(["add", "mul"])), x, turned(d, rng, other)))
        elif kind == 3:
            made.append(channels_first(d, d.add("table", x, chain=(("tanh",),))))
        else:
            made.append(slice_axis(d, concat(d, [x, channels_first(d, other)], 1), 1, 1, 4))
    graph = d.build([made[-1], made[-3]], ["a", "b"])
    same_values(graph, prepare(graph), seed)


class Branches(nn.Module):
    """Random layers on [N, 4, T], each followed by a sum or a concat with what came before."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.joins = self.rng.integers(3, size=8).tolist()
        self.layers = nn.ModuleList(self._layer() for _ in self.joins)
        self.narrow = nn.Conv1d(8, 4, 1)

    def _layer(self) -> nn.Module:
        dilation, drawn = int(self.rng.integers(1, 4)), int(self.rng.integers(7))
        conv = nn.Conv1d(4, 4, 3, padding=dilation, dilation=dilation, groups=1 + drawn % 2 * 3)
        tails = (
            nn.ReLU(),
            nn.GELU(),
            nn.PReLU(4),
            nn.Hardswish(),
            nn.Identity(),
            nn.ELU(),
            nn.GLU(1),
        )
        if drawn == 6:
            return nn.Sequential(nn.Conv1d(4, 8, 1), nn.BatchNorm1d(8), tails[drawn])
        return nn.Sequential(conv, nn.BatchNorm1d(4), tails[drawn], nn.MaxPool1d(3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for join, layer in zip(self.joins, self.layers, strict=True):
            y = layer(x)
            x = (y, x + y, self.narrow(torch.cat([x, y], 1)))[join]
        return x.mean(2), x.transpose(1, 2).flatten(1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", thinned(range(20), 3))
def test_random_torch_networks_compute_the_same(seed: int) -> None:
    agrees(randomized(Branches(seed)), seeded(1 + seed % 3, 4, 15), tolerance=1e-4)
