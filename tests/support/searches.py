# SPDX-License-Identifier: Apache-2.0
"""Precision searches of small networks, as a build makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from myoedge.graph.ir import Graph
from myoedge.plan.l1.layer_kernels import layer_cycles
from myoedge.quantization.calibrate import Calibration, InputArrays, Observer, calibrate
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.bench import Bench
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.search import search
from myoedge.quantization.search.state import Design, SearchState, TriedMove, Workshop
from myoedge.quantization.stated_widths import LayerRule
from myoedge.targets.gap9.chip import GAP9

CYCLES = layer_cycles(GAP9.cores_alone())
MINMAX = (Observer(),)


def workshop_of(
    graph: Graph,
    samples: InputArrays,
    observers: Sequence[Observer] = MINMAX,
    cycles: Callable[..., float] = CYCLES,
    on_engines: Callable[[QuantGraph], QuantGraph] = lambda network: network,
    rules: Sequence[LayerRule] = (),
) -> Workshop:
    def calibrated(
        graph: Graph, observers: Sequence[Observer], given: InputArrays | None = None
    ) -> list[Calibration]:
        return [calibrate(graph, given or samples, each, "test") for each in observers]

    bench = Bench.of(graph, samples)
    planes = frozenset[str]()
    return Workshop(
        bench, samples, calibrated, observers, cycles, on_engines, lambda network: planes, rules
    )


def started(workshop: Workshop, graph: Graph) -> SearchState:
    """In 8 bits, with ranges by the first observer."""
    return workshop.state(Design(graph, workshop.calibrated(graph, workshop.observers[:1])[0]))


def searched(workshop: Workshop, graph: Graph, goal: Goal) -> tuple[SearchState, list[TriedMove]]:
    start = started(workshop, graph)
    return search(workshop, start, goal, start.network)
