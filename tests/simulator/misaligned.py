# SPDX-License-Identifier: Apache-2.0
"""Drawn loops of misaligned accesses by several cores: cycles of public GVSoC and of the simulator.

`python -m tests.simulator.misaligned` records them on an installed GVSoC.
"""

from __future__ import annotations

import hashlib
import json

from myoedge.simulator import RunOptions, simulate
from myoedge.targets.gap9.simulator_costs import PUBLIC_GVSOC_CYCLES
from tests.simulator.fixture import FOLDER, Row
from tests.simulator.record import JUDGE, build, record
from tests.simulator.recorded import (
    EMPTY,
    MAX_CYCLES,
    TABLE_ADDRESS,
    TABLE_BYTES,
    US,
    net,
    read_table,
)

NAME = "drawn_misaligned"
SEEDS = (8, 9)
FIGURES = FOLDER / "misaligned.json"


def _cycles(rows: tuple[Row, ...], judge: str) -> list[int]:
    return [net(row, rows, judge) for row in rows if row.name not in EMPTY]


def digest(elf: bytes) -> str:
    return hashlib.sha256(elf).hexdigest()


def recorded() -> dict[int, list[int]]:
    """Cycles of public GVSoC by seed and row."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    return {int(seed): [int(n) for n in found["cycles"]] for seed, found in figures.items()}


def simulated(seed: int) -> list[int]:
    """Cycles of the simulator by row; ValueError where the program is not the recorded one."""
    elf = build(NAME, seed=seed)
    if digest(elf) != json.loads(FIGURES.read_text(encoding="utf-8"))[str(seed)]["sha256"]:
        raise ValueError(f"{NAME} of seed {seed} is not the program that was recorded")
    options = RunOptions(dump=[(TABLE_ADDRESS, TABLE_BYTES)])
    run = simulate(elf, cycles=PUBLIC_GVSOC_CYCLES, max_cycles=MAX_CYCLES, options=options)
    return _cycles(read_table(run.dumps[0]), US)


def main() -> None:
    elves = {seed: build(NAME, seed=seed) for seed in SEEDS}
    figures = {
        str(seed): {"sha256": digest(elf), "cycles": _cycles(record(elf), JUDGE)}
        for seed, elf in elves.items()
    }
    FIGURES.write_text(json.dumps(figures) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
