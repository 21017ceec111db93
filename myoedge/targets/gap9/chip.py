# SPDX-License-Identifier: Apache-2.0
"""GreenWaves GAP9: one fabric controller and a cluster of nine RISC-V cores."""

from __future__ import annotations

from myoedge.targets.chip import Chip, Engine, MemoryLevel, OperatingPoint
from myoedge.targets.divided_clock import DividedClock
from myoedge.targets.gap9.costs import KERNELS, TRANSFERS
from myoedge.targets.gap9.energy import L3_BYTE_PJ, MRAM_BYTE_PJ
from myoedge.targets.gap9.mram_map import BOOT_BYTES, MAP, MRAM_BYTES
from myoedge.targets.gap9.mram_map import CLOCK_HZ as MRAM_CLOCK_HZ

KIB = 1024

CLOCK_HZ = 370_000_000

MRAM = MemoryLevel(
    "mram",
    bytes=MRAM_BYTES,
    bytes_per_cycle=1.0,  # at its clock: below
    pj_per_byte=(0.0, MRAM_BYTE_PJ, 100.0),
    channel="mram",
    reserved_bytes=MRAM_BYTES - MAP.image_bytes,
    program_bytes=MAP.applications[0].size_bytes - BOOT_BYTES,
    word_bytes=16,
    # Reads one behind the other, by the runtime on the simulator; words: GVSoC's GAP9.
    clock=DividedClock(
        most_hz=MRAM_CLOCK_HZ, word_bytes=16, least_cycles=10, start_periods=20, start_cycles=375
    ),
).at(CLOCK_HZ)

GAP9 = Chip(
    name="gap9",
    doc="GreenWaves GAP9: 1 fabric controller + 9-core RISC-V cluster, 128 KiB L1, 1.5 MiB L2",
    l1_bytes=128 * KIB,
    l1_reserved_bytes=12 * KIB,  # link.ld: nine stacks of 1.25 KiB; queues; the current tile
    l2_bytes=1536 * KIB,
    l2_reserved_bytes=128 * KIB,  # 30 KiB of code, and some 0.8 KiB per layer
    layer_code_bytes=1 * KIB,  # code, and tables of transfers
    levels=(
        # The octal interface transfers a byte in two periods of the peripheral clock (GVSoC's
        # GAP9).
        MemoryLevel(
            "l3",
            bytes=32 * KIB * KIB,
            bytes_per_cycle=0.5,
            start_cycles=250,
            pj_per_byte=(300.0, L3_BYTE_PJ, 900.0),
            channel="octospi",
            writable=True,
            external="ram",
        ),
    ),
    optional_levels=(MRAM,),
    # Eight cores compute four int8 products per cycle each; the ninth moves data, and also computes
    # in large layers.
    engines=(
        Engine("cluster", cores=8, macs_per_cycle=32, kernels=KERNELS),
        Engine("nine cores", cores=9, macs_per_cycle=36, kernels=KERNELS, control_core=True),
        # 16 x 9 products of 8 x 8 bits per cycle for 3 x 3 convolutions; eight cores work next to
        # it.
        Engine("ne16", cores=8, macs_per_cycle=144, kernels=KERNELS, accelerator=True),
    ),
    transfers=TRANSFERS,
    points=(
        OperatingPoint("high", volts=0.80, clock_hz=CLOCK_HZ),
        OperatingPoint("low", volts=0.65, clock_hz=240_000_000),
    ),
    voltages=((0.65, 240_000_000), (0.70, 280_000_000), (0.75, 325_000_000), (0.80, 370_000_000)),
    sources=(
        "memory sizes and cores: GreenWaves gap_sdk 4.12, GAP9 platform description",
        "operating points: MLPerf Tiny v1.0, GreenWaves submission (closed division)",
        "voltages and their highest clocks: pi_pmu_voltage_set and pi_freq_set of GreenWaves SDK 5",
    ),
)

WORKERS = GAP9.engines[0].cores  # ME_WORKERS of the runtime: cores 0 to 7
