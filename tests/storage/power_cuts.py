# SPDX-License-Identifier: Apache-2.0
"""Power cuts while adapt.elf keeps a classifier in the simulated flash: what the next start finds.

python -m tests.storage.power_cuts BUILD --count 1000
"""

from __future__ import annotations

import argparse
import random
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from myoedge.backends.build import Build, load_build
from myoedge.extensions.adaptation import commands as c
from myoedge.extensions.adaptation.commands import Answer, Command, Window
from myoedge.extensions.adaptation.running import runner, settings_of
from myoedge.simulator import FlashState, Simulation, read_elf, simulate
from myoedge.system import tools
from myoedge.system.elf import Program

FOUND = (Command(c.RESTORE), Command(c.SAVE))


def ran(
    program: Program, commands: Sequence[Command], flash: FlashState
) -> tuple[list[Answer], Simulation]:
    with tools.scratch() as folder:
        (folder / "adapt.bin").write_bytes(c.packed(commands))
        done = simulate(program, folder=folder, flash=flash, max_cycles=10**9)
        answers = folder / "adapted.bin"
        return [*c.unpacked(answers.read_bytes() if answers.exists() else b"")], done


def found(program: Program, flash: FlashState) -> bytes:
    """The record that a start restores; b"": none, and the network's own decisions."""
    answers, _ = ran(program, FOUND, flash)
    return answers[1].content if answers[0].result == 0 else b""


def another(build: Build, record: bytes, number: int) -> bytes:
    """A saved classifier with drawn biases and weights, and the CRC that belongs to it."""
    size, classes = settings_of(build).features, settings_of(build).classes
    drawn = random.Random(number).randbytes(classes * (4 + 2 * size))
    body = record[:24] + drawn + record[24 + len(drawn) : -4]
    return body + struct.pack("<I", zlib.crc32(body))


def outcomes(build: Build, record: bytes, count: int, seed: int) -> Iterator[str]:
    """What `count` cuts, at drawn cycles of a save, left behind: "old", "new", or "neither".

    Half of the saves follow the one that was cut, with whatever it left in the flash.
    """
    program = read_elf(build.written("adapt.elf"), "adapt.elf")
    rng = random.Random(seed)
    _, done = ran(program, (Command(c.LOAD, 0, record), Command(c.KEEP)), FlashState())
    flash, old = FlashState(done.flash), record
    for number in range(count):
        new = another(build, record, number)
        commands = (Command(c.LOAD, 0, new), Command(c.KEEP))
        answers, whole = ran(program, commands, flash)
        last = answers[1].cycles // rng.choice((1, 1, 10))  # often while the head is programmed
        cycle, bits = whole.cycles - rng.randrange(last), rng.randrange(1 << 32)
        _, done = ran(program, commands, replace(flash, cut_cycle=cycle, seed=bits))
        left = FlashState(done.flash, damaged=done.flash_damaged)
        kept = found(program, left)
        yield "old" if kept == old else "new" if kept == new else "neither"
        if rng.random() < 0.5:
            flash, old = left, kept


def first_record(build: Build) -> bytes:
    """What a session of two drawn windows of each class saves."""
    rng = np.random.default_rng(0)
    size, classes = settings_of(build).features, settings_of(build).classes
    windows = [Window(x, 0) for x in rng.integers(-128, 128, (2 * classes, size))]
    labels = [n % classes for n in range(len(windows))]
    session = c.session(settings_of(build).methods[0], windows, labels)
    return runner(build, "host")([*session, Command(c.SAVE)])[-1].content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    build = load_build(given.build)
    print(Counter(outcomes(build, first_record(build), given.count, given.seed)))


if __name__ == "__main__":
    main()
