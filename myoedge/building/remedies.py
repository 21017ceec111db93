# SPDX-License-Identifier: Apache-2.0
"""Remedies for a build that exceeds its L2 limit: the smallest limit with which it was built."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from myoedge.building import budget
from myoedge.building.budget import KIB, CodeOverBudget
from myoedge.building.finishing import BuildInputs, Finished
from myoedge.building.plans import BuildPlan, estimated
from myoedge.building.stream_rate import TOO_LARGE
from myoedge.errors import MyoedgeError, raised
from myoedge.plan.plan import Plan
from myoedge.reports.budget import Broken, over_budget

MOST_TRIALS = 5  # builds without simulation
NEAR = 32  # a limit of n KiB is searched to n / NEAR
STEP_KIB = 4  # more L2 if a limit has no plan

Finish = Callable[[BuildInputs], Finished]


class KeepsLimit(Exception):
    """A trial of a larger L2 limit gave a build that the given limit is enough for.

    build_plan   its plan
    """

    def __init__(self, build_plan: BuildPlan) -> None:
        super().__init__()
        self.build_plan = build_plan


def with_l2_remedy(
    short: Broken, inputs: BuildInputs, l2_kib: int, finish: Finish, free: Plan | None = None
) -> Broken:
    """Return the exceeded limit with the smallest L2 limit that was built as its first remedy, and
    what that costs; unchanged if none of the tried limits suffices.

    short    its first remedy is replaced
    l2_kib   first limit to try, in KiB
    finish   the rest of a build
    free     plan without a limit, to compare cycles with
    Errors: KeepsLimit.
    """
    found = _smallest_l2_limit(inputs, l2_kib, finish)
    if found is None:
        return short
    kib, built = found
    plan, limits = built.build_plan.plan, inputs.request.limits
    own = budget.linked_bytes(built.report)
    beside = f", {plan.chip.linked_data} {own:,} B included" * (own > 0)
    facts, needs = dict(short.facts), plan.l2_bytes + own
    facts["needs"] = f"{needs:,} B, as the smallest build that was tried{beside}"
    facts["has"] = f"{limits.l2_bytes:,} B"
    price = estimated(plan)
    if free is not None and plan.chip.point.clock_hz:
        price += f"; {estimated(free).split()[0]} without a limit"
    return replace(short, facts=facts, tries=[f"--l2 {kib}KiB  ({price})", *short.tries[1:]])


def code_over_l2(over: CodeOverBudget, inputs: BuildInputs, finish: Finish) -> MyoedgeError:
    """Return the error of a program that is too large for [budget] l2, with a limit that is not."""
    short = Broken("l2", dict(over.notice.facts), over.notice.tries)
    kib = -(-over.total_bytes // KIB)
    return raised(over_budget([with_l2_remedy(short, inputs, kib, finish)]))


def _bytes_over_limit(built: Finished, inputs: BuildInputs) -> int:
    """Return the bytes of L2 of a trial. Errors: KeepsLimit if the given limit has as many."""
    used_bytes = built.build_plan.plan.l2_bytes + budget.linked_bytes(built.report)
    if used_bytes <= (inputs.request.limits.l2_bytes or 0):
        raise KeepsLimit(built.build_plan)
    return used_bytes


def _smallest_l2_limit(
    inputs: BuildInputs, l2_kib: int, finish: Finish
) -> tuple[int, Finished] | None:
    """Build with L2 limits above the given one, which is too small; return the smallest that
    suffices, in KiB, with its build. Errors: KeepsLimit."""
    low, found = (inputs.request.limits.l2_bytes or 0) // KIB, None
    for _ in range(MOST_TRIALS):
        try:
            found = l2_kib, finish(_set_only_l2_limit(inputs, l2_kib))
            used_kib = max(-(-_bytes_over_limit(found[1], inputs) // KIB), low + 1)
            l2_kib = used_kib if used_kib < l2_kib else (low + l2_kib) // 2
        except MyoedgeError as error:
            if error.exit_code != TOO_LARGE:
                raise
            low = l2_kib
            total_kib = -(-getattr(error, "total_bytes", 0) // KIB)  # of a CodeOverBudget
            more = total_kib or l2_kib + STEP_KIB
            l2_kib = (low + found[0]) // 2 if found else max(low + 1, more)
        if found and found[0] - low <= max(found[0] // NEAR, 1):
            break
    return found


def _set_only_l2_limit(inputs: BuildInputs, l2_kib: int) -> BuildInputs:
    """Return the inputs of a build with this L2 limit, without a simulation, and without limits
    that other remedies are for."""
    limits = replace(
        inputs.request.limits,
        l2_bytes=l2_kib * KIB,
        l2_code_bytes=None,
        latency_s=None,
        energy_j=None,
        sqnr_db=None,
        outputs_sqnr_db=None,
    )
    confirmation = replace(inputs.confirmation, simulate=False, tune=False)
    request = replace(inputs.request, limits=limits)
    return replace(
        inputs,
        request=request,
        confirmation=confirmation,
        stage=lambda name: nullcontext(),
        advises=False,
    )
