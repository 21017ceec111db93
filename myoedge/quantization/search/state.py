# SPDX-License-Identifier: Apache-2.0
"""States of a precision search: a design, the quantised network made from it, and its noise."""

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
from myoedge.quantization.layer_rules import LayerRule
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.bench import Bench, MeasuredNoise
from myoedge.quantization.search.candidates import Candidate, Cycles, Group
from myoedge.quantization.search.goal import Goal


class Calibrated(Protocol):
    """Protocol of the function (graph, observers, samples) -> one calibration per observer; samples
    None: all."""

    def __call__(
        self, graph: Graph, observers: Sequence[Observer], given: Samples | None = None
    ) -> list[Calibration]: ...


@dataclass(frozen=True)
class Design:
    """The decisions that define a quantised network.

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
    """The quantised networks of a design, and their estimated cost.

    cores     with integers for the cores in all layers
    engined   with integers for accelerators in the layers that they run; this one is built
    cycles    sum of the layers' estimated cycles
    """

    design: Design
    cores: QuantGraph
    engined: QuantGraph
    cycles: float


@dataclass(frozen=True)
class SearchState:
    """A network with its measured noise."""

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
    """A design proposed by a move.

    remedy description for reports
    fit    half of the samples -> the design fitted to it; None if the design depends on no samples
    """

    remedy: str
    design: Design
    fit: Callable[[Samples], Design] | None = None


# Proposals of a move for a state; each is answered with the state that it leads to.
Proposals = Generator[Proposal, SearchState, None]


@dataclass(frozen=True)
class Workshop:
    """Functions and samples for making and measuring networks.

    bench        samples for measuring
    samples      calibration samples, which include the former
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
    """The state shared by all moves of one search.

    start    the int8 network, to whose cycles the budgets are relative
    limits   [measured tensors] allowed noise
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
        """Return a network's extra cycles by the sum of its layers, as a fraction of those at the
        start."""
        return network.cycles / max(self.start.cycles, 1.0) - 1.0

    def shares(self, state: SearchState) -> list[float]:
        """Return the budgets of extra cycles that apply to a state, as fractions, ascending."""
        worst_db = state.measured.worst_db
        return [x.share for x in self.goal.budgets if worst_db < x.below_db]

    def planned_cycles(self, network: QuantGraph) -> float:
        """Return the estimated cycles of the plan of a network; infinity if it does not fit."""
        plan = self.goal.planned_cycles
        assert plan is not None
        if id(network) not in self.planned:
            self.planned[id(network)] = network, plan(network)
        return self.planned[id(network)][1]
