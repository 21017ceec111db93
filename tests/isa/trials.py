# SPDX-License-Identifier: Apache-2.0
"""Xpulpv2 trials: every instruction with drawn registers, immediates and operands, as one ELF.

A trial is an instruction word and a table of operand rows. Its code walks the table: loads the
registers, executes the word, stores what it changed to its cell of the results.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.isa import meaning
from tests.isa.encoding import FORMS, INSTRUCTIONS, Instruction, word
from tests.isa.meaning import WORD, Operands
from tests.isa.program import (
    DATA,
    RESULTS,
    Program,
    addi,
    jal,
    load_constant,
    lw,
    make_program,
    sw,
)

# registers of the code around an instruction, which is given any other one
TABLE, CELL, END, BACKGROUND = 28, 29, 30, 31
FREE = range(1, 28)
EDGES = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
    0x80008000, 0x7FFF7FFF, 0x80808080, 0x7F7F7F7F, 0x01010101, 0x3FFFFFFF, 0xC0000000, 0x00010001,
)  # fmt: skip

Row = tuple[int, int, int, int]


@dataclass(frozen=True)
class Trial:
    """One instruction word; rows hold rs1, rs2, then rd or rs3, then what a store overwrites."""

    instruction: Instruction
    operands: dict[str, int]
    rows: tuple[Row, ...]

    @property
    def cell(self) -> int:
        """Bytes of result for each row."""
        if self.instruction.form.startswith("store"):
            return 12
        return 8 if self.instruction.form.startswith("load") else 4


@dataclass(frozen=True)
class Size:
    """How much is tried: words of an instruction with and without immediate, rows of each."""

    plain: int
    immediate: int
    rows: int


def draw_trials(seed: int, size: Size) -> list[Trial]:
    """Trials of every instruction but the hardware loops, in the order of the table."""
    rng = random.Random(seed)
    trials, cell = [], RESULTS
    for instruction in INSTRUCTIONS.values():
        if instruction.form.startswith("loop"):
            continue
        fields = FORMS[instruction.form]
        count = size.immediate if "imm" in fields else size.plain
        for number in range(count):
            trial = _draw(rng, instruction, number, size.rows, cell)
            cell += trial.cell * len(trial.rows)
            trials.append(trial)
    return trials


def _draw(rng: random.Random, made: Instruction, number: int, rows: int, cell: int) -> Trial:
    operands = _registers(rng, made, number)
    for name in ("imm", "size"):
        if name in FORMS[made.form]:
            operands[name] = _immediate(rng, made, name, number)
    if made.form == "branch":
        operands["target"] = 4 * rng.choice((-1000, -300, -3, -2, 2, 3, 250, 900))
    draw_row: Callable[[int], Row] = partial(_row, rng, made, operands)
    if made.form.startswith("load"):
        draw_row = partial(_load_row, rng, made, operands)
    elif made.form.startswith("store"):
        draw_row = partial(_store_row, rng, made, operands, cell)
    return Trial(made, operands, tuple(draw_row(i) for i in range(rows)))


def _registers(rng: random.Random, made: Instruction, number: int) -> dict[str, int]:
    """Distinct registers first; then any, so also the same one twice and, without memory, x0."""
    names = [name for name in FORMS[made.form] if name.startswith("r")]
    memory = made.form.startswith(("load", "store"))
    if number == 0 or memory:
        return dict(zip(names, rng.sample(FREE, len(names)), strict=True))
    pool = [0, *rng.sample(FREE, 3)]
    return {name: rng.choice(pool) for name in names}


def _immediate(rng: random.Random, made: Instruction, name: str, number: int) -> int:
    """The largest first, then the smallest, then any."""
    width = max(source + size for _, size, source in FORMS[made.form][name])
    low = -(1 << width - 1) if made.signed else 0
    high = low + (1 << width) - 1
    drawn = rng.choice((rng.randint(low, high), rng.randint(low, high), low, high, 0, 1))
    return {0: high, 1: low}.get(number, drawn)


def _value(rng: random.Random) -> int:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(EDGES)
    if kind == 1:
        return rng.getrandbits(rng.randrange(1, 33))
    return rng.getrandbits(32) if kind == 2 else -rng.getrandbits(rng.randrange(1, 12)) & WORD


def _row(rng: random.Random, made: Instruction, operands: dict[str, int], index: int) -> Row:
    first = _value(rng)
    if made.form == "branch" and rng.random() < 0.5:
        first = operands["imm"] & WORD
    if made.form.startswith("norm") and rng.random() < 0.25:
        # largest products and sums at the border, so that rounding carries out of the word
        return (0x80008000, 0x80008000, rng.choice((0x3FFFFFFF, 0x7FFFFFFF, 0xBFFFFFFF)), 0)
    return (first, _value(rng), _value(rng), 0)


def _load_row(rng: random.Random, made: Instruction, operands: dict[str, int], index: int) -> Row:
    """An address within the first operand rows, which serve as data, aligned or not."""
    address, offset = DATA + rng.randrange(64), _value(rng) if made.form == "load_r" else 0
    if not made.name.endswith((".post", ".postr")):
        address -= offset if made.form == "load_r" else operands["imm"]
    return (address & WORD, offset, _value(rng), 0)


def _store_row(
    rng: random.Random, made: Instruction, operands: dict[str, int], cell: int, index: int
) -> Row:
    """An address within the first eight bytes of the row's cell."""
    width = {"b": 1, "h": 2, "w": 4}[made.name[3]]
    address, offset = cell + 12 * index + rng.randrange(9 - width), _value(rng)
    if made.name.endswith(".reg"):
        address -= offset
    return (address & WORD, _value(rng), offset, rng.getrandbits(32))


def make_pulp_program(trials: list[Trial], *, for_gvsoc: bool = False) -> Program:
    """One ELF that runs the trials and leaves their cells, one after the other, at RESULTS."""
    code, table = load_constant(CELL, RESULTS), DATA
    for trial in trials:
        code += _walk(trial, table)
        table += 16 * len(trial.rows)
    data = operand_table(trials)
    size = sum(trial.cell * len(trial.rows) for trial in trials)
    return make_program(code, data, size, for_gvsoc=for_gvsoc)


def operand_table(trials: list[Trial]) -> bytes:
    """The rows of all trials as they lie at DATA."""
    return b"".join(struct.pack("<4I", *row) for trial in trials for row in trial.rows)


def _walk(trial: Trial, table: int) -> list[int]:
    o, form = trial.operands, trial.instruction.form
    body = [lw(o["rs1"], 0, TABLE)]
    if "rs2" in o:
        body.append(lw(o["rs2"], 4, TABLE))
    third = o.get("rd", o.get("rs3"))
    if third is not None:
        body.append(lw(third, 8, TABLE))
    if form == "branch":
        body += _branch(trial)
    elif form.startswith("store"):
        body += [lw(BACKGROUND, 12, TABLE), sw(BACKGROUND, 0, CELL), sw(BACKGROUND, 4, CELL)]
        body += [word(trial.instruction, **o), sw(o["rs1"], 8, CELL)]
    else:
        body += [word(trial.instruction, **o), sw(o["rd"], 0, CELL)]
        body += [sw(o["rs1"], 4, CELL)] if form.startswith("load") else []
    body += [addi(TABLE, TABLE, 16), addi(CELL, CELL, trial.cell)]
    end = table + 16 * len(trial.rows)
    setup = [*load_constant(TABLE, table), *load_constant(END, end)]
    # the walk back is a jump, as a long branch under test puts it out of a branch's reach
    return [*setup, *body, *_again(len(body))]


def _again(words: int) -> list[int]:
    """Jumps back over `words` words while TABLE is not END."""
    leave_loop = 0x463 | TABLE << 15 | END << 20
    return [leave_loop, jal(0, -4 * words - 4)]


def _branch(trial: Trial) -> list[int]:
    """Leaves 1 when the branch is taken, 2 when not or when it lands short of its target."""
    distance = trial.operands["target"] // 4
    branch = word(trial.instruction, **trial.operands)
    took, passed = addi(BACKGROUND, 0, 1), addi(BACKGROUND, 0, 2)
    store = sw(BACKGROUND, 0, CELL)
    if distance > 0:
        return [took, branch, *[passed] * (distance - 1), store]
    over = jal(0, 4 * (1 - distance))
    return [over, took, over, *[passed] * (-distance - 2), branch, passed, store]


def expected(
    trials: list[Trial], compute: Callable[[Instruction, Operands], int] = meaning.result
) -> bytes:
    """What the program must leave at RESULTS; `compute` gives rd of what is no memory access."""
    data = operand_table(trials)
    cells = (
        _cell(trial, row, data, compute, RESULTS + offset)
        for trial, row, offset in each_row(trials)
    )
    return b"".join(cells)


def operands_of(trial: Trial, row: Row) -> Operands:
    """What the instruction sees: of registers named twice the value loaded last, x0 as zero."""
    o = trial.operands
    registers = {o["rs1"]: row[0]}
    if "rs2" in o:
        registers[o["rs2"]] = row[1]
    third = o.get("rd", o.get("rs3"))
    if third is not None:
        registers[third] = row[2]
    registers[0] = 0
    values = {name: registers[o[name]] for name in ("rs1", "rs2", "rs3", "rd") if name in o}
    return Operands(**values, imm=o.get("imm", 0), size=o.get("size", 0))


def _cell(
    trial: Trial,
    row: Row,
    data: bytes,
    compute: Callable[[Instruction, Operands], int],
    cell: int,
) -> bytes:
    made, seen = trial.instruction, operands_of(trial, row)
    if made.form == "branch":
        return struct.pack("<I", 1 if meaning.taken(made, seen) else 2)
    if made.form.startswith("load"):
        went = meaning.access(made, seen)
        at = went.address - DATA
        value = int.from_bytes(data[at : at + went.bytes], "little", signed=went.sign)
        return struct.pack("<2I", value & WORD, went.rs1)
    if made.form.startswith("store"):
        return _stored(made, seen, row, cell)
    value = compute(made, seen) if trial.operands["rd"] else 0
    return struct.pack("<I", value)


def _stored(made: Instruction, seen: Operands, row: Row, cell: int) -> bytes:
    went = meaning.access(made, seen)
    memory = bytearray(struct.pack("<2I", row[3], row[3]))
    at = went.address - cell
    memory[at : at + went.bytes] = (seen.rs2 & (1 << 8 * went.bytes) - 1).to_bytes(
        went.bytes, "little"
    )
    return bytes(memory) + struct.pack("<I", went.rs1)


def each_row(trials: list[Trial]) -> Iterator[tuple[Trial, Row, int]]:
    """Trials, rows and the offset of their cells."""
    cell = 0
    for trial in trials:
        for row in trial.rows:
            yield trial, row, cell
            cell += trial.cell
