# SPDX-License-Identifier: Apache-2.0
"""16 bits where 8 are too few: tensors chosen by what they win at the outputs and cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.calibrate import Calibration, Samples, each
from myoedge.quantization.equalize import evened
from myoedge.quantization.formats import candidates, cost_cycles
from myoedge.quantization.noise import Group, noise_of, signal_of
from myoedge.quantization.scales import LayerRule, QuantGraph, choose_params, quantize_graph
from myoedge.quantization.sqnr import Fidelity, judged, measure

AIM_DB = 20.0  # SQNR at the worst output
MARGIN_DB = 3.0  # that samples nobody calibrated on may have less
MEASURED = 8  # samples that forms of the network are measured with
NOISE_SAMPLES = 4  # those that the noise of single tensors is measured with
TRIES = 3  # networks that are measured: noise adds up nearly, not quite
LEAST_SHARE = 0.002  # of the noise at an output that a tensor must win


@dataclass(frozen=True, slots=True)
class Choice:
    """A group of tensors that could have 16 bits.

    noise   that it adds to each output, relative to the signal     cost   in cycles, roughly
    """

    names: Group
    cost: float
    noise: Array = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tried:
    """A form of the network, and its noise at each output, relative to the signal."""

    network: QuantGraph
    noise: Array = field(repr=False)

    @staticmethod
    def of(network: QuantGraph, samples: Samples) -> Tried:
        return Tried(network, relative_noise(measure(network, samples, layers=False)))


def relative_noise(found: Fidelity) -> Array:
    """At each output, of the signal there."""
    return np.array([0.0 if db is None else 10 ** (-db / 10) for db in found.outputs_db.values()])


def refined(
    network: QuantGraph,
    found: Fidelity,
    samples: Samples,
    calibrated: Callable[[Graph], Calibration],
    rules: Sequence[LayerRule] = (),
    aim_db: float = AIM_DB,
) -> QuantGraph:
    """The network with channels evened out and as many tensors of 16 bits as the aim asks for;
    itself if it needs neither.

    found        what the network was measured to keep of these samples
    calibrated   calibrates another form of the graph
    aim_db       at the worst output; MARGIN_DB more is asked of the samples
    Where the aim is out of reach, the best network found.
    """
    most = 10 ** (-(aim_db + MARGIN_DB) / 10)
    form = Tried(network, relative_noise(found))
    if form.noise.max(initial=0.0) <= most:
        return network
    few = _spread(samples, MEASURED)
    graph = evened(network.graph, few)
    if graph is not network.graph:  # which costs nothing
        even = replace(quantize_graph(graph, calibrated(graph), rules), digest=network.digest)
        forms = [Tried.of(other, few) for other in (network, even)]
        form = min(forms, key=lambda other: float(other.noise.max()))
    return _widened(form, few, rules, most)


def _widened(form: Tried, samples: Samples, rules: Sequence[LayerRule], most: float) -> QuantGraph:
    """With 16 bits until noise is below `most`, or the best on the way there.

    Outputs are the first: few samples do not know their range, and they cost next to nothing.
    """
    network, best, tried = form.network, form, form
    left = choices(network, samples)
    chosen = [choice for choice in left if set(choice.names).intersection(network.graph.outputs)]
    for _ in range(TRIES):
        left = [choice for choice in left if choice not in chosen]
        picked = picks(left, tried.noise, most)
        if not picked:
            break
        chosen += picked
        wider = frozenset(name for choice in chosen for name in choice.names)
        wide = quantize_graph(network.graph, network.calibration, rules, wider)
        tried = Tried.of(replace(wide, digest=network.digest), samples)
        best = min(best, tried, key=lambda form: float(form.noise.max()))
        if tried.noise.max() <= most:
            break
    return best.network


def choices(network: QuantGraph, samples: Samples) -> list[Choice]:
    """All that could be chosen, measured on a few samples spread evenly."""
    graph, ranges = network.graph, network.calibration.ranges
    groups = candidates(graph, network.params)
    few = list(each(_spread(samples, NOISE_SAMPLES)))
    names = [judged(network, output) for output in dict.fromkeys(graph.outputs)]
    signal = np.maximum(signal_of(graph, few, names), 1e-30)
    noise = noise_of(graph, choose_params(graph, ranges), few, groups, names)
    costs = (1.0 + cost_cycles(graph, group) for group in groups)
    rows = zip(groups, costs, noise, strict=True)
    return [Choice(group, cost, square / signal) for group, cost, square in rows]


def _spread(samples: Samples, count: int) -> Samples:
    """At most so many of them, evenly."""
    given = len(next(iter(samples.values())))
    at = np.unique(np.linspace(0, given - 1, count).astype(int))
    return {name: values[at] for name, values in samples.items()}


def picks(left: Sequence[Choice], noise: Array, most: float) -> list[Choice]:
    """What brings the noise of every output below `most`: always what wins most at the worst one
    for its cost."""
    left, noise, found = list(left), noise.copy(), list[Choice]()
    while left and noise.max() > most:
        worst = int(noise.argmax())
        pick = max(left, key=lambda choice: float(choice.noise[worst]) / choice.cost)
        if pick.noise[worst] < LEAST_SHARE * noise[worst]:
            break
        left.remove(pick)
        found.append(pick)
        noise = np.maximum(noise - pick.noise, 0.0)
    return found
