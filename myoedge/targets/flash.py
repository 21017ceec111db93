# SPDX-License-Identifier: Apache-2.0
"""Areas of a flash on the chip: applications, weights, saved records."""

from __future__ import annotations

from dataclasses import dataclass


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
