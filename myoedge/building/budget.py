# SPDX-License-Identifier: Apache-2.0
"""What a build must keep to: memories that the planner may use, a latency, an energy, an SQNR."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from myoedge.building.config import BudgetTable, decibels, joules, seconds, size_bytes
from myoedge.errors import MyoedgeError
from myoedge.numerics.element_type import INT16
from myoedge.operators.layer_names import located
from myoedge.plan.cost.network import latency_s, layer_cycles, modelled_cycles
from myoedge.plan.l1.infeasible import least_bytes, tile_facts
from myoedge.plan.schedule import make_plan
from myoedge.power.model import (
    PUBLISHED,
    Coefficients,
    Energy,
    energy,
    typical,
    with_modelled_error,
)
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import Fidelity
from myoedge.reports.energy import amount, interval
from myoedge.reports.latency_check import MAX_NAMED, SMALLER, slowest
from myoedge.reports.memory import moved_l3_bytes
from myoedge.reports.speed import duration
from myoedge.targets import Chip, OperatingPoint

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode
    from myoedge.plan.plan import Plan

MEMORIES = ("l1", "l2", "l3")
NO_TILE = "E304"
KIB = 1024
SDK_L1_BYTES = 4 * KIB  # of L1: the GAP SDK's own data and a larger stack of core 8


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits that a person has set; None where there is none."""

    l1_bytes: int | None = None
    l2_bytes: int | None = None
    l3_bytes: int | None = None
    latency_s: float | None = None
    energy_j: float | None = None
    sqnr_db: float | None = None


def given(table: BudgetTable, **sizes: str | int | None) -> Budget:
    """[budget] of myoedge.toml; sizes (l1, l2, l3) of the command line come before its own.

    Errors: E232 no size, latency or energy.
    """
    chosen = {name: getattr(table, name) if x is None else x for name, x in sizes.items()}
    bytes_ = {f"{name}_bytes": size_bytes(x) for name, x in chosen.items() if x is not None}
    latency = None if table.latency is None else seconds(table.latency)
    energy_j = None if table.energy is None else joules(table.energy)
    sqnr_db = None if table.sqnr is None else decibels(table.sqnr)
    return Budget(**bytes_, latency_s=latency, energy_j=energy_j, sqnr_db=sqnr_db)


def for_app(app: str | None, chip: Chip, budget: Budget) -> Budget:
    """The limits, less what the application's runtime takes. Errors: E204 no such application."""
    if app in (None, "baremetal"):
        return budget
    if app != "gap-sdk" or chip.name != "gap9":
        facts = {"has": "baremetal, gap-sdk (for gap9)"}
        raise MyoedgeError("E204", f"there is no application {app} for {chip.name}", facts)
    most = chip.l1_bytes - SDK_L1_BYTES
    return replace(budget, l1_bytes=min(most, budget.l1_bytes or most))


def within(chip: Chip, budget: Budget) -> Chip:
    """The chip with at most so much of its memories.

    Errors: E234 a latency or an energy for a chip without a clock, E302 less L1 than the runtime
    needs.
    """
    for name, limit in (("latency", budget.latency_s), ("energy", budget.energy_j)):
        if limit is not None and not chip.point.clock_hz:
            facts = {"needs": "a chip with a clock", "has": f"target {chip.name}"}
            raise MyoedgeError(
                "E234", f"[budget] {name} cannot be judged", facts, ["--target gap9"]
            )
    limits = {
        name: min(limit, getattr(chip, name))
        for name in (f"{memory}_bytes" for memory in MEMORIES)
        if (limit := getattr(budget, name)) is not None
    }
    # A budget of L2 is of data: code takes what it leaves of the chip's memory.
    spared = chip.l2_bytes - limits.get("l2_bytes", chip.l2_bytes)
    reserved = max(chip.l2_reserved_bytes - spared, 0)
    found = replace(chip, **limits, l2_reserved_bytes=reserved)
    if empty := [*_empty(chip, found)]:
        raise _over(empty, None)
    return found


def _empty(chip: Chip, limited: Chip) -> Iterator[Broken]:
    """Memories in which no network has room, whichever it is."""
    if chip.l1_bytes and limited.l1_bytes <= chip.l1_reserved_bytes:
        facts = {
            "needs": f"more than {chip.l1_reserved_bytes:,} B, which stacks and runtime take",
            "has": f"{limited.l1_bytes:,} B: nothing would be left for the operands of layers",
        }
        yield Broken("l1", facts, ["--l1 64KiB"])
    if not limited.l2_bytes:
        facts = {"needs": "room for inputs, outputs and what tiles read", "has": "0 B"}
        yield Broken("l2", facts, ["--l2 512KiB"])


def plan_within(network: QuantGraph, chip: Chip, budget: Budget) -> Plan:
    """The plan for as much of a chip as the budget allows.

    Errors: E301 does not fit that; E304 a layer has no tile for an L1 that was asked for (without a
    limit it is computed in L2: W301).
    """
    plan = make_plan(network, within(chip, budget))
    room = plan.l1_room_bytes
    large = [step for step in plan.without_tiles if least_bytes(step, plan.chip) > room]
    if _less(budget, "l1", chip) and large:
        raise _no_tile(plan, large, chip)
    return plan


def memories(budget: Budget, chip: Chip) -> list[str]:
    """Those that have a limit below what the chip has: "l1", "l2", "l3"."""
    return [name for name in MEMORIES if _less(budget, name, chip)]


def without(budget: Budget, names: Iterable[str]) -> Budget:
    """The limits but for those of these memories."""
    return replace(budget, **{f"{name}_bytes": None for name in names})


def _less(budget: Budget, name: str, chip: Chip) -> bool:
    limit = getattr(budget, f"{name}_bytes")
    return limit is not None and limit < getattr(chip, f"{name}_bytes")


def _no_tile(plan: Plan, large: Sequence[QuantizedNode], chip: Chip) -> MyoedgeError:
    """Told of the layer that needs most: an L1 that serves it serves the others too."""
    worst = max(large, key=lambda step: least_bytes(step, plan.chip))
    others = len(large) - 1
    taken = plan.chip.l1_bytes - plan.l1_room_bytes
    facts = {
        **tile_facts(worst, plan.l1_room_bytes, plan.chip),
        "reserved": f"{taken:,} B of the {plan.chip.l1_bytes:,} B, for stacks and runtime",
        **({"others": f"{others} that need less"} if others else {}),
    }
    enough = -(-(taken + least_bytes(worst, plan.chip)) // KIB)
    without = "no --l1: it is computed in L2 then, slowly"
    tries = [
        f"--l1 {enough}KiB" if enough * KIB <= chip.l1_bytes else without,
        "smaller kernels, fewer channels",
    ]
    return MyoedgeError(
        NO_TILE, f"{plan.names[worst.node.name]} does not fit the L1 budget", facts, tries
    )


# --- what came of it ------------------------------------------------------------------------------


AUTO = "auto"


def at_point(plan: Plan, name: str | None, budget: Budget, by: Coefficients) -> Plan:
    """The same plan at an operating point; "auto": the cheapest that keeps the latency.

    Where none does, the fastest. Errors: E204 no such point.
    """
    if name is None:
        return plan
    chosen = _cheapest(plan, budget, by) if name == AUTO else name
    return replace(plan, chip=plan.chip.at(chosen))


def _cheapest(plan: Plan, budget: Budget, by: Coefficients) -> str:
    cycles = modelled_cycles(plan)
    rows = [
        (point.name, cycles / point.clock_hz, energy(typical(cycles), point, by).joules)
        for point in plan.chip.points
        if point.clock_hz
    ]
    return cheapest(rows, budget.latency_s) if rows else plan.chip.point.name


def cheapest(points: Iterable[tuple[str, float, float]], latency_s: float | None) -> str:
    """Of (name, seconds, joules) the name with the fewest joules in time, else the fastest."""
    rows = list(points)
    in_time = [row for row in rows if latency_s is None or row[1] <= latency_s]
    return min(in_time, key=lambda row: row[2])[0] if in_time else min(rows, key=lambda r: r[1])[0]


@dataclass(frozen=True, slots=True)
class Broken:
    """A budget that a build does not keep: what is to be said of it, and what could help.

    code   of the error where no other budget is broken, and its title
    """

    name: str
    facts: Mapping[str, str]
    tries: Sequence[str]
    code: str = "E302"
    title: str = ""


def check(
    budget: Budget,
    plan: Plan,
    fidelity: Fidelity,
    by: Coefficients = PUBLISHED,
    short: Broken | None = None,
    reused: bool = False,
) -> None:
    """Errors: E302 over the latency or the energy, or below the SQNR: all that is, at once.

    short    memory that is too small, where `plan` is the one for all of the chip's
    reused   whether the tensors of 16 bits are an older build's
    """
    judged = (
        short,
        _latency(budget, plan, with_modelled_error(by)),
        _energy(budget, plan, with_modelled_error(by)),
        _noise(budget, plan, fidelity, reused),
    )
    broken = [found for found in judged if found is not None]
    if broken:
        raise _over(broken, short)


def _latency(budget: Budget, plan: Plan, by: Coefficients) -> Broken | None:
    found = latency_s(plan)
    if budget.latency_s is None or found is None or found <= budget.latency_s:
        return None
    return _broken(
        "latency",
        duration(budget.latency_s),
        f"{duration(found)}, modelled, {_point(plan.chip)}",
        _slowest(plan),
        [*_other_point(budget, plan, by), SMALLER],
    )


def _energy(budget: Budget, plan: Plan, by: Coefficients) -> Broken | None:
    if budget.energy_j is None:
        return None
    layers = [_layer_energy(plan, index, by) for index in range(len(plan.steps))]
    found = _energy_at(plan, plan.chip.point, by)
    if found.joules <= budget.energy_j:
        return None
    most = sorted(zip(layers, located(plan.steps), strict=True), key=lambda row: -row[0].joules)
    return _broken(
        "energy",
        amount(budget.energy_j),
        f"{_shown(found)}, modelled, {_point(plan.chip)}",
        [f"{_shown(e)}  {name}" for e, name in most[:MAX_NAMED]],
        [*_other_point(budget, plan, by), SMALLER],
    )


def _other_point(budget: Budget, plan: Plan, by: Coefficients) -> list[str]:
    """The option of an operating point that keeps latency and energy, if there is one."""
    most_s, most_j = budget.latency_s or math.inf, budget.energy_j or math.inf
    points = (point for point in plan.chip.points if point.clock_hz)
    quick = (point for point in points if modelled_cycles(plan) / point.clock_hz <= most_s)
    keep = (point.name for point in quick if _energy_at(plan, point, by).joules <= most_j)
    return [f"--operating-point {name}" for name in islice(keep, 1)]


def _energy_at(plan: Plan, point: OperatingPoint, by: Coefficients) -> Energy:
    far = sum(moved_l3_bytes(plan, index) for index in range(len(plan.steps)))
    return energy(typical(modelled_cycles(plan), far), point, by)


def _shown(found: Energy) -> str:
    return interval(found.joules, found.low_j, found.high_j)


def _noise(budget: Budget, plan: Plan, fidelity: Fidelity, reused: bool) -> Broken | None:
    found_db = fidelity.total_db or 0.0
    if budget.sqnr_db is None or found_db >= budget.sqnr_db:
        return None
    found = _broken(
        "sqnr",
        f"{budget.sqnr_db:g} dB",
        f"{found_db:.1f} dB",
        _noisiest(plan, fidelity),
        ["--method mse or percentile; myoedge quantize shows the noise of every layer"],
    )
    return replace(found, facts={**found.facts, "16 bits": _widths(plan, reused)})


def _widths(plan: Plan, reused: bool) -> str:
    """Whether more of them could have helped."""
    q = plan.quant
    wide = sum(q.element_type(step.node.name) == INT16 for step in q.steps)
    have = f"{wide} tensor has them" if wide == 1 else f"{wide} tensors have them"
    if reused:
        return f"not tried: --reuse keeps the older build's choice; {have}"
    return (
        f"tried where they win most: {have}, and more win nothing" if wide else "tried: win nothing"
    )


def _layer_energy(plan: Plan, index: int, by: Coefficients) -> Energy:
    cycles = layer_cycles(plan)[index]
    return energy(typical(cycles, moved_l3_bytes(plan, index)), plan.chip.point, by)


def _broken(
    name: str, budget: str, build: str, layers: Sequence[str], tries: Sequence[str]
) -> Broken:
    facts = {"budget": budget, "build": build, "most": "\n".join(layers)}
    return Broken(name, facts, tries)


def _over(broken: Sequence[Broken], short: Broken | None) -> MyoedgeError:
    """Facts are named after their budget where there are several; tries hold for all of them."""
    tries = [*dict.fromkeys(line for found in broken for line in found.tries)]
    if loose := [found.name for found in broken if "build" in found.facts]:
        values = "value" if len(loose) == 1 else "values"
        tries.append(f"[budget] {', '.join(loose)} = ..., if the build's {values} will do")
    if len(broken) == 1:
        (only,) = broken
        title = only.title or f"over budget: {only.name}"
        return MyoedgeError(only.code, title, only.facts, tries)
    facts = {f"{found.name}, {key}": text for found in broken for key, text in found.facts.items()}
    if short is not None:
        facts["judged"] = f"{', '.join(found.name for found in broken[1:])}: with all memory"
    names = ", ".join(found.name for found in broken)
    return MyoedgeError("E302", f"over budget: {names}", facts, tries)


def _point(chip: Chip) -> str:
    return f"at {chip.point.volts:.2f} V, {chip.point.clock_hz / 1e6:.0f} MHz"


def _slowest(plan: Plan) -> list[str]:
    layers = layer_cycles(plan)
    waited = round(modelled_cycles(plan)) - sum(layers)
    l3 = f"{waited:,} cycles  waiting for L3: a larger --l2 keeps more weights there"
    return [*slowest(layers, located(plan.steps)), *([l3] if waited > 0 else ())]


def _noisiest(plan: Plan, fidelity: Fidelity) -> list[str]:
    own = (fidelity.local.get(step.node.name) for step in plan.steps)
    rows = zip(own, located(plan.steps), strict=True)
    noisiest = sorted((db, name) for db, name in rows if db is not None)[:MAX_NAMED]
    return [f"{db:.1f} dB  {name}" for db, name in noisiest]
