# SPDX-License-Identifier: Apache-2.0
"""States of a precision search: a design, the quantised network made from it, its noise, and the
moves tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.turns import times_run
from myoedge.quantization.calibrate import Calibration, InputArrays, Observer
from myoedge.quantization.engines import with_cores_integers
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.search.bench import Bench, MeasuredNoise
from myoedge.quantization.search.candidates import Candidate, Group, RunCycles
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.stated_widths import LayerRule

# Reasons for rejecting a move.
LITTLE = "too little gain"
ONE_HALF = "a gain on one half of the samples only"
NO_ROOM = "too large for the memories"
TOO_SLOW = "more cycles than allowed"
OTHER_MOVE = "another move gains more for its cycles"


class Calibrated(Protocol):
    """Protocol of a function that calibrates a graph with several observers.

    given   samples to calibrate on; None: all calibration samples
    -> one calibration per observer
    """

    def __call__(
        self, graph: Graph, observers: Sequence[Observer], given: InputArrays | None = None
    ) -> list[Calibration]: ...


@dataclass(frozen=True, slots=True)
class ConstantReading:
    """Reading of constants from memories behind L2 in a plan.

    turns            most times that a run reads the same constant; 0: all constants stay in L2
    cycles_of_byte   cycles for which a run waits for a byte that is read once
    saved_cycles     cycles of all constants together that the bytes in L2 do not take
    """

    turns: int = 0
    cycles_of_byte: float = 0.0
    saved_cycles: float = 0.0

    def byte_cycles(self, times: int) -> float:
        """Return the cycles that another byte of a layer's constants costs: it takes the place of a
        byte that is read as often as any, or is read whenever the layer is computed.

        times   times that a run computes the layer
        """
        return min(times, self.turns) * self.cycles_of_byte


NO_READING = ConstantReading()


@dataclass(frozen=True)
class Design:
    """The decisions that define a quantised network.

    graph         the float network
    calibration   ranges of its tensors
    int16         groups of int16 tensors, in the order in which they were chosen
    on_cores      layers with the cores' integers, although an accelerator could run them
    inner         tensors inside groups of layers that keep 16 bits
    """

    graph: Graph
    calibration: Calibration
    int16: tuple[Group, ...] = ()
    on_cores: frozenset[str] = frozenset()
    inner: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the int16 tensors."""
        return frozenset(name for group in self.int16 for name in group)


@dataclass(frozen=True)
class Network:
    """The quantised networks of a design, and their estimated cost.

    cores     the network with integers for the cores in all layers
    engined   the network with integers for accelerators in the layers that they run; this one is
              built
    layer_cycles   (layer, times that a run computes it) -> its estimated cycles; infinity for a
                   layer in L2
    saved_cycles   cycles of these that constants in L2 do not take
    """

    design: Design
    cores: QuantGraph
    engined: QuantGraph
    layer_cycles: RunCycles
    saved_cycles: float = 0.0

    @cached_property
    def cycles(self) -> float:
        """Sum of the estimated cycles of the layers that have an estimate."""
        every = sum(x for x in self.cycles_of_layers.values() if math.isfinite(x))
        return every - self.saved_cycles

    @cached_property
    def cycles_of_layers(self) -> Mapping[str, float]:
        """Layer -> its estimated cycles in all iterations of its loop."""
        times = times_run(self.engined.graph.nodes)
        names = ((step, step.node.name) for step in self.engined.steps)
        return {name: self.layer_cycles(step, times[name]) for step, name in names}


@dataclass(frozen=True)
class SearchState:
    """A network of the precision search, with its noise on the samples."""

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

    remedy   description for reports
    design   the design
    fit      half of the samples -> the design fitted to it; None if the design depends on no
             samples
    """

    remedy: str
    design: Design
    fit: Callable[[InputArrays], Design] | None = None


@dataclass(frozen=True, slots=True)
class TriedMove:
    """A move of the precision search that was tried.

    remedy        description of the move, with the reason if it was rejected
    worst_db      lowest SQNR of an output in dB after the move, on the calibration samples
    more_cycles   estimated extra cycles after the move, as a fraction of the int8 network's;
                  negative: cycles that it saves
    is_kept       whether it was accepted
    tensors       number of int16 tensors after the move
    setting       the build option that would accept the move, if it exceeds this build's cycle
                  limit; worst_db is then measured on the evaluation samples
    """

    remedy: str
    worst_db: float
    more_cycles: float
    is_kept: bool
    tensors: int = 0
    setting: str = ""


# Proposals of a move for a state; the search sends back the state that each leads to.
Proposals = Generator[Proposal, SearchState, None]


@dataclass(frozen=True)
class Workshop:
    """Functions and samples for making and measuring networks.

    bench        samples for measuring noise
    samples      calibration samples, which include those of `bench`
    calibrated   (graph, observers) -> a calibration per observer, from all or given samples
    observers    observers to choose from, the default first
    cycles       (layer, times that a run computes it, cycles per byte of constants) -> estimated
                 cycles
    on_engines   network -> the network with integers for accelerators
    planes       such a network -> layers whose weights an accelerator reads bit by bit
    rules        layer rules of [quant]
    usual_rules  rules that those of [quant] override
    time_axes    input -> time axis, along which equalization factors are constant
    digest       digest of the float network
    reading      reading of constants from memories behind L2 in the plan of the int8 network
    """

    bench: Bench
    samples: InputArrays
    calibrated: Calibrated
    observers: Sequence[Observer]
    cycles: Callable[[QuantizedNode, int, float], float]
    on_engines: Callable[[QuantGraph], QuantGraph]
    planes: Callable[[QuantGraph], frozenset[str]]
    rules: Sequence[LayerRule]
    usual_rules: Sequence[LayerRule] = ()
    time_axes: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    reading: ConstantReading = NO_READING
    _cycles: dict[tuple[int, int, float], tuple[QuantizedNode, float]] = field(default_factory=dict)

    @property
    def every_rule(self) -> tuple[LayerRule, ...]:
        """Rules of the networks that are made; later ones override earlier ones."""
        return (*self.usual_rules, *self.rules)

    def make(self, design: Design, before: Network | None = None) -> Network:
        """Quantise the network of a design.

        before   network from which equal steps are reused
        """
        like = None if before is None else before.cores
        widths = design.names, design.inner
        cores = quantize_graph(design.graph, design.calibration, self.every_rule, *widths, like)
        cores = replace(cores, digest=self.digest or cores.digest)
        engined = with_cores_integers(cores, self.on_engines(cores), design.on_cores)
        return Network(design, cores, engined, self.layer_cycles, self.reading.saved_cycles)

    def reads(
        self, network: Network, reading: ConstantReading, planned_cycles: float
    ) -> tuple[Workshop, Network]:
        """Return the workshop and a network with estimates of layers that include reading
        constants.

        reading          reading of the network's constants in its plan
        planned_cycles   cycles of this plan
        """
        workshop = replace(self, reading=reading)
        network = replace(network, layer_cycles=workshop.layer_cycles, saved_cycles=0.0)
        saved_cycles = max(network.cycles - planned_cycles, 0.0) if reading.cycles_of_byte else 0.0
        workshop = replace(workshop, reading=replace(reading, saved_cycles=saved_cycles))
        return workshop, replace(network, saved_cycles=saved_cycles)

    def layer_cycles(self, step: QuantizedNode, times: int) -> float:
        """Return the estimated cycles of a layer, computed once per layer.

        times   times that a run computes it
        """
        byte_cost = self.reading.byte_cycles(times)
        key = id(step), times, byte_cost
        if key not in self._cycles:
            self._cycles[key] = step, self.cycles(step, times, byte_cost)
        return self._cycles[key][1]

    def state(self, design: Design, before: Network | None = None) -> SearchState:
        return self.measured(self.make(design, before))

    def measured(self, network: Network) -> SearchState:
        return SearchState(network, self.bench.measure(network.engined))


@dataclass(frozen=True)
class Search:
    """The data that all moves of one precision search share.

    workshop     functions for making networks
    goal         required SQNR and allowed cost
    start        the int8 network, to whose cycles the budgets are relative
    start_db     SQNR of its worst output
    limits       [measured tensors] allowed noise
    narrow       cache: calibration id -> measured int8 network
    candidates   cache: calibration id -> candidates for int16
    planned      cache: network id -> cycles by goal.planned_cycles
    """

    workshop: Workshop
    goal: Goal
    start: Network
    start_db: float
    limits: Array
    narrow: dict[int, SearchState] = field(default_factory=dict)
    candidates: dict[int, Sequence[Candidate]] = field(default_factory=dict)
    planned: dict[int, tuple[QuantGraph, float]] = field(default_factory=dict)

    def missing_db(self, state: SearchState) -> float:
        return state.measured.missing_db(self.limits)

    def more_cycles(self, network: Network) -> float:
        """Return the estimated extra cycles of a network as a fraction of those of the int8
        network, by the sums of their layers."""
        return network.cycles / max(self.start.cycles, 1.0) - 1.0

    def shares(self, state: SearchState, found: SearchState | None = None) -> list[float]:
        """Return the budgets of extra cycles that apply in a state, as fractions, ascending.

        found   the state after a move; None: any state that could reach the goal
        """
        worst_db, aim_db = state.measured.worst_db, self.goal.db
        reaches = worst_db < aim_db and (found is None or found.measured.worst_db >= aim_db)
        least_db = min(worst_db, self.start_db) if reaches else worst_db
        return [x.share for x in self.goal.budgets if least_db < x.below_db]

    def planned_cycles(self, network: QuantGraph) -> float:
        """Return the estimated cycles of the plan of a network; infinity if it does not fit."""
        plan = self.goal.planned_cycles
        assert plan is not None
        if id(network) not in self.planned:
            self.planned[id(network)] = network, plan(network)
        return self.planned[id(network)][1]
