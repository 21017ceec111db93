# SPDX-License-Identifier: Apache-2.0
"""States of a precision search: a design, its integer network, and its noise."""

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
    """Function (graph, observers, samples) -> a calibration per observer; samples None: all."""

    def __call__(
        self, graph: Graph, observers: Sequence[Observer], given: Samples | None = None
    ) -> list[Calibration]: ...


@dataclass(frozen=True)
class Design:
    """Choices that define an integer network.

    int16      groups of int16 tensors, in the order in which they were chosen
    on_cores   layers with the cores' integers, although an accelerator could run them
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
    """A design's integer networks, and their estimated cost.

    cores     the network with the cores' integers in all layers
    engined   the network that is built, with accelerators' integers
    cycles    sum of the layers' estimated cycles
    """

    design: Design
    cores: QuantGraph
    engined: QuantGraph
    cycles: float


@dataclass(frozen=True)
class SearchState:
    """A design with its measured network."""

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
    """A proposal of another design.

    fit    half of the samples -> the design that it gives; None if the design does not depend on
           samples
    """

    remedy: str
    design: Design
    fit: Callable[[Samples], Design] | None = None


# Proposals of a move for a state; each is answered with the state that it leads to.
Proposals = Generator[Proposal, SearchState, None]


@dataclass(frozen=True)
class Workshop:
    """Functions and samples for making and measuring networks.

    samples      calibration samples; the bench has some of them
    calibrated   (graph, observers) -> a calibration per observer, from all or given samples
    observers    observers to choose from, the default first
    on_engines   network -> the network with integers for accelerators
    time_axes    input -> time axis, along which equalization factors are constant
    digest       digest of the float network
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
        """Make the network of a design; steps shared with `before` are reused."""
        like = None if before is None else before.cores
        cores = quantize_graph(design.graph, design.calibration, self.rules, design.names, like)
        cores = replace(cores, digest=self.digest or cores.digest)
        engined = with_cores_integers(cores, self.on_engines(cores), design.on_cores)
        every = map(self.layer_cycles, engined.steps)  # a layer in L2 has no estimate
        return Network(design, cores, engined, sum(x for x in every if math.isfinite(x)))

    def layer_cycles(self, step: QuantizedNode) -> float:
        """Return the estimated cycles of a layer, computed once per layer."""
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

    start    the int8 network, whose cycles the budgets are fractions of
    narrow, candidates   calibration id -> measured int8 network, and candidates for int16
    planned  network id -> cycles by goal.planned_cycles
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
        """Return the extra cycles of a network by its layers, as a fraction of the cycles at the
        start."""
        return network.cycles / max(self.start.cycles, 1.0) - 1.0

    def shares(self, state: SearchState) -> list[float]:
        """Return the fractions of cycles that may be added, ascending."""
        worst_db = state.measured.worst_db
        return [x.share for x in self.goal.budgets if worst_db < x.below_db]

    def planned_cycles(self, network: QuantGraph) -> float:
        """Planned cycles, infinite if the network does not fit; each network is planned once."""
        plan = self.goal.planned_cycles
        assert plan is not None
        if id(network) not in self.planned:
            self.planned[id(network)] = network, plan(network)
        return self.planned[id(network)][1]
