# SPDX-License-Identifier: Apache-2.0
"""GreenWaves GAP9: one fabric controller and a cluster of nine RISC-V cores."""

from __future__ import annotations

from myoedge.targets.chip import Chip, Engine, OperatingPoint
from myoedge.targets.clocks import DividedClock
from myoedge.targets.costs import KernelCost, TransferCost
from myoedge.targets.gap9.energy import ENERGY, L3_BYTE_PJ, MRAM_BYTE_PJ
from myoedge.targets.gap9.program import LAYOUT, MAP, MRAM_BYTES, MRAM_CLOCK_HZ, PROGRAM
from myoedge.targets.gap9.simulator_costs import COSTS, PULP_OPEN
from myoedge.targets.memories import MemoryLevel
from myoedge.targets.program import GvsocSystem

KERNELS = {
    # Per packed word of weights, in addition to the kernel.
    "me_unpack_s4_s8": KernelCost(6.3, 100),
    "me_unpack_s2_s8": KernelCost(12.5, 100),
    "me_unpack_s8_s16": KernelCost(6.3, 100),
    "me_unpack_s4_s16": KernelCost(12.5, 100),
    # Per word of taps of 4 x 4 sums.
    "me_linear_s8": KernelCost(25.8, 740, 1800),
    # Cycles of the engine and the cores.
    "me_ne16_jobs, rows": KernelCost(1.04, 550, 350, change_cycles=2200, dma_delay=0.17),
    "me_ne16_jobs, rows, add": KernelCost(1.0, 500, 300, change_cycles=2200, dma_delay=0.17),
    "me_ne16_jobs, rows, int16": KernelCost(1.0, 1100, 1200, change_cycles=2200),
    "me_ne16_matmul_s8": KernelCost(1.0, 900, 2500),
    "me_ne16_attention_s8": KernelCost(1.0, 300, 3000),
    "me_ne16_attention_resident_s8": KernelCost(1.0, 300, 5000),
    "me_ne16_attention_exp12_s8": KernelCost(1.0, 300, 4000),
    "me_ne16_attention_resident_exp12_s8": KernelCost(1.0, 300, 5000),
    "me_ne16_recurrent": KernelCost(1.0, 700, 1500),  # cycles of the engine and the cores
    "me_ne16_jobs, conv": KernelCost(1.0, 600, 800),
    "me_ne16_jobs, windows": KernelCost(1.0, 750, 600),
    "me_ne16_jobs, windows over edges": KernelCost(1.0, 750, 2100),  # with code of padding
    "me_ne16_jobs, turned": KernelCost(1.0, 950, 1700),
    "me_ne16_jobs, sums, 8": KernelCost(1.0, 600, 2000),
    "me_ne16_jobs, sums, 16": KernelCost(1.03, 600, 3500),
    "me_ne16_jobs, conv, add": KernelCost(1.0, 900, 1500),
    "me_ne16_jobs, windows, add": KernelCost(1.0, 1050, 1300),
    "me_ne16_jobs, windows over edges, add": KernelCost(1.0, 1050, 2800),
    "me_ne16_jobs, phases, add": KernelCost(1.0, 900, 1700),
    "me_ne16_jobs, mean": KernelCost(1.0, 600, 600),
    "me_ne16_jobs, phases": KernelCost(1.0, 600, 1000),
    "me_ne16_jobs, rest": KernelCost(1.0, 800, 2000),  # both have code
    "me_conv_s8": KernelCost(25.5, 1300, 1400, warm_cycles=1200),
    "me_matmul_s8": KernelCost(27.0, 2600, 800),
    "me_conv_s16": KernelCost(23.8, 1030, 1500),
    "me_linear_s8_s16": KernelCost(24.6, 420, 1500),
    "me_linear_s16": KernelCost(25.2, 600, 1500),
    "me_attention_s8": KernelCost(25.0, 550, 4300),
    "me_attention_exp12_s8": KernelCost(25.0, 550, 4300),
    "me_attention_s16": KernelCost(1.0, 1400, 7000),  # cycles by its own formula
    # Per word of taps of four sums.
    "me_linear_in_place_s8": KernelCost(13.0, 500, 1000),
    # Per word of taps of one sum.
    "me_matmul_s16": KernelCost(8.6, 500, 1000),
    "me_matmul_in_place_s8": KernelCost(14.0, 500, 1000),
    # Per load of taps or weights.
    "me_group_conv_s8": KernelCost(4.0, 300, 600),
    # Per four channels of two results of 3 x 3 taps.
    "me_depthwise_conv_s8": KernelCost(69.7, 900, 1300),
    "me_depthwise_lines_s8": KernelCost(1.0, 1000, 2000),  # cycles by its own formula
    "me_depthwise_conv_s16": KernelCost(1.1, 800, 3000),  # per cycle of two results of two channels
    # Per word of four results.
    "me_add_s8": KernelCost(24.3, 300, 700),
    "me_mul_s8": KernelCost(31.3, 350, 800),
    "me_table_s8": KernelCost(12.9, 225, 300),
    "me_tables_s8": KernelCost(13.2, 250, 400),
    # Per result.
    "me_selective_scan_s8": KernelCost(10.3, 700, 1500),  # per step of a state
    "me_selective_scan_s16": KernelCost(46.5, 600, 2200),
    "me_selective_stream_s8": KernelCost(10.3, 700, 1600),
    "me_selective_stream_s16": KernelCost(46.5, 600, 2300),
    "me_embedding_fetched_s8": KernelCost(0.13, 300, 400),
    "me_embedding_l3_s8": KernelCost(2.0, 300, 400),
    "me_add_s16": KernelCost(8.4, 240, 400),
    "me_transpose_s16": KernelCost(2.2, 240, 550),
    # Per sample of a signal: and section, or of all.
    "me_biquads_s16": KernelCost(78, 500, 900),
    # Per frame: and class, unchanged, or per vote.
    "me_ctc_greedy_s8": KernelCost(9, 400, 400),
    "me_ctc_greedy_s16": KernelCost(9, 400, 400),
    # Per element of a row.
    "me_group_norm_s8": KernelCost(11.5, 600, 1000),
    "me_group_norm_s16": KernelCost(11.5, 600, 1000),
    "me_trees_s16": KernelCost(14, 300, 700),
    "me_features_s16": KernelCost(2.0, 300, 700),
    # Per byte of a core.
    "me_copy_s8": KernelCost(0.66, 100, 230),
    "me_transpose_s8": KernelCost(1.7, 620, 750),
    # Per instruction on a word of states or weights.
    "me_recurrent": KernelCost(1.15, 700, 300),
    "me_recurrent_streamed": KernelCost(1.15, 100, 300),
    # Per cycle of a transform of a core.
    "me_spectrogram_s16": KernelCost(1.0, 600, 1000),
}

TRANSFERS = TransferCost(
    bytes_per_cycle=8,
    line_cycles=2.3,
    command_cycles=85,
    contention=0.21,
    barrier_cycles=40,
    tile_setup_cycles=140,
    layer_setup_cycles=370,
    network_cycles=700,
    ninth_core_cycles=250,
    level_command_cycles=730,
    level_wait_cycles=240,
    cache_code_cycles=7000,  # three quarters of 256 lines of 16 B, 35 cycles each
)


KIB = 1024

CLOCK_HZ = 370_000_000

MRAM = MemoryLevel(
    "mram",
    bytes=MRAM_BYTES,
    bytes_per_cycle=1.0,  # at its clock: below
    pj_per_byte=(0.0, MRAM_BYTE_PJ, 100.0),
    channel="mram",
    reserved_bytes=MRAM_BYTES - MAP.image_bytes,
    program_bytes=LAYOUT.application_bytes - LAYOUT.boot_bytes,
    word_bytes=16,
    # Reads one behind the other, by the runtime on the simulator; words: GVSoC's GAP9.
    clock=DividedClock(
        MRAM_CLOCK_HZ, 16, held_cycles=6, free_divider=6, start_periods=20, start_cycles=375
    ),
    least_chip_hz=MRAM_CLOCK_HZ + 1_000_000,  # GAP9's platform hangs at a divider of 1
).at(CLOCK_HZ)

GAP9 = Chip(
    name="gap9",
    doc="GreenWaves GAP9: 1 fabric controller + 9-core RISC-V cluster, 128 KiB L1, 1.5 MiB L2",
    l1_bytes=128 * KIB,
    l1_reserved_bytes=12 * KIB,  # link.ld.j2: nine stacks of 1.25 KiB; queues; the current tile
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
            least_chip_hz=240_000_000,  # a burst must end within 2 us: slower ones are not known
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
        Engine("ne16", 8, 144, KERNELS, accelerator=True, title="NE16"),
    ),
    program=PROGRAM,
    energy=ENERGY,
    runners=("simulator", "gvsoc", "gvsoc-sdk", "board", "jtag"),
    platforms={name: dict(costs) for name, costs in COSTS.items()},
    # pulp-open's first core; GAP9's own, 9, makes all clocks equal: gvsoc/README.md
    gvsoc=GvsocSystem(
        "gap9like", CLOCK_HZ, PULP_OPEN["fc_hart"], {"ne16": "models/pulp/ne16/ne16.so"}
    ),
    transfers=TRANSFERS,
    points=(
        OperatingPoint("high", volts=0.80, clock_hz=CLOCK_HZ),
        OperatingPoint("low", volts=0.65, clock_hz=240_000_000),
    ),
    voltages=((0.65, 240_000_000), (0.70, 280_000_000), (0.75, 325_000_000), (0.80, 370_000_000)),
    # By the generator's dividers. Below 10 MHz, leakage is all that is left.
    low_clocks_hz=tuple(1_000_000 * mhz for mhz in (10, 15, 20, 30, 40, 60, 80, 120, 160)),
    sources=(
        "memory sizes and cores: GreenWaves gap_sdk 4.12, GAP9 platform description",
        "operating points: MLPerf Tiny v1.0, GreenWaves submission (closed division)",
        "voltages and their highest clocks: pi_pmu_voltage_set and pi_freq_set of GreenWaves SDK 5",
    ),
)
