# SPDX-License-Identifier: Apache-2.0
"""The chip description: its names are those of the C, and each of them changes something."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

import myoedge.simulator
from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions, binding, machine, simulate
from myoedge.targets import find_chip
from myoedge.targets.gap9.simulator_costs import COSTS, GAP9_CYCLES
from tests.isa.program import RESULTS, addi, bne, leave, load_constant, sw
from tests.simulator.cores import (
    DMA,
    EBREAK,
    EVENTS,
    ITC_MASK,
    ITC_STATUS_SET,
    L1,
    L2,
    NOTES,
    T0,
    T1,
    WFI,
    Code,
    get,
    load,
    make,
    note,
    note_cycle,
    put,
    repeat,
    spin,
    store,
    until,
)
from tests.simulator.fixture import load as recorded
from tests.simulator.flash_code import PROGRAM, READ, WORDS, erased, moved, opened
from tests.simulator.ne16_jobs import ACQUIRE, STATUS, TRIGGER, ready, timed, write
from tests.simulator.ne16_jobs import recorded as recorded_jobs
from tests.support.each import each

CORE = Path(myoedge.simulator.__file__).parent / "core"


def names_in_c() -> list[str]:
    """The names between X( and ) of chip.h."""
    text = re.sub(r"/\*.*?\*/", "", (CORE / "chip.h").read_text(), flags=re.DOTALL)
    return re.findall(r"X\((\w+)\)", text.split("CHIP_PARAMETERS(X)", 1)[1].split("typedef")[0])


@pytest.mark.parametrize("like", COSTS)
def test_the_names_of_a_description_are_those_of_the_c(like: str) -> None:
    names = names_in_c()
    assert len(names) == len(set(names)) > 50
    assert machine.parameters(binding.core()) == names
    assert set(COSTS[like]) == set(names)


def test_every_name_is_used_in_the_c() -> None:
    code = "".join(file.read_text() for file in CORE.iterdir() if file.name != "chip.h")
    pasted = {"mul_cycles", "mulh_cycles"}  # from pieces, by a macro
    used = set(re.findall(r"\w+", code)) | pasted
    assert [name for name in names_in_c() if name not in used] == []


def test_sizes_are_those_of_the_chip() -> None:
    gap9 = find_chip("gap9")
    assert GAP9_CYCLES["l1_bytes"] == gap9.l1_bytes
    assert GAP9_CYCLES["l2_bytes"] == gap9.l2_bytes + 64 * 1024
    assert GAP9_CYCLES["l3_bytes"] == gap9.l3_bytes


# ---- every number changes something

SECOND = 0x10204400  # where a shorter event unit ends
HYPER = 0x1A102480
V3_SLOT_4 = HYPER + 4 * 0x80
TABLE = (0x1C170000, 0x20000)  # what recorded programs leave: cycles and counters
MAX_CYCLES = 20_000_000

# What is measured with them, programs that need few cycles first.
PROGRAMS = (
    "p02_loaduse",
    "p03_muldiv",
    "p11_misaligned",
    "p12_l1_load",
    "p21_dma_queue",
    "p24_events",
    "p25_mutex",
    "p26_fc",
    "p19_dma_1d",
    "p27_l3_gap9",
)
HALVED = re.compile(".*_(sets|ways|banks|burst_bytes|queue|requests|ids|offset|per_byte_x256)")
HALVED_TOO = ("line_bytes", "l1_bytes", "demux_bytes", "software_events", "cluster_cores")
MOVED = ("l1_base", "l2_base", "demux_base")

# Those that show only where others are not what they are on GAP9.
WHERE_OTHERS_ARE = {
    "mulh_use_counted": {"mulh_use_stall": 1},
    "outer_reach_cycles": {"outer_bytes_per_cycle": 1},
}


def switched_on() -> Code:
    """Clock and reset of the controller of L3."""
    return [*put(0x1A102010, 1 << 13), *put(0x1A102004, 1 << 13)]


def l3_write() -> Code:
    """A transfer into L3, and its end."""
    ready = [*switched_on(), *put(0x1A102764, 1)]
    begin = [*put(0x1A10270C, 0x1C110000), *put(0x1A102710, 4096), *put(0x1A102714, 2)]
    return [*ready, *put(0x1A102760, 1), *put(ITC_MASK, 1 << 30), *begin, WFI]


def hyper_begin(slot: int) -> Code:
    """A transfer out of L3 by pulp-open's controller, in a slot by its offset."""
    at = HYPER + slot
    begin = [*put(at, 0x1C110000), *put(at + 4, 64), *put(at + 8, 1 << 4)]
    return [*put(0x1A102000, 1 << 8), *begin]


def hyper_read() -> Code:
    """The same, and the cycle of its end."""
    return [*hyper_begin(0), *until(HYPER + 0x24, 0), *note_cycle(0)]


def misaligned_stores(core: int) -> Code:
    """Words across two banks, of core 0, or in the second one; and the cycle behind them."""
    return [
        *put(L1 + (4 if core else 2), 7),
        *repeat(20, [store(T0, T1, 4)] * 4),
        *note_cycle(core),
    ]


def open_and_write() -> Code:
    """A file by semihosting; its handle and what was not written are noted."""
    block, name = 0x1C0F0000, 0x1C0F0100
    call = [0x01F01013, EBREAK, 0x40705013]
    arguments = [*put(block, name), *put(block + 4, 5), *put(block + 8, 1), *put(name, ord("f"), 1)]
    opened = [*arguments, addi(10, 0, 1), *load_constant(11, block), *call, *note(0, 10)]
    size = [*load_constant(11, block), sw(10, 0, 11), *put(block + 4, name), *put(block + 8, 900)]
    return [*opened, *size, addi(10, 0, 5), *load_constant(11, block), *call, *note(1, 10)]


def print_at_once() -> Code:
    """Four characters by one call of semihosting."""
    text = 0x1C0F0000
    stored = [*put(text, 0x64636261), *put(text + 4, 0), *load_constant(11, text)]
    return [*stored, addi(10, 0, 4), 0x01F01013, EBREAK, 0x40705013]


def many_transfers() -> Code:
    """More than the queues take, and the cycles in which they were taken."""
    code = get(DMA, 0)
    for n in range(15):
        for word in (8192 | 3 << 17, L1 + 8192 * n, 0x1C110000 + 8192 * n):
            code += put(DMA, word)
        code += note_cycle(1 + n)
    return [*code, *until(DMA + 4, 1 << 16), *note_cycle(20)]


def far_branches() -> list[int]:
    """Branches beyond the next line, from every word of a line."""
    block = [bne(T1, 0, 4 * 13), *[addi(0, 0, 0)] * 12]
    return [*load_constant(T1, 1), *block * 4]


def results_in_other_lines() -> list[int]:
    """Loads used at once, from every word of a line, in code that has not run."""
    return [*load_constant(T1, L2), *[load(T0, T1, 4), addi(T0, T0, 0), addi(0, 0, 0)] * 8]


def job(name: str, beside: int = 0) -> bytes:
    """A recorded job of NE16, beside transfers, and the cycles around it."""
    taken = recorded_jobs()[name]
    code = [*ready(), *write(taken.registers), *timed(beside)]
    return make({0: code}, memory=[(L1, taken.before.tobytes())])


def two_jobs() -> bytes:
    taken = recorded_jobs()["a19_1x1_big"]
    both = [
        word
        for _ in range(2)
        for word in (*get(ACQUIRE, 1), *write(taken.registers), *put(TRIGGER, 0))
    ]
    ends = [*until(STATUS, 0), *note_cycle(0)]
    return make({0: [*ready(), *both, *ends]}, memory=[(L1, taken.before.tobytes())])


def interrupted() -> bytes:
    """Interrupt 0, whose handler ends the run."""
    to_mtvec, interrupts_on, table = 0x30529073, 0x30046073, 0x1C120000
    fc = [*load_constant(T0, table), to_mtvec, *put(ITC_MASK, 1), interrupts_on]
    handler = struct.pack(f"<{len(leave())}I", *leave())
    return make({}, [*fc, *put(ITC_STATUS_SET, 1), *spin(9), WFI], [(table, handler)])


def sent_byte() -> bytes:
    """A byte by UART 0, and the cycle of its end."""
    uart, ready = 0x1A102280, [*put(0x1A102010, 1 << 4), *put(0x1A102004, 1 << 4)]
    code = [*ready, *put(uart + 4, 0), *put(uart + 0x24, 0x106), *put(0x1A103000, 0x1C110000)]
    code += [*put(0x1A103008, 1), *put(0x1A10301C, 2), *until(uart + 0x20, 0), *note_cycle(0)]
    return make({}, code)


def waiting_spi() -> bytes:
    """SPI 0 waits for 100 of its own clocks, and the cycle in which it takes another command."""
    ready, commands = [*put(0x1A102010, 1), *put(0x1A102004, 1)], 0x1C110000
    for n, word in enumerate((8, 5 << 28 | 1 << 8 | 100, 9 << 28)):
        ready += put(commands + 4 * n, word)
    code = [*ready, *put(0x1A102088, 0), *put(0x1A103000, commands), *put(0x1A103008, 12)]
    return make({}, [*code, *put(0x1A10301C, 2), *until(0x1A103018, 0), *note_cycle(0)])


def counter_sleep() -> bytes:
    """Deep sleep for a period of the slow clock; the program, begun anew, ends."""
    again = [*load_constant(T1, 0x1A1040F8), load(T0, T1, 4)]
    sleep = [*put(0x1A104104, 1), *put(0x1A10410C, 1 << 20 | 1), *put(0x1A107008, 9)]
    sleep += [*put(0x1A107004, 0x10000700), WFI]
    return make({}, [*again, bne(T0, 0, 4 * len(sleep) + 4), *sleep])


def started_again() -> bytes:
    """The program restarts itself once."""
    again = [*load_constant(T1, 0x1A1040F8), load(T0, T1, 4)]
    reset = [*put(0x1A104104, 1), *put(0x1A1040BC, 1), WFI]
    return make({}, [*again, bne(T0, 0, 4 * len(reset) + 4), *reset])


def cluster_on_again() -> bytes:
    """The cluster off and on, and the cycle in which it is on."""
    code = [*put(0x1A107008, 6), *put(0x1A107004, 0x10000800), *until(0x1A107000, 0)]
    code += [*put(0x1A107008, 0), *put(0x1A107004, 0x10000800), *until(0x1A107000, 0)]
    return make({}, [*code, *note_cycle(0)])


def used_flash(divider: int) -> bytes:
    code = [*opened(divider), *moved(PROGRAM, 0, L2, 32), *moved(READ, 0, L2, 32)]
    return make({}, [*code, *note_cycle(0)])


# name: another value, and a program that behaves otherwise with it
SMALL: dict[str, tuple[int, bytes]] = {
    "l2_bytes": (0x100000, make({}, get(0x1C180000, 0))),
    "l3_bytes": (0x1000, make({}, [*switched_on(), *put(0x1A102720, 0x1000), *l3_write()])),
    "fc_alias_bytes": (0x1000, make({}, get(0x2000, 0))),
    "cluster_alias_bytes": (0x100000, make({1: get(0x204000, 0)})),
    "event_unit_bytes": (0x400, make({1: get(SECOND, 0)})),
    "interrupt_cycles": (5, interrupted()),
    "periph_clock_x256": (20, sent_byte()),
    "clock_divider": (1, make({}, [*put(0x1A10002C, 0x02020202), *note_cycle(0)])),
    "fll_access_cycles": (999, make({}, [*get(0x1A100000, 0), *note_cycle(0)])),
    "spi_divider_periods": (2, waiting_spi()),
    "reference_cycles": (9, counter_sleep()),
    "deep_sleep_wake_cycles": (9, counter_sleep()),
    "boot_cycles": (9, started_again()),
    "cluster_power_cycles": (9, cluster_on_again()),
    "jump_fetches_next": (0, make({}, [*far_branches(), *note_cycle(0)])),
    "waits_add": (0, make({}, [*results_in_other_lines(), *note_cycle(0)])),
    "misaligned_store_waits": (0, make({c: misaligned_stores(c) for c in range(8)})),
    "register_strict": (0, make({}, get(0x1A102004, 0))),
    "barriers": (4, make({1: get(EVENTS + 0x2E0, 0)})),
    "mutexes": (4, make({1: put(EVENTS + 0xDC, 0)})),
    "dma_ids": (8, make({1: [*get(DMA, 0)] * 9})),
    "dma_max_bytes": (
        63,
        make({1: [*get(DMA, 0), *put(DMA, 64 | 3 << 17), *put(DMA, L1), *put(DMA, 0x1C110000)]}),
    ),
    "l0_master_sets": (1, make({8: repeat(9, [addi(0, 0, 0)] * 100)})),
    "l3_queue": (1, make({}, [*hyper_begin(0), *hyper_begin(0x80)])),
    "l3_hyper_bus_cycles": (2, make({}, hyper_read())),
    "l3_slots": (4, make({}, get(V3_SLOT_4, 0))),
    "l3_write_word_cycles": (100, make({}, l3_write())),
    "mram_bytes": (0x1000, make({}, [*opened(), *moved(READ, 0x1000, L2, 16)])),
    "mram_read_cycles": (999, used_flash(1)),
    "mram_read_periods": (999, used_flash(1)),
    "mram_read_word_cycles": (999, used_flash(1)),
    "mram_read_divided_cycles": (999, used_flash(2)),
    "mram_read_free_divider": (2, used_flash(2)),
    "mram_read_end_periods": (999, used_flash(1)),
    "mram_start_cycles": (9999, used_flash(1)),
    "mram_word_cycles": (999, used_flash(1)),
    "mram_program_periods": (999, used_flash(1)),
    "mram_erase_periods": (999, make({}, [*opened(), *erased(WORDS, 0, 2), *note_cycle(0)])),
    "mram_trim_periods": (999, make({}, [*opened(), *note_cycle(0)])),
    "file_bytes": (899, make({}, open_and_write())),
    "file_opens": (0, make({}, open_and_write())),
    "output_bytes": (2, make({}, print_at_once())),
    "print_bytes": (3, make({}, print_at_once())),
    "dma_core_queue": (1, make({1: many_transfers()})),
    "dma_requests": (1, make({1: many_transfers()})),
    "ne16_strict": (0, job("e01_norm_bits_reserved")),
    "ne16_contention": (0, job("a01_1x1_base")),
    "ne16_newer_first": (0, job("b01_3x3_base", beside=1)),
    "ne16_past_wraps": (0, job("a07_1x1_w6_raw32")),
    "ne16_start_cycles": (8, job("a01_1x1_base")),
    "ne16_next_cycles": (200, two_jobs()),
    "ne16_load_cycles": (7, job("a01_1x1_base")),
    "ne16_filter_cycles": (7, job("b01_3x3_base")),
    "ne16_pixel_cycles": (11, job("a01_1x1_base")),
    "ne16_depthwise_cycles": (23, job("c01_dw_base")),
    "ne16_drain_cycles": (7, job("a01_1x1_base")),
}


def signature(elf: bytes, cycles: Mapping[str, int], folder: Path | None = None) -> object:
    """All that a run gives."""
    options = RunOptions(dump=[TABLE, (RESULTS, 4 * NOTES)])
    try:
        run = simulate(elf, cycles=cycles, max_cycles=MAX_CYCLES, options=options, folder=folder)
    except MyoedgeError as error:
        return error.code
    return run.cycles, run.counts, run.output, run.dumps


@functools.cache
def usual(name: str, **others: int) -> object:
    return signature(recorded()[name].elf, {**GAP9_CYCLES, **others})


def another(name: str, value: int) -> int:
    if name in MOVED:
        return value + 0x10000
    if HALVED.fullmatch(name) or name in HALVED_TOO:
        return value // 2
    return 0 if name == "l1_contention" else value + 1


@pytest.mark.parametrize("name", sorted(set(GAP9_CYCLES) - set(SMALL)))
def test_another_number_shows_in_a_recorded_program(name: str) -> None:
    others = WHERE_OTHERS_ARE.get(name, {})
    changed = {**GAP9_CYCLES, **others, name: another(name, GAP9_CYCLES[name])}
    assert any(
        signature(recorded()[program].elf, changed) != usual(program, **others)
        for program in PROGRAMS
    )


@pytest.mark.parametrize("name", SMALL)
def test_another_number_shows_in_a_small_program(name: str, tmp_path: Path) -> None:
    value, elf = SMALL[name]
    usually = signature(elf, GAP9_CYCLES, tmp_path)
    assert signature(elf, {**GAP9_CYCLES, name: value}, tmp_path) != usually


# ---- descriptions that no chip has


@each("name", ["l1_banks", "line_bytes", "l0_ways", "l1_bytes", "cluster_cores"])
@each("value", [0, 3, 0xFFFFFFFF])
def test_a_description_of_nothing_is_refused(name: str, value: int) -> None:
    cycles = {**GAP9_CYCLES, name: value}
    if (name, value) == ("cluster_cores", 3):
        assert simulate(make({}, []), cycles=cycles).exit_code == 0
        return
    with pytest.raises((MyoedgeError, MemoryError)):
        simulate(make({}, []), cycles=cycles)


def test_a_description_without_a_name_is_refused() -> None:
    with pytest.raises(KeyError):
        simulate(make({}, []), cycles={k: v for k, v in GAP9_CYCLES.items() if k != "l1_banks"})
