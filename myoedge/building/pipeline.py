# SPDX-License-Identifier: Apache-2.0
"""The arrow from a model file to the files of a build, as the verbs of the API need it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from myoedge.building import config as configuration
from myoedge.building.config import Config
from myoedge.building.layer_rules import engine_rules, layer_rules
from myoedge.building.loading import (
    WHOLE,
    ConditioningAndDecoding,
    Model,
    check_work,
    is_random,
    load_model,
)
from myoedge.errors import MyoedgeError, Notice, notice, raised
from myoedge.frontend.detect import sniff
from myoedge.frontend.refusals import EXPORT_LINES
from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import one_blas_thread
from myoedge.operators.kernel import AUTO, EngineChoice
from myoedge.operators.layer_names import located
from myoedge.quantization import samples
from myoedge.quantization.calibrate import (
    Calibration,
    Observer,
    Samples,
    calibrate,
    constant_inputs,
)
from myoedge.quantization.engines import with_engines, within_sqnr
from myoedge.quantization.mixed_precision import AIM_DB, refine_precision
from myoedge.quantization.reuse import shares_weights, with_params_of
from myoedge.quantization.samples import Data, Given
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_graph
from myoedge.quantization.sqnr import Fidelity, accuracy, judges, measure
from myoedge.targets.chip import Chip

MEASURED_SAMPLES = 64  # for SQNR, which runs every layer twice
JUDGED_SAMPLES = 1024  # for accuracy, where there are labels
WEAK_LAYER_DB = 12.0  # of one layer alone; usual layers have 30 to 45
WEAK_OUTPUT_DB = 20.0  # noise is 1 % of the signal's power
UNUSED = 4.0  # times what a maximum gives: what it reads has as much, which is a mask's fill
METHODS = ("minmax", "percentile", "mse")

Progress = Callable[[str], None]
StrPath = str | Path


@dataclass(frozen=True)
class Options:
    """Options of loading and quantising; None leaves the value to myoedge.toml.

    model       file                calib    npz or npy file, arrays, or "random"
    factory     "pkg.mod:make_model", for checkpoints
    method      "minmax", "percentile" or "mse": how ranges follow from what was seen
    samples     at most so many calibration samples, evenly spread
    strict      warnings become errors
    examine     is shown the network when it is loaded, before the long part: gives what of it is
                built, or refuses it
    say         is told every stage as it starts
    ctc         class that is the blank: symbols by greedy CTC take the place of the output
    reuse       network of an older build, whose choices unchanged layers keep
    stream      whether frames are pushed: what is decoded comes frame by frame
    engine      of layers that [engine] does not name: "auto", "cores", or an accelerator
    chip        whose accelerators layers may run on: these are quantised as one of them computes
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
    say: Progress = field(default=lambda stage: None)
    ctc: int | None = None
    reuse: QuantGraph | None = None
    stream: bool = False
    engine: str = AUTO
    chip: Chip | None = None


@dataclass(frozen=True)
class Quantized:
    """A network in integers, and what that costs.

    warnings   dead layers, flat calibration inputs     times_s   seconds by stage
    older      the network of an older build whose integers layers keep, where one was given
    """

    model: Model
    data: Data
    network: QuantGraph
    fidelity: Fidelity
    accuracy_float: float | None
    accuracy_int8: float | None
    warnings: tuple[Notice, ...]
    times_s: Mapping[str, float]
    older: QuantGraph | None = None

    def warned(self, more: Sequence[Notice], strict: bool) -> Quantized:
        """With more warnings. Errors: the first of them, where warnings are errors."""
        _raise_first(strict, more)
        return replace(self, warnings=(*self.warnings, *more))


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
    observer = _observer(options, settings)
    times_s: dict[str, float] = {}
    with timed("load", times_s, options.say):
        model, given = _loaded(options, settings, base)
    with timed("quantise", times_s, options.say), one_blas_thread():
        rules = layer_rules(model.graph, settings)
        data = samples.thin(given, options.samples or settings.calib.samples)
        calibrated = partial(_calibrated, data=data, observer=observer, rules=rules)
        graph = model.graph
        if options.reuse is not None:
            graph = with_params_of(graph, options.reuse, rules)
        usual = EngineChoice(options.engine, f"--engine {options.engine}")
        engines = engine_rules(model.graph, settings, options.chip, usual)
        on_engines = partial(with_engines, engines=engines, rules=rules, older=options.reuse)
        cores = quantize_graph(graph, calibrated(graph), rules)
        network = on_engines(cores)
        warnings = (*_renamed(model.graph, given), *_flat(model.graph, given), *network.warnings)
    _raise_first(options.strict, warnings)
    with timed("measure", times_s, options.say), one_blas_thread():
        measured = samples.thin(given, MEASURED_SAMPLES).inputs
        network, fidelity = within_sqnr(cores, network, measured, options.reuse)
        if options.reuse is None:  # else what the older build chose stays
            refine = partial(refine_precision, network, fidelity, measured, calibrated, rules)
            network, fidelity = _refined(network, fidelity, measured, refine, on_engines, settings)
        judged = _accuracies(network, given)
    quantized = Quantized(
        model, given, network, fidelity, *judged, warnings, times_s, options.reuse
    )
    weak = (*_weak_outputs(network.graph, fidelity), *_weak_layers(network, fidelity))
    noted = [*weak, *_unjudged(network.graph, given, judged)]
    return quantized.warned([*noted, *_unlike(network, options.reuse)], options.strict)


def _refined(
    network: QuantGraph,
    fidelity: Fidelity,
    inputs: Samples,
    refine: Callable[[float], QuantGraph],
    on_engines: Callable[[QuantGraph], QuantGraph],
    settings: Config,
) -> tuple[QuantGraph, Fidelity]:
    """16 bits where they win much, and where [budget] sqnr is missed otherwise."""
    asked = settings.budget.sqnr
    needs_db = -math.inf if asked is None else configuration.decibels(asked)
    for aim_db in (AIM_DB, needs_db):
        refined, reached = refine(aim_db), fidelity
        if refined is not network:
            refined, reached = within_sqnr(refined, on_engines(refined), inputs)
        if (reached.worst_db or 0.0) >= needs_db:
            break
    return refined, reached


def _unlike(network: QuantGraph, older: QuantGraph | None) -> Iterator[Notice]:
    if older is not None and not shares_weights(network, older):
        yield notice(
            "W203",
            "no layer of this network has the weights that it has in the older build",
            {"found": f"the older network is {older.digest[:12]}, this one {network.digest[:12]}"},
            ["--reuse a build of this network, of before it was fine-tuned"],
        )


def _loaded(options: Options, settings: Config, base: Path) -> tuple[Model, Data]:
    """The network and its samples, or why there are none, before anything takes time."""
    path = _model_path(options, settings, base)
    # The factory of myoedge.toml does not apply to a file that holds the network itself.
    is_whole = options.factory is None and options.model is not None and sniff(path) in WHOLE
    factory = None if is_whole else options.factory or settings.model.factory
    calib = options.calib if options.calib is not None else _relative(base, settings.calib.data)
    ctc = settings.model.ctc if options.ctc is None else options.ctc
    stages = ConditioningAndDecoding(
        settings.conditioning, ctc, settings.model.vote, options.stream
    )
    model = load_model(path, factory, calib, stages)
    check_work(model)
    model = replace(model, graph=_on_chip(options.examine(model.graph), options.chip))
    return model, choose_samples(model, calib)


def _on_chip(graph: Graph, chip: Chip | None) -> Graph:
    """The graph in the form for the chip's accelerators, where it has some."""
    from myoedge.passes import prepare_for_accelerator

    has_some = chip is not None and any(engine.accelerator for engine in chip.engines)
    return prepare_for_accelerator(graph) if has_some else graph


def _raise_first(strict: bool, warnings: Sequence[Notice]) -> None:
    if strict and warnings:
        raise raised(warnings[0])


def _weak_outputs(graph: Graph, fidelity: Fidelity) -> Iterable[Notice]:
    """Outputs that lose much, whichever layers do."""
    shown = dict(zip(graph.outputs, graph.output_names or graph.outputs, strict=True))
    for name, db in fidelity.computed_db.items():
        if db < WEAK_OUTPUT_DB:
            at = fidelity.outputs[name].worst_sample or 0
            worst_db = fidelity.outputs[name].samples_db[at]
            yield notice(
                "W104",
                f"output {shown[name]} keeps only {db:.1f} dB in int8",
                {"found": f"{worst_db:.1f} dB for sample {at}, the worst one"},
                ["myoedge quantize shows where the noise comes from, layer by layer"],
            )


def _weak_layers(network: QuantGraph, fidelity: Fidelity) -> Iterable[Notice]:
    """Layers that lose much on their own: int8 is too coarse for what they compute. Of those of one
    source line the worst."""
    steps = [step for step in network.steps if not OPS[step.node.op].view]
    by_line: dict[object, list[tuple[float, str, QuantizedNode]]] = {}
    for step, name in zip(steps, located(steps), strict=True):
        loss = fidelity.local.get(step.node.name)
        if loss is not None and loss < WEAK_LAYER_DB:
            line = step.node.origin[0].source if step.node.origin else ""
            by_line.setdefault(line or name, []).append((loss, name, step))
    for weak in by_line.values():
        loss, name, step = min(weak, key=lambda row: row[0])
        others = f", and of {len(weak) - 1} more of its source line" if len(weak) > 1 else ""
        share = f"{10 ** (-WEAK_LAYER_DB / 10):.0%} of the signal's power"
        yield notice(
            "W102",
            f"{name} keeps only {loss:.1f} dB in int8, on its own",
            {"found": f"noise above {share}{others}"},
            [*_remedies(network, step.node)],
        )


def _remedies(network: QuantGraph, weak: Node) -> Iterator[str]:
    """Remedies for a layer with low SQNR, by its operator and its operands."""
    ranges, producer = network.calibration.ranges, network.graph.producer
    near = [weak, *(producer[name] for name in weak.inputs if name in producer)]
    for node in near:
        if node.op == "max_pool" and {node.name, node.inputs[0]} <= ranges.keys():
            least, (low, high) = ranges[node.inputs[0]][0], ranges[node.name]
            if high - least > UNUSED * (high - low):
                yield f"fill with a number just below {low:.3g}, not {least:g}, before a maximum"
    if any(node.op == "softmax" for node in near):
        yield "a softmax over many positions has steps of 1/256: pool before it"
    yield "look at its values: few large and many small ones do not share 256 steps"


def _model_path(options: Options, settings: Config, base: Path) -> Path:
    chosen = options.model if options.model is not None else _relative(base, settings.model.path)
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
    """A path of myoedge.toml, seen from where the file lies."""
    return path if path is None or path == samples.RANDOM else str(base / path)


def choose_samples(model: Model, calib: Given | None) -> Data:
    """The data given, else the archive's example inputs.

    Errors: those of samples.read and fit, E219 where there are neither, E225 labels.
    """
    if is_random(calib):
        return samples.at_random(model.graph)
    if calib is not None:
        data = samples.fit(samples.read(calib), model.graph)
        if data.labels is not None:
            samples.check_classes(data.labels, model.graph)
        return data
    if model.examples is None:
        raise samples.none_given(model.graph)
    return samples.from_examples(model.graph, model.examples)


def _observer(options: Options, settings: Config) -> Observer:
    method = options.method or settings.calib.method
    percentile = settings.calib.percentile if options.percentile is None else options.percentile
    if method not in METHODS:
        raise MyoedgeError("E203", f"there is no method {method!r}", {"has": ", ".join(METHODS)})
    if options.percentile is not None and method != "percentile":
        title = f"a percentile changes nothing with the method {method}"
        raise MyoedgeError("E203", title, tries=["--method percentile"])
    if not 50.0 < percentile <= 100.0:
        facts = {"needs": "more than 50, at most 100", "has": percentile}
        raise MyoedgeError("E203", "the percentile is out of range", facts)
    if options.samples is not None and options.samples < 1:
        raise MyoedgeError("E203", "at least one sample is needed", {"has": options.samples})
    return Observer(method, percentile)


def _calibrated(
    graph: Graph, data: Data, observer: Observer, rules: Sequence[LayerRule]
) -> Calibration:
    overrides = {
        node.name: rule.observer
        for rule in rules
        for node in graph.nodes
        if rule.observer is not None and rule.matches(node)
    }
    return calibrate(graph, data.inputs, observer, data.source, overrides)


def _renamed(graph: Graph, given: Data) -> Iterable[Notice]:
    if given.renamed:
        (name,) = graph.inputs
        yield notice(
            "W204",
            f"array {given.renamed} is taken for the input {name}",
            {"found": f"{given.source}: its only array, and the network's only input"},
            [f"np.savez(..., {name}=...)"],
        )


def _flat(graph: Graph, given: Data) -> Iterable[Notice]:
    for name in constant_inputs(graph, given.inputs):
        yield notice(
            "W201",
            f"every calibration value of input {name} is the same",
            {"found": f"{given.source}: the ranges inside the network remain unknown"},
            [
                "calibrate with real recordings",
                "where it is a mask, with some in which it hides: what it leaves makes the ranges",
            ],
        )


def _accuracies(network: QuantGraph, given: Data) -> tuple[float | None, float | None]:
    """(float, int8) over the labelled samples."""
    judged = samples.thin(given, JUDGED_SAMPLES)
    if judged.labels is None:
        return None, None
    fidelity = measure(network, judged.inputs, layers=False)
    real, integer = (
        accuracy(network.graph, outputs, judged.labels)
        for outputs in (fidelity.real, fidelity.integer)
    )
    return real, integer


def _unjudged(graph: Graph, given: Data, accuracies: Sequence[float | None]) -> Iterable[Notice]:
    scores = ("label [samples, frames], a class for every frame", "a softmax over the classes")
    symbols = ("a build without --ctc: lists of symbols are not judged",)
    if given.labels is not None and None in accuracies:
        yield notice(
            "W202",
            "the accuracy is not measured: what has the classes in the output is not known",
            {"found": f"label {list(given.labels.shape)}"},
            scores if judges(graph) else symbols,
        )
