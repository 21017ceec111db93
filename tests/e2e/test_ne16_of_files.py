# SPDX-License-Identifier: Apache-2.0
"""Files of integers for NE16: onnxruntime's uint8 weights need more than 8 bits without their zero
point, if it is far from 128."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import NodeProto

import myoedge
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
