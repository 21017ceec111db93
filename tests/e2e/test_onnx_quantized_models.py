# SPDX-License-Identifier: Apache-2.0
"""Trained networks that onnxruntime quantised: the same file in onnxruntime and in our integers."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import myoedge
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import quantized_inputs, real_values
from tests.e2e.test_onnx_models import MODELS, pairs, samples
from tests.unit.test_onnx_quantized import exact_sums

pytestmark = pytest.mark.slow
FORMS = {"qdq": QuantFormat.QDQ, "operators": QuantFormat.QOperator}
# dB of the worst output against onnxruntime on the same file. Networks of many layers are below
# those of one operator, of which each is within a step: differences of a step add up.
LEAST = {
    "metadrive_ppo": math.inf,
    "fer_minixception": math.inf,
    "crepe_tiny": 39.0,
    "mtcnn_rnet": 35.5,
    "mp_blazeface_128": 17.5,
    "rxn_albert_embeds": 25.0,
}


class Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, given: list[dict[str, Array]]) -> None:
        self.left: Iterator[dict[str, Array]] = iter(given)

    def get_next(self) -> dict[str, Array] | None:
        return next(self.left, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantized")


def written(name: str, form: str, folder: Path) -> Path:
    """File of onnxruntime's quantize_static: uint8 activations, int8 weights with a scale for each
    channel, ranges of the stored inputs."""
    made, source = folder / f"{name}_{form}.onnx", folder / f"{name}.onnx"
    if not made.exists():
        logging.disable(logging.WARNING)  # it advises to run its shape inference
        quant_pre_process(str(MODELS / f"{name}.onnx"), str(source), skip_symbolic_shape=True)
        kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        options = {"quant_format": FORMS[form], "per_channel": True, **kinds}
        quantize_static(str(source), str(made), Reader(batches(name)), **options)
        logging.disable(logging.NOTSET)
    return made


def batches(name: str) -> list[dict[str, Array]]:
    """Stored inputs as onnxruntime reads them."""
    return [{port: x.astype(np.float32) for port, x in one.items()} for one in samples(pairs(name))]


def stacked(name: str) -> dict[str, Array]:
    return {key[3:]: x for key, x in pairs(name).items() if key.startswith("in:")}


def theirs(path: Path, name: str) -> list[list[Array]]:
    """Outputs by sample of onnxruntime, operator by operator."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    judge = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [judge.run(None, sample) for sample in batches(name)]


def decibels(q: QuantGraph, name: str, wanted: list[list[Array]]) -> dict[str, float]:
    """dB by output."""
    signal, error = (dict.fromkeys(q.graph.outputs, 0.0) for _ in range(2))
    for sample, outputs in zip(samples(pairs(name)), wanted, strict=True):
        found = run_int(q.steps, q.constants, quantized_inputs(q, sample))
        for out, real in zip(q.graph.outputs, outputs, strict=True):
            mine = real_values(q, out, found[out]).reshape(real.shape)
            signal[out] += float(np.sum(real.astype(np.float64) ** 2))
            error[out] += float(np.sum((real.astype(np.float64) - mine) ** 2))
    ratios = {out: signal[out] / error[out] if error[out] else math.inf for out in signal}
    return {out: 10.0 * math.log10(ratio) for out, ratio in ratios.items()}


def matrices(path: Path) -> list[Array]:
    """Integers of the file that products read, sorted each."""
    stored = (numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer)
    return [np.sort(x.reshape(-1)) for x in stored if x.dtype == np.int8 and x.ndim > 1]


@pytest.mark.parametrize("form", ["qdq", pytest.param("operators", marks=exact_sums)])
@pytest.mark.parametrize("name", LEAST)
def test_integers_as_in_onnxruntime(name: str, form: str, folder: Path) -> None:
    path = written(name, form, folder)
    q = myoedge.quantize(path, calib=stacked(name), holdout=0.0).network
    found = decibels(q, name, theirs(path, name))
    assert min(found.values()) >= LEAST[name], found


EXACT = ("metadrive_ppo", "mtcnn_rnet")


@pytest.mark.parametrize("name", EXACT)
def test_exact_on_host_and_simulated_chip(name: str, folder: Path) -> None:
    path = written(name, "qdq", folder)
    calib: Mapping[str, Any] = stacked(name)
    build = myoedge.build(path, target="gap9", calib=calib, output=folder / name, holdout=0.0)
    weights = [s.integers.weight for s in build.network.steps if "weight" in s.integers.arrays]
    assert len(weights) == len(matrices(path))
    for array in weights:
        mine = np.sort(array.reshape(-1))
        assert any(np.array_equal(mine, other) for other in matrices(path))
    first = {port: x[:1] for port, x in stacked(name).items()}
    checked = myoedge.validate(build, on=("host", "simulator"), input=first)
    assert checked.difference is None
    assert checked.exact["host"]
    assert checked.exact["simulator"]
