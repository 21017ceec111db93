# SPDX-License-Identifier: Apache-2.0
"""Hardware loops: drawn nests of loops as code, and what they compute by a model of their own.

The loops are RI5CY's: the end address is that of the last instruction of the body; loop 0 is asked
first, a loop whose count is 0 or 1 runs once. Two loops may end at the same instruction, which
the manual advises against; then what GVSoC does holds: loop 0 to its end, then loop 1.
"""

import random
import struct
from dataclasses import dataclass

from tests.isa.encoding import INSTRUCTIONS, word
from tests.isa.meaning import WORD, signed
from tests.isa.program import RESULTS, Program, addi, load_constant, make_program, sw

CELL, COUNT, SCRATCH = 31, 30, 29
VALUES = (5, 6, 7)
CELL_BYTES = 4 * len(VALUES)


@dataclass(frozen=True)
class Op:
    """An instruction by name with its operands; all are four bytes long."""

    name: str
    operands: dict[str, int]

    @property
    def word(self) -> int:
        if self.name == "addi":
            return addi(self.operands["rd"], self.operands["rs1"], self.operands["imm"])
        return word(INSTRUCTIONS[self.name], **self.operands)


def draw_nests(seed: int, count: int) -> list[list[Op]]:
    """Loops, loops in loops and one loop after the other."""
    rng = random.Random(seed)
    return [_draw(rng) for _ in range(count)]


def _draw(rng: random.Random) -> list[Op]:
    start = [_add(rd, 0, rng.randint(-99, 99)) for rd in VALUES]
    kind = rng.randrange(4)
    if kind == 0:
        return start + _loop(rng, rng.randrange(2), _body(rng)) + _body(rng)
    if kind == 1:
        return start + _loop(rng, 0, _body(rng)) + _loop(rng, rng.randrange(2), _body(rng))
    inner = _loop(rng, 0, _body(rng)) + (_body(rng) if kind == 2 else [])
    return start + _loop(rng, 1, [*_body(rng), *inner]) + _body(rng)


def _add(rd: int, rs1: int, value: int) -> Op:
    return Op("addi", {"rd": rd, "rs1": rs1, "imm": value})


def _body(rng: random.Random) -> list[Op]:
    """One to nine steps whose order shows in the result; a branch may skip one but the last."""
    steps = [_step(rng) for _ in range(rng.randint(1, 7))]
    if len(steps) > 1 and rng.random() < 0.4:
        low = {"rd": SCRATCH, "rs1": rng.choice(VALUES), "imm": 0, "size": 1}
        over = {"rs1": SCRATCH, "imm": rng.randint(-2, 1), "target": 8}
        at = rng.randrange(len(steps) - 1)
        steps[at:at] = [Op("p.extract", low), Op("p.beqimm", over)]
    return steps


def _step(rng: random.Random) -> Op:
    if rng.random() < 0.5:
        return _add(rng.choice(VALUES), rng.choice(VALUES), rng.randint(-2048, 2047))
    return Op("p.mac", {name: rng.choice(VALUES) for name in ("rd", "rs1", "rs2")})


def _loop(rng: random.Random, loop: int, body: list[Op]) -> list[Op]:
    count, end = rng.choice((0, 1, 2, 3, rng.randrange(40))), 2 * len(body)
    form = rng.randrange(4 if end < 32 else 3)
    if form == 3:
        return [Op("lp.setupi", {"loop": loop, "count": count, "imm": end}), *body]
    by_register = [_add(COUNT, 0, count)]
    if form == 2:
        setup = Op("lp.setup", {"loop": loop, "rs1": COUNT, "imm": end})
        return [*by_register, setup, *body]
    counted = (
        Op("lp.count", {"loop": loop, "rs1": COUNT})
        if form
        else Op("lp.counti", {"loop": loop, "imm": count})
    )
    bounds = [
        Op("lp.starti", {"loop": loop, "imm": 6}),
        Op("lp.endi", {"loop": loop, "imm": end + 2}),
    ]
    return [*(by_register if form else []), *bounds, counted, *body]


def run_nest(nest: list[Op]) -> list[int]:
    """VALUES after the nest."""
    registers = {0: 0, COUNT: 0} | dict.fromkeys(VALUES, 0)
    start, end, count = [0, 0], [0, 0], [0, 0]
    pc = 0
    while pc < len(nest):
        name, o = nest[pc].name, nest[pc].operands
        if name.startswith("lp."):
            loop = o["loop"]
            if name in ("lp.starti", "lp.setup", "lp.setupi"):
                start[loop] = pc + (o["imm"] // 2 if name == "lp.starti" else 1)
            if name in ("lp.endi", "lp.setup", "lp.setupi"):
                end[loop] = pc + o["imm"] // 2
            if name not in ("lp.starti", "lp.endi"):
                fixed = o.get("count", o.get("imm", 0))
                count[loop] = registers[o["rs1"]] if "rs1" in o else fixed
        elif name == "p.extract":
            registers[SCRATCH] = signed(registers[o["rs1"]], 2)
        elif name == "p.beqimm":
            pc += int(registers[SCRATCH] == o["imm"])
        elif name == "addi":
            registers[o["rd"]] = registers[o["rs1"]] + o["imm"] & WORD
        else:
            product = registers[o["rs1"]] * registers[o["rs2"]]
            registers[o["rd"]] = registers[o["rd"]] + product & WORD
        pc = _next(pc, start, end, count)
    return [registers[r] for r in VALUES]


def _next(pc: int, start: list[int], end: list[int], count: list[int]) -> int:
    for loop in (0, 1):
        if count[loop] and end[loop] == pc:
            count[loop] -= 1
            if count[loop]:
                return start[loop]
    return pc + 1


def make_loop_program(nests: list[list[Op]], *, for_gvsoc: bool = False) -> Program:
    """One ELF that runs the nests and leaves the VALUES of each at RESULTS."""
    code = load_constant(CELL, RESULTS)
    for nest in nests:
        code += [op.word for op in nest]
        code += [sw(register, 4 * i, CELL) for i, register in enumerate(VALUES)]
        code.append(addi(CELL, CELL, CELL_BYTES))
    return make_program(code, b"", CELL_BYTES * len(nests), for_gvsoc=for_gvsoc)


def expected_loops(nests: list[list[Op]]) -> bytes:
    """What the program must leave at RESULTS."""
    return b"".join(struct.pack("<3I", *run_nest(nest)) for nest in nests)
