# SPDX-License-Identifier: Apache-2.0
"""Moves: ranges of another observer, or output ranges limited to the samples' extremes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from myoedge.graph.ir import Graph
from myoedge.quantization.calibrate import InputArrays, Observer
from myoedge.quantization.formats import all_stated
from myoedge.quantization.output_ranges import bounded_results
from myoedge.quantization.search.moves.int16 import wider_tensors
from myoedge.quantization.search.state import Design, Proposal, Proposals, Search, SearchState

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
