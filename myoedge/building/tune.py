# SPDX-License-Identifier: Apache-2.0
"""Choice of tiles by simulated instead of estimated cycles (build --tune)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from myoedge.building.budget import Budget
from myoedge.building.plan_within import plan_within
from myoedge.building.plans import BuildPlan
from myoedge.building.stream_rate import if_it_fits, plan_stream
from myoedge.codegen.render import sources
from myoedge.plan.l1.tile_choice import TileRanks, distinct_layers
from myoedge.plan.plan_json import describe
from myoedge.system.cache import content, keep
from myoedge.system.tools import cache_folder

if TYPE_CHECKING:
    from myoedge.targets import Chip

TILES_TRIED = 4  # tilings per distinct layer, in addition to the fastest by estimate
MOST_CHANGES = 12  # changes that are tried one by one

Measure = Callable[[BuildPlan], Sequence[int]]  # -> cycles per layer, and outside layers


@dataclass(frozen=True)
class TilingTrial:
    """A plan with slower tiles by the estimate, and its simulated cycles.

    ranks        layer signature -> rank of its tiling by estimated cycles
    build_plan   the plan
    cycles       simulated cycles of every layer, then those outside layers
    """

    ranks: TileRanks
    build_plan: BuildPlan
    cycles: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.cycles)


def tuned_plan(
    build_plan: BuildPlan, cycles: Sequence[int], chip: Chip, limits: Budget, measure: Measure
) -> BuildPlan:
    """Return the plan with the tiles that made the simulated network fastest; the same plan if none
    made it faster.

    First, every layer is simulated with its second fastest tiles by the estimate, then with its
    third, and so on, to find layers that gain. These changes are then tried together and one by
    one, and kept if the whole network is faster.

    cycles    simulated cycles of every layer of the build, then those outside layers
    measure   build plan -> simulated cycles
    """
    layers = distinct_layers(build_plan.plan.tilings)

    def measured(ranks: TileRanks) -> TilingTrial | None:
        plan = _plan_with_ranks(build_plan, chip, limits, ranks)
        if plan is None:
            return None
        taken = if_it_fits(lambda: tuple(_cache_cycles(plan, measure)))  # beside its code
        return None if taken is None else TilingTrial(ranks, plan, taken)

    keys = [key for key in dict.fromkeys(layers) if key is not None]
    base = TilingTrial({}, build_plan, tuple(cycles))
    each = [measured(dict.fromkeys(keys, rank)) for rank in range(1, TILES_TRIED + 1)]
    trials = [*filter(None, each)]
    promising = changes(layers, base, trials)
    together = measured(dict(reversed(promising))) if promising else None
    fastest = min(filter(None, [base, *trials, together]), key=lambda t: t.total)
    for layer, rank in promising:
        trial = measured({**fastest.ranks, layer: rank})
        if trial is not None and trial.total < fastest.total:
            fastest = trial
    return fastest.build_plan


def changes(
    layers: Sequence[str | None], base: TilingTrial, trials: Sequence[TilingTrial]
) -> list[tuple[str, int]]:
    """Return (layer signature, rank of its tiling) for layers that take fewer cycles with another
    tiling, largest gain first.

    base     the plan with the fastest tiles by the estimate
    trials   plans in which all layers have the same rank
    """
    saved = []
    for layer in dict.fromkeys(key for key in layers if key is not None):
        at = [i for i, key in enumerate(layers) if key == layer]
        for trial in trials:
            cycles = sum(base.cycles[i] - trial.cycles[i] for i in at)
            saved.append((cycles, layer, trial.ranks[layer]))
    ranked = sorted(saved, key=lambda row: (-row[0], row[2]))
    return [(layer, rank) for cycles, layer, rank in ranked[:MOST_CHANGES] if cycles > 0]


def _plan_with_ranks(
    build_plan: BuildPlan, chip: Chip, limits: Budget, ranks: TileRanks
) -> BuildPlan | None:
    """Plan the build again with tiles of other ranks; None if the plan does not fit."""
    stream_plan, quant = build_plan.stream_plan, build_plan.plan.quant
    if stream_plan is None:
        plan = if_it_fits(lambda: plan_within(quant, chip, limits, ranks))
        return None if plan is None else replace(build_plan, plan=plan)
    plan = if_it_fits(lambda: plan_stream(stream_plan.stream, chip, limits, ranks))
    return None if plan is None else BuildPlan(plan, replace(stream_plan, plan=plan))


# --- cache ----------------------------------------------------------------------------------------


def _cache_cycles(build_plan: BuildPlan, measure: Measure) -> Sequence[int]:
    """Return the simulated cycles of a plan, cached for the same layers, chip and library."""
    path = cache_folder("tuning") / f"{_cycle_key(build_plan)}.json"
    if (found := content(path)) is not None:
        cycles: list[int] = json.loads(found)
        return cycles
    cycles = list(measure(build_plan))
    keep(json.dumps(cycles).encode(), path)
    return cycles


def _cycle_key(build_plan: BuildPlan) -> str:
    """Return a digest of everything that determines cycles, except values of weights and samples.

    It covers layers with their kernels, shapes, arguments and tiles, the chip, and the sources of
    library and simulator.
    """
    plan, stream = build_plan.plan, build_plan.stream
    layers = [
        (step.node.op, repr(sorted(step.node.attrs.items())), step.shapes, step.out)
        for step in plan.steps
    ]
    tiles = [
        None if t is None else (t.kernel.function, dict(t.kernel.op), dict(t.choice.sizes))
        for t in plan.tilings
    ]
    parts = [describe(plan), layers, tiles, repr(plan.chip), sources()]
    frames = None if stream is None else stream.frames
    return hashlib.sha256(json.dumps([*parts, frames], default=str).encode()).hexdigest()
