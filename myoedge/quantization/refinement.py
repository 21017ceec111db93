# SPDX-License-Identifier: Apache-2.0
"""Remedies where 8 bits lose too much: first those that cost next to no cycles, then 16 bits.

Every remedy is tried on the network in integers and stays only where it is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array, ceil_div
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import macs
from myoedge.quantization.calibrate import Calibration, Samples, spread
from myoedge.quantization.equalization import equalized
from myoedge.quantization.joins import unlike_parts, with_copies
from myoedge.quantization.mixed_precision import (
    Candidate,
    Cycles,
    added_cycles,
    int16_candidates,
    picked_candidates,
)
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_graph
from myoedge.quantization.sqnr import Fidelity, judged_tensors, measure

AIM_DB = 25.0  # SQNR of every output
ACCURATE_DB = 30.0  # the same with --accurate
MARGIN_DB = 3.0  # that samples outside the calibration set may lose
TRIAL_SAMPLES = (8, 64)  # at least and at most, for the SQNR of a quantised network
TRIAL_MACS = 500_000_000  # of all samples, where more than the least are run
LEAST_GAIN_DB = 0.5  # of a remedy that misses the aim: less may be another choice of samples
CHEAP_SHARE = 0.01  # of the network's cycles
TRIALS_MAX = 3  # quantised networks that are measured: noise adds up nearly, not quite
UNLIMITED_TRIALS_MAX = 6  # the same where 16 bits may cost any cycles


@dataclass(frozen=True, slots=True)
class Allowance:
    """Cycles that 16 bits may cost while an output keeps less than `below_db`.

    share   of the cycles of the network in 8 bits
    """

    share: float
    below_db: float


# So that simulated cycles grow by less than 15 and 40 %: estimates of layers by themselves add up
# to as much as a sixth more than a network takes.
USUAL = (Allowance(0.13, math.inf), Allowance(0.34, AIM_DB))
UNLIMITED = (Allowance(math.inf, math.inf),)
NEARLY_FREE = (Allowance(0.015, math.inf),)


@dataclass(frozen=True, slots=True)
class Aim:
    """SQNR that outputs are to keep, before and behind a final function, and what it may cost.

    outputs_db   by the output's tensor; `db` of all others
    floor        noise by judged tensor that weights of few bits make: 16 bits are for what is above
    """

    db: float = AIM_DB
    outputs_db: Mapping[str, float] = field(default_factory=dict)
    allowances: tuple[Allowance, ...] = USUAL
    floor: Mapping[str, float] = field(default_factory=dict)

    def limits(self, network: QuantGraph, margin_db: float = MARGIN_DB) -> Array:
        """[judged tensors] Noise that is allowed, relative to the signal."""
        rows = judged_rows(network)
        every_db = (self.outputs_db.get(output, self.db) for output, _ in rows)
        allowed = np.array([10 ** (-(db + margin_db) / 10) for db in every_db])
        floor = np.array([self.floor.get(name, 0.0) for _, name in rows])
        return np.asarray(np.maximum(allowed + floor, 10 ** (LEAST_GAIN_DB / 10) * floor))


USUAL_AIM = Aim()


@dataclass(frozen=True, slots=True)
class Choice:
    """A remedy that was tried.

    worst_db      dB of the worst output with it, for samples that choose
    more_cycles   share of the cycles of 8 bits that it costs, estimated
    tensors       that have 16 bits with it
    """

    remedy: str
    worst_db: float
    more_cycles: float
    is_kept: bool
    tensors: int = 0


@dataclass(frozen=True)
class Refinement:
    """A network, and what was tried to make it of another one.

    missing_db   to the aim, of all judged tensors together
    """

    network: QuantGraph
    missing_db: float
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """A quantised network, its noise [judged tensors] relative to the signal, the cycles that it
    takes more than the network in 8 bits, and the candidates that have 16."""

    network: QuantGraph
    noise: Array = field(repr=False)
    more_cycles: float = 0.0
    chosen: tuple[Candidate, ...] = ()

    def missing_db(self, limits: Array) -> float:
        """Decibels that are missing to the limits, of all judged tensors; 0 meets the aim."""
        over = np.maximum(self.noise / limits, 1.0)
        return float(np.sum(10 * np.log10(over)))

    def is_better(self, other: Trial, limits: Array) -> bool:
        """Whether this network alone meets the aim, or is LEAST_GAIN_DB nearer to it."""
        mine, others = self.missing_db(limits), other.missing_db(limits)
        return mine == 0.0 < others or mine + LEAST_GAIN_DB <= others

    @property
    def worst_db(self) -> float:
        """Decibels of what is worst; infinite without noise."""
        worst = float(self.noise.max(initial=0.0))
        return -10 * math.log10(worst) if worst else math.inf


def judged_rows(network: QuantGraph) -> list[tuple[str, str]]:
    """(output, tensor that it is judged by) in a fixed order."""
    outputs = dict.fromkeys(network.graph.outputs)
    return [(output, name) for output in outputs for name in judged_tensors(network, output)]


def relative_noise(network: QuantGraph, fidelity: Fidelity) -> Array:
    """[judged tensors] Noise power relative to the signal; 0 of what is not computed."""
    computed = fidelity.computed_db
    every_db = [
        None if output not in computed else _judged_db(fidelity, output, name)
        for output, name in judged_rows(network)
    ]
    return np.array([0.0 if db is None else 10 ** (-db / 10) for db in every_db])


def _judged_db(fidelity: Fidelity, output: str, name: str) -> float | None:
    found = fidelity.outputs[output]
    return found.end_db if name == output and found.end_db is not None else found.db


def refine_precision(
    network: QuantGraph,
    fidelity: Fidelity,
    samples: Samples,
    calibrated: Callable[[Graph], Calibration],
    cycles: Cycles,
    rules: Sequence[LayerRule] = (),
    aim: Aim = USUAL_AIM,
) -> Refinement:
    """The network with concats that read copies, equalized across layers, and with the 16-bit
    tensors that the aim needs.

    fidelity     of the network for these samples
    calibrated   Graph -> its Calibration
    aim          of samples that are not among these: MARGIN_DB more is asked of these
    Returns the network itself where it meets the aim, the best one found where none does.
    """
    limits = aim.limits(network)
    if not Trial(network, relative_noise(network, fidelity)).missing_db(limits):
        return Refinement(network, 0.0)
    few, choices = spread(samples, trial_samples(network)), list[Choice]()
    trial = _tried(network, few)
    apart = with_copies(network.graph, unlike_parts(network.graph, network.calibration.ranges))
    graph = equalized(apart, few)
    if graph is not network.graph:  # costs no cycles, or next to none
        other = replace(quantize_graph(graph, calibrated(graph), rules), digest=network.digest)
        even = _tried(other, few)
        is_kept = even.is_better(trial, limits)
        choices.append(Choice("equalization", even.worst_db, 0.0, is_kept))
        trial = even if is_kept else trial
    for best, choice in _with_int16(trial, few, rules, aim, cycles):
        trial = best
        choices.append(choice)
    return Refinement(trial.network, trial.missing_db(limits), tuple(choices))


def trial_samples(network: QuantGraph) -> int:
    """Number of samples for a trial: many of a small network, whose few numbers scatter."""
    least, most = TRIAL_SAMPLES
    return max(least, min(most, TRIAL_MACS // max(network_macs(network), 1)))


def network_macs(network: QuantGraph) -> int:
    """Multiply-accumulates of a sample."""
    graph = network.graph
    return sum(
        macs(node, [graph.shape(name) for name in node.inputs], graph.shape(node.name))
        for node in graph.nodes
    )


def _tried(network: QuantGraph, samples: Samples, more_cycles: float = 0.0) -> Trial:
    noise = relative_noise(network, measure(network, samples, layers=False))
    return Trial(network, noise, more_cycles)


@dataclass(frozen=True)
class _Search:
    """Constants of the search for tensors of 16 bits.

    start        the network in 8 bits     limits   [judged tensors] of noise
    candidates   groups of tensors that could have 16 bits
    """

    start: Trial
    samples: Samples
    rules: Sequence[LayerRule]
    limits: Array
    cycles: Cycles
    candidates: Sequence[Candidate]

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the network's outputs."""
        return frozenset(self.start.network.graph.outputs)


def _with_int16(
    start: Trial, samples: Samples, rules: Sequence[LayerRule], aim: Aim, cycles: Cycles
) -> Iterator[tuple[Trial, Choice]]:
    """For every allowance that is needed the best trial so far."""
    total_cycles = sum(x for x in map(cycles, start.network.steps) if math.isfinite(x))
    limits, best, last = aim.limits(start.network), start, start
    candidates = int16_candidates(start.network, samples, limits, cycles, rules)
    search = _Search(start, samples, rules, limits, cycles, candidates)
    first = _cheap_outputs(search, CHEAP_SHARE * total_cycles)
    for allowance in aim.allowances:
        if not best.missing_db(limits) or best.worst_db >= allowance.below_db:
            return
        before, most_cycles = best, allowance.share * total_cycles
        for trial in _trials(search, last, first, most_cycles):
            best, last = trial if trial.is_better(best, limits) else best, trial
        if best is not before and not best.missing_db(limits):
            best = _fewest(search, best)
        if best is before is not start:  # as the choice before says
            continue
        share = best.more_cycles / max(total_cycles, 1.0)
        yield best, Choice("16 bits", best.worst_db, share, best is not start, _int16(best.network))


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
    search: _Search, tried: Trial, first: Sequence[Candidate], most_cycles: float
) -> Iterator[Trial]:
    """Networks with 16 bits for more and more tensors, until noise is low enough or the cycles are
    spent. Outputs among them have 8 bits again where that is better: what is beyond their range was
    saturated then."""
    candidates = search.candidates
    for _ in range(TRIALS_MAX if math.isfinite(most_cycles) else UNLIMITED_TRIALS_MAX):
        chosen = tried.chosen or tuple(first)
        left = [candidate for candidate in candidates if candidate not in chosen]
        rest_cycles = most_cycles - tried.more_cycles
        picked = picked_candidates(left, tried.noise, search.limits, rest_cycles)
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
        more_cycles = added_cycles(search.start.network, wide, search.cycles)
        if count and more_cycles > most_cycles:
            high = count - 1
        elif count == high:
            return replace(_tried(wide, search.samples, more_cycles), chosen=chosen[:count])
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


def _int16(network: QuantGraph) -> int:
    """Number of tensors of 16 bits."""
    return sum(q.element_type == INT16 for q in network.params.values())
