# SPDX-License-Identifier: Apache-2.0
"""Drawn networks with drawn options, built, compared bit for bit on host and simulated chip."""

from __future__ import annotations

import functools
import gc
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import myoedge
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import quantized_inputs, real_values
from tests.conftest import save_exported
from tests.fuzz.layers import KINDS, MOST_CHANNELS, MOST_FRAMES, Rng, pick
from tests.support.networks.causal import causal
from tests.support.networks.drawn import Random
from tests.support.networks.layers import drawn as drawn_for_l1
from tests.support.networks.transformers import transformer

SAMPLES = 8
FAR_DB, WEAK_DB = 6.0, 12.0  # from torch: less than the build tells by so much, and than this
BUDGETS = ('latency = "2 ms"', 'latency = "0.1 ms"', 'energy = "20 uJ"', "sqnr = 30", "sqnr = 45")


@dataclass(frozen=True)
class Drawn:
    """A network, shapes of its inputs, options of its build, and lines of myoedge.toml."""

    family: str
    model: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    toml: str = ""
    form: str = "exported"


class Composed(nn.Module):
    """Layers behind each other, some with a branch around them; one or two outputs."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        c, t = 1 + int(rng.integers(12)), 2 + int(rng.integers(24))
        self.shape, self.layers, self.around = (1, c, t), nn.ModuleList(), []
        x = torch.randn(self.shape)
        for _ in range(2 + int(rng.integers(6))):
            layer = KINDS[int(rng.integers(len(KINDS)))](rng, x.shape[1], x.shape[2]).eval()
            try:
                with torch.no_grad():
                    y = layer(x)
            except (RuntimeError, ValueError):  # a kernel larger than its input
                continue
            fits = y.dim() == 3 and y.shape[1] <= 2 * MOST_CHANNELS and y.shape[2] <= MOST_FRAMES
            if fits and y.numel() and y.isfinite().all() and y.abs().max() < 1e4:
                self.around.append(y.shape == x.shape and rng.random() < 0.3)
                self.layers.append(layer)
                x = x + y if self.around[-1] else y
        self.head = int(rng.integers(4))
        self.last = nn.Linear(x.shape[1], 2 + int(rng.integers(6)))

    def forward(self, x: Tensor) -> tuple[Tensor, ...] | Tensor:
        for layer, around in zip(self.layers, self.around, strict=True):
            x = x + layer(x) if around else layer(x)
        scores = self.last(x.mean(2))
        if self.head == 0:
            return scores.softmax(-1)
        return (scores, x) if self.head == 1 else scores if self.head == 2 else self.last(x.mT)


def drawn_options(rng: Rng) -> tuple[dict[str, Any], str]:
    """Engine, memories, bits: most builds with one of them beside the usual."""
    options: dict[str, Any] = {"engine": ("auto", "auto", "cores", "ne16")[int(rng.integers(4))]}
    lines, kind = [], int(rng.integers(8))
    if kind == 0:
        lines += ['[quant."*"]', f"weights = {pick(rng, 2, 3, 4, 5, 6, 7)}"]
    elif kind == 1:
        lines += ['[quant."*"]', "activations = 16"]
    elif kind == 2:
        lines += ['[quant."*"]', 'weights = "per_tensor"']
    elif kind == 3:
        options |= {"l1": f"{pick(rng, 24, 40, 64)}KiB"}
    elif kind == 4:
        options |= {"l2": f"{pick(rng, 48, 64, 128, 300)}KiB"}
    elif kind == 5:
        options |= {"accurate": True}
    elif kind == 6:
        options |= {"method": ("minmax", "percentile", "mse")[int(rng.integers(3))]}
    else:
        lines += ["[budget]", BUDGETS[int(rng.integers(len(BUDGETS)))]]
        options |= {"weights": "auto"} if rng.random() < 0.3 else {}
    return options, "\n".join(lines)


def composed(rng: Rng, seed: int) -> Drawn:
    model = Composed(rng)
    return Drawn("composed", model, (model.shape,), *drawn_options(rng))


def imported(rng: Rng, seed: int) -> Drawn:
    """Built from the quantised ONNX file that a first build has written."""
    model = Composed(rng)
    return Drawn("imported", model, (model.shape,), form="QDQ")


def plain(rng: Rng, seed: int) -> Drawn:
    model = Random(seed)
    return Drawn("random", model, (model.shape,), *drawn_options(rng))


def stream(rng: Rng, seed: int) -> Drawn:
    model, c = causal(rng, 1 + int(rng.integers(4)), 64)
    toml = f"[stream]\naxis = 2\nframes = {pick(rng, 1, 2, 4, 8)}"
    return Drawn("stream", model, ((1, c, 64),), {"stream": True}, toml)


def tokens(rng: Rng, seed: int) -> Drawn:
    model, shape = transformer(seed)
    return Drawn("transformer", model, (shape,), *drawn_options(rng))


def tiles(rng: Rng, seed: int) -> Drawn:
    model, shapes, l1 = drawn_for_l1(seed)
    return Drawn("tiles", model, shapes, {"l1": l1, "engine": ("auto", "ne16")[seed % 2]})


Family = Callable[[Rng, int], Drawn]
FAMILIES: tuple[Family, ...] = (
    *(composed,) * 13, *(imported,) * 3, *(plain,) * 2, *(stream,) * 2, tokens, tiles,
)  # fmt: skip


def drawn(seed: int) -> Drawn:
    """The network of a seed, whatever was drawn before."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    return FAMILIES[int(rng.integers(len(FAMILIES)))](rng, seed)


@functools.cache
def warm() -> None:
    """Builds a network before the first fork: torch and onnx load much late, in each fork anew."""
    with tempfile.TemporaryDirectory() as folder:
        _built_and_compared(imported(np.random.default_rng(0), 0), 0, Path(folder))
    gc.freeze()  # what every fork shares


def run(seed: int, folder: Path) -> dict[str, Any]:
    """Outcome of a network: exact, refused with a code, or what is wrong."""
    return outcome(drawn(seed), seed, folder)


def outcome(made: Drawn, seed: int, folder: Path) -> dict[str, Any]:
    """Outcome of a drawn network, whose samples follow from a seed."""
    told: dict[str, Any] = {"family": made.family, **made.options, "toml": made.toml}
    try:
        return told | _built_and_compared(made, seed, folder)
    except myoedge.MyoedgeError as error:
        wrong = error.code[1] == "9" or error.code == "E401"
        kind = "difference" if error.code == "E401" else "traceback" if wrong else "refused"
        return told | {"outcome": kind, "code": error.code, "detail": error.notice.title}


def _built_and_compared(made: Drawn, seed: int, folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(seed + 1)
    samples = {
        f"x{i}": rng.standard_normal((SAMPLES, *s), np.float32) for i, s in enumerate(made.shapes)
    }
    model = made.model.eval()
    examples = tuple(torch.from_numpy(x[0]) for x in samples.values())
    archive = save_exported(model, examples, folder / "m.pt2")
    (folder / "myoedge.toml").write_text(made.toml)
    given = _named(archive, samples)
    usual = {"method": "minmax", "simulate": False, "output": folder / "out"}
    options = {**usual, "config": folder / "myoedge.toml", **made.options}
    build = myoedge.build(archive, calib=given, **options)
    told_db, found_db = _worst_db(build), None
    if made.form == "QDQ":
        path = build.folder / "model.int8.onnx"
        build = myoedge.build(path, calib="random", output=folder / "again", simulate=False)
        given = None
    checked = myoedge.validate(build, on=("host", "simulator"), input=_few(given))
    if not (checked.exact["host"] and checked.exact["simulator"]):
        return {"outcome": "difference", "detail": str(checked.difference)[:400]}
    if not made.options.get("stream"):
        found_db = _from_torch(build, model, samples)
        if found_db < min(told_db - FAR_DB, WEAK_DB) and made.form != "QDQ":
            detail = f"{found_db:.1f} dB from torch, {told_db:.1f} told"
            return {"outcome": "meaning", "detail": detail}
    return {"outcome": "exact", "told_db": told_db, "found_db": found_db}


def _named(archive: Path, samples: Mapping[str, Array]) -> Any:
    if len(samples) == 1:
        return next(iter(samples.values()))
    names = [name for name, _ in myoedge.inspect(archive).inputs]
    return dict(zip(names, samples.values(), strict=True))


def _few(given: Any) -> Any:
    if given is None:
        return None
    return {name: x[:2] for name, x in given.items()} if isinstance(given, dict) else given[:2]


def _worst_db(build: myoedge.Build) -> float:
    """SQNR that the build tells of its worst output, before or behind its final function."""
    rows, keys = build.report["outputs"], ("sqnr_db", "sqnr_end_db")
    found = [row.get(key) for row in rows for key in keys]
    return min((float(db) for db in found if isinstance(db, int | float)), default=math.inf)


def _from_torch(build: myoedge.Build, model: nn.Module, samples: Mapping[str, Array]) -> float:
    """SQNR of the reference's worst output against torch's own floats."""
    worst = math.inf
    rows = [tuple(x[i] for x in samples.values()) for i in range(SAMPLES)]
    found = [_reference(build.network, row) for row in rows]
    with torch.no_grad():
        real = [model(*map(torch.from_numpy, row)) for row in rows]
    for index in range(len(build.report["outputs"])):
        got = np.stack([y[index] for y in found]).astype(float)
        wanted = np.stack([_output(y, index) for y in real]).reshape(got.shape).astype(float)
        noise, signal = float(np.sum((wanted - got) ** 2)), float(np.sum(wanted**2))
        worst = min(worst, 10 * math.log10(signal / noise) if noise and signal else math.inf)
    return worst


def _reference(q: QuantGraph, row: Iterable[Array]) -> list[Array]:
    """Outputs as floats: those of the C, which the reference was compared with."""
    inputs = quantized_inputs(q, dict(zip(q.graph.inputs, row, strict=True)))
    values = run_int(q.steps, q.constants, inputs)
    return [real_values(q, name, values[name]) for name in q.graph.outputs]


def _output(y: Any, index: int) -> Array:
    array: Array = (y[index] if isinstance(y, tuple) else y).numpy()
    return array
