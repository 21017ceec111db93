# SPDX-License-Identifier: Apache-2.0
"""120 drawn layers, as biosignal, audio and small vision networks have them: simulated cycles of a
network of each alone, against a lower bound.

python -m tests.records.drawn_layers            the table, from runs
python -m tests.records.drawn_layers --record   the same, kept in fixtures/drawn_layers.json and
                                        docs/developers/performance.md

The bound is the cycles of an inference that does nothing, plus the largest of
- bytes of inputs, result and weights, at the DMA's 8 bytes a cycle
- multiply-accumulates, at the rate of NE16's best job for so many channels (tests/kernels/
  ne16_formula.py), or, but for depthwise ones, at 32 a cycle, four on each of eight cores
- results, at the rate that counting instructions on eight cores gives
- steps of recurrent layers: a barrier, 6 cycles a unit for its gates, and its products
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import myoedge
from tests.conftest import ROOT, save_exported
from tests.kernels.ne16_formula import Job
from tests.support.networks.layers import Function, Rng, Steps, pick
from tests.support.pages import head, show

RECORDED = ROOT / "tests" / "fixtures" / "drawn_layers.json"
COLUMNS = ("layers", "number", "median of cycles / bound", "largest", "layer with the largest")
HEAD = head(*COLUMNS)
SEED = 2026
MOST_MACS = 40e6  # of a layer, so that all are simulated in minutes
DMA_BYTES = 8  # per cycle
CORES_MACS = 32.0  # per cycle
STEP_CYCLES, UNIT_CYCLES = 60, 6  # of a recurrent layer, without products
START = "start"  # of an inference: a network of one clamp of eight numbers


@dataclass(frozen=True)
class Drawn:
    """A layer and its input.

    mode      of NE16's fastest job, with its numbers of channels; "" if the engine has none
    results   per cycle, on eight cores; 0 where multiply-accumulates count
    inputs    of that shape
    waits     cycles of the steps of a recurrent layer without its products
    """

    module: nn.Module
    shape: tuple[int, ...]
    mode: str = ""
    channels: tuple[int, int] = (0, 0)
    results: float = 0.0
    inputs: int = 1
    waits: int = 0

    @property
    def macs_per_cycle(self) -> float:
        if not self.mode:
            return CORES_MACS
        job = Job(self.mode, 24, 24, *self.channels)
        rate = job.macs / job.cycles
        return rate if self.mode == "depthwise" else max(CORES_MACS, rate)


def _long(rng: Rng) -> tuple[int, int, int]:
    """Channels in and out, and samples, of a signal's layer."""
    c, k = pick(rng, 4, 8, 16, 24, 32, 64, 96, 128), pick(rng, 8, 16, 32, 48, 64, 128)
    return c, k, pick(rng, 50, 100, 128, 200, 256, 400, 1000)


def conv1d(rng: Rng) -> Drawn:
    (c, k, n), taps = _long(rng), pick(rng, 1, 3, 5, 7, 9, 15, 25, 31, 51, 64)
    module = nn.Conv1d(c, k, taps, pick(rng, 1, 1, 2), taps // 2)
    return Drawn(module, (1, c, n), "1x1" if taps == 1 else "3x3", (c, k))


def dilated(rng: Rng) -> Drawn:
    (c, k, n), taps, dilation = _long(rng), pick(rng, 2, 3, 5, 7), pick(rng, 2, 4, 8)
    module = nn.Conv1d(c, k, taps, dilation=dilation, padding=dilation * (taps // 2))
    return Drawn(module, (1, c, n), "3x3", (c, k))


def grouped(rng: Rng) -> Drawn:
    groups, each, n = pick(rng, 2, 4, 8), pick(rng, 4, 8, 16), pick(rng, 100, 200, 400)
    c, taps = groups * each, pick(rng, 3, 5, 9)
    module = nn.Conv1d(c, c * pick(rng, 1, 2), taps, padding=taps // 2, groups=groups)
    return Drawn(module, (1, c, n), "3x3", (each, each))


def depthwise(rng: Rng) -> Drawn:
    c, n, taps = pick(rng, 16, 32, 64, 128, 255), pick(rng, 50, 100, 200, 400), pick(rng, 3, 5, 9)
    taps = pick(rng, taps, 15, 16, 25)
    many = c * pick(rng, 1, 1, 1, 2)
    module = nn.Conv1d(c, many, taps, pick(rng, 1, 1, 2), taps // 2, groups=c)
    return Drawn(module, (1, c, n), "depthwise", (c, c))


def image(rng: Rng) -> Drawn:
    c, k, h = pick(rng, 8, 16, 32, 64), pick(rng, 16, 32, 64, 128), pick(rng, 8, 16, 24, 32)
    size = pick(rng, 1, 3, 3, 3, 5)
    module = nn.Conv2d(c, k, size, pick(rng, 1, 1, 2), size // 2)
    return Drawn(module, (1, c, h, h), "1x1" if size == 1 else "3x3", (c, k))


def image_depthwise(rng: Rng) -> Drawn:
    c, h, size = pick(rng, 16, 32, 64, 128), pick(rng, 8, 16, 24, 48), pick(rng, 3, 3, 5, 7)
    module = nn.Conv2d(c, c, size, pick(rng, 1, 1, 2), size // 2, groups=c)
    return Drawn(module, (1, c, h, h), "depthwise", (c, c))


def electrodes(rng: Rng) -> Drawn:
    """A spatial filter over all electrodes, or a temporal one on each."""
    c, rows, n = pick(rng, 1, 8, 16, 40), pick(rng, 8, 14, 22, 64), pick(rng, 100, 250, 400)
    if rng.random() < 0.5:
        module = nn.Conv2d(c, pick(rng, 8, 16, 40), (rows, 1))
    else:
        c, taps = 1, pick(rng, 16, 25, 32, 64)
        module = nn.Conv2d(c, pick(rng, 4, 8, 16), (1, taps), padding=(0, taps // 2))
    return Drawn(module, (1, c, rows, n), "1x1", (c * module.kernel_size[0], module.out_channels))


def linear(rng: Rng) -> Drawn:
    c, k = pick(rng, 16, 64, 128, 192, 256, 512), pick(rng, 5, 10, 64, 128, 256, 512)
    return Drawn(nn.Linear(c, k), (pick(rng, 1, 1, 16, 50, 100, 200), c), "1x1", (c, k))


def recurrent(rng: Rng) -> Drawn:
    kind = (nn.LSTM, nn.GRU)[int(rng.integers(2))]
    c, units = pick(rng, 8, 16, 64, 128), pick(rng, 16, 32, 64, 96, 128)
    layer, steps = kind(c, units, bidirectional=bool(rng.random() < 0.25)), pick(rng, 10, 25, 50)
    waits = steps * (1 + layer.bidirectional) * (STEP_CYCLES + UNIT_CYCLES * units)
    return Drawn(Steps(layer), (steps, 1, c), waits=waits)


class Attention(nn.Module):
    """Self-attention between its projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).flatten(-2))


def attention(rng: Rng) -> Drawn:
    heads, width, tokens = pick(rng, 2, 4, 8), pick(rng, 16, 32, 64), pick(rng, 16, 50, 100, 128)
    c = heads * width
    return Drawn(Attention(c, heads), (1, tokens, c), "1x1", (c, c))


def norm(rng: Rng) -> Drawn:
    rows, c = pick(rng, 16, 50, 128, 200), pick(rng, 32, 64, 192, 256)
    return Drawn(nn.LayerNorm(c), (1, rows, c), results=1.1)


def softmax(rng: Rng) -> Drawn:
    return Drawn(nn.Softmax(-1), (pick(rng, 8, 50, 128), pick(rng, 10, 64, 128)), results=0.7)


def sum_of_two(rng: Rng) -> Drawn:
    rows, c = pick(rng, 50, 128, 256), pick(rng, 32, 64, 128)
    return Drawn(Function(torch.add), (rows, c), results=2.5, inputs=2)


def product(rng: Rng) -> Drawn:
    rows, c = pick(rng, 50, 128, 256), pick(rng, 32, 64, 128)
    return Drawn(Function(torch.mul), (rows, c), results=1.8, inputs=2)


def pool(rng: Rng) -> Drawn:
    c, n, size = pick(rng, 8, 16, 32, 64), pick(rng, 100, 256, 400), pick(rng, 2, 2, 4, 8)
    if rng.random() < 0.5:
        return Drawn(nn.MaxPool1d(size), (1, c, n), results=12.0 / size)
    return Drawn(nn.AvgPool1d(size), (1, c, n), results=4.0 / size)


KINDS: Mapping[str, tuple[int, Callable[[Rng], Drawn]]] = {
    "convolutions of signals": (18, conv1d),
    "dilated ones": (8, dilated),
    "grouped ones": (8, grouped),
    "depthwise ones": (10, depthwise),
    "convolutions of images": (12, image),
    "depthwise ones of images": (8, image_depthwise),
    "filters of electrodes": (8, electrodes),
    "linear layers": (12, linear),
    "LSTM and GRU": (10, recurrent),
    "attention": (6, attention),
    "layer norms": (4, norm),
    "softmax": (4, softmax),
    "sums": (4, sum_of_two),
    "products": (4, product),
    "pools": (4, pool),
}

Found = Mapping[str, float]  # bound, cycles


def layers() -> dict[str, Drawn]:
    """The drawn layers by name; their weights are the same in every run."""
    torch.manual_seed(SEED)
    found = {START: Drawn(nn.ReLU(), (1, 8))}
    for number, (kind, (count, draw)) in enumerate(KINDS.items()):
        for index in range(count):
            rng = np.random.default_rng((SEED, number, index))
            drawn = draw(rng)
            while _work(drawn) > MOST_MACS:
                drawn = draw(rng)
            found[f"{kind} {index}"] = drawn
    return found


def _work(drawn: Drawn) -> float:
    """About how many multiply-accumulates a layer takes."""
    samples = int(np.prod(drawn.shape)) / max(drawn.shape[1], 1)
    return samples * sum(x.numel() for x in drawn.module.parameters())


def ran(drawn: Drawn, folder: Path) -> Found:
    """Cycles of an inference, and the bound without the start. Errors: AssertionError where it is
    not exact."""
    torch.manual_seed(0)
    shape = drawn.shape
    zeros = (torch.zeros(shape),) * drawn.inputs
    model = save_exported(drawn.module.eval(), zeros, folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((drawn.inputs, 4, *shape)).astype(np.float32)
    given = {f"xs_{i}": x for i, x in enumerate(calib)} if drawn.inputs > 1 else calib[0]
    build = myoedge.build(model, calib=given, output=folder / "out", holdout=0.0)
    simulated = myoedge.simulate(build)
    assert simulated.exact
    report = simulated.report
    macs = sum(layer["macs"] for layer in report["layers"])
    ports = [*report["inputs"], *report["outputs"]]
    moved = sum(port["bytes"] for port in ports) + sum(x.numel() for x in drawn.module.parameters())
    results = sum(port["bytes"] for port in report["outputs"])
    work = results / drawn.results if drawn.results else macs / drawn.macs_per_cycle
    bound = max(work + drawn.waits, moved / DMA_BYTES)
    return {"cycles": report["cycles"]["total"], "bound": round(bound)}


def measured(*names: str) -> dict[str, Found]:
    def each() -> Iterator[tuple[str, Found]]:
        every = layers()
        for name in names or every:
            with tempfile.TemporaryDirectory() as folder:
                yield name, ran(every[name], Path(folder))

    return dict(each())


def ratios(found: Mapping[str, Found]) -> dict[str, float]:
    """Cycles by bound of every layer."""
    start = found[START]["cycles"]
    return {n: x["cycles"] / (x["bound"] + start) for n, x in found.items() if n != START}


def lines(found: Mapping[str, Found]) -> list[list[str]]:
    every, rows = ratios(found), list[list[str]]()
    for kind in KINDS:
        of_kind = {n: x for n, x in every.items() if n.rpartition(" ")[0] == kind}
        worst = max(of_kind, key=of_kind.__getitem__)
        rows.append([kind, str(len(of_kind)), *_figures(of_kind), describe(layers()[worst])])
    return [*rows, ["all", str(len(every)), *_figures(every), ""]]


def _figures(found: Mapping[str, float]) -> list[str]:
    return [f"{statistics.median(found.values()):.2f}", f"{max(found.values()):.2f}"]


def describe(drawn: Drawn) -> str:
    """A layer as PyTorch prints it, and its input's shape."""
    text = str(drawn.module).replace("\n", "")
    first = text.partition("(")[0] if "(  " in text else text
    return f"`{first}`, {'x'.join(map(str, drawn.shape))}"


def main() -> None:
    found = measured()
    show(found, COLUMNS, lines(found), RECORDED)


if __name__ == "__main__":
    main()
