# SPDX-License-Identifier: Apache-2.0
"""RV32IMC words, from the RISC-V unprivileged specification: one function for each format."""

import random
import struct
from collections.abc import Callable

# a draw picks the operands of one instruction; `free` are the registers it may write
Draw = Callable[[random.Random, list[int]], bytes]


def full(word: int) -> bytes:
    return struct.pack("<I", word)


def half(word: int) -> bytes:
    return struct.pack("<H", word)


def bits(value: int, *pieces: tuple[int, int, int]) -> int:
    """Pieces (highest, lowest, place) of a value, each moved to its place in the word."""
    return sum((value >> low & (1 << high - low + 1) - 1) << at for high, low, at in pieces)


def r_type(opcode: int, funct3: int, funct7: int, rd: int, rs1: int, rs2: int) -> bytes:
    return full(funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode)


def i_type(opcode: int, funct3: int, rd: int, rs1: int, value: int) -> bytes:
    return full((value & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode)


def s_type(funct3: int, rs1: int, rs2: int, offset: int) -> bytes:
    place = bits(offset, (11, 5, 25), (4, 0, 7))
    return full(place | rs2 << 20 | rs1 << 15 | funct3 << 12 | 0x23)


def b_type(funct3: int, rs1: int, rs2: int, offset: int) -> bytes:
    place = bits(offset, (12, 12, 31), (10, 5, 25), (4, 1, 8), (11, 11, 7))
    return full(place | rs2 << 20 | rs1 << 15 | funct3 << 12 | 0x63)


def u_type(opcode: int, rd: int, upper: int) -> bytes:
    return full((upper & 0xFFFFF) << 12 | rd << 7 | opcode)


def j_type(rd: int, offset: int) -> bytes:
    return full(
        bits(offset, (20, 20, 31), (10, 1, 21), (11, 11, 20), (19, 12, 12)) | rd << 7 | 0x6F
    )


def constant(rd: int, value: int) -> bytes:
    """lui and addi."""
    return u_type(0x37, rd, value + 0x800 >> 12) + i_type(0x13, 0, rd, rd, value)


def c_jump(funct3: int, offset: int) -> bytes:
    """c.j (5) and c.jal (1)."""
    place = ((11, 11, 12), (4, 4, 11), (9, 8, 9), (10, 10, 8), (6, 6, 7), (7, 7, 6), (3, 1, 3))
    return half(funct3 << 13 | bits(offset, *place, (5, 5, 2)) | 1)


def c_branch(funct3: int, rs1: int, offset: int) -> bytes:
    """c.beqz (6) and c.bnez (7); rs1 is one of x8 to x15."""
    place = bits(offset, (8, 8, 12), (4, 3, 10), (7, 6, 5), (2, 1, 3), (5, 5, 2))
    return half(funct3 << 13 | place | rs1 - 8 << 7 | 1)


def c_immediate(funct3: int, rd: int, value: int) -> bytes:
    """c.addi (0), c.li (2), c.lui (3)."""
    return half(funct3 << 13 | bits(value, (5, 5, 12), (4, 0, 2)) | rd << 7 | 1)


def c_register(funct4: int, rd: int, rs2: int) -> bytes:
    """c.jr (8), c.mv (8), c.jalr (9), c.add (9)."""
    return half(funct4 << 12 | rd << 7 | rs2 << 2 | 2)


def c_addi16sp(value: int) -> bytes:
    place = bits(value, (9, 9, 12), (4, 4, 6), (6, 6, 5), (8, 7, 3), (5, 5, 2))
    return half(3 << 13 | place | 2 << 7 | 1)


def c_addi4spn(rd: int, value: int) -> bytes:
    return half(bits(value, (5, 4, 11), (9, 6, 7), (2, 2, 6), (3, 3, 5)) | rd - 8 << 2)


def c_memory(funct3: int, rs1: int, register: int, offset: int) -> bytes:
    """c.lw (2) and c.sw (6), registers x8 to x15."""
    place = bits(offset, (5, 3, 10), (2, 2, 6), (6, 6, 5))
    return half(funct3 << 13 | place | rs1 - 8 << 7 | register - 8 << 2)


def c_lwsp(rd: int, offset: int) -> bytes:
    return half(2 << 13 | bits(offset, (5, 5, 12), (4, 2, 4), (7, 6, 2)) | rd << 7 | 2)


def c_swsp(rs2: int, offset: int) -> bytes:
    return half(6 << 13 | bits(offset, (5, 2, 9), (7, 6, 7)) | rs2 << 2 | 2)


def _any(rng: random.Random) -> int:
    return rng.randrange(32)


def _short(free: list[int]) -> list[int]:
    return [register for register in free if 8 <= register < 16]


def _register_op(funct3: int, funct7: int) -> Draw:
    return lambda rng, free: r_type(
        0x33, funct3, funct7, rng.choice([0, *free]), _any(rng), _any(rng)
    )


def _immediate_op(funct3: int) -> Draw:
    return lambda rng, free: i_type(
        0x13, funct3, rng.choice(free), _any(rng), rng.randint(-2048, 2047)
    )


def _shift_op(funct3: int, funct7: int) -> Draw:
    return lambda rng, free: r_type(0x13, funct3, funct7, rng.choice(free), _any(rng), _any(rng))


def _upper_op(opcode: int) -> Draw:
    return lambda rng, free: u_type(opcode, rng.choice(free), rng.getrandbits(20))


def _c_value(rng: random.Random) -> int:
    return rng.choice([v for v in range(-32, 32) if v])


def _c_short(word: int) -> Draw:
    """c.sub, c.xor, c.or, c.and."""
    return lambda rng, free: half(word | rng.choice(_short(free)) - 8 << 7 | rng.randrange(8) << 2)


def _c_shift(word: int) -> Draw:
    """c.srli, c.srai: an amount of 1 to 31."""
    return lambda rng, free: half(
        word | rng.choice(_short(free)) - 8 << 7 | rng.randrange(1, 32) << 2
    )


def _c_andi(rng: random.Random, free: list[int]) -> bytes:
    value = bits(_c_value(rng), (5, 5, 12), (4, 0, 2))
    return half(0x8801 | rng.choice(_short(free)) - 8 << 7 | value)


def _c_lui(rng: random.Random, free: list[int]) -> bytes:
    # rd = x2 is c.addi16sp
    return c_immediate(3, rng.choice([r for r in free if r != 2]), _c_value(rng))


# every instruction that neither goes anywhere nor touches memory
PLAIN: dict[str, Draw] = {
    "add": _register_op(0, 0),
    "sub": _register_op(0, 0x20),
    "sll": _register_op(1, 0),
    "slt": _register_op(2, 0),
    "sltu": _register_op(3, 0),
    "xor": _register_op(4, 0),
    "srl": _register_op(5, 0),
    "sra": _register_op(5, 0x20),
    "or": _register_op(6, 0),
    "and": _register_op(7, 0),
    "mul": _register_op(0, 1),
    "mulh": _register_op(1, 1),
    "mulhsu": _register_op(2, 1),
    "mulhu": _register_op(3, 1),
    "div": _register_op(4, 1),
    "divu": _register_op(5, 1),
    "rem": _register_op(6, 1),
    "remu": _register_op(7, 1),
    "addi": _immediate_op(0),
    "slti": _immediate_op(2),
    "sltiu": _immediate_op(3),
    "xori": _immediate_op(4),
    "ori": _immediate_op(6),
    "andi": _immediate_op(7),
    "slli": _shift_op(1, 0),
    "srli": _shift_op(5, 0),
    "srai": _shift_op(5, 0x20),
    "lui": _upper_op(0x37),
    "auipc": _upper_op(0x17),
    "fence": lambda rng, free: full(0x0FF0000F),
    "c.nop": lambda rng, free: half(1),
    "c.addi": lambda rng, free: c_immediate(0, rng.choice(free), _c_value(rng)),
    "c.li": lambda rng, free: c_immediate(2, rng.choice(free), rng.randrange(-32, 32)),
    "c.lui": _c_lui,
    "c.slli": lambda rng, free: half(rng.choice(free) << 7 | rng.randrange(1, 32) << 2 | 2),
    "c.srli": _c_shift(0x8001),
    "c.srai": _c_shift(0x8401),
    "c.andi": _c_andi,
    "c.sub": _c_short(0x8C01),
    "c.xor": _c_short(0x8C21),
    "c.or": _c_short(0x8C41),
    "c.and": _c_short(0x8C61),
    "c.mv": lambda rng, free: c_register(8, rng.choice(free), rng.randrange(1, 32)),
    "c.add": lambda rng, free: c_register(9, rng.choice(free), rng.randrange(1, 32)),
    "c.addi16sp": lambda rng, free: c_addi16sp(16 * _c_value(rng)),
    "c.addi4spn": lambda rng, free: c_addi4spn(rng.choice(_short(free)), 4 * rng.randrange(1, 256)),
}
