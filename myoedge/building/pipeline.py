# SPDX-License-Identifier: Apache-2.0
"""The arrow from a model file to the files of a build, as the verbs of the API need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from myoedge.building import config as configuration
from myoedge.building.config import Config
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
from myoedge.building.loading import (
    WHOLE,
    ConditioningAndDecoding,
    Model,
    check_work,
    choose_samples,
    has_accelerator,
    is_random,
    load_model,
    on_chip,
)
from myoedge.building.precision import Means, Refined, needs_db, refined, refined_for
from myoedge.building.quantized import Quantized, raise_first
from myoedge.building.weight_choice import is_chosen, with_weights
from myoedge.errors import MyoedgeError
from myoedge.frontend.detect import Kind, sniff
from myoedge.frontend.refusals import EXPORT_LINES, missing
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import one_blas_thread
from myoedge.operators.kernel import AUTO, CORES, EngineChoice
from myoedge.plan.l1.layer_kernels import layer_cycles
from myoedge.quantization import holdout, samples
from myoedge.quantization.calibrate import Calibration, Observer, calibrations
from myoedge.quantization.engines import with_engines, within_sqnr
from myoedge.quantization.few_bits import weight_noise, with_few_bits
from myoedge.quantization.holdout import Split, accuracies
from myoedge.quantization.observers import METHODS_TRIED, best_observer, observers_for
from myoedge.quantization.recordings.sources import is_function
from myoedge.quantization.reuse import with_params_of
from myoedge.quantization.samples import Data, Given
from myoedge.quantization.scales import LayerRule, QuantGraph
from myoedge.quantization.sqnr import Fidelity, measure
from myoedge.quantization.trials import AIM_DB, MARGIN_DB, Choice
from myoedge.quantization.weight_bits import Keeps
from myoedge.quantization.whole_inputs import with_input_types
from myoedge.targets.chip import Chip
from myoedge.targets.gap9.chip import GAP9

MEASURED_SAMPLES = 64  # for SQNR, which runs every layer twice
LARGEST_HOLDOUT = 0.9
ENOUGH_DB = AIM_DB + MARGIN_DB  # without 16 bits
METHODS = ("auto", *METHODS_TRIED)

Progress = Callable[[str], None]
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
    """

    model: StrPath | None = None
    calib: Given | None = None
    factory: str | None = None
    method: str | None = None
    percentile: float | None = None
    samples: int | None = None
    strict: bool = False
    config: StrPath | None = None
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


@contextmanager
def timed(stage: str, times_s: dict[str, float], say: Progress) -> Iterator[None]:
    """Tells that a stage starts, and adds its seconds to `times_s`."""
    say(stage)
    began = time.perf_counter()
    yield
    times_s[stage] = times_s.get(stage, 0.0) + time.perf_counter() - began


def run_quantize(options: Options) -> Quantized:
    """Loads, calibrates, quantises, and measures SQNR layer by layer."""
    settings, base = configuration.find(options.config)
    observers, share = _observers(options, settings), _holdout(options, settings)
    chooses = is_chosen(options.weights, settings, has_limits=options.keeps is not None)
    times_s: dict[str, float] = {}
    with timed("load", times_s, options.say):
        model, given = _loaded(options, settings, base)
    with timed("quantise", times_s, options.say), one_blas_thread():
        rules, parts = layer_rules(model.graph, settings), holdout.split(given, share)
        needs = needs_db(settings.budget.sqnr, model.graph)
        data = samples.thin(parts.calibration, options.samples or settings.calib.samples)
        calibrated = partial(_calibrated, data=data, rules=rules)
        graph = model.graph
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
        warnings = (*renamed(model.graph, given), *flat(model.graph, given), *network.warnings)
    raise_first(options.strict, warnings)
    with timed("measure", times_s, options.say), one_blas_thread():
        choosing = samples.thin(parts.calibration, MEASURED_SAMPLES).inputs
        known = choice.fidelity if data is parts.calibration else None  # the same samples
        network, fidelity = within_sqnr(cores, network, choosing, options.reuse, known)
        judge, cycles = partial(_judged, parts=parts), layer_cycles(_priced(options))
        if options.reuse is None:  # else what the older build chose stays
            floor = weight_noise(cores, choosing)
            means = Means(
                choosing, calibrated, observers, cycles, on_engines, options.fits, rules, floor
            )
            refine = partial(refined_for, Refined(network, fidelity), choice.other, means)
            network, fidelity, choices = refined(judge, refine, needs, accurate=accurate)
        else:
            fidelity, choices = judge(network), ()
        judged = accuracies(network, parts.judged)
    told = (
        network,
        fidelity,
        *judged,
        warnings,
        times_s,
        options.reuse,
        parts,
        choice.worst_db,
        (*bits, *choices),
    )
    quantized = Quantized(model, given, *told)
    weak = (*weak_outputs(network.graph, fidelity), *weak_layers(network, fidelity))
    if accurate:
        weak = (*weak, *less_accurate(fidelity))
    noted = [*weak, *unjudged(network.graph, given, judged)]
    return quantized.warned([*noted, *unlike(network, options.reuse)], options.strict)


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


def _loaded(options: Options, settings: Config, base: Path) -> tuple[Model, Data]:
    """The network and its samples, or why there are none, before anything takes time."""
    path = _model_path(options, settings, base)
    # The factory of myoedge.toml does not apply to a file that holds the network itself.
    is_whole = options.factory is None and options.model is not None and sniff(path) in WHOLE
    factory = None if is_whole else options.factory or settings.model.factory
    calib = options.calib if options.calib is not None else _relative(base, settings.calib.data)
    reading = settings.calib.reading
    ctc = settings.model.ctc if options.ctc is None else options.ctc
    stages = ConditioningAndDecoding(
        settings.conditioning, ctc, settings.model.vote, options.stream
    )
    model = load_model(path, factory, calib, stages, reading)
    check_work(model)
    model = replace(model, graph=on_chip(options.examine(model.graph), options.chip))
    if calib is None or is_random(calib):
        model = replace(model, graph=with_input_types(model.graph))
    data = choose_samples(model, calib, reading)
    return replace(model, graph=with_input_types(model.graph, data.inputs)), data


def _keeps(options: Options, on_engines: Callable[[QuantGraph], QuantGraph]) -> Keeps | None:
    """Options.keeps of a network as accelerators run it."""
    keeps = options.keeps
    return None if keeps is None else lambda network: keeps(on_engines(network))


def _model_path(options: Options, settings: Config, base: Path) -> Path:
    configured = _relative(base, settings.model.path)
    if options.model is None and configured and sniff(Path(configured)) is Kind.MISSING:
        raise missing(Path(configured), f"[model] path of {options.config or configuration.FILE}")
    chosen = options.model if options.model is not None else configured
    if chosen is None:
        tries = [
            "myoedge build model.pt2 --calib calib.npz",
            f"[model] path in {configuration.FILE}",
        ]
        raise MyoedgeError("E202", "no model is named", tries=tries)
    if not isinstance(chosen, str | Path):
        title = f"a model is named by its file, not by a {type(chosen).__name__}"
        raise MyoedgeError("E202", title, tries=[EXPORT_LINES])
    return Path(chosen)


def _relative(base: Path, path: str | None) -> str | None:
    """A path of myoedge.toml, seen from where the file lies; functions are no paths."""
    return path if path in (None, samples.RANDOM) or is_function(path) else str(base / str(path))


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
    return calibrations(graph, data.inputs, chosen, data.source, overrides)
