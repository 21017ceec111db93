# SPDX-License-Identifier: Apache-2.0
"""Activity at an operating point -> Energy.

    E = leakage * V * t + V^2 * (clocks * cycles + work * (weights * counters)) + L3 * bytes

V is relative to 0.80 V, where the coefficients hold. targets/gap9/energy.py says where they come
from, docs/energy.md how well that agrees with what is published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from myoedge.backends.measurement import Activity
from myoedge.targets import OperatingPoint
from myoedge.targets.gap9 import energy as gap9_energy
from myoedge.targets.gap9.energy import ACCESS_PJ, DMA_BYTE_PJ, INSTRUCTION_PJ, VOLTS

Vector = tuple[float, ...]
SIGMAS = 2.0  # an interval is so many standard deviations to either side: 95 %
WEIGHTED = ("cores", "fc", "l1", "dma")
PARTS = ("leakage", "clocks", *WEIGHTED, "l3")


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Coefficients of the energy model, at 0.80 V.

    values      leakage in mW, clocks in pJ a cycle, factor of the weights, pJ for a byte of L3
    covariance  of the values
    workload    relative standard deviation of what they leave out, on the same board
    board       the same between boards and chips
    source      for people
    """

    values: Vector
    covariance: tuple[Vector, ...]
    workload: float
    board: float
    source: str


PUBLISHED = Coefficients(
    gap9_energy.VALUES,
    gap9_energy.COVARIANCE,
    gap9_energy.WORKLOAD,
    gap9_energy.BOARD,
    "published figures, no board",
)


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules by part (PARTS), and the standard deviation of their sum."""

    parts: Mapping[str, float]
    sigma_j: float

    @property
    def joules(self) -> float:
        return math.fsum(self.parts.values())

    @property
    def low_j(self) -> float:
        return max(self.joules - SIGMAS * self.sigma_j, 0.0)

    @property
    def high_j(self) -> float:
        return self.joules + SIGMAS * self.sigma_j


def energy(activity: Activity, point: OperatingPoint, by: Coefficients) -> Energy:
    """Energy of an activity: an inference, a layer, or a part of either."""
    row = joules_per_unit(activity, point)
    leakage, clocks, work, l3 = (a * c for a, c in zip(row, by.values, strict=True))
    weights = _weights_pj(activity)
    unit = work / sum(weights) if any(weights) else 0.0
    parts = (leakage, clocks, *(unit * weight for weight in weights), l3)
    lines = zip(row, by.covariance, strict=True)
    fitted = sum(a * b * c for a, line in lines for b, c in zip(row, line, strict=True))
    left_out = (by.workload**2 + by.board**2) * math.fsum(parts) ** 2
    sigma_j = math.sqrt(max(fitted, 0.0) + left_out)
    return Energy(dict(zip(PARTS, parts, strict=True)), sigma_j)


def joules_per_unit(activity: Activity, point: OperatingPoint) -> Vector:
    """Joules for one unit of each of Coefficients.values."""
    volts = point.volts / VOLTS
    seconds = activity.cycles / point.clock_hz
    dynamic = volts**2 * 1e-12
    return (
        1e-3 * volts * seconds,
        dynamic * activity.cycles,
        dynamic * sum(_weights_pj(activity)),
        1e-12 * activity.l3_bytes,  # a supply of its own
    )


def _weights_pj(activity: Activity) -> tuple[float, ...]:
    """Unscaled energies that share one factor, in the order of WEIGHTED."""
    return (
        INSTRUCTION_PJ * activity.instructions,
        INSTRUCTION_PJ * activity.fc_instructions,
        ACCESS_PJ * activity.accesses,
        DMA_BYTE_PJ * activity.dma_bytes,
    )


def typical(cycles: float, l3_bytes: float = 0) -> Activity:
    """Typical activity of so many cycles, where only cycles are known."""
    instructions, accesses, dma_bytes = (rate * cycles for rate in gap9_energy.TYPICAL)
    return Activity(cycles, instructions, 0.0, accesses, dma_bytes, l3_bytes)


def with_typical_error(by: Coefficients) -> Coefficients:
    """Coefficients with the added error of typical instead of counted activity."""
    return replace(by, workload=math.hypot(by.workload, gap9_energy.TYPICAL_ERROR))


def with_modelled_error(by: Coefficients) -> Coefficients:
    """Coefficients with the added errors of typical activity and of modelled cycles."""
    workload = math.hypot(with_typical_error(by).workload, gap9_energy.MODELLED_ERROR)
    return replace(by, workload=workload)
