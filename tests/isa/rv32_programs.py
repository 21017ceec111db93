# SPDX-License-Identifier: Apache-2.0
"""Random RV32IMC programs that end: straight code, skips, bounded loops, a window of memory.

A program leaves its registers and the window at RESULTS. Three registers, drawn anew for each,
count loops or hold addresses at the end, so that over several programs every one is an operand.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.isa.program import ENTRY, RESULTS, Program, leave, make_elf
from tests.isa.rv32 import (
    PLAIN,
    b_type,
    c_branch,
    c_immediate,
    c_jump,
    c_lwsp,
    c_memory,
    c_register,
    c_swsp,
    constant,
    full,
    i_type,
    j_type,
    s_type,
    u_type,
)

SAVED_REGISTERS = 128
WINDOW = RESULTS + SAVED_REGISTERS
WINDOW_BYTES = 4096
EDGES = (0, 1, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF)

BRANCHES = {"beq": 0, "bne": 1, "blt": 4, "bge": 5, "bltu": 6, "bgeu": 7}
LOADS = {"lb": (0, 1), "lh": (1, 2), "lw": (2, 4), "lbu": (4, 1), "lhu": (5, 2)}
STORES = {"sb": (0, 1), "sh": (1, 2), "sw": (2, 4)}


@dataclass
class _Drawing:
    """What is known while a program is drawn: the registers free to write, how often what came."""

    rng: random.Random
    free: list[int]
    counters: list[int]
    pointer: int
    names: Counter[str] = field(default_factory=Counter)

    def named(self, name: str, code: bytes) -> bytes:
        self.names[name] += 1
        return code


def draw_program(seed: int, items: int) -> tuple[Program, int, Counter[str]]:
    """(program, address of its last part, which only ends the run; instructions by name)."""
    rng = random.Random(seed)
    short, *others = rng.choice(range(8, 16)), *rng.sample([1, *range(3, 8), *range(16, 32)], 2)
    free = [r for r in range(1, 32) if r not in (short, *others)]
    drawing = _Drawing(rng, free, [short, others[0]], others[1])
    code = b"".join(constant(r, _value(rng)) for r in range(1, 32))
    code += _block(drawing, items, 2)
    code += constant(drawing.pointer, RESULTS)
    code += b"".join(s_type(2, drawing.pointer, r, 4 * r) for r in range(32))
    stop = ENTRY + len(code)
    code += b"".join(full(w) for w in leave())
    window = bytes(SAVED_REGISTERS) + rng.randbytes(WINDOW_BYTES)
    elf = make_elf([(ENTRY, code), (RESULTS, window)], ENTRY)
    return Program(elf, len(window)), stop, drawing.names


def _value(rng: random.Random) -> int:
    return rng.choice((rng.choice(EDGES), rng.getrandbits(32), rng.randint(-64, 64) & 0xFFFFFFFF))


def _block(drawing: _Drawing, items: int, loops: int) -> bytes:
    return b"".join(_item(drawing, loops) for _ in range(items))


def _item(drawing: _Drawing, loops: int) -> bytes:
    kind = drawing.rng.randrange(100)
    if kind < 6 and loops:
        return _loop(drawing, loops - 1)
    if kind < 14:
        return _skip(drawing)
    if kind < 20:
        return _jump(drawing)
    if kind < 38:
        return _memory(drawing)
    if kind < 44:
        return constant(drawing.rng.choice(drawing.free), _value(drawing.rng))
    name = drawing.rng.choice(list(PLAIN))
    return drawing.named(name, PLAIN[name](drawing.rng, drawing.free))


def _skip(drawing: _Drawing) -> bytes:
    """A branch forward over a few instructions."""
    rng, inner = drawing.rng, b""
    for _ in range(rng.randrange(1, 6)):
        name = rng.choice(list(PLAIN))
        inner += drawing.named(name, PLAIN[name](rng, drawing.free))
    if rng.random() < 0.3:
        name, funct3 = rng.choice((("c.beqz", 6), ("c.bnez", 7)))
        return drawing.named(name, c_branch(funct3, rng.randrange(8, 16), 2 + len(inner))) + inner
    name = rng.choice(list(BRANCHES))
    rs1, rs2 = rng.randrange(32), rng.randrange(32)
    branch = b_type(BRANCHES[name], rs1, rng.choice((rs1, rs2)), 4 + len(inner))
    return drawing.named(name, branch) + inner


def _jump(drawing: _Drawing) -> bytes:
    """A jump forward over bytes that are no instructions."""
    rng = drawing.rng
    junk = bytes(2 * rng.randrange(1, 40))
    kind = rng.choice(("jal", "jalr", "c.j", "c.jal", "c.jr", "c.jalr"))
    if kind == "jal":
        return drawing.named(kind, j_type(rng.choice([0, *drawing.free]), 4 + len(junk))) + junk
    if kind in ("c.j", "c.jal"):
        # c.jal writes x1
        kind = kind if 1 in drawing.free else "c.j"
        return drawing.named(kind, c_jump(5 if kind == "c.j" else 1, 2 + len(junk))) + junk
    base = rng.choice(drawing.free)
    here = u_type(0x17, base, 0)
    if kind == "jalr":
        # the lowest bit of the target does not count
        target = 8 + len(junk) + rng.randrange(2)
        link = rng.choice([0, *drawing.free])
        return here + drawing.named(kind, i_type(0x67, 0, link, base, target)) + junk
    kind = kind if 1 in drawing.free else "c.jr"
    step = i_type(0x13, 0, base, base, 10 + len(junk))
    return here + step + drawing.named(kind, c_register(8 if kind == "c.jr" else 9, base, 0)) + junk


def _memory(drawing: _Drawing) -> bytes:
    """A base address, then one or several accesses at any alignment."""
    choices: tuple[Callable[[_Drawing], bytes], ...] = (_load, _store, _short_access, _stack)
    return drawing.rng.choice(choices)(drawing)


def _address(drawing: _Drawing, size: int, offset: int) -> int:
    return WINDOW + drawing.rng.randrange(WINDOW_BYTES - size + 1) - offset


def _load(drawing: _Drawing) -> bytes:
    rng, name = drawing.rng, drawing.rng.choice(list(LOADS))
    funct3, size = LOADS[name]
    base, offset = rng.choice(drawing.free), rng.randint(-2048, 2047)
    load = i_type(0x03, funct3, rng.choice([0, *drawing.free]), base, offset)
    return constant(base, _address(drawing, size, offset)) + drawing.named(name, load)


def _store(drawing: _Drawing) -> bytes:
    rng, name = drawing.rng, drawing.rng.choice(list(STORES))
    funct3, size = STORES[name]
    base, offset = rng.choice(drawing.free), rng.randint(-2048, 2047)
    store = s_type(funct3, base, rng.randrange(32), offset)
    return constant(base, _address(drawing, size, offset)) + drawing.named(name, store)


def _short_access(drawing: _Drawing) -> bytes:
    rng = drawing.rng
    short = [r for r in drawing.free if 8 <= r < 16]
    base, offset = rng.choice(short), 4 * rng.randrange(32)
    setup = constant(base, _address(drawing, 4, offset))
    if rng.random() < 0.5:
        return setup + drawing.named("c.lw", c_memory(2, base, rng.choice(short), offset))
    return setup + drawing.named("c.sw", c_memory(6, base, rng.randrange(8, 16), offset))


def _stack(drawing: _Drawing) -> bytes:
    rng, offset = drawing.rng, 4 * drawing.rng.randrange(64)
    setup = constant(2, _address(drawing, 4, offset))
    if rng.random() < 0.5:
        return setup + drawing.named("c.lwsp", c_lwsp(rng.choice(drawing.free), offset))
    return setup + drawing.named("c.swsp", c_swsp(rng.randrange(32), offset))


def _loop(drawing: _Drawing, loops: int) -> bytes:
    """A loop counted down in a register that its body leaves alone."""
    rng, counter = drawing.rng, drawing.counters[loops]
    setup = i_type(0x13, 0, counter, 0, rng.randrange(1, 12))
    body = _block(drawing, rng.randrange(2, 12), loops)
    body += drawing.named("c.addi", c_immediate(0, counter, -1))
    return setup + body + _back(drawing, counter, len(body))


def _back(drawing: _Drawing, counter: int, length: int) -> bytes:
    """The way back over `length` bytes while the counter is not zero."""
    rng = drawing.rng
    if counter in range(8, 16) and length <= 256 and rng.random() < 0.5:
        return drawing.named("c.bnez", c_branch(7, counter, -length))
    if rng.random() < 0.5 and length <= 4000:
        name = rng.choice(("bne", "blt", "bltu"))
        return drawing.named(name, b_type(BRANCHES[name], 0, counter, -length))
    if length <= 2000 and rng.random() < 0.5:
        over = drawing.named("beq", b_type(0, counter, 0, 6))
        return over + drawing.named("c.j", c_jump(5, -length - 4))
    over = drawing.named("beq", b_type(0, counter, 0, 8))
    return over + drawing.named("jal", j_type(0, -length - 4))
