# SPDX-License-Identifier: Apache-2.0
"""Areas of GAP9's flash on the chip (eMRAM): applications, weights, saved records."""

from __future__ import annotations

from dataclasses import dataclass

MRAM_BYTES = 2048 * 1024
SECTOR_BYTES = 8192  # unit of erasing
CLOCK_HZ = 30_000_000  # highest clock of the flash, as SDK 5 sets it
HEAD_BYTES = 64  # ME_WEIGHTS_HEAD_BYTES: the header before the weights' image
BOOT_BYTES = 37_632  # SDK 5's boot chain and tables in the vendor's images
# Boot chain and application: those built here have 11,000 to 148,000 bytes.
APPLICATION_BYTES = 22 * SECTOR_BYTES
SLOT_HEAD_BYTES = 64  # of me_slots.c, and the padding of its pages


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
class MramMap:
    """Areas of the flash, in ascending order without gaps.

    applications   boot chain and application; two areas for updates in turns (A/B)
    weights        partition of the weights, which all applications share: a header, then mram.bin
    slots          two slots of saved records, as adaptation uses them
    """

    applications: tuple[FlashArea, ...]
    weights: FlashArea
    slots: tuple[FlashArea, FlashArea]

    @property
    def image_bytes(self) -> int:
        """Return the size of the largest mram.bin."""
        return self.weights.size_bytes - HEAD_BYTES


def mram_map(applications: int = 1, record_bytes: int = 0) -> MramMap:
    """Return the areas for 1 or 2 applications.

    record_bytes   size of a saved record; its slots have one sector at least
    """
    slot_bytes = -(-(record_bytes + SLOT_HEAD_BYTES) // SECTOR_BYTES) * SECTOR_BYTES
    programs = tuple(
        FlashArea(n * APPLICATION_BYTES, APPLICATION_BYTES) for n in range(applications)
    )
    first_slot = MRAM_BYTES - 2 * slot_bytes
    weights = FlashArea(programs[-1].end, first_slot - programs[-1].end)
    slots = FlashArea(first_slot, slot_bytes), FlashArea(first_slot + slot_bytes, slot_bytes)
    return MramMap(programs, weights, slots)


MAP = mram_map()
