# SPDX-License-Identifier: Apache-2.0
"""Changes of a build's memories that a remedy may name: options, limits of [budget], sizes of
board.toml, bits of weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from myoedge.building import budget
from myoedge.building.budget import EXTERNAL, KIB, PARTS
from myoedge.building.fewer_bits import limit_weight_bits
from myoedge.building.finishing import BuildInputs
from myoedge.building.plans import BuildPlan, drop_limits, limited_memories
from myoedge.building.request import BuildRequest
from myoedge.numerics.arrays import round_up
from myoedge.plan.plan import Plan
from myoedge.reports.memory import stored_beside_bytes
from myoedge.targets.boards import FILLS, FLASHES, Board, Flash, Ram

# Memory of a board -> table of board.toml
TABLES = {FILLS: f"[flash.{FILLS}]", "ram": "[ram]", "mram": "[flash.mram]"}
MOST_BYTES = 1 << 32  # of a memory of a board
SECTOR_BYTES = 8192  # of a flash that a board does not list


@dataclass(frozen=True)
class Fit:
    """A plan that fits the memories beside its program.

    own_bytes    bytes of L2 that the program takes besides data; as many as a chip reserves for it
                 if it was not linked
    boot_bytes   likewise, of the boot image
    """

    build_plan: BuildPlan
    own_bytes: int
    boot_bytes: int

    @property
    def plan(self) -> Plan:
        return self.build_plan.plan


class MemoryChange(ABC):
    """A change of the inputs of a build.

    limit   the limit that it changes, as in titles; "": none
    """

    limit = ""

    @abstractmethod
    def applied(self, inputs: BuildInputs) -> BuildInputs:
        """Return the changed inputs; of a memory without a size, with as much as a chip can
        have."""

    @abstractmethod
    def text(self, request: BuildRequest) -> str:
        """Return the remedy."""

    def condition(self, request: BuildRequest) -> str:
        """Return the condition of a remedy, and the file of its lines; "" without a condition."""
        return ""

    def sized(self, request: BuildRequest, fit: Fit, share: float) -> MemoryChange:
        """Return the change with as many bytes as a build needs, times `share`."""
        return self


def _changed(inputs: BuildInputs, request: BuildRequest) -> BuildInputs:
    return replace(inputs, request=request)


@dataclass(frozen=True)
class OtherLevels(MemoryChange):
    """--memory with the optional levels of a chip that a build does not use."""

    def applied(self, inputs: BuildInputs) -> BuildInputs:
        return _changed(inputs, inputs.request.with_other_levels)

    def text(self, request: BuildRequest) -> str:
        return " ".join(f"--memory {name}=auto" for name in request.other_levels)


@dataclass(frozen=True)
class LargerLimit(MemoryChange):
    """A larger limit of L1, L2 or L3; None: no limit."""

    limit: str
    size_bytes: int | None = None

    def applied(self, inputs: BuildInputs) -> BuildInputs:
        request = inputs.request
        if self.size_bytes is None:
            return _changed(inputs, drop_limits(request, [self.limit]))
        given: dict[str, Any] = {f"{self.limit}_bytes": self.size_bytes}
        limits = replace(request.limits, **given)
        return _changed(inputs, replace(request, limits=limits))

    def sized(self, request: BuildRequest, fit: Fit, share: float) -> MemoryChange:
        plan = fit.plan
        needed = {
            "l1": plan.chip.l1_bytes - plan.l1_room_bytes + plan.l1_bytes,
            "l2": plan.l2_bytes + fit.own_bytes,
            "l3": plan.level_bytes("l3"),
        }
        now, most = (getattr(x, f"{self.limit}_bytes") for x in (request.limits, request.chip))
        size = round_up(int(max(needed[self.limit], now + 1) * share), KIB)
        return replace(self, size_bytes=min(size, most))

    def text(self, request: BuildRequest) -> str:
        return f"--{self.limit} {(self.size_bytes or 0) // KIB}KiB"


@dataclass(frozen=True)
class MoreParts(MemoryChange):
    """More parts beside the chip in [budget]."""

    parts: str
    limit = EXTERNAL

    def applied(self, inputs: BuildInputs) -> BuildInputs:
        request = inputs.request
        limits = replace(request.limits, external=self.parts)
        return _changed(inputs, replace(request, limits=limits))

    def text(self, request: BuildRequest) -> str:
        return f'[budget] {EXTERNAL} = "{self.parts}"'


@dataclass(frozen=True)
class LargerTable(MemoryChange):
    """A board with more of a memory."""

    memory: str
    size_bytes: int | None = None
    limit = EXTERNAL

    def applied(self, inputs: BuildInputs) -> BuildInputs:
        request, board = inputs.request, inputs.request.limits.board
        assert board is not None
        size = MOST_BYTES if self.size_bytes is None else self.size_bytes
        if self.memory == "ram":
            board = replace(board, ram=Ram("any", size))
        else:
            flash = Flash("any", size, _sector_bytes(board, self.memory))
            board = replace(board, flash=board.flash | {self.memory: flash})
        limits = replace(request.limits, board=board)
        return _changed(inputs, replace(request, limits=limits))

    def sized(self, request: BuildRequest, fit: Fit, share: float) -> MemoryChange:
        board, plan = request.limits.board, fit.plan
        assert board is not None
        sector = KIB if self.memory == "ram" else _sector_bytes(board, self.memory)
        needed = {"ram": plan.level_bytes("l3")} | _flash_bytes(plan, fit.boot_bytes, sector)
        part = board.ram if self.memory == "ram" else board.flash.get(self.memory)
        least = sector if part is None else part.bytes + sector
        size = round_up(int(max(needed[self.memory], least) * share), sector)
        return replace(self, size_bytes=min(size, MOST_BYTES))

    def text(self, request: BuildRequest) -> str:
        board, table = request.limits.board, TABLES[self.memory]
        assert board is not None
        if self._is_of(board):
            return f"a board with a larger {table} of {self.size_bytes:,} B"
        sector = "" if self.memory == "ram" else f", sector_bytes = {SECTOR_BYTES}"
        return f'{table} part = "its name", bytes = {self.size_bytes:_}{sector}'

    def condition(self, request: BuildRequest) -> str:
        board = request.limits.board
        assert board is not None
        return "" if self._is_of(board) else f"in board.toml, if {board.id} has as much"

    def _is_of(self, board: Board) -> bool:
        """Return whether a board has this memory."""
        return bool(board.ram) if self.memory == "ram" else self.memory in board.flash


def _sector_bytes(board: Board, memory: str) -> int:
    flash = board.flash.get(memory)
    return SECTOR_BYTES if flash is None else flash.sector_bytes


def _flash_bytes(plan: Plan, boot_bytes: int, sector_bytes: int) -> dict[str, int]:
    """Return the bytes that a plan needs of each flash of a board."""
    layout = None if plan.chip.program is None else plan.chip.program.flash
    beside = stored_beside_bytes(plan, boot_bytes)
    needed = {FILLS: beside + sector_bytes + (0 if layout is None else layout.boot_bytes)}
    for level in plan.chip.optional_levels:
        image = plan.image_bytes(level.name)
        room = image or max(boot_bytes - level.program_bytes, 0)
        needed[level.name] = level.reserved_bytes + room
    return needed


@dataclass(frozen=True)
class BitsOfWeights(MemoryChange):
    """At most this many bits for all weights."""

    bits: int

    def applied(self, inputs: BuildInputs) -> BuildInputs:
        network = limit_weight_bits(inputs.quantized.network, self.bits, inputs.request)
        return replace(inputs, quantized=replace(inputs.quantized, network=network))

    def text(self, request: BuildRequest) -> str:
        return f'[quant] "*" = {{ weights = {self.bits} }}'


def lossless_changes(request: BuildRequest) -> Iterator[MemoryChange]:
    """Yield the changes that keep all bits of the weights."""
    limits, names = request.limits, limited_memories(request)
    if request.other_levels and not (request.chip_in_limits.levels and {*names} <= {"l1", "l2"}):
        yield OtherLevels()  # beside a whole level, another takes more L2 for its driver
    if limits.external is not None:
        yield from map(MoreParts, PARTS[PARTS.index(limits.external) + 1 :])
    if limits.board is not None and budget.is_limited_by_board(limits, request.chip):
        yield from map(LargerTable, TABLES)
    yield from (LargerLimit(x) for x in names if x != EXTERNAL)


def parts_of(board: Board) -> str:
    """Describe the memories of a board: "[flash.octospi] 65,536 B, no [ram]"."""
    parts = {name: board.flash.get(name) for name in FLASHES if board.flash} | {"ram": board.ram}
    return ", ".join(
        f"{table} {part.bytes:,} B" if (part := parts.get(name)) else f"no {table}"
        for name, table in TABLES.items()
        if name in parts or name == FILLS
    )
