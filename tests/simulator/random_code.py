# SPDX-License-Identifier: Apache-2.0
"""Random function bodies for the program m07_random: what no case has been thought of for.

A body is a loop, or two nested ones, in hardware or in software, over instructions of all kinds.
a2 points to bytes that all cores read, a3 to those of the own core, so that results do not depend
on who comes first, while all meet at the banks of L1.
"""

from __future__ import annotations

import random
from collections.abc import Callable

SEED = 7
BODIES = 32
VALUES = ("t1", "t2", "t3", "t4", "t5", "t6", "a6", "a7")
SHORT = ("a4", "a5")  # what compressed instructions reach
READ, OWN = "a2", "a3"


class Draw(random.Random):
    """Numbers of a seed; aligned: whether addresses are multiples of the bytes accessed."""

    def __init__(self, seed: int, aligned: bool) -> None:
        super().__init__(seed)
        self.aligned = aligned

    def offset(self, size: int, end: int) -> int:
        """The first of `size` bytes before `end`."""
        return size * self.randrange(end // size) if self.aligned else self.randrange(end - size)


def code(seed: int = SEED, bodies: int = BODIES, aligned: bool = True) -> str:
    """The assembly of the bodies random_0, random_1, ..."""
    draw = Draw(seed, aligned)
    head = '#include "code.h"\n    .text\n    .option rvc\n    .option norelax\n'
    return head + "".join(_body(draw, n) for n in range(bodies))


def _body(draw: Draw, number: int) -> str:
    lines = [f"    body random_{number}, 16, {draw.randrange(8)}", *START]
    if not draw.aligned:
        lines += ["    addi a1, a1, 1024"]  # nobody reads what core 0 writes
    inner = draw.choice((_hard, _soft))
    if draw.random() < 0.5:
        lines += _nested(draw, number, inner)
    else:
        lines += inner(draw, f"{number}i", draw.randrange(8, 40))
    return "\n".join([*lines, "    xor t1, t1, t2", "    sw t1, 0(a3)", "    ret", ""])


START = (
    "    mv a2, a1",
    "    slli t1, a0, 6",
    "    slli t2, a0, 9",
    "    add t2, t2, t1",
    "    add a3, a1, t2",
    *(f"    addi {r}, a0, {11 * i}" for i, r in enumerate((*VALUES, *SHORT))),
    "    mv a0, a2",
    "    mv a1, a3",
)


def _nested(draw: Draw, number: int, inner: Callable[[Draw, str, int], list[str]]) -> list[str]:
    return [
        f"    li t0, {draw.randrange(2, 8)}",
        f"    repeat_t0 1, .Lend_{number}o",
        *_some(draw, draw.randrange(1, 5)),
        *inner(draw, f"{number}i", draw.randrange(2, 12)),
        *_some(draw, draw.randrange(1, 4)),
        f".Lend_{number}o:",
        "    addi t1, t1, 1",
    ]


def _hard(draw: Draw, name: str, times: int) -> list[str]:
    last = _quiet(draw)
    return [
        f"    li t0, {times}",
        f"    repeat_t0 0, .Lend_{name}",
        *_some(draw, draw.randrange(3, 30)),
        f".Lend_{name}:",
        f"    {last}",
    ]


def _soft(draw: Draw, name: str, times: int) -> list[str]:
    return [
        f"    li t0, {times}",
        f".Ltop_{name}:",
        *_some(draw, draw.randrange(3, 60)),
        "    addi t0, t0, -1",
        f"    bnez t0, .Ltop_{name}",
    ]


# ---- instructions


def _some(draw: Draw, count: int) -> list[str]:
    """About so many instructions, with branches over a few of them."""
    lines = ["    mv a2, a0", "    mv a3, a1"]  # post-increments start over
    while count > 0:
        if draw.random() < 0.08:
            lines += _branch(draw)
        lines.append(f"    {_instruction(draw)}")
        count -= 1
    return lines


def _branch(draw: Draw) -> list[str]:
    label = f".Lover_{draw.randrange(1 << 48):x}"
    a, b = draw.choice((*VALUES, *SHORT)), draw.choice(VALUES)
    over = [f"    {_quiet(draw)}" for _ in range(draw.randrange(1, 4))]
    how = draw.choice(("beq", "bne", "bltu", "bge"))
    return [f"    {how} {a}, {b}, {label}", *over, f"{label}:"]


def _quiet(draw: Draw) -> str:
    """An instruction that neither branches nor moves a pointer."""
    return draw.choice((_alu, _alu, _short, _load, _store, _product))(draw)


def _instruction(draw: Draw) -> str:
    kinds = (_alu, _alu, _short, _load, _load, _load, _store, _product, _moving, _multiply)
    return draw.choice(kinds)(draw)


def _value(draw: Draw) -> str:
    return draw.choice((*VALUES, *SHORT))


def _alu(draw: Draw) -> str:
    how = draw.choice(("add", "sub", "xor", "sll", "sltu", "and"))
    return f"{how} {_value(draw)}, {_value(draw)}, {_value(draw)}"


def _short(draw: Draw) -> str:
    a, b = draw.choice(SHORT), draw.choice(SHORT)
    return draw.choice(
        (f"c.addi {a}, {draw.randrange(1, 31)}", f"c.mv {a}, {b}", f"c.xor {a}, {b}")
    )


def _load(draw: Draw) -> str:
    how, size = draw.choice((("lw", 4), ("lw", 4), ("lh", 2), ("lbu", 1), ("lhu", 2)))
    offset = draw.offset(size, 256)
    return f"{how} {_value(draw)}, {offset}({draw.choice((READ, OWN))})"


def _store(draw: Draw) -> str:
    how, size = draw.choice((("sw", 4), ("sh", 2), ("sb", 1)))
    return f"{how} {_value(draw)}, {draw.offset(size, 48)}({OWN})"


def _product(draw: Draw) -> str:
    how = draw.choice(("dot", "dot", "mac"))
    return f"{how} {_value(draw)}, {_value(draw)}, {_value(draw)}"


def _moving(draw: Draw) -> str:
    """A load or store that steps its pointer; pointers come back before they leave their bytes."""
    if draw.random() < 0.3:
        return f"sw_post {_value(draw)}, {OWN}, 0"
    pointer = draw.choice((READ, OWN))
    if draw.aligned:
        return f"lw_post {_value(draw)}, {pointer}, {4 * draw.randrange(3)}"
    step = draw.randrange(9)
    return f"lw_post {_value(draw)}, {pointer}, {step}"


def _multiply(draw: Draw) -> str:
    how = draw.choice(("mul", "mul", "mul", "mulhu", "divu"))
    divisor = "a1" if how == "divu" else _value(draw)  # never 0: platforms differ there
    return f"{how} {_value(draw)}, {_value(draw)}, {divisor}"
