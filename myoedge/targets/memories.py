# SPDX-License-Identifier: Apache-2.0
"""Memories behind L2, and areas of a flash on the chip: applications, weights, saved records."""

from __future__ import annotations

from dataclasses import dataclass, replace

from myoedge.targets.clocks import DividedClock


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """A memory behind L2: its data is transferred to L2 before a layer reads it.

    name             name of the level in plans and reports, as "l3"
    bytes            size
    bytes_per_cycle  rate at the chip's default operating point
    start_cycles     cycles before the first byte of a transfer
    pj_per_byte      lowest, assumed and highest energy of a byte
    channel          transfers of one channel run one after another, those of several at once
    writable         whether feature maps may be there
    external         part beside the chip that it is: "ram", "flash"; "" on the chip
    reserved_bytes   bytes for the boot chain, the program and saved records
    program_bytes    bytes of these for the program; 0: no program starts from here
    word_bytes       alignment of transfers in the level
    clock            clock that the chip's does not determine; None: rate in cycles is constant
    least_chip_hz    lowest clock of the chip with which the level is used
    filled_bytes     bytes of the flash that fills it at start, if these are few
    """

    name: str
    bytes: int
    bytes_per_cycle: float
    start_cycles: float = 0.0
    pj_per_byte: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channel: str = ""
    writable: bool = False
    external: str = ""
    reserved_bytes: int = 0
    program_bytes: int = 0
    word_bytes: int = 4
    clock: DividedClock | None = None
    least_chip_hz: int = 0
    filled_bytes: int | None = None

    @property
    def room_bytes(self) -> int:
        """Bytes for data of the network."""
        return max(self.bytes - self.reserved_bytes, 0)

    @property
    def constants_bytes(self) -> int:
        """Bytes for constants of the network; feature maps may take all of the room."""
        return min(self.room_bytes, self.bytes if self.filled_bytes is None else self.filled_bytes)

    def boot_room_bytes(self, image_bytes: int) -> int:
        """Return the bytes for a boot image beside an image of weights; without one (0), the boot
        image may take that room too. A board may have less of this memory than is reserved."""
        rest_bytes = 0 if image_bytes else self.bytes - self.reserved_bytes
        return max(self.program_bytes + rest_bytes, 0)

    def cycles(self, size_bytes: int) -> float:
        """Return the cycles of a transfer."""
        return self.start_cycles + size_bytes / self.bytes_per_cycle

    def at(self, clock_hz: int) -> MemoryLevel:
        """Return the level with its rate in cycles of a chip with this clock."""
        if (own := self.clock) is None:
            return self
        rate, start_cycles = own.rate(clock_hz), own.first_cycles(clock_hz)
        return replace(self, bytes_per_cycle=rate, start_cycles=start_cycles)


# --- flash on the chip ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FlashArea:
    """Whole sectors of a flash: offset and size in bytes."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        """Return the offset behind the area."""
        return self.offset + self.size_bytes


@dataclass(frozen=True, slots=True)
class FlashMap:
    """Areas of the flash, in ascending order without gaps.

    applications   boot chain and application; two areas for updates in turns (A/B)
    weights        partition of the weights, which all applications share: a header, then the image
    slots          two slots of saved records, as adaptation uses them
    head_bytes     the header of the weights
    """

    applications: tuple[FlashArea, ...]
    weights: FlashArea
    slots: tuple[FlashArea, FlashArea]
    head_bytes: int

    @property
    def image_bytes(self) -> int:
        """Return the size of the largest image of weights."""
        return self.weights.size_bytes - self.head_bytes


@dataclass(frozen=True, slots=True)
class FlashLayout:
    """Sizes of a flash and of what is in it, in bytes.

    clock_hz            its highest clock
    head_bytes          the header before the weights' image
    application_bytes   boot chain and application
    boot_bytes          of these, the boot chain and the tables of partitions
    slot_head_bytes     the header of a saved record, and the padding of its pages
    """

    size_bytes: int
    sector_bytes: int
    clock_hz: int
    head_bytes: int
    application_bytes: int
    boot_bytes: int
    slot_head_bytes: int

    def areas(self, applications: int = 1, record_bytes: int = 0) -> FlashMap:
        """Return the areas for 1 or 2 applications.

        record_bytes   size of a saved record; its slots have one sector at least
        """
        size, sector = self.application_bytes, self.sector_bytes
        slot_bytes = -(-(record_bytes + self.slot_head_bytes) // sector) * sector
        programs = tuple(FlashArea(n * size, size) for n in range(applications))
        first_slot = self.size_bytes - 2 * slot_bytes
        weights = FlashArea(programs[-1].end, first_slot - programs[-1].end)
        slots = FlashArea(first_slot, slot_bytes), FlashArea(first_slot + slot_bytes, slot_bytes)
        return FlashMap(programs, weights, slots, self.head_bytes)
