# SPDX-License-Identifier: Apache-2.0
"""Chips: memories, operating points, engines and programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.targets.costs import CycleFactor, EnergyModel, KernelCost, TransferCost
from myoedge.targets.memories import MemoryLevel
from myoedge.targets.program import GvsocSystem, ProgramTarget, made_hz

LAYERS = 100  # layers whose code l2_reserved_bytes covers
WITHOUT_POINT = "without --operating-point"  # a remedy
AUTO_POINT = "auto"  # the cheapest operating point within [budget] latency
MHZ = r"([0-9]{1,4}(?:\.[0-9]+)?)"  # of an operating point's name
COLD_TILES = 3  # tiles of a layer until its code is in the cores' instruction caches


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A supply voltage with a clock frequency that it allows.

    waiting_hz   clock of an application while the network does not run; 0: the same
    """

    name: str
    volts: float
    clock_hz: int
    waiting_hz: int = 0

    @property
    def while_waiting(self) -> OperatingPoint:
        """The point with the clock of waiting alone."""
        return replace(self, clock_hz=self.waiting_hz or self.clock_hz, waiting_hz=0)

    def same_clocks(self, other: OperatingPoint) -> bool:
        """Whether both have the same clocks, whatever their names."""
        return (self.clock_hz, self.waiting_hz) == (other.clock_hz, other.waiting_hz)

    def waiting_at(self, clock_hz: int) -> OperatingPoint:
        """Return the point of an application that waits at another clock, in whole kHz."""
        name = f"{self.clock_hz / 1e6:g}/{clock_hz / 1e6:g} MHz"
        return replace(self, name=name, waiting_hz=clock_hz)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that computes layers: cores, or an accelerator.

    macs_per_cycle   maximum int8 multiply-accumulates per cycle
    kernels          C function -> cost of the kernel; {}: unknown
    control_core     whether the core that moves data also computes
    accelerator      whether it is hardware next to the cores, which prepare and finish its layers
    shown            its name in reports, if another one
    title            its name in texts, if another one
    """

    name: str
    cores: int
    macs_per_cycle: int
    kernels: Mapping[str, KernelCost] = field(default_factory=dict)
    control_core: bool = False
    accelerator: bool = False
    shown: str = ""
    title: str = ""

    @property
    def text(self) -> str:
        """Name of the engine in texts."""
        return self.title or self.shown or self.name


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip: memories, engines and clocks; the first operating point is the default.

    l1_bytes         size of L1; 0: kernels use operands in L2
    levels           memories behind L2
    optional_levels  further ones, which a build may ask for
    alignment_bytes  alignment of every buffer
    l1_reserved_bytes  bytes of L1 for stacks and the runtime
    l2_reserved_bytes  bytes of L2 reserved for code if constants can move to a level; negative if a
                       limit on data leaves more for code
    resident_bytes   most bytes of constants in L2 if others are streamed; None: no limit
    layer_code_bytes   bytes of L2 for the code of each further layer that l2_reserved_bytes does
    not cover
    transfers        cost model of everything around kernels
    voltages         (volts, highest clock in Hz), ascending
    low_clocks_hz    clocks below those of all points, ascending; the first is the lowest
    program          how programs for the chip are made; None: only the library is generated
    platforms        simulated platform -> its costs in cycles; the first is the chip itself
    runners          names of the backends that run its programs
    gvsoc            system of public GVSoC that stands for the chip; None: none does
    energy           coefficients of its energy; None: not known
    factor           cycles per instruction, if only instructions are counted; None: not known
    flash_bytes      flash from which code and constants are read in place; 0: they are in L2
    """

    name: str
    doc: str
    l1_bytes: int
    l2_bytes: int
    engines: tuple[Engine, ...]
    points: tuple[OperatingPoint, ...]
    levels: tuple[MemoryLevel, ...] = ()
    optional_levels: tuple[MemoryLevel, ...] = ()
    alignment_bytes: int = 4
    l1_reserved_bytes: int = 0
    l2_reserved_bytes: int = 0
    layer_code_bytes: int = 0
    resident_bytes: int | None = None
    sources: tuple[str, ...] = ()
    transfers: TransferCost = field(default_factory=TransferCost)
    voltages: tuple[tuple[float, int], ...] = ()
    low_clocks_hz: tuple[int, ...] = ()
    program: ProgramTarget | None = None
    platforms: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    runners: tuple[str, ...] = ()
    gvsoc: GvsocSystem | None = None
    energy: EnergyModel | None = None
    factor: CycleFactor | None = None
    flash_bytes: int = 0

    def __post_init__(self) -> None:
        if self.point.clock_hz and not all(engine.kernels for engine in self.engines):
            raise ValueError(f"{self.name} has a clock, and an engine without costs of kernels")

    @property
    def rates(self) -> dict[str, int]:
        """Maximum int8 multiply-accumulates per cycle, by the engines' names in reports."""
        return {engine.shown or engine.name: engine.macs_per_cycle for engine in self.engines}

    @property
    def point(self) -> OperatingPoint:
        return self.points[0]

    def at(self, name: str) -> Chip:
        """Return the chip with this operating point as the default, without memories that need a
        higher clock, and without another point that differs in its clock of waiting only.

        name   name of a point, or a clock ("300 MHz") at the lowest voltage that allows it, or with
               the clock of an application while it waits ("300/10 MHz")
        Errors: E204 unknown point or clock.
        """
        if not self.point.clock_hz:
            title, tries = f"target {self.name} has no operating points", [WITHOUT_POINT]
            raise MyoedgeError("E204", title, tries=tries)
        chosen = next(
            (p for p in self.points if p.name == name), None
        ) or self._point_of_clock_text(name)
        clock_hz = chosen.clock_hz
        computes = (chosen.volts, clock_hz)
        rest = tuple(point for point in self.points if (point.volts, point.clock_hz) != computes)
        hz = made_hz(self.program, clock_hz)
        levels, optional = (
            tuple(level.at(hz) for level in x if level.least_chip_hz <= clock_hz)
            for x in (self.levels, self.optional_levels)
        )
        return replace(self, points=(chosen, *rest), levels=levels, optional_levels=optional)

    def without_waiting(self) -> Chip:
        """Return the chip, whose program does not wait between inferences. Errors: E204 an
        operating point with a clock for waiting."""
        if self.point.waiting_hz:
            title = f"there is no operating point {self.point.name}"
            facts = {"needs": "an application that waits between inferences: --app sensor"}
            tries = [f'--operating-point "{self.point.clock_hz / 1e6:g} MHz"']
            raise MyoedgeError("E204", title, facts, tries)
        return self

    def _point_of_clock_text(self, name: str) -> OperatingPoint:
        low_hz, high_hz = self.least_hz({}), max(point.clock_hz for point in self.points)
        found = re.fullmatch(rf"\s*{MHZ}(?:\s*(?:MHz)?\s*/\s*{MHZ})?\s*MHz\s*", name, re.IGNORECASE)
        asked_hz = [round(float(x) * 1e3) * 1000 for x in found.groups() if x] if found else []
        if not (asked_hz and low_hz <= asked_hz[-1] <= asked_hz[0] <= high_hz):
            names = ", ".join(point.name for point in self.points)
            span = f"{low_hz / 1e6:g} to {high_hz / 1e6:g} MHz"
            facts = {
                "has": f'auto, {names}, or a clock of {span} as "300MHz"',
                "or": 'of an application two clocks, that of waiting last: "240/10 MHz"',
            }
            raise MyoedgeError("E204", f"there is no operating point {name}", facts)
        clock_hz, *waiting_hz = asked_hz
        of_clock = self._point_at_clock(clock_hz)
        point = next(filter(of_clock.same_clocks, self.points), of_clock)
        return point.waiting_at(*waiting_hz) if waiting_hz else point

    def _point_at_clock(self, clock_hz: int) -> OperatingPoint:
        """Return the operating point of a clock in whole kHz; `at` accepts its name."""
        volts = min(volts for volts, highest_hz in self.voltages if clock_hz <= highest_hz)
        return OperatingPoint(f"{clock_hz / 1e6:g} MHz", volts, clock_hz)

    def least_hz(self, used: Mapping[str, int]) -> int:
        """Return the lowest clock of a program.

        used   memory level -> bytes that the program has there
        """
        levels = [x for x in (*self.levels, *self.optional_levels) if used.get(x.name)]
        clocks_hz = [*self.low_clocks_hz, *(point.clock_hz for point in self.points)]
        return max([min(clocks_hz), *(level.least_chip_hz for level in levels)])

    def with_clocks_hz(self, clocks_hz: Iterable[int]) -> Chip:
        """Return the chip with further operating points: these clocks."""
        return replace(self, points=(*self.points, *map(self._point_at_clock, clocks_hz)))

    def with_waiting(self, pairs_hz: Iterable[tuple[int, int]]) -> Chip:
        """Return the chip with further operating points, of an application that waits at another
        clock than the network's.

        pairs_hz   clock of the network, and clock while it waits
        """
        of_clock = {point.clock_hz: point for point in self.points}
        waiting = (of_clock[hz].waiting_at(slow_hz) for hz, slow_hz in pairs_hz if hz in of_clock)
        return replace(self, points=(*self.points, *waiting))

    def at_every_voltage(self) -> Chip:
        """Return the chip with further operating points: the highest clock of every voltage."""
        known = {point.clock_hz for point in self.points}
        return self.with_clocks_hz(hz for _, hz in self.voltages if hz not in known)

    @property
    def simulator_cycles(self) -> Mapping[str, int]:
        """Costs of the simulated chip in cycles; {} if the simulator does not have it."""
        return next(iter(self.platforms.values()), {})

    @property
    def workers(self) -> int:
        """Cores that compute beside the one that moves data."""
        return self.engines[0].cores

    @property
    def cores(self) -> int:
        """Cores that compute, the one that moves data included."""
        return max(engine.cores for engine in self.engines)

    @property
    def arena_alignment_bytes(self) -> int:
        """Alignment of buffers in L2: also that of scratch, with pointers of a host, if scratch is
        there."""
        return max(self.alignment_bytes, 8) if self.computes_in_order else self.alignment_bytes

    @property
    def computes_in_order(self) -> bool:
        """Whether one core computes each layer, on operands in L2."""
        return not self.l1_bytes and self.cores == 1

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Names of the engines that are accelerators."""
        return tuple(engine.name for engine in self.engines if engine.accelerator)

    def cores_alone(self) -> Chip:
        """Return the chip without its accelerators, so that only the cores compute."""
        return replace(self, engines=tuple(e for e in self.engines if not e.accelerator))

    def level(self, name: str) -> MemoryLevel:
        """Return the memory level with this name; one of no bytes if the chip has none."""
        known = (level for level in self.levels if level.name == name)
        return next(known, None) or MemoryLevel(name, 0, 1.0)

    def with_level(self, name: str, **changes: Any) -> Chip:
        """Return the chip with changed fields of a memory level; without the level if it has no
        bytes."""
        changed = (replace(x, **changes) if x.name == name else x for x in self.levels)
        return replace(self, levels=tuple(level for level in changed if level.bytes))

    def with_clocks(self, most_hz: Mapping[str, int]) -> Chip:
        """Return the chip with other highest clocks of memory levels that have their own."""

        hz = made_hz(self.program, self.point.clock_hz)

        def clocked(level: MemoryLevel) -> MemoryLevel:
            own = level.clock and replace(level.clock, most_hz=most_hz.get(level.name, 0))
            return replace(level, clock=own).at(hz) if own and own.most_hz else level

        levels, optional = (tuple(map(clocked, x)) for x in (self.levels, self.optional_levels))
        return replace(self, levels=levels, optional_levels=optional)

    def with_optional(self, *names: str) -> Chip:
        """Return the chip with these of its optional levels."""
        more = tuple(level for level in self.optional_levels if level.name in names)
        more = tuple(level for level in more if level.bytes and not self.level(level.name).bytes)
        return replace(self, levels=(*self.levels, *more))

    @property
    def enabled_levels(self) -> tuple[str, ...]:
        """Names of the optional levels that are among the levels."""
        optional = {x.name for x in self.optional_levels}
        return tuple(x.name for x in self.levels if x.name in optional)

    @property
    def map_level(self) -> MemoryLevel:
        """The memory level for feature maps and tables; one of no bytes if none is writable."""
        return next((level for level in self.levels if level.writable), MemoryLevel("", 0, 1.0))

    def without_external(self, part: str) -> Chip:
        """Return the chip without memory levels of this part beside the chip."""
        return replace(self, levels=tuple(x for x in self.levels if x.external != part))

    @property
    def levels_room_bytes(self) -> int:
        """Bytes of all memory levels behind L2 for constants of the network."""
        return sum(level.constants_bytes for level in self.levels)

    @property
    def l3_bytes(self) -> int:
        """Bytes of L3; 0 without one."""
        return self.level("l3").bytes

    @property
    def l3_bytes_per_s(self) -> int:
        """Rate of L3 at the default operating point; 0 without one."""
        l3 = self.level("l3")
        return round(l3.bytes_per_cycle * self.point.clock_hz) if l3.bytes else 0

    @property
    def l1_room_bytes(self) -> int:
        """Bytes of L1 for the operands of layers."""
        return max(self.l1_bytes - self.l1_reserved_bytes, 0)

    @property
    def linked_data(self) -> str:
        """Name of the bytes of L2 that a linked program takes besides data of the network."""
        return "variables" if self.flash_bytes else "code"

    @property
    def l2_room_bytes(self) -> int:
        """Bytes of L2 for data, without those reserved for code."""
        return max(self.l2_bytes - max(self.l2_reserved_bytes, 0), 0)

    def l2_room_beside_code(self, layers: int) -> int:
        """Return the bytes of L2 for data if constants can move to a level: all but those for the
        code of this many layers."""
        code = max(layers - LAYERS, 0) * self.layer_code_bytes
        return min(max(self.l2_bytes - self.l2_reserved_bytes - code, 0), self.l2_room_bytes)
