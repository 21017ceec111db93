# SPDX-License-Identifier: Apache-2.0
"""The pipeline from a model file to a quantised network with its SQNR, as a table of stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.building.config import find
from myoedge.building.loading import Model
from myoedge.building.model_inputs import ModelInputs, checked_inputs, stage_key
from myoedge.building.pipeline_options import Integers, Options
from myoedge.building.precision import searched
from myoedge.building.quantized import Quantized
from myoedge.building.search_start import search_start
from myoedge.building.stages import Stage, run
from myoedge.building.warning_rules import result_warnings
from myoedge.operators.interpreter import one_blas_thread
from myoedge.quantization.evaluation import Evaluation, evaluated
from myoedge.quantization.float_runs import float_run_cache
from myoedge.quantization.holdout import Samples
from myoedge.quantization.samples import Data

Labelled = tuple[str, Data]  # role and samples


def _load_and_prepare(
    inputs: ModelInputs, options: Options
) -> tuple[Model, Samples, Labelled | None]:
    """Read the network and its samples, and prepare both; the last value: samples with labels."""
    model, samples = inputs.prepared(options)
    return model, samples, samples.labelled


@one_blas_thread()
def _evaluate_predictions(integers: Integers, labelled: Labelled) -> Evaluation | None:
    """Evaluate the predictions of the float network and the integer network on samples."""
    role, data = labelled
    return evaluated(integers.network, data, role)


PIPELINE = (
    Stage("load", ("inputs", "options"), ("model", "samples", "labelled"), _load_and_prepare),
    Stage(
        "quantise",
        ("options", "settings", "model", "samples"),
        ("integers",),
        (
            Stage(
                "quantise", ("options", "settings", "model", "samples"), ("chosen",), search_start
            ),
            Stage("measure", ("options", "samples", "chosen"), ("integers",), searched),
        ),
        key=("inputs_key",),
        kind=Integers,
    ),
    Stage(
        "evaluate",
        ("integers", "labelled"),
        ("evaluation",),
        _evaluate_predictions,
        key=("inputs_key", "labelled"),
        needs="labelled",
    ),
)


def _quantization_result(
    options: Options, made: Mapping[str, Any], times_s: dict[str, float]
) -> Quantized:
    """Return the result of the stages, with their warnings so far.

    made   name -> value
    """
    integers, evaluation = made["integers"], made["evaluation"]
    fidelity = integers.fidelity
    if evaluation is not None and not evaluation.has_classes:
        fidelity = fidelity.without_classes(integers.network.graph)
    return Quantized(
        model=made["model"],
        samples=made["samples"],
        network=integers.network,
        fidelity=fidelity,
        warnings=integers.warnings,
        times_s=times_s,
        older=options.reuse,
        observers_db=integers.observers_db,
        choices=integers.choices,
        accurate=options.accurate,
        evaluation=evaluation,
    )


def run_quantize(options: Options, inputs: ModelInputs | None = None) -> Quantized:
    """Load, calibrate and quantise a network, and measure its SQNR layer by layer.

    options, inputs   from checked_inputs; inputs None: check the options here
    """
    if inputs is None:
        options, inputs = checked_inputs(options)
    values = {
        "options": options,
        "inputs": inputs,
        "settings": find(options.config).settings,
        "inputs_key": stage_key("quantise", options, inputs),
    }
    times_s: dict[str, float] = {}
    with float_run_cache():
        made = run(PIPELINE, values, times_s, options.say)
    quantized = _quantization_result(options, made, times_s)
    return quantized.warned([*result_warnings(quantized)], options.strict)
