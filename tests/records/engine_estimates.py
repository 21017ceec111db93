# SPDX-License-Identifier: Apache-2.0
"""Drawn layers on NE16, on the cores and where `auto` puts them: simulated and estimated cycles.

python -m tests.records.engine_estimates [fitted]   how near estimates are, of layers that judge, or
                                            of those that costs were fitted to
python -m tests.records.engine_estimates --record   both, kept in fixtures/engine_estimates.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import myoedge
from tests.conftest import ROOT, save_exported
from tests.records import drawn_layers
from tests.records.drawn_layers import Drawn
from tests.support.networks.layers import Function, Rng, pick

RECORDED = ROOT / "tests" / "fixtures" / "engine_estimates.json"
SEEDS = {"fitted": 1, "held out": 2}
LAYERS = 60  # of a seed
ENGINES = ("cores", "ne16", "auto")
MOST_MACS = 3e6  # of a layer, so that all are simulated in minutes
LEAST_CYCLES = 3000  # of a kernel whose estimate counts
MOST_SLOWER, FEW_CYCLES = 1.1, 500  # `auto` than the better engine


@dataclass(frozen=True)
class Case:
    """A layer, the types of its activations, and the L1 that it may take."""

    drawn: Drawn
    config: str
    l1: str | None


def convolution(rng: Rng) -> Drawn:
    """Of one dimension or of two, of any stride, dilation and number of groups."""
    rank, groups = pick(rng, 1, 2), pick(rng, 1, 1, 2, 4, 8)
    c, k = groups * pick(rng, 1, 2, 3, 4, 8, 12, 16), groups * pick(rng, 1, 2, 4, 5, 8, 16)
    most = 12 if rank == 1 else 5
    kernel = [int(n) for n in rng.integers(1, most + 1, rank)]
    stride, dilation = ([pick(rng, 1, 1, 1, 2, 3) for _ in range(rank)] for _ in range(2))
    padding = [int(rng.integers(0, n)) for n in kernel]
    if rank == 2 and rng.random() < 0.3:
        kernel, stride, dilation, padding = ([n, n] for n in (3, 1, 1, 1))
    least = [(n - 1) * d + 1 for n, d in zip(kernel, dilation, strict=True)]
    size = [n + int(rng.integers(4, 300 if rank == 1 else 24)) for n in least]
    made = (nn.Conv1d, nn.Conv2d)[rank - 1]
    layer = made(c, k, kernel, stride, padding, dilation, groups)  # type: ignore[arg-type]
    return Drawn(layer, (1, c, *size))


def depthwise(rng: Rng) -> Drawn:
    """Of one dimension or of two, with one result of each channel or two."""
    rank, c = pick(rng, 1, 2), int(rng.integers(8, 130))
    kernel = [pick(rng, 3, 3, 2, 5, 9) if rank == 1 else pick(rng, 3, 3, 1, 5) for _ in range(rank)]
    stride, dilation = ([pick(rng, 1, 1, 2, 3) for _ in range(rank)] for _ in range(2))
    padding = [int(rng.integers(0, n)) for n in kernel]
    least = [(n - 1) * d + 1 for n, d in zip(kernel, dilation, strict=True)]
    size = [n + int(rng.integers(2, 200 if rank == 1 else 20)) for n in least]
    made, many = (nn.Conv1d, nn.Conv2d)[rank - 1], c * pick(rng, 1, 1, 1, 2)
    layer = made(c, many, kernel, stride, padding, dilation, c)  # type: ignore[arg-type]
    return Drawn(layer, (1, c, *size))


def transposed(rng: Rng) -> Drawn:
    rank, groups = pick(rng, 1, 2), pick(rng, 1, 1, 1, 2)
    c, k = groups * pick(rng, 4, 8, 16, 24), groups * pick(rng, 3, 8, 16, 32)
    kernel = [pick(rng, 2, 3, 4, 5) for _ in range(rank)]
    stride = [pick(rng, 1, 2, 2, 3) for _ in range(rank)]
    padding = [int(rng.integers(0, n // 2 + 1)) for n in kernel]
    size = [int(rng.integers(5, 100 if rank == 1 else 16)) for _ in range(rank)]
    made = (nn.ConvTranspose1d, nn.ConvTranspose2d)[rank - 1]
    layer = made(c, k, kernel, stride, padding, groups=groups)  # type: ignore[arg-type]
    return Drawn(layer, (1, c, *size))


def rows(rng: Rng) -> Drawn:
    """Of a linear layer."""
    c, k = (int(n) for n in rng.integers(4, 260, 2))
    return Drawn(nn.Linear(c, k), (pick(rng, 1, 1, 2, 8, 9, 16, 30, 64, 100), c))


def products(rng: Rng) -> Drawn:
    """Of two tensors, of rows or of columns."""
    heads, m, c = pick(rng, 1, 2, 4, 8), int(rng.integers(4, 80)), 4 * int(rng.integers(1, 20))
    kinds = (lambda a, b: a @ b.mT, lambda a, b: a.mT @ b)
    return Drawn(Function(kinds[pick(rng, 0, 1)]), (heads, m, c), inputs=2)


def attention(rng: Rng) -> Drawn:
    heads, width = pick(rng, 1, 2, 4, 8), pick(rng, 8, 12, 16, 24, 32, 64)
    width = min(width, 128 // heads)
    tokens, c = int(rng.integers(10, 121)), heads * width
    return Drawn(drawn_layers.Attention(c, heads), (1, tokens, c))


FAMILIES: Sequence[Callable[[Rng], Drawn]] = (
    *(convolution, convolution, convolution, depthwise, depthwise, transposed, rows, rows),
    *(products, attention, attention, drawn_layers.pool),
)


def case(seed: int, index: int) -> Case:
    """The drawn layer of an index, of the families in turn."""
    rng, draw = np.random.default_rng((seed, index)), FAMILIES[index % len(FAMILIES)]
    torch.manual_seed(index)
    drawn = draw(rng)
    while _work(drawn) > MOST_MACS:
        drawn = draw(rng)
    config = '[quant]\n"*" = { activations = 16 }\n' if rng.random() < 0.25 else ""
    l1 = (None, None, "24KiB", "32KiB", "48KiB", "64KiB")[int(rng.integers(6))]
    return Case(drawn, config, l1)


def _work(drawn: Drawn) -> float:
    """About how many multiply-accumulates a layer takes."""
    elements = int(np.prod(drawn.shape))
    if drawn.inputs > 1:
        return elements * max(drawn.shape)
    weights = sum(x.numel() for x in drawn.module.parameters())
    channels = drawn.shape[-1 if len(drawn.shape) == 2 else 1]
    attended = elements * drawn.shape[1] if isinstance(drawn.module, drawn_layers.Attention) else 0
    return elements / channels * weights + attended


@dataclass(frozen=True)
class Taken:
    """Simulated cycles of an inference, and (kernel, estimated, simulated cycles) of its layers."""

    cycles: int
    layers: tuple[tuple[str, float, int], ...]


def ran(given: Case, folder: Path, engine: str) -> Taken:
    """What an engine takes. Errors: E401 where the chip's integers are not the reference's."""
    folder.mkdir()
    torch.manual_seed(0)
    drawn = given.drawn
    zeros = (torch.zeros(drawn.shape),) * drawn.inputs
    model = save_exported(drawn.module.eval(), zeros, folder / "model.pt2")
    shape = (drawn.inputs, 2, *drawn.shape)
    calib = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    fed = {f"xs_{i}": x for i, x in enumerate(calib)} if drawn.inputs > 1 else calib[0]
    config = folder / "myoedge.toml"
    config.write_text(given.config)
    build = myoedge.build(
        *(model,), calib=fed, output=folder / "out", config=config, holdout=0.0, engine=engine,
        l1=given.l1, simulate=True,
    )  # fmt: skip
    steps = json.loads((build.folder / "plan.json").read_text())["steps"]
    found = (
        (step["tiles"]["kernel"], row["cycles_modelled"], row["cycles"])
        for step, row in zip(steps, build.report["layers"], strict=True)
    )
    return Taken(build.report["cycles"]["total"], tuple(found))


@dataclass(frozen=True)
class Judged:
    """A layer's cycles with `auto`, those on the better engine, and estimated by simulated cycles
    of its kernels on either."""

    auto: int
    best: int
    ratios: Mapping[str, float]

    @property
    def is_slower(self) -> bool:
        return self.auto > MOST_SLOWER * self.best + FEW_CYCLES


def judged(seed: int, index: int) -> Judged:
    given = case(seed, index)
    with tempfile.TemporaryDirectory() as folder:
        found = {e: ran(given, Path(folder) / e, e) for e in ENGINES}
    best = min(found["cores"].cycles, found["ne16"].cycles)
    ratios = {
        f"{kernel} {engine}": estimated / cycles
        for engine, taken in found.items()
        for kernel, estimated, cycles in taken.layers
        if cycles >= LEAST_CYCLES
    }
    return Judged(found["auto"].cycles, best, ratios)


Figures = Mapping[str, object]


def figures(found: Sequence[Judged]) -> Figures:
    """How near estimates are, and for which layers `auto` is wrong."""
    ratios = [ratio for each in found for ratio in each.ratios.values()]
    low, median, high = np.quantile(ratios, (0.05, 0.5, 0.95))
    every = {
        "5 %": low,
        "median": median,
        "95 %": high,
        "least": min(ratios),
        "most": max(ratios),
        "auto by better": max(each.auto / each.best for each in found),
    }
    return {
        "layers": len(found),
        **{name: round(float(x), 3) for name, x in every.items()},
        "auto slower": [index for index, each in enumerate(found) if each.is_slower],
    }


def main() -> None:
    names = [name for name in SEEDS if name in sys.argv[1:] or "--record" in sys.argv[1:]]
    found = {}
    for name in names or ["held out"]:
        found[name] = figures([judged(SEEDS[name], index) for index in range(LAYERS)])
        print(name, found[name], flush=True)
    if "--record" in sys.argv[1:]:
        RECORDED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
