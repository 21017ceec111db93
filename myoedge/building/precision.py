# SPDX-License-Identifier: Apache-2.0
"""The stage "measure": the precision search for the SQNR goals of [budget] and --accurate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from myoedge.building.config_tables import FAST
from myoedge.building.offers import offers
from myoedge.building.pipeline_options import Chosen, Integers, Options
from myoedge.building.quantities import decibels
from myoedge.building.quantized import Known, raise_first
from myoedge.building.warning_rules import warned
from myoedge.building.weight_choice import CycleSaving, with_fewer_bits
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.element_type import INT8
from myoedge.operators.interpreter import one_blas_thread
from myoedge.operators.turns import has_loops
from myoedge.quantization.few_bits import weight_noise
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.holdout import HELD_OUT, Samples, measured
from myoedge.quantization.noise_sources import with_sources
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import (
    ACCURATE_DB,
    AIM_DB,
    UNLIMITED,
    Goal,
)
from myoedge.quantization.search.moves.int16 import with_inner_tensors
from myoedge.quantization.search.search import search_goals
from myoedge.quantization.search.state import Design, Network, SearchState, TriedMove, Workshop
from myoedge.quantization.sqnr import ROUNDED_DB, measure
from myoedge.quantization.stated_widths import LayerRule
from myoedge.quantization.unseen_values import beyond_ranges
from myoedge.system.control_characters import is_refused
from myoedge.system.progress import purpose
from myoedge.system.toml_text import toml_text

MOST_DB_OF_8_BITS = 35.0  # goals up to which 8 bits suffice for weights beside int16 operands
MOST_SEARCHES = 3  # searches: the default, for the budget, and for the loss on other samples


def needs_db(sqnr: float | str | Mapping[str, float] | None, graph: Graph) -> dict[str, float]:
    """Resolve [budget] sqnr to the required SQNR in dB of each output tensor; one number applies to
    all outputs.

    Errors: E233 no output of that name.
    """
    if sqnr is None:
        return {}
    if not isinstance(sqnr, Mapping):
        return dict.fromkeys(graph.outputs, decibels(sqnr))
    tensors = dict(zip(graph.output_labels, graph.outputs, strict=True))
    for name in sqnr:
        if name not in tensors:
            has = {"has": ", ".join(tensors)}
            tries = [
                f"[budget] sqnr = {{ {toml_text(x)} = {decibels(sqnr[name])} }}"
                for x in tensors
                if not is_refused(x)
            ]
            raise MyoedgeError(
                "E233", f"[budget] sqnr: there is no output {name!r}", has, tries[:1]
            )
    return {tensors[name]: decibels(db) for name, db in sqnr.items()}


def missed_outputs(
    needs: Mapping[str, float], fidelity: Fidelity
) -> dict[str, tuple[float, float]]:
    """Return output -> (required dB, reached dB) for outputs below their SQNR budget. Outputs that
    only copy inputs always meet it, those of errors without a signal (0 dB) never do."""
    silent = {n for n, x in fidelity.outputs.items() if x.db is None and not x.is_passed_through}
    known = fidelity.computed_db | dict.fromkeys(silent, 0.0) or dict.fromkeys(needs, 0.0)
    pairs = {name: (db, known[name]) for name, db in needs.items() if name in known}
    return {name: (db, has) for name, (db, has) in pairs.items() if has < db}


def missing_db(needs: Mapping[str, float], fidelity: Fidelity) -> float:
    """Return the dB that the output furthest below its budget lacks; 0 if all budgets are met."""
    missed = missed_outputs(needs, fidelity).values()
    return max((db - has for db, has in missed), default=0.0)


def usual_goal(graph: Graph, needs: Mapping[str, float], *, accurate: bool) -> Goal:
    """Return the goal of --accurate, or the default goal, lowered for outputs that need less.

    needs   output -> dB, from [budget]
    """
    if accurate:
        return Goal(ROUNDED_DB if graph.has_fake_quantized else ACCURATE_DB, budgets=UNLIMITED)
    return Goal(outputs_db={name: db for name, db in needs.items() if db < AIM_DB})


@dataclass(frozen=True)
class Reached:
    """Result of the precision search.

    network    the network found
    fidelity   its SQNR on the evaluation samples
    tried      moves tried
    design     design of the network; None if an older build's choices are kept
    """

    network: QuantGraph
    fidelity: Fidelity
    tried: tuple[TriedMove, ...] = ()
    design: Design | None = None


def reach(
    workshop: Workshop,
    start: SearchState,
    goal: Goal,
    needs: Mapping[str, float],
    judge: Callable[[QuantGraph], Fidelity],
) -> Reached:
    """Search for a network that meets an SQNR goal; if [budget] is missed, search without a cycle
    limit.

    workshop   functions for making networks
    start      network to begin with
    needs      output -> dB, from [budget]
    judge      network -> SQNR on samples that influence no decision

    The goal on the calibration samples is raised by the dB that the evaluation samples fall short.
    If all networks miss the budget, the best one is returned.
    """
    found, state, tried, wanted = list[Reached](), start, list[TriedMove](), dict(needs)
    for _ in range(MOST_SEARCHES):
        state, moves = search_goals(workshop, state, goal, start)
        if found and not moves:
            break
        tried += moves
        fidelity = judge(state.network.engined)
        found.append(Reached(state.network.engined, fidelity, tuple(tried), state.design))
        missing = missing_db(needs, fidelity)
        if not missing:
            has_db = fidelity.worst_db
            if needs or has_db is None or has_db >= goal.db:
                return replace(found[-1], tried=tuple(tried))
            more = offers(workshop, state, goal, start, judge, has_db)
            return replace(found[-1], tried=(*tried, *more))
        goal = replace(goal, db=AIM_DB, outputs_db=wanted, budgets=UNLIMITED)
        wanted = {name: db + missing for name, db in wanted.items()}
    best = min(found, key=lambda x: missing_db(needs, x.fidelity))
    return replace(best, tried=found[-1].tried)


@one_blas_thread()
def searched(options: Options, samples: Samples, chosen: Chosen) -> Integers:
    """Search the precision of every tensor; return the quantised network with its SQNR and the
    sources of its noise. It is the stage "measure"."""
    found, observers_db = _search_result(options, samples, chosen)
    network = found.network
    with purpose("sources of noise"):
        fidelity = with_sources(network, found.fidelity, samples.judge.inputs)
    judged = None if samples.held_out is None else measured(samples.judge).inputs
    known = Known(
        network=network,
        rules=chosen.workshop.rules,
        fidelity=fidelity,
        data=samples.learn,
        judged=judged,
        role=HELD_OUT,
    )
    warnings = warned(known, "network", "ranges")
    raise_first(options.strict, warnings)
    tried = (*chosen.tried, *found.tried)
    return Integers(network, fidelity, (*chosen.warnings, *warnings), observers_db, tried)


def _search_result(
    options: Options, samples: Samples, chosen: Chosen
) -> tuple[Reached, Mapping[str, float]]:
    """Return the result of the precision search, and observer -> SQNR of the worst output in dB if
    there are several observers."""
    judge = partial(_measure_sqnr, samples=samples)
    if options.reuse is not None:  # keep the older build's choices
        network = chosen.network.engined
        return Reached(network, judge(network)), {}
    chosen = _count_constant_reads(options, chosen)
    workshop = chosen.workshop
    start = workshop.measured(chosen.network)
    few_bits = start.network.cores.graph.formats
    goal = replace(
        chosen.goal,
        floor=weight_noise(start.network.cores, workshop.bench.samples) if few_bits else {},
        planned_cycles=_make_cycle_planner(options, chosen, start.network.engined),
    )
    observers_db = {x.method: start.measured.worst_db for x in workshop.observers[:1]}
    start, wider = with_inner_tensors(workshop, start, goal)
    found = reach(workshop, start, goal, chosen.needs, judge)
    found = replace(found, tried=(*wider, *found.tried))
    found = _with_fewer_cycles(options, chosen, found, goal, judge)
    if found.design is not None and not found.design.graph.has_fake_quantized:
        others = beyond_ranges(workshop, found.design)
        found = replace(found, fidelity=found.fidelity.within(others))
    return found, observers_db if len(workshop.observers) > 1 else {}


def _count_constant_reads(options: Options, chosen: Chosen) -> Chosen:
    """Return the search's start with cycles of layers that include reading their constants in every
    step of a loop from memories behind L2, as the plan of the network does; weights beside int16
    operands then have 8 bits, unless outputs need more."""
    network, cycles = chosen.network, options.planned_cycles
    most_db = max((chosen.goal.db, *chosen.needs.values()))
    if options.reading is None or cycles is None or not has_loops(network.engined.graph):
        return chosen
    reading = options.reading(network.engined)
    if reading.turns <= 1:
        return chosen
    workshop, network = chosen.workshop.reads(network, reading, cycles(network.engined))
    if reading.cycles_of_byte and most_db <= MOST_DB_OF_8_BITS:
        workshop = replace(workshop, usual_rules=(LayerRule("*", weight_bits=INT8.bits),))
    return replace(chosen, workshop=workshop, network=network)


def _with_fewer_cycles(
    options: Options,
    chosen: Chosen,
    found: Reached,
    goal: Goal,
    judge: Callable[[QuantGraph], Fidelity],
) -> Reached:
    """Return the network found, with fewer bits of weights where these save cycles, if every output
    keeps its goal, or what it has below; with `--weights fast`, decisions do not change either."""
    reading, cycles, design = options.reading, goal.planned_cycles, found.design
    if reading is None or cycles is None or design is None or options.weights not in (None, FAST):
        return found
    wanted = replace(goal, outputs_db={**goal.outputs_db, **chosen.needs})
    judged, has = {id(found.network): found.fidelity}, found.fidelity.computed_db
    needs = {x: min(db, has[x]) for x, db in wanted.needs_db(has).items()}

    def accepts(network: Network) -> bool:
        fidelity = judged[id(network.engined)] = judge(network.engined)
        is_other = options.weights == FAST and fidelity.decides_less(found.fidelity)
        return not is_other and not missing_db(needs, fidelity)

    before = replace(chosen.workshop.make(design), engined=found.network)
    by = CycleSaving(cycles, accepts, reading, is_fast=options.weights == FAST)
    with purpose("bits of weights"):
        network, tried = with_fewer_bits(chosen.workshop, before, wanted, by)
    made = replace(found, tried=(*found.tried, *tried))
    if network is before:
        return made
    engined = network.engined
    return replace(made, network=engined, fidelity=judged[id(engined)], design=network.design)


def _make_cycle_planner(
    options: Options, chosen: Chosen, network: QuantGraph
) -> Callable[[QuantGraph], float] | None:
    """Return the function network -> planned cycles.

    If weight bits were chosen for L2 or energy, it returns infinity for networks that exceed this
    budget.
    """
    keeps, cycles = options.keeps, options.planned_cycles
    if keeps is None or cycles is None or not chosen.tried or not keeps(network):
        return cycles
    return lambda network: cycles(network) if keeps(network) else math.inf


def _measure_sqnr(network: QuantGraph, samples: Samples) -> Fidelity:
    """Measure SQNR on the held-out samples, or on the calibration samples if none are held out."""
    judged = measured(samples.judge)
    with purpose("SQNR of every layer"):
        return measure(network, judged.inputs).of_samples(judged.numbers)
