# SPDX-License-Identifier: Apache-2.0
"""Advice of ONNX models' refusals: who follows it has a model that builds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.onnx.refusals import MISSING, SPECIAL
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.support.onnx.models import saved
from tests.support.refusals.advice import built_db, samples_of, sqnr_db
from tests.support.refusals.models import MODELS

EACH = pytest.mark.parametrize("name", MODELS)
NOT_THERE = (  # of onnxruntime: of opsets or domains that it does not have
    ort.capi.onnxruntime_pybind11_state.Fail,
    ort.capi.onnxruntime_pybind11_state.InvalidGraph,
    ort.capi.onnxruntime_pybind11_state.NotImplemented,
)


def meant(model: ModelProto, inputs: Mapping[str, Array]) -> list[Any]:
    """Results of onnxruntime; of ONNX's reference for what that has not."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # outputs here declare shapes that are not theirs
    try:
        session = ort.InferenceSession(model.SerializeToString(), options)
    except NOT_THERE:
        return list(ReferenceEvaluator(model).run(None, dict(inputs)))
    return list(session.run(None, dict(inputs)))


@EACH
def test_a_model_is_refused_with_advice(name: str, tmp_path: Path) -> None:
    case = MODELS[name]
    with pytest.raises(MyoedgeError) as caught:
        load_onnx(saved(case.model, tmp_path))
    assert caught.value.code == "E111"
    assert case.advice in "\n".join(caught.value.notice.tries)


@EACH
def test_who_follows_the_advice_has_a_model_that_is_imported(name: str, tmp_path: Path) -> None:
    case = MODELS[name]
    found = load_onnx(saved(case.followed, tmp_path)).graph
    wanted = meant(case.followed, case.given)
    if case.same:
        for mine, theirs in zip(wanted, meant(case.model, case.inputs), strict=False):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    for graph in (found, prepare(found)):
        values = run_float(graph, {port: case.given[port] for port in graph.inputs})
        for port, theirs in zip(graph.outputs, wanted, strict=True):
            np.testing.assert_allclose(values[port], theirs, rtol=1e-4, atol=1e-4)
    samples = dict(zip(case.given, samples_of([*case.given.values()]), strict=True))
    assert (sqnr_db(prepare(found), samples) or math.inf) > case.least_db


@pytest.mark.slow
@EACH
def test_who_follows_the_advice_has_a_build(name: str, tmp_path: Path) -> None:
    case = MODELS[name]
    calib = dict(zip(case.given, samples_of([*case.given.values()]), strict=True))

    def of_sample(*inputs: Array) -> list[Any]:
        return meant(case.followed, dict(zip(calib, inputs, strict=True)))

    noise_db = built_db(saved(case.followed, tmp_path), calib, of_sample, tmp_path / "out")
    assert (noise_db or math.inf) > case.least_db - 3.0


def test_every_replacement_of_an_operator_is_tried() -> None:
    texts = {f"use {text}" for text in (*MISSING, *SPECIAL.values())}
    assert {t for t in texts if any(case.advice in t for case in MODELS.values())} == texts
