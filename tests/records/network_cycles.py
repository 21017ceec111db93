# SPDX-License-Identifier: Apache-2.0
"""What whole networks take on the simulated chip, each exact.

python -m tests.records.network_cycles            the table, from runs
python -m tests.records.network_cycles --record   the same, kept in fixtures/network_cycles.json and
                                          docs/developers/performance.md
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import myoedge
from myoedge.extensions.zoo import emg2qwerty
from myoedge.extensions.zoo.all_convnet import hd
from tests.conftest import ROOT, save_exported
from tests.support.limits import l2_of_data
from tests.support.networks.loops import ClosedForm, Decoder, LiquidTime, Spikes
from tests.support.networks.small import (
    Gestures,
    Silent,
    Speaker,
    autoencoder,
    keywords,
    mobilenet,
    resnet8,
    resnet18,
)
from tests.support.pages import head, show

RECORDED = ROOT / "tests" / "fixtures" / "network_cycles.json"
COLUMNS = ("network, first inference", "MACs", "cycles", "target", "MAC/cycle", "cycles / L3 time")
HEAD = head(*COLUMNS)
L3_CYCLES_PER_BYTE = 2  # targets/gap9/chip.py: 185 MB/s at 370 MHz


@dataclass(frozen=True)
class Row:
    """A network with random weights, its input's shape, and the L2 that it may have.

    cycles, macs_per_cycle, of_l3   what is wanted: at most, at least, at most; 0 where nothing is
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    l2: str | None = None
    cycles: int = 0
    macs_per_cycle: float = 0
    of_l3: float = 0


def one_layer() -> nn.Module:
    return nn.Linear(1024, 2048)


def large_map() -> nn.Module:
    layers = (nn.Conv2d(2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 4, 3, 2, 1))
    return nn.Sequential(*layers)


FRAME = (1, 2, 16, 33)
SPEECHNET = "SpeechNet, 14 x 400"
ROWS = {
    "All-ConvNet 16 x 8": Row(hd, (1, 1, 16, 8), None, 900_000),
    "the same in 192 KiB of L2": Row(hd, (1, 1, 16, 8), "192KiB", 1_150_000),
    "the same in 100 KiB of L2": Row(hd, (1, 1, 16, 8), "100KiB", 1_150_000),
    "MobileNetV1 0.25, 96 x 96": Row(mobilenet, (1, 3, 96, 96), None, 900_000),
    "ResNet-8, 32 x 32": Row(resnet8, (1, 3, 32, 32), None, 900_000),
    "DS-CNN, 49 x 10": Row(keywords, (1, 1, 49, 10)),
    "auto-encoder, 640 numbers": Row(autoencoder, (1, 640), None, 50_000),
    SPEECHNET: Row(Silent, (1, 14, 400)),
    "ResNet-18, 64 x 64": Row(resnet18, (1, 3, 64, 64), of_l3=1.1),
    "ResNet-18, 128 x 128": Row(resnet18, (1, 3, 128, 128), macs_per_cycle=12),
    "a linear layer of 2 MB, one row": Row(one_layer, (1, 1024), of_l3=1.1),
    "two convolutions around a map of 3.4 MB": Row(large_map, (1, 2, 900, 120)),
    "emg2qwerty for 6 keys, 59 frames": Row(emg2qwerty.kao, (59, *FRAME), macs_per_cycle=13.5),
    "emg2qwerty's LSTM, 125 frames": Row(emg2qwerty.lstm, (125, *FRAME), macs_per_cycle=13.5),
    "emg2qwerty's LSTM, 622 frames": Row(emg2qwerty.lstm, (622, *FRAME), macs_per_cycle=13.5),
    "gestures, conv and 3 x LSTM 512, 16 x 420": Row(Gestures, (1, 16, 420), None, 45_000_000),
    "gestures, conv and 3 x LSTM 512, 16 x 1020": Row(Gestures, (1, 16, 1020)),
    "speakers, 3 x LSTM 256, 160 x 40": Row(Speaker, (1, 160, 40), None, 35_000_000),
    "closed-form cell in a loop, 8 -> 32, 40 steps": Row(ClosedForm, (1, 40, 8), None, 300_000),
    "liquid time-constant cell, 8 -> 16, 20 steps of 3": Row(LiquidTime, (1, 20, 8), None, 260_000),
    "two layers of 64 spiking neurons, 25 steps": Row(Spikes, (1, 25, 8), None, 140_000),
    "decoder of two LSTM cells, 128 units, 24 steps": Row(Decoder, (1, 24, 8)),
}

Found = Mapping[str, int]  # macs, cycles, l3_bytes


def ran(row: Row, folder: Path, engine: str = "cores", samples: int = 2) -> Found:
    """One inference. Errors: AssertionError where it is not exact."""
    torch.manual_seed(0)
    model = save_exported(row.make().eval(), (torch.zeros(row.shape),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((samples, *row.shape)).astype(np.float32)
    with l2_of_data():
        build = myoedge.build(model, calib=calib, l2=row.l2, output=folder / "out", engine=engine)
    simulated = myoedge.simulate(build)
    assert simulated.exact
    (inference,) = simulated.measurement.inferences
    moved = sum(layer.l3_bytes for layer in inference.layers)
    macs = sum(layer["macs"] for layer in simulated.report["layers"])
    return {"macs": macs, "cycles": inference.cycles, "l3_bytes": moved}


def measured(*names: str) -> dict[str, Found]:
    def each() -> Iterator[tuple[str, Found]]:
        for name in names or ROWS:
            with tempfile.TemporaryDirectory() as folder:
                yield name, ran(ROWS[name], Path(folder))

    return dict(each())


def lines(found: Mapping[str, Found]) -> list[list[str]]:
    return [[name, *_cells(ROWS[name], figures)] for name, figures in found.items()]


def _cells(row: Row, found: Found) -> list[str]:
    macs, cycles, l3_bytes = found["macs"], found["cycles"], found["l3_bytes"]
    wanted = {
        f"{row.cycles:,}": row.cycles,
        f"{row.macs_per_cycle} MAC/cycle": row.macs_per_cycle,
        f"{row.of_l3} times L3's": row.of_l3,
    }
    of_l3 = f"{cycles / (l3_bytes * L3_CYCLES_PER_BYTE):.3f}" if l3_bytes else ""
    shown = next((text for text, number in wanted.items() if number), "")
    return [f"{macs / 1e6:,.2f} M", f"{cycles:,}", shown, f"{macs / cycles:.1f}", of_l3]


def main() -> None:
    found = measured()
    show(found, COLUMNS, lines(found), RECORDED)


if __name__ == "__main__":
    main()
