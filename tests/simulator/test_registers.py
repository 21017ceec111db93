# SPDX-License-Identifier: Apache-2.0
"""Registers by what programs may do with them, against the register pages of the GAP SDK."""

from __future__ import annotations

import re

import pytest

from myoedge.codegen.render import template_dir
from myoedge.errors import MyoedgeError
from myoedge.simulator import simulate
from tests.simulator.cores import Code, get, make, put, run, wait

CORE = 1  # of the cluster; the fabric controller has no event unit
UDMA, OCTOSPI = 0x1A102000, 0x1A102700

# as the pages of gap_sdk 4.12 name them (rtos/pulp/gap_archi/doc/ips)
WRITE_ONLY = {
    0x10200418: "START_LO",
    0x1A10B024: "RESET_HI",
    0x10201000: "TRIGGER",
    0x10201014: "SOFT_CLEAR",
    0x10201400: "ENABLE",
    0x10201404: "FLUSH",
    0x10204004: "EU_CORE_MASK_AND",
    0x10204008: "EU_CORE_MASK_OR",
    0x10204014: "EU_CORE_MASK_IRQ_OR",
    0x10204028: "EU_CORE_BUFFER_CLEAR",
    0x1020411C: "EU_CORE_TRIGG_SW_EVENT",
    0x10204210: "HW_BARR_TRIGGER",
    0x10200848: "EU_CORE_MASK_OR",
    0x1A102004: "CFG_CG_SET",
    0x1A102008: "CFG_CG_CLR",
    0x1A102010: "CFG_RSTN_SET",
    0x1A102014: "CFG_RSTN_CLR",
    0x1A106000: "SW_EVENT",
    0x1A106098: "FC_MASK_CLR",
    0x1A108800: "ENABLE",
    0x1A109004: "MASK_SET",
    0x1A109008: "MASK_CLEAR",
    0x1A109010: "STATUS_SET",
    0x1A109814: "STATUS_CLEAR",
    0x1A10F000: "CMD",
    0x1A120008: "PUTC",
}
READ_ONLY = {
    0x10201004: "ACQUIRE",
    0x1020108C: "STATUS",
    0x10204018: "EU_CORE_STATUS",
    0x1020401C: "EU_CORE_BUFFER",
    0x10200864: "EU_CORE_BUFFER_IRQ_MASKED",
    0x1A100000: "FSR",
    0x1A103034: "CFG_CURR_ADDR",
    0x1A109024: "FIFO",
    0x1A1024A4: "STATUS",
    0x1A1028A4: "TRANS_ID_ALLOC",
}


def fault(code: Code) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        simulate(make({CORE: code}), max_cycles=100_000)
    return caught.value


def title_of(code: Code) -> str:
    """The fault that the code ends with; "" where it ends without one."""
    try:
        simulate(make({CORE: code}), max_cycles=20_000)
    except MyoedgeError as error:
        return error.notice.title
    return ""


@pytest.mark.parametrize("address", WRITE_ONLY)
def test_a_load_of_a_write_only_register_is_a_fault_with_its_name_and_source(address: int) -> None:
    error = fault(get(address, 0))
    assert error.code == "E704"
    said = (
        rf"load of {WRITE_ONLY[address]} at 0x{address:08x}, which is write-only \(.+ [0-9a-f]+\)"
    )
    assert re.search(said, error.notice.title)


@pytest.mark.parametrize("address", READ_ONLY)
def test_a_store_to_a_read_only_register_is_a_fault_with_its_name_and_source(address: int) -> None:
    error = fault(put(address, 0))
    assert error.code == "E704"
    said = rf"store of {READ_ONLY[address]} at 0x{address:08x}, which is read-only \(.+ [0-9a-f]+\)"
    assert re.search(said, error.notice.title)


def test_write_only_registers_take_stores_and_read_only_ones_give_values() -> None:
    """TRIGGER needs a job and the caches need their code: left out."""
    left_out = (0x10201000, 0x10201400, 0x10201404, 0x1A108800)
    stores = [w for a in WRITE_ONLY if a not in left_out for w in put(a, 0)]
    loads = [w for a in READ_ONLY for w in get(a, 0)]
    assert run(make({CORE: [*stores, *loads]})).run.exit_code == 0


def test_excluded_accesses_do_nothing_where_the_description_is_not_strict() -> None:
    lenient = {"register_strict": 0}
    stores = [w for a in READ_ONLY for w in put(a, 0xFFFFFFFF)]
    words = [a for a in WRITE_ONLY if WRITE_ONLY[a] != "PUTC"]
    loads = [w for n, a in enumerate(words) for w in get(a, n)]
    notes = run(make({CORE: [*stores, *loads]}), chip=lenient).notes
    assert not any(notes[: len(words)])


def test_waiting_at_a_write_only_register_is_a_fault() -> None:
    assert "load of EU_CORE_MASK_OR" in fault(wait(0x10204008)).notice.title


def test_clocks_and_resets_of_peripherals_are_set_and_cleared_by_bits() -> None:
    for first in (UDMA, UDMA + 0x0C):
        code = [*put(first, 0b1001), *put(first + 4, 0b0110), *put(first + 8, 0b0011)]
        assert run(make({}, [*code, *get(first, 0)])).notes[0] == 0b1100


@pytest.mark.parametrize("missing", [UDMA + 4, UDMA + 0x10])
def test_the_octospi_answers_only_with_its_clock_and_out_of_reset(missing: int) -> None:
    """GAP9's platform model ignores stores then, and a driver polls for ever."""
    switched = [a for a in (UDMA + 0x10, UDMA + 4) if a != missing]
    ready = [w for a in switched for w in put(a, 1 << 13)]
    assert "no clock or is in reset" in fault([*ready, *put(OCTOSPI + 0x20, 0)]).notice.title
    started = [*ready, *put(missing, 1 << 13), *put(OCTOSPI + 0x20, 64), *get(OCTOSPI + 0x20, 0)]
    assert run(make({CORE: started})).notes[0] == 64


def test_the_table_has_every_register_of_the_runtime() -> None:
    text = (template_dir() / "runtime" / "registers.h").read_text(encoding="utf-8")
    addresses = {int(a, 16) for a in re.findall(r"\b(0x1[0A][0-9A-F]{6})u", text)}
    assert len(addresses) > 20
    for address in addresses:
        for code in (get(address, 0), put(address, 0)):
            assert not title_of(code).startswith(f"core {CORE}: no register is known")
