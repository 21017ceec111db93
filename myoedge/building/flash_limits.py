# SPDX-License-Identifier: Apache-2.0
"""Limits of a program whose weights and code are read in place: flash and RAM of its board."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myoedge.building import budget
from myoedge.building.budget import Budget
from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.errors import raised
from myoedge.reports import near_memory
from myoedge.reports.budget import SMALLER, Broken, over_budget
from myoedge.targets import DEFAULT_PROGRAM, Chip

if TYPE_CHECKING:
    from myoedge.plan.plan import Plan
    from myoedge.reports.report_json import Report


def check_flash(limits: Budget, chip: Chip, used_bytes: int) -> None:
    """Raise E302 if weights and code that are read in place exceed [budget] flash, E303 if they
    exceed the flash of the chip."""
    if limits.flash_bytes is not None and chip.flash_bytes and used_bytes > limits.flash_bytes:
        facts = {"needs": f"{used_bytes:,} B or more", "has": f"{limits.flash_bytes:,} B"}
        raise raised(
            over_budget([Broken(budget.FLASH, facts, ["a larger [budget] flash", SMALLER])])
        )
    if 0 < chip.flash_bytes < used_bytes:
        over_bytes, target = used_bytes - chip.flash_bytes, chip.program or DEFAULT_PROGRAM
        raise ProgramTooLarge("FLASH", over_bytes, target=target, has_bytes=chip.flash_bytes)


def check_in_place(limits: Budget, chip: Chip, plan: Plan, report: Report) -> None:
    """Raise E302 as check_flash, E303 if a linked program with weights in flash exceeds its board's
    memories, which may be smaller than the linker's; its stack is in RAM too.

    chip   without limits
    """
    if not chip.flash_bytes or chip.program is None:
        return
    check_flash(limits, chip, near_memory.used_bytes(near_memory.flash_sizes(report)))
    used_bytes = plan.l2_bytes + budget.linked_bytes(report) + chip.program.stack_bytes
    if used_bytes > chip.l2_bytes:
        free_bytes = max(chip.l2_room_bytes - plan.l2_bytes, 0)
        over, has = used_bytes - chip.l2_bytes, chip.l2_bytes
        raise ProgramTooLarge("RAM", over, free_bytes, chip.program, has_bytes=has)
