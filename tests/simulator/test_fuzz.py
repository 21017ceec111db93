# SPDX-License-Identifier: Apache-2.0
"""Damaged programs and random ones never end the process that simulates them.

Each batch runs in a process of its own, on a core that is built with checks: whatever it does that
C does not define ends that process.
"""

from __future__ import annotations

import re
import sys

import pytest

from myoedge.system import tools
from tests.conftest import ROOT
from tests.support.guard import asan_at_hand

RECORDED = ROOT / "tests/fixtures/gvsoc"
TIMEOUT_S = 3000.0
MOST_MIB = 1500  # 100 MiB of a machine and its decoded instructions, sanitizers, what is recorded
ROW = re.compile(r"\d+ [\d.]+ (E\d+|exit)")
FAULTS = {"E701", "E702", "E703", "E704", "E705", "E707", "E708", "E713"}


def attack(
    kind: str, first: int, count: int, *, cc: str = "zig", checks: str = "undefined", **env: str
) -> set[str]:
    """How the runs of these seeds ended."""
    elves = [*sorted((RECORDED / "elf").glob("*.elf")), *sorted(RECORDED.glob("networks/*/*.elf"))]
    numbers = (str(first), str(count))
    ran = tools.run(
        [
            sys.executable,
            "-m",
            "tests.simulator.attack",
            checks,
            cc,
            *numbers,
            kind,
            *map(str, elves),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **env},
        timeout_s=TIMEOUT_S,
    )
    assert ran.returncode == 0, f"after {ran.stdout[-200:]}\n{ran.stderr[-3000:]}"
    *rows, memory = ran.stdout.splitlines()
    assert len(rows) == count
    assert all(ROW.fullmatch(row) for row in rows), rows
    assert int(memory.split()[1]) < MOST_MIB
    return {row.split()[2] for row in rows}


def test_random_programs() -> None:
    assert attack("random", 0, 60) >= FAULTS


def test_damaged_programs() -> None:
    assert attack("damaged", 1000, 120) >= {"E241", "E242", "E701", "E708", "exit"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "damaged"])
def test_many_more(kind: str) -> None:
    attack(kind, 100_000, 5000)


@pytest.fixture(scope="module")
def asan() -> dict[str, str]:
    """The environment of a process that loads a core with AddressSanitizer in it."""
    return asan_at_hand()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "damaged"])
def test_nothing_is_touched_outside_of_the_simulated_memories(
    kind: str, asan: dict[str, str]
) -> None:
    attack(kind, 200_000, 3000, cc="cc", checks="address,undefined", **asan)
