# SPDX-License-Identifier: Apache-2.0
"""Flash on the chip by its registers: what is read back, when, what is refused, how it is trimmed,
and what power cuts leave."""

from __future__ import annotations

import random
import struct

import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions, Simulation, simulate
from myoedge.simulator.fault import FLASH_BYTES, FlashState
from tests.simulator.cores import L2, NOTES, RESULTS, Code, get, make, note_cycle, put, spin, until
from tests.simulator.flash_code import (
    GO,
    MODE,
    PROGRAM,
    READ,
    SECTOR,
    STATUS,
    TRIM,
    UDMA,
    WORDS,
    begun,
    erased,
    moved,
    opened,
)
from tests.support.each import each

ERASED = FlashState()
SHORTEST = 103  # cycles of a read of 16 bytes at divider 1, on the platform


def ran(code: Code, data: bytes, flash: FlashState = ERASED) -> Simulation:
    options = RunOptions(dump=[(RESULTS, 4 * NOTES), (L2 + 0x8000, 0x8000)])
    done = simulate(make({}, code, [(L2, data)]), flash=flash, options=options)
    assert done.power_cut or done.exit_code == 0
    return done


def test_words_are_programmed_read_and_erased() -> None:
    data = random.Random(0).randbytes(4096)
    code = [*opened(), *erased(SECTOR, 0x3FF0)]
    code += [*moved(PROGRAM, 0x2000, L2, 2048), *moved(PROGRAM, 0x2800, L2 + 2048, 2048)]
    code += [*moved(READ, 0x2003, L2 + 0x8000, 4000)]
    code += [*erased(WORDS, 0x2010, 3), *moved(PROGRAM, 0x2020, L2, 16)]
    code += [*moved(READ, 0x2000, L2 + 0xA000, 4096)]
    done = ran(code, data, FlashState(b"\0" * 0x6000))
    changed = data[:16] + b"\xff" * 16 + data[:16] + b"\xff" * 16 + data[64:]
    beyond = b"\xff" * (FLASH_BYTES - 0x6000)
    expected = b"\0" * 0x2000 + changed + b"\xff" * 0x1000 + b"\0" * 0x2000 + beyond
    assert done.flash == expected
    assert done.dumps[1][:4000] == data[3:4003]
    assert done.dumps[1][0x2000:0x3000] == changed


# on GAP9's platform model, until the last byte is there: divider, bytes, cycles
RECORDED = """
1 16 103, 2 16 117, 4 16 145, 10 16 222, 13 16 264, 25 16 434
1 8192 2154, 2 8192 4191, 4 8192 5234, 10 8192 5332, 13 8192 6900, 25 8192 13193
0 16384 4147, 1 16384 4147, 2 16384 8221, 4 16384 10285"""


def cycles_of_read(divider: int, size: int) -> int:
    """From before its registers are written until its last word is there."""
    last = 0x01020304
    code = [*opened(divider), *note_cycle(0), *begun(READ, 0, L2 + 0x8000, size)]
    code += [*until(L2 + 0x8000 + size - 4, last), *note_cycle(1)]
    contents = bytes(size - 4) + struct.pack("<I", last)
    notes = struct.unpack(f"<{NOTES}I", ran(code, b"", FlashState(contents)).dumps[0])
    return int(notes[1] - notes[0])


@each("row", RECORDED.replace("\n", ",").strip(",").split(","))
def test_reading_takes_what_the_platform_takes(row: str) -> None:
    """Beyond the shortest read, since both programs have cycles of their own: within 2 %, or two
    rounds in which a program looks for the word (15 cycles each) and a period of the clock."""
    divider, size, recorded = map(int, row.split())
    shortest = cycles_of_read(1, 16)
    assert 0 <= shortest - SHORTEST <= 50
    beyond = recorded - SHORTEST
    assert abs(cycles_of_read(divider, size) - shortest - beyond) <= max(
        30 + divider, 0.02 * beyond
    )


def test_the_event_of_a_read_comes_seven_periods_after_its_bytes() -> None:
    """The platform model's source; a program that waits for it finds them all."""
    times = []
    for divider in (1, 101):
        read = moved(READ, 0, L2 + 0x8000, 16)
        code = [*opened(divider), *note_cycle(0), *read, *note_cycle(1), *get(L2 + 0x800C, 2)]
        notes = struct.unpack(f"<{NOTES}I", ran(code, b"", FlashState(bytes(range(16)))).dumps[0])
        assert notes[2] == 0x0F0E0D0C
        times.append(notes[1] - notes[0])
    assert abs(times[1] - times[0] - 100 * (13 + 7)) < 20


def test_status_stays_0_as_on_the_platform_and_events_have_to_be_enabled() -> None:
    """A program that polls STATUS goes on at once and is refused with its next operation."""
    polls = until(STATUS, 0)
    code = [*opened(), *begun(READ, 0, L2 + 0x8000, 8192), *polls, *begun(READ, 0, L2, 16)]
    with pytest.raises(MyoedgeError, match="before the event that ends the first"):
        ran(code, b"")
    events = [*opened(enabled=0, trimmed=False), *begun(TRIM, 0, L2, 28), *spin(5000)]
    assert struct.unpack_from("<I", ran([*events, *get(0x1A109024, 0)], b"").dumps[0]) == (0,)
    events = [*opened(trimmed=False), *begun(TRIM, 0, L2, 28), *spin(5000)]
    assert struct.unpack_from("<I", ran([*events, *get(0x1A109024, 0)], b"").dumps[0]) == (115,)


FUSED = {1: 0x800, 65: 7, **{66 + n: 0x11111111 * n for n in range(7)}}


def test_a_flash_is_not_trimmed_by_other_words_than_those_that_are_fused() -> None:
    words = struct.pack("<7I", *(FUSED[66 + n] for n in range(7)))
    assert ran(opened(), words, FlashState(fuses=FUSED)).exit_code == 0
    for other in (bytes(28), words[:16] + b"\1" + words[17:]):
        with pytest.raises(MyoedgeError, match="other words than those of the chip's eFUSEs"):
            ran(opened(), other, FlashState(fuses=FUSED))
        assert ran(opened(), other, FlashState(fuses={**FUSED, 1: 0})).exit_code == 0


def test_efuses_are_read_after_the_command_to_read() -> None:
    base = 0x1A10F000
    code = [*put(base, 1), *get(base + 0x200 + 4 * 67, 0), *put(base, 4)]
    assert struct.unpack_from("<I", ran(code, b"", FlashState(fuses=FUSED)).dumps[0]) == (
        FUSED[67],
    )
    for wrong in (get(base + 0x200, 0), [*put(base, 4), *get(base + 0x200, 0)], put(base, 2)):
        with pytest.raises(MyoedgeError, match="eFUSE"):
            ran(wrong, b"")


def test_programming_and_erasing_take_330_ns_a_word() -> None:
    code = [*opened(), *note_cycle(0), *moved(PROGRAM, 0, L2, 1600), *note_cycle(1)]
    code += [*erased(SECTOR, 0), *note_cycle(2)]
    notes = struct.unpack(f"<{NOTES}I", ran(code, bytes(1600)).dumps[0])
    assert 0 <= notes[1] - notes[0] - 920 - 100 * 330 * 0.37 < 1600
    assert 0 <= notes[2] - notes[1] - 920 - 512 * 330 * 0.37 < 8000


REFUSED = {
    "that is not erased": [*moved(PROGRAM, 0, L2, 16), *moved(PROGRAM, 0, L2, 16)],
    "by words of 16 bytes": moved(PROGRAM, 8, L2, 16),
    "end of a row": moved(PROGRAM, 2048 - 16, L2, 32),
    "inside the flash": moved(READ, FLASH_BYTES - 16, L2, 32),
    "inside L2": moved(READ, 0, 0x10000000, 16),
    "of no bytes": moved(READ, 0, L2, 0),
    "not simulated": begun(0x400, 0, L2, 16),
    "a second operation": [*begun(PROGRAM, 0, L2, 16), *moved(READ, 0, L2, 16)],
    "trimmed by words": moved(TRIM, 0, L2, 27),
}


@pytest.mark.parametrize("says", REFUSED)
def test_misuse_is_a_fault(says: str) -> None:
    with pytest.raises(MyoedgeError, match=says):
        ran([*opened(), *REFUSED[says]], bytes(64))


def test_flash_needs_power_clock_and_trimming() -> None:
    for code in (opened(trimmed=False), opened()[len(put(UDMA + 4, 0)) :]):
        with pytest.raises(MyoedgeError, match=r"trimming|no clock"):
            ran([*code, *moved(READ, 0, L2, 16)], bytes(64))
    with pytest.raises(MyoedgeError, match="without power"):
        ran([*opened(), *put(MODE, READ), *put(GO, 3)], bytes(64))


def test_power_cuts_leave_words_half_programmed_and_sectors_half_erased() -> None:
    """Bits of the word under way are the old or the new ones; words before it are new, words behind
    it old."""
    data = bytes(range(1, 241)) + bytes(16)
    programs = [*opened(), *note_cycle(0), *moved(PROGRAM, 0, L2, 256), *note_cycle(1)]
    first, last, *_ = struct.unpack(f"<{NOTES}I", ran(programs, data).dumps[0])
    torn = 0
    for number in range(40):
        cut = first + (last - first) * number // 40
        done = ran(programs, data, FlashState(cut_cycle=cut, seed=number))
        assert done.power_cut
        words = [done.flash[at : at + 16] for at in range(0, 256, 16)]
        whole = sum(word == data[16 * n : 16 * n + 16] for n, word in enumerate(words))
        assert all(word == b"\xff" * 16 for word in words[whole + 1 :])
        if whole < 16:
            assert all(a | b == a for a, b in zip(words[whole], data[16 * whole :], strict=False))
            torn += words[whole] != b"\xff" * 16
    assert torn > 10
    erases = [*opened(), *erased(SECTOR, 0)]
    cut = ran(erases, b"", FlashState(b"\x5a" * 8192)).cycles - 20_000
    done = ran(erases, b"", FlashState(b"\x5a" * 8192, cut))
    words = [done.flash[at : at + 16] for at in range(0, 8192, 16)]
    kept, blank = words.count(b"\x5a" * 16), words.count(b"\xff" * 16)
    assert min(kept, blank, 512 - kept - blank) > 50
    assert done.flash[8192:] == b"\xff" * (FLASH_BYTES - 8192)


def test_a_run_that_ends_before_its_power_goes_ends_as_usual() -> None:
    done = ran(opened(), bytes(64), FlashState(cut_cycle=10**9))
    assert not done.power_cut
    assert done.flash == b"\xff" * FLASH_BYTES
