# SPDX-License-Identifier: Apache-2.0
"""Random RV32IMC programs on the embedded simulator and on unicorn: the same registers, memory."""

from collections import Counter
from functools import cache

import pytest
from unicorn import UC_ARCH_RISCV, UC_HOOK_CODE, UC_MODE_RISCV32, Uc

from tests.isa.platforms import run_simulator
from tests.isa.program import ENTRY, RESULTS, Program, segments
from tests.isa.rv32 import PLAIN
from tests.isa.rv32_programs import BRANCHES, LOADS, STORES, draw_program

SEEDS = range(24)
ITEMS = 700
L2 = (0x1C000000, 0x200000)


@cache
def _drawn(seed: int) -> tuple[Program, int, Counter[str]]:
    return draw_program(seed, ITEMS)


def run_unicorn(program: Program, stop: int) -> tuple[bytes, int]:
    """What a program leaves at RESULTS when it comes to `stop`, and the instructions it took."""
    machine, executed = Uc(UC_ARCH_RISCV, UC_MODE_RISCV32), [0]
    machine.mem_map(*L2)
    for address, content in segments(program.elf):
        machine.mem_write(address, content)

    def count(*_: object) -> None:
        executed[0] += 1

    machine.hook_add(UC_HOOK_CODE, count)
    machine.emu_start(ENTRY, stop)
    return bytes(machine.mem_read(RESULTS, program.results)), executed[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_registers_and_memory_equal_unicorns(seed: int) -> None:
    program, stop, _ = _drawn(seed)
    judged, executed = run_unicorn(program, stop)
    # so that all of them execute more than 100,000
    assert executed > 100_000 // len(SEEDS)
    ran = run_simulator(program)
    wrong = [i for i in range(0, len(judged), 4) if ran[i : i + 4] != judged[i : i + 4]]
    shown = {i // 4: (ran[i : i + 4][::-1].hex(), judged[i : i + 4][::-1].hex()) for i in wrong[:9]}
    assert not wrong, f"{len(wrong)} words; the first 32 are x0 to x31: {shown}"


def test_every_instruction_is_drawn() -> None:
    drawn = sum((_drawn(seed)[2] for seed in SEEDS), Counter[str]())
    jumps = {"jal", "jalr", "c.j", "c.jal", "c.jr", "c.jalr", "c.beqz", "c.bnez"}
    stack = {"c.lw", "c.sw", "c.lwsp", "c.swsp"}
    assert drawn.keys() == {*PLAIN, *BRANCHES, *LOADS, *STORES, *jumps, *stack}
