# SPDX-License-Identifier: Apache-2.0
"""The DMA by the bytes it moves, against a model of them; its numbers and its queues."""

from __future__ import annotations

import random

from tests.isa.program import addi, bne, load_constant, lw, sw
from tests.simulator import cores
from tests.simulator.cores import (
    DMA,
    DMA_STATUS,
    ITC_MASK,
    ITC_STATUS,
    L1,
    L1_BYTES,
    L2,
    L2_BYTES,
    MASK,
    S2,
    T0,
    T1,
    T2,
    WAIT_CLEAR,
    WFI,
    ZERO,
    Code,
    alu,
    elw,
    get,
    make,
    note_cycle,
    put,
    run,
    spin,
    until,
)
from tests.support.each import each

DMA_EVENT = 1 << 8


class Transfer:
    """Bytes in L1 beside bytes in L2, the same number, in lines there."""

    def __init__(self, rng: random.Random, l1: int, l2: int, room: int) -> None:
        self.to_l1 = rng.random() < 0.5
        self.is_2d = rng.random() < 0.5
        self.bytes = rng.choice((1, 2, 3, 4, 7, rng.randint(1, 64), rng.randint(1, room)))
        lines = rng.choice([n for n in range(1, self.bytes + 1) if self.bytes % n == 0])
        self.line = self.bytes // lines if self.is_2d else self.bytes
        self.stride = rng.randint(self.line, self.line + 2 * room // lines) if self.is_2d else 0
        self.l1, self.l2 = l1 + rng.randint(0, 7), l2 + rng.randint(0, 7)

    @property
    def extent(self) -> int:
        """Bytes from its first to its last one in L2."""
        return max(self.outer(i) for i in range(self.bytes)) + 1

    def outer(self, i: int) -> int:
        return i // self.line * self.stride + i % self.line

    @property
    def start(self) -> Code:
        """Its identifier's bit is added to S2."""
        command = self.bytes | self.to_l1 << 17 | 1 << 18 | self.is_2d << 19 | 1 << 20
        words = [command, L1 + self.l1, L2 + self.l2, *([self.line, self.stride] * self.is_2d)]
        take = [*load_constant(T1, DMA), lw(T0, 0, T1), addi(T2, ZERO, 1), alu(1, T2, T2, T0)]
        return [*take, alu(6, S2, S2, T2), *(w for word in words for w in put(DMA, word))]

    def move(self, l1: bytearray, l2: bytearray) -> None:
        for i in range(self.bytes):
            if self.to_l1:
                l1[self.l1 + i] = l2[self.l2 + self.outer(i)]
            else:
                l2[self.l2 + self.outer(i)] = l1[self.l1 + i]


def await_transfers(asleep: bool) -> Code:
    """Until none of S2's is under way; then they are freed."""
    address = [*load_constant(T1, DMA_STATUS), *load_constant(S2 + 1, WAIT_CLEAR)]
    loop = [lw(T0, 0, T1), alu(7, T0, T0, S2)]
    free = [sw(S2, 0, T1), addi(S2, ZERO, 0)]
    if not asleep:
        return [*address, *loop, bne(T0, ZERO, -8), *free]
    # beq T0, ZERO, over p.elw and the jump back
    beq = 12 >> 1 << 8 | T0 << 15 | 0x63
    return [*address, *loop[:2], beq, elw(T2, S2 + 1), bne(T0, ZERO, -16), *free]


@each("seed", range(24))
def test_transfers_move_their_bytes_and_no_others(seed: int) -> None:
    rng = random.Random(seed)
    l1, l2 = bytearray(rng.randbytes(L1_BYTES)), bytearray(rng.randbytes(L2_BYTES))
    before = [(L1, bytes(l1)), (L2, bytes(l2))]
    lists: dict[int, Code] = {
        c: [*put(MASK, DMA_EVENT), addi(S2, ZERO, 0)]
        for c in rng.sample(range(9), rng.randint(1, 4))
    }
    room = rng.choice((64, 1000, 4000))
    l1_at = l2_at = moved_in = moved_out = 0
    for core, code in lists.items():
        for _ in range(rng.randint(1, 3)):
            for _ in range(rng.randint(1, 16 // len(lists))):
                transfer = Transfer(rng, l1_at, l2_at, room)
                if l1_at + room + 8 > L1_BYTES or l2_at + transfer.extent + 8 > L2_BYTES:
                    break
                l1_at, l2_at = transfer.l1 + transfer.bytes, transfer.l2 + transfer.extent
                moved_in += transfer.bytes * transfer.to_l1
                moved_out += transfer.bytes * (not transfer.to_l1)
                transfer.move(l1, l2)
                code += transfer.start
            code += await_transfers(rng.random() < 0.5)
        lists[core] = code
    ran = run(make(lists, memory=before), [(L1, L1_BYTES), (L2, L2_BYTES)])
    assert ran.memory == (bytes(l1), bytes(l2))
    counted = ran.run.devices
    assert (counted["dma_in_bytes"], counted["dma_out_bytes"]) == (moved_in, moved_out)


def test_sixteen_transfers_have_sixteen_numbers_and_the_next_one_waits_for_one() -> None:
    owner = [word for n in range(16) for word in get(DMA, n)]
    owner += [*put(cores.DONE + 0x100, 1), *spin(300), *note_cycle(20)]
    owner += put(DMA_STATUS, 1 << 5)
    other = [*until(cores.DONE + 0x100, 1), *get(DMA, 16), *note_cycle(21), *get(DMA_STATUS, 17)]
    ran = run(make({0: owner, 1: other}))
    assert sorted(ran.notes[:16]) == list(range(16))
    assert ran.notes[16] == 5, "the one that was freed"
    assert ran.notes[21] > ran.notes[20], "not before"
    assert ran.notes[17] == 0xFFFF0000, "all allocated, none under way"


def test_a_core_is_held_while_its_queue_is_full() -> None:
    size, count = 8192, 15
    memory = [(L2, bytes(range(256)) * (size * count // 256))]
    code = [*get(DMA, 0)]
    for n in range(count):
        for word in (size | 3 << 17, L1 + n * size, L2 + n * size):
            code += put(DMA, word)
    code += [*note_cycle(1), addi(T2, ZERO, 1), *until(DMA_STATUS, 1 << 16)]
    code += note_cycle(2)
    ran = run(make({4: code}, memory=memory), [(L1, size * count)])
    assert ran.memory[0] == memory[0][1]
    # 2 commands wait in the core's queue, 8 in the global one, one moves at 8 bytes a cycle
    assert ran.notes[1] > (count - 2 - 8 - 1) * size // 8 * 0.9
    assert size * count / 8 < ran.notes[2] < size * count / 8 * 1.3


def test_the_dma_as_the_interconnect_sees_it() -> None:
    data = bytes(range(200))
    fc = [*put(ITC_MASK, 1 << 8), *get(0x10201800, 0)]
    for word in (200 | 1 << 18 | 1 << 17 | 1 << 20, L1 + 64, L2):
        fc += put(0x10201800, word)
    fc += [WFI, *get(0x10201804, 1), *get(ITC_STATUS, 2)]
    ran = run(make({}, fc, [(L2, data)]), [(L1 + 64, 200)])
    assert ran.memory[0] == data
    assert ran.notes[1] & 0xFFFF == 0
    assert ran.notes[2] == 1 << 8
