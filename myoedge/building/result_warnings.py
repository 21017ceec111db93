# SPDX-License-Identifier: Apache-2.0
"""Warnings about a quantised network, its labels and its test set; about samples of a build."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from myoedge.backends.build import Build
from myoedge.building.quantized import Known, Quantized
from myoedge.building.sample_statistics import described
from myoedge.building.warning_rules import are_of_scale, warned
from myoedge.errors import Notice
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.holdout import TEST, measured
from myoedge.quantization.samples import Data


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
