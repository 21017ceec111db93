# SPDX-License-Identifier: Apache-2.0
"""What a chip is made of."""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    name: str
    cores: int
    macs_per_cycle: int


@dataclass(frozen=True, slots=True)
class Chip:
    """Memories, engines and clocks; the first operating point is the default.

    l3_bytes_per_s   rate of the off-chip memory at the default operating point, 0 without one
    alignment_bytes  of every buffer
    l1_reserved_bytes  of L1: stacks, and what the runtime keeps there
    l2_reserved_bytes  of L2: code, where L3 makes room for it
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

    @property
    def point(self) -> OperatingPoint:
        return self.points[0]

    @property
    def l1_room_bytes(self) -> int:
        """What is left of L1 for the operands of layers."""
        return max(self.l1_bytes - self.l1_reserved_bytes, 0)

    @property
    def l2_room_bytes(self) -> int:
        """What is left of L2 for data."""
        return max(self.l2_bytes - self.l2_reserved_bytes, 0)
