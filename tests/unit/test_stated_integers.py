# SPDX-License-Identifier: Apache-2.0
"""Weights and rows that a file has as integers stay these, or the file is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

import myoedge
from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.interpreter import run_int
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from tests.support.onnx.models import model, node, saved
from tests.unit.test_onnx_quantized import SAMPLES, both, normal

RNG = np.random.default_rng
NUMBERS = {"s": np.float32(0.03), "z": np.uint8(117), "ys": np.float32(0.045), "yz": np.uint8(130)}
OF_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}  # ours, in the order of ONNX's
UNITS, CHANNELS, STEPS = 6, 5, 4


def around(nodes: list[Any], shape: tuple[int, ...], **constants: Any) -> ModelProto:
    """Nodes from a0 to r0, with rounding in front of and behind them."""
    made = [
        node("QuantizeLinear", "a s z", "aq"),
        node("DequantizeLinear", "aq s z", "a0"),
        *nodes,
        node("QuantizeLinear", "r0 ys yz", "rq"),
        node("DequantizeLinear", "rq ys yz", "y"),
    ]
    return model(made, {"a": shape}, constants={**NUMBERS, **constants}, opset=21)


# --- products ------------------------------------------------------------------------------------


def product(axis: int, scales: Any) -> ModelProto:
    weights = RNG(0).integers(-128, 128, (8, 4)).astype(np.int8)
    nodes = [
        node("DequantizeLinear", "w ws", "w0", axis=axis),
        node("MatMul", "a0 w0", "r0"),
    ]
    return around(nodes, (2, 8), w=weights, ws=np.float32(scales))


def refusal(made: ModelProto, folder: Path) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        load_model(saved(made, folder))
    assert caught.value.code == "E111"
    assert {"needs", "has"} <= dict(caught.value.notice.facts).keys()
    return caught.value


def test_scales_along_the_channels_of_the_input_are_refused_and_the_advice_is_read(
    tmp_path: Path,
) -> None:
    error = refusal(product(0, np.linspace(0.01, 0.02, 8)), tmp_path)
    assert "axis=1 of a MatMul" in str(error)
    for axis, scales in ((1, np.linspace(0.01, 0.02, 4)), (0, 0.01), (0, np.full(8, 0.01))):
        made = product(axis, scales)
        samples = {"a": normal(SAMPLES, 2, 8)}
        q, ours, theirs = both(saved(made, tmp_path), samples)
        (step,) = (x for x in q.steps if "weight" in x.integers.arrays)
        assert np.array_equal(step.integers.weight.T, RNG(0).integers(-128, 128, (8, 4)))
        assert max(np.abs(a[0] - b[0]).max() for a, b in zip(ours, theirs, strict=True)) <= 0.0451


# --- recurrent layers ----------------------------------------------------------------------------


def recurrent(op: str, kind: type, zero: int, per_row: bool) -> tuple[ModelProto, Array, Array]:
    rng, gates = RNG(1), len(OF_GATES[op])
    low = np.iinfo(kind).min
    w = rng.integers(low, low + 256, (1, gates * UNITS, CHANNELS)).astype(kind)
    r = rng.integers(low, low + 256, (1, gates * UNITS, UNITS)).astype(kind)
    count = gates * UNITS if per_row else 1
    scale = np.float32(rng.uniform(0.002, 0.006, count))
    nodes = [
        node("DequantizeLinear", "w ws wz", "w0", axis=1),
        node("DequantizeLinear", "r ws wz", "rw", axis=1),
        node(op, "a0 w0 rw b", "r0", hidden_size=UNITS),
    ]
    made = around(
        nodes,
        (STEPS, 1, CHANNELS),
        w=w,
        r=r,
        b=normal(1, 2 * gates * UNITS, seed=4) * np.float32(0.1),
        ws=scale if per_row else scale[0],
        ys=np.float32(2**-7),
        yz=np.uint8(128),
        wz=np.full(count, zero, kind) if per_row else kind(zero),
    )
    return made, w[0].astype(int) - zero, r[0].astype(int) - zero


def by_units(rows: Array, op: str) -> Array:
    """[gates * units, ...] of ONNX -> rows of our gates, unit by unit."""
    order = list(OF_GATES[op])
    return rows.reshape(len(order), UNITS, -1)[order].swapaxes(0, 1).reshape(len(rows), -1)


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("op", OF_GATES)
def test_recurrent_weights_are_the_files(op: str, per_row: bool, tmp_path: Path) -> None:
    made, w, r = recurrent(op, np.int8, 0, per_row)
    samples = {"a": normal(SAMPLES, STEPS, 1, CHANNELS)}
    q, ours, theirs = both(saved(made, tmp_path), samples)
    found = {
        step.node.op: step.integers.weight for step in q.steps if "weight" in step.integers.arrays
    }
    own = next(name for name in found if name not in ("gates", "sums"))
    (added,) = {*found} - {own, "lstm_cell"}
    assert np.array_equal(found[added], by_units(w, op))
    assert np.array_equal(found[own], by_units(r, op))
    far = max(np.abs(a[0] - b[0]).max() for a, b in zip(ours, theirs, strict=True))
    assert far <= 1.001 * 2**-7


@pytest.mark.slow
@pytest.mark.parametrize("op", OF_GATES)
def test_weights_of_9_bits_of_what_inputs_add(op: str, tmp_path: Path) -> None:
    made, w, r = recurrent(op, np.int8, 0, per_row=True)
    (stored,) = (t for t in made.graph.initializer if t.name == "w")
    stored.CopyFrom(numpy_helper.from_array((w + 128).astype(np.uint8)[None], "w"))
    made.graph.initializer.append(numpy_helper.from_array(np.full(len(w), 100, np.uint8), "wz9"))
    next(n for n in made.graph.node if n.output[0] == "w0").input[2] = "wz9"
    samples, path = {"a": normal(SAMPLES, STEPS, 1, CHANNELS)}, saved(made, tmp_path)
    build = myoedge.build(path, target="gap9", calib=samples, output=tmp_path / "build")
    steps = [step for step in build.network.steps if "weight" in step.integers.arrays]
    assert np.array_equal(steps[0].integers.weight, by_units(w + 28, op))
    assert np.array_equal(steps[1].integers.weight, by_units(r, op))
    assert [step.weight_type for step in steps[:2]] == [INT16, INT8]
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"]
    assert checked.exact["simulator"]


def test_recurrent_weights_of_9_bits_are_refused(tmp_path: Path) -> None:
    made, _, r = recurrent("LSTM", np.uint8, 100, False)
    error = refusal(made, tmp_path)
    assert dict(error.notice.facts)["has"] == f"{r.min()} to {r.max()}"
    assert "a zero point of 0" in str(error)


def test_a_constant_operand_with_several_scales_is_refused(tmp_path: Path) -> None:
    w = RNG(3).integers(-128, 128, (3, 1, 4)).astype(np.int8)
    nodes = [node("DequantizeLinear", "w ws", "w0", axis=0), node("Add", "a0 w0", "r0")]
    for scales, several in ((np.float32([0.01, 0.02, 0.03]), True), (np.float32(0.01), False)):
        made = around(nodes, (2, 3, 5, 4), w=w, ws=scales)
        if several:
            assert "per_channel=False" in str(refusal(made, tmp_path))
            continue
        q, ours, theirs = both(saved(made, tmp_path), {"a": normal(SAMPLES, 2, 3, 5, 4)})
        (stored,) = q.constants.values()
        assert np.array_equal(stored, w)
        assert max(np.abs(a[0] - b[0]).max() for a, b in zip(ours, theirs, strict=True)) <= 0.0451


# --- rows ----------------------------------------------------------------------------------------

ROWS = RNG(2).integers(-128, 128, (7, 4)).astype(np.int8)
SCALES = np.float32([0.01, 0.02, 0.03, 0.011, 0.012, 0.013, 0.005])


IDS = np.int64([6, 0, 3])


def rows(scales: Any, rounded: bool) -> ModelProto:
    """Rows of a table by integers of an input; through a function of them, which is left in float,
    where they are not rounded."""
    nodes = [
        node("DequantizeLinear", "w ws", "w0", axis=0),
        node("Gather", "w0 ids", "r0"),
        *([node("QuantizeLinear", "r0 ys yz", "rq")] if rounded else []),
        *([node("DequantizeLinear", "rq ys yz", "y")] if rounded else [node("Relu", "r0", "y")]),
    ]
    made = model(nodes, {"ids": (3,)}, constants={**NUMBERS, "w": ROWS, "ws": np.float32(scales)})
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return made


def integers(path: Path) -> tuple[QuantGraph, Array]:
    graph = load_model(path).graph
    q = quantize_graph(graph, calibrate(graph, {"ids": IDS[None]}, Observer(), "test"))
    found = run_int(q.steps, q.constants, quantized_inputs(q, {"ids": IDS}))
    return q, found[graph.outputs[0]]


@pytest.mark.parametrize("scales", [SCALES, 0.01])
def test_rows_that_are_rounded_are_what_the_file_rounds_them_to(
    scales: Any, tmp_path: Path
) -> None:
    path = saved(rows(scales, rounded=True), tmp_path)
    _, found = integers(path)
    step, zero = Fraction(float(NUMBERS["ys"])), int(NUMBERS["yz"])
    each = np.broadcast_to(np.float32(scales), (7,))
    wanted = [
        [round(Fraction(float(each[i] * np.float32(w))) / step) for w in ROWS[i]] for i in IDS
    ]
    assert np.array_equal(found.astype(int) + 128, np.array(wanted) + zero)
    (theirs,) = ort.InferenceSession(str(path)).run(None, {"ids": IDS})
    assert np.array_equal(np.float32(np.array(wanted)) * NUMBERS["ys"], theirs)


def test_rows_with_scales_of_their_own_that_nothing_rounds_are_refused(tmp_path: Path) -> None:
    error = refusal(rows(SCALES, rounded=False), tmp_path)
    assert dict(error.notice.facts)["has"] == "7 scales"
    assert "round the rows after it" in str(error)
    q, _ = integers(saved(rows(0.01, rounded=False), tmp_path))
    (step,) = (x for x in q.steps if x.node.op == "embedding")
    assert np.array_equal(step.integers.rows, np.maximum(ROWS, 0))
