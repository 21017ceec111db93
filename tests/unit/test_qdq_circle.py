# SPDX-License-Identifier: Apache-2.0
"""model.int8.onnx is a quantised network: built again it has the same integers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import PRE, Node
from myoedge.numerics.pointwise import Chain
from myoedge.numerics.quant_params import dequantize
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import run_integer
from myoedge.operators.qdq import function_digest
from myoedge.plan.plan import Plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.formats import all_stated
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from tests.e2e.test_tinymyo_heads import graph_of
from tests.onnx_models import saved_bytes
from tests.qdq_cases import ACTS, CASES, checked, network, one_operator, planned, seeded

DRAWN = 4
SAMPLES = 2
INTEGERS = {"biquads_past", "running_power"}  # states of 32 bits, which ONNX has as floats


def again(q: QuantGraph, model: bytes, folder: Path) -> tuple[QuantGraph, int]:
    """The network that the file is read as, and the largest difference of integers of outputs."""
    graph = load_model(saved_bytes(model, folder)).graph
    rng = np.random.default_rng(0)
    ports = [(a, b, q.params[a]) for a, b in zip(q.graph.inputs, graph.inputs, strict=True)]
    drawn = {
        a: rng.integers(p.low, p.high + 1, (SAMPLES, *q.graph.shape(a))).astype(
            p.element_type.dtype
        )
        for a, _, p in ports
    }
    floats = {b: dequantize(drawn[a], p) for a, b, p in ports}
    other = quantize_graph(graph, calibrate(graph, floats, Observer(), "test"))
    worst = 0
    for i in range(SAMPLES):
        mine = run_integer(q.steps, q.constants, {a: drawn[a][i] for a, _, _ in ports})
        sample = quantized_inputs(other, {b: floats[b][i] for _, b, _ in ports})
        theirs = run_integer(other.steps, other.constants, sample)
        for a, b in zip(q.graph.outputs, graph.outputs, strict=True):
            assert q.params.get(a) == other.params.get(b)
            far = np.abs(mine[a].astype(np.int64) - theirs[b].astype(np.int64))
            worst = max(worst, int(far.max(initial=0)))
    return other, worst


def found(op: str, folder: Path) -> list[int]:
    worst = []
    for number in range(DRAWN):
        rng = seeded(op, number)
        plan = one_operator(op, CASES[op](rng), rng, ACTS[int(rng.integers(len(ACTS)))])
        worst.append(again(plan.quant, checked(plan), folder)[1])
    return worst


@pytest.mark.parametrize("op", sorted({*CASES} - INTEGERS))
def test_an_operator_comes_back_with_the_same_integers(op: str, tmp_path: Path) -> None:
    assert found(op, tmp_path) == [0] * DRAWN


WIDE = sorted(op for op in CASES if OPS[op].emits_int16 and not OPS[op].same_scale)


@pytest.mark.parametrize("op", WIDE)
def test_results_of_16_bits_come_back_with_the_same_integers(op: str, tmp_path: Path) -> None:
    """Of operators that fix parameters of 8 bits, too: states, shares."""
    rng = seeded(op, 2)
    plan = one_operator(op, CASES[op](rng), rng, int16=frozenset(["y"]))
    other, worst = again(plan.quant, checked(plan), tmp_path)
    assert worst == 0
    (kind,) = {other.dtype(name) for name in other.graph.outputs}
    assert kind == "int16"


@pytest.mark.parametrize("op", ["attention", "selective_scan"])
def test_operands_of_16_bits_come_back_with_the_same_integers(op: str, tmp_path: Path) -> None:
    """Of operators with arithmetic of its own for them, alone and together."""
    for number, wide in enumerate((["x1"], ["x2", "y"], ["x0", "x1", "x2", "x3", "y"])):
        rng = seeded(op, number)
        plan = one_operator(op, CASES[op](rng), rng, int16=frozenset(wide))
        other, worst = again(plan.quant, checked(plan), tmp_path)
        assert worst == 0
        step = other.steps[-1]
        kinds = [other.dtype(name) for name in (*step.operands, *other.graph.outputs)]
        assert kinds.count("int16") == len({*wide}.intersection((*plan.quant.graph.inputs, "y")))


@pytest.mark.parametrize("size", [0.1, 0.2, 1.0])
def test_an_lstm_of_small_states_comes_back(size: float, tmp_path: Path) -> None:
    """Its h has finer steps in 8 bits than those of +-1."""
    torch.manual_seed(0)
    lstm = nn.LSTM(16, 8, batch_first=True).eval()
    for weights in lstm.parameters():
        weights.data *= size
    graph = graph_of(First(lstm), (1, 26, 16))
    x = np.random.default_rng(0).standard_normal((4, 1, 26, 16)).astype(np.float32)
    plan = planned(graph, {graph.inputs[0]: x})
    scales = {
        plan.quant.params[step.node.name].scale for step in plan.steps if step.node.op == "lstm"
    }
    assert (scales == {2.0**-7}) == (size == 1.0)
    other, worst = again(plan.quant, checked(plan), tmp_path)
    assert worst == 0
    assert {other.params[s.node.name].scale for s in other.steps if s.node.op == "lstm"} == scales


class First(nn.Module):
    """The first result of a module."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("weight", [np.zeros((16, 16)), np.diag(np.arange(16.0) - 7)])
def test_square_weights_that_fit_both_axes_come_back(weight: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    """Scales of rows and of columns give zeros and diagonals as well."""
    rng = np.random.default_rng(0)
    node = Node("linear", ("x", "w", "b"), ("y",), {})
    constants = {"w": weight, "b": rng.standard_normal(16)}
    graph = network([node], {"x": (3, 16)}, constants)
    plan = planned(graph, {"x": rng.standard_normal((4, 3, 16))})
    assert again(plan.quant, checked(plan), tmp_path)[1] == 0


def test_gates_that_a_file_rounds_to_8_bits_are_refused(tmp_path: Path) -> None:
    """They have 16 in every build: somebody edited it."""
    lstm = nn.LSTM(16, 8, batch_first=True).eval()
    graph = graph_of(First(lstm), (1, 6, 16))
    x = np.random.default_rng(0).standard_normal((4, 1, 6, 16)).astype(np.float32)
    model = onnx.load_from_string(checked(planned(graph, {graph.inputs[0]: x})))
    (call,) = (node for node in model.graph.node if node.op_type.startswith("lstm"))
    made_by = {name: node for node in model.graph.node for name in node.output}
    rounded = made_by[made_by[call.input[0]].input[0]]
    (zero,) = (i for i in model.graph.initializer if i.name == rounded.input[2])
    zero.CopyFrom(onnx.numpy_helper.from_array(np.array(128, np.uint8), zero.name))
    del model.graph.value_info[:]
    with pytest.raises(MyoedgeError, match="gates that the file rounds to 8 bits") as caught:
        load_model(saved_bytes(model.SerializeToString(), tmp_path))
    assert caught.value.code == "E111"


def test_a_function_of_a_gigantic_tensor_is_refused(tmp_path: Path) -> None:
    """Shapes of a file are its own, memory is not."""
    model = written("group_norm")
    (x,) = model.graph.input
    for dimension in x.type.tensor_type.shape.dim:
        dimension.dim_value *= 1 << 20
    del model.graph.value_info[:]
    with pytest.raises(MyoedgeError, match=r"E1\d\d"):
        load_model(saved_bytes(model.SerializeToString(), tmp_path))


def of_exponentials(number: int, bits: int) -> Plan:
    rng = seeded("attention", number)
    attrs, *rest = CASES["attention"](rng)
    return one_operator("attention", ({**attrs, "exp_bits": bits}, *rest), rng)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("number", range(DRAWN))
def test_bits_of_exponentials_come_back(number: int, bits: int, tmp_path: Path) -> None:
    """Beside operands of 8 bits, which do not tell: with windows, biases and masks."""
    plan = of_exponentials(number, bits)
    other, worst = again(plan.quant, checked(plan), tmp_path)
    assert worst == 0
    (step,) = (step for step in other.steps if step.node.op == "attention")
    assert step.attrs["exp_bits"] == bits
    assert {other.dtype(name) for name in (*step.operands, step.node.name)} == {"int8"}


FUNCTIONS = [
    (("affine", 1.0, 3.0), ("clamp", 0.01, math.inf), ("log",)),
    (("exp",), ("reciprocal",)),
    (("sigmoid",),),
    (("abs",), ("ge", 0.3)),
]


@pytest.mark.parametrize("op", ["table", "linear"])
@pytest.mark.parametrize("chain", FUNCTIONS)
def test_functions_between_16_bits_come_back(op: str, chain: Chain, tmp_path: Path) -> None:
    """With the points of their lines beyond the ends of the input, which no integer reaches."""
    rng = seeded(op, 1)
    attrs, *rest = CASES[op](rng)
    case = ({**attrs, "chain": chain} if op == "table" else attrs, *rest)
    wide = frozenset(["x0", "y", "y" + PRE])
    plan = one_operator(op, case, rng, () if op == "table" else chain, int16=wide)
    other, worst = again(plan.quant, checked(plan), tmp_path)
    assert worst == 0
    made, wanted = (
        [s.node.op for s in q.steps if s.node.op != "reshape"] for q in (other, plan.quant)
    )
    assert made == wanted


@pytest.mark.parametrize("chain", FUNCTIONS)
def test_functions_of_8_bits_with_results_of_16_come_back(chain: Chain, tmp_path: Path) -> None:
    """They are tables of 256 entries, which no operator has fused."""
    rng = seeded("linear", 1)
    attrs, shapes, values = CASES["linear"](rng)
    inputs = {f"x{i}": shape for i, shape in enumerate(shapes)}
    constants = {f"c{i}": value for i, value in enumerate(values)}
    nodes = [
        Node("linear", (*inputs, *constants), ("sums",), attrs),
        Node("table", ("sums",), ("y",), {"chain": chain}),
    ]
    samples = {name: rng.standard_normal((4, *shape)) for name, shape in inputs.items()}
    plan = planned(network(nodes, inputs, constants), samples, int16=frozenset(["y"]))
    assert [plan.quant.dtype(name) for name in ("sums", "y")] == ["int8", "int16"]
    other, worst = again(plan.quant, checked(plan), tmp_path)
    assert worst == 0
    assert [s.node.op for s in other.steps if s.node.op != "reshape"] == ["linear", "table"]
    assert all_stated(other.graph)


def written(op: str) -> onnx.ModelProto:
    rng = seeded(op, 0)
    return onnx.load_from_string(checked(one_operator(op, CASES[op](rng), rng)))


def test_a_function_with_another_body_is_no_operator(tmp_path: Path) -> None:
    model = written("group_norm")
    (function,) = model.functions
    next(n for n in function.node if n.op_type == "Div").op_type = "Mul"
    with pytest.raises(MyoedgeError, match="a function of the model's own"):
        load_model(saved_bytes(model.SerializeToString(), tmp_path))


def written_table() -> onnx.ModelProto:
    rng = seeded("table", 1)
    attrs, *rest = CASES["table"](rng)
    wide = frozenset(["x0", "y"])
    plan = one_operator("table", ({**attrs, "chain": (("exp",),)}, *rest), rng, int16=wide)
    return onnx.load_from_string(checked(plan))


def written_attention() -> onnx.ModelProto:
    return onnx.load_from_string(checked(of_exponentials(0, 12)))


REQUANT = '"requant": [[1], [0], 4, -128, 127]'
MEANS_NOTHING = [
    ("group_norm", "[" * 50_000 + "]" * 50_000),
    *(
        ("table", f'{{"chain": {chain}}}')
        for chain in (
            "5",
            "[]",
            "[[]]",
            '"log"',
            "[" * 900 + "]" * 900,
            '[["nothing"]]',
            '[[["log"]]]',
            '[["log", 3]]',
            '[["clamp", null, 5]]',
            '[["clamp", true, 5]]',
            '[["affine", NaN, 0]]',
            '[["affine", {"a": 1}, 0]]',
            '[["affine", "1", 0]]',
            f'[["affine", {10**400}, 0]]',
            '[["lookup", 1, 0, "0"]]',
            '[["lookup", 1, 0, "0000"]]',
            '[["lookup", 1, 0, ""]]',
            '[["larger", [[]], [["log"]]]]',
        )
    ),
    ("table", '{"chain": [["log"]], "more": 1}'),
    *(("group_norm", text) for text in ("", "[]", "{}", '{"axis": "x"}')),
    ("group_norm", '{"axis": 7, "groups": 3, "eps": 0, "centred": true}'),
    ("group_norm", f'{{"axis": 1, "groups": 1, "eps": 0.1, "centred": true, {REQUANT}}}'),
    *(
        ("requant_shift", f'{{"axis": {axis}, {REQUANT}}}')
        for axis in ("null", "-1", "9", "1.5", "true")
    ),
    *(
        ("requant_shift", f'{{"axis": 0, "requant": {numbers}}}')
        for numbers in (
            "null",
            "[]",
            "[1, [0], 4, -128, 127]",
            "[[1.5], [0], 4, -128, 127]",
            "[[1, 2, 3, 4, 5, 6, 7], [0], 4, -128, 127]",
            "[[1], [4294967296], 4, -128, 127]",
            "[[1], [0], 31, -128, 127]",
            "[[1], [0], 4, 5, -5]",
            "[[1], [0], 4, -128, 255]",
            '[[1], [0], 4, -128, "x"]',
        )
    ),
    ("requant_shift", f'{{"axis": 0, "origin": 1, {REQUANT}}}'),
    *(
        ("attention", f'{{"exp_bits": {bits}, "scale": {scale}, "window": {window}{more}}}')
        for bits, scale, window, more in (
            ("15", "1", "null", ""),
            ("null", "1", "null", ""),
            ("12", "NaN", "null", ""),
            ("12", '"1"', "null", ""),
            ("12", "1", "3", ""),
            ("12", "1", "[1, 2, 3]", ""),
            ("12", "1", "[1.5, 2]", ""),
            ("12", "1", "null", ', "masked": 1'),
            ("12", "1", "null", ', "flat": "yes"'),
        )
    ),
    ("attention", '{"exp_bits": 12, "scale": 1}'),
    *(("whole_norm", f'{{"centred": true, "shift": {shift}}}') for shift in ("-1", "31", "1.5")),
    ("whole_norm", '{"centred": 1, "shift": 4}'),
    ("shift_softmax", '{"group": 0, "most": 255}'),
    ("shift_softmax", '{"group": 1, "most": 256}'),
    *(
        ("whole_softmax", f'{{"a": {a}, "b": 21, "c": 5, "levels": {levels}, "log2": {log2}}}')
        for a, levels, log2 in ((2**40, 256, 10), (-1, 256, 10), (1, 257, 10), (1, 256, 0))
    ),
]


@pytest.mark.parametrize(("op", "attrs"), MEANS_NOTHING)
def test_attributes_that_mean_nothing_are_refused(op: str, attrs: str, tmp_path: Path) -> None:
    made = {"table": written_table, "attention": written_attention}
    model = made[op]() if op in made else written(op)
    (function,) = model.functions
    body = [n.SerializeToString(deterministic=True) for n in function.node]
    says = {"attrs": attrs, "digest": function_digest(op, attrs, body)}
    for entry in function.metadata_props:
        entry.value = says.get(entry.key.removeprefix("myoedge."), entry.value)
    with pytest.raises(MyoedgeError, match="E119"):
        load_model(saved_bytes(model.SerializeToString(), tmp_path))
