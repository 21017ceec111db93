# SPDX-License-Identifier: Apache-2.0
"""Loops, branches and lists of ONNX files: those with constant bounds are what they compute."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.operators.interpreter import run_float
from myoedge.operators.loop import MOST_STEPS
from myoedge.operators.turns import loop_spans
from myoedge.passes import prepare
from tests.support.networks.small import Function
from tests.support.onnx.models import model, node, saved

X = np.random.default_rng(0).normal(size=(1, 7, 4)).astype(np.float32)


@torch.jit.script
def steps(x: Tensor) -> Tensor:
    y = x
    for i in range(3):
        y = torch.tanh(y) * 2.0 + x * float(i)
    return y


@torch.jit.script
def listed(x: Tensor) -> Tensor:
    parts = []
    for i in range(x.shape[1]):
        if i % 2 == 0:
            parts.append(x[:, i] * float(i))  # noqa: PERF401  (a list that a loop fills)
    return torch.stack(parts, 1)


@torch.jit.script
def nested(x: Tensor) -> Tensor:
    y = x
    for i in range(2):
        for j in range(i + 1):
            y = y + x[:, j : j + 1]
    return torch.cat([y, x], 1)


EXPORTED = {
    "tensor_split by indices": lambda x: torch.cat(x.tensor_split([2, 5], 1)[::-1], 1),
    "tensor_split by a number": lambda x: torch.cat(x.tensor_split(3, 1)[::-1], 1),
    "steps": steps,
    "a list": listed,
    "a loop in a loop": nested,
}


@pytest.mark.parametrize("name", EXPORTED)
def test_what_the_legacy_exporter_writes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with warnings.catch_warnings(action="ignore"):
        network = Function(EXPORTED[name]).eval()
        torch.onnx.export(network, (torch.from_numpy(X),), str(path), dynamo=False)
    graph = load_onnx(path).graph
    real = run_float(graph, {graph.inputs[0]: X})[graph.outputs[0]]
    np.testing.assert_allclose(real, network(torch.from_numpy(X)).numpy(), rtol=1e-5, atol=1e-5)


# --- files by hand --------------------------------------------------------------------------------


def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def body() -> Any:
    """v, w = v + x * turn, v; goes on while turn < 3, and gives every v."""
    nodes = [
        node("Cast", "turn", "t", to=1),
        node("Mul", "x t", "xt"),
        node("Add", "v xt", "v2"),
        node("Less", "turn three", "more"),
        node("Identity", "v", "was"),
    ]
    ins = [value("turn", TensorProto.INT64, []), value("on", TensorProto.BOOL, [])]
    outs = [value("more", TensorProto.BOOL, []), value("v2"), value("was"), value("v2")]
    return helper.make_graph(nodes, "body", [*ins, value("v"), value("w")], outs)


def branch(name: str, op: str) -> Any:
    return helper.make_graph([node(op, "x", name)], name, [], [value(name)])


def sequences(*nodes: Any) -> Any:
    return [node("Relu", "x", "r"), node("SequenceConstruct", "x r", "s"), *nodes]


FILES = {
    "a condition that ends": [
        node("Loop", "many yes x x", "last before all", body=body()),
        node("ReduceSum", "all zeros", "sums", keepdims=0),
        node("Sum", "last before sums", "y"),
    ],
    "no condition": [
        node("Loop", "two - x x", "last before all", body=body()),
        node("Add", "last before", "y"),
    ],
    "no turn": [
        node("Loop", "many no x x", "last before all", body=body()),
        node("Relu", "last", "y"),
    ],
    "then": [
        node("If", "yes", "b", then_branch=branch("p", "Relu"), else_branch=branch("q", "Neg")),
        node("Tanh", "b", "y"),
    ],
    "else": [
        node("If", "no", "y", then_branch=branch("p", "Relu"), else_branch=branch("q", "Neg")),
    ],
    "an inserted part": sequences(
        node("Neg", "x", "n"),
        node("SequenceInsert", "s n one", "t"),
        node("SequenceErase", "t last_at", "u"),
        node("SequenceInsert", "u r", "v"),
        node("SequenceAt", "v one", "a"),
        node("ConcatFromSequence", "v", "c", axis=1),
        node("Concat", "c a", "y", axis=1),
    ),
    "stacked parts": sequences(node("ConcatFromSequence", "s", "y", axis=1, new_axis=1)),
    "how many parts": sequences(
        node("SequenceLength", "s", "n"), node("Cast", "n", "f", to=1), node("Mul", "x f", "y")
    ),
    "parts without their axis": [
        node("SplitToSequence", "x", "s", axis=1, keepdims=0),
        node("SequenceAt", "s one", "p"),
        node("SequenceAt", "s last_at", "q"),
        node("Sub", "p q", "y"),
    ],
}
NUMBERS = {
    "many": np.array(2**40), "two": np.array(2), "yes": np.array(True), "no": np.array(False),
    "three": np.array(3), "one": np.array(1), "last_at": np.array(-1), "zeros": np.array([0]),
}  # fmt: skip


def made(nodes: list[Any]) -> Any:
    return model(nodes, {"x": (1, 7, 4)}, constants=NUMBERS)


@pytest.mark.parametrize("name", FILES)
def test_files_compute_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    path = saved(made(FILES[name]), tmp_path)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    (wanted,) = ort.InferenceSession(str(path), options).run(None, {"x": X})
    graph = load_onnx(path).graph
    real = run_float(graph, {"x": X})[graph.outputs[0]]
    assert real.shape == wanted.shape
    np.testing.assert_allclose(real, wanted, rtol=1e-5, atol=1e-5)


def nested_branches(levels: int) -> Any:
    """Each in the one before, in all of which the result has the same name."""
    if not levels:
        return node("Relu", "x", "y")
    inner = helper.make_graph([nested_branches(levels - 1)], "inner", [], [value("y")])
    return node("If", "no", "y", then_branch=branch("p", "Neg"), else_branch=inner)


@pytest.mark.parametrize("levels", [1, 30])
def test_nested_branches_take_no_longer_with_every_level(levels: int, tmp_path: Path) -> None:
    """Names twice as long a level would be of 2 GB."""
    graph = load_onnx(saved(made([nested_branches(levels)]), tmp_path)).graph
    assert max(map(len, graph.tensors)) < 100
    real = run_float(graph, {"x": X})[graph.outputs[0]]
    np.testing.assert_array_equal(real, np.maximum(X, 0.0))


COMPUTED = [node("ReduceSum", "x", "sum", keepdims=0), node("Cast", "sum", "given", to=7)]
REFUSED = {
    "If": (
        [
            node("ReduceMax", "x", "m", keepdims=0),
            node("Cast", "m", "c", to=9),
            node("If", "c", "y", then_branch=branch("p", "Relu"), else_branch=branch("q", "Neg")),
        ],
        "a condition that is computed",
    ),
    "a number of turns": (
        [*COMPUTED, node("Loop", "given - x x", "y b all", body=body())],
        "",
    ),
    "more turns than there can be": (
        [node("Loop", "many - x x", "y b", body=helper.make_graph(
            [node("Identity", "on", "more"), node("Relu", "v", "v2")],
            "endless",
            [value("turn", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("v"),
             value("w")],
            [value("more", TensorProto.BOOL, []), value("v2"), value("v2")],
        ))],
        "20,000 nodes",
    ),
    "a part that is not there": (
        sequences(node("SequenceAt", "s two", "y")),
        "part 2 of 2",
    ),
    "a body that is refused": (
        [node("Loop", "two - x", "y", body=helper.make_graph(
            [node("Identity", "on", "more"), node("Det", "v", "v2")],
            "wrong",
            [value("turn", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("v")],
            [value("more", TensorProto.BOOL, []), value("v2")],
        ))],
        "Det",
    ),
}  # fmt: skip
LONG = "more turns than there can be"  # 20,000 of them


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[pytest.mark.slow] if x == LONG else []) for x in REFUSED]
)
def test_what_depends_on_the_input_is_refused_once(name: str, tmp_path: Path) -> None:
    nodes, says = REFUSED[name]
    with pytest.raises(MyoedgeError) as caught:
        load_onnx(saved(made(nodes), tmp_path))
    assert caught.value.code == "E111"
    assert says in str(caught.value)
    assert str(caught.value).count("found") <= 2


def test_names_inside_a_loop_may_hold_no_attribute_of_a_function(tmp_path: Path) -> None:
    file = made(FILES["no condition"])
    loop = next(node for node in file.graph.node if node.op_type == "Loop")
    loop.attribute[0].g.node[0].attribute[0].ref_attr_name = "to"
    onnx.save(file, tmp_path / "m.onnx")
    with pytest.raises(MyoedgeError) as caught:
        load_onnx(tmp_path / "m.onnx")
    assert caught.value.code in ("E111", "E119")


STEP = """
    xw = MatMul(row, w)
    hr = MatMul(h, r)
    z = Add(xw, hr)
    a, b = Split <axis = 1, num_outputs = 2> (z)
    i = Sigmoid(a)
    j = Tanh(b)
    ic = Mul(i, c)
    c_next = Add(ic, j)
    h_next = Tanh(c_next)
    y = Identity(h_next)
"""
SCAN = """
    last, c_last, out = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1],
        scan_input_directions = [{way}], scan_output_directions = [{way}],
        body = step (float[2, 4] h, float[2, 4] c, float[2, 3] row)
            => (float[2, 4] h_next, float[2, 4] c_next, float[2, 4] y) {{ {step} }}> (zero, zero, x)
"""
LOOP = """
    last, c_last, ys = Loop <body = step (int64 turn, bool holds, float[2, 4] h, float[2, 4] c)
        => (bool ahead, float[2, 4] h_next, float[2, 4] c_next, float[2, 4] y) {{
            ahead = Identity(holds)
            row = Gather <axis = 1> (x, turn)
            {step} }}> (count, holds, zero, zero)
    out = Transpose <perm = [1, 0, 2]> (ys)
"""


def gated(text: str, steps: int, **options: int) -> onnx.ModelProto:
    """A recurrence of h and c over [2, steps, 3], with h of every step."""
    body = text.format(step=STEP, **options)
    made = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 18]>
        network (float[2, {steps}, 3] x) => (float[2, {steps}, 4] out) {{ {body} }}"""
    )
    rng = np.random.default_rng(1)
    arrays = {"w": rng.normal(size=(3, 8)), "r": rng.normal(size=(4, 8)), "zero": np.zeros((2, 4))}
    arrays = {name: x.astype(np.float32) for name, x in arrays.items()}
    arrays |= {"count": np.array(steps), "holds": np.array(True)}
    made.graph.initializer.extend(onnx.numpy_helper.from_array(x, n) for n, x in arrays.items())
    return made


@pytest.mark.parametrize(("text", "options"), [(SCAN, {"way": 0}), (SCAN, {"way": 1}), (LOOP, {})])
def test_the_body_of_a_recurrence_stands_once(
    text: str, options: dict[str, int], tmp_path: Path
) -> None:
    sizes = set()
    for steps in (10, 20):
        path = tmp_path / f"{steps}.onnx"
        onnx.save(gated(text, steps, **options), path)
        graph = prepare(load_onnx(path).graph)
        x = np.random.default_rng(2).normal(size=(2, steps, 3)).astype(np.float32)
        (wanted,) = ort.InferenceSession(path).run(None, {"x": x})
        found = run_float(graph, {graph.inputs[0]: x})[graph.outputs[0]]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
        assert len(loop_spans(graph.nodes)) == 1
        sizes.add(len(graph.nodes))
    assert len(sizes) == 1


def test_a_scan_of_many_steps_is_refused_at_once(tmp_path: Path) -> None:
    """200,000 steps took minutes and gigabytes to calibrate, without an end."""
    onnx.save(gated(SCAN, MOST_STEPS, way=0), tmp_path / "most.onnx")
    assert load_onnx(tmp_path / "most.onnx").graph.nodes
    onnx.save(gated(SCAN, 200_000, way=0), tmp_path / "more.onnx")
    with pytest.raises(MyoedgeError, match="a loop of 200,000 steps, at most 10,000") as caught:
        load_onnx(tmp_path / "more.onnx")
    assert caught.value.code == "E111"
    assert "a shorter window" in caught.value.notice.tries[0]


def test_a_scan_in_a_scan_is_refused(tmp_path: Path) -> None:
    inner = """inner = Scan <num_scan_inputs = 1, body = inside (float[4] r) => (float[4] s) {{
        s = Tanh(r) }}> (h)"""
    onnx.save(gated(SCAN.replace("{step}", f"{inner} {{step}}"), 6, way=0), tmp_path / "m.onnx")
    with pytest.raises(MyoedgeError, match="in the body of another one") as caught:
        load_onnx(tmp_path / "m.onnx")
    assert caught.value.code == "E111"
