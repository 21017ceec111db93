# SPDX-License-Identifier: Apache-2.0
"""Programs that go wrong: each is stopped where it does, with what people need to find it."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import read_elf, simulate
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.conftest import Ran
from tests.firmware.programs import PROGRAMS, program
from tests.isa.program import ENTRY, addi, jal, leave, load_constant, make_elf
from tests.simulator.cores import (
    DMA,
    EBREAK,
    ECALL,
    EVENTS,
    ITC_MASK,
    L1,
    MCYCLE,
    T0,
    T1,
    WAIT_CLEAR,
    WFI,
    Code,
    csrr,
    get,
    load,
    make,
    put,
    run,
    wait,
)
from tests.support.each import each

MISDEED = struct.pack("<I", 0x5A17D0ED)
FINE = 99
MAX_CYCLES = 100_000

# misdeed of faults.c: code, words of the message, function where the program says which it is
COMPILED = {
    0: ("E701", "0xffffffff is no instruction"),
    1: ("E702", "store of 4 bytes at 0x20000000"),
    2: ("E704", "no register is known at 0x1a1040b4"),
    3: ("E704", "0x10200008 takes aligned words, not 1 bytes"),
    4: ("E702", "load of 4 bytes at 0x1001fffe"),
    5: ("E703", "jump to 0x10000000"),
    6: ("E703", "jump to 0x1c190000"),
    7: ("E709", "ebreak"),
    8: ("E709", "ecall"),
    9: ("E704", "control register 0x123"),
    10: ("E705", "no bytes"),
    11: ("E705", "not all inside L1"),
    12: ("E705", "lines on the side of L1"),
    13: ("E705", "not all inside L2"),
    14: ("E705", "without an identifier"),
    15: ("E705", "stays at one address"),
    16: ("E705", "freed that nobody holds"),
    17: ("E705", "freed while its transfer is under way"),
    18: ("E705", "shares bytes of L1 with one the other way"),
    19: ("E705", "length is no multiple of its lines"),
    20: ("E705", "load of L1 bytes that a DMA transfer of 4096 bytes has yet to write"),
    21: ("E705", "store of L1 bytes that a DMA transfer of 4096 bytes has yet to write"),
    22: ("E705", "store of L1 bytes that a DMA transfer of 4096 bytes has yet to read"),
    30: ("E706", "end of a stack"),
    31: ("E707", "every core sleeps"),
    32: ("E708", f"more than {MAX_CYCLES} cycles"),
    50: ("E702", "store of 4 bytes at 0x30000000"),
}
OF_ALL = ("E707", "E708")


@functools.cache
def compiled(misdeed: int) -> bytes:
    elf = program("faults").elf
    assert elf.count(MISDEED) == 1
    return elf.replace(MISDEED, struct.pack("<i", misdeed))


def lines_of(misdeed: int) -> set[str]:
    """The lines of faults.c whose comments name the number."""
    found = set()
    for number, line in enumerate((PROGRAMS / "faults.c").read_text().splitlines(), 1):
        for comment in re.findall(r"/\* ([\d., ]+) \*/", line):
            for part in comment.split(", "):
                first, _, last = part.partition("..")
                if int(first) <= misdeed <= int(last or first):
                    found.add(f"faults.c:{number}")
    return found


def fault(elf: bytes, **options: object) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        simulate(elf, **{"max_cycles": MAX_CYCLES, **options})  # type: ignore[arg-type]
    return caught.value


def facts_of(error: MyoedgeError) -> dict[str, str]:
    return dict(error.notice.facts)


def registers_of(error: MyoedgeError) -> dict[str, int]:
    pairs = (pair.split("=") for pair in facts_of(error)["registers"].split())
    return {name: int(value, 16) for name, value in pairs}


@pytest.mark.parametrize("misdeed", COMPILED)
def test_a_compiled_program_is_told_what_where_and_when(misdeed: int) -> None:
    code, words = COMPILED[misdeed]
    error = fault(compiled(misdeed))
    facts = facts_of(error)
    assert (error.code, error.exit_code) == (code, 7)
    assert words in error.notice.title
    who = "fabric controller" if misdeed == 50 else "core 2"
    assert code in OF_ALL or error.notice.title.startswith(f"{who}: ")
    place = facts["cores"] if code in OF_ALL else facts["pc"]
    if lines := lines_of(misdeed):
        assert lines & set(re.findall(r"faults.c:\d+", place))
    else:
        assert misdeed == 31
        assert re.search(r"core 2 sleeps at 0x\w{8}  work, cluster.h:\d+", place)
    assert set(facts) >= {"cycle", "pc", "instruction", "registers", "needs"}
    assert len(registers_of(error)) == 32
    assert 0 < int(facts["cycle"]) <= MAX_CYCLES
    assert simulate(compiled(FINE)).exit_code == 77, "the next run is clean"


def test_the_function_is_the_one_that_holds_the_instruction() -> None:
    elf = compiled(30)
    facts = facts_of(fault(elf))
    pc = int(facts["pc"].split()[0], 16)
    symbols = read_elf(elf).functions
    first, end = next((first, end) for first, end, name in symbols if name == "dig")
    assert first <= pc < end
    assert "  dig, " in facts["pc"]


def test_a_race_that_has_no_victim_is_none() -> None:
    """Reading what a transfer reads; and touching its bytes when it is over."""
    assert simulate(compiled(23)).exit_code == 77


def test_where_every_core_is_when_all_sleep() -> None:
    cores = facts_of(fault(compiled(31)))["cores"].splitlines()
    assert len(cores) == 10
    assert all(re.match(r"(core \d|fabric controller) sleeps at 0x1c01", line) for line in cores)
    assert "me_fc_sleep, platform.c" in cores[9]


# ---- small programs: every number of the message is known beforehand

MARKED = 0x1234ABCD


def marked(*words: int) -> tuple[bytes, int]:
    """A program of the fabric controller that notes cycle and a number, then does `words`."""
    first = [*load_constant(28, MARKED), *load_constant(29, L1), *[addi(0, 0, 0)] * 3]
    code: Code = [*first, csrr(T0, MCYCLE), *words, *leave()]
    return make_elf([(ENTRY, struct.pack(f"<{len(code)}I", *code))], ENTRY), ENTRY + 4 * len(first)


JUMP_TO_T4 = 29 << 15 | 0x67
ONE_WORD = {
    "illegal": (0x0000_0000, "E701"),
    "floating point": (0x0000_0053, "E701"),
    "ebreak": (EBREAK, "E709"),
    "ecall": (ECALL, "E709"),
    "sret": (0x1020_0073, "E701"),
    "jump to L1": (JUMP_TO_T4, "E703"),
    "load from 0x1234abcd": (load(T1, 28, 4), "E702"),
    "csr": (csrr(T1, 0x7FF), "E704"),
}


@pytest.mark.parametrize("name", ONE_WORD)
def test_core_pc_cycle_and_registers_are_those_of_the_instruction(name: str) -> None:
    word, code = ONE_WORD[name]
    elf, before = marked(word)
    error = fault(elf)
    facts, registers = facts_of(error), registers_of(error)
    assert error.code == code
    assert error.notice.title.startswith("fabric controller: ")
    assert facts["pc"] == f"0x{before + 4:08x}"
    assert facts["instruction"] == f"0x{word:08x}"
    assert registers["t3"] == MARKED
    assert registers["t4"] == L1
    assert registers["t1"] == registers["ra"] == 0
    # the cycle behind the one that was noted, or a fetch later
    assert 1 <= int(facts["cycle"]) - registers["t0"] <= 1 + GAP9_CYCLES["fc_line_cycles"]


@pytest.mark.parametrize("address", [L1 + 1, ENTRY + 1, 0x1C000000 + 0x190000, 0x2000_0000])
def test_a_core_that_cannot_start_where_it_is_told(address: int) -> None:
    fc = [*put(0x10200040 + 4 * 3, address), *put(0x10200008, 1 << 3)]
    error = fault(make({}, fc))
    assert error.code == "E703"
    assert f"0x{address:08x}" in error.notice.title


def test_running_out_of_memory_at_its_end() -> None:
    code = struct.pack("<2I", addi(5, 5, 1), addi(5, 5, 1))
    end = 0x1C190000
    error = fault(make_elf([(end - 8, code)], end - 8))
    assert error.code == "E703"
    assert facts_of(error)["pc"] == f"0x{end - 4:08x}"


SIZES = [(0x1A109000, 1), (0x1A109000, 2), (0x10200040, 2), (DMA, 1), (EVENTS, 2), (0x1A102702, 4)]


@each(("address", "size"), SIZES)
@each("step", [put, get])
def test_registers_take_whole_words(
    address: int, size: int, step: Callable[[int, int, int], Code]
) -> None:
    error = fault(make({1: step(address, 7, size)}))
    assert error.code == "E704"
    assert f"0x{address:08x}" in error.notice.title
    assert f"{size} bytes" in error.notice.title


UNKNOWN = [0x1A104FFC, 0x1A109018, 0x10200FF8, 0x1A10700C, 0x1A102700 + 0x18, 0x10204000 + 0x7FC]


@each("address", UNKNOWN)
@each("step", [put, get])
def test_registers_nobody_knows(address: int, step: Callable[[int, int], Code]) -> None:
    assert fault(make({1: step(address, 7)})).code == "E704"


HOLES = [0x0FFFFFFC, 0x10020000, 0x1BFFFFFC, 0x1C190000, 0xFFFFFFFC, 0x1A10FFF0 + 0x1000, 0x400000]


@each("address", HOLES)
@each("step", [put, get])
def test_addresses_where_nothing_is(address: int, step: Callable[[int, int], Code]) -> None:
    assert fault(make({1: step(address, 7)})).code == "E702"


def test_the_controller_has_no_event_unit_of_its_own() -> None:
    assert fault(make({}, get(EVENTS, 0))).code == "E704"
    assert fault(make({}, wait(WAIT_CLEAR))).code == "E704"


# ---- L3

L3_READY = [*put(0x1A102004, 1 << 13), *put(0x1A102010, 1 << 13)]
HYPER_READY = put(0x1A102000, 1 << 8)


def hyper_read(slot: int) -> Code:
    at = 0x1A102480 + 0x80 * slot
    return [*put(at, 0x1C100000), *put(at + 4, 4096), *put(at + 8, 1 << 4)]


@pytest.mark.parametrize(
    ("l3", "l2", "size", "words"),
    [
        (0, 0x1C100000, 0, "no bytes"),
        (0, 0x1C18FFFC, 8, "inside L2"),
        (0, 0x10000000, 8, "inside L2"),
        ((32 << 20) - 4, 0x1C100000, 8, "inside L3"),
    ],
)
def test_l3_transfers_must_lie_in_both_memories(l3: int, l2: int, size: int, words: str) -> None:
    fc = [*L3_READY, *put(0x1A102720, l3), *put(0x1A10270C, l2), *put(0x1A102710, size)]
    error = fault(make({}, [*fc, *put(0x1A102714, 3)]))
    assert error.code == "E705"
    assert words in error.notice.title


def test_l3_needs_its_clock_and_takes_so_many_transfers() -> None:
    begin = [*put(0x1A10270C, 0x1C100000), *put(0x1A102710, 4096), *put(0x1A102714, 3)]
    assert "no clock" in fault(make({}, begin)).notice.title
    queue = GAP9_CYCLES["l3_queue"]
    slots = [c for n in range(queue) for c in hyper_read(n % 5)]
    assert run(make({}, [*HYPER_READY, *slots])).run.exit_code == 0
    assert "queues" in fault(make({}, [*HYPER_READY, *slots, *hyper_read(0)])).notice.title


@pytest.mark.parametrize("first", [2, 3])
@pytest.mark.parametrize("second", [2, 3])
def test_gap9s_l3_controller_holds_one_transfer(first: int, second: int) -> None:
    """Another one, of either direction, would replace it; after its end one may begin."""
    ready = [*L3_READY, *put(0x1A102760, 1), *put(ITC_MASK, 1 << 30)]
    begin = [*ready, *put(0x1A10270C, 0x1C100000), *put(0x1A102710, 64), *put(0x1A102714, first)]
    again = put(0x1A102714, second)
    error = fault(make({}, [*begin, *again]))
    assert error.code == "E705"
    assert "before the end of the last one" in error.notice.title
    assert run(make({}, [*begin, WFI, *again])).run.exit_code == 0


# ---- no end


def test_a_chip_that_takes_shorter_transfers_says_so() -> None:
    elf = compiled(10)  # 0 bytes
    assert "no bytes" in fault(elf).notice.title
    shorter = {**GAP9_CYCLES, "dma_max_bytes": 4095}
    assert "longer than the DMA takes" in fault(compiled(20), cycles=shorter).notice.title


@pytest.mark.parametrize("limit", [1, 17, 1000, 54321])
def test_too_many_cycles_are_as_many_as_were_allowed(limit: int) -> None:
    error = fault(make({}, [jal(0, 0)]), max_cycles=limit)
    assert error.code == "E708"
    assert facts_of(error)["cycle"] == str(limit)


def test_asleep_with_something_under_way_is_not_the_end() -> None:
    """Nobody runs while a transfer moves; then its event wakes who waits."""
    words = [4096 | 3 << 17 | 1 << 20, L1, 0x1C110000]
    code = [*put(EVENTS, 1 << 8), *get(DMA, 0), *(w for word in words for w in put(DMA, word))]
    assert run(make({0: [*code, *wait(WAIT_CLEAR, 1)]})).notes[1] == 1 << 8


def test_a_mutex_that_nobody_gives_back() -> None:
    take = wait(EVENTS + 0xC0)
    error = fault(make({0: take, 1: [*take, *take]}, ending=[WFI]))
    assert error.code in ("E707", "E708")


# ---- the command line


@pytest.mark.parametrize("misdeed", [0, 20, 30, 31, 32])
def test_faults_end_the_command_with_7(
    misdeed: int, run: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "program.elf").write_bytes(compiled(misdeed))
    options = ("simulate", "--elf", "program.elf", "--max-cycles", MAX_CYCLES)
    told = run(*options)
    code, words = COMPILED[misdeed]
    assert told.code == 7
    assert told.out == ""
    assert told.err.startswith(f"error[{code}] ")
    assert words in told.err
    for name in ("cycle", "pc", "registers"):
        assert re.search(rf"^  {name} ", told.err, re.MULTILINE)
    as_json = run(*options, "--json")
    assert as_json.code == 7
    assert words in str(as_json.json)
    assert code in str(as_json.json)
