# SPDX-License-Identifier: Apache-2.0
"""A plan within the limits of memories and of the parts beside the chip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from myoedge.building.budget import (
    BASE_CODE_BYTES,
    EXTERNAL,
    KIB,
    LAYER_CODE_BYTES,
    PARTS,
    Budget,
    allowed_levels,
    reduces,
    streamed_code_bytes,
    with_program_in_flash,
    within,
)
from myoedge.building.optional_levels import AUTO, with_fewer_levels
from myoedge.errors import DoesNotFit, MyoedgeError
from myoedge.plan.cost.network import modelled_cycles
from myoedge.plan.l1.layer_kernels import least_bytes
from myoedge.plan.l1.no_tiling import smaller, tile_facts
from myoedge.plan.l1.tile_choice import NO_RANKS, TileRanks
from myoedge.plan.levels.shortage import NO_L3, STAYS
from myoedge.plan.plan import Plan
from myoedge.plan.planned_once import PlanInputs, planned_once
from myoedge.quantization.scales import QuantGraph
from myoedge.reports.budget import SMALLER
from myoedge.reports.memory import external_parts, stored_beside_bytes
from myoedge.targets import CHIPS, Chip
from myoedge.targets.board_memories import stored_bytes

NO_TILE = "E304"


class StoredOverParts(DoesNotFit):
    """E302: boot image and data of memory levels exceed the flash on the chip, and the flash beside
    it that is allowed.

    code_bytes   bytes of the boot image besides weights
    """

    def __init__(self, plan: Plan, boot_bytes: int, most_bytes: int) -> None:
        levels = [(x.name.upper(), plan.image_bytes(x.name)) for x in plan.chip.levels]
        images = "".join(f", {size:,} B in {name}" for name, size in levels if size)
        flash = f"a flash beside the chip of {stored_beside_bytes(plan, boot_bytes):,} B"
        weights = f"weights of {plan.weight_bytes:,} B in L2{images}"
        has = f"a flash with {most_bytes:,} B for data" if most_bytes else "none"
        facts = {"needs": f"{flash}: {weights}", "has": has}
        super().__init__("E302", f"over budget: {EXTERNAL}", facts, [SMALLER])
        self.code_bytes = boot_bytes - plan.weight_bytes


def plan_within(
    network: QuantGraph, chip: Chip, budget: Budget, tile_ranks: TileRanks = NO_RANKS
) -> Plan:
    """Plan the network for the chip with its memories reduced to the limits. If it does not fit
    with all memory levels, of which each needs buffers in L2, and one of them is optional: the plan
    with fewer levels that takes the fewest cycles.

    tile_ranks   as for make_plan
    Errors: E301 does not fit; E302 as check_parts; E304 a layer has no tile within an L1 limit
    (without a limit it is computed in L2: W301).
    """
    try:
        return _plan_with_levels(network, chip, budget, tile_ranks)
    except DoesNotFit as error:
        plans = list[Plan]()
        for fewer in fewer_levels(chip, budget):
            with suppress(MyoedgeError):
                plans.append(plan_within(network, fewer, budget, tile_ranks))
        if not plans:
            raise error from None
        return min(plans, key=modelled_cycles)


def fewer_levels(chip: Chip, budget: Budget) -> Iterator[Chip]:
    """Yield the chip without each of its levels, as with_fewer_levels does, if that may be."""
    if budget.by_bytes is False:
        return iter(())
    return with_fewer_levels(chip, allowed_levels(chip, budget))


def _plan_with_levels(
    network: QuantGraph, chip: Chip, budget: Budget, tile_ranks: TileRanks
) -> Plan:
    limited = within(chip, budget, len(network.steps))
    inputs = PlanInputs(network, limited, tile_ranks, budget.by_bytes)
    try:
        plan = _planned_in_parts(inputs, budget)
    except DoesNotFit as error:
        raise _naming_what_excludes(error, chip, budget) from None
    room = plan.l1_room_bytes
    large = {n: least for n, k in plan.without_tiles.items() if (least := least_bytes(k)) > room}
    if reduces(budget, "l1", chip) and large:
        raise _no_tile_error(plan, large, chip)
    return plan


def _naming_what_excludes(error: DoesNotFit, chip: Chip, budget: Budget) -> DoesNotFit:
    """Return the error of a network that does not fit; if there is no L3, with what excludes it,
    and with the memories of the chip that are not used."""
    notice, facts = error.notice, dict(error.notice.facts)
    if not facts.get(STAYS, "").endswith(NO_L3):
        return error
    causes, limited = _excluding_l3(chip, budget), within(chip, budget)
    unused = [x.name for x in limited.optional_levels if x.bytes and not limited.levels]
    by = f", by {' and by '.join(causes)}" if causes else ""
    more = "".join(f"; {name.upper()} needs --memory {name}={AUTO}" for name in unused)
    facts[STAYS] += f"{by}{more}"
    return DoesNotFit(notice.code, notice.title, facts, notice.tries)


def _excluding_l3(chip: Chip, budget: Budget) -> list[str]:
    """Return what excludes L3, each by itself: the clock, limits, the board; [] if the chip has
    none."""
    whole = CHIPS.get(chip.name, chip)
    alone = {
        f"the clock of {chip.point.clock_hz / 1e6:g} MHz": chip,
        f'[budget] {EXTERNAL} = "{budget.external}"': within(
            whole, Budget(external=budget.external)
        ),
        f"board.toml of {budget.board and budget.board.id}": within(
            whole, Budget(board=budget.board)
        ),
        f"a limit of L3 of {budget.l3_bytes} B": within(whole, Budget(l3_bytes=budget.l3_bytes)),
    }
    has_l3 = whole.map_level.bytes
    return [text for text, less in alone.items() if has_l3 and not less.map_level.bytes]


def check_parts(budget: Budget, plan: Plan, boot_bytes: int) -> None:
    """Raise StoredOverParts if the boot image exceeds the flash on the chip and another is
    excluded, or if the board's has too few bytes.

    boot_bytes   as for external_parts
    """
    board, is_excluded = budget.board, budget.parts == PARTS[0]
    most_bytes = 0 if board is None or is_excluded else stored_bytes(plan.chip, board)
    if is_excluded and "flash" in external_parts(plan, boot_bytes):
        raise StoredOverParts(plan, boot_bytes, 0)
    if board is not None and stored_beside_bytes(plan, boot_bytes) > most_bytes:
        raise StoredOverParts(plan, boot_bytes, most_bytes)


def _planned_in_parts(inputs: PlanInputs, budget: Budget) -> Plan:
    """Plan a network, with a program that starts from the flash on the chip if another is excluded
    or too small. Errors: as plan_within."""
    plan = _planned_in_flash(inputs, budget)
    try:
        check_parts(budget, plan, plan.weight_bytes + budget.boot_code_bytes)
    except StoredOverParts as error:
        return _planned_with_less_in_l2(inputs, budget, plan, error)
    return plan


def _planned_with_less_in_l2(
    inputs: PlanInputs, budget: Budget, plan: Plan, error: StoredOverParts
) -> Plan:
    """Return the first plan with less in L2 than `plan` whose program starts from the flash on the
    chip. Errors: StoredOverParts of the last plan that was made, `error` of `plan`."""
    for chip in _with_less_in_l2(inputs.chip, budget, plan):
        try:
            made = planned_once(replace(inputs, chip=chip))
        except MyoedgeError:  # of an L2 that is no limit of the user's
            continue
        less = replace(made, chip=replace(made.chip, l2_bytes=inputs.chip.l2_bytes))
        try:
            check_parts(budget, less, less.weight_bytes + budget.boot_code_bytes)
        except StoredOverParts as of_less:
            error = of_less
        else:
            return less
    raise error


def _with_less_in_l2(chip: Chip, budget: Budget, plan: Plan) -> Iterator[Chip]:
    """Yield chips for plans of which the program starts from the flash on the chip: with less room
    for constants in L2 beside code of streamed weights, as it is estimated, and beside the least
    that a program has, as linking tells its size; all weights may fit the whole of L2."""
    for code_bytes in streamed_code_bytes(budget, len(plan.steps)):
        limited = with_program_in_flash(chip, code_bytes)
        if limited.resident_bytes is not None:
            data = limited.resident_bytes + plan.l2_bytes - plan.weight_bytes
            most = min(data + max(limited.l2_reserved_bytes, 0), limited.l2_bytes)
            yield limited
            yield replace(limited, l2_bytes=most)


def _planned_in_flash(inputs: PlanInputs, budget: Budget) -> Plan:
    """Plan a network; weights that fit L2 without room in reserve are not streamed if another
    flash than the chip's is excluded: the program then takes all of this flash."""
    plan, chip = planned_once(inputs), inputs.chip
    flashes = [x.name for x in chip.levels if x.program_bytes and plan.image_bytes(x.name)]
    if budget.parts != PARTS[0] or not flashes:
        return plan
    alone = replace(chip, levels=tuple(x for x in chip.levels if x.name not in flashes))
    try:
        whole = planned_once(replace(inputs, chip=alone))
    except MyoedgeError:
        return plan
    code = BASE_CODE_BYTES + LAYER_CODE_BYTES * len(plan.steps)
    return whole if whole.l2_bytes + code <= chip.l2_bytes else plan


def _no_tile_error(plan: Plan, large: Mapping[str, int], chip: Chip) -> MyoedgeError:
    """Return E304 for the layer that needs the most L1, which would be enough for the other layers
    too.

    large   layer -> L1 bytes of its smallest tile
    """
    worst = max(large, key=lambda name: large[name])
    others = len(large) - 1
    taken = plan.chip.l1_bytes - plan.l1_room_bytes
    facts = {
        **tile_facts(plan.without_tiles[worst], plan.l1_room_bytes),
        "reserved": f"{taken:,} B of the {plan.chip.l1_bytes:,} B, for stacks and runtime",
        **({"others": f"{others} that need less"} if others else {}),
    }
    enough = -(-(taken + large[worst]) // KIB)
    without = "no --l1: it is computed in L2 then, slowly"
    tries = [
        f"--l1 {enough}KiB" if enough * KIB <= chip.l1_bytes else without,
        smaller(plan.without_tiles[worst], plan.l1_room_bytes),
    ]
    return MyoedgeError(NO_TILE, f"{worst} does not fit the L1 budget", facts, tries)
