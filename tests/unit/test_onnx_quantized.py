# SPDX-License-Identifier: Apache-2.0
"""ONNX networks that are quantised already: onnxruntime runs the same file."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import run_int
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.fidelity import Noise
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs, real_values
from tests.support.onnx.models import model, node, saved

SAMPLES = 4
MICROSOFT = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
RNG = np.random.default_rng
KINDS = {"u8": np.uint8, "i8": np.int8, "i16": np.int16}


def normal(*shape: int, seed: int = 0) -> Array:
    return RNG(seed).normal(size=shape).astype(np.float32)


@functools.cache
def saturates() -> bool:
    """Whether onnxruntime's sums of uint8 times int8 saturate at 16 bits on this processor."""
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 16])],
        [numpy_helper.from_array(np.full((64, 16), 127, np.int8), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    judge = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    sums = judge.run(None, {"x": np.full((1, 64), 255, np.uint8)})[0]
    return bool((sums != 64 * 127 * 255).any())


exact_sums = pytest.mark.skipif(
    saturates(), reason="onnxruntime's sums of uint8 times int8 saturate without VNNI"
)


def if_exact(cases: Iterable[str], *summed: str) -> list[Any]:
    """Parameters of a test, of which these are skipped where onnxruntime's sums saturate."""
    return [pytest.param(x, marks=exact_sums) if x in summed else x for x in cases]


def both(path: Path, samples: Mapping[str, Array]) -> tuple[QuantGraph, list[list[Array]], Any]:
    """The network in integers, and its outputs and onnxruntime's by sample."""
    graph = load_model(path).graph
    q = quantize_graph(graph, calibrate(graph, samples, Observer(), "test"))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    judge = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    ours, theirs = [], []
    for i in range(SAMPLES):
        sample = {name: x[i] for name, x in samples.items()}
        found = run_int(q.steps, q.constants, quantized_inputs(q, sample))
        ours.append([real_values(q, name, found[name]) for name in graph.outputs])
        theirs.append(judge.run(None, sample))
    return q, ours, theirs


def weights_of(q: QuantGraph) -> list[QuantizedNode]:
    return [step for step in q.steps if "weight" in step.integers.arrays]


def is_carried(q: QuantGraph) -> bool:
    floats = [name for name, tensor in q.graph.tensors.items() if tensor.dtype == "float32"]
    return q.graph.all_given.keys() >= {*floats}


# --- onnxruntime's own quantiser ----------------------------------------------------------------


def network() -> ModelProto:
    """Convolutions, one of them depthwise, a residual sum, a concat, pools, a linear layer."""
    nodes = [
        node("Conv", "x w0 b0", "c0", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "c0", "r0"),
        node("Conv", "r0 w1 b1", "c1", kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=6),
        node("Add", "c1 r0", "a"),
        node("MaxPool", "a", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("AveragePool", "a", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", "m p", "j", axis=1),
        node("LeakyRelu", "j", "l", alpha=0.1),
        node("GlobalAveragePool", "l", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w2 b2", "y", transB=1),
    ]
    shapes = {"w0": (6, 2, 3, 3), "b0": (6,), "w1": (6, 1, 3, 3), "b1": (6,)}
    shapes |= {"w2": (5, 12), "b2": (5,)}
    constants = {name: normal(*s, seed=i) for i, (name, s) in enumerate(shapes.items())}
    made = model(nodes, {"x": (1, 2, 8, 8)}, constants=constants)
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5]))
    return made


class Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, samples: Mapping[str, Array]) -> None:
        self.left: Iterator[dict[str, Array]] = (
            {name: x[i] for name, x in samples.items()} for i in range(SAMPLES)
        )

    def get_next(self) -> dict[str, Array] | None:
        return next(self.left, None)


WAYS = {
    "qdq": (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt8, True),
    "qdq_one_scale": (QuantFormat.QDQ, QuantType.QInt8, QuantType.QInt8, False),
    "qdq_int16": (QuantFormat.QDQ, QuantType.QInt16, QuantType.QInt8, True),
    "operators": (QuantFormat.QOperator, QuantType.QUInt8, QuantType.QInt8, True),
    "operators_one_scale": (QuantFormat.QOperator, QuantType.QUInt8, QuantType.QInt8, False),
}


def written(way: str, folder: Path, samples: Mapping[str, Array]) -> Path:
    form, activations, weights, per_channel = WAYS[way]
    made = folder / "quantized.onnx"
    logging.disable(logging.WARNING)  # it advises to run its shape inference
    kinds = {"activation_type": activations, "weight_type": weights, "per_channel": per_channel}
    source = str(saved(network(), folder))
    quantize_static(source, str(made), Reader(samples), quant_format=form, **kinds)
    logging.disable(logging.NOTSET)
    return made


@pytest.mark.parametrize("way", if_exact(WAYS, "operators", "operators_one_scale"))
def test_onnxruntimes_files_are_built_as_they_are(way: str, tmp_path: Path) -> None:
    samples = {"x": normal(SAMPLES, 1, 2, 8, 8, seed=9)}
    made = written(way, tmp_path, samples)
    q, ours, theirs = both(made, samples)
    noise = Noise()
    for mine, other in zip(ours, theirs, strict=True):
        noise.add(other[0], mine[0])
    assert noise.db is not None
    assert noise.db >= 40.0 if way != "qdq_int16" else noise.db >= 36.0  # pools have 8 bits
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(made).graph.initializer}
    for step, name in zip(weights_of(q), ("w0", "w1", "w2"), strict=True):
        assert sorted(step.integers.weight.reshape(-1)) == sorted(
            stored[f"{name}_quantized"].reshape(-1)
        )
    assert is_carried(q) or way == "qdq_int16"


# --- one operator ---------------------------------------------------------------------------------


def one(
    nodes: Sequence[NodeProto], shapes: Mapping[str, Sequence[int]], kind: str, **constants: Any
) -> ModelProto:
    """Nodes from a0, b0 .. to r0, with rounding in front of and behind them."""
    low = int(np.iinfo(KINDS[kind]).min)
    numbers = {
        "s": np.float32(0.03 if kind != "i16" else 0.0002),
        "z": np.array(0 if kind == "i16" else 117 + low, KINDS[kind]),
        "ys": np.float32(0.045 if kind != "i16" else 0.0004),
        "yz": np.array(0 if kind == "i16" else 130 + low, KINDS[kind]),
    }
    made = []
    for name in shapes:
        made.append(node("QuantizeLinear", f"{name} s z", f"{name}q"))
        made.append(node("DequantizeLinear", f"{name}q s z", f"{name}0"))
    made += [*nodes, node("QuantizeLinear", "r0 ys yz", "rq")]
    made.append(node("DequantizeLinear", "rq ys yz", "y"))
    return model(made, shapes, constants={**numbers, **constants}, opset=21)


IMAGE = {"a": (1, 3, 6, 6)}
PAIR = {"a": (1, 3, 6, 6), "b": (1, 3, 6, 6)}
MATRIX = {"a": (1, 4, 8)}
CONV = {"w": np.int8(RNG(0).integers(-127, 128, (4, 3, 3, 3)))}
CONV |= {"ws": np.float32([0.01, 0.02, 0.005, 0.007]), "wz": np.zeros(4, np.int8)}
CONV |= {"bias": np.int32(RNG(1).integers(-4000, 4000, 4)), "bs": np.float32(0.03) * CONV["ws"]}
SINGLE: dict[str, tuple[list[NodeProto], Mapping[str, Sequence[int]], dict[str, Any]]] = {
    "Conv": (
        [
            node("DequantizeLinear", "w ws wz", "w0", axis=0),
            node("DequantizeLinear", "bias bs", "b0", axis=0),
            node("Conv", "a0 w0 b0", "r0"),
        ],
        IMAGE,
        CONV,
    ),
    "ConvRelu": (
        [
            node("DequantizeLinear", "w ws wz", "w0", axis=0),
            node("Conv", "a0 w0", "c0"),
            node("Relu", "c0", "r0"),
        ],
        IMAGE,
        CONV,
    ),
    "MatMul": (
        [node("DequantizeLinear", "w ws wz", "w0", axis=1), node("MatMul", "a0 w0", "r0")],
        MATRIX,
        {**CONV, "w": np.int8(RNG(2).integers(-127, 128, (8, 4)))},
    ),
    "Gemm": (
        [
            node("DequantizeLinear", "w s z", "w0"),
            node("Gemm", "a0 w0", "r0", transB=1),
        ],
        {"a": (2, 8)},
        {"w": np.uint8(RNG(2).integers(0, 256, (4, 8)))},
    ),
    "MatMul_pair": ([node("MatMul", "a0 b0", "r0")], {"a": (1, 4, 8), "b": (1, 8, 5)}, {}),
    "Add": ([node("Add", "a0 b0", "r0")], PAIR, {}),
    "Sub": ([node("Sub", "a0 b0", "r0")], PAIR, {}),
    "Mul": ([node("Mul", "a0 b0", "r0")], PAIR, {}),
    "Relu": ([node("Relu", "a0", "r0")], IMAGE, {}),
    "Clip": ([node("Clip", "a0 lo hi", "r0")], IMAGE, {"lo": np.float32(0), "hi": np.float32(2)}),
    "LeakyRelu": ([node("LeakyRelu", "a0", "r0", alpha=0.2)], IMAGE, {}),
    "Sigmoid": ([node("Sigmoid", "a0", "r0")], IMAGE, {}),
    "Tanh": ([node("Tanh", "a0", "r0")], IMAGE, {}),
    "HardSwish": ([node("HardSwish", "a0", "r0")], IMAGE, {}),
    "Softmax": ([node("Softmax", "a0", "r0", axis=-1)], MATRIX, {}),
    "MaxPool": ([node("MaxPool", "a0", "r0", kernel_shape=[2, 2])], IMAGE, {}),
    "AveragePool": ([node("AveragePool", "a0", "r0", kernel_shape=[2, 2])], IMAGE, {}),
    "GlobalAveragePool": ([node("GlobalAveragePool", "a0", "r0")], IMAGE, {}),
    "ReduceMean": (
        [node("ReduceMean", "a0 axes", "r0")],
        MATRIX,
        {"axes": np.array([2], np.int64)},
    ),
    "Concat": ([node("Concat", "a0 b0", "r0", axis=1)], PAIR, {}),
    "Transpose": ([node("Transpose", "a0", "r0", perm=[0, 2, 1])], MATRIX, {}),
    "Reshape": (
        [node("Reshape", "a0 to", "r0")],
        MATRIX,
        {"to": np.array([2, 16], np.int64)},
    ),
    "PRelu": ([node("PRelu", "a0 slope", "r0")], IMAGE, {"slope": normal(3, 1, 1)}),
    "BatchNormalization": (
        [
            node("DequantizeLinear", "w ws wz", "w0", axis=0),
            node("Conv", "a0 w0", "c0"),
            node("BatchNormalization", "c0 g b m v", "r0"),
        ],
        IMAGE,
        {
            **CONV,
            "g": normal(4, seed=3),
            "b": normal(4, seed=4),
            "m": normal(4, seed=5),
            "v": np.abs(normal(4, seed=6)) + 0.5,
        },
    ),
}


def steps_apart(
    made: ModelProto, folder: Path, shapes: Mapping[str, Sequence[int]], at: float
) -> tuple[QuantGraph, float]:
    samples = {n: 1.5 * normal(SAMPLES, *s, seed=i) for i, (n, s) in enumerate(shapes.items())}
    q, ours, theirs = both(saved(made, folder), samples)
    far = [np.abs(a[0] - b[0]).max() for a, b in zip(ours, theirs, strict=True)]
    assert max(np.ptp(o[0]) for o in theirs) > 3 * at or made.graph.node[2].op_type == "Softmax"
    return q, float(max(far)) / at


@pytest.mark.parametrize("kind", ["u8", "i8"])
@pytest.mark.parametrize("name", SINGLE)
def test_an_operator_is_within_one_step(name: str, kind: str, tmp_path: Path) -> None:
    nodes, shapes, constants = SINGLE[name]
    if name == "Gemm" and kind == "i8":
        constants = {"w": np.int8(RNG(2).integers(-128, 128, (4, 8)))}
    q, far = steps_apart(one(nodes, shapes, kind, **constants), tmp_path, shapes, 0.045)
    assert far <= 1.001
    assert is_carried(q) or name == "Softmax"
    if weights_of(q) and name != "BatchNormalization":
        zero = 0 if name != "Gemm" else 117 - (128 if kind == "i8" else 0)
        stored = np.sort((constants["w"].astype(int) - zero).reshape(-1))
        assert np.array_equal(np.sort(weights_of(q)[0].integers.weight.reshape(-1)), stored)


@pytest.mark.parametrize("name", ["Conv", "MatMul", "Add", "Relu", "Tanh", "Concat", "Reshape"])
def test_an_operator_of_16_bits_is_within_one_step_of_14(name: str, tmp_path: Path) -> None:
    """Tables of 16 bits and factors of 15 have errors of their own."""
    nodes, shapes, constants = SINGLE[name]
    made = one(nodes, shapes, "i16", **constants)
    q, far = steps_apart(made, tmp_path, shapes, 0.0004)
    assert far <= 4.0
    assert q.params[q.graph.outputs[0]].element_type == INT16


# --- operators on integers ------------------------------------------------------------------------

NUMBERS = {"s": np.float32(0.03), "z": np.uint8(117), "ys": np.float32(0.045), "yz": np.uint8(130)}
Q = "q s z"  # a quantised operand as operators on integers have it
MS = {"domain": "com.microsoft"}


def on_integers(
    nodes: Sequence[NodeProto], shapes: Mapping[str, Sequence[int]], **constants: Any
) -> ModelProto:
    made = [node("QuantizeLinear", f"{name} s z", f"{name}q") for name in shapes]
    made += [*nodes, node("DequantizeLinear", "rq ys yz", "y")]
    numbers = {**NUMBERS, **constants}
    graph = model(made, shapes, constants=numbers)
    del graph.opset_import[:]
    graph.opset_import.extend(MICROSOFT)
    return graph


UNSIGNED = {"w": np.uint8(RNG(3).integers(0, 256, (4, 3, 3, 3))), "ws": np.float32(0.01)}
UNSIGNED |= {"wz": np.uint8(99), "bias": np.int32(RNG(1).integers(-4000, 4000, 4))}
INTEGERS: dict[str, tuple[NodeProto, Mapping[str, Sequence[int]], dict[str, Any]]] = {
    "QLinearConv": (node("QLinearConv", "aq s z w ws wz ys yz bias", "rq"), IMAGE, CONV),
    "QLinearConv_uint8": (node("QLinearConv", "aq s z w ws wz ys yz bias", "rq"), IMAGE, UNSIGNED),
    "QLinearMatMul": (
        node("QLinearMatMul", "aq s z w ws wz ys yz", "rq"),
        MATRIX,
        {**CONV, "w": np.int8(RNG(2).integers(-127, 128, (8, 4)))},
    ),
    "QGemm": (
        node("QGemm", "aq s z w ws wz bias ys yz", "rq", transB=1, **MS),
        {"a": (2, 8)},
        {**CONV, "w": np.int8(RNG(2).integers(-127, 128, (4, 8)))},
    ),
    "QLinearAdd": (node("QLinearAdd", "aq s z bq s z ys yz", "rq", **MS), PAIR, {}),
    "QLinearMul": (node("QLinearMul", "aq s z bq s z ys yz", "rq", **MS), PAIR, {}),
    "QLinearSigmoid": (node("QLinearSigmoid", "aq s z ys yz", "rq", **MS), IMAGE, {}),
    "QLinearLeakyRelu": (
        node("QLinearLeakyRelu", "aq s z ys yz", "rq", alpha=0.2, **MS), IMAGE, {},
    ),
    "QLinearGlobalAveragePool": (
        node("QLinearGlobalAveragePool", "aq s z ys yz", "rq", channels_last=0, **MS), IMAGE, {},
    ),
    "QLinearAveragePool": (
        node("QLinearAveragePool", "aq s z ys yz", "rq", kernel_shape=[2, 2], **MS), IMAGE, {},
    ),
    "QLinearAveragePool_behind": (
        node("QLinearAveragePool", "aq s z ys yz", "rq", kernel_shape=[2, 2], channels_last=1,
             **MS), IMAGE, {},
    ),
    "QLinearGlobalAveragePool_behind": (
        node("QLinearGlobalAveragePool", "aq s z ys yz", "rq", channels_last=1, **MS), IMAGE, {},
    ),
    "QLinearWhere": (
        node("QLinearWhere", "c aq s z bq s z ys yz", "rq", **MS), PAIR,
        {"c": np.arange(6) % 2 == 0},
    ),
    "QLinearConcat": (
        node("QLinearConcat", "ys yz aq s z bq s z", "rq", axis=1, **MS), PAIR, {},
    ),
    "QLinearSoftmax": (
        node("QLinearSoftmax", "aq s z ys yz", "rq", axis=-1, opset=13, **MS),
        MATRIX,
        {"ys": np.float32(0.004), "yz": np.uint8(0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", if_exact(INTEGERS, "QLinearConv", "QLinearMatMul"))
def test_an_operator_on_integers_is_within_one_step(name: str, tmp_path: Path) -> None:
    """Of onnxruntime's, which rounds once; its sums and pools of integers are off by one too."""
    made, shapes, constants = INTEGERS[name]
    step = float(constants.get("ys", NUMBERS["ys"]))
    q, far = steps_apart(on_integers([made], shapes, **constants), tmp_path, shapes, step)
    assert far <= (1.001 if name != "QLinearSoftmax" else 2.001)
    for weighted in weights_of(q):
        stored = constants["w"].astype(int) - int(np.ravel(constants["wz"])[0])
        assert np.array_equal(
            np.sort(weighted.integers.weight.reshape(-1)), np.sort(stored.reshape(-1))
        )
    bias = [x for x in weights_of(q) if "bias" in constants]
    if bias and name == "QLinearConv":
        rows = bias[0].integers.weight.reshape(4, -1).astype(int).sum(axis=1)
        zero = 117 - 128
        assert np.array_equal(bias[0].integers.bias + zero * rows, constants["bias"])


def test_integers_are_padded_with_what_theirs_stands_for(tmp_path: Path) -> None:
    pads = np.array([0, 0, 1, 0, 0, 0, 0, 2], np.int64)
    nodes = [
        node("QuantizeLinear", "a s z", "aq"),
        node("Pad", "aq pads five", "rq"),
        node("DequantizeLinear", "rq s z", "y"),
    ]
    for five in (np.uint8(5), NUMBERS["z"]):
        made = model(nodes, IMAGE, constants={**NUMBERS, "pads": pads, "five": five})
        q, far = steps_apart(made, tmp_path, IMAGE, 0.03)
        assert far == 0.0
        assert is_carried(q)
    del nodes[1].input[2]
    with pytest.raises(MyoedgeError, match="give Pad the zero point as its value"):
        load_model(saved(model(nodes, IMAGE, constants={**NUMBERS, "pads": pads}), tmp_path))


@pytest.mark.parametrize("function", ["Relu", "Identity"])
def test_two_roundings_behind_an_operator_are_one_layer(function: str, tmp_path: Path) -> None:
    """Both are kept: the first in front of the operator's table, the second behind it."""
    conv, shapes, constants = SINGLE["Conv"]
    behind = [
        node("QuantizeLinear", "r0 ys yz", "r1"),
        node("DequantizeLinear", "r1 ys yz", "r2"),
        node(function, "r2", "r3"),
        node("QuantizeLinear", "r3 other z", "r4"),
        node("DequantizeLinear", "r4 other z", "y"),
    ]
    ahead = [node("QuantizeLinear", "a s z", "aq"), node("DequantizeLinear", "aq s z", "a0")]
    numbers = {**NUMBERS, **constants, "other": np.float32(0.0371)}
    made = model([*ahead, *conv, *behind], shapes, constants=numbers)
    q, ours, theirs = both(saved(made, tmp_path), {"a": normal(SAMPLES, *shapes["a"])})
    assert [s.node.op for s in q.steps if s.node.op != "transpose"] == ["conv"]
    far = [np.abs(a[0] - b[0]) for a, b in zip(ours, theirs, strict=True)]
    assert max(x.max() for x in far) <= 0.0451  # a step of the first, requantised
    assert np.mean([x > 0.001 for x in far]) < 0.01


def test_a_mean_of_integers(tmp_path: Path) -> None:
    """By its definition: onnxruntime knows the operator, and has no kernel of it."""
    mean = node("QLinearReduceMean", "aq s z ys yz", "rq", axes=[2, 3], keepdims=1, **MS)
    graph = load_model(saved(on_integers([mean], IMAGE), tmp_path)).graph
    x = normal(SAMPLES, *IMAGE["a"])
    q = quantize_graph(graph, calibrate(graph, {"a": x}, Observer(), "test"))
    for sample in x:
        found = run_int(q.steps, q.constants, quantized_inputs(q, {"a": sample}))
        mine = real_values(q, graph.outputs[0], found[graph.outputs[0]])
        seen = np.clip(np.rint(sample / 0.03) + 117, 0, 255) - 117
        wanted = np.rint(0.03 * seen.mean(axis=(2, 3), keepdims=True) / 0.045) * 0.045
        assert np.abs(mine - wanted).max() <= 0.0451


def test_columns_with_zero_points_of_their_own(tmp_path: Path) -> None:
    weights, zeros = np.uint8(RNG(2).integers(0, 256, (8, 4))), np.uint8([128, 3, 250, 90])
    nodes = [
        node("QuantizeLinear", "a s z", "aq"),
        node("MatMulInteger", "aq w z zeros", "sums"),
        node("Cast", "sums", "f", to=TensorProto.FLOAT),
        node("Mul", "f both", "r"),
        node("QuantizeLinear", "r ys yz", "rq"),
        node("DequantizeLinear", "rq ys yz", "y"),
    ]
    numbers = {**NUMBERS, "w": weights, "zeros": zeros, "both": np.float32(0.03 * 0.01)}
    made = model(nodes, {"a": (1, 4, 8)}, constants=numbers)
    q, far = steps_apart(made, tmp_path, {"a": (1, 4, 8)}, 0.045)
    assert far <= 1.001
    (step,) = weights_of(q)
    assert np.array_equal(step.integers.weight, (weights.astype(int) - zeros).T)


@exact_sums
def test_a_channel_without_a_scale_is_zero(tmp_path: Path) -> None:
    scales = np.float32([0.01, 0.0, 0.02, 0.005])
    conv, shapes, constants = INTEGERS["QLinearConv"]
    given = {**constants, "ws": scales, "wz": np.zeros(4, np.int8)}
    _, far = steps_apart(on_integers([conv], shapes, **given), tmp_path, shapes, 0.045)
    assert far <= 1.001


@pytest.mark.parametrize(
    ("first", "zero", "says"),
    [
        ({"output_dtype": TensorProto.INT16}, np.uint8(117), "output_dtype=int16 with a zero"),
        ({}, np.int8(17), "a zero point of type int8 for integers of type uint8"),
    ],
)
def test_types_that_contradict_each_other(
    first: dict[str, int], zero: Any, says: str, tmp_path: Path
) -> None:
    """onnxruntime refuses these files, too."""
    nodes = [
        node("QuantizeLinear", "a s z", "q", **first),
        node("DequantizeLinear", "q s other", "y"),
    ]
    made = model(nodes, MATRIX, constants={**NUMBERS, "other": zero}, opset=21)
    with pytest.raises(MyoedgeError, match=says) as caught:
        load_model(saved(made, tmp_path))
    assert caught.value.code == "E119"


def test_weights_that_the_file_rounds_are_counted_once(tmp_path: Path) -> None:
    """As Brevitas and quantisation-aware exports have them: floats, quantised in the file."""
    nodes = [
        node("QuantizeLinear", "w ws", "wq", axis=0),
        node("DequantizeLinear", "wq ws", "wf", axis=0),
        node("MatMul", "a wf", "y"),
    ]
    numbers = {"w": normal(8, 4), "ws": np.full(8, 0.02, np.float32)}
    assert load_model(saved(model(nodes, MATRIX, constants=numbers), tmp_path)).params == 32


@pytest.mark.parametrize("op", if_exact(["ConvInteger", "MatMulInteger"], "MatMulInteger"))
def test_sums_of_integers_are_scaled_by_what_reads_them(op: str, tmp_path: Path) -> None:
    shape, w = ((1, 3, 6, 6), (4, 3, 3, 3)) if op == "ConvInteger" else ((1, 4, 8), (8, 4))
    weights = np.int8(RNG(2).integers(-127, 128, w))
    nodes = [
        node("QuantizeLinear", "a s z", "aq"),
        node(op, "aq w z", "sums"),
        node("Cast", "sums", "f", to=TensorProto.FLOAT),
        node("Mul", "f both", "r"),
        node("QuantizeLinear", "r ys yz", "rq"),
        node("DequantizeLinear", "rq ys yz", "y"),
    ]
    numbers = {**NUMBERS, "w": weights, "both": np.float32(0.03 * 0.01)}
    made = model(nodes, {"a": shape}, constants=numbers)
    q, far = steps_apart(made, tmp_path, {"a": shape}, 0.045)
    assert far <= 1.001
    (step,) = weights_of(q)
    assert np.array_equal(np.sort(step.integers.weight.reshape(-1)), np.sort(weights.reshape(-1)))


# --- others' ways of writing ----------------------------------------------------------------------


OF_8_BITS = {
    "Max": ([node("Max", "a0 k", "r0")], {"k": normal(4, 8, seed=3)}),
    "InstanceNormalization": (
        [node("InstanceNormalization", "a0 g b", "r0")],
        {"g": np.ones(4, np.float32), "b": np.zeros(4, np.float32)},
    ),
}


@pytest.mark.parametrize("function", ["Sigmoid", "Sign"])
@pytest.mark.parametrize("name", OF_8_BITS)
def test_16_bits_behind_an_operator_that_writes_8(name: str, function: str, tmp_path: Path) -> None:
    """The operator's own rounding is one of 8 bits; the function jumps or does not."""
    nodes, constants = OF_8_BITS[name]
    made = one(nodes, MATRIX, "i16", **constants)
    made.graph.node.append(node(function, "y", "out"))
    made.graph.output[0].name = "out"
    _, ours, theirs = both(saved(made, tmp_path), {"a": normal(SAMPLES, 1, 4, 8)})
    a, b = (np.stack([o[0] for o in found]) for found in (ours, theirs))
    assert np.mean(np.abs(a - b) > 0.02) <= (0.0 if function == "Sigmoid" else 0.02)
    assert np.ptp(b) > 0.5


BESIDE = {  # what else reads r, which a narrow rounding clips to 1
    "wider rounding": [
        node("QuantizeLinear", "r wide z", "wq"),
        node("DequantizeLinear", "wq wide z", "y"),
    ],
    "nothing": [node("Identity", "r", "y")],
    "function": [node("Abs", "r", "y")],
    "moved": [node("Reshape", "r flat", "y")],
}


@pytest.mark.parametrize("is_moved", [False, True])
@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("beside", BESIDE)
def test_a_rounding_is_seen_by_its_own_reader_alone(
    beside: str, is_first: bool, is_moved: bool, tmp_path: Path
) -> None:
    narrow = [
        node("Transpose", "r", "t", perm=[0, 2, 1]) if is_moved else node("Identity", "r", "t"),
        node("QuantizeLinear", "t narrow z", "nq"),
        node("DequantizeLinear", "nq narrow z", "n"),
        node("Tanh", "n", "out"),
    ]
    parts = [narrow, BESIDE[beside]]
    nodes = [node("MatMul", "a w", "r"), *parts[not is_first], *parts[is_first]]
    numbers = {"narrow": np.float32(1 / 128), "wide": np.float32(0.06), "z": np.int8(0)}
    numbers |= {"w": normal(8, 8), "flat": np.array([1, 32], np.int64)}
    made = model(nodes, MATRIX, ["out", "y"], numbers)
    _, ours, theirs = both(saved(made, tmp_path), {"a": normal(SAMPLES, 1, 4, 8)})
    for i in range(2):
        a, b = (np.stack([o[i] for o in found]) for found in (ours, theirs))
        assert np.sum((a - b) ** 2) < 1e-3 * np.sum(b**2)
    assert max(np.abs(o[1]).max() for o in theirs) > 3


def test_a_rounding_beside_a_reader_of_floats_is_of_16_bits(tmp_path: Path) -> None:
    """Of 8 bits a step would be several of the rounding's."""
    nodes = [
        node("QuantizeLinear", "a s z", "aq"),
        node("DequantizeLinear", "aq s z", "a0"),
        node("DequantizeLinear", "w ws", "wf"),
        node("MatMul", "a0 wf", "r"),
        node("QuantizeLinear", "r narrow zero", "nq"),
        node("DequantizeLinear", "nq narrow zero", "n"),
        node("Identity", "n", "out"),
        node("Abs", "r", "y"),
    ]
    numbers = {**NUMBERS, "narrow": np.float32(1 / 128), "zero": np.int8(0), "ws": np.float32(0.02)}
    numbers["w"] = np.int8(RNG(2).integers(-127, 128, (8, 8)))
    made = model(nodes, MATRIX, ["out", "y"], numbers)
    q, ours, theirs = both(saved(made, tmp_path), {"a": normal(SAMPLES, 1, 4, 8)})
    apart = [np.abs([a[i] - b[i] for a, b in zip(ours, theirs, strict=True)]) for i in (0, 1)]
    assert apart[0].max() <= 1.001 / 128
    assert apart[1].max() <= 0.51 * q.params[q.graph.outputs[1]].scale


def test_a_constant_beside_two_roundings_has_both(tmp_path: Path) -> None:
    nodes = [
        node("Concat", "a k", "r", axis=1),
        node("QuantizeLinear", "r narrow z", "nq"),
        node("DequantizeLinear", "nq narrow z", "out"),
        node("Abs", "a", "b"),
        node("Concat", "b k", "y", axis=1),
    ]
    numbers = {"narrow": np.float32(1 / 128), "z": np.int8(0), "k": 3 * normal(1, 4, 8)}
    made = model(nodes, MATRIX, ["out", "y"], numbers)
    _, ours, theirs = both(saved(made, tmp_path), {"a": normal(SAMPLES, 1, 4, 8)})
    for i in range(2):
        assert max(np.abs(a[i] - b[i]).max() for a, b in zip(ours, theirs, strict=True)) < 0.05


def test_brevitas_clips_between_quantising_and_dequantising(tmp_path: Path) -> None:
    """Its QCDQ: narrow int8 weights, activations of 4 bits in uint8, a power of two as a scale."""
    nodes = [
        node("QuantizeLinear", "a as az", "aq"),
        node("Clip", "aq lo hi", "ac"),
        node("DequantizeLinear", "ac as az", "af"),
        node("DequantizeLinear", "w ws wz", "wf", axis=0),
        node("Conv", "af wf", "c"),
        node("Relu", "c", "r"),
        node("QuantizeLinear", "r ys yz", "rq"),
        node("Clip", "rq lo hi", "rc"),
        node("DequantizeLinear", "rc ys yz", "y"),
    ]
    numbers = {
        **CONV,
        "as": np.float32(0.25), "az": np.uint8(8), "ys": np.float32(0.125), "yz": np.uint8(0),
        "lo": np.uint8(0), "hi": np.uint8(15),
    }  # fmt: skip
    made = model(nodes, IMAGE, constants=numbers)
    q, far = steps_apart(made, tmp_path, IMAGE, 0.125)
    assert far <= 1.001
    values = np.unique([step.high - step.low for step in weights_of(q)])
    assert np.array_equal(values, [15])


def test_tensorflows_way_through_tf2onnx(tmp_path: Path) -> None:
    """Channels last, turned around the convolution; a clamp at 6 that the parameters say already;
    weights of their own scale for each channel, asymmetric activations, a bias of int32."""
    nodes = [
        node("QuantizeLinear", "a s z", "aq"),
        node("DequantizeLinear", "aq s z", "af"),
        node("Transpose", "af", "at", perm=[0, 3, 1, 2]),
        node("DequantizeLinear", "w ws wz", "wf", axis=0),
        node("DequantizeLinear", "bias bs", "bf", axis=0),
        node("Conv", "at wf bf", "c", pads=[1, 1, 1, 1]),
        node("Clip", "c lo hi", "r"),
        node("QuantizeLinear", "r ys yz", "rq"),
        node("DequantizeLinear", "rq ys yz", "rf"),
        node("Transpose", "rf", "t", perm=[0, 2, 3, 1]),
        node("QuantizeLinear", "t ys yz", "tq"),
        node("DequantizeLinear", "tq ys yz", "y"),
    ]
    shapes = {"a": (1, 6, 6, 3)}
    numbers = {**NUMBERS, **CONV, "ys": np.float32(6 / 255), "yz": np.uint8(0)}
    numbers |= {"lo": np.float32(0), "hi": np.float32(6)}
    q, far = steps_apart(model(nodes, shapes, constants=numbers), tmp_path, shapes, 6 / 255)
    assert far <= 1.001
    assert [step.node.op for step in q.steps] == ["conv"]


def test_weights_of_4_bits(tmp_path: Path) -> None:
    numbers = RNG(0).integers(-8, 8, (8, 4))
    nodes = [
        node("QuantizeLinear", "a s z", "aq"),
        node("DequantizeLinear", "aq s z", "af"),
        node("DequantizeLinear", "w ws", "wf", axis=1),
        node("MatMul", "af wf", "r"),
        node("QuantizeLinear", "r ys yz", "rq"),
        node("DequantizeLinear", "rq ys yz", "y"),
    ]
    w = helper.make_tensor("w", TensorProto.INT4, [8, 4], numbers.reshape(-1).tolist())
    scales = np.float32([0.1, 0.2, 0.05, 0.07])
    made = model(nodes, MATRIX, constants={**NUMBERS, "w": w, "ws": scales}, opset=21)
    q, far = steps_apart(made, tmp_path, MATRIX, 0.045)
    assert far <= 1.001
    assert np.array_equal(weights_of(q)[0].integers.weight, numbers.T)


@pytest.mark.parametrize("kind", [TensorProto.INT8, TensorProto.INT16])
@pytest.mark.parametrize("read", ["a", "k"])
def test_the_type_that_quantizing_names(kind: int, read: str, tmp_path: Path) -> None:
    nodes = [
        node("QuantizeLinear", f"{read} s", "q", output_dtype=kind),
        node("DequantizeLinear", "q s", "d"),
        node("Add", "a d", "y"),
    ]
    made = model(nodes, MATRIX, constants={**NUMBERS, "k": normal(1, 4, 8, seed=5)}, opset=21)
    _, ours, theirs = both(saved(made, tmp_path), {"a": normal(SAMPLES, 1, 4, 8)})
    far = max(np.abs(a[0] - b[0]).max() for a, b in zip(ours, theirs, strict=True))
    assert far < 0.1
    assert min(o[0].min() for o in theirs) < -1


def test_integers_as_inputs_and_outputs(tmp_path: Path) -> None:
    """As converters of whole networks of integers write them."""
    nodes = [
        node("DequantizeLinear", "a s z", "af"),
        node("Relu", "af", "r"),
        node("QuantizeLinear", "r ys yz", "y"),
    ]
    made = model(nodes, {"a": (1, 256)}, constants=NUMBERS)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    path, numbers = saved(made, tmp_path), np.arange(256, dtype=np.uint8)[None]
    graph = load_model(path).graph
    q = quantize_graph(graph, calibrate(graph, {"a": numbers[None]}, Observer(), "test"))
    (theirs,) = ort.InferenceSession(str(path)).run(None, {"a": numbers})
    found = run_int(q.steps, q.constants, quantized_inputs(q, {"a": numbers}))
    assert np.array_equal(found[graph.outputs[0]].astype(int) + 128, theirs)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("QuantizeLinear", "x s z", "q"), node("Cast", "q", "y", to=1)],
         "it computes with integers of a quantised tensor"),
        ([node("QuantizeLinear", "x many z4", "q"), node("DequantizeLinear", "q many z4", "y")],
         "a scale for every channel"),
        ([node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q many0 z", "y")],
         "another scale than they were written with"),
        ([node("QuantizeLinear", "x s z", "p"), node("QuantizeLinear", "x many0 z", "q"),
          node("Concat", "p q", "c", axis=1), node("DequantizeLinear", "c s z", "y")],
         "integers of several scales that are joined"),
        ([node("QuantizeLinear", "x s z", "q"), node("Concat", "q z14", "c", axis=0),
          node("DequantizeLinear", "c s z", "y")],
         "integers of several scales that are joined"),
    ],
)  # fmt: skip
def test_what_is_not_read_says_why(nodes: list[NodeProto], words: str, tmp_path: Path) -> None:
    numbers = {"many": np.float32([1, 2, 3, 4]), "z4": np.zeros(4, np.uint8)}
    numbers["z14"] = np.zeros((1, 4), np.uint8)
    made = model(nodes, constants={**NUMBERS, **numbers, "many0": np.float32(0.5)})
    with pytest.raises(MyoedgeError) as caught:
        load_model(saved(made, tmp_path))
    assert caught.value.code == "E111"
    assert words in str(caught.value)


WRONG = {
    "s": [np.float32(0), np.float32(-1), np.float32("nan"), np.float32("inf"), np.float32([1, 2])],
    "z": [np.uint8([1, 2, 3]), np.int32(0), np.float32(0), np.uint8([])],
    "ws": [np.float32([1, 2]), np.float32([[0.1]]), np.float32([0, 1, 1, 1]), np.float32([])],
    "wz": [np.int8([0, 0]), np.float32([0] * 4), np.uint16([0] * 4)],
    "w": [np.int8(0), np.float32(RNG(0).normal(size=(4, 3, 3, 3))), np.int32([[1]])],
    "bias": [np.int32([1]), np.float32([1, 2, 3, 4])],
}


@pytest.mark.parametrize("name", WRONG)
def test_nonsense_is_refused_and_no_traceback(name: str, tmp_path: Path) -> None:
    nodes, shapes, constants = SINGLE["Conv"]
    integers, image, others = INTEGERS["QLinearConv"]
    for value in WRONG[name]:
        for made in (
            one(nodes, shapes, "u8", **{**constants, name: value}),
            on_integers([integers], image, **{**others, name: value}),
        ):
            try:
                load_model(saved(made, tmp_path))
            except MyoedgeError as error:
                assert error.code in ("E111", "E112", "E119")  # noqa: PT017
