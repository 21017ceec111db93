# SPDX-License-Identifier: Apache-2.0
"""Remedies for a build that does not fit its memories: each was tried, with the number that it
names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from myoedge.building import budget
from myoedge.building.budget import EXTERNAL, KIB, PARTS, is_limited_by_board
from myoedge.building.finishing import BuildInputs, Finished
from myoedge.building.memory_changes import LargerLimit, parts_of
from myoedge.building.plan_within import NO_TILE, fewer_levels
from myoedge.building.plans import (
    BuildPlan,
    drop_limits,
    estimated,
    first_plan,
    least_limit_by_cycles,
    limited_memories,
    small_plans,
)
from myoedge.building.trials import Finish, Remedy, Trials, trial_inputs
from myoedge.catalogue import warning
from myoedge.errors import DoesNotFit, MyoedgeError, Notice
from myoedge.numerics.arrays import ceil_div
from myoedge.plan.cost.network import modelled_cycles
from myoedge.plan.levels.shortage import NO_L2
from myoedge.plan.plan import Plan
from myoedge.reports import near_memory
from myoedge.reports.budget import Broken, lossless_first
from myoedge.reports.speed import is_modelled

MOST_TRIALS = 5  # builds without simulation
MORE_CYCLES = 1.25  # by which estimates of whole networks may differ from runs (performance.md)


class KeepsLimit(Exception):
    """A trial gave a build within the given limits: with fewer memory levels, or a plan for another
    limit.

    build_plan   its plan
    """

    def __init__(self, build_plan: BuildPlan) -> None:
        super().__init__()
        self.build_plan = build_plan


def advised(
    refused: MyoedgeError, inputs: BuildInputs, finish: Finish, free: Plan | None = None
) -> Broken:
    """Return the limits that a build which does not fit exceeds, or the error of a chip that is too
    small, with remedies that were tried.

    finish   the rest of a build
    free     plan without limits, to compare cycles with
    Errors: KeepsLimit.
    """
    notice, trials = refused.notice, Trials(trial_inputs(inputs), finish)
    if notice.code == NO_TILE:
        tries = _l1_remedies(notice.tries, trials)
        return Broken("l1", dict(notice.facts), tries, notice.code, notice.title)
    check_fewer_levels(inputs, finish)
    found = trials.lossless()
    limits = (x.limit for one in found for x in one.changes)
    cures = list(filter(None, dict.fromkeys(limits)))
    if cures == ["l2"] and not _is_joint(found):
        return _short_of_l2(refused, found, inputs, trials, free)
    if EXTERNAL in limited_memories(inputs.request) or not found:
        found = [*found, *trials.fewer_bits(found)]
    tries = lossless_first(x.text for x in found) or list(notice.tries)
    return _exceeded(notice, inputs, cures, tries, is_joint=_is_joint(found))


def check_fewer_levels(inputs: BuildInputs, finish: Finish) -> None:
    """Raise KeepsLimit with the fastest build that fits with fewer memory levels, if one of them is
    optional: --memory has it where it helps."""
    request, plans = inputs.request, list[BuildPlan]()
    for chip in fewer_levels(request.chip, request.limits):
        with suppress(MyoedgeError):
            fewer = replace(inputs, request=replace(request, chip=chip))
            plans.append(finish(trial_inputs(fewer)).build_plan)
    if plans:
        raise KeepsLimit(min(plans, key=lambda x: modelled_cycles(x.plan)))


def _is_joint(found: Sequence[Remedy]) -> bool:
    return all(len(one.changes) > 1 for one in found)


def _exceeded(
    notice: Notice, inputs: BuildInputs, cures: Sequence[str], tries: Sequence[str], is_joint: bool
) -> Broken:
    """Return the exceeded limits: those that a remedy changes, otherwise the chip's memories.

    cures      limits that remedies change
    is_joint   whether they must change together
    """
    limits, chip, facts = inputs.request.limits, inputs.request.chip, dict(notice.facts)
    if not cures:
        return Broken("memory", facts, tries, notice.code, notice.title)
    title = f"over budget: {(' and ' if is_joint else ' or ').join(cures)}"
    if EXTERNAL not in cures:
        if limits.l3_bytes is not None:
            facts["l3"] = f"{limits.l3_bytes:,} B at most for data that does not fit in L2"
        if notice.code == NO_L2 and "l2" not in cures:
            title += ", with which the network does not fit L2"
        return Broken(" or ".join(cures), facts, tries, title=title)
    causes = []
    if limits.external not in (None, PARTS[-1]):
        causes.append(f"{limits.external} at most, by [budget] {EXTERNAL}")
    if (board := limits.board) is not None and is_limited_by_board(limits, chip):
        title = f"the network does not fit the memories of the board {board.id}"
        causes.append(f"{parts_of(board)}, by board.toml of {board.id}")
    return Broken(EXTERNAL, {**facts, "parts": "\n".join(causes)}, tries, title=title)


def _l1_remedies(tries: Sequence[str], trials: Trials) -> list[str]:
    """Return remedies for a layer without a tile; an L1 limit among them only if it was tried."""
    option, _, size = tries[0].partition(" ")
    if option != "--l1":
        return [*tries]
    kib = int(size.removesuffix("KiB"))
    made = trials.remedy([LargerLimit("l1", kib * KIB)]) or trials.remedy([LargerLimit("l1")])
    return [*([made.text] if made else []), *tries[1:]]


def _short_of_l2(
    refused: MyoedgeError,
    found: Sequence[Remedy],
    inputs: BuildInputs,
    trials: Trials,
    free: Plan | None,
) -> Broken:
    """Return the limit of L2 as exceeded, with the smallest that was built among the remedies.

    found   remedies, of which one is a larger limit of L2
    Errors: KeepsLimit.
    """
    (known,) = (x for one in found for x in one.changes if isinstance(x, LargerLimit))
    others = sorted(found, key=lambda one: one.changes != (known,))
    short = Broken("l2", dict(refused.notice.facts), [x.text for x in others])
    whole = drop_limits(inputs.request, limited_memories(inputs.request))
    free = free or first_plan(inputs.quantized.network, whole)
    built = _least_l2_build(refused, inputs, known.size_bytes or 0, trials.finish)
    if built is not None and free is not None:
        short = _with_l2_remedy(short, inputs, *built, free)
    return replace(short, tries=[*short.tries, *trials.texts_of_few_bits(found)])


def _with_l2_remedy(
    short: Broken, inputs: BuildInputs, l2_kib: int, built: Finished, free: Plan
) -> Broken:
    """Return the exceeded limit with an L2 limit as its first remedy, and what that costs.

    short   its first remedy is replaced
    built   the build with this limit
    free    plan without a limit, to compare cycles with
    Errors: KeepsLimit if the given limit suffices: plans whose code is smaller than that of others
    are found from some limits only.
    """
    request = inputs.request
    if near_memory.bytes_in_use(built.report) <= (request.limits.l2_bytes or 0):
        raise KeepsLimit(built.build_plan.on(l2_bytes=request.chip_in_limits.l2_bytes))
    plan, own_bytes = built.build_plan.plan, budget.linked_bytes(built.report)
    beside = f", {plan.chip.linked_data} {own_bytes:,} B included" * (own_bytes > 0)
    facts, needs = dict(short.facts), plan.l2_bytes + own_bytes
    facts["needs"] = f"{needs:,} B, as the smallest build that was tried{beside}"
    facts["has"] = f"{request.limits.l2_bytes:,} B"
    price = estimated(plan)
    if estimated(free) != price:
        price += f"; {estimated(free).split()[0]} without a limit"
    return replace(short, facts=facts, tries=[f"--l2 {l2_kib}KiB  ({price})", *short.tries[1:]])


def _least_l2_build(
    refused: MyoedgeError, inputs: BuildInputs, most_bytes: int, finish: Finish
) -> tuple[int, Finished] | None:
    """Build with the limit of L2 that the smallest plan takes with its code, as linking tells the
    size; return what the build takes, in KiB, with the build. None if there is no such plan.

    most_bytes   a limit that suffices
    """
    total_bytes = getattr(refused, "total_bytes", 0)  # of a CodeOverBudget: of this plan
    if not total_bytes and (plans := small_plans(inputs.quantized.network, inputs.request)):
        total_bytes = plans[-1].plan.l2_bytes + budget.LEAST_CODE_BYTES
    total_bytes = min(total_bytes or most_bytes, most_bytes)
    given_kib = l2_kib = (inputs.request.limits.l2_bytes or 0) // KIB
    for _ in range(MOST_TRIALS):
        l2_kib = max(-(-total_bytes // KIB), l2_kib + 1)
        try:
            built = finish(_set_only_l2_limit(inputs, l2_kib))
        except budget.CodeOverBudget as error:
            total_bytes = min(error.total_bytes, most_bytes)
        except DoesNotFit:
            break
        else:
            taken_kib = ceil_div(near_memory.bytes_in_use(built.report), KIB)
            if given_kib < taken_kib < l2_kib:  # which may have another plan, and so another price
                with suppress(DoesNotFit):
                    built = finish(_set_only_l2_limit(inputs, taken_kib))
            return taken_kib, built
    return None


def _set_only_l2_limit(inputs: BuildInputs, l2_kib: int) -> BuildInputs:
    """Return the inputs of a trial with this L2 limit."""
    return LargerLimit("l2", l2_kib * KIB).applied(trial_inputs(inputs))


# --- a limit with which a build fits, but is slow -------------------------------------------------


def slow_for_l2(finished: Finished, inputs: BuildInputs, finish: Finish) -> tuple[Notice, ...]:
    """Return W305 if a build with a larger limit of L2 has a plan by cycles that is faster by more
    than estimates err.

    finished   with a plan by bytes
    finish     the rest of a build
    """
    if not (inputs.advises and inputs.request.limits.l2_bytes):
        return ()
    plan, found = finished.build_plan.plan, _least_built_by_cycles(inputs, finish)
    if found is None or modelled_cycles(found[1]) >= modelled_cycles(plan) / MORE_CYCLES:
        return ()
    taken = f"{finished.report['cycles']['total']:,} cycles"
    now = estimated(plan) if is_modelled(finished.report) else taken
    given = {"now": now, "kib": found[0], "price": estimated(found[1])}
    return (warning("W305", given),)


def _least_built_by_cycles(inputs: BuildInputs, finish: Finish) -> tuple[int, Plan] | None:
    """Return the least L2 limit in KiB with which a build has a plan by cycles, and this plan: as
    plans find it beside the code that is estimated, or linked where that is more; what the build
    then takes, if that is less. None if there is none."""
    network, request = inputs.quantized.network, trial_inputs(inputs).request
    for _ in range(MOST_TRIALS):
        kib = least_limit_by_cycles(network, request)
        if kib is None:
            break
        try:
            built = _built_by_cycles(inputs, kib, finish)
        except budget.CodeOverBudget as error:
            request = request.with_linked(error.linked_bytes)
        except MyoedgeError:  # this build is complete without it
            break
        else:
            taken_kib = ceil_div(near_memory.bytes_in_use(built.report), KIB)
            if taken_kib < kib:
                with suppress(MyoedgeError):
                    kib, built = taken_kib, _built_by_cycles(inputs, taken_kib, finish)
            return kib, built.build_plan.plan
    return None


def _built_by_cycles(inputs: BuildInputs, l2_kib: int, finish: Finish) -> Finished:
    tried = _set_only_l2_limit(inputs, l2_kib)
    limits = replace(tried.request.limits, by_bytes=False)
    return finish(replace(tried, request=replace(tried.request, limits=limits)))
