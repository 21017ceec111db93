# SPDX-License-Identifier: Apache-2.0
"""Rules of warnings about samples and quantised networks: code and condition by stage of a build.
The catalogue has their messages and remedies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from myoedge.backends.build import Build
from myoedge.building import network_conditions as networks
from myoedge.building import sample_conditions as samples
from myoedge.building.loading import TORCH
from myoedge.building.quantized import UNKNOWN, Finding, Known, Quantized
from myoedge.building.sample_statistics import described
from myoedge.catalogue import warning
from myoedge.errors import Notice
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.holdout import TEST, measured
from myoedge.quantization.samples import Data

SCALES = ("W111", "W207")  # warnings about values larger or smaller than in training


# Code, by which the catalogue has message and remedies; condition, which yields the values of a
# message once per warning.
Rule = tuple[str, Callable[[Known], Iterator[Finding]]]
# Rules by stage of a build, in the order in which their warnings are printed.
RULES: Mapping[str, tuple[Rule, ...]] = {
    "arrays": (("W204", samples.renamed), ("W201", samples.constant)),
    "samples": (
        ("W109", samples.unread),
        ("W206", samples.batch),
        ("W205", samples.few),
        ("W207", samples.unlike_training),
        ("W208", samples.turned),
    ),
    "model file": (("W108", networks.stays_of_file),),
    "network": (
        ("W106", networks.cut_states),
        ("W101", networks.dead_layers),
        ("W103", networks.dominant_fills),
        ("W107", networks.left_narrow),
    ),
    "ranges": (
        ("W111", networks.left_range),
        ("W111", networks.cut_branch),
        ("W113", networks.set_by_one),
    ),
    "results": (
        ("W104", networks.weak_outputs),
        ("W110", networks.unlike_decisions),
        ("W112", networks.small_probabilities),
        ("W102", networks.weak_layers),
        ("W105", networks.less_accurate),
    ),
    "labels": (("W202", samples.unjudged),),
    "other samples": (("W207", samples.unlike_calibration), ("W211", samples.shared)),
    "test set": (("W111", networks.left_range),),
    "decisions": (("W209", samples.unlike_labels),),
    "older build": (("W203", networks.other_network),),
}


def warned(known: Known, *stages: str) -> tuple[Notice, ...]:
    """Return the warnings of some stages, in their order."""
    return warnings_by((rule for stage in stages for rule in RULES[stage]), known)


def warnings_by(rules: Iterable[Rule], known: Known) -> tuple[Notice, ...]:
    """Return the warnings of some rules; remedies depend on the writer of the model file."""
    writer = TORCH if known.model is UNKNOWN else known.model.written_by
    return tuple(
        warning(code, {writer: True, **values}) for code, when in rules for values in when(known)
    )


def are_of_scale(warnings: Iterable[Notice]) -> bool:
    """Return whether a warning is about values that are larger or smaller than in training."""
    return any(warning.code in SCALES for warning in warnings)


# --- warnings about a quantised network, its labels and its test set; about samples of a build ----


def result_warnings(quantized: Quantized) -> Iterator[Notice]:
    """Yield warnings about the finished network, and about the test set."""
    samples = quantized.samples
    data, test = samples.given, samples.test
    known = Known(
        model=quantized.model,
        data=data,
        network=quantized.network,
        fidelity=quantized.fidelity,
        evaluation=quantized.evaluation,
        older=quantized.older,
        tried=bool(quantized.choices),
        accurate=quantized.accurate,
    )
    yield from warned(known, "results")
    yield from warned(replace(known, data=test or data), "labels")
    if test is not None:
        judged, calibration = measured(test).inputs, described(quantized.model, data)
        of_test = replace(known, data=test, judged=judged, role=TEST, is_test=True)
        others = warned(replace(of_test, described=calibration), "other samples")
        left = warned(of_test, "test set")
        codes = {warning.code for warning in quantized.warnings}  # W207: of both files, once
        yield from (warning for warning in others if warning.code not in codes)
        yield from left
        known = replace(known, is_scaled=are_of_scale((*others, *left)))
    yield from warned(known, "decisions", "older build")


def warnings_about(
    build: Build, data: Data, evaluation: Evaluation | None, *, is_test: bool
) -> tuple[Notice, ...]:
    """Return warnings about samples that a build runs on: another scale than the calibration's,
    samples used for it, accuracy at chance level or labels in another order.

    evaluation   labels with the build's predictions; None without labels
    is_test      whether the samples are a test set
    """
    known = Known(data=data, described=build.calibration, is_test=is_test)
    told = warned(known, "other samples")
    judged = replace(known, evaluation=evaluation, is_scaled=are_of_scale(told))
    return (*told, *warned(judged, "decisions"))
