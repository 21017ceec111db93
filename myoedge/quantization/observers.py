# SPDX-License-Identifier: Apache-2.0
"""The observer of a network: the rule for ranges with which its outputs keep most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from myoedge.graph.ir import Graph
from myoedge.quantization.calibrate import Calibration, Observer, Samples, subsample_evenly
from myoedge.quantization.formats import all_stated
from myoedge.quantization.output_ranges import bounded_results
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_graph
from myoedge.quantization.sqnr import Fidelity, measure_each

METHODS_TRIED = ("minmax", "percentile", "mse")  # the first one is kept if none wins much
METHOD_NAMES = {"minmax": "min-max", "percentile": "percentile", "mse": "least squares"}
TRIAL_SAMPLES = 16
LEAST_GAIN_DB = 0.5  # less may be another choice of samples


@dataclass(frozen=True, slots=True)
class ObserverChoice:
    """A network whose ranges follow from the best of several observers.

    worst_db   dB of the worst output for the samples that chose, by method
    fidelity   of the network for all samples; None if these were not all run
    other      the same without the full ranges of outputs if these have bounds; else the network by
               the observer that keeps most, if the first one stays, and None if that wins
               less than LEAST_GAIN_DB
    """

    network: QuantGraph
    worst_db: Mapping[str, float]
    fidelity: Fidelity | None = None
    other: QuantGraph | None = None


def observers_for(graph: Graph, observers: Sequence[Observer]) -> list[Observer]:
    """The observers to try: none if the model file gives all scales."""
    if all_stated(graph):
        return [Observer("file")]
    return [Observer() if observer.method == "file" else observer for observer in observers]


def with_finer_outputs(graph: Graph, observers: Sequence[Observer]) -> list[Observer]:
    """The observers, then the same without the full ranges of outputs if some have bounds."""
    has_bounds = any(bounded_results(graph))
    return [*observers, *(replace(x, full_outputs=False) for x in observers if has_bounds)]


def best_observer(
    graph: Graph,
    calibrations: Sequence[Calibration],
    samples: Samples,
    rules: Sequence[LayerRule],
    enough_db: float,
) -> ObserverChoice:
    """The network by the calibration whose worst output has the highest SQNR, before and
    after a final function.

    samples   of the calibration; at most TRIAL_SAMPLES of them are run
    enough_db of a network that gets no 16 bits
    The first calibration stays if no other one wins LEAST_GAIN_DB, and where the best keeps less
    than `enough_db`: 16 bits have steps enough for all values, and what is clipped stays lost.
    """
    full = [x for x in calibrations if x.observer.full_outputs]
    finer = [x for x in calibrations if not x.observer.full_outputs]
    networks = [quantize_graph(graph, calibration, rules) for calibration in full]
    if len(networks) == 1:
        other = quantize_graph(graph, finer[0], rules) if finer else None
        return ObserverChoice(networks[0], {}, other=other)
    few = subsample_evenly(samples, TRIAL_SAMPLES)
    every = measure_each(networks, few)
    found = [_worst_db(fidelity) for fidelity in every]
    best = max(range(len(found)), key=found.__getitem__)
    wins = found[best] >= found[0] + LEAST_GAIN_DB
    chosen = best if wins and found[best] >= enough_db else 0
    other = networks[best] if wins and not chosen else None
    if finer:
        other = quantize_graph(graph, finer[chosen], rules)
    methods = [calibration.observer.method for calibration in full]
    has_all = all(len(few[name]) == len(given) for name, given in samples.items())
    fidelity = every[chosen] if has_all else None
    return ObserverChoice(networks[chosen], dict(zip(methods, found, strict=True)), fidelity, other)


def _worst_db(fidelity: Fidelity) -> float:
    return math.inf if fidelity.worst_judged_db is None else fidelity.worst_judged_db
