# SPDX-License-Identifier: Apache-2.0
"""Energy model of the chip, and powers of the module around it.

    E = leakage * V * t + V^2 * (clocks * cycles + work * (weights * counters)) + L3 * bytes
        + V^2 * accelerator * (cycles in which it is busy) + MRAM * bytes

V is relative to the voltage of the coefficients. The energy.py of a target gives their sources,
docs/developers/energy.md a comparison with published figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from myoedge.backends.measurement import Activity
from myoedge.targets import DEFAULT, OperatingPoint
from myoedge.targets import DEFAULT_ENERGY as MODEL

Vector = tuple[float, ...]
Spans = Sequence[tuple[Activity, OperatingPoint]]  # counters and operating point of each
SIGMAS = 2.0  # half width of an interval in standard deviations: 95 %
WEIGHTED = ("cores", "fc", "l1", "dma")
PARTS = ("leakage", "clocks", *WEIGHTED, "l3", *DEFAULT.accelerators, "mram")


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Coefficients of the energy model, at its voltage.

    values       leakage in mW, clocks in pJ per cycle, factor of the weights, pJ per byte of L3, pJ
                 per busy cycle of the accelerator, pJ per byte of the flash on the chip (MRAM)
    covariance   covariance of the values
    workload     relative standard deviation of the model error between workloads
    board        relative standard deviation between boards and chips
    source       description for reports
    waiting      coefficients of a chip whose cores wait, of measurements of it; None: none was
                 measured, and these count
    volts        lowest and highest voltage of measurements of a chip that waits; (): unknown, or
                 coefficients of all else
    """

    values: Vector
    covariance: tuple[Vector, ...]
    workload: float
    board: float
    source: str
    waiting: Coefficients | None = None
    volts: Vector = ()

    def at_voltage(self, volts: float) -> Coefficients:
        """Return these coefficients; if the chip was measured while it waits, but at other voltages
        only, the error of a workload that was not fitted is in the interval of waiting."""
        known = self.waiting
        if known is None or (known.volts and known.volts[0] <= volts <= known.volts[1]):
            return self
        return replace(self, waiting=replace(known, workload=max(known.workload, MODEL.workload)))


# Least values that the coefficients can have. Leakage is at least the power that retains memories;
# nothing is known of the others.
FLOORS = (MODEL.sleep_mw, 0.0, 0.0, 0.0, 0.0, 0.0)

PUBLISHED = Coefficients(
    MODEL.values,
    MODEL.covariance,
    MODEL.workload,
    MODEL.board,
    "published figures, no board",
)


@dataclass(frozen=True, slots=True)
class Energy:
    """Estimated energy of an inference.

    parts     joules by part of the chip (keys PARTS)
    sigma_j   standard deviation of the sum in joules
    least_j   lower bound of the sum, for no coefficient of which is below its floor
    """

    parts: Mapping[str, float]
    sigma_j: float
    least_j: float

    @property
    def joules(self) -> float:
        return math.fsum(self.parts.values())

    @property
    def low_j(self) -> float:
        return max(self.joules - SIGMAS * self.sigma_j, self.least_j)

    @property
    def high_j(self) -> float:
        return self.joules + SIGMAS * self.sigma_j


def energy(activity: Activity, point: OperatingPoint, by: Coefficients) -> Energy:
    """Estimate the energy of an inference, a layer, or a part of either.

    activity   its counters
    point      operating point
    by         energy coefficients
    """
    return energy_of([(activity, point)], by)


def energy_of(spans: Spans, by: Coefficients) -> Energy:
    """Estimate the energy of several spans of time, at operating points of the same voltage."""
    row = units_of(spans)
    activity = sum((x for x, _ in spans), Activity(0))
    leakage, clocks, work, *rest = (a * c for a, c in zip(row, by.values, strict=True))
    weights = _weights_pj(activity)
    unit = work / sum(weights) if any(weights) else 0.0
    parts = (leakage, clocks, *(unit * weight for weight in weights), *rest)
    fitted = _dot(row, [_dot(line, row) for line in by.covariance])
    relative = math.hypot(by.workload, by.board)
    sigma_j = math.hypot(math.sqrt(max(fitted, 0.0)), relative * _dot(row, by.values))
    return Energy(dict(zip(PARTS, parts, strict=True)), sigma_j, _least_j(row, by))


def _least_j(row: Sequence[float], by: Coefficients) -> float:
    """Return the lower end of an energy's interval if no coefficient is below its floor, in joules.

    row   as joules_per_unit
    A coefficient that would be below is fixed at its floor, and the others are what the fit then
    requires: they depend on each other, as published figures determine sums. Of what is left, the
    model's relative errors take at most their share.
    """
    values, covariance = by.values, by.covariance
    free = {*range(len(row))}
    while True:
        reach = [_dot(line, row) for line in covariance]
        fit_j = math.sqrt(max(_dot(row, reach), 0.0))
        below = [
            n
            for n in free
            if (values[n] - FLOORS[n]) * fit_j < SIGMAS * reach[n] and covariance[n][n] > 0
        ]
        if not below:
            break
        values, covariance = _fixed(values, covariance, below[0], FLOORS[below[0]])
        free.remove(below[0])
    joules, relative = _dot(row, values), math.hypot(by.workload, by.board)
    shares = (joules - SIGMAS * fit_j) * (1.0 - SIGMAS * relative)
    together = joules - SIGMAS * math.hypot(fit_j, relative * joules)
    return max(shares, together, _dot(row, FLOORS))


def _fixed(
    values: Vector, covariance: Sequence[Vector], at: int, value: float
) -> tuple[Vector, tuple[Vector, ...]]:
    """Return values and covariance of a normal distribution in which one value is known."""
    line = covariance[at]
    share = [x / line[at] for x in line]
    known = tuple(v + x * (value - values[at]) for v, x in zip(values, share, strict=True))
    rows = (
        tuple(c - x * y for c, y in zip(row, line, strict=True))
        for row, x in zip(covariance, share, strict=True)
    )
    return known, tuple(rows)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def units_of(spans: Spans) -> Vector:
    """Return the energy of several spans of time, in joules, that each coefficient would contribute
    if its value were 1."""
    rows = [joules_per_unit(activity, point) for activity, point in spans]
    return tuple(map(math.fsum, zip(*rows, strict=True)))


def joules_per_unit(activity: Activity, point: OperatingPoint) -> Vector:
    """Return the energy in joules that each coefficient would contribute if its value were 1."""
    volts = point.volts / MODEL.volts
    seconds = activity.cycles / point.clock_hz
    dynamic = volts**2 * 1e-12
    return (
        1e-3 * volts * seconds,
        dynamic * activity.cycles,
        dynamic * sum(_weights_pj(activity)),
        1e-12 * activity.l3_bytes,  # L3 has its own supply
        dynamic * activity.ne16_cycles,
        1e-12 * activity.mram_bytes,
    )


def _weights_pj(activity: Activity) -> tuple[float, ...]:
    """Return the energies in pJ of the counters that share one factor, unscaled, as in WEIGHTED."""
    return (
        MODEL.instruction_pj * activity.instructions,
        MODEL.instruction_pj * activity.fc_instructions,
        MODEL.access_pj * activity.accesses,
        MODEL.dma_byte_pj * activity.dma_bytes,
    )


def typical(
    cycles: float, l3_bytes: float = 0, mram_bytes: float = 0, *, layers: int = 1
) -> Activity:
    """Return typical counters for a number of core cycles, if only the cycles are known."""
    started = layers * MODEL.start_cycles
    busy_cycles = cycles**2 / (cycles + started) if cycles else 0.0
    instructions, accesses, dma_bytes = (rate * busy_cycles for rate in MODEL.typical)
    moved = {"l3_bytes": l3_bytes, "mram_bytes": mram_bytes}
    return Activity(cycles, instructions, 0.0, accesses, dma_bytes, **moved)


def typical_on_engine(
    cycles: float, l3_bytes: float = 0, mram_bytes: float = 0, *, job_cycles: float = math.inf
) -> Activity:
    """Return typical counters of a layer on the accelerator, if only its cycles are known.

    job_cycles   most cycles of its jobs
    """
    rates = (rate * cycles for rate in MODEL.engine_typical)
    instructions, accesses, dma_bytes = rates
    busy_cycles = MODEL.engine_busy * max(cycles - MODEL.engine_start_cycles, 0.0)
    busy_cycles = min(busy_cycles, job_cycles)
    moved = (l3_bytes, busy_cycles, mram_bytes)
    return Activity(cycles, instructions, 0.0, accesses, dma_bytes, *moved)


def with_typical_error(by: Coefficients) -> Coefficients:
    """Return the coefficients with a larger model error, for counters estimated by `typical`."""
    return replace(by, workload=math.hypot(by.workload, MODEL.typical_error))


def with_modelled_error(by: Coefficients) -> Coefficients:
    """Return the coefficients with a larger model error, for estimated counters and cycles."""
    workload = math.hypot(with_typical_error(by).workload, MODEL.modelled_error)
    return replace(by, workload=workload)


# --- powers of a module ---------------------------------------------------------------------------

BATTERY_VOLTS = 3.7  # average of a lithium cell
Interval = tuple[float, float, float]  # (value, low, high)


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery, without losses of a converter.

    capacity_mah   capacity in mAh
    volts          mean voltage
    """

    capacity_mah: float
    volts: float = BATTERY_VOLTS

    @property
    def joules(self) -> float:
        return self.capacity_mah * 3.6 * self.volts


@dataclass(frozen=True, slots=True)
class ModulePowers:
    """Powers in milliwatts in addition to inferences; None if unknown.

    others_mw   power of front end, radio and other parts that are always on; None: chip only
    sleep_mw    power of the chip, L3 included, while it sleeps, or waits if it cannot sleep;
                None: assumed bounds, or modelled
    can_sleep   whether the chip sleeps between inferences; otherwise it waits with its clocks
    """

    others_mw: float | None = None
    sleep_mw: float | None = None
    can_sleep: bool = True

    @property
    def others_w(self) -> float | None:
        """Power of the other parts in watts; None: chip only."""
        return None if self.others_mw is None else 1e-3 * self.others_mw

    @property
    def states_waiting(self) -> bool:
        """Whether `sleep_mw` is the power of a chip that waits instead of sleeping."""
        return self.sleep_mw is not None and not self.can_sleep


def sleep_power_mw(has_l3: bool, by: Coefficients, module: ModulePowers) -> Interval:
    """Return the power of the sleeping chip with memories retained, (value, low, high).

    has_l3   whether the build uses L3, which is retained too
    module   known powers; if the sleep power is unknown, two assumed bounds are used,
             the lower of which is the value
    """
    if module.sleep_mw is not None:
        return module.sleep_mw, module.sleep_mw, module.sleep_mw
    # at most the leakage of the powered chip, at the lower voltage
    l3_mw = MODEL.l3_asleep_mw if has_l3 else 0.0
    least_mw = MODEL.sleep_mw + l3_mw
    return least_mw, least_mw, max(by.values[0], MODEL.sleep_mw) + l3_mw
