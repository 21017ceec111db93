# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite's integers through tf2onnx: onnxruntime runs the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from myoedge.building.loading import load_model
from myoedge.frontend.onnx.names import origin_of
from myoedge.numerics.arrays import Array
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from tests.support.oracles.integers import result_of

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "tensorflow"
SAMPLES = 16
DRAWN = np.random.default_rng(0).normal(size=(SAMPLES, 1, 8, 7, 2)).astype(np.float32)


def theirs(path: Path, samples: Array) -> Array:
    """onnxruntime's outputs as numbers; integers by the last node's scale and zero point."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    judge = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (port,), graph = judge.get_inputs(), onnx.load(path).graph
    found = np.stack([judge.run(None, {port.name: sample})[0] for sample in samples])
    if found.dtype == np.float32:
        return found
    numbers = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scale, zero = (numbers[name] for name in graph.node[-1].input[1:])
    return np.asarray((found.astype(np.float64) - zero) * scale)


@pytest.mark.parametrize("name", ["float_inputs", "int8_inputs"])
def test_scales_and_integers_are_the_files(name: str) -> None:
    path = FOLDER / f"{name}.onnx"
    samples = (
        DRAWN if name == "float_inputs" else np.rint(30 * DRAWN).clip(-128, 127).astype("int8")
    )
    graph = load_model(path).graph
    shown = {graph.inputs[0]: 1000.0 * samples.astype(np.float32)}  # ranges are not taken from them
    q = quantize_graph(graph, calibrate(graph, shown, Observer(), "test"))
    wanted = theirs(path, samples)
    found = np.stack([result_of(q, sample) for sample in samples])
    far, scale = np.abs(found - wanted), q.params[graph.outputs[0]].scale
    assert far.max() <= 1.001 * scale
    assert 10 * np.log10(np.mean(np.square(wanted)) / np.mean(np.square(far))) >= 40
    assert not [x for x in q.params if graph.given(x) is None]
    assert {step.node.op for step in q.steps} >= {"conv", "add", "avg_pool", "linear", "softmax"}


def test_layers_are_named_once() -> None:
    """TensorFlow Lite joins the names of all that it fused: relu, bias, convolution."""
    labels = [node.label for node in load_model(FOLDER / "int8_inputs.onnx").graph.nodes]
    assert labels[0].startswith("functional_1/re_lu_1/Relu6")
    assert not [label for label in labels if ";" in label]


@pytest.mark.parametrize(
    ("name", "path"), [("relu;bias;conv", "relu"), (";conv", "conv"), (";", "Relu"), ("", "y")]
)
def test_a_layer_has_the_first_name_there_is(name: str, path: str) -> None:
    assert origin_of(onnx.helper.make_node("Relu", ["x"], ["y"], name)).path == path
