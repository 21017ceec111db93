# SPDX-License-Identifier: Apache-2.0
"""Whole networks as myoedge built them once, and what public GVSoC gave for their firmware.

The fabric controller is hart 0x3e0 there, 9 here: the firmware chooses its drivers by that. The
first four also load two write-only registers as they start GAP9's drivers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from myoedge.backends.gvsoc import run_elf
from myoedge.backends.measurement import layer_cycles
from myoedge.simulator import simulate
from myoedge.system import tools
from myoedge.targets.gap9.simulator_costs import COSTS
from tests.simulator.fixture import FOLDER

NETWORKS = FOLDER / "networks"
WHAT = {
    "small": "two convolutions over time, a residual sum, a head; 12 samples of 2 channels",
    "image": "a stem and three depthwise separable blocks with a residual sum; 48 x 48 x 3",
    "attention": "one head of attention over 24 x 32 with softmax, and a layer of two with GELU",
    "signal": "three convolutions over time, one of them dilated, with pooling; 100 samples of 8",
}
WITH_NE16 = {
    "ne16_layers": "convolutions 3x3, 1x1, depthwise and of stride 2, a linear layer; 24 x 24 x 3",
    "ne16_sequence": "overlapping pixels, two directions of an LSTM, two heads; 64 x 8",
    "resnet8": "ResNet-8 of MLPerf Tiny with random weights, `--engine auto`; 32 x 32 x 3",
}
FILES = ("output.bin", "cycles.bin")
TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Ran:
    """The bytes that a network gave, and cycles by layer and in all."""

    output: bytes
    layers: tuple[int, ...]
    total: int

    def worst(self, other: Ran) -> float:
        """The largest relative difference of a layer, or of the whole, from `other`."""
        pairs = zip((*self.layers, self.total), (*other.layers, other.total), strict=True)
        return max(abs(a - b) / max(b, 1) for a, b in pairs)


def _read(folder: Path) -> Ran:
    output, cycles = ((folder / file).read_bytes() for file in FILES)
    layers = struct.unpack_from("<4I", cycles)[3]
    [(of_layer, total)] = layer_cycles(cycles, layers, 1)
    return Ran(output, of_layer, total)


def recorded(name: str) -> Ran:
    """What public GVSoC gave."""
    return _read(NETWORKS / name)


@cache
def run(name: str, like: str) -> Ran:
    """What the simulator gives with a chip description of COSTS."""
    source = NETWORKS / name
    with tools.scratch() as folder:
        (folder / "input.bin").write_bytes((source / "input.bin").read_bytes())
        elf = (source / "firmware.elf").read_bytes()
        cycles = {**COSTS[like], "register_strict": 0}
        ended = simulate(elf, cycles=cycles, folder=folder, max_cycles=1 << 32)
        if ended.exit_code:
            raise ValueError(f"{name} ended with {ended.exit_code}: {ended.output}")
        return _read(folder)


def record(name: str) -> str:
    """Runs it on GVSoC, writes what that gave, and says what changed."""
    source, before = NETWORKS / name, recorded(name)
    with tools.scratch() as folder:
        (folder / "input.bin").write_bytes((source / "input.bin").read_bytes())
        ended = run_elf(source / "firmware.elf", folder, timeout_s=TIMEOUT_S)
        if ended.returncode:
            raise SystemExit(f"{name}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
        for file in FILES:
            (source / file).write_bytes((folder / file).read_bytes())
    now = recorded(name)
    return f"{name}: as before" if now == before else f"{name}: {before.total}, now {now.total}"
