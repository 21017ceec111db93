# SPDX-License-Identifier: Apache-2.0
"""SQNR that [budget] asks for, output by output, and 16 bits until it is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from myoedge.building.quantities import decibels
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.operators.kernel import CORES
from myoedge.quantization.calibrate import Calibration, Observer, Samples
from myoedge.quantization.engines import with_cores_integers, within_sqnr
from myoedge.quantization.exponentials import fine_attentions
from myoedge.quantization.mixed_precision import Cycles
from myoedge.quantization.observers import METHOD_NAMES
from myoedge.quantization.refinement import Refinement, refine_precision
from myoedge.quantization.scales import LayerRule, QuantGraph
from myoedge.quantization.sqnr import ROUNDED_DB, Fidelity, measure
from myoedge.quantization.trials import (
    ACCURATE_DB,
    AIM_DB,
    IN_8_BITS,
    LEAST_GAIN_DB,
    NEARLY_FREE,
    ROUNDED,
    UNLIMITED,
    USUAL_AIM,
    Aim,
    Choice,
)
from myoedge.quantization.tuned_ranges import tuned_for_engines

ACCURATE = Aim(ACCURATE_DB, allowances=UNLIMITED, rounded_db=ROUNDED_DB)
POLISHED = Aim(ACCURATE_DB, allowances=NEARLY_FREE)  # of networks that keep AIM_DB as they are


class Refined(NamedTuple):
    """A refined network, its SQNR, and what was tried."""

    network: QuantGraph
    fidelity: Fidelity
    choices: tuple[Choice, ...] = ()


def needs_db(sqnr: float | str | Mapping[str, float] | None, graph: Graph) -> dict[str, float]:
    """[budget] sqnr by the tensors of the outputs that have to keep it: a number is for all of
    them. Errors: E233 no output of that name."""
    if sqnr is None:
        return {}
    if not isinstance(sqnr, Mapping):
        return dict.fromkeys(graph.outputs, decibels(sqnr))
    tensors = dict(zip(graph.output_names or graph.outputs, graph.outputs, strict=True))
    for name in sqnr:
        if name not in tensors:
            has = {"has": ", ".join(tensors)}
            tries = [f'[budget] sqnr = {{ "{x}" = {decibels(sqnr[name])} }}' for x in tensors]
            raise MyoedgeError(
                "E233", f"[budget] sqnr: there is no output {name!r}", has, tries[:1]
            )
    return {tensors[name]: decibels(db) for name, db in sqnr.items()}


# What ranges that cut values off must win by judged tensor where the aim is missed all the same, a
# bit: few samples choose. 2.7 and 3.9 dB of 16 chunks of silero were 11 lost in others; of more
# samples less is enough (docs/quantization.md).
OTHER_RANGES_DB = 6.0
FEW_SAMPLES = 16
ENGINE_RANGES = "ranges for the accelerator's integers"
NO_ROOM = "too large for the memories"


def missed_outputs(
    needs: Mapping[str, float], fidelity: Fidelity
) -> dict[str, tuple[float, float]]:
    """(needs, has) of the outputs that keep less than their budget; what is passed through, or has
    no signal, keeps all."""
    known = fidelity.computed_db or dict.fromkeys(needs, 0.0)
    pairs = {name: (db, known[name]) for name, db in needs.items() if name in known}
    return {name: (db, has) for name, (db, has) in pairs.items() if has < db}


def missing_db(needs: Mapping[str, float], fidelity: Fidelity) -> float:
    """Decibels that the output furthest below its budget keeps too little; 0 where none does."""
    missed = missed_outputs(needs, fidelity).values()
    return max((db - has for db, has in missed), default=0.0)


def refined(
    judge: Callable[[QuantGraph], Fidelity],
    refine: Callable[[Aim], Refined],
    needs: Mapping[str, float],
    *,
    accurate: bool,
) -> Refined:
    """16 bits where they win much, and where the budget is missed otherwise.

    judge    SQNR as it is told; of networks that all miss the budget the best one is kept, and
             what was tried last is told
    refine   aim -> the refined network, with its SQNR for the samples that choose
    needs    dB by output; an output that needs less than AIM_DB is refined for no more
    A last time more is asked of the samples that choose: as much as the others keep less.
    """
    tried, more_db = list[Refined](), 0.0
    for step in ("as usual", "for the budget", "for more than it"):
        if step == "for more than it" and not more_db:  # the same network again
            break
        if step == "as usual":
            found = _most_accurate(refine) if accurate else _first_missed(refine, needs)
        else:
            found = refine(_aim(needs, more_db if len(tried) > 1 else 0.0))
        judged = judge(found.network)
        tried.append(found._replace(fidelity=judged))
        if not missing_db(needs, judged):
            return tried[-1]
        more_db = max(missing_db(needs, judged) - missing_db(needs, found.fidelity), 0.0)
    best, last = min(tried, key=lambda x: missing_db(needs, x.fidelity)), tried[-1]
    left = () if best is last else map(_left, last.choices)
    return best._replace(choices=(*left, *best.choices))


@dataclass(frozen=True)
class Means:
    """Means of refining a network.

    samples      that choose
    calibrated   graph, observers -> a calibration for each
    observers    to choose from
    cycles       estimate of a layer
    on_engines   network -> the same with integers for accelerators
    fits         whether the memories have room for a network
    floor        noise that 16 bits are not for, as Aim has it
    time_axes    of inputs: factors do not change along them
    """

    samples: Samples
    calibrated: Callable[[Graph, Sequence[Observer]], list[Calibration]]
    observers: Sequence[Observer]
    cycles: Cycles
    on_engines: Callable[[QuantGraph], QuantGraph]
    fits: Callable[[QuantGraph], bool]
    rules: Sequence[LayerRule]
    floor: Mapping[str, float] = field(default_factory=dict)
    time_axes: Mapping[str, int] = field(default_factory=dict)


def refined_for(start: Refined, other: QuantGraph | None, means: Means, aim: Aim) -> Refined:
    """A network refined for an aim, with its SQNR for the samples that choose.

    other   the network with ranges by another observer: where the aim is missed, it is refined too
    Of the two the better one is kept. Where the memories have no room for it, or it takes more
    cycles than the aim allows, as accelerators run fewer layers, remedies without finer
    exponentials are tried alone, then those without 16 bits; none is kept where there is no room
    for these either.
    """
    aim = replace(aim, floor=means.floor)
    found = _refinement(start.network, start.fidelity, means, aim)
    # less than the full range of outputs is for an aim that is missed, not to polish
    is_finer = other is not None and not other.calibration.observer.full_outputs
    if other is not None and found.missing_db and not (is_finer and aim.allowances == NEARLY_FREE):
        other = means.on_engines(other)  # as `start` is: 16 bits are compared with the same cycles
        fidelity = measure(other, means.samples, layers=False)
        again = _refinement(other, fidelity, means, aim)
        least_db = _least_gain_db(means) * again.judged if again.missing_db else LEAST_GAIN_DB
        is_better = again.missing_db + least_db <= found.missing_db
        name = f"ranges by {METHOD_NAMES[other.calibration.observer.method]}"
        name += ", outputs as far as the samples go" * is_finer
        ranges = Choice(name, fidelity.worst_judged_db or 0.0, 0.0, is_better)
        first, second = found.choices, again.choices
        if is_better:
            choices = (*map(_left, first), ranges, *second)
        else:
            choices = (*first, ranges, *map(_left, second))
        found = replace(again if is_better else found, choices=choices)
    if found.network is start.network:
        return start._replace(choices=found.choices)
    better = _on_engines(start, found.network, means, aim)
    if better is not None and means.fits(better.network):
        return better._replace(choices=(*found.choices, *better.choices))
    why = "more layers on the cores" if better is None else NO_ROOM
    dropped = _dropped(found.choices, why)
    less = _lesser(aim, start.network, found.network)
    if less is None:
        return start._replace(choices=dropped)
    narrow = refined_for(start, other, means, less)
    return narrow._replace(choices=(*dropped, *narrow.choices))


def _lesser(aim: Aim, start: QuantGraph, found: QuantGraph) -> Aim | None:
    """The aim without the finer exponentials that were found, else without 16 bits; None where
    neither was."""
    finer, before = (fine_attentions(network.graph) for network in (found, start))
    if aim.exponentials and finer != before:
        return replace(aim, exponentials=False)
    return None if found.int16 == start.int16 else replace(aim, allowances=IN_8_BITS)


def _least_gain_db(means: Means) -> float:
    """Decibels that other ranges must win, by judged tensor: fewer where many samples choose."""
    count = len(next(iter(means.samples.values())))
    return OTHER_RANGES_DB * min(FEW_SAMPLES / count, 1.0)


def kept_on_engines(
    cores: QuantGraph,
    engined: QuantGraph,
    means: Means,
    older: QuantGraph | None = None,
    known: Fidelity | None = None,
    wanted_db: float = 0.0,
) -> Refined:
    """A network with integers for accelerators, as within_sqnr has it: with ranges for these where
    the cores' keep more, if neither its file nor an older build gives them."""

    def tuned(network: QuantGraph) -> QuantGraph:
        if older is not None or network.graph.has_fake_quantized:
            return network
        others = _others(means, network.graph, network.calibration.observer)
        given = (others, means.samples, means.rules, means.on_engines)
        return tuned_for_engines(network, *given)

    given = (cores, engined, means.samples, older, known, wanted_db, tuned)
    network, fidelity = within_sqnr(*given)
    is_tuned = network.calibration.ranges != engined.calibration.ranges
    choice = Choice(ENGINE_RANGES, fidelity.worst_judged_db or 0.0, 0.0, is_kept=True)
    return Refined(network, fidelity, (choice,) if is_tuned else ())


def _others(means: Means, graph: Graph, observer: Observer) -> list[Calibration]:
    """Calibrations of a graph by the other observers."""
    left = [other for other in means.observers if other.method != observer.method]
    left = [replace(other, full_outputs=observer.full_outputs) for other in left]
    return means.calibrated(graph, left) if left else []


def _on_engines(start: Refined, cores: QuantGraph, means: Means, aim: Aim) -> Refined | None:
    """A refined network with integers for accelerators, where these keep its SQNR; where it takes
    more cycles than the aim allows with the other layers on the cores, with all that may be on
    accelerators; None where 16 bits take more cycles there too, or too little is won.

    cores   the refined network with the cores' integers
    """
    engined = means.on_engines(cores)
    wanted_db = max(aim.outputs_db.values(), default=0.0)
    kept = kept_on_engines(cores, engined, means, wanted_db=wanted_db)
    worst_db = start.fidelity.worst_judged_db or 0.0
    share = aim.share(worst_db)
    if aim.allowances and cores.graph.has_fake_quantized:  # finer exponentials may cost as much
        share = max(share, replace(aim, allowances=ROUNDED).share(worst_db))
    most_cycles = (1.0 + share) * _total_cycles(means, start.network)
    if _total_cycles(means, kept.network) <= most_cycles:
        return kept
    is_wider = engined.int16 != start.network.int16
    if is_wider and _total_cycles(means, engined) > most_cycles:
        return None
    fast = Refined(engined, measure(engined, means.samples, layers=False))
    wins = (fast.fidelity.worst_judged_db or 0.0) - worst_db >= LEAST_GAIN_DB
    return fast if wins else None


def with_choices_before(found: Refined, start: Refined) -> Refined:
    """A refined network with what was chosen of the one that it was made of; not kept where another
    observer's ranges took its place."""
    observers = (x.network.calibration.observer for x in (found, start))
    is_same = len(set(observers)) == 1
    before = start.choices if is_same else map(_left, start.choices)
    return found._replace(choices=(*before, *found.choices))


def _total_cycles(means: Means, network: QuantGraph) -> float:
    """Cycles of all layers, as far as estimates are known."""
    return sum(x for x in map(means.cycles, network.steps) if math.isfinite(x))


def _refinement(network: QuantGraph, fidelity: Fidelity, means: Means, aim: Aim) -> Refinement:
    observer = network.calibration.observer
    on_cores = [step.node.name for step in network.steps if step.engine.name == CORES]

    def on_engines(other: QuantGraph) -> QuantGraph:
        return with_cores_integers(other, means.on_engines(other), on_cores)

    def calibrated(graph: Graph) -> Calibration:
        return means.calibrated(graph, [observer])[0]

    given = (means.samples, calibrated, means.cycles, means.rules, aim)
    others = partial(_others, means, observer=observer)
    return refine_precision(network, fidelity, *given, others, on_engines, means.time_axes)


def _left(choice: Choice) -> Choice:
    return replace(choice, is_kept=False)


def _dropped(choices: Sequence[Choice], why: str) -> tuple[Choice, ...]:
    """Remedies of a network that is not kept, with the reason."""
    noted = (replace(x, remedy=f"{x.remedy}, {why}") for x in choices)
    return tuple(map(_left, noted))


def _first_missed(refine: Callable[[Aim], Refined], needs: Mapping[str, float]) -> Refined:
    """The network by the first of the usual aims that it misses."""
    less = {name: db for name, db in needs.items() if db < AIM_DB}
    found = refine(replace(USUAL_AIM, outputs_db=less))
    return found if found.choices else refine(replace(POLISHED, outputs_db=less))


def _most_accurate(refine: Callable[[Aim], Refined]) -> Refined:
    """The network with 16 bits at any cost; by the usual aim where that keeps more."""
    found = refine(ACCURATE)
    if (found.fidelity.worst_judged_db or ACCURATE_DB) >= ACCURATE_DB:
        return found
    usual = refine(USUAL_AIM)
    return max(found, usual, key=lambda x: x.fidelity.worst_judged_db or 0.0)


def _aim(needs: Mapping[str, float], more_db: float) -> Aim:
    """The aim of a budget; outputs without one keep what they keep by default."""
    wanted = {name: db + more_db for name, db in needs.items()}
    return Aim(AIM_DB, wanted, UNLIMITED)
