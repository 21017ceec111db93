# SPDX-License-Identifier: Apache-2.0
"""The model file and the samples of a build, as given by arguments and myoedge.toml."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

from myoedge.building.config import FILE, Found, find
from myoedge.building.config_tables import ModelTable, TestTable
from myoedge.building.loading import (
    WHOLE,
    Model,
    PrePostProcessing,
    check_kind,
    check_work,
    is_random,
    load_model,
    model_key,
    on_chip,
)
from myoedge.building.options import with_settings
from myoedge.building.pipeline_options import CALLBACKS, Options, holdout_share, observers_of
from myoedge.building.simulate import test_set_in
from myoedge.building.stages import key
from myoedge.errors import MyoedgeError, set_in
from myoedge.frontend.detect import ModelFormat, sniff
from myoedge.frontend.file_refusals import missing
from myoedge.frontend.refusals import EXPORT_LINES
from myoedge.passes.join import computed_first
from myoedge.quantization import samples
from myoedge.quantization.holdout import (
    Samples,
    at_random,
    need_none,
    none_given,
    samples_by_purpose,
)
from myoedge.quantization.recordings.reading import OF_TEST, Reading, no_labels
from myoedge.quantization.recordings.recorded import windowed
from myoedge.quantization.recordings.sources import is_function, read
from myoedge.quantization.samples import Data, Given

NAMED = "myoedge build model.pt2 --calib calib.npz"
# Options whose effect is in ModelInputs.key or in the settings: files by their content.
_OF_INPUTS = {"model", "calib", "test", "factory", "config", "ctc", "gate"}


@dataclass(frozen=True)
class ModelInputs:
    """A model file and its samples, each read once, on first use.

    path           the model file
    factory        function that builds a checkpoint's network
    calib          calibration samples: file, arrays, or "random"; None: the model's own examples
    stages         conditioning before the network and decoding after it
    reading        settings for reading the samples
    test           labelled samples used only for evaluation, as a file or arrays; None: there are
                   none
    set_in, test_in, factory_in   for messages, the option or table that sets samples, test set and
                                  factory
    test_reading   settings for reading the test set
    """

    path: Path
    factory: str | None
    calib: Given | None
    stages: PrePostProcessing
    reading: Reading
    test: Given | None = None
    set_in: str = ""
    test_in: str = "--test"
    factory_in: str = ""
    test_reading: Reading = field(default_factory=Reading)

    @cached_property
    def given(self) -> Data | None:
        """Return the calibration samples; None without samples. Errors: as read."""
        if self.calib is None or is_random(self.calib):
            return None
        with set_in(self.set_in):
            return read(self.calib, self.reading)

    @cached_property
    def given_test(self) -> Data | None:
        """Return the test set; None without a test set. Errors: as read, E211 no labels."""
        if self.test is None:
            return None
        with set_in(self.test_in, OF_TEST):
            data = read(self.test, self.test_reading)
            if data.labels is None:
                raise no_labels(data.source, [*data.inputs], data.columns)
        return data

    def test_set(self, model: Model, calibration: Data) -> Data | None:
        """Return the test set in the network's shapes, with the calibration recording's class names
        unless the set names its classes. Errors: as windowed and fit."""
        if self.given_test is None:
            return None
        with set_in(self.test_in, OF_TEST):
            data = windowed(self.given_test, model.graph, self.test_reading)
            names = data.class_names or calibration.class_names
            return samples.fit(replace(data, class_names=names), model.graph)

    @cached_property
    def file_key(self) -> str | None:
        """Cache key of the model file, computed when it was first read; None for formats that are
        not cached."""
        return model_key(self.path, self.stages)

    @cached_property
    def model(self) -> Model:
        """Load the network. Errors: as load_model; E101 if the file has changed since its cache key
        was computed."""
        before = self.file_key
        calib = self.calib if self.given is None else self.given  # some can be read only once
        words = {"--factory": "[model] factory"}
        with set_in(self.factory_in, words if self.factory_in else None, code="E206"):
            model = load_model(self.path, self.factory, calib, self.stages, self.reading)
        if before != model_key(self.path, self.stages):
            title = f"{self.path.name} was replaced while it was read"
            raise MyoedgeError("E101", title, tries=["the same command again"])
        return model

    @cached_property
    def key(self) -> str | None:
        """Digest of the model file and the calibration samples; None if results are not cached."""
        network = self.model if self.file_key is None else self.file_key
        return key("inputs", network, self.given, "random" if is_random(self.calib) else "")

    def prepared(self, options: Options) -> tuple[Model, Samples]:
        """Return the network ready for quantisation, and its samples by purpose.

        Errors: as load_model, check_work, options.examine and _choose_samples.
        """
        check_work(self.model)
        graph = options.examine(self.model.graph)
        graph = on_chip(graph, options.chip, stream=options.stream)
        graph = computed_first(graph, options.first) if options.first else graph
        model = replace(self.model, graph=graph)
        data, share = self._choose_samples(model), holdout_share(options)
        test = self.test_set(model, data)
        return model, samples_by_purpose(data, share, test, most=options.samples or 1)

    def _choose_samples(self, model: Model) -> Data:
        """Return the given samples, otherwise the archive's example inputs; random samples if the
        model file fixes all ranges.

        Errors: as windowed and fit; E219 if there are neither.
        """
        if is_random(self.calib):
            return at_random(model.graph)
        if self.given is not None:
            with set_in(self.set_in):
                return samples.fit(windowed(self.given, model.graph, self.reading), model.graph)
        if model.examples is None and need_none(model.graph):
            return at_random(model.graph)
        if model.examples is None:
            raise none_given(model.graph)
        return samples.from_examples(model.graph, model.examples)


def checked_inputs(options: Options) -> tuple[Options, ModelInputs]:
    """Check the options together with myoedge.toml, then read the model file and the samples."""
    found = find(options.config)
    options = with_settings(options, found.settings)
    observers_of(options)
    holdout_share(options)
    return options, model_inputs(options, found)


def stage_key(stage: str, options: Options, inputs: ModelInputs, *more: object) -> str | None:
    """Return the cache key of a stage's result for these options, model file, samples and `more`;
    None: no caching."""
    if options.decided_by is None or inputs.key is None:
        return None
    settings = find(options.config).settings
    calib = replace(settings.calib, data=None)  # replaced by the samples themselves
    budget = replace(settings.budget, latency=None)  # affects no integer
    settings = replace(settings, calib=calib, test=TestTable(), budget=budget, model=ModelTable())
    names = (option.name for option in fields(options))
    values = {n: getattr(options, n) for n in names if n not in _OF_INPUTS | CALLBACKS}
    return key(stage, inputs.key, settings, values, *more)


def model_inputs(options: Options, found: Found) -> ModelInputs:
    """Return the model file and the samples that the options and myoedge.toml name, after checking
    that they exist.

    Errors: E101 .. E107, E202, E206; as read.
    """
    settings, base, _ = found
    path = _model_path(options, found)
    kind = sniff(path)
    # The factory of myoedge.toml does not apply to a file that holds the network itself.
    is_whole = options.factory is None and options.model is not None and kind in WHOLE
    factory = None if is_whole else options.factory or settings.model.factory
    check_kind(kind, path, factory)
    calib = given_or_stated(options.calib, base, settings.calib.data)
    decoders = (options.ctc, settings.model.vote, options.stream)
    stages = PrePostProcessing(settings.conditioning, *decoders, options.gate)
    reading = replace(settings.calib.reading, max_bytes=options.max_bytes)
    of_file = options.calib is None or settings.calib.reading != Reading()
    typed = "--calib" if isinstance(options.calib, str | Path) else ""
    place = f"[calib] of {found.file}" if of_file else typed
    test = given_or_stated(options.test, base, settings.test.data)
    test_in = test_set_in(found, is_typed=options.test is not None)
    factory_in = f"[model] of {found.file}" if options.factory is None and factory else ""
    names = (place, test_in, factory_in, settings.test.reading(reading))
    inputs = ModelInputs(path, factory, calib, stages, reading, test, *names)
    _ = inputs.given, inputs.given_test  # read before torch is imported
    return inputs


def _model_path(options: Options, found: Found) -> Path:
    configured = _resolve_path(found.base, found.settings.model.path)
    if options.model is None and configured and sniff(Path(configured)) is ModelFormat.MISSING:
        raise missing(Path(configured), f"[model] path of {found.file}")
    chosen = options.model if options.model is not None else configured
    if chosen is None:
        tries = [
            NAMED,
            f"[model] path in {FILE}",
        ]
        raise MyoedgeError("E202", "no model is named", tries=tries)
    if not isinstance(chosen, str | Path):
        title = f"the model must be a file, not an object of {type(chosen).__name__}"
        raise MyoedgeError("E202", title, tries=[EXPORT_LINES])
    return Path(chosen)


def given_or_stated(given: Given | None, base: Path, stated: str | None) -> Given | None:
    """Return the given samples, otherwise those named in myoedge.toml, relative to its folder."""
    return given if given is not None else _resolve_path(base, stated)


def _resolve_path(base: Path, path: str | None) -> str | None:
    """Resolve a path of myoedge.toml relative to its folder; functions are returned unchanged."""
    return path if path in (None, samples.RANDOM) or is_function(path) else str(base / str(path))
