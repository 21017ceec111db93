# SPDX-License-Identifier: Apache-2.0
"""Whole networks as myoedge built them once, and what public GVSoC gave for their firmware.

The fabric controller is hart 0x3e0 there and with `public-gvsoc` here, 9 with `silicon`: firmware
chooses its drivers by that. The first four also load two write-only registers as they start GAP9's.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from myoedge.backends.gvsoc import run_elf
from myoedge.backends.measurement import layer_cycles
from myoedge.simulator import simulate
from myoedge.system import tools
from myoedge.targets.gap9.simulator_costs import COSTS
from tests.simulator.fixture import FOLDER

NETWORKS, GAP9_NETWORKS = FOLDER / "networks", FOLDER / "gap9"
WHAT = {
    "small": "two convolutions over time, a sum",
    "image": "depthwise separable blocks, a sum",
    "attention": "attention, and a layer with GELU",
    "signal": "convolutions over time, one dilated",
    "gru_int16": "a GRU of 64 units, 30 steps",
    "cell_int16": "a CfC cell in a loop of 40 steps",
}
WITH_NE16 = {
    "ne16_layers": "convolutions 3x3, 1x1, depthwise, of stride 2",
    "ne16_sequence": "overlapping pixels, two directions of an LSTM",
    "resnet8": "ResNet-8 of MLPerf Tiny, random weights",
    "kws": "keyword spotting of MLPerf Tiny",
    "linear_3_bits": "three linear layers",
    "spiking_int16": "leaky neurons in a loop",
    "attention_int16": "a transformer's layer",
    "conv_int16": "depthwise separable and 3x3",
}
# on GAP9's own platform, in a folder each with output.bin and cycles_PLATFORM.bin
ON_GAP9 = {
    "allconv": "All-ConvNet, 16 samples of 8 channels",
    "allconv_l3": "the same with its weights in L3",
    "tinymyo": "TinyMyo of two blocks, 200 samples of 8 channels",
    "allconv_ne16": "All-ConvNet on NE16, 16 samples of 8 channels",
    "allconv_l3_ne16": "the same with its weights in L3",
    "fmap": "four convolutions; feature maps in L3",
    "maps_in_l3": "three convolutions of 64 x 64 on NE16; feature maps go to L3 and back",
    "qwerty_lstm": "emg2qwerty with two LSTM layers both ways, on NE16",
    "resnet8": "ResNet-8 of MLPerf Tiny on the cores, 32 x 32 x 3",
    "cfc_loop": "a CfC cell of 32 units in a loop of 40 steps",
    "trees": "gradient boosting of scikit-learn",
    "tcn_stream": "a dilated TCN as a stream on NE16, 24 passes of 25 layers",
    "spiking": "leaky neurons of snnTorch in a loop of 25 steps",
    "scan": "a selective scan (Mamba), on the cores",
    "unet": "a U-Net of one dimension of MONAI, on NE16 with 16-bit layers on the cores",
}
PLATFORMS = {"gap9": {"l1_contention": 0}, "gap9_banked": {"l1_contention": 1}}
LARGE_CYCLES = 20_000  # of layers whose cycles are compared one by one
FILES = ("output.bin", "cycles.bin")
TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Ran:
    """The bytes that a network gave, and cycles by layer of every pass and in all."""

    output: bytes
    layers: tuple[int, ...]
    total: int

    def worst(self, other: Ran, least: int = 0) -> float:
        """The largest relative difference of a layer, or of the whole, from `other`; 0 if none is.

        least   cycles in `other` of the layers that are compared
        """
        pairs = zip((*self.layers, self.total), (*other.layers, other.total), strict=True)
        return max((abs(a - b) / max(b, 1) for a, b in pairs if b >= least), default=0.0)


def _read(folder: Path, cycles_file: str = FILES[1]) -> Ran:
    output, cycles = ((folder / file).read_bytes() for file in (FILES[0], cycles_file))
    passes, layers = struct.unpack_from("<4I", cycles)[2:]
    ran = layer_cycles(cycles, layers, passes)
    return Ran(output, sum((of_layer for of_layer, _ in ran), ()), sum(total for _, total in ran))


def recorded(name: str) -> Ran:
    """What public GVSoC gave."""
    return _read(NETWORKS / name)


def _simulated(source: Path, cycles: Mapping[str, int]) -> Ran:
    with tools.scratch() as folder:
        for file in ("input.bin", "l3.bin"):
            if (source / file).exists():
                shutil.copy(source / file, folder)
        elf = (source / "firmware.elf").read_bytes()
        cycles = {**cycles, "register_strict": 0}
        ended = simulate(elf, cycles=cycles, folder=folder, max_cycles=1 << 32)
        if ended.exit_code:
            raise ValueError(f"{source.name} ended with {ended.exit_code}: {ended.output}")
        return _read(folder)


@cache
def run(name: str, like: str) -> Ran:
    """What the simulator gives with a chip description of COSTS."""
    return _simulated(NETWORKS / name, COSTS[like])


def recorded_on_gap9(name: str, platform: str) -> Ran:
    """Output and cycles on a configuration of GAP9's platform."""
    return _read(GAP9_NETWORKS / name, f"cycles_{platform}.bin")


@cache
def run_as_gap9(name: str, platform: str) -> Ran:
    """Output and cycles of the simulator, with the platform's banks of L1."""
    return _simulated(GAP9_NETWORKS / name, {**COSTS["silicon"], **PLATFORMS[platform]})


def record(name: str) -> str:
    """Runs it on GVSoC, writes what that gave, and says what changed."""
    source = NETWORKS / name
    before = recorded(name) if (source / FILES[0]).exists() else None
    with tools.scratch() as folder:
        (folder / "input.bin").write_bytes((source / "input.bin").read_bytes())
        ended = run_elf(source / "firmware.elf", folder, timeout_s=TIMEOUT_S)
        if ended.returncode:
            raise SystemExit(f"{name}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
        for file in FILES:
            (source / file).write_bytes((folder / file).read_bytes())
    now = recorded(name)
    was = f"{before.total}, now " if before else ""
    return f"{name}: as before" if now == before else f"{name}: {was}{now.total}"
