# SPDX-License-Identifier: Apache-2.0
"""Limits of a build: memories that the planner may use, latency, energy, SQNR."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from myoedge.building.applications import BARE, application_names, find_application, project_of
from myoedge.building.config_tables import BudgetTable
from myoedge.building.quantities import decibels, joules, seconds, size_bytes
from myoedge.errors import DoesNotFit, MyoedgeError, raised
from myoedge.reports import near_memory
from myoedge.reports.budget import Broken, over_budget
from myoedge.targets import CHIPS, Chip, first_chip
from myoedge.targets.board_memories import with_sizes
from myoedge.targets.boards import Board

if TYPE_CHECKING:
    from myoedge.plan.plan import Plan
    from myoedge.reports.report_json import Report

MEMORIES = ("l1", "l2", "l3")
FLASH = "flash"  # limit of weights and code that are read in place
EXTERNAL = "external"  # limit of the parts beside the chip
PARTS = ("none", "flash", "ram")  # its values, ascending
NO_LIMITS = ("l2_code_bytes", "boot_code_bytes", "by_bytes")  # fields of Budget that are none
KIB = 1024
# Code before linking: of the runtime (18.3 KiB with one nn.Linear) and per layer. If the linked
# code is larger, the network is planned again. If no plan leaves room for it, one that leaves room
# for LEAST_CODE_BYTES is linked: a program of softmax and tanh alone has 6 KiB.
BASE_CODE_BYTES, LAYER_CODE_BYTES, LEAST_CODE_BYTES = 18 * KIB, 256, 4 * KIB
# Code beside streamed weights, before linking: with tables of transfers, 50 KiB with six layers.
STREAMED_CODE_BYTES, STREAMED_LAYER_BYTES = 48 * KIB, KIB


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits that the user has set; None: no limit.

    l1_bytes, l3_bytes   data in L1 and in L3
    external             most parts beside the chip: "none", "flash" to start from, or "ram" too
    board                the board, with no more memory than it has
    l2_bytes             data and code in L2
    latency_s            duration of an inference
    energy_j             energy of an inference
    sqnr_db              SQNR of every output
    outputs_sqnr_db      output -> its SQNR, for some outputs
    flash_bytes          weights and code in flash
    l2_code_bytes        what the linked program takes of l2_bytes besides data; None: estimated
    boot_code_bytes      least bytes of a boot image besides weights
    by_bytes             whether bytes decide a plan; None: if no plan by cycles fits; False: nor
                         are fewer memory levels tried
    """

    l1_bytes: int | None = None
    l2_bytes: int | None = None
    l3_bytes: int | None = None
    external: str | None = None
    board: Board | None = None
    latency_s: float | None = None
    energy_j: float | None = None
    sqnr_db: float | None = None
    outputs_sqnr_db: Mapping[str, float] | None = None
    l2_code_bytes: int | None = None
    flash_bytes: int | None = None
    boot_code_bytes: int = LEAST_CODE_BYTES
    by_bytes: bool | None = None

    @property
    def parts(self) -> str:
        """Most parts beside the chip, by `external` and the board."""
        allowed = [self.external or PARTS[-1], self.board.external if self.board else PARTS[-1]]
        return min(allowed, key=PARTS.index)

    def reported(self, chip: Chip) -> dict[str, Any]:
        """Return the limits as in report.json, with the id of a board that has less than a chip can
        have; code is in the report as memory.code_bytes."""
        limits = asdict(replace(self, board=None))
        limits[EXTERNAL] = self.external if self.parts == PARTS[-1] else self.parts
        if self.board is not None and is_limited_by_board(self, chip):
            limits["board"] = self.board.id
        unset = {name for name in ("board", "flash_bytes") if limits[name] is None}
        return {k: x for k, x in limits.items() if k not in {*unset, *NO_LIMITS}}


def given(table: BudgetTable, **sizes: str | int | None) -> Budget:
    """Combine [budget] of myoedge.toml with the sizes on the command line (l1, l2, l3), which
    override it.

    Errors: E232 a text that is not a size, time or energy.
    """
    latency = None if table.latency is None else seconds(table.latency, "budget.latency")
    energy_j = None if table.energy is None else joules(table.energy, "budget.energy")
    memories = _sizes_bytes(table, sizes)
    limits = Budget(external=table.external, latency_s=latency, energy_j=energy_j, **memories)
    if isinstance(table.sqnr, dict):
        return replace(limits, outputs_sqnr_db=table.sqnr)
    return limits if table.sqnr is None else replace(limits, sqnr_db=decibels(table.sqnr))


def _sizes_bytes(table: BudgetTable, sizes: Mapping[str, str | int | None]) -> dict[str, Any]:
    """Return the given limits of memories by the names of their fields. Errors: E232."""
    own = {name: size for name, size in sizes.items() if size is not None}
    return {
        f"{name}_bytes": size_bytes(size, f"--{name}" if name in own else f"budget.{name}")
        for name in (*MEMORIES, FLASH)
        if (size := own.get(name, getattr(table, name))) is not None
    }


def for_app(app: str | None, chip: Chip, budget: Budget) -> Budget:
    """Return the limits reduced by the memory of the development kit of an application. Errors:
    E204 unknown application."""
    if app in (None, BARE.name):
        return budget
    if find_application(app) is None or chip.program is None or not chip.program.applications:
        raise _no_application(str(app), chip)
    project = project_of(app)
    if project is None:
        return budget
    most = chip.l1_bytes - project.l1_bytes
    return replace(budget, l1_bytes=min(most, budget.l1_bytes or most))


def _no_application(app: str, chip: Chip) -> MyoedgeError:
    able = [x.name for x in CHIPS.values() if x.program and x.program.applications]
    facts = {"has": f"{', '.join(application_names())} (for {', '.join(able)})"}
    known = find_application(app)
    others = [] if known is None else [known.ported, *(f"--target {name}" for name in able)]
    title, tries = f"there is no application {app} for {chip.name}", ["without --app", *others]
    return MyoedgeError("E204", title, facts, [*filter(None, tries)])


def code_bytes(budget: Budget, chip: Chip, layers: int) -> int:
    """Return the bytes of the L2 limit that the program takes besides data: its code, or of one in
    flash its variables, which only linking tells; 0 without a limit or without a linked program.

    layers   number of layers of the network
    """
    if budget.l2_bytes is None or chip.program is None:
        return 0
    estimated = 0 if chip.flash_bytes else BASE_CODE_BYTES + LAYER_CODE_BYTES * layers
    return estimated if budget.l2_code_bytes is None else budget.l2_code_bytes


def linked_bytes(report: Report) -> int:
    """Return the bytes of the L2 limit that the linked program takes besides data."""
    return near_memory.program_bytes(report)


def check_linked(budget: Budget, plan: Plan, report: Report) -> None:
    """Raise CodeOverBudget if data and linked program exceed [budget] l2."""
    limit, own_bytes = budget.l2_bytes, linked_bytes(report)
    if limit is not None and plan.l2_bytes + own_bytes > limit:
        raise CodeOverBudget(limit, plan, own_bytes)


class CodeOverBudget(DoesNotFit):
    """E302: data and code of a linked program, or its variables, together exceed [budget] l2."""

    def __init__(self, limit: int, plan: Plan, linked_bytes: int) -> None:
        total = plan.l2_bytes + linked_bytes
        own = f"{plan.chip.linked_data} {linked_bytes:,} B"
        facts = {
            "needs": f"{total:,} B: data {plan.l2_bytes:,} B, {own}",
            "has": f"{limit:,} B",
        }
        super().__init__("E302", "over budget: l2", facts, ["a larger --l2 or [budget] l2"])
        self.linked_bytes, self.total_bytes = linked_bytes, total


def _check_known(budget: Budget, chip: Chip) -> None:
    """Raise E234 for a limit of latency without a clock, or of energy that is not known."""
    known = {"latency": chip.point.clock_hz, "energy": chip.energy}
    for name, limit in (("latency", budget.latency_s), ("energy", budget.energy_j)):
        if limit is None or known[name]:
            continue
        tries = [f"--target {first_chip(lambda other: other.energy)}"]
        needs = "a chip whose energy is known" if chip.point.clock_hz else "a chip with a clock"
        facts = {"needs": needs, "has": f"target {chip.name}"}
        raise MyoedgeError("E234", f"[budget] {name} cannot be judged", facts, tries)


def within(chip: Chip, budget: Budget, layers: int = 0) -> Chip:
    """Return the chip with its memories reduced to the limits.

    layers   number of layers of the network, from which its code is estimated
    Errors: E234 a latency or energy limit for a chip without a clock, E302 L1 smaller than the
    runtime.
    """
    _check_known(budget, chip)
    chip = allowed_levels(chip, budget)
    limits = {
        name: min(limit, getattr(chip, name))
        for name in (f"{memory}_bytes" for memory in (*MEMORIES, FLASH))
        if (limit := getattr(budget, name)) is not None
    }
    # L2 beyond the limit can hold code, so that less of the limit is reserved for it.
    spared = chip.l2_bytes - limits.get("l2_bytes", chip.l2_bytes)
    code = code_bytes(budget, chip, layers)
    limited = chip.with_level("l3", bytes=limits.pop("l3_bytes", chip.l3_bytes))
    limited = replace(limited, **limits, l2_reserved_bytes=chip.l2_reserved_bytes - spared)
    if code > max(limited.l2_reserved_bytes, 0):  # code of all layers
        limited = replace(limited, l2_reserved_bytes=code, layer_code_bytes=0)
    if budget.parts == PARTS[0]:
        limited = with_program_in_flash(limited, streamed_code_bytes(budget, layers)[0])
    if chip.l1_bytes and limited.l1_bytes <= chip.l1_reserved_bytes:
        facts = {
            "needs": f"more than {chip.l1_reserved_bytes:,} B, which stacks and runtime take",
            "has": f"{limited.l1_bytes:,} B: nothing would be left for the operands of layers",
        }
        raise raised(
            over_budget([Broken("l1", facts, ["a larger --l1; without one all of L1 is used"])])
        )
    return limited


def streamed_code_bytes(budget: Budget, layers: int) -> tuple[int, int]:
    """Return the bytes of a boot image besides weights if weights are streamed: estimated, and the
    least."""
    streamed = STREAMED_CODE_BYTES + STREAMED_LAYER_BYTES * layers
    least = BASE_CODE_BYTES + LAYER_CODE_BYTES * layers
    return max(streamed, budget.boot_code_bytes), max(least, budget.boot_code_bytes)


def with_program_in_flash(chip: Chip, code_bytes: int) -> Chip:
    """Return the chip with only so many resident weights beside streamed ones that the program
    starts from the flash on the chip.

    code_bytes   bytes of the boot image besides weights
    """
    flashes = [x for x in chip.optional_levels if x.program_bytes]
    rooms = [x.boot_room_bytes(chip.level(x.name).bytes) for x in flashes]
    return replace(chip, resident_bytes=max(max(rooms) - code_bytes, 0)) if rooms else chip


def allowed_levels(chip: Chip, budget: Budget) -> Chip:
    """Return the chip without memory levels and sizes that `external` and the board exclude."""
    chip = with_sizes(chip, budget.board)
    return chip if budget.parts == PARTS[-1] else chip.without_external("ram")


def memories(budget: Budget, chip: Chip) -> list[str]:
    """Return the names of the memories ("l1", "l2", "l3") with a limit below the chip's size;
    EXTERNAL if parts beside the chip or sizes of the board's memories are excluded."""
    is_less = budget.external not in (None, PARTS[-1]) or is_limited_by_board(budget, chip)
    limited = [name for name in MEMORIES if reduces(budget, name, chip)]
    return [*limited, *([EXTERNAL] if is_less else [])]


def is_limited_by_board(budget: Budget, chip: Chip) -> bool:
    """Return whether the board has less memory behind L2 than a chip can have, or fewer parts
    beside it than `external` allows."""
    fewer = budget.parts != (budget.external or PARTS[-1])
    return fewer or with_sizes(chip, budget.board) != chip


def without(budget: Budget, names: Iterable[str]) -> Budget:
    """Return the budget without the limits of these memories."""
    fields = ((EXTERNAL, "board") if x == EXTERNAL else (f"{x}_bytes",) for x in names)
    cleared: dict[str, Any] = dict.fromkeys(chain.from_iterable(fields))
    return replace(budget, **cleared)


def reduces(budget: Budget, name: str, chip: Chip) -> bool:
    """Return whether a memory's limit is below the chip's size."""
    limit = getattr(budget, f"{name}_bytes")
    return limit is not None and limit < getattr(chip, f"{name}_bytes")
