# SPDX-License-Identifier: Apache-2.0
"""Chips: memories, operating points, engines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from myoedge.errors import MyoedgeError
from myoedge.targets.costs import KernelCost, TransferCost


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A supply voltage and the clock it allows."""

    name: str
    volts: float
    clock_hz: int


@dataclass(frozen=True, slots=True)
class Engine:
    """Something that computes operators: cores, or an accelerator beside them.

    macs_per_cycle   int8 multiply-accumulates at the very best
    kernels          cycles of each kernel that it runs, by C function; {}: they are not known
    control_core     whether the core that moves data is one of its cores
    """

    name: str
    cores: int
    macs_per_cycle: int
    kernels: Mapping[str, KernelCost] = field(default_factory=dict)
    control_core: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    """Memories, engines and clocks; the first operating point is the default.

    l1_bytes         0: kernels run on operands where they lie in L2
    l3_bytes_per_s   rate of the off-chip memory at the default operating point, 0 without one
    alignment_bytes  of every buffer
    l1_reserved_bytes  of L1: stacks, and what the runtime keeps there
    l2_reserved_bytes  of L2: code, where L3 makes room for it
    transfers        cycles of transfers between the memories and of what is around kernels
    """

    name: str
    doc: str
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    l3_bytes_per_s: int
    engines: tuple[Engine, ...]
    points: tuple[OperatingPoint, ...]
    alignment_bytes: int = 4
    l1_reserved_bytes: int = 0
    l2_reserved_bytes: int = 0
    sources: tuple[str, ...] = ()
    transfers: TransferCost = field(default_factory=TransferCost)

    @property
    def point(self) -> OperatingPoint:
        return self.points[0]

    def at(self, name: str) -> Chip:
        """With this operating point as the default; L3 is clocked in step with the rest.

        name   of a point, or a clock between them ("300 MHz"), its voltage taken from a line
        Errors: E204 neither.
        """
        if not self.point.clock_hz:
            raise MyoedgeError("E204", f"target {self.name} has no operating points")
        chosen = next((p for p in self.points if p.name == name), None) or self._between(name)
        rest = tuple(point for point in self.points if point.name != chosen.name)
        rate = self.l3_bytes_per_s * chosen.clock_hz / self.point.clock_hz
        return replace(self, points=(chosen, *rest), l3_bytes_per_s=round(rate))

    def _between(self, name: str) -> OperatingPoint:
        points = sorted(self.points, key=lambda point: point.clock_hz)
        low, high = points[0], points[-1]
        found = re.fullmatch(r"\s*([0-9]{1,4}(?:\.[0-9]+)?)\s*MHz\s*", name, re.IGNORECASE)
        clock_hz = round(float(found.group(1)) * 1e6) if found else 0
        if not low.clock_hz <= clock_hz <= high.clock_hz:
            names = ", ".join(point.name for point in self.points)
            span = f"{low.clock_hz / 1e6:g} to {high.clock_hz / 1e6:g} MHz"
            facts = {"has": f'{names}, or a clock of {span} as "300MHz"'}
            raise MyoedgeError("E204", f"there is no operating point {name}", facts)
        share = (clock_hz - low.clock_hz) / (high.clock_hz - low.clock_hz)
        volts = round(low.volts + share * (high.volts - low.volts), 4)
        return OperatingPoint(f"{clock_hz / 1e6:g} MHz", volts, clock_hz)

    @property
    def l1_room_bytes(self) -> int:
        """L1 capacity for the operands of layers."""
        return max(self.l1_bytes - self.l1_reserved_bytes, 0)

    @property
    def l2_room_bytes(self) -> int:
        """L2 capacity for data."""
        return max(self.l2_bytes - self.l2_reserved_bytes, 0)
