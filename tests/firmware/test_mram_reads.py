# SPDX-License-Identifier: Apache-2.0
"""Reads from the flash on the chip: bytes, cycles beside those of GAP9's platform and beside L3,
errors that ECC does not correct, and power cuts while the weights' partition is written."""

from __future__ import annotations

import functools
import random
import struct
import zlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from myoedge.codegen.firmware import link
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.simulator import FlashState, Simulation, simulate
from myoedge.system import tools
from myoedge.targets.boards import all_boards
from myoedge.targets.gap9.program import HEAD_BYTES, LAYOUT, MAP, MRAM_BYTES, MRAM_CLOCK_HZ
from tests.firmware.programs import PROGRAMS

IMAGE_BYTES = 20_000
BLOCK_BYTES = 8192
PERIPHERALS_HZ = 370_500_000
NO_WEIGHTS = 108  # ME_EXIT_MRAM
# from the end of loading backwards: erasing three sectors, programming, comparing with the CRC-32
WRITING_CYCLES, COMPARING_CYCLES = 780_000, 250_000
# Cycles until the last byte is there, on GAP9's platform model: divider -> 16 bytes, 8 KiB.
PLATFORM = {
    1: (103, 2154),
    2: (117, 4191),
    4: (145, 5234),
    10: (222, 5332),
    13: (264, 6900),
    25: (434, 13193),
}


def image() -> bytes:
    i = np.arange(IMAGE_BYTES)
    return (i * 41 + (i >> 8) * 3 + 1).astype(np.uint8).tobytes()


CRC = zlib.crc32(image())
# a start that compares the header alone
UNCHECKED = ("compare(flash, at, bytes, crc)", "compare(flash, at, 0, 0)")


@functools.cache
def elf(divider: int, image_crc: int | None, changed: tuple[str, str]) -> bytes:
    """programs/mram.c, with a text of me_weights.c replaced."""
    files = {path.name: path.read_text() for path in (template_dir() / "include").iterdir()}
    files |= {"mram.c": (PROGRAMS / "mram.c").read_text(), **runtime(levels=["mram"])}
    assert changed[0] in files["library/me_weights.c"]
    files["library/me_weights.c"] = files["library/me_weights.c"].replace(*changed)
    defines = [f"ME_MRAM_HZ={-(-PERIPHERALS_HZ // divider)}u"]
    defines += [] if image_crc is None else [f"IMAGE_CRC={image_crc}u"]
    return link(files, defines=(*defines,)).elf


def ran(
    flash: FlashState,
    divider: int = 13,
    image_crc: int | None = None,
    changed: tuple[str, str] = ("", ""),
) -> tuple[Simulation, tuple[int, ...]]:
    """A run of programs/mram.c -> how it ended, and times.bin."""
    with tools.scratch() as folder:
        (folder / "mram.bin").write_bytes(image())
        program = elf(divider, image_crc, changed)
        done = simulate(program, folder=folder, flash=flash, max_cycles=10**8)
        times = folder / "times.bin"
        content = times.read_bytes() if times.exists() else b""
    return done, struct.unpack(f"<{len(content) // 4}I", content)


@functools.cache
def written() -> bytes:
    """The flash after the partition was written, which nothing else changes."""
    done, _ = ran(FlashState(b"\x5a" * MAP.weights.offset))
    assert done.exit_code == 0
    return done.flash


@pytest.mark.parametrize("applications", [1, 2])
def test_areas_of_the_flash_are_whole_sectors_without_gaps(applications: int) -> None:
    found = LAYOUT.areas(applications)
    areas = [*found.applications, found.weights, *found.slots]
    assert [areas[0].offset, *(area.end for area in areas)] == [
        *(area.offset for area in areas),
        MRAM_BYTES,
    ]
    assert all(area.size_bytes % 8192 == 0 for area in areas)
    assert len(found.applications) == applications
    assert found.image_bytes + HEAD_BYTES == found.weights.size_bytes


def test_boards_and_driver_have_the_clock_of_the_record() -> None:
    driver = (template_dir() / "storage" / "me_mram.c").read_text()
    assert f"#define ME_MRAM_HZ {MRAM_CLOCK_HZ}u\n" in driver
    assert {board.flash["mram"].clock_hz for board in all_boards()} == {MRAM_CLOCK_HZ}


def test_the_partition_is_written_once_and_nothing_else() -> None:
    flash, at = written(), MAP.weights.offset
    assert flash[:at] == b"\x5a" * at
    assert flash[at + HEAD_BYTES : at + HEAD_BYTES + IMAGE_BYTES] == image()
    assert set(flash[MAP.weights.end :]) == {0xFF}
    first, _ = ran(FlashState(b"\x5a" * at))
    again, _ = ran(FlashState(flash))
    assert (again.exit_code, again.flash) == (0, flash)
    assert first.cycles - again.cycles > 3 * 512 * 120, "three sectors are erased once"


@pytest.mark.parametrize("divider", PLATFORM)
def test_reads_take_the_cycles_of_the_platform(divider: int) -> None:
    """Of 8 KiB within 2 %; of 16 bytes within the program's own cycles around a read."""
    done, times = ran(FlashState(written()), divider)
    assert done.exit_code == 0
    small, large = PLATFORM[divider]
    assert times[4] == pytest.approx(large, rel=0.02)
    assert abs(times[3] - small) <= 30


@pytest.mark.parametrize("divider", [4, 13, 25])
def test_reads_beside_l3_take_as_long_as_alone(divider: int) -> None:
    """On the platform 8 KiB from L3 take 16,503 cycles beside the flash and 16,534 alone; from the
    flash at divider 13 6,995 and 6,923."""
    _, (l3, mram, both, *_) = ran(FlashState(written()), divider)
    assert both == pytest.approx(max(l3, mram), rel=0.02)


def test_an_error_that_ecc_does_not_correct_is_a_code() -> None:
    """At the start the partition is refused; in a read of the queue the run's result says so."""
    at = MAP.weights.offset + HEAD_BYTES
    refused, _ = ran(FlashState(written(), damaged=[at + 16 * 1000]), image_crc=CRC)
    assert refused.exit_code == NO_WEIGHTS
    mended, _ = ran(FlashState(written(), damaged=[at + 16 * 1000]))
    assert (mended.exit_code, mended.flash, mended.flash_damaged) == (0, written(), ())
    elsewhere, times = ran(FlashState(written(), damaged=[at - HEAD_BYTES - 16]), image_crc=CRC)
    assert (elsewhere.exit_code, times[5]) == (0, 0)


def test_a_read_with_an_error_is_a_result_of_the_run() -> None:
    """A word that wears out after the start has checked it."""
    at = MAP.weights.offset + HEAD_BYTES + 4096
    assert ran(FlashState(written()), changed=UNCHECKED)[1][5] == 0
    done, times = ran(FlashState(written(), damaged=[at]), changed=UNCHECKED)
    assert (done.exit_code, times[5]) == (0, 3), "ME_DAMAGED"


def cuts(count: int, seed: int) -> Counter[str]:
    """What `count` cuts at drawn cycles of writing the partition over another one leave to a
    program that does not write it: "whole", "refused", or "wrong". Half of the writings begin with
    what a cut left."""
    rng, found = random.Random(seed), Counter[str]()
    at = MAP.weights.offset
    another = FlashState(written()[: at + HEAD_BYTES] + b"\x33" * IMAGE_BYTES)
    before = another
    for _ in range(count):
        first, times = ran(before)
        ended = first.cycles - times[7]
        cycle = rng.randrange(ended - WRITING_CYCLES, ended - COMPARING_CYCLES)
        cut, _ = ran(replace(before, cut_cycle=cycle, seed=rng.randrange(1 << 32)))
        left = FlashState(cut.flash, damaged=cut.flash_damaged)
        after, _ = ran(left, image_crc=CRC)
        found[{0: "whole", NO_WEIGHTS: "refused"}.get(after.exit_code, "wrong")] += 1
        assert ran(left)[0].exit_code == 0, "the next writing succeeds"
        before = left if after.exit_code and rng.random() < 0.5 else another
    return found


def test_power_cuts_leave_whole_weights_or_none() -> None:
    found = cuts(25, seed=1)
    assert set(found) <= {"whole", "refused"}
    assert found["refused"] > 10


@pytest.mark.slow
def test_500_power_cuts_leave_whole_weights_or_none() -> None:
    found = cuts(500, seed=2)
    assert set(found) == {"whole", "refused"}
