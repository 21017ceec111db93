# SPDX-License-Identifier: Apache-2.0
"""Remedies where 8 bits lose too much: first those that cost next to no cycles, then 16 bits, then
weights rounded for the samples.

Every remedy is tried on the network in integers and stays only where it is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import QuantizedNode
from myoedge.quantization.calibrate import Calibration, Samples, subsample_evenly
from myoedge.quantization.equalization import NO_AXES, equalized
from myoedge.quantization.exponentials import attentions_of_bytes, with_exp_bits
from myoedge.quantization.few_bits import layers_to_round, rounding_work, with_rounded_weights
from myoedge.quantization.int16_search import with_int16
from myoedge.quantization.joins import unlike_parts, with_copies
from myoedge.quantization.mixed_precision import Cycles
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_graph
from myoedge.quantization.sqnr import ROUNDED_DB, Fidelity
from myoedge.quantization.trials import (
    LEAST_GAIN_DB,
    MARGIN_DB,
    NEARLY_FREE,
    ROUNDED,
    UNLIMITED,
    USUAL_AIM,
    Aim,
    Choice,
    Trial,
    relative_noise,
    trial_of,
    trial_samples,
)
from myoedge.quantization.tuned_ranges import with_tuned_ranges

TUNABLE_DB = 6.0  # of all judged tensors together
MOST_ROUNDING = 2_000_000_000  # products for rounding weights, where cycles count: some seconds


@dataclass(frozen=True)
class Refinement:
    """A network, and what was tried to make it of another one.

    missing_db   to the aim, of all judged tensors together
    judged       number of them
    """

    network: QuantGraph
    missing_db: float
    judged: int
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class _Remedies:
    """Constants of the search for remedies, as refine_precision has them.

    total_cycles   of the network in 8 bits, as far as estimates are known
    limits         [judged tensors] of noise
    """

    samples: Samples
    calibrated: Callable[[Graph], Calibration]
    others: Callable[[Graph], Sequence[Calibration]]
    cycles: Cycles
    on_engines: Callable[[QuantGraph], QuantGraph]
    total_cycles: float
    rules: Sequence[LayerRule]
    time_axes: Mapping[str, int]
    aim: Aim
    limits: Array


# Trial -> the best one so far and what was tried, none or several times.
Remedy = Callable[[_Remedies, Trial], Iterator[tuple[Trial, Choice]]]


def refine_precision(
    network: QuantGraph,
    fidelity: Fidelity,
    samples: Samples,
    calibrated: Callable[[Graph], Calibration],
    cycles: Cycles,
    rules: Sequence[LayerRule] = (),
    aim: Aim = USUAL_AIM,
    others: Callable[[Graph], Sequence[Calibration]] = lambda graph: (),
    on_engines: Callable[[QuantGraph], QuantGraph] = lambda network: network,
    time_axes: Mapping[str, int] = NO_AXES,
) -> Refinement:
    """The network with concats that read copies, equalized across layers, with ranges chosen by
    tensor, the 16-bit tensors that the aim needs, and rounded weights.

    fidelity     of the network for these samples
    calibrated   Graph -> its Calibration
    aim          of samples that are not among these: MARGIN_DB more is asked of these
    others       Graph -> its Calibrations by other observers, for single tensors
    on_engines   as with_int16 has it
    time_axes    as `equalized` has them
    Returns the network itself where it meets the aim, the best one found where none does.
    """
    limits = aim.limits(network)
    stages = ((REMEDIES, aim, limits), *_of_file(network, aim))
    start = Trial(network, relative_noise(network, fidelity))
    if not any(start.missing_db(of_stage) for _, _, of_stage in stages):
        return Refinement(network, 0.0, len(limits))
    few = subsample_evenly(samples, trial_samples(network.graph))
    total_cycles = sum(x for x in map(cycles, network.steps) if math.isfinite(x))
    given = (few, calibrated, others, cycles, on_engines, total_cycles, rules, time_axes)
    trial, choices = trial_of(network, few), list[Choice]()
    for remedies, of_aim, of_stage in stages:
        trial, tried = _after(remedies, _Remedies(*given, of_aim, of_stage), trial)
        choices += tried
    return Refinement(trial.network, trial.missing_db(limits), len(limits), tuple(choices))


def _of_file(network: QuantGraph, aim: Aim) -> Iterator[tuple[Sequence[Remedy], Aim, Array]]:
    """Remedies that come near to a file that is quantised already, (remedies, aim, limits of
    noise): 16 bits of what it leaves in float, which cost hardly any cycles, and exponentials like
    its float softmax. Its roundings are no choice of these samples: no margin."""
    if network.graph.has_fake_quantized and aim.allowances:
        for remedy, allowances in ((_better_wider, NEARLY_FREE), (_finer_exponentials, ROUNDED)):
            rounded = replace(aim, db=ROUNDED_DB, allowances=allowances)
            yield (remedy,), rounded, rounded.limits(network, margin_db=0.0)


def _after(
    remedies: Sequence[Remedy], search: _Remedies, trial: Trial
) -> tuple[Trial, tuple[Choice, ...]]:
    """The best trial of remedies one after the other, until nothing is missing, and all tried."""
    choices = list[Choice]()
    for remedy in remedies:
        tried = list(remedy(search, trial)) if trial.missing_db(search.limits) else []
        choices += [choice for _, choice in tried]
        trial = tried[-1][0] if tried else trial
    return trial, tuple(choices)


def _better(
    search: _Remedies, name: str, trial: Trial, network: QuantGraph, added_cycles: float = 0.0
) -> Iterator[tuple[Trial, Choice]]:
    """The better one of a trial and of another network of as many cycles, but for those added;
    nothing where they are the same."""
    if network is trial.network:
        return
    more_cycles = trial.more_cycles + added_cycles
    found = replace(trial_of(network, search.samples, more_cycles), chosen=trial.chosen)
    is_kept = found.is_better(trial, search.limits) and _wins(search, found, trial)
    share = more_cycles / max(search.total_cycles, 1.0)
    yield found if is_kept else trial, Choice(name, found.worst_db, share, is_kept)


def _wins(search: _Remedies, found: Trial, trial: Trial) -> bool:
    """Whether a network wins LEAST_GAIN_DB, at the worst output or at all of them together."""
    gain_db = trial.missing_db(search.limits) - found.missing_db(search.limits)
    return max(gain_db, found.worst_db - trial.worst_db) >= LEAST_GAIN_DB


def _equalized(search: _Remedies, trial: Trial) -> Iterator[tuple[Trial, Choice]]:
    network = trial.network
    apart = with_copies(network.graph, unlike_parts(network.graph, network.calibration.ranges))
    graph = equalized(apart, search.samples, search.time_axes)
    if graph is not network.graph:
        again = quantize_graph(graph, search.calibrated(graph), search.rules)
        network = replace(again, digest=network.digest)
    return _better(search, "equalization", trial, network)


def _tuned(search: _Remedies, trial: Trial) -> Iterator[tuple[Trial, Choice]]:
    others = search.others(trial.network.graph)

    def missing_db(network: QuantGraph, fidelity: Fidelity) -> float:
        return Trial(network, relative_noise(network, fidelity)).missing_db(search.limits)

    network = trial.network
    if others:
        network = with_tuned_ranges(network, others, search.samples, search.rules, missing_db)
    return _better(search, "ranges by tensor", trial, network)


def _finer_exponentials(search: _Remedies, trial: Trial) -> Iterator[tuple[Trial, Choice]]:
    """Exponentials of 12 bits in attention whose operands have 8, where the cycles allow them."""
    network, is_any = trial.network, search.aim.allowances == UNLIMITED
    graph = with_exp_bits(network.graph, attentions_of_bytes(network))
    if graph is network.graph or not search.aim.exponentials:
        return
    again = quantize_graph(graph, network.calibration, search.rules, network.int16)
    finer = replace(again, digest=network.digest)
    pairs = zip(*(search.on_engines(x).steps for x in (finer, network)), strict=True)
    costs = (search.cycles(a) - search.cycles(b) for a, b in pairs if a.node != b.node)
    added = sum(cost for cost in costs if math.isfinite(cost))  # a layer in L2 has no estimate
    most_cycles = search.aim.share(trial.worst_db) * search.total_cycles
    if trial.more_cycles + added <= most_cycles or is_any:
        yield from _better(search, "exponentials of 12 bits", trial, finer, added)


def _much_finer_exponentials(search: _Remedies, trial: Trial) -> Iterator[tuple[Trial, Choice]]:
    """Exponentials of 12 bits where these win MARGIN_DB: most of the noise is that of bytes."""
    for found, choice in _finer_exponentials(search, trial):
        if found.worst_db - trial.worst_db >= MARGIN_DB:
            yield found, choice


def _wider(search: _Remedies, trial: Trial) -> Iterator[tuple[Trial, Choice]]:
    given = (search.samples, search.rules, search.aim, search.cycles, search.on_engines)
    return with_int16(trial, *given)


def _better_wider(search: _Remedies, trial: Trial) -> Iterator[tuple[Trial, Choice]]:
    """16 bits, and nothing where they win nothing."""
    yield from (found for found in _wider(search, trial) if found[1].is_kept)


def _rounded(search: _Remedies, trial: Trial) -> Iterator[tuple[Trial, Choice]]:
    """Weights of 8 bits, rounded for the samples; small layers alone where cycles count."""
    network = trial.network
    of_8_bits = [s.node for s in network.steps if _has_int8_weights(s, search.rules)]
    nodes = layers_to_round(network.graph, of_8_bits)
    is_quick = rounding_work(network.graph, nodes) <= MOST_ROUNDING
    if nodes and (is_quick or search.aim.allowances == UNLIMITED):
        bits = {node.name: INT8.bits for node in nodes}
        graph = with_rounded_weights(network.graph, search.samples, bits)
        again = quantize_graph(graph, network.calibration, search.rules, network.int16)
        network = replace(again, digest=network.digest)
    return _better(search, "weights rounded for the samples", trial, network)


def _has_int8_weights(step: QuantizedNode, rules: Sequence[LayerRule]) -> bool:
    """Whether a layer's weights are ours to round, in 8 bits and with a scale for each channel."""
    weight = step.integers.arrays.get("weight")
    has_rule = any(r.weights == "per_tensor" and r.matches(step.node) for r in rules)
    return weight is not None and weight.dtype == INT8.dtype and not has_rule


def _wider_and_tuned(search: _Remedies, trial: Trial) -> Iterator[tuple[Trial, Choice]]:
    found, choices = _in_best_order(search, trial)
    yield from ((found, choice) for choice in choices)


def _in_best_order(search: _Remedies, trial: Trial) -> tuple[Trial, tuple[Choice, ...]]:
    """Ranges by tensor where little is missing, and they meet the aim without 16 bits. Else 16 bits
    for the ranges as they are, then other ranges, as few samples choose these; the other way round
    where that alone meets the aim: 16 bits are left to other tensors then."""
    is_near = trial.missing_db(search.limits) <= TUNABLE_DB
    tuned, ranges = _after((_tuned,), search, trial) if is_near else (trial, ())
    if not tuned.missing_db(search.limits):
        return tuned, ranges
    found, choices = _after((_wider, _tuned), search, trial)
    if not (found.missing_db(search.limits) and search.aim.allowances):
        return found, (*_left(ranges), *choices)
    if not is_near:
        tuned, ranges = _after((_tuned,), search, trial)
    if tuned is trial:
        return found, (*_left(ranges), *choices)
    other, others = _after((_wider, _tuned), search, tuned)
    if other.missing_db(search.limits):
        return found, (*_left((*ranges, *others)), *choices)
    return other, (*_left(choices), *ranges, *others)


def _left(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    return tuple(replace(choice, is_kept=False) for choice in choices)


REMEDIES: tuple[Remedy, ...] = (
    _equalized,
    _much_finer_exponentials,
    _wider_and_tuned,
    _finer_exponentials,
    _rounded,
)
