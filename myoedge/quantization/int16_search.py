# SPDX-License-Identifier: Apache-2.0
"""Search for the tensors that have 16 bits: networks in integers, for cycles that are allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from myoedge.numerics.arrays import Array, ceil_div
from myoedge.quantization.calibrate import Samples
from myoedge.quantization.mixed_precision import (
    Candidate,
    Cycles,
    Worth,
    added_cycles,
    int16_candidates,
    most_noise,
    noise_per_cycle,
    picked_candidates,
)
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_graph
from myoedge.quantization.trials import MARGIN_DB, Aim, Choice, Trial, trial_of

CHEAP_SHARE = 0.01  # of the network's cycles
TRIALS_MAX = 3  # quantised networks that are measured: noise adds up nearly, not quite
UNLIMITED_TRIALS_MAX = 6  # the same where 16 bits may cost any cycles


@dataclass(frozen=True)
class _Search:
    """Constants of the search for tensors of 16 bits.

    start        the network in 8 bits, with the cycles that its exponentials take more
    limits       [judged tensors] of noise
    engined      the same as accelerators run it, whose cycles 16 bits add to
    candidates   groups of tensors that could have 16 bits
    """

    start: Trial
    engined: QuantGraph
    samples: Samples
    rules: Sequence[LayerRule]
    limits: Array
    cycles: Cycles
    candidates: Sequence[Candidate]

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the network's outputs."""
        return frozenset(self.start.network.graph.outputs)


def with_int16(
    start: Trial,
    samples: Samples,
    rules: Sequence[LayerRule],
    aim: Aim,
    cycles: Cycles,
    on_engines: Callable[[QuantGraph], QuantGraph] = lambda network: network,
) -> Iterator[tuple[Trial, Choice]]:
    """For every allowance that is needed the best trial so far.

    on_engines   network in 8 bits -> the same as accelerators run it; a layer of 16 bits whose
                 sums they requantise in 8 runs on the cores
    """
    if not aim.allowances:
        return
    engined = on_engines(start.network)
    total_cycles = sum(x for x in map(cycles, engined.steps) if math.isfinite(x))
    limits, best, last = aim.limits(start.network), start, start
    candidates = int16_candidates(engined, samples, limits, cycles, rules)
    search = _Search(start, engined, samples, rules, limits, cycles, candidates)
    first = _cheap_outputs(search, CHEAP_SHARE * total_cycles)
    total_cycles -= start.more_cycles
    for allowance in aim.allowances:
        if not best.missing_db(limits) or best.worst_db >= allowance.below_db:
            return
        before, most_cycles = best, allowance.share * total_cycles
        for trial in _trials(search, last, first, most_cycles):
            best, last = trial if trial.is_better(best, limits) else best, trial
        if best.missing_db(limits) and last is not start:
            best = _by_most_noise(search, best, most_cycles)
        if best is not before and not best.missing_db(limits):
            best = _fewest(search, best)
        if best is before is not start:  # as the choice before says
            continue
        share = best.more_cycles / max(total_cycles, 1.0)
        yield (
            best,
            Choice("16 bits", best.worst_db, share, best is not start, len(best.network.int16)),
        )


def _by_most_noise(search: _Search, best: Trial, most_cycles: float) -> Trial:
    """The better one of the best trial, and of those that give 16 bits to the noisiest first:
    many that cost little leave no cycles for one that costs much. It has to win MARGIN_DB, or to
    meet the aim: less may be chance."""
    for trial in _trials(search, search.start, (), most_cycles, most_noise):
        missing_db = trial.missing_db(search.limits)
        if not missing_db or missing_db + MARGIN_DB <= best.missing_db(search.limits):
            best = trial
    return best


def _cheap_outputs(search: _Search, most_cycles: float) -> list[Candidate]:
    """Outputs that cost next to nothing come first: few samples do not show their range."""
    missed = search.start.noise > search.limits
    return [
        candidate
        for candidate in search.candidates
        if search.outputs.intersection(candidate.names)
        and candidate.noise[missed].any()
        and candidate.cost_cycles <= most_cycles
    ]


def _trials(
    search: _Search,
    tried: Trial,
    first: Sequence[Candidate],
    most_cycles: float,
    worth: Worth = noise_per_cycle,
) -> Iterator[Trial]:
    """Networks with 16 bits for more and more tensors, until noise is low enough or the cycles are
    spent. Outputs among them have 8 bits again where that is better: what is beyond their range was
    saturated then."""
    candidates = search.candidates
    for _ in range(TRIALS_MAX if math.isfinite(most_cycles) else UNLIMITED_TRIALS_MAX):
        chosen = tried.chosen or tuple(first)
        left = [candidate for candidate in candidates if candidate not in chosen]
        rest_cycles = most_cycles - tried.more_cycles
        picked = picked_candidates(left, tried.noise, search.limits, rest_cycles, worth)
        if not picked and chosen == tried.chosen:
            return
        tried = _affordable(search, (*chosen, *picked), most_cycles)
        inside = tuple(c for c in tried.chosen if not search.outputs.intersection(c.names))
        if inside != tried.chosen:
            bare = _affordable(search, inside, most_cycles)
            if bare.missing_db(search.limits) < tried.missing_db(search.limits):
                outputs = search.outputs
                candidates = [c for c in candidates if not outputs.intersection(c.names)]
                tried = bare
        yield tried
        if not tried.missing_db(search.limits):
            return


def _affordable(search: _Search, chosen: tuple[Candidate, ...], most_cycles: float) -> Trial:
    """The network with 16 bits for as many of these candidates, in their order, as the cycles
    allow: layers between two of them cost more or less than each alone says."""
    low, high, count = 0, len(chosen), len(chosen)  # so many are affordable; at most so many may be
    while True:
        wide = _widened(search, chosen[:count])
        more_cycles = search.start.more_cycles + added_cycles(search.engined, wide, search.cycles)
        if count and more_cycles > most_cycles:
            high = count - 1
        elif count == high:
            return replace(trial_of(wide, search.samples, more_cycles), chosen=chosen[:count])
        else:
            low = count
        count = ceil_div(low + high, 2)


def _fewest(search: _Search, trial: Trial) -> Trial:
    """A network that meets the aim with 16 bits for as few of the candidates as do, in their order:
    noise that was predicted adds up to more than there is."""
    low, high = 0, len(trial.chosen)
    while high - low > 1:
        count = (low + high) // 2
        fewer = _affordable(search, trial.chosen[:count], math.inf)
        meets_aim = not fewer.missing_db(search.limits)
        trial = fewer if meets_aim else trial
        low, high = (low, count) if meets_aim else (count, high)
    return trial


def _widened(search: _Search, chosen: Sequence[Candidate]) -> QuantGraph:
    network = search.start.network
    names = frozenset(name for candidate in chosen for name in candidate.names)
    wide = quantize_graph(network.graph, network.calibration, search.rules, names)
    return replace(wide, digest=network.digest)
