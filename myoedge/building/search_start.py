# SPDX-License-Identifier: Apache-2.0
"""The stage "quantise": ranges, engines and weight bits with which the precision search starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from myoedge.building.config_tables import Config
from myoedge.building.layer_rules import engine_integers, layer_rules
from myoedge.building.loading import Model
from myoedge.building.pipeline_options import Chosen, Options, observers_of
from myoedge.building.precision import needs_db, usual_goal
from myoedge.building.quantized import Known, raise_first
from myoedge.building.stages import key, reused
from myoedge.building.stream_rate import axes_of_windows, frame_axes
from myoedge.building.warning_rules import warned
from myoedge.building.weight_choice import is_chosen, with_weights
from myoedge.graph.ir import Graph
from myoedge.operators.engine_choice import CORES
from myoedge.operators.interpreter import one_blas_thread
from myoedge.plan.l1.layer_kernels import layer_cycles
from myoedge.quantization.calibrate import Calibration, InputArrays, Observer, calibrations
from myoedge.quantization.cell_steps import with_cell_steps
from myoedge.quantization.engines import on_accelerators
from myoedge.quantization.few_bits import with_few_bits
from myoedge.quantization.holdout import Samples
from myoedge.quantization.reuse import inherit_params
from myoedge.quantization.samples import Data
from myoedge.quantization.search.bench import Bench
from myoedge.quantization.search.moves.layers import observers_for
from myoedge.quantization.search.state import Design, TriedMove, Workshop
from myoedge.quantization.stated_widths import LayerRule
from myoedge.system.progress import purpose
from myoedge.targets import DEFAULT
from myoedge.targets.chip import Chip


@one_blas_thread()
def search_start(options: Options, settings: Config, model: Model, samples: Samples) -> Chosen:
    """Choose ranges, engines and, if requested, low-bit weights; return the search's start."""
    graph = model.graph
    chooses = is_chosen(options.weights, settings.budget, has_limits=options.keeps is not None)
    rules, needs = layer_rules(graph, settings), needs_db(settings.budget.sqnr, graph)
    inputs, choose = samples.calibrate.inputs, samples.choose.inputs
    axes = axes_of_windows(graph, settings.stream) if options.stream else {}
    if any(node.op == "gates" for node in graph.nodes):
        with purpose("cell states"):
            graph = with_cell_steps(graph, inputs, options.reuse)
    if options.reuse is not None:
        graph = inherit_params(graph, options.reuse, rules, choose, axes)
    if rules:
        with purpose("rounding of weights"):
            graph = with_few_bits(graph, inputs, rules)
    on_engines = engine_integers(model.graph, settings, options.chip, options.engine, options.reuse)
    workshop = Workshop(
        bench=Bench.of(graph, choose),
        samples=choose,
        calibrated=partial(_calibrate_observers, data=samples.calibrate, rules=rules),
        observers=observers_for(graph, observers_of(options)),
        cycles=layer_cycles(_chip_for_cycle_cost(options)),
        on_engines=on_engines,
        planes=partial(on_accelerators, engines=on_engines.engines),
        rules=rules,
        time_axes=axes,
        digest=graph.digest,
    )
    design = Design(graph, workshop.calibrated(graph, workshop.observers[:1])[0])
    network = workshop.make(design)
    goal = usual_goal(graph, needs, accurate=options.accurate)
    tried: tuple[TriedMove, ...] = ()
    if chooses and options.reuse is None:
        keeps, of_weights = options.keeps, replace(goal, outputs_db={**goal.outputs_db, **needs})
        stops = None if keeps is None else lambda most: keeps
        network, tried = with_weights(workshop, network, of_weights, stops)
    frames = frame_axes(model.graph, settings.stream) if options.stream else {}
    known = Known(
        model=model,
        data=samples.given,
        time_axes=[*frames.values()],
        network=network.cores,
        rules=rules,
    )
    warnings = warned(known, "arrays", "model file", "samples")
    raise_first(options.strict, warnings)
    return Chosen(network, workshop, tried, goal, needs, warnings)


def _chip_for_cycle_cost(options: Options) -> Chip:
    """Return the chip for estimating the cycle cost of 16 bits: the target, or the default
    one if the target has no cycle model."""
    chip = options.chip
    if chip is None or not chip.l1_bytes:
        return DEFAULT.cores_alone()
    return chip.cores_alone() if options.engine == CORES else chip


def _calibrate_observers(
    graph: Graph,
    observers: Sequence[Observer],
    given: InputArrays | None = None,
    *,
    data: Data,
    rules: Sequence[LayerRule],
) -> list[Calibration]:
    """Calibrate with each observer, on `given` samples or on all of `data`."""
    inputs = data.inputs if given is None else given
    overrides = {
        node.name: rule.observer
        for rule in rules
        for node in graph.nodes
        if rule.observer is not None and rule.matches(node)
    }
    chosen = observers_for(graph, observers)
    compute = partial(calibrations, graph, inputs, chosen, data.source, overrides)
    parts = (graph, inputs, tuple(chosen), data.source, overrides)
    with purpose("ranges of values"):
        return reused("calibrate", key("calibrate", *parts), compute)
