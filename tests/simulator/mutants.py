# SPDX-License-Identifier: Apache-2.0
"""Damaged ELF files, and programs of random words and random accesses to every device."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.isa.encoding import INSTRUCTIONS
from tests.isa.program import addi, load_constant, lw, make_elf, sw

ENTRY, CLUSTER_ENTRY, NAMES = 0x1C010000, 0x1C014000, 0x1C018000
ODD = (0, 1, 2, 3, 4, 8, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)
# one address or two in every memory, at both ends, and the first of every device (core/devices.c)
MEMORY = (0, 0x10000000, 0x1001FFFC, 0x10020000, 0x10100000, 0x1C000000, ENTRY, CLUSTER_ENTRY)
MEMORY += (0x1C100000, 0x1C18FFFC, 0x1C18FFFE, 0x1C190000, 0xFFFFFFFF)
DEVICES = (0x10204000, 0x10204800, 0x10201800, 0x10200000, 0x10200400, 0x10200800, 0x10201000)
DEVICES += (0x10201400, 0x1A100000, 0x1A102000, 0x1A102480, 0x1A102700, 0x1A102880, 0x1A104000)
DEVICES += (0x1A101000, 0x1A102080, 0x1A102280, 0x1A103000, 0x1A106000)
DEVICES += (0x1A107000, 0x1A108800, 0x1A109000, 0x1A109800, 0x1A10B000, 0x1A10B800, 0x1A10F000)
DMA, DMA_FROM_FC, EVENTS, UDMA, OCTOSPI = 0x10204800, 0x10201800, 0x10204000, 0x1A102000, 0x1A102700
HYPER, CLUSTER, ENGINE = 0x1A102480, 0x10200000, 0x10201000
CONTROL = (0x300, 0x301, 0x304, 0x305, 0x340, 0x341, 0x342, 0x780, 0x79F, 0x7B0, 0x7B1, 0x7B2)
CONTROL += (0x7B4, 0x7B5, 0x7B6, 0xB00, 0xB02, 0xB80, 0xC00, 0xC10, 0xCC0, 0xCC1, 0xF14, 0x014)
READ_ONLY = (0x300, 0x301, 0xC00, 0xC10, 0xF14, 0x014)  # or, as mstatus, soon the end of a run
SEMIHOSTING = (0x01F01013, 0x00100073, 0x40705013)
HOSTILE = (
    b"..",
    b".",
    b"../outside",
    b"/etc/passwd",
    b"a\0b",
    b"link",
    b"pipe",
    b"device",
    b"folder",
)
HOSTILE += (
    b"hard",
    b"huge",
    b"new",
    b"plain",
    b":tt",
    b"new\nline",
    b"x" * 255,
    b"\xff\xfe",
    b"-rf",
)
X, Y, BASE = 12, 13, 14  # registers of the accesses
Words = list[int]
Piece = Callable[[random.Random], Words]


def mutant(elf: bytes, seed: int) -> bytes:
    """The file with some of its bytes damaged."""
    rng = random.Random(seed)
    made = bytearray(elf)
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        rng.choice(_DAMAGES)(made, rng)
    return bytes(made)


def _flip(made: bytearray, rng: random.Random) -> None:
    made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)


def _flip_header(made: bytearray, rng: random.Random) -> None:
    made[rng.randrange(min(52, len(made)))] ^= 1 << rng.randrange(8)


def _flip_code(made: bytearray, rng: random.Random) -> None:
    """The first segment of a program this size holds its code."""
    made[rng.randrange(min(52, len(made)), min(12000, len(made)) + 1) - 1] ^= 1 << rng.randrange(8)


def _odd_word(made: bytearray, rng: random.Random) -> None:
    _put(made, rng.randrange(len(made)) & ~3, rng)


def _odd_in_tables(made: bytearray, rng: random.Random) -> None:
    """A number in the header, the program headers or the section headers."""
    sections = struct.unpack_from("<I", made.ljust(52, b"\0"), 32)[0]
    start = rng.choice((16, 52, sections % max(1, len(made))))
    _put(made, start + 2 * rng.randrange(80), rng)


def _odd_at_the_end(made: bytearray, rng: random.Random) -> None:
    """Symbols, names and source lines lie there."""
    _put(made, len(made) - rng.randrange(1, min(len(made), 60000) + 1), rng)


def _put(made: bytearray, at: int, rng: random.Random) -> None:
    size = rng.choice((1, 2, 4))
    value = rng.choice((*ODD, *MEMORY, *DEVICES, rng.getrandbits(32)))
    if at + size <= len(made):
        made[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _cut(made: bytearray, rng: random.Random) -> None:
    if rng.random() < 0.2 and len(made) > 100:
        del made[rng.randrange(1, len(made)) :]


def _copy(made: bytearray, rng: random.Random) -> None:
    size = rng.choice((2, 4, 32, 500))
    source, target = rng.randrange(len(made)), rng.randrange(len(made))
    piece = made[source : source + size][: len(made) - target]
    made[target : target + len(piece)] = piece


_DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip_header,
    _flip_code,
    _flip_code,
    _flip_code,
    _odd_word,
    _odd_in_tables,
    _odd_at_the_end,
    _cut,
    _copy,
)


# --- programs -------------------------------------------------------------------------------------


def random_program(seed: int) -> bytes:
    """Code for the fabric controller and for the cluster's cores, which it starts."""
    rng = random.Random(seed)
    tame = rng.random() < 0.7  # no words that are most likely no instruction
    own = _start(rng, tame) + _draw(rng, _ALL + _FC, tame, rng.choice((5, 50, 300)))
    cluster = _registers(rng) + _draw(rng, _ALL + _CLUSTER, tame, rng.choice((5, 50, 300)))
    names = b"".join(name.ljust(256, b"\0") for name in HOSTILE)
    text = [(ENTRY, _bytes(own)), (CLUSTER_ENTRY, _bytes(cluster)), (NAMES, names)]
    return make_elf(text, ENTRY)


def _bytes(words: Words) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def _registers(rng: random.Random) -> Words:
    """Every register holds something that looks like an address or a length."""
    return [word for r in range(1, 32) for word in load_constant(r, _value(rng))]


def _value(rng: random.Random) -> int:
    near = rng.choice((*MEMORY, *DEVICES)) + rng.randrange(-8, 300)
    return rng.choice((*ODD, near, near & ~3, rng.getrandbits(32))) & 0xFFFFFFFF


def _start(rng: random.Random, tame: bool) -> Words:
    code = []
    for core in range(9):
        odd = not tame and rng.random() < 0.05
        entry = _value(rng) if odd else CLUSTER_ENTRY + rng.choice((0, 0, 0, 4, 8, 0x100))
        code += _store(CLUSTER + 0x40 + 4 * core, entry)
    code += _store(0x10201400, rng.randrange(2)) + _store(0x1A108800, rng.randrange(2))
    code += (
        _store(UDMA + 4, 1 << 13) + _store(UDMA + 0x10, 1 << 13) + _store(UDMA, 1 << 13 | 1 << 8)
    )
    return code + _registers(rng) + _store(CLUSTER + 8, rng.choice((0, 0x1FF, rng.getrandbits(9))))


def _draw(rng: random.Random, pieces: tuple[Piece, ...], tame: bool, items: int) -> Words:
    """Items, then back to somewhere among them."""
    kinds = rng.sample(pieces, rng.randrange(1, len(pieces)))
    wild = () if tame else _WILD
    code = [word for _ in range(items) for word in rng.choice((*kinds, *wild))(rng)]
    back = -4 * rng.randrange(len(code) + 1) & 0x1FFFFF
    jump = (back >> 20) << 31 | (back >> 1 & 0x3FF) << 21 | (back >> 11 & 1) << 20
    return [*code, jump | (back >> 12 & 0xFF) << 12 | 0x6F]


def _store(address: int, value: int) -> Words:
    return [*load_constant(BASE, address), *load_constant(X, value), sw(X, 0, BASE)]


def _load(address: int, rd: int = X) -> Words:
    return [*load_constant(BASE, address), lw(rd, 0, BASE)]


def _any_word(rng: random.Random) -> Words:
    return [rng.getrandbits(32)]


def _undefined_near(rng: random.Random) -> Words:
    opcode = rng.choice(
        (0x03, 0x0B, 0x13, 0x23, 0x2B, 0x33, 0x57, 0x5B, 0x63, 0x67, 0x6F, 0x73, 0x7B)
    )
    return [rng.getrandbits(25) << 7 | opcode]


def _instruction(rng: random.Random) -> Words:
    """One of Xpulpv2 with any operands, its addresses as they come."""
    made = rng.choice(list(INSTRUCTIONS.values()))
    return [made.match | rng.getrandbits(32) & ~made.mask & 0xFFFFFFFF]


def _plain(rng: random.Random) -> Words:
    rd, rs1, rs2 = (rng.randrange(32) for _ in range(3))
    funct3, funct7 = rng.choice(
        [*((f, 0) for f in range(8)), *((f, 1) for f in range(8)), (0, 32), (5, 32)]
    )
    return [funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x33]


def _skip(rng: random.Random) -> Words:
    """A branch over one to four instructions, taken or not."""
    ahead = 4 * rng.randrange(1, 5)
    funct3 = rng.choice((0, 1, 4, 5, 6, 7))
    branch = rng.randrange(32) << 20 | rng.randrange(32) << 15 | funct3 << 12 | ahead << 7 | 0x63
    return [branch, *(_plain(rng)[0] for _ in range(4))]


def _loop(rng: random.Random) -> Words:
    """A hardware loop over the next instructions, sometimes one that makes no sense."""
    loop, length = rng.randrange(2), rng.choice((0, 1, 2, 3, 5, 200))
    count = rng.choice((0, 1, 2, 3, 20, 4095))
    return [count << 20 | (length & 31) << 15 | 5 << 12 | loop << 7 | 0x7B]


def _control(rng: random.Random) -> Words:
    number = rng.getrandbits(12) if rng.random() < 0.01 else rng.choice(CONTROL)
    funct3, rs1 = rng.choice((1, 2, 3, 5, 6, 7)), rng.choice((0, rng.randrange(32)))
    if number in READ_ONLY:
        funct3, rs1 = 2, 0
    access = number << 20 | rs1 << 15 | funct3 << 12 | rng.randrange(32) << 7 | 0x73
    return [*load_constant(X, _value(rng)), access]


def _poke(rng: random.Random) -> Words:
    """Any register of any device, most often one that is there."""
    address = rng.choice(DEVICES) + 4 * rng.choice((*range(16), rng.randrange(256)))
    if rng.random() < 0.02:
        address += rng.randrange(4)
    return _store(address, _value(rng)) if rng.random() < 0.7 else _load(address)


def _access(rng: random.Random) -> Words:
    address = rng.choice((0x10000000, 0x1C100000)) + rng.randrange(0x10000)
    if rng.random() < 0.005:
        address = rng.choice(MEMORY) + rng.randrange(-4, 5) & 0xFFFFFFFF
    size = rng.randrange(3)
    load = rng.choice((size, size, 4 | size & 1)) << 12 | BASE << 15 | X << 7 | 0x03
    store = size << 12 | BASE << 15 | X << 20 | 0x23
    return [*load_constant(BASE, address), rng.choice((load, store))]


def _dma_of_core(rng: random.Random) -> Words:
    return _transfer(DMA, rng) + (_wait(rng) if rng.random() < 0.3 else [])


def _dma_of_fc(rng: random.Random) -> Words:
    return _transfer(DMA_FROM_FC, rng)


def _transfer(base: int, rng: random.Random) -> Words:
    """Most often a possible one, of one line or many."""
    odd = rng.random() < 0.02
    size = rng.getrandbits(17) if odd else rng.choice((1, 4, 7, 64, 1000, 20000))
    flags = rng.getrandbits(7) if odd else rng.choice((4, 0x14, 0x1C, 0x0C, 0x0C, 0x44))
    l1 = 0x10000000 + rng.getrandbits(16)
    if rng.random() < 0.1:
        l1 = rng.choice((0x10020000 - size, rng.getrandbits(10)))
    outside = rng.choice((0x1C100000 + rng.getrandbits(16), 0x1C190000 - size))
    words = [size | flags << 16 | rng.choice((0, 1)) << 17, l1, outside]
    if words[0] >> 19 & 1:
        line = rng.choice((1, size, *(n for n in (3, 64, 100) if size % n == 0)))
        words += [line, rng.choice((0, 1, line, 64, line - line // 8))]
    code = _load(base, Y) if rng.random() < 0.95 else []
    code += [word for value in words for word in _store(base, value & 0xFFFFFFFF)]
    return code + (_free(base) if rng.random() < 0.1 else [])


def _free(base: int) -> Words:
    """Frees the identifier in Y."""
    shift = Y << 20 | X << 15 | 1 << 12 | X << 7 | 0x33
    return [addi(X, 0, 1), shift, *load_constant(BASE, base + 4), sw(X, 0, BASE)]


def _wait(rng: random.Random) -> Words:
    """Masks, barriers, mutexes and software events, waited for with p.elw."""
    at = rng.choice((0x38, 0x3C, 0xC0, 0xC4, 0x140, 0x180, 0x218, 0x21C, 0x238))
    if rng.random() < 0.01:
        at = 4 * rng.randrange(256)
    code = _store(EVENTS, rng.choice((0, 0xFFFFFFFF, 0x700, 1 << rng.randrange(32))))
    everyone = rng.choice((0x1FF, 0x1, 0xFF, rng.getrandbits(32)))
    code += _store(EVENTS + rng.choice((0x200, 0x208, 0x20C, 0x220)), everyone)
    code += load_constant(BASE, EVENTS + at)
    return [*code, BASE << 15 | 6 << 12 | rng.choice((0, X)) << 7 | 0x03]


def _off_chip(rng: random.Random) -> Words:
    """A transfer of either L3 controller."""
    size = rng.choice((1, 4, 1000, 10000, 65536))
    l2 = 0x1C100000 + rng.getrandbits(16)
    l3 = rng.choice((0, rng.getrandbits(24), 0x2000000 - size))
    if rng.random() < 0.02:
        size = rng.getrandbits(25)
    if rng.random() < 0.5:
        code = _store(OCTOSPI + 0x0C, l2) + _store(OCTOSPI + 0x10, size)
        code += _store(OCTOSPI + 0x20, l3) + _store(OCTOSPI + 0x60, rng.randrange(2))
        return code + _store(OCTOSPI + 0x14, rng.choice((2, 3)))
    base, first = HYPER + 0x80 * rng.randrange(5), rng.choice((0, 0x0C))
    code = _store(base + first, l2) + _store(base + first + 4, size) + _store(base + 0x1C, l3)
    return code + _store(base + first + 8, 1 << 4)


def _timer(rng: random.Random) -> Words:
    base = rng.choice((0x10200400, 0x1A10B000, 0x1A10B800))
    code = _store(base + 0x10, rng.choice((*ODD, 100, 5000))) + _store(base + 8, rng.choice(ODD))
    wide = rng.choice((0, 0, 1 << 31))
    return code + _store(base + rng.choice((0, 4)), wide | rng.getrandbits(6) | 1)


def _engine(rng: random.Random) -> Words:
    """A job of NE16, most often a possible one."""
    mode = rng.choice((0x00, 0x20, 0x40, 0xC0))
    side = 5 if mode < 0x40 else 3
    tiles = [rng.choice((1, 1, 2, 3)) for _ in range(4)]
    ko = rng.choice((1, 8, 16)) if mode == 0x20 else rng.randrange(33)
    ki = ko if mode == 0x20 else rng.choice((2, 8, 16))
    tiles[1] = tiles[0] if mode == 0x20 else tiles[1]
    words = [0x10000000 + rng.getrandbits(16) for _ in range(6)]
    words += [rng.choice((0, 16, 64, rng.getrandbits(8), 0xFFFFFFF0)) for _ in range(9)]
    words += [ko << 16 | ki, rng.randrange(4) << 16 | rng.randrange(4)]
    words += [rng.randrange(side + 1) << 16 | rng.randrange(side + 1)]
    words += [tiles[0] << 16 | tiles[1], tiles[2] << 16 | tiles[3]]
    words += [rng.choice((0, rng.getrandbits(32))), rng.choice((0, 0xFFFFFF80, _value(rng)))]
    words += [rng.choice((0, rng.getrandbits(32))) if side == 5 else 0]
    stream = rng.choice((0, 0, 1 << 14 | 2 << 21))
    words += [
        mode
        | stream
        | rng.getrandbits(5) & (23 if mode == 0x20 else 31)
        | rng.getrandbits(4) << 23
        | rng.getrandbits(2) << 12
    ]
    if rng.random() < 0.1:
        words[rng.randrange(24)] = _value(rng)
    code = _store(CLUSTER + 0x18, rng.choice((0x800, 0x800, 0x800, 0)))
    code += [w for n, value in enumerate(words) for w in _store(ENGINE + 0x20 + 4 * n, value)]
    return [*code, *_load(ENGINE + rng.choice((4, 12, 16))), *_store(ENGINE, rng.choice((0, 0, 1)))]


def _sleep(rng: random.Random) -> Words:
    return [*_store(0x1A109000, rng.choice((0, 0xFFFFFFFF, 1 << 10))), 0x10500073]


def _host(rng: random.Random) -> Words:
    """Semihosting with arguments of all kinds."""
    operation = rng.choice((*range(1, 13), 0x30, 0x31, 0x13, 0xFFF))
    n = rng.randrange(len(HOSTILE))
    address = rng.choice((NAMES + 256 * n, NAMES + 256 * n, 0x1C100000, _value(rng)))
    size = rng.choice((len(HOSTILE[n]), 0, 1, 100, 70000, _value(rng)))
    block = 0x1C017000
    if operation == 1:
        words = [address, rng.choice((*range(12), 12, _value(rng))), size]
    else:
        words = [rng.choice((*range(1, 6), 0, 16, 17, _value(rng))), address, size]
    code = [w for k, value in enumerate(words) for w in _store(block + 4 * k, value & 0xFFFFFFFF)]
    direct = operation in (3, 4) or rng.random() < 0.1
    code += load_constant(11, address if direct else block)
    return [*code, addi(10, 0, operation), *SEMIHOSTING]


_ALL: tuple[Piece, ...] = (
    _plain,
    _skip,
    _loop,
    _control,
    _access,
    _access,
    _off_chip,
    _timer,
    _host,
    _engine,
)
_FC: tuple[Piece, ...] = (_dma_of_fc, _sleep)
_CLUSTER: tuple[Piece, ...] = (_dma_of_core, _dma_of_core, _wait, _wait)
_WILD: tuple[Piece, ...] = (_any_word, _undefined_near, _instruction, _poke)
