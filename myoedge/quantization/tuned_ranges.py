# SPDX-License-Identifier: Apache-2.0
"""Ranges chosen tensor by tensor: of several observers the one with which the outputs keep most.

Other networks of the same cycles; each is run in integers, so that what is measured is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import macs
from myoedge.quantization.calibrate import Calibration, Samples, each_sample, subsample_evenly
from myoedge.quantization.formats import (
    fused_tables,
    shared_scale_groups,
    with_tables_apart,
)
from myoedge.quantization.mixed_precision import noise_of, noise_samples
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_graph
from myoedge.quantization.sqnr import Fidelity, judged_tensors, measure_each

MOST_WORK = 1_000_000_000  # in products: some seconds
NODE_WORK = 100_000  # of a node in one run, besides its products; twice that to quantise it
NOISE_SAMPLES = 2
TRIAL_SAMPLES = 16
LEAST_GAIN_DB = 0.1
SHARES = (0.95, 0.9, 1.05)  # of a tensor's range, besides those of other observers

Missing = Callable[[QuantGraph, Fidelity], float]  # dB to the aim, of all outputs together


def with_tuned_ranges(
    network: QuantGraph,
    others: Sequence[Calibration],
    samples: Samples,
    rules: Sequence[LayerRule],
    missing_db: Missing,
    on_engines: Callable[[QuantGraph], QuantGraph] = lambda network: network,
) -> QuantGraph:
    """The network with ranges by another observer for tensors where that wins something.

    others       calibrations of the same graph
    samples      at most TRIAL_SAMPLES of them are run
    missing_db   what is to be small
    on_engines   network -> the same with integers for accelerators, which the network has already
    The noisiest tensors first, until nothing is missing or MOST_WORK is spent; the network itself
    where no range wins.
    """
    samples = subsample_evenly(samples, TRIAL_SAMPLES)
    trials = _trials(network, samples)
    if not trials:
        return network
    best_db = missing_db(network, measure_each([network], samples)[0])
    for group in _noisiest_first(network, samples):
        tries = [on_engines(q) for q in _with_ranges(network, group, others, rules)]
        if not best_db or trials < len(tries):
            break
        if tries:
            trials -= len(tries)
            found = map(missing_db, tries, measure_each(tries, samples))
            db, at = min((db, at) for at, db in enumerate(found))
            if db <= best_db - LEAST_GAIN_DB or not db:
                best_db, network = db, tries[at]
    return network


def tuned_for_engines(
    network: QuantGraph,
    others: Sequence[Calibration],
    samples: Samples,
    rules: Sequence[LayerRule],
    on_engines: Callable[[QuantGraph], QuantGraph],
) -> QuantGraph:
    """A network of on_engines, with the ranges with which the worst output of its own integers
    keeps most, as far as MOST_WORK goes."""
    every = [*others, *(_scaled(network.calibration, share) for share in SHARES)]
    if _trials(network, subsample_evenly(samples, TRIAL_SAMPLES)) < len(every):
        return network

    def missing_db(_: QuantGraph, fidelity: Fidelity) -> float:
        return -math.inf if fidelity.worst_judged_db is None else -fidelity.worst_judged_db

    given = (every, samples, rules, missing_db, on_engines)
    return with_tuned_ranges(network, *given)


def _scaled(calibration: Calibration, share: float) -> Calibration:
    """All ranges times a share."""
    ranges = {x: (low * share, high * share) for x, (low, high) in calibration.ranges.items()}
    return replace(calibration, ranges=ranges)


def _trials(network: QuantGraph, samples: Samples) -> int:
    """Number of networks that MOST_WORK is enough for."""
    graph, count = network.graph, len(next(iter(samples.values())))
    products = sum(
        macs(node, [graph.shape(name) for name in node.inputs], graph.shape(node.name))
        for node in graph.nodes
    )
    nodes = len(graph.nodes) * NODE_WORK
    return MOST_WORK // (count * (2 * products + nodes) + 2 * nodes)


def _noisiest_first(network: QuantGraph, samples: Samples) -> list[tuple[str, ...]]:
    """Groups of tensors with one scale, by the noise that each adds at the output that it hurts
    most."""
    graph = with_tables_apart(network.graph, fused_tables(network.graph))
    groups = [tuple(group) for group in shared_scale_groups(graph, network.params)]
    few = list(each_sample(subsample_evenly(samples, noise_samples(graph, groups, NOISE_SAMPLES))))
    outputs = [
        x for output in dict.fromkeys(graph.outputs) for x in judged_tensors(network, output)
    ]
    noise = noise_of(graph, network.params, few, groups, outputs)
    total = np.maximum(np.sum(noise, axis=0), np.finfo(np.float64).tiny)
    worst: list[Array] = [np.max(x / total) for x in noise]
    return [groups[i] for i in np.argsort(-np.array(worst), kind="stable") if worst[i] > 0.0]


def _with_ranges(
    network: QuantGraph,
    group: Sequence[str],
    others: Sequence[Calibration],
    rules: Sequence[LayerRule],
) -> list[QuantGraph]:
    """Networks with another range for a group of tensors."""
    before, found = network.calibration, list[Calibration]()
    for other in others:
        ranges = {**before.ranges, **{x: other.ranges[x] for x in group if x in other.ranges}}
        if all(ranges != x.ranges for x in (before, *found)):
            found.append(replace(before, ranges=ranges))
    made = (quantize_graph(network.graph, each, rules, network.int16) for each in found)
    return [replace(q, digest=network.digest) for q in made]
