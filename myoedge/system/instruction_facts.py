# SPDX-License-Identifier: Apache-2.0
"""Decoding of RV32 functions: calls, jumps, stack frames and addresses.

Encodings: The RISC-V Instruction Set Manual, volume I, chapters RV32I and "C".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from myoedge.system.elf import instructions

RA, SP, FRAME_POINTER = 1, 2, 8
# Registers that a call may change: ra, t0-t6, a0-a7.
CALLER_SAVED = (1, 5, 6, 7, *range(10, 18), *range(28, 32))
CALL, JUMP, INDIRECT, INDIRECT_JUMP, FRAME, UNKNOWN_FRAME, ADDRESS = range(7)

Fact = tuple[int, int]  # (kind, target, address or bytes)


@dataclass
class Decoder:
    """Decoder of the instructions of one function, in order.

    known   register -> its value, if that is a constant
    upper   register -> value of a lui or auipc without a following instruction that adds the low
            bits
    """

    known: dict[int, int] = field(default_factory=dict)
    upper: dict[int, int] = field(default_factory=dict)

    def facts(self, code: bytes, start: int) -> Iterator[Fact]:
        for at, size, word in instructions(code, start):
            found = [
                *(self._decode_32_bit(at, word) if size == 4 else self._decode_16_bit(at, word))
            ]
            yield from found
            if any(kind in (CALL, INDIRECT) for kind, _ in found):
                for register in CALLER_SAVED:
                    yield from self._forget(register)
        for register in range(32):
            yield from self._forget(register)

    def _forget(self, register: int) -> Iterator[Fact]:
        """Drop a register's value; yield the value of a lui without low bits, an address."""
        self.known.pop(register, None)
        if register in self.upper:
            yield ADDRESS, self.upper.pop(register)

    def _set_value(self, register: int, value: int | None) -> Iterator[Fact]:
        """Record a register's new value, None if not constant; yield it as possible address."""
        yield from self._forget(register)
        if value is not None and register:
            self.known[register] = value & 0xFFFFFFFF
            yield ADDRESS, value & 0xFFFFFFFF

    def _set_upper(self, register: int, value: int) -> Iterator[Fact]:
        yield from self._forget(register)
        self.known[register] = self.upper[register] = value & 0xFFFFFFFF

    def _value_plus(self, register: int, offset: int) -> int | None:
        self.upper.pop(register, None)
        if not register:
            return offset
        return self.known[register] + offset if register in self.known else None

    def _frame_fact(self, offset: int | None) -> Iterator[Fact]:
        yield (UNKNOWN_FRAME, 0) if offset is None else (FRAME, offset)

    def _decode_32_bit(self, at: int, word: int) -> Iterator[Fact]:
        opcode, rd, rs1 = word & 0x7F, word >> 7 & 31, word >> 15 & 31
        low12 = _sign_extend(word >> 20, 12)
        match opcode:
            case 0x37 | 0x17:
                yield from self._set_upper(rd, (word & 0xFFFFF000) + at * (opcode == 0x17))
            case 0x13 if word >> 12 & 7 == 0:
                yield from self._add(rd, rs1, low12)
            case 0x33 if rd == SP:
                yield from self._stack_by_register(word)
            case 0x6F:
                jal_offset = _gather_immediate(
                    word, ((21, 10, 1), (20, 1, 11), (12, 8, 12), (31, 1, 20)), 21
                )
                yield (CALL if rd else JUMP), at + jal_offset
            case 0x67:
                yield from self._register_jump(rs1, low12, links=rd != 0)
            case 0x63:
                pass
            case 0x23 | 0x03:
                yield from self._memory_access(word, rs1)
                if opcode == 0x03:
                    yield from self._forget(rd)
            case _:  # the vendor's post-increments also change rs1
                yield from self._forget(rd)
                yield from self._forget(rs1)

    def _add(self, rd: int, rs1: int, offset: int) -> Iterator[Fact]:
        if rd == SP and rs1 == SP:
            yield FRAME, offset
        elif rd == SP:
            yield from self._stack_from(rs1)
        else:
            yield from self._set_value(rd, self._value_plus(rs1, offset))

    def _stack_by_register(self, word: int) -> Iterator[Fact]:
        """Decode add or sub sp, sp, register (frames over 2 KiB); yield the change of the frame."""
        rs2 = word >> 20 & 31
        value = self.known.get(rs2)
        sign = -1 if word >> 30 & 1 else 1
        yield from self._frame_fact(None if value is None else sign * _sign_extend(value, 32))

    def _stack_from(self, register: int) -> Iterator[Fact]:
        """Decode a copy to the stack pointer: yield an unknown frame, unless the frame pointer
        restores it."""
        if register != FRAME_POINTER:
            yield UNKNOWN_FRAME, 0

    def _memory_access(self, word: int, base: int) -> Iterator[Fact]:
        is_store = word & 0x7F == 0x23
        offset = (word >> 25 << 5 | word >> 7 & 31) if is_store else word >> 20
        if base and (at := self._value_plus(base, _sign_extend(offset, 12))) is not None:
            yield ADDRESS, at & 0xFFFFFFFF

    def _register_jump(self, register: int, offset: int, *, links: bool) -> Iterator[Fact]:
        target = self._value_plus(register, offset) if register else None
        if target is not None and register != RA:
            yield (CALL if links else JUMP), target
        elif links and target is not None:
            yield CALL, target
        elif links:
            yield INDIRECT, 0
        elif register not in (RA, 5):
            yield INDIRECT_JUMP, 0

    def _decode_16_bit(self, at: int, word: int) -> Iterator[Fact]:
        quadrant, kind, rd = word & 3, word >> 13, word >> 7 & 31
        match quadrant, kind:
            case 1, (1 | 5):
                yield (CALL if kind == 1 else JUMP), at + _cj_offset(word)
            case 1, (0 | 2 | 3):
                yield from self._immediate(word, kind, rd)
            case 2, 4:
                yield from self._register_form(word, rd)
            case 0, (2 | 6):
                yield from self._word_access(word, kind)
            case (0, _) | (1, 4):
                yield from self._forget(8 + (word >> (2 if quadrant == 0 else 7) & 7))
            case 2, (0 | 2):
                yield from self._forget(rd)

    def _immediate(self, word: int, kind: int, rd: int) -> Iterator[Fact]:
        """Decode c.addi, c.li, c.addi16sp and c.lui."""
        low6 = _sign_extend(word >> 7 & 32 | word >> 2 & 31, 6)
        if kind == 0:
            yield from self._add(rd, rd, low6)
        elif kind == 2:
            yield from self._set_value(rd, low6)
        elif rd == SP:
            addi16sp_offset = _gather_immediate(
                word, ((6, 1, 4), (2, 1, 5), (5, 1, 6), (3, 2, 7), (12, 1, 9)), 10
            )
            yield FRAME, addi16sp_offset
        else:
            yield from self._set_upper(rd, low6 << 12)

    def _word_access(self, word: int, kind: int) -> Iterator[Fact]:
        offset = word >> 7 & 0x38 | word >> 4 & 4 | word << 1 & 0x40
        if (at := self._value_plus(8 + (word >> 7 & 7), offset)) is not None:
            yield ADDRESS, at & 0xFFFFFFFF
        if kind == 2:
            yield from self._forget(8 + (word >> 2 & 7))

    def _register_form(self, word: int, rd: int) -> Iterator[Fact]:
        rs2, links = word >> 2 & 31, bool(word >> 12 & 1)
        if not rs2:
            yield from self._register_jump(rd, 0, links=links) if rd else ()
        elif rd == SP and links:  # sp += register
            value = self.known.get(rs2)
            yield from self._frame_fact(None if value is None else _sign_extend(value, 32))
        elif rd == SP:
            yield from self._stack_from(rs2)
        else:
            other = self.known.get(rs2) if rs2 in self.known else None
            total = None if other is None else self._value_plus(rd, other) if links else other
            yield from self._set_value(rd, total)


def values_by_kind(facts: Iterable[Fact]) -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for kind, value in facts:
        found[kind].append(value)
    return found


def _sign_extend(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def _gather_immediate(word: int, places: Sequence[tuple[int, int, int]], bits: int) -> int:
    """Return a signed immediate; `places`: (lowest bit in the word, width, bit in the result)."""
    parts = ((word >> source & (1 << width) - 1) << target for source, width, target in places)
    return _sign_extend(sum(parts), bits)


def _cj_offset(word: int) -> int:
    places = (
        (3, 3, 1),
        (11, 1, 4),
        (2, 1, 5),
        (7, 1, 6),
        (6, 1, 7),
        (9, 2, 8),
        (8, 1, 10),
        (12, 1, 11),
    )
    return _gather_immediate(word, places, 12)
