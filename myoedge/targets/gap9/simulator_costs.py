# SPDX-License-Identifier: Apache-2.0
"""Costs of GAP9 in cycles of the cluster clock: the simulator's chip description.

simulator/core/chip.h documents each name. Sources:

platform   GVSoC's GAP9 platform of the public gap_sdk 4.12, by recorded programs, whose figures are
           in docs/developers/simulator-accuracy.md
public     GVSoC 209c147, a GAP9-like system of its public blocks, by the same programs
manual     CV32E40P user manual (the published successor of the RI5CY core), pipeline.rst

If platform and public agree, their number is used; otherwise the manual's, or the platform's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KIB = 1024

_GAP9 = {
    "l1_base": 0x1000_0000,
    "l1_bytes": 128 * KIB,
    "l1_banks": 16,
    "l1_contention": 1,
    "l1_test_and_set_offset": 0x0010_0000,
    "l2_base": 0x1C00_0000,
    "l2_bytes": 64 * KIB + 1536 * KIB,
    "fc_alias_bytes": 64 * KIB,
    "cluster_alias_bytes": 0x0040_0000,
    "demux_base": 0x1020_4000,
    "demux_bytes": 0x1000,
    "l3_bytes": 32 * KIB * KIB,
    "cluster_cores": 9,
    "fc_hart": 9,
    # Core (platform, public GVSoC and manual agree unless noted).
    "load_use_stall": 1,
    "mul_cycles": 1,  # manual and platform; public 2
    "mul_use_stall": 1,
    "mulh_cycles": 5,
    "mulh_use_stall": 0,  # manual and platform; public 1
    "div_base_cycles": 3,
    "div_by_zero_cycles": 35,  # manual; platform 34, public 1
    "div_use_stall": 0,
    "branch_taken_stall": 2,
    "jump_stall": 1,
    "jump_fetches_next": 1,  # platform; public 0
    "waits_add": 1,  # platform; public 0
    "misaligned_stall": 0,
    "misaligned_load_use_stall": 1,
    "misaligned_store_waits": 1,  # platform; public 0
    "address_use_stall": 1,  # manual and public; platform 0
    "elw_cycles": 5,  # public; platform 11, manual 4
    "wake_cycles": 5,  # public; platform 7
    "counter_csr_cycles": 1,
    "l2_cluster_cycles": 15,
    "l2_fc_cycles": 1,
    "l1_fc_cycles": 15,
    "outer_bytes_per_cycle": 0,  # platform; public 8
    "outer_reach_cycles": 2,
    "demux_cycles": 1,
    "register_strict": 1,
    "cluster_register_cycles": 3,
    "cluster_register_cycles_fc": 15,
    "soc_register_cycles_cluster": 23,
    "soc_register_cycles_fc": 9,
    # Instruction caches (platform and public GVSoC; 16-byte lines).
    "line_bytes": 16,
    "l0_sets": 8,
    "l0_ways": 4,
    "l0_master_sets": 32,
    "l1_cache_banks": 2,
    "l1_cache_sets": 32,
    "l1_cache_ways": 4,
    "fc_cache_sets": 32,
    "fc_cache_ways": 4,
    "l0_refill_cycles": 2,
    "l1_cache_refill_cycles": 2,
    "l2_line_cycles": 14,
    "fc_line_cycles": 5,
    "fc_cache_refill_cycles": 0,
    # Performance counters: what ld_stall counts for a multiplication (as the platform).
    "mul_counted": 0,
    "mul_use_counted": 1,
    "mulh_counted": 1,
    "mulh_use_counted": 0,
    "outside_counted": 0,
    # Event unit.
    "event_unit_bytes": 0x800,
    "barriers": 8,
    "mutexes": 8,
    "software_events": 8,
    "elw_active_cycles": 5,
    "mutex_cycles": 3,
    "core_start_cycles": 1,
    "fc_wake_cycles": 1,
    "interrupt_cycles": 4,  # manual: to the first instruction of the table; platform 0
    # DMA
    "dma_ids": 16,
    "dma_core_queue": 2,
    "dma_global_queue": 8,
    "dma_requests": 8,
    "dma_burst_bytes": 256,
    "dma_ports": 2,
    "dma_port_bytes": 4,
    "dma_step_cycles": 1,
    "dma_max_bytes": 128 * KIB - 1,
    # L3
    "l3_cycles_per_byte_x256": 256,
    "l3_start_cycles": 12,  # these values: platform
    "l3_bus_start_cycles": 9,
    "l3_octospi_latency_cycles": 0,  # included above
    "l3_write_start_cycles": 12,
    "l3_write_word_cycles": 0,
    "l3_hyper_bus_cycles": 1,
    "l3_queue": 8,
    "l3_slots": 8,
    # On-chip flash (platform: reads as recorded, the rest by its source); a word takes 330 ns.
    "mram_bytes": 2048 * KIB,
    "mram_read_cycles": 17,
    "mram_read_periods": 13,
    "mram_read_word_cycles": 4,
    "mram_read_divided_cycles": 6,
    "mram_read_free_divider": 6,
    "mram_read_end_periods": 7,
    "mram_start_cycles": 920,
    "mram_word_cycles": 123,
    "mram_program_periods": 13,
    "mram_erase_periods": 8,
    "mram_trim_periods": 125,
    # NE16 (platform)
    "ne16_strict": 1,
    "ne16_contention": 1,
    "ne16_newer_first": 1,  # platform; public 0
    "ne16_past_wraps": 1,  # platform; public 0
    "ne16_start_cycles": 7,  # platform; public 1
    "ne16_next_cycles": 1,
    "ne16_load_cycles": 6,
    "ne16_filter_cycles": 6,
    "ne16_pixel_cycles": 10,
    "ne16_depthwise_cycles": 22,
    "ne16_drain_cycles": 6,
    # Actions of a program on the simulated machine.
    "file_bytes": 1 << 30,
    "print_bytes": 1 << 26,
    "file_opens": 100_000,
    "output_bytes": 1 << 20,
    "fc_clock_x256": 256,
    "periph_clock_x256": 256,
    "spi_divider_periods": 1,  # the SDK's driver; its model takes 2
    "clock_divider": 0,
    "fll_access_cycles": 45,  # three periods of 24.576 MHz (fll_v2_impl.cpp)
    "reference_cycles": 11292,
    # Power: not documented; 0.1 ms, 1 ms, 1 ms.
    "cluster_power_cycles": 37_000,
    "deep_sleep_wake_cycles": 370_000,
    "boot_cycles": 370_000,
}

TIMES_AT_HZ = 370_000_000  # of the entries below, which are times: cycles at this clock
TIMES = (
    *("fll_access_cycles", "reference_cycles", "cluster_power_cycles"),
    *("deep_sleep_wake_cycles", "boot_cycles"),
)


def at_clock(cycles: Mapping[str, int], clock_hz: int) -> dict[str, int]:
    """Return costs of the simulated chip at another clock: times take other cycles."""
    times = {name: round(cycles[name] * clock_hz / TIMES_AT_HZ) for name in TIMES}
    return {**cycles, **times}


GAP9_CYCLES: Mapping[str, int] = MappingProxyType(_GAP9)
# As the programs were recorded: GAP9's number of the fabric controller, and equal clocks.
PUBLIC_GVSOC_CYCLES: Mapping[str, int] = MappingProxyType(
    {
        **_GAP9,
        "fll_access_cycles": 0,
        "misaligned_store_waits": 0,
        "jump_fetches_next": 0,
        "waits_add": 0,
        "mul_cycles": 2,
        "mulh_use_stall": 1,
        "mul_counted": 1,
        "mul_use_counted": 0,
        "mulh_counted": 4,
        "div_by_zero_cycles": 1,
        "l2_line_cycles": 16,
        "outer_bytes_per_cycle": 8,
        "l3_start_cycles": 1,
        "l3_bus_start_cycles": 8,
        "l3_octospi_latency_cycles": 12,  # the runtime's setting of its controller
        "l3_write_start_cycles": 6,
        "l3_write_word_cycles": 5,
        "ne16_newer_first": 0,
        "ne16_past_wraps": 0,
        "ne16_start_cycles": 1,
    }
)

# As in backends/gvsoc.py: drivers of pulp-open, which the firmware selects by hart number, and
# peripherals at half the clock of the rest.
PULP_OPEN = {"fc_hart": 0x3E0, "l3_hyper_bus_cycles": 2, "periph_clock_x256": 128}

# Platforms by name, as in `--like`.
COSTS = MappingProxyType(
    {
        "silicon": GAP9_CYCLES,
        "public-gvsoc": MappingProxyType({**PUBLIC_GVSOC_CYCLES, **PULP_OPEN}),
    }
)
