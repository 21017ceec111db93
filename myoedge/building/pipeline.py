# SPDX-License-Identifier: Apache-2.0
"""The pipeline from a model file to a quantised network with its SQNR."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial

from myoedge.building import config as configuration
from myoedge.building.config_tables import Config, ModelTable, TestTable
from myoedge.building.layer_rules import engine_integers, layer_rules
from myoedge.building.model_inputs import ModelInputs, model_inputs
from myoedge.building.options import with_settings
from myoedge.building.pipeline_options import (
    Chosen,
    Integers,
    Options,
    Quantizing,
    holdout_share,
    observers_of,
    timed,
)
from myoedge.building.precision import Reached, needs_db, reach, usual_goal
from myoedge.building.quantized import Known, Quantized, raise_first
from myoedge.building.sample_statistics import described
from myoedge.building.stages import key, reused
from myoedge.building.stream_rate import axes_of_windows, frame_axes
from myoedge.building.warning_rules import are_of_scale, warned
from myoedge.building.weight_choice import is_chosen, with_weights
from myoedge.errors import Notice
from myoedge.graph.ir import Graph
from myoedge.operators.engine_choice import CORES
from myoedge.operators.interpreter import one_blas_thread
from myoedge.plan.l1.layer_kernels import layer_cycles
from myoedge.quantization import holdout, samples
from myoedge.quantization.calibrate import Calibration, Observer, Samples, calibrations
from myoedge.quantization.cell_steps import with_cell_steps
from myoedge.quantization.engines import on_accelerators
from myoedge.quantization.evaluation import Evaluation, evaluated
from myoedge.quantization.few_bits import weight_noise, with_few_bits
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.float_runs import float_run_cache
from myoedge.quantization.holdout import Split
from myoedge.quantization.layer_rules import LayerRule
from myoedge.quantization.left_ranges import beyond_ranges
from myoedge.quantization.noise_sources import with_sources
from myoedge.quantization.reuse import inherit_params
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.bench import Bench
from myoedge.quantization.search.moves.inner import with_inner_tensors
from myoedge.quantization.search.moves.observer import observers_for
from myoedge.quantization.search.moves.weight_bits import Keeps
from myoedge.quantization.search.state import Design, TriedMove, Workshop
from myoedge.quantization.sqnr import measure
from myoedge.quantization.stated_widths import kept_of_file
from myoedge.system.progress import purpose
from myoedge.targets.chip import Chip
from myoedge.targets.gap9.chip import GAP9

MEASURED_SAMPLES = 64  # for SQNR, which runs every layer twice
_FROM_FILES = ("model", "calib", "test", "factory", "config")  # files, whose content counts
_NO_VALUES = (*_FROM_FILES, "examine", "planned_cycles", "keeps", "say", "progress", "ctc")


def checked_inputs(options: Options) -> tuple[Options, ModelInputs]:
    """Check the options together with myoedge.toml, then read the model file and the samples."""
    found = configuration.find(options.config)
    options = with_settings(options, found.settings)
    observers_of(options)
    holdout_share(options)
    return options, model_inputs(options, found)


def stage_key(stage: str, options: Options, inputs: ModelInputs, *more: object) -> str | None:
    """Return the cache key of a stage's result for these options, model file, samples and `more`;
    None: no caching."""
    if options.decided_by is None or inputs.key is None:
        return None
    settings = configuration.find(options.config).settings
    calib = replace(settings.calib, data=None)  # replaced by the samples themselves
    budget = replace(settings.budget, latency=None)  # affects no integer
    settings = replace(settings, calib=calib, test=TestTable(), budget=budget, model=ModelTable())
    values = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in _NO_VALUES}
    return key(stage, inputs.key, settings, values, *more)


def run_quantize(options: Options, inputs: ModelInputs | None = None) -> Quantized:
    """Load, calibrate and quantise a network, and measure its SQNR layer by layer.

    options, inputs   from checked_inputs; inputs None: check the options here
    """
    if inputs is None:
        options, inputs = checked_inputs(options)
    settings = configuration.find(options.config).settings
    times_s: dict[str, float] = {}
    with timed("load", times_s, options.say):
        model, given = inputs.prepared(options)
        test = inputs.test_set(model, given)
    parts = holdout.split(given, holdout_share(options), test)
    compute = partial(_integers, options, settings, Quantizing(model, given, parts, times_s))
    chosen_by = stage_key("quantise", options, inputs)
    found = reused("quantise", chosen_by, compute, options.say, kind=Integers)
    network, fidelity = found.network, found.fidelity
    evaluation = _evaluation(options, network, parts, times_s, chosen_by)
    if evaluation is not None and not evaluation.has_classes:
        fidelity = fidelity.without_classes(network.graph)
    told = (network, fidelity, found.warnings, times_s, options.reuse, parts)
    more = (found.observers_db, found.choices, options.accurate, evaluation)
    quantized = Quantized(model, given, *told, *more)
    return quantized.warned([*_warnings(quantized, test, found.warnings)], options.strict)


def _warnings(quantized: Quantized, test: Data | None, told: Sequence[Notice]) -> Iterator[Notice]:
    """Yield warnings about the finished network, and about the test set.

    told   warnings of earlier stages
    """
    known = Known(
        model=quantized.model,
        data=quantized.data,
        network=quantized.network,
        fidelity=quantized.fidelity,
        evaluation=quantized.evaluation,
        older=quantized.older,
        tried=bool(quantized.choices),
        accurate=quantized.accurate,
    )
    yield from warned(known, "results")
    yield from warned(replace(known, data=test or quantized.data), "labels")
    if test is not None:
        judged, calibration = _measured(test), described(quantized.model, quantized.data)
        of_test = replace(known, data=test, judged=judged, role=holdout.TEST, is_test=True)
        others = warned(replace(of_test, described=calibration), "other samples")
        left = warned(of_test, "test set")
        codes = {warning.code for warning in told}  # W207: of both files, once
        yield from (warning for warning in others if warning.code not in codes)
        yield from left
        known = replace(known, is_scaled=are_of_scale((*others, *left)))
    yield from warned(known, "decisions", "older build")


def _evaluation(
    options: Options,
    network: QuantGraph,
    parts: Split,
    times_s: dict[str, float],
    chosen_by: str | None,
) -> Evaluation | None:
    """Evaluate the network on labelled samples, cached; None without labels.

    chosen_by   cache key of the network's integers; None: do not cache
    """
    role, data = parts.labelled
    if data.labels is None:
        return None
    about = (role, data.source, data.class_names, data.labels, data.inputs)
    kept_as = None if chosen_by is None else key("evaluate", chosen_by, about)
    with timed("evaluate", times_s, options.say), one_blas_thread():
        return reused("evaluate", kept_as, partial(evaluated, network, data, role))


@float_run_cache()
def _integers(options: Options, settings: Config, given: Quantizing) -> Integers:
    """Run the stages "quantise" and "measure"; return the quantised network with its SQNR."""
    with timed("quantise", given.times_s, options.say), one_blas_thread():
        chosen = _chosen(options, settings, given)
    raise_first(options.strict, chosen.warnings)
    with timed("measure", given.times_s, options.say), one_blas_thread():
        found, observers_db = _reached(options, settings, given.parts, chosen)
        network = found.network
        with purpose("sources of noise"):
            fidelity = with_sources(network, found.fidelity, given.parts.judged.inputs)
        judged, calibration = _measured(given.parts.held_out), given.parts.calibration
        about = Known(network=network, fidelity=fidelity, data=calibration, judged=judged)
        told = warned(replace(about, role=holdout.HELD_OUT), "ranges")
    warnings = (*network.warnings, *told)
    raise_first(options.strict, warnings)
    tried = (*chosen.tried, *found.tried)
    return Integers(network, fidelity, (*chosen.warnings, *warnings), observers_db, tried)


def _measured(data: Data | None) -> Samples | None:
    """Return the samples for measuring SQNR, at most MEASURED_SAMPLES; None without data."""
    return None if data is None else samples.thin(data, MEASURED_SAMPLES).inputs


def _chosen(options: Options, settings: Config, given: Quantizing) -> Chosen:
    """Choose ranges, engines and, if requested, low-bit weights; return the search's start."""
    model, graph = given.model, given.model.graph
    chooses = is_chosen(options.weights, settings.budget, has_limits=options.keeps is not None)
    rules, needs = layer_rules(graph, settings), needs_db(settings.budget.sqnr, graph)
    data = samples.thin(given.parts.calibration, options.samples or 1)
    choosing = samples.thin(given.parts.calibration, MEASURED_SAMPLES)
    axes = axes_of_windows(graph, settings.stream) if options.stream else {}
    with purpose("cell states"):
        graph = with_cell_steps(graph, data.inputs, options.reuse)
    if options.reuse is not None:
        graph = inherit_params(graph, options.reuse, rules, choosing.inputs, axes)
    with purpose("rounding of weights"):
        graph = with_few_bits(graph, data.inputs, rules)
    on_engines = engine_integers(model.graph, settings, options.chip, options.engine, options.reuse)
    workshop = Workshop(
        bench=Bench.of(graph, choosing.inputs),
        samples=choosing.inputs,
        calibrated=partial(_calibrated, data=data, rules=rules),
        observers=observers_for(graph, observers_of(options)),
        cycles=layer_cycles(_priced(options)),
        on_engines=on_engines,
        rules=rules,
        time_axes=axes,
        digest=graph.digest,
    )
    design = Design(graph, workshop.calibrated(graph, workshop.observers[:1])[0])
    network = workshop.make(design)
    goal = usual_goal(graph, needs, accurate=options.accurate)
    tried: tuple[TriedMove, ...] = ()
    if chooses and options.reuse is None:
        planes = on_accelerators(network.engined, on_engines.engines)
        keeps = _keeps(options, on_engines)
        network, tried = with_weights(workshop, network, goal, keeps, planes)
    stays = kept_of_file(model.graph, network.cores.steps, rules)
    frames = frame_axes(model.graph, settings.stream) if options.stream else {}
    known = Known(model=model, data=given.data, time_axes=[*frames.values()])
    warnings = (*warned(known, "arrays"), *stays, *warned(known, "samples"))
    return Chosen(network, workshop, tried, goal, needs, warnings)


def _reached(
    options: Options, settings: Config, parts: Split, chosen: Chosen
) -> tuple[Reached, Mapping[str, float]]:
    """Return the result of the precision search, and observer -> SQNR of the worst output in dB if
    there are several observers."""
    workshop, judge = chosen.workshop, partial(_judged, parts=parts)
    if options.reuse is not None:  # keep the older build's choices
        network = chosen.network.engined
        return Reached(network, judge(network)), {}
    start = workshop.measured(chosen.network)
    goal = replace(
        chosen.goal,
        floor=weight_noise(start.network.cores, workshop.bench.samples),
        planned_cycles=_planned_cycles(options, chosen, start.network.engined),
    )
    observers_db = {x.method: start.measured.worst_db for x in workshop.observers[:1]}
    start, wider = with_inner_tensors(workshop, start, goal)
    found = reach(workshop, start, goal, chosen.needs, judge)
    found = replace(found, tried=(*wider, *found.tried))
    if found.design is not None and not found.design.graph.has_fake_quantized:
        others = beyond_ranges(workshop, found.design)
        found = replace(found, fidelity=found.fidelity.within(others))
    return found, observers_db if len(workshop.observers) > 1 else {}


def _planned_cycles(
    options: Options, chosen: Chosen, network: QuantGraph
) -> Callable[[QuantGraph], float] | None:
    """Return the function network -> planned cycles.

    If weight bits were chosen for L2 or energy, it returns infinity for networks that exceed this
    budget.
    """
    keeps, cycles = options.keeps, options.planned_cycles
    if keeps is None or cycles is None or not chosen.tried or not keeps(network):
        return cycles
    return lambda network: cycles(network) if keeps(network) else math.inf


def _judged(network: QuantGraph, parts: Split) -> Fidelity:
    """Measure SQNR on the held-out samples, or on the calibration samples if none are held out."""
    judged = samples.thin(parts.judged, MEASURED_SAMPLES)
    with purpose("SQNR of every layer"):
        return measure(network, judged.inputs).of_samples(judged.numbers)


def _priced(options: Options) -> Chip:
    """Return the chip for estimating the cycle cost of 16 bits: the target, or GAP9 if the target
    has no cycle model."""
    chip = options.chip
    if chip is None or not chip.l1_bytes:
        return GAP9.cores_alone()
    return chip.cores_alone() if options.engine == CORES else chip


def _keeps(options: Options, on_engines: Callable[[QuantGraph], QuantGraph]) -> Keeps | None:
    """Return Options.keeps as a function of networks without engines; None if it is not set."""
    keeps = options.keeps
    return keeps and (lambda network: keeps(on_engines(network)))


def _calibrated(
    graph: Graph,
    observers: Sequence[Observer],
    given: Samples | None = None,
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
