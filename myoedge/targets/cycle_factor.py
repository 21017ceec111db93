# SPDX-License-Identifier: Apache-2.0
"""Cycles per instruction of a core, from published runs of programs that were counted here."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Student's t for 95 % with 1, 2, ... degrees of freedom
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """A program that others ran on a chip with the core.

    clock_hz       clock of the chip
    runs_per_s     published runs per second
    instructions   of one run, counted here
    """

    name: str
    clock_hz: int
    runs_per_s: float
    instructions: int

    @property
    def cycles_per_instruction(self) -> float:
        return self.clock_hz / self.runs_per_s / self.instructions


@dataclass(frozen=True, slots=True)
class CycleFactor:
    """Cycles per instruction of a core: mean of published runs, which include the waiting for the
    flash of their boards.

    runs     the published runs, 2 to 11
    source   where they are from
    """

    runs: Sequence[PublishedRun]
    source: str

    def cycles(self, instructions: int) -> tuple[int, int, int]:
        """Return the cycles of another program: estimate, and its 95 % interval."""
        found = [run.cycles_per_instruction for run in self.runs]
        mean, margin = statistics.mean(found), statistics.stdev(found) * STUDENT[len(found) - 2]
        margin *= (1 + 1 / len(found)) ** 0.5
        value, low, high = (round(instructions * x) for x in (mean, mean - margin, mean + margin))
        return value, low, high
