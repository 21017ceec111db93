# SPDX-License-Identifier: Apache-2.0
"""The arrow from a model file to the files of a build, as the verbs of the API need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

from myoedge.building import config as configuration
from myoedge.building.config import Config, Found, ModelTable
from myoedge.building.fidelity_warnings import (
    flat,
    less_accurate,
    renamed,
    unjudged,
    unlike,
    weak_layers,
    weak_outputs,
)
from myoedge.building.layer_rules import engine_rules, layer_rules
from myoedge.building.loading import Model, has_accelerator
from myoedge.building.model_inputs import ModelInputs, model_inputs
from myoedge.building.precision import Means, Refined, needs_db, refined, refined_for
from myoedge.building.quantized import Quantized, raise_first
from myoedge.building.sample_warnings import doubtful
from myoedge.building.stages import key, reused
from myoedge.building.weight_choice import is_chosen, with_weights
from myoedge.errors import MyoedgeError, Notice
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import one_blas_thread
from myoedge.operators.kernel import AUTO, CORES, EngineChoice
from myoedge.plan.l1.layer_kernels import layer_cycles
from myoedge.quantization import holdout, samples
from myoedge.quantization.accuracy import JudgedClasses
from myoedge.quantization.calibrate import Calibration, Observer, calibrations
from myoedge.quantization.engines import with_engines, within_sqnr
from myoedge.quantization.few_bits import weight_noise, with_few_bits
from myoedge.quantization.float_runs import float_runs_kept
from myoedge.quantization.holdout import Split, labelled_classes
from myoedge.quantization.noise_sources import with_sources
from myoedge.quantization.observers import METHODS_TRIED, best_observer, observers_for
from myoedge.quantization.reuse import with_params_of
from myoedge.quantization.samples import Data, Given
from myoedge.quantization.scales import LayerRule, QuantGraph
from myoedge.quantization.sqnr import Fidelity, measure
from myoedge.quantization.trials import AIM_DB, MARGIN_DB, Choice
from myoedge.quantization.weight_bits import Keeps
from myoedge.system.regular_files import MAX_UNPACKED_BYTES
from myoedge.targets.chip import Chip
from myoedge.targets.gap9.chip import GAP9

MEASURED_SAMPLES = 64  # for SQNR, which runs every layer twice
LARGEST_HOLDOUT = 0.9
ENOUGH_DB = AIM_DB + MARGIN_DB  # without 16 bits
METHODS = ("auto", *METHODS_TRIED)

Progress = Callable[[str], None]
_NO_VALUES = ("model", "calib", "factory", "config", "examine", "fits", "keeps", "say", "ctc")
StrPath = str | Path


@dataclass(frozen=True)
class Options:
    """Options of loading and quantising; None leaves the value to myoedge.toml.

    model       file                calib    files, arrays, a function, or "random"
    factory     "pkg.mod:make_model", for checkpoints
    method      "minmax", "percentile" or "mse": how ranges follow from what was seen; "auto": the
                one with which the worst output keeps most
    samples     at most so many calibration samples, evenly spread
    holdout     share of the samples, 0 .. 0.9, that SQNR and accuracy are told of, and that choose
                nothing; of fewer than 20 samples all do both
    strict      warnings become errors
    fits        whether the memories have room for a network: 16 bits must not take it
    examine     is shown the network when it is loaded, before the long part: gives what of it is
                built, or refuses it
    say         is told every stage as it starts
    ctc         class that is the blank: symbols by greedy CTC take the place of the output
    reuse       network of an older build, whose choices unchanged layers keep
    stream      whether frames are pushed: what is decoded comes frame by frame
    engine      of layers that [engine] does not name: "auto", "cores", or an accelerator
    chip        whose accelerators layers may run on: these are quantised as one of them computes
    accurate    aims at 30 dB at every output instead of 25, whatever cycles 16 bits take
    weights     "auto": as few bits of weights as [budget] allows, layer by layer
    keeps       whether a network keeps to [budget] l2 and energy; None where neither is given
    decided_by  all that fits, keeps and examine follow from; None: no result is kept
    max_bytes   that samples, or a compressed checkpoint, may take unpacked
    """

    model: StrPath | None = None
    calib: Given | None = None
    factory: str | None = None
    method: str | None = None
    percentile: float | None = None
    samples: int | None = None
    strict: bool = False
    config: StrPath | Found | None = None
    examine: Callable[[Graph], Graph] = field(default=lambda graph: graph)
    fits: Callable[[QuantGraph], bool] = field(default=lambda network: True)
    say: Progress = field(default=lambda stage: None)
    ctc: int | None = None
    reuse: QuantGraph | None = None
    stream: bool = False
    engine: str = AUTO
    chip: Chip | None = None
    holdout: float | None = None
    accurate: bool = False
    weights: str | None = None
    keeps: Keeps | None = None
    decided_by: object = None
    max_bytes: int = MAX_UNPACKED_BYTES


@dataclass(frozen=True)
class Integers:
    """The part of Quantized that takes long."""

    network: QuantGraph
    fidelity: Fidelity
    classes: JudgedClasses | None
    warnings: tuple[Notice, ...]
    observers_db: Mapping[str, float]
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Quantizing:
    """A network that is to be quantised, its samples in two parts, and the seconds by stage."""

    model: Model
    data: Data
    parts: Split
    times_s: dict[str, float]


@contextmanager
def timed(stage: str, times_s: dict[str, float], say: Progress) -> Iterator[None]:
    """Tells that a stage starts, and adds its seconds to `times_s`."""
    say(stage)
    began = time.perf_counter()
    yield
    times_s[stage] = times_s.get(stage, 0.0) + time.perf_counter() - began


def checked_inputs(options: Options) -> ModelInputs:
    """Model file and samples, once all other options are known to be right."""
    settings, base = configuration.find(options.config)
    _observers(options, settings)
    _holdout(options, settings)
    return model_inputs(options, settings, base)


def stage_key(stage: str, options: Options, inputs: ModelInputs, *more: object) -> str | None:
    """Key of a result that follows from the options, model file and samples, and from more.

    None: results are not kept.
    """
    if options.decided_by is None or inputs.key is None:
        return None
    settings, _ = configuration.find(options.config)
    calib = replace(settings.calib, data=None)  # samples stand for their path
    budget = replace(settings.budget, latency=None)  # decides about no integer
    settings = replace(settings, calib=calib, budget=budget, model=ModelTable())
    values = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in _NO_VALUES}
    return key(stage, inputs.key, settings, values, *more)


def run_quantize(options: Options, inputs: ModelInputs | None = None) -> Quantized:
    """Loads, calibrates, quantises, and measures SQNR layer by layer.

    inputs   from checked_inputs, where they are known
    """
    inputs = checked_inputs(options) if inputs is None else inputs
    settings, _ = configuration.find(options.config)
    times_s: dict[str, float] = {}
    with timed("load", times_s, options.say):
        model, given = inputs.prepared(options)
    parts = holdout.split(given, _holdout(options, settings))
    compute = partial(_integers, options, settings, Quantizing(model, given, parts, times_s))
    stage = ("quantise", stage_key("quantise", options, inputs), compute, options.say)
    found = reused(*stage, kind=Integers)
    network, fidelity = found.network, found.fidelity
    judged: tuple[float | None, float | None] = (None, None)
    if found.classes is not None:
        judged = found.classes.accuracies
    told = (network, fidelity, *judged, found.warnings, times_s, options.reuse, parts)
    accurate = options.accurate or settings.calib.accurate
    more = (found.observers_db, found.choices, accurate, found.classes)
    quantized = Quantized(model, given, *told, *more)
    outputs = weak_outputs(network.graph, fidelity, accurate=accurate)
    weak = (*outputs, *weak_layers(network, fidelity))
    if accurate:
        weak = (*weak, *less_accurate(fidelity, tried=bool(found.choices)))
    noted = [*weak, *unjudged(network.graph, given, judged)]
    return quantized.warned([*noted, *unlike(network, options.reuse)], options.strict)


@float_runs_kept()
def _integers(options: Options, settings: Config, given: Quantizing) -> Integers:
    """The stages quantise and measure."""
    model, parts, times_s = given.model, given.parts, given.times_s
    graph = model.graph
    observers = _observers(options, settings)
    chooses = is_chosen(options.weights, settings, has_limits=options.keeps is not None)
    with timed("quantise", times_s, options.say), one_blas_thread():
        rules, needs = (
            layer_rules(model.graph, settings),
            needs_db(settings.budget.sqnr, model.graph),
        )
        data = samples.thin(parts.calibration, options.samples or settings.calib.samples)
        calibrated = partial(_calibrated, data=data, rules=rules)
        if options.reuse is not None:
            graph = with_params_of(graph, options.reuse, rules)
        graph = with_few_bits(graph, data.inputs, rules)
        usual = EngineChoice(options.engine, f"--engine {options.engine}")
        engines = engine_rules(model.graph, settings, options.chip, usual)
        on_engines = partial(with_engines, engines=engines, rules=rules, older=options.reuse)
        choice = best_observer(graph, calibrated(graph, observers), data.inputs, rules, ENOUGH_DB)
        accurate, bits = options.accurate or settings.calib.accurate, tuple[Choice, ...]()
        if chooses and options.reuse is None:
            choice, bits = with_weights(
                *(choice, data.inputs, rules, needs, _keeps(options, on_engines)),
                accurate=accurate,
                planes=has_accelerator(options.chip) and options.engine != CORES,
            )
        cores = choice.network
        network = on_engines(cores)
        seen = (*renamed(model.graph, given.data), *flat(model.graph, given.data))
        warnings = (*seen, *network.warnings, *doubtful(model, given.data))
    raise_first(options.strict, warnings)
    with timed("measure", times_s, options.say), one_blas_thread():
        choosing = samples.thin(parts.calibration, MEASURED_SAMPLES).inputs
        known = choice.fidelity if data is parts.calibration else None  # the same samples
        network, fidelity = within_sqnr(cores, network, choosing, options.reuse, known)
        judge, cycles = partial(_judged, parts=parts), layer_cycles(_priced(options))
        choices: tuple[Choice, ...] = ()
        if options.reuse is None:  # else what the older build chose stays
            floor = weight_noise(cores, choosing)
            means = Means(
                choosing, calibrated, observers, cycles, on_engines, options.fits, rules, floor
            )
            refine = partial(refined_for, Refined(network, fidelity), choice.other, means)
            network, fidelity, choices = refined(judge, refine, needs, accurate=accurate)
        else:
            fidelity = judge(network)
        fidelity = with_sources(network, fidelity, parts.judged.inputs)
        classes = labelled_classes(network, parts.judged)
    return Integers(network, fidelity, classes, warnings, choice.worst_db, (*bits, *choices))


def _judged(network: QuantGraph, parts: Split) -> Fidelity:
    """SQNR for the samples that chose nothing, where there are some."""
    judged = samples.thin(parts.judged, MEASURED_SAMPLES)
    return measure(network, judged.inputs).of_samples(judged.numbers)


def _priced(options: Options) -> Chip:
    """The chip whose cycles 16 bits are judged by: GAP9 where none is named, or it counts none."""
    chip = options.chip
    if chip is None or not chip.l1_bytes:
        return GAP9.cores_alone()
    return chip.cores_alone() if options.engine == CORES else chip


def _keeps(options: Options, on_engines: Callable[[QuantGraph], QuantGraph]) -> Keeps | None:
    """Options.keeps of a network as accelerators run it."""
    keeps = options.keeps
    return None if keeps is None else lambda network: keeps(on_engines(network))


def _observers(options: Options, settings: Config) -> list[Observer]:
    """The observers to choose from: one where it is named, or an older build has one."""
    method = options.method or settings.calib.method
    percentile = settings.calib.percentile if options.percentile is None else options.percentile
    if method not in METHODS:
        raise MyoedgeError("E203", f"there is no method {method!r}", {"has": ", ".join(METHODS)})
    if options.percentile is not None and method != "percentile":
        has, tries = {"needs": "percentile", "has": method}, ["--method percentile"]
        raise MyoedgeError("E203", "a percentile needs its method", has, tries)
    if not 50.0 < percentile <= 100.0:
        facts = {"needs": "more than 50, at most 100", "has": percentile}
        raise MyoedgeError("E203", "the percentile is out of range", facts)
    if options.samples is not None and options.samples < 1:
        raise MyoedgeError("E203", "at least one sample is needed", {"has": options.samples})
    if method != AUTO:
        return [Observer(method, percentile)]
    if options.reuse is not None:
        return [options.reuse.calibration.observer]
    return [Observer(tried, percentile) for tried in METHODS_TRIED]


def _holdout(options: Options, settings: Config) -> float:
    share = settings.calib.holdout if options.holdout is None else options.holdout
    if not 0.0 <= share <= LARGEST_HOLDOUT:
        facts = {"needs": f"0 to {LARGEST_HOLDOUT}", "has": share}
        title = "the share of samples that are held out is out of range"
        raise MyoedgeError("E203", title, facts, ["--holdout 0.2", "--holdout 0: none"])
    return share


def _calibrated(
    graph: Graph, observers: Sequence[Observer], data: Data, rules: Sequence[LayerRule]
) -> list[Calibration]:
    overrides = {
        node.name: rule.observer
        for rule in rules
        for node in graph.nodes
        if rule.observer is not None and rule.matches(node)
    }
    chosen = observers_for(graph, observers)
    compute = partial(calibrations, graph, data.inputs, chosen, data.source, overrides)
    parts = (graph, data.inputs, tuple(chosen), data.source, overrides)
    return reused("calibrate", key("calibrate", *parts), compute)
