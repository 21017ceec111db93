# SPDX-License-Identifier: Apache-2.0
"""Barriers, events and mutexes, against models in a few lines of Python."""

from __future__ import annotations

import random
import struct

import pytest

from tests.isa.program import addi, bne, load_constant, lw, sw
from tests.simulator import cores
from tests.simulator.cores import (
    BUFFER,
    BUFFER_CLEAR,
    BUFFER_MASKED,
    EVENTS,
    L1,
    MASK,
    MASK_AND,
    MASK_OR,
    S2,
    T0,
    T1,
    T2,
    WAIT,
    WAIT_CLEAR,
    ZERO,
    Code,
    get,
    make,
    note,
    note_cycle,
    put,
    repeat,
    run,
    spin,
    until,
    wait,
)
from tests.support.each import each


def barrier(number: int, register: int) -> int:
    return EVENTS + 0x200 + 0x20 * number + register


BARRIER_WAIT, BARRIER_TARGET = 0x1C, 0x0C
BARRIER = 1 << 16


@each("seed", range(12))
def test_nobody_leaves_a_barrier_before_everybody_has_arrived(seed: int) -> None:
    rng = random.Random(seed)
    everyone = rng.sample(range(9), 9)
    cut = rng.randint(1, 8)
    teams = [everyone[:cut], everyone[cut : rng.randint(cut + 1, 9)]]
    rounds = 5
    lists: dict[int, Code] = {}
    for number, team in zip(rng.sample(range(8), 2), teams, strict=True):
        members = sum(1 << core for core in team)
        for core in team:
            code = [*put(MASK, BARRIER)]
            for register in (0, BARRIER_TARGET):  # whoever comes first: all write the same
                code += put(barrier(number, register), members)
            for n in range(rounds):
                at = 3 * (rounds * core + n)
                code += [*spin(rng.randint(1, 200)), *note_cycle(at)]
                code += [*wait(barrier(number, BARRIER_WAIT)), cores.csrr(S2, cores.MCYCLE)]
                code += [*note(at + 2), *note(at + 1, S2)]
            lists[core] = code
    notes = run(make(lists)).notes
    for team in teams:
        for n in range(rounds):
            arrived, left, events = zip(
                *(notes[3 * (rounds * core + n) :][:3] for core in team), strict=True
            )
            assert max(arrived) < min(left)
            assert max(left) - max(arrived) < 150, "fetches of what comes next"
            assert set(events) == {BARRIER}


def test_a_barrier_may_wake_others_than_those_it_counts() -> None:
    members, target = 0b011, 0b100
    setup = [*put(barrier(2, 0), members), *put(barrier(2, BARRIER_TARGET), target)]
    early = [*setup, *put(barrier(2, 0x14), 0), *get(BUFFER, 1)]
    late = [*setup, *spin(200), *note_cycle(2), *put(barrier(2, 0x14), 0)]
    woken = [*put(MASK, BARRIER), *wait(WAIT_CLEAR, 0), *note_cycle(3), *get(BUFFER, 4)]
    notes = run(make({0: early, 1: late, 2: woken})).notes
    assert (notes[0], notes[1] & BARRIER, notes[4]) == (BARRIER, 0, 0)
    assert notes[2] < notes[3]


@pytest.mark.parametrize("seed", range(10))
def test_masks_and_buffers_of_a_core_follow_a_model(seed: int) -> None:
    rng = random.Random(seed)
    mask = buffer = 0
    code, expected = [*put(MASK, 0), *put(BUFFER_CLEAR, 0xFFFFFFFF)], []
    for _ in range(60):
        value = rng.getrandbits(8) | rng.getrandbits(1) << 16
        step = rng.choice(("mask", "and", "or", "raise", "clear", "wait", "wait clear", "read"))
        if step == "mask":
            mask = value
            code += put(MASK, value)
        elif step == "and":
            mask &= ~value
            code += put(MASK_AND, value)
        elif step == "or":
            mask |= value
            code += put(MASK_OR, value)
        elif step == "clear":
            buffer &= ~value
            code += put(BUFFER_CLEAR, value)
        elif step == "raise":
            event = rng.randrange(8)
            buffer |= 1 << event
            code += put(EVENTS + 0x100 + 4 * event, 1 << 3)
        elif step == "read":
            for address, now in ((MASK, mask), (BUFFER, buffer), (BUFFER_MASKED, mask & buffer)):
                code += get(address, len(expected))
                expected.append(now)
        elif mask & buffer:
            code += wait(WAIT if step == "wait" else WAIT_CLEAR, len(expected))
            expected.append(mask & buffer)
            buffer &= ~mask if step == "wait clear" else 0xFFFFFFFF
    notes = run(make({3: code})).notes
    assert list(notes[: len(expected)]) == expected
    assert len(expected) > 10


@pytest.mark.parametrize("seed", range(6))
def test_software_events_reach_the_cores_they_name(seed: int) -> None:
    rng = random.Random(seed)
    buffers = [0] * 9
    fc: Code = []
    for _ in range(20):
        event, named = rng.randrange(8), rng.choice((0, rng.getrandbits(9)))
        fc += put(0x10200E00 + 4 * event, named)
        for core in range(9):
            buffers[core] |= (not named or named >> core & 1) << event
    fc += put(cores.DONE + 0x100, 1)
    lists = {core: [*until(cores.DONE + 0x100, 1), *get(BUFFER, core)] for core in range(9)}
    assert list(run(make(lists, fc)).notes[:9]) == buffers


def test_an_event_outside_the_mask_does_not_wake() -> None:
    sleeper = [*put(MASK, 1 << 5), *put(cores.DONE + 0x100, 1), *wait(WAIT, 0), *note_cycle(1)]
    sleeper += get(BUFFER, 2)
    waker = [*until(cores.DONE + 0x100, 1), *spin(50), *put(EVENTS + 0x100 + 4 * 2, 1 << 7)]
    waker += [*spin(300), *note_cycle(3), *put(EVENTS + 0x100 + 4 * 5, 1 << 7)]
    notes = run(make({7: sleeper, 0: waker})).notes
    assert notes[0] == 1 << 5
    assert notes[1] > notes[3]
    assert notes[2] == 1 << 5 | 1 << 2, "a wait without clearing leaves both"


def test_trigger_and_wait_is_both() -> None:
    """0x140 + 4 e raises event e for the cores of TARGETS and waits for what the mask has."""
    one = [*put(MASK, 1 << 1), *put(EVENTS + 0x2C, 1 << 6), *wait(EVENTS + 0x180, 0)]
    two = [*put(MASK, 1), *wait(WAIT_CLEAR, 1), *put(EVENTS + 0x104, 1 << 2)]
    notes = run(make({2: one, 6: two})).notes
    assert notes[:2] == (1 << 1, 1)


COUNTER = L1 + 0x100
MUTEX = EVENTS + 0xC0
MUTEX_EVENT = 1 << 17


def increment(inside: int) -> Code:
    """One more in COUNTER; between load and store some time passes."""
    read = [*load_constant(T1, COUNTER), lw(T2, 0, T1)]
    return [*read, *spin(inside), addi(T2, T2, 1), *load_constant(T1, COUNTER), sw(T2, 0, T1)]


def increments(locked: bool, mutex: int, rounds: int, inside: int) -> Code:
    lock, unlock = (wait(mutex), put(mutex, 0)) if locked else ([], [])
    return [*put(MASK, MUTEX_EVENT), *repeat(rounds, [*lock, *increment(inside), *unlock])]


@pytest.mark.parametrize("seed", range(8))
def test_a_mutex_lets_one_in_at_a_time(seed: int) -> None:
    rng = random.Random(seed)
    who, rounds = rng.sample(range(9), rng.randint(2, 9)), rng.randint(1, 12)
    mutex = MUTEX + 4 * rng.randrange(8)
    memory = [(COUNTER, bytes(4))]
    counts = {}
    for locked in (True, False):
        lists = {c: increments(locked, mutex, rounds, rng.randint(1, 40)) for c in who}
        counts[locked] = run(make(lists, memory=memory), [(COUNTER, 4)]).memory[0]
    total = len(who) * rounds
    assert struct.unpack("<I", counts[True]) == (total,)
    assert struct.unpack("<I", counts[False]) < (total,), "what the mutex is there for"


def test_a_lock_by_test_and_set_lets_one_in_at_a_time() -> None:
    lock = L1 + 0x200
    take = [*load_constant(T1, lock + 0x100000), lw(T0, 0, T1), bne(T0, ZERO, -4)]
    lists = {}
    for core in range(9):
        lists[core] = repeat(5, [*take, *increment(5 + core), *put(lock, 0)])
    memory = [(COUNTER, bytes(4)), (lock, bytes(4))]
    assert run(make(lists, memory=memory), [(COUNTER, 4)]).memory[0] == bytes([45, 0, 0, 0])
