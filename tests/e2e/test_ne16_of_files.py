# SPDX-License-Identifier: Apache-2.0
"""Files of integers for NE16: onnxruntime's uint8 weights need more than 8 bits without their zero
point, if it is far from 128."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import NodeProto
from torch import nn

import myoedge
from myoedge.extensions.zoo import emg2qwerty, tinymyo
from myoedge.extensions.zoo.all_convnet import hd
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.engines import EngineIntegers, EngineRules
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from tests.e2e.test_tinymyo_heads import graph_of
from tests.support.networks.small import autoencoder, keywords, mobilenet, resnet8
from tests.support.onnx.models import model, node, saved

STEP, ZERO = 0.08, 117  # of the result
RNG = np.random.default_rng(0)
BORDER = {"s": np.float32(0.03), "z": np.uint8(117), "ys": np.float32(STEP), "yz": np.uint8(ZERO)}
MATRIX = RNG.integers(0, 256, (64, 48), np.uint8)  # [C, K]
FILTERS = RNG.integers(0, 256, (32, 16, 3, 3), np.uint8)
SCALE = {"ws": np.float32(0.002)}

INPUT = [node("QuantizeLinear", "x s z", "xq")]
FLOATS = [node("DequantizeLinear", "xq s z", "xf"), node("DequantizeLinear", "w ws wz", "wf")]
INTEGERS = [node("QuantizeLinear", "yf ys yz", "yq")]
OUTPUT = [node("DequantizeLinear", "yq ys yz", "y")]
OPERANDS = "xq s z w ws wz ys yz"
NODES: dict[str, list[NodeProto]] = {
    "QLinearConv": [node("QLinearConv", OPERANDS, "yq", pads=[1, 1, 1, 1])],
    "Conv": [*FLOATS, node("Conv", "xf wf", "yf", pads=[1, 1, 1, 1]), *INTEGERS],
    "QLinearMatMul": [node("QLinearMatMul", OPERANDS, "yq")],
    "MatMul": [*FLOATS, node("MatMul", "xf wf", "yf"), *INTEGERS],
}


@pytest.mark.parametrize("zero", [3, pytest.param(250, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "form", [pytest.param(f, marks=[pytest.mark.slow] * (f[0] != "Q")) for f in NODES]
)
def test_uint8_weights_with_a_zero_point_far_from_128(form: str, zero: int, tmp_path: Path) -> None:
    shape, weights = ((1, 40, 64), MATRIX) if "MatMul" in form else ((1, 16, 12, 12), FILTERS)
    constants: dict[str, Any] = {**BORDER, **SCALE, "w": weights, "wz": np.uint8(zero)}
    made = model([*INPUT, *NODES[form], *OUTPUT], {"x": shape}, constants=constants)
    path = saved(made, tmp_path)
    calib = np.random.default_rng(1).normal(size=(6, *shape)).astype(np.float32)
    build = myoedge.build(path, calib=calib, output=tmp_path / "out", simulate=False)
    (row,) = (row for row in build.report["layers"] if row["macs"])
    assert (row["engine"], row["weight_bits"], row["dtype"]) == ("ne16", 16, "int8")
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    judge = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for sample in calib:
        (wanted,) = judge.run(None, {"x": sample})
        assert np.abs(build.run(sample) - wanted).max() <= 1.001 * STEP


# --- SQNR -----------------------------------------------------------------------------------------


MOST_LOST_DB = 0.5
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "All-ConvNet": (hd, (1, 1, 16, 8)),
    "auto-encoder": (autoencoder, (1, 640)),
    "ResNet-8": (resnet8, (1, 3, 32, 32)),
    "DS-CNN": (keywords, (1, 1, 49, 10)),
}
LARGE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "TinyMyo small": (tinymyo.small_epn, (1, 8, 200)),
    "MobileNetV1 0.25": (mobilenet, (1, 3, 96, 96)),
    "emg2qwerty for 6 keys": (emg2qwerty.kao, (59, 1, 2, 16, 33)),
}


def runs_on_ne16(step: QuantizedNode) -> bool:
    kernels = OPS[step.node.op].kernels
    return any(kernel.engine == "ne16" and kernel.accepts(step) for kernel in kernels)


@pytest.mark.parametrize(
    "name", [*NETWORKS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_a_network_on_ne16_keeps_its_sqnr(name: str) -> None:
    make, shape = {**NETWORKS, **LARGE}[name]
    torch.manual_seed(0)
    graph = graph_of(make().eval(), shape)
    calib = np.random.default_rng(0).standard_normal((8, *shape)).astype(np.float32)
    given = {graph.inputs[0]: calib}
    cores = quantize_graph(graph, calibrate(graph, given, Observer(), "drawn"))
    ne16 = EngineIntegers(EngineRules(frozenset({"ne16"})))(cores)
    assert any(map(runs_on_ne16, ne16.steps))
    before, after = (measure(q, given, layers=False).worst_db for q in (cores, ne16))
    assert before is not None
    assert after is not None
    assert after >= before - MOST_LOST_DB
