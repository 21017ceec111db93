# SPDX-License-Identifier: Apache-2.0
"""ONNX files of opsets 7 to 12 are converted; onnxruntime, which runs them as they are, agrees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx import normal_form
from myoedge.system import tools
from tests.conftest import thinned
from tests.support.onnx.nodes import computed

SHAPE = (1, 3, 8, 8)
CONSTANTS: dict[str, Any] = {
    "filters": (4, 3, 3, 3), "bias": (4,), "scale": (4,), "offset": (4,), "mean": (4,),
    "slopes": (1,), "biases": (5,), "weights": (5, 64),
    "W": (1, 16, 5), "R": (1, 16, 4), "B": (1, 32),
    "variance": np.arange(1, 5, dtype=np.float32), "region": np.array([], np.float32),
    "factors": np.array([1, 1, 2, 2], np.float32),
    "flat": np.array([1, -1], np.int64), "sequence": np.array([1, 1, 5], np.int64),
}  # fmt: skip


def tensors(names: set[str]) -> list[TensorProto]:
    rng = np.random.default_rng(0)
    drawn = {
        name: rng.standard_normal(given).astype(np.float32) if isinstance(given, tuple) else given
        for name, given in CONSTANTS.items()
    }
    return [numpy_helper.from_array(x, name) for name, x in drawn.items() if name in names]


def nodes(opset: int) -> Iterator[NodeProto]:
    """Operators whose form has changed: attributes that became inputs, axes of softmax, sizes."""
    n = helper.make_node
    yield n("Conv", ["x", "filters", "bias"], ["c"], pads=[1, 1, 1, 1])
    yield n("BatchNormalization", ["c", "scale", "offset", "mean", "variance"], ["n"])
    yield n("PRelu", ["n", "slopes"], ["r"])
    if opset < 9:
        yield n("Upsample", ["r"], ["u"], mode="nearest", scales=[1.0, 1.0, 2.0, 2.0])
    elif opset == 9:
        yield n("Upsample", ["r", "factors"], ["u"], mode="nearest")
    else:
        yield n("Resize", ["r", *["region"] * (opset > 10), "factors"], ["u"])
    yield n("MaxPool", ["u"], ["m"], kernel_shape=[4, 4], strides=[4, 4])
    if opset < 11:
        yield n("Clip", ["m"], ["k"], min=-1.0, max=6.0)
        yield n("Pad", ["k"], ["p"], pads=[0, 0, 1, 0, 0, 0, 0, 0], mode="constant", value=0.5)
    else:
        yield n("Tanh", ["m"], ["k"])
        yield n("Concat", ["k", "k"], ["p"], axis=2)
    if opset < 10:
        yield n("Slice", ["p"], ["s"], axes=[2], starts=[0], ends=[4])
    else:
        yield n("AveragePool", ["p"], ["s"], kernel_shape=[2, 1])
    yield n("Split", ["p"], ["a", "b"], axis=1, split=[1, 3])
    yield n("ReduceSum", ["b"], ["d"], axes=[1, 2], keepdims=0)
    yield n("Unsqueeze", ["d"], ["e"], axes=[2])
    yield n("Squeeze", ["e"], ["f"], axes=[2])
    yield n("Softmax", ["k"], ["g"], axis=1)
    yield n("Reshape", ["g", "flat"], ["h"])
    yield n("Gemm", ["h", "weights", "biases"], ["i"], transB=1)
    yield n("LogSoftmax", ["i"], ["j"], axis=1)
    yield n("Reshape", ["j", "sequence"], ["l"])
    yield n("LSTM", ["l", "W", "R", "B"], ["o"], hidden_size=4)
    yield n("Squeeze", ["o"], ["q"], axes=[0, 1])
    yield n("Dropout", ["f"], ["t"], **({"ratio": 0.5} if opset < 12 else {}))
    yield n("Mul", ["t", "q"], ["v"])
    yield n("ReduceMean", ["s"], ["w"], axes=[1, 2], keepdims=0)
    yield n("Add", ["v", "w"], ["y"])


def network(opset: int, batch: int | str = 1) -> ModelProto:
    made = [*nodes(opset)]
    constants = tensors({name for node in made for name in node.input})
    inputs = [helper.make_tensor_value_info("x", 1, (batch, *SHAPE[1:]))]
    if opset < 9:  # of IR version 3: all that has a value is an input
        inputs += [helper.make_tensor_value_info(c.name, c.data_type, c.dims) for c in constants]
    output = helper.make_tensor_value_info("y", 1, (batch, 4))
    graph = helper.make_graph(made, "net", inputs, [output], constants)
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=3 if opset < 9 else 6)
    onnx.checker.check_model(shape_inference.infer_shapes(model))
    return model


@pytest.mark.parametrize("opset", thinned([7, 8, 9, 10, 12, 11]))
def test_older_operators_mean_what_they_meant(opset: int, tmp_path: Path) -> None:
    onnx.save(network(opset), tmp_path / "old.onnx")
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    session = onnxruntime.InferenceSession(tmp_path / "old.onnx", quiet)
    (wanted,) = session.run(None, {"x": x})
    (found,) = computed(load_model(tmp_path / "old.onnx").graph, [x])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_batch_without_a_number_is_one(tmp_path: Path) -> None:
    onnx.save(network(9, "batch"), tmp_path / "old.onnx")
    model = load_model(tmp_path / "old.onnx")
    assert model.graph.shape("x") == SHAPE
    assert "opset 9 converted to 13 by the onnx package" in model.notes


def modern(opset: int) -> ModelProto:
    """Operators whose attributes have become inputs since opset 13, as each opset has them."""
    n = helper.make_node
    axes = {"axes": [2, 3]} if opset < 18 else {}
    parts = {} if opset < 18 else {"num_outputs": 2}
    made = [
        n("Conv", ["x", "filters", "bias"], ["a"], pads=[1, 1, 1, 1]),
        n("BatchNormalization", ["a", "scale", "offset", "mean", "variance"], ["b"]),
        n("Split", ["b"], ["c", "d"], axis=1, **parts),
        n("Pad", ["c", "pads"], ["e"]),
        n("ReduceMean", ["e"] if opset < 18 else ["e", "axes"], ["f"], keepdims=0, **axes),
        n("ReduceMax", ["d"] if opset < 18 else ["d", "axes"], ["g"], keepdims=0, **axes),
        n("Concat", ["f", "g"], ["h"], axis=1),
        n("Softmax", ["h"], ["y"], axis=1),
    ]
    pads = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
    last = numpy_helper.from_array(np.array([2, 3]), "axes")
    names = {"filters", "bias", "scale", "offset", "mean", "variance"}
    inputs = [helper.make_tensor_value_info("x", 1, SHAPE)]
    output = helper.make_tensor_value_info("y", 1, (1, 4))
    graph = helper.make_graph(made, "net", inputs, [output], [*tensors(names), pads, last])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@pytest.mark.parametrize("opset", range(13, onnx.defs.onnx_opset_version() + 1))
def test_files_of_every_later_opset_are_read(opset: int, tmp_path: Path) -> None:
    """By onnxruntime, and those that not every release of it knows by onnx's own reference."""
    onnx.save(modern(opset), tmp_path / "new.onnx")
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    session = (
        onnxruntime.InferenceSession(tmp_path / "new.onnx")
        if opset <= 20
        else ReferenceEvaluator(modern(opset))
    )
    (wanted,) = session.run(None, {"x": x})
    model = load_model(tmp_path / "new.onnx")
    assert model.notes == ()
    np.testing.assert_allclose(computed(model.graph, [x])[0], wanted, rtol=1e-4, atol=1e-5)


def refused(path: Path) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as raised:
        load_model(path)
    assert raised.value.code == "E120"
    return raised.value


@pytest.mark.parametrize(
    ("program", "words"),
    [("import os; os.abort()", "signal 6"), ("raise ValueError('no such rule')", "no such rule")],
)
def test_a_converter_that_ends_is_a_refusal(
    program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normal_form, "PROGRAM", program)
    onnx.save(network(9), tmp_path / "old.onnx")
    assert words in str(refused(tmp_path / "old.onnx"))


def test_a_converter_that_does_not_end_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: Any, **__: Any) -> tools.CompletedProcess:
        raise MyoedgeError("E502", "it did not finish")

    monkeypatch.setattr(tools, "run", late)
    onnx.save(network(9), tmp_path / "old.onnx")
    assert "took longer" in str(refused(tmp_path / "old.onnx"))
