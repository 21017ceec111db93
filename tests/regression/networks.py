# SPDX-License-Identifier: Apache-2.0
"""The networks of the regression record: how each is made, and with what it is built.

Tests' own modules are imported only where a network is made: a model that is stored needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
TESTS = Path(__file__).resolve().parents[1]
MYO = TESTS.parent / "examples" / "data" / "libemg_myo.npz"


@dataclass(frozen=True)
class Made:
    """A torch module or the path of an ONNX file, and samples to calibrate with.

    samples   of every input, [count, *its shape], in the model's order; or by name
    """

    model: Any
    samples: Sequence[Array] | Mapping[str, Array]


@dataclass(frozen=True)
class Entry:
    """A network and how it is built.

    model    name of its file: entries with the same one are the same network
    config   text of myoedge.toml
    quick    is in every run of the tests
    """

    model: str
    make: Callable[[], Made]
    l1: str | None = None
    l2: str | None = None
    config: str = ""
    quick: bool = False

    @property
    def stream(self) -> bool:
        return "[stream]" in self.config


def noise(shape: Sequence[int], count: int = 2, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, *shape), np.float32)


def _seeded(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


def _of(make: Callable[[], Any], *shapes: Shape, seed: int = 0, count: int = 2) -> Made:
    _seeded(seed)
    samples = [noise(shape, count, seed + at) for at, shape in enumerate(shapes)]
    return Made(make().eval(), samples)


# --- what other tests build -----------------------------------------------------------------------


def _network(name: str, *shapes: Shape) -> Made:
    from tests.support.networks import small as networks

    return _of(getattr(networks, name), *shapes)


def _cycles(name: str, shape: Shape) -> Made:
    from tests.records import network_cycles

    return _of(getattr(network_cycles, name), shape)


def _long_windows() -> Made:
    from torch import nn

    return _of(lambda: nn.Sequential(nn.Conv1d(64, 48, 64), nn.Conv1d(48, 48, 180)), (1, 64, 246))


def _large_windows() -> Made:
    from torch import nn

    return _of(lambda: nn.Conv2d(256, 24, 5, padding=2), (1, 256, 9, 9))


def _random(seed: int) -> Made:
    from tests.support.networks.drawn import Random, windows

    model = Random(seed).eval()
    return Made(model, [windows(model.shape, seed)])


def _layers(seed: int) -> Made:
    from tests.support.networks.layers import drawn

    model, shapes, _ = drawn(seed)
    return Made(model, [noise(shape, 2, seed + at) for at, shape in enumerate(shapes)])


def _transformer(seed: int) -> Made:
    from tests.support.networks.transformers import transformer

    model, shape = transformer(seed)
    return Made(model, [noise(shape, 4, seed)])


def _recurrent(index: int) -> Made:
    from tests.support.networks.layers import recurrent

    model, shape = recurrent(index)
    return Made(model, [noise(shape, 4, index)])


def _units(kind: str, shape: Shape, units: int, **options: Any) -> Made:
    """A recurrent layer of torch: h of every step."""
    from torch import nn

    from tests.support.networks.layers import Steps

    return _of(lambda: Steps(getattr(nn, kind)(shape[-1], units, **options)), shape, count=4)


MASKS: Mapping[str, Callable[[Any], Any]] = {
    "later frames": lambda m: m.given(None, is_causal=True),
    "slopes of causal heads": lambda m: m.given(m.SLOPES.masked_fill(m.LATER, -m.INF)),
    "slopes and -1e4": lambda m: m.given(m.SLOPES.masked_fill(m.LATER, -1e4)),
    "a bias with holes of -1e9": lambda m: m.given(m.BIAS.masked_fill(m.HOLES, -1e9)),
    "causal besides": lambda m: m.given(
        m.BIAS.masked_fill(m.FIRST & ~m.OWN, -m.INF), is_causal=True
    ),
    "filled by -1e4": lambda m: m.written(lambda s: s.masked_fill(m.HOLES, -1e4)),
    "filled, then a bias": lambda m: m.written(lambda s: s.masked_fill(m.HOLES, -1e9) + m.BIAS),
    "shares read twice": lambda m: m.read_twice(lambda s: s.masked_fill(m.LATER, -m.INF)),
}


def _masked(form: str) -> Made:
    from tests.support.networks import masked

    return Made(MASKS[form](masked).eval(), [masked.WINDOWS[:16].numpy()])


def _onnx(name: str) -> Made:
    from tests.e2e.test_onnx_models import MODELS, calibration

    samples = {port: x[:CALIBRATED] for port, x in calibration(name).items()}
    return Made(MODELS / f"{name}.onnx", samples)


# --- the zoo --------------------------------------------------------------------------------------


def _emg(shape: Shape, count: int) -> Array:
    """Normalised windows [1, channels, samples] of a real recording."""
    with np.load(MYO) as stored:
        emg = stored["emg"].astype(np.float32)
    emg = (emg - emg.mean(0)) / emg.std(0)
    channels, samples = shape[1:]
    starts = np.random.default_rng(1).integers(0, len(emg) - samples, (count, channels // 8))
    rows = [np.concatenate([emg[s : s + samples].T for s in at]) for at in starts]
    return np.stack(rows)[:, None]


def _tinymyo(name: str, shape: Shape, **options: Any) -> Made:
    from myoedge.extensions.zoo import tinymyo

    _seeded(3)
    return Made(getattr(tinymyo, name)(**options).eval(), [_emg(shape, 4)])


def _emg2qwerty(name: str, frames: int) -> Made:
    from myoedge.extensions.zoo import emg2qwerty

    return _of(getattr(emg2qwerty, name), (frames, 1, 2, 16, 33))


def _all_convnet() -> Made:
    from myoedge.extensions.zoo import all_convnet

    return _of(all_convnet.hd, (1, 1, 16, 8))


# --- streams --------------------------------------------------------------------------------------


def _causal(seed: int) -> Made:
    from tests.support.networks.causal import causal

    _seeded(seed)
    model, channels = causal(np.random.default_rng(seed), 5, 64)
    return Made(model, [noise((1, channels, 64), 3, seed)])


def _typing(name: str, shape: Shape) -> Made:
    from tests.e2e import test_streams

    return _of(getattr(test_streams, name), shape, seed=1)


def _frames(count: int, axis: int = 2) -> str:
    return f"[stream]\naxis = {axis}\nframes = {count}\n"


BOTH_WAYS = '[stream]\nrate = 2000\nhop = 16\npast = "48 ms"\nfuture = 3\n'
STATED = '[stream]\nrate = 16000\nhop = 512\nwindow = 576\nstates = { state = "stateN" }\n'

# --- the table ------------------------------------------------------------------------------------

CALIBRATED = 8  # samples of the trained networks
Rows = Iterator[tuple[str, Entry]]
ONNX = (
    "crepe_tiny",
    "fer_minixception",
    "metadrive_ppo",
    "mp_blazeface_128",
    "mtcnn_rnet",
    "rxn_albert_embeds",
    "silero_vad_v6_16k",
    "sleepecg_bigru",
)
LESS: Mapping[str, tuple[int, ...]] = {  # KiB
    "all-convnet": (192, 100),
    "autoencoder": (192, 100),
    "crepe_tiny": (192, 100),
    "mobilenet": (192, 100),
    "resnet8": (100, 48),
    "mtcnn_rnet": (100, 64),
    "keywords": (24,),
    "two lstms": (24,),
    "transformer 16": (20,),
    "tinymyo small": (192,),
}
BUDGETS = ("128KiB", "96KiB", "72KiB")  # of L1, as tests/support/networks/layers.py draws them


def _whole() -> Rows:
    """Networks as they are published."""
    networks: dict[str, Callable[[], Made]] = {
        "small": partial(_network, "make_small", (1, 2, 12)),
        "norm first": partial(_network, "make_norm_first", (3, 2, 12)),
        "two inputs": partial(_network, "Two", (1, 5), (1, 7)),
        "unsupported": partial(_network, "Unsupported", (1, 3, 4)),
        "mobilenet": partial(_network, "mobilenet", (1, 3, 96, 96)),
        "resnet8": partial(_network, "resnet8", (1, 3, 32, 32)),
        "resnet18": partial(_network, "resnet18", (1, 3, 64, 64)),
        "keywords": partial(_network, "keywords", (1, 1, 49, 10)),
        "autoencoder": partial(_network, "autoencoder", (1, 640)),
        "one layer of 2 MB": partial(_cycles, "one_layer", (1, 1024)),
        "large map": partial(_cycles, "large_map", (1, 2, 900, 120)),
        "long windows": _long_windows,
        "large windows": _large_windows,
        "all-convnet": _all_convnet,
        "tinymyo small": partial(_tinymyo, "small_epn", (1, 8, 200), version=1),
        "tinymyo epn": partial(_tinymyo, "epn", (1, 8, 1000), version=1),
        "tinymyo db5, turned": partial(_tinymyo, "db5", (1, 16, 200), version=2, layers=2),
        "emg2qwerty kao": partial(_emg2qwerty, "kao", 59),
        "emg2qwerty lstm": partial(_emg2qwerty, "lstm", 125),
    }
    quick = ("small", "norm first", "two inputs", "autoencoder", "long windows", "large windows")
    for name, make in networks.items():
        yield name, Entry(name, make, quick=name in quick)


def _drawn() -> Rows:
    for seed in range(16):
        yield f"random {seed}", Entry(f"random {seed}", partial(_random, seed), quick=seed == 0)
    for seed in range(900, 908):
        make, l1 = partial(_layers, seed), BUDGETS[seed % len(BUDGETS)]
        yield f"layers {seed}", Entry(f"layers {seed}", make, l1=l1)
    for seed in range(16, 22):
        make = partial(_transformer, seed)
        yield f"transformer {seed}", Entry(f"transformer {seed}", make)
    for form in MASKS:
        name = f"mask: {form}"
        yield name, Entry(name, partial(_masked, form), quick=form == "causal besides")


def _recurrents() -> Rows:
    for index in (1, 3, 4, 7, 9, 10):
        name = f"recurrent {index}"
        yield name, Entry(name, partial(_recurrent, index), quick=index == 10)
    both = {
        "lstm both ways": partial(_units, "LSTM", (12, 1, 10), 14, bidirectional=True),
        "gru both ways": partial(_units, "GRU", (9, 2, 20), 16, bidirectional=True),
        "two lstms": partial(_units, "LSTM", (16, 1, 24), 48, num_layers=2),
    }
    yield from ((name, Entry(name, make)) for name, make in both.items())


def _streams() -> Rows:
    for seed, frames in ((0, 1), (1, 2), (2, 4), (3, 2), (4, 6)):
        name = f"stream {seed}"
        yield name, Entry(name, partial(_causal, seed), config=_frames(frames), quick=seed == 4)
    both, first = (
        partial(_typing, "BothWays", (20, 1, 6)),
        partial(_typing, "TimeFirst", (20, 1, 8)),
    )
    yield "stream both ways", Entry("stream both ways", both, config=BOTH_WAYS)
    yield "stream, time first", Entry("stream, time first", first, config=_frames(4, 0))
    name = "silero_vad_v6_16k"
    yield "stream with a state", Entry(name, partial(_onnx, name), config=STATED)


def _trained() -> Rows:
    yield from ((name, Entry(name, partial(_onnx, name))) for name in ONNX)


def _in_less(entries: Mapping[str, Entry]) -> Rows:
    """Some again in less of L2, where weights or maps come from L3."""
    for name, sizes in LESS.items():
        found = entries[name]
        for size in sizes:
            l2 = f"{size}KiB"
            yield f"{name}, {size} KiB", Entry(found.model, found.make, l1=found.l1, l2=l2)
    found = entries["autoencoder"]
    yield "autoencoder, 64 KiB of L1", Entry(found.model, found.make, l1="64KiB")


@cache
def networks() -> Mapping[str, Entry]:
    rows = (_whole(), _drawn(), _recurrents(), _streams(), _trained())
    entries = dict(row for table in rows for row in table)
    return {**entries, **dict(_in_less(entries))}
