# SPDX-License-Identifier: Apache-2.0
"""States of a precision search: choices for a network, the network in integers, and its noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.quantization.calibrate import Calibration, Observer, Samples
from myoedge.quantization.engines import with_cores_integers
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_graph
from myoedge.quantization.search.bench import Bench, MeasuredNoise
from myoedge.quantization.search.candidates import Candidate, Cycles, Group
from myoedge.quantization.search.goal import Goal


class Calibrated(Protocol):
    """Graph, observers, given samples -> a calibration for each observer; None: of all samples."""

    def __call__(
        self, graph: Graph, observers: Sequence[Observer], given: Samples | None = None
    ) -> list[Calibration]: ...


@dataclass(frozen=True)
class Design:
    """Choices that make a network in integers.

    int16      groups of tensors of 16 bits, in the order in which they were chosen
    on_cores   layers with the cores' integers where an accelerator could run others
    """

    graph: Graph
    calibration: Calibration
    int16: tuple[Group, ...] = ()
    on_cores: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the int16 tensors."""
        return frozenset(name for group in self.int16 for name in group)


@dataclass(frozen=True)
class Network:
    """A design's network.

    cores     with the cores' integers in all layers
    engined   as it is built: with those of accelerators
    cycles    of its layers by themselves, estimated
    """

    design: Design
    cores: QuantGraph
    engined: QuantGraph
    cycles: float


@dataclass(frozen=True)
class SearchState:
    """A network that was measured."""

    network: Network
    measured: MeasuredNoise

    @property
    def design(self) -> Design:
        return self.network.design

    @property
    def noise(self) -> Array:
        return self.measured.noise()


@dataclass(frozen=True)
class Proposal:
    """Another design.

    fit    half of the samples -> the design that follows from these; None where no samples decide
    """

    remedy: str
    design: Design
    fit: Callable[[Samples], Design] | None = None


# Proposals of a move for a state; each is answered with the state that it leads to.
Proposals = Generator[Proposal, SearchState, None]


@dataclass(frozen=True)
class Workshop:
    """Means of making and measuring networks.

    samples      that choose; the bench has some of them
    calibrated   graph, observers -> a calibration for each, from all samples or from those given
    observers    to choose from, the first one first
    on_engines   network -> the same with integers for accelerators
    time_axes    of inputs: equalization does not change along them
    digest       of the float network
    """

    bench: Bench
    samples: Samples
    calibrated: Calibrated
    observers: Sequence[Observer]
    cycles: Cycles
    on_engines: Callable[[QuantGraph], QuantGraph]
    rules: Sequence[LayerRule]
    time_axes: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    _cycles: dict[int, tuple[QuantizedNode, float]] = field(default_factory=dict)

    def make(self, design: Design, before: Network | None = None) -> Network:
        """The design's network; steps that it shares with one before are not made again."""
        like = None if before is None else before.cores
        cores = quantize_graph(design.graph, design.calibration, self.rules, design.names, like)
        cores = replace(cores, digest=self.digest or cores.digest)
        engined = with_cores_integers(cores, self.on_engines(cores), design.on_cores)
        every = map(self.layer_cycles, engined.steps)  # a layer in L2 has no estimate
        return Network(design, cores, engined, sum(x for x in every if math.isfinite(x)))

    def layer_cycles(self, step: QuantizedNode) -> float:
        """Estimated cycles of a layer by itself; each is estimated once."""
        if id(step) not in self._cycles:
            self._cycles[id(step)] = step, self.cycles(step)
        return self._cycles[id(step)][1]

    def state(self, design: Design, before: Network | None = None) -> SearchState:
        return self.measured(self.make(design, before))

    def measured(self, network: Network) -> SearchState:
        return SearchState(network, self.bench.measure(network.engined))


@dataclass(frozen=True)
class Search:
    """A search for a goal.

    start    the network in 8 bits, of whose cycles the goal's budgets are shares
    narrow, candidates   measured networks in 8 bits, and tensors that could have 16, by the ids of
                         calibrations
    planned  cycles of networks by their ids, as goal.planned_cycles gives them
    """

    workshop: Workshop
    goal: Goal
    start: Network
    limits: Array
    narrow: dict[int, SearchState] = field(default_factory=dict)
    candidates: dict[int, Sequence[Candidate]] = field(default_factory=dict)
    planned: dict[int, tuple[QuantGraph, float]] = field(default_factory=dict)

    def missing_db(self, state: SearchState) -> float:
        return state.measured.missing_db(self.limits)

    def more_cycles(self, network: Network) -> float:
        """Share of the cycles at the start that a network takes more, by its layers."""
        return network.cycles / max(self.start.cycles, 1.0) - 1.0

    def shares(self, state: SearchState) -> list[float]:
        """Shares of cycles that may be added, ascending."""
        worst_db = state.measured.worst_db
        return [x.share for x in self.goal.budgets if worst_db < x.below_db]

    def planned_cycles(self, network: QuantGraph) -> float:
        """Planned cycles, infinite if the network does not fit; each network is planned once."""
        plan = self.goal.planned_cycles
        assert plan is not None
        if id(network) not in self.planned:
            self.planned[id(network)] = network, plan(network)
        return self.planned[id(network)][1]
