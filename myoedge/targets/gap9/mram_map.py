# SPDX-License-Identifier: Apache-2.0
"""GAP9's flash on the chip (eMRAM): its sizes and areas."""

from __future__ import annotations

from myoedge.targets.flash import FlashLayout

MRAM_BYTES = 2048 * 1024
SECTOR_BYTES = 8192  # unit of erasing
CLOCK_HZ = 30_000_000  # highest clock of the flash, as SDK 5 sets it
HEAD_BYTES = 64  # ME_WEIGHTS_HEAD_BYTES: the header before the weights' image

LAYOUT = FlashLayout(
    MRAM_BYTES,
    SECTOR_BYTES,
    CLOCK_HZ,
    HEAD_BYTES,
    application_bytes=22 * SECTOR_BYTES,  # those built here have 11,000 to 148,000 bytes
    boot_bytes=37_632,  # SDK 5's, in the vendor's images
    slot_head_bytes=64,  # of me_slots.c
)
MAP = LAYOUT.areas()
