# SPDX-License-Identifier: Apache-2.0
"""Moves that change the integers of single layers, no pre-shift for accelerators, 12-bit
exponentials; ranges of another observer, or output ranges limited to the samples' extremes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import ceil_div
from myoedge.operators.attention.operands import FINE_BITS, is_fine
from myoedge.operators.attention.wide import is_wide
from myoedge.quantization.calibrate import InputArrays, Observer
from myoedge.quantization.engines import free_layers
from myoedge.quantization.formats import all_stated
from myoedge.quantization.known_ranges import bounded_results
from myoedge.quantization.search.moves.int16 import wider_tensors
from myoedge.quantization.search.state import Design, Proposal, Proposals, Search, SearchState


def cores_integers(search: Search, state: SearchState) -> Proposals:
    """Propose integers with a pre-shift, which only the cores support, for the half of the
    accelerator's layers that gains least, then for all.

    The noise per layer hardly differs (0.01 dB); the noise at the outputs may differ by chance.
    """
    network = state.network
    free = [step.node.name for step in free_layers(network.cores, network.engined)]
    if not free:
        return
    cores = search.workshop.make(
        replace(state.design, on_cores=state.design.on_cores | {*free}), network
    )
    cycles, others = network.cycles_of_layers, cores.cycles_of_layers
    free.sort(key=lambda name: others[name] - cycles[name])
    for count in dict.fromkeys((ceil_div(len(free), 2), len(free))):
        on_cores = state.design.on_cores | {*free[:count]}
        yield Proposal("the cores' integers", replace(state.design, on_cores=on_cores))


def finer_exponentials(search: Search, state: SearchState) -> Proposals:
    """Propose 12-bit exponentials for attention layers with int8 operands, whose noise does not
    come from the rounding of tensors."""
    steps = [step for step in state.network.engined.steps if step.node.op == "attention"]
    of_bytes = {step.node.name for step in steps if not (is_wide(step) or is_fine(step))}
    finer = with_exp_bits(state.design.graph, of_bytes)
    if finer is not state.design.graph:
        yield Proposal("exponentials of 12 bits", replace(state.design, graph=finer))


def fine_attentions(graph: Graph) -> frozenset[str]:
    """Return the names of attention layers set to 12-bit exponentials and int8 operands."""
    return frozenset(n.name for n in graph.nodes if n.attrs.get("exp_bits") == FINE_BITS)


def with_exp_bits(graph: Graph, names: Collection[str]) -> Graph:
    """Return the graph with 12-bit exponentials in the attention layers `names`; the graph itself
    if all have them."""

    def finer(node: Node) -> Node:
        is_one = node.op == "attention" and node.name in names
        return node.but(attrs={**node.attrs, "exp_bits": FINE_BITS}) if is_one else node

    # The graph with changed nodes; the graph itself if none changes
    nodes = tuple(map(finer, graph.nodes))
    return graph if nodes == graph.nodes else replace(graph, nodes=nodes)


# --- ranges ---------------------------------------------------------------------------------------


METHODS_TRIED = ("minmax", "percentile", "mse")  # the first one is kept if no other is better
METHOD_NAMES = {"minmax": "min-max", "percentile": "percentile", "mse": "least squares"}
NEAR_DB = 6.0  # missing dB per measured tensor; other ranges gain no more


def observers_for(graph: Graph, observers: Sequence[Observer]) -> list[Observer]:
    """Return the observers that calibration may choose from; only "file" if the model file gives
    all scales."""
    if all_stated(graph):
        return [Observer("file")]
    return [Observer() if observer.method == "file" else observer for observer in observers]


def other_ranges(search: Search, state: SearchState) -> Proposals:
    """Propose the ranges of other observers if they may add enough SQNR for the goal."""
    if search.missing_db(state) <= NEAR_DB * len(search.limits):
        yield from _propose_observers(search, state)


def last_ranges(search: Search, state: SearchState) -> Proposals:
    """Propose output ranges limited to the samples' extremes, with more int16 tensors; then the
    ranges of other observers, at any SQNR."""
    observer = state.design.calibration.observer
    if observer.full_outputs and any(bounded_results(state.design.graph)):
        narrow = yield _propose_ranges(search, state, replace(observer, full_outputs=False))
        if narrow.design.int16:
            narrow = search.workshop.state(replace(narrow.design, int16=()))
        yield from wider_tensors(search, narrow)
    yield from _propose_observers(search, state)


def _propose_observers(search: Search, state: SearchState) -> Proposals:
    design = state.design
    if design.graph.has_fake_quantized:
        return
    for observer in observers_for(design.graph, search.workshop.observers):
        if observer.method != design.calibration.observer.method:
            full = design.calibration.observer.full_outputs
            yield _propose_ranges(search, state, replace(observer, full_outputs=full))


def _propose_ranges(search: Search, state: SearchState, observer: Observer) -> Proposal:
    workshop, design = search.workshop, state.design

    def fit(samples: InputArrays | None) -> Design:
        (calibration,) = workshop.calibrated(design.graph, [observer], samples)
        return replace(design, calibration=calibration)

    name = f"ranges by {METHOD_NAMES[observer.method]}"
    if not observer.full_outputs:
        name += ", outputs limited to the samples"
    return Proposal(name, fit(None), None if observer.method == METHODS_TRIED[0] else fit)
