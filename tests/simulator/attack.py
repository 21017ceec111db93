# SPDX-License-Identifier: Apache-2.0
"""Runs hostile programs one after the other; its own process, as it is meant to survive them.

python -m tests.simulator.attack SANITIZE CC FIRST COUNT KIND [ELF ...] prints a line for each.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from myoedge.errors import MyoedgeError
from myoedge.simulator import RunOptions, read_elf, simulate
from myoedge.simulator.result import hot_functions, hot_lines, steps_text
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.simulator.mutants import mutant, random_program

MAX_CYCLE_LIMIT = 200_000
LENIENT = {**GAP9_CYCLES, "register_strict": 0}  # for the networks, which load two such registers
SECRET = b"what lies outside of the folder"


def lay_traps(root: Path) -> Path:
    """The folder of the runs, with ways out of it; all else below root must stay as it is."""
    folder, outside = root / "inside", root / "outside"
    for made in (folder, folder / "folder", outside):
        made.mkdir(parents=True)
    (outside / "file").write_bytes(SECRET)
    (root / "outside file").write_bytes(SECRET)
    (folder / "link").symlink_to(outside / "file")
    (folder / "dangling").symlink_to(outside / "made by a run")
    (folder / "device").symlink_to("/dev/zero")
    os.link(outside / "file", folder / "hard")
    os.mkfifo(folder / "pipe")
    (folder / "plain").write_bytes(b"plain" * 100)
    with open(folder / "huge", "wb") as huge:
        huge.truncate(1 << 40)
    return folder


def is_untouched(root: Path) -> bool:
    """Whether nothing outside the folder has changed, and nothing in it become a way out."""
    outside = sorted(p.name for p in (root / "outside").iterdir())
    names = sorted(p.name for p in root.iterdir())
    files = (root / "outside" / "file", root / "outside file", root / "inside" / "hard")
    return (
        outside == ["file"]
        and names == ["inside", "outside", "outside file"]
        and all(file.read_bytes() == SECRET for file in files)
    )


def observation(rng: random.Random) -> RunOptions:
    """Most of the time nothing, sometimes everything."""
    if rng.random() < 0.7:
        return RunOptions(spans=rng.random() < 0.5)
    return RunOptions(
        dump=[(0x1C010000, 4096)],
        snapshots={value: [(0x10000000, 1 << 12)] for value in range(-1, 4)},
        profile=rng.random() < 0.3,
        window=rng.choice((None, (0, 3000), (500, 501), (3000, 10))),
        spans=True,
    )


def attack(kind: str, seed: int, elves: list[bytes], folder: Path, cc: str, sanitize: str) -> str:
    """How it ended: an error's code or "exit"."""
    rng = random.Random(seed)
    data = random_program(seed) if kind == "random" else mutant(rng.choice(elves), seed)
    options = observation(rng)
    checks = tuple(part for part in sanitize.split(",") if part)
    try:
        program = read_elf(data)
        run = simulate(
            program,
            cycles=GAP9_CYCLES if kind == "random" else LENIENT,
            folder=folder,
            max_cycles=MAX_CYCLE_LIMIT,
            options=options,
            sanitize=checks,
            cc=cc,
        )
    except MyoedgeError as error:
        return error.code
    for show in (hot_functions, hot_lines, steps_text):
        show(run, program)
    return "exit"


def main() -> None:
    """One line a run: seed, seconds, how it ended; at last the memory the process took."""
    sanitize, cc, first, count, kind, *files = sys.argv[1:]
    elves = [Path(file).read_bytes() for file in files]
    with tempfile.TemporaryDirectory() as root:
        folder = lay_traps(Path(root))
        for file in files:
            with suppress(FileNotFoundError):
                shutil.copy(Path(file).parent / "input.bin", folder)
        for seed in range(int(first), int(first) + int(count)):
            print(seed, end=" ", flush=True)
            start = time.monotonic()
            ended = attack(kind, seed, elves, folder, cc, sanitize)
            print(f"{time.monotonic() - start:.2f} {ended}", flush=True)
        if not is_untouched(Path(root)):
            sys.exit("a file outside the folder was touched")
    print("memory", most_kib() >> 10, "MiB")


def most_kib() -> int:
    """The most memory that this program had; ru_maxrss has what its parent had as it forked."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1])


if __name__ == "__main__":
    main()
