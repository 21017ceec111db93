# SPDX-License-Identifier: Apache-2.0
"""Trained networks that onnxruntime quantised: the same file in onnxruntime and in our integers."""

from __future__ import annotations

import itertools
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
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import integer_step, run_int
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import quantized_inputs, real_values
from tests.e2e.test_onnx_models import MODELS, pairs, samples
from tests.support.onnx.quantized import allowed
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


# Layers at least whose operands and results the file rounds, all in a layout that is known here:
# mtcnn_rnet's are behind transposes.
LAYERS = {
    "metadrive_ppo": 3,
    "fer_minixception": 31,
    "crepe_tiny": 18,
    "mp_blazeface_128": 54,
}
COMPARED = ("conv", "linear", "max_pool", "avg_pool", "add", "affine", "concat")
MOST_OFF = 0.03  # of a layer's results: those of 8,192 products, whose multiplier has 6 bits


def rounded_values(
    path: Path, sample: dict[str, Array]
) -> dict[tuple[float, int, int], list[Array]]:
    """Integers that onnxruntime has in the file, by scale, zero point of int8, and size."""
    model = onnx.load(path)
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    known = {port.name for port in model.graph.output}
    names = [node.output[0] for node in nodes if node.output[0] not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    judge = ort.InferenceSession(model.SerializeToString(), options)
    values = dict(zip((x.name for x in judge.get_outputs()), judge.run(None, sample), strict=True))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found: dict[tuple[float, int, int], list[Array]] = {}
    for node in nodes:
        x = values[node.output[0]].astype(np.int64) - 128
        scale, zero = (stored[name] for name in node.input[1:])
        last = np.moveaxis(x, 1, -1) if x.ndim > 2 else x  # channels
        found.setdefault((float(scale), int(zero) - 128, x.size), []).append(last)
    return found


def differences(q: QuantGraph, step: QuantizedNode, known: dict[Any, list[Array]]) -> Array | None:
    """Steps between a layer's integers and onnxruntime's, of onnxruntime's own operands; of tensors
    with the same scale and size, those that agree best. None if the file rounds one of them not."""

    def integers(name: str) -> list[Array]:
        params, shape = q.params[name], q.graph.shape(name)
        key = (float(np.float32(params.scale)), params.zero_point, math.prod(shape))
        return [x.reshape(shape).astype(np.int8) for x in known.get(key, ())]

    each = itertools.product(*map(integers, step.operands))
    results = [integer_step(step, operands).astype(np.int64) for operands in each]
    wanted = integers(step.node.name)
    off = [np.abs(mine.reshape(x.shape) - x) for mine in results for x in wanted]
    return min(off, key=lambda x: float(x.mean()), default=None)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_within_a_step_of_onnxruntime_s_tensors(name: str, folder: Path) -> None:
    """Each layer by itself, with the integers for NE16 where that is faster."""
    path = written(name, "qdq", folder)
    given = {"calib": stacked(name), "holdout": 0.0, "simulate": False}
    q = myoedge.build(path, target="gap9", output=folder / f"{name}.build", **given).network
    known, compared = rounded_values(path, batches(name)[0]), 0
    for step in (step for step in q.steps if step.node.op in COMPARED):
        off = differences(q, step, known)
        if off is not None:
            compared += 1
            assert off.max() <= allowed(step.table), step.node.name
            assert np.mean(off > 0) <= MOST_OFF, step.node.name
    assert compared >= LAYERS[name]


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
