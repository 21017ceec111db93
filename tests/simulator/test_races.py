# SPDX-License-Identifier: Apache-2.0
"""Bytes of L1 and L2 that something has yet to move: who touches them is told, nobody else is."""

from __future__ import annotations

import random

import pytest

from myoedge.errors import MyoedgeError
from tests.simulator.cores import DMA, L1, L2, Code, get, make, put, run, spin, until

SIZE = 8192
LINES = [(SIZE, 0), (512, 600), (64, 100), (64, 64), (32, 2000), (128, 96)]
RACE = "E705"


def transfer(to_l1: bool, l1: int, l2: int, line: int, stride: int) -> Code:
    command = SIZE | to_l1 << 17 | 1 << 18 | (stride > 0) << 19
    words = [command, l1, l2, *([line, stride] if stride else [])]
    return [*get(DMA, 0), *(code for word in words for code in put(DMA, word))]


def places(line: int, stride: int) -> list[int]:
    """Where each byte of a transfer lies in L2, from its first one on."""
    return [i // line * stride + i % line for i in range(SIZE)]


def is_told(elf: bytes) -> bool:
    """Whether the program races."""
    try:
        run(elf)
    except MyoedgeError as error:
        if error.code != RACE:
            raise
        return True
    return False


def touch(address: int, is_store: bool) -> Code:
    return put(address, 1, 1) if is_store else get(address, 1, 1)


@pytest.mark.parametrize(("line", "stride"), LINES)
@pytest.mark.parametrize("to_l1", [True, False])
@pytest.mark.parametrize("is_store", [True, False])
def test_a_core_beside_a_transfer(line: int, stride: int, to_l1: bool, is_store: bool) -> None:
    rng = random.Random(line * stride)
    where = places(line, stride)
    begin = transfer(to_l1, L1, L2, line, stride)
    late, free = set(where[SIZE // 2 :]), set(range(max(where) + 64)) - set(where)
    writes_l2 = not to_l1
    for at in rng.sample(sorted(late), 6):
        assert is_told(make({2: begin + touch(L2 + at, is_store)})) == (writes_l2 or is_store)
        assert not is_told(make({2: [*begin, *spin(9000), *touch(L2 + at, is_store)]}))
    for at in rng.sample(sorted(free), 6):
        assert not is_told(make({2: begin + touch(L2 + at, is_store)}))
    for at in rng.sample(range(SIZE // 2, SIZE), 6):
        assert is_told(make({2: begin + touch(L1 + at, is_store)})) == (to_l1 or is_store)
    assert not is_told(make({2: begin + touch(L1 + SIZE, is_store)}))


@pytest.mark.parametrize(("line", "stride"), LINES)
@pytest.mark.parametrize("first_in", [True, False])
def test_transfers_of_both_ways(line: int, stride: int, first_in: bool) -> None:
    rng = random.Random(line)
    one = set(places(line, stride)[SIZE // 2 :])
    begin = transfer(first_in, L1, L2, line, stride)
    for _ in range(12):
        at, wide = rng.randrange(0, max(one) + SIZE, 4), rng.choice((0, 64, 600))
        other = {at + place for place in places(32 if wide else SIZE, wide)}
        code = begin + transfer(not first_in, L1 + SIZE, L2 + at, 32 if wide else SIZE, wide)
        if one & other:
            assert is_told(make({2: code}))
        elif not set(places(line, stride)) & other:
            assert not is_told(make({2: code}))
    same_way = begin + transfer(first_in, L1 + SIZE, L2, line, stride)
    assert not is_told(make({2: same_way})), "their order is that of the commands"


READY = [*put(0x1A102004, 1 << 13), *put(0x1A102010, 1 << 13)]


def with_l3(read: bool) -> Code:
    begin = [*put(0x1A10270C, L2), *put(0x1A102710, SIZE), *put(0x1A102714, 2 | read)]
    return [*READY, *begin]


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("is_store", [True, False])
def test_a_core_beside_a_transfer_of_l3(read: bool, is_store: bool) -> None:
    begin = with_l3(read)
    for at in (0, SIZE - 1):
        assert is_told(make({}, begin + touch(L2 + at, is_store))) == (read or is_store)
        assert not is_told(make({}, [*begin, *spin(9000), *touch(L2 + at, is_store)]))
    for at in (-1, SIZE):
        assert not is_told(make({}, begin + touch(L2 + at, is_store)))


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("to_l1", [True, False])
def test_the_dma_beside_a_transfer_of_l3(read: bool, to_l1: bool) -> None:
    core = [*spin(300), *transfer(to_l1, L1, L2 + 4096, 512, 600)]
    assert is_told(make({2: core}, with_l3(read))) == (read or not to_l1)
    core = [*spin(300), *transfer(to_l1, L1, L2 + SIZE, 512, 600)]
    assert not is_told(make({2: core}, with_l3(read)))


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("to_l1", [True, False])
def test_a_transfer_of_l3_beside_the_dma(read: bool, to_l1: bool) -> None:
    started = 0x1C100000 + 4 * 100
    core = [*transfer(to_l1, L1, L2 - 15 * 600, 512, 600), *put(started, 1)]  # its last line
    fc = [*READY, *until(started, 1), *with_l3(read)]
    assert is_told(make({2: core}, fc)) == (read or not to_l1)
