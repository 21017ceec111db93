# SPDX-License-Identifier: Apache-2.0
"""model.int8.onnx, run by onnxruntime, against the integer reference."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from myoedge.building.loading import load_model
from myoedge.codegen.qdq import qdq_model
from myoedge.extensions.zoo.all_convnet import hd
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.ir import Graph, Node
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import FUNCTIONS, Chain, evaluate, listed
from myoedge.numerics.quant_params import dequantize, quantize
from myoedge.operators.base import OPS
from myoedge.operators.elementwise import NATIVE
from myoedge.operators.interpreter import run_int
from myoedge.operators.library.reductions import adaptive, regular
from myoedge.operators.pool import onnx_window as regular_grid
from myoedge.passes import prepare
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Calibration, Observer, calibrate
from myoedge.quantization.fidelity import Noise
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure, quantized_inputs, real_values
from myoedge.quantization.stated_widths import LayerRule
from myoedge.targets import find_chip
from tests.conftest import thinned
from tests.ops.harness import drawn
from tests.support.each import each
from tests.support.onnx.models import saved_bytes
from tests.support.onnx.quantized import (
    ACTS,
    CASES,
    SAMPLES,
    SHARES,
    STEPS,
    allowed,
    check_file,
    checked,
    draw_conv,
    network,
    normal,
    one_operator,
    planned,
    planned_with,
    seeded,
    session,
    worst_step,
)

CASES_EACH, PARTS = 40, 3
PARAMETERS: Mapping[str, tuple[Any, ...]] = {
    "affine": (0.7, -0.4),
    "clamp": (-0.9, 1.3),
    "elu": (1.5, 1.2, 0.7),
    "eq": (0.0,),
    "ge": (0.3,),
    "gt": (-0.6,),
    "hardshrink": (0.4,),
    "integer_gelu": (-40, 1743),
    "integer_hardswish": (122, 244, 42),
    "integer_leaky_relu": (3, 4),
    "integer_quotient": (2, 16384, 1, 200000),
    "integer_requant": (81369, -77, 16, 0, 255),
    "larger": ((("sigmoid",),), (("abs",),)),
    "le": (1.1,),
    "lookup": (0.5, -2, listed(np.array([0.5, -1.0, 3.0, 0.0, 2.0]))),
    "lt": (-1.7,),
    "nan_to_num": (-0.5, 3.0, -2.0),
    "ne": (0.0,),
    "pow": (3.0,),
    "product": ((("sigmoid",),), (("abs",),)),
    "quotient": (0.7,),
    "softplus": (2.0, 3.0),
    "threshold": (0.1, -0.3),
    "total": ((("sigmoid",),), (("abs",),)),
}
# Functions of values that are not finite read logarithms of numbers of both signs and of 0.
BEFORE = dict.fromkeys(("is_finite", "is_inf", "is_nan", "nan_to_num"), (("log",),))


@pytest.mark.parametrize("op", sorted({*OPS} - {*CASES}))
@pytest.mark.parametrize("number", thinned(range(PARTS), PARTS))
def test_a_use_in_the_file_is_its_oracle(op: str, number: int) -> None:
    for case in drawn(op, CASES_EACH // PARTS, number):
        check_file(case)


@pytest.mark.parametrize("op", sorted(CASES))
@pytest.mark.parametrize("part", thinned(range(PARTS), PARTS))
def test_an_operator_agrees_within_one_step(op: str, part: int) -> None:
    for number in range(part, CASES_EACH, PARTS):
        rng = seeded(op, number)
        case = CASES[op](rng)
        plan = one_operator(op, case, rng, ACTS[int(rng.integers(len(ACTS)))])
        most = STEPS.get(op) or allowed(plan.quant.steps[-1].table)
        share = SHARES.get(op, 0.0)
        assert worst_step(plan, rng, share=share) <= most, (number, case[:2])


@pytest.mark.parametrize("chain", [(("tanh",),), (("log",),), (("affine", 2.0, 1.0), ("sqrt",))])
def test_a_function_of_16_bits_agrees_within_2_to_the_minus_12(chain: Chain) -> None:
    """Written as a function or as its values at 65,536 integers; not at the pole."""
    node = Node("table", ("x",), ("y",), {"chain": chain})
    graph = network([node], {"x": (16384,)}, {})
    calibration = Calibration({"x": (0.0, 8.0), "y": (-12.0, 5.0)}, 1, "test", "")
    q = quantize_graph(graph, calibration, (), frozenset("xy"))
    plan, x = make_plan(q, find_chip("host")), np.arange(1, 32768, 2, dtype=np.int16)
    ours = real_values(q, "y", run_int(q.steps, q.constants, {"x": x})["y"])
    theirs = session(checked(plan)).run(None, {"x": dequantize(x, q.params["x"])})[0]
    assert np.abs(ours - theirs).max() < 12.0 * 8.0 * 2.0**-12
    assert np.ptp(ours) > 0.9


def every_input(plan: Plan) -> tuple[Array, Array]:
    """(ours, theirs) at all 256 values of a table's input."""
    q = plan.quant
    x = np.arange(-128, 128, dtype=np.int8)
    ours = run_int(q.steps, q.constants, {"x": x})["y"]
    theirs = session(checked(plan)).run(None, {"x": dequantize(x, q.params["x"])})[0]
    return ours.astype(int), quantize(theirs, q.params["y"]).astype(int)


@each("function", sorted(FUNCTIONS))
def test_a_function_agrees_at_all_inputs(function: str) -> None:
    """Undefined and infinite values too: log and sqrt of negative numbers, 1/0."""
    chain = (*BEFORE.get(function, ()), (function, *PARAMETERS.get(function, ())))
    values = evaluate(chain, np.linspace(-3.0, 3.0, 64))
    seen = values[np.isfinite(values)]
    graph = network([Node("table", ("x",), ("y",), {"chain": chain})], {"x": (256,)}, {})
    span = float(seen.min()) - 1.0, float(seen.max()) + 1.0  # no value hidden by saturation
    plan = planned_with(graph, {"x": (-3.0, 3.0), "y": span})
    ours, theirs = every_input(plan)
    assert np.abs(ours - theirs).max() <= 1
    assert np.ptp(ours) > 3 or function == "sign"


def operators(plan: Plan) -> list[Any]:
    return list(onnx.load_from_string(checked(plan)).graph.node)


@pytest.mark.parametrize(
    ("function", "wanted"), [("tanh", "Tanh"), ("gelu_tanh", "Gelu"), ("hardswish", "HardSwish")]
)
def test_readable_functions_are_onnx_operators(function: str, wanted: str) -> None:
    """A ReLU in Netron is a ReLU, not a table."""
    graph = network([Node("table", ("x",), ("y",), {"chain": ((function,),)})], {"x": (4,)}, {})
    nodes = operators(planned_with(graph, {"x": (-1, 1), "y": (-1, 1)}))
    found = next(node for node in nodes if node.op_type == wanted)
    if function == "gelu_tanh":  # at 8 bits the two kinds can not be told apart by their values
        assert [a.s for a in found.attribute] == [b"tanh"]
    assert all(node.op_type != "Gather" for node in nodes)
    assert set(NATIVE) <= set(FUNCTIONS)


@pytest.mark.parametrize(
    "limits", [(0.0, math.inf), (0.0, 6.0), (-0.3, 0.6), (-math.inf, 1.0)], ids=str
)
def test_fused_limits_hold_inside_a_wider_range(limits: tuple[float, float]) -> None:
    """Where the output shares the scale of another tensor, saturation does not do the clamping."""
    node = Node("add", ("a", "b"), ("y",), {"act": (("clamp", *limits),)})
    graph = network([node], {"a": (40,), "b": (40,)}, {})
    plan = planned_with(graph, {"a": (-8.0, 8.0), "b": (-3.0, 5.0), "y": (-20.0, 20.0)})
    assert worst_step(plan, np.random.default_rng(0)) <= 1


# windows


@pytest.mark.parametrize("ceil", [False, True])
def test_regular_windows_are_found(ceil: bool) -> None:
    """What PyTorch's ordinary pooling makes needs no window cut out by itself."""
    for n, size, stride in [(8, 2, 2), (9, 3, 2), (7, 3, 1), (40, 5, 3)]:
        axis = regular(n, size, stride, size // 2, ceil=ceil, count_pad=True)
        assert regular_grid(axis, n) is not None, (n, size, stride)


def test_irregular_windows_are_not_taken_for_regular_ones() -> None:
    assert regular_grid(((0, 2, 2), (3, 5, 2), (4, 6, 2)), 6) is None
    assert regular_grid(adaptive(8, 4), 8) is not None


def test_regular_pooling_is_one_operator() -> None:
    windows = (regular(8, 3, 2, 1, count_pad=False),)
    node = Node("avg_pool", ("x",), ("y",), {"windows": windows})
    plan = planned_with(network([node], {"x": (1, 8, 2)}, {}), {"x": (-1, 1), "y": (-1, 1)})
    types = {node.op_type for node in operators(plan)}
    assert types == {"QuantizeLinear", "DequantizeLinear", "Transpose", "AveragePool"}


# scales


def parts(plan: Plan) -> dict[str, Array]:
    model = onnx.load_from_string(checked(plan))
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


def test_scales_and_zero_points_are_ours() -> None:
    """As float32 and int8, not rounded anew."""
    plan = one_operator("conv", draw_conv(seeded("conv", 1)), seeded("conv", 1))
    found = parts(plan)
    for name, params in plan.quant.params.items():
        assert float(found[f"{name}.scale"]) == params.scale
        assert int(found[f"{name}.zero_point"]) == params.zero_point
        assert found[f"{name}.scale"].dtype == np.float32
        assert found[f"{name}.zero_point"].dtype == np.int8


@pytest.mark.parametrize("per", ["per_channel", "per_tensor"])
def test_weights_are_int8_and_stand_for_the_floats(per: str) -> None:
    """Half a step from the float weights, channel by channel; one scale where the rule says so."""
    rng = np.random.default_rng(5)
    w = (normal(rng, 6, 4) * np.array([[0.1], [1], [2], [3], [5], [9]])).astype(np.float32)
    node = Node("linear", ("x", "w", "b"), ("y",), {}, (Origin("head"),))
    graph = network([node], {"x": (3, 4)}, {"w": w, "b": normal(rng, 6)})
    plan = planned(graph, {"x": normal(rng, SAMPLES, 3, 4)}, [LayerRule("head", per)])
    found = parts(plan)
    integers, scale = found["head/weight"], found["head/weight.scale"]
    assert integers.dtype == np.int8
    assert found["head/bias"].dtype == np.int32
    assert len(set(scale.tolist())) == (6 if per == "per_channel" else 1)
    assert (np.abs(integers * scale - w.T) <= 0.5001 * scale).all()
    assert worst_step(plan, rng) <= 1


# whole networks


def agreement_db(ours: Sequence[Sequence[Array]], theirs: Sequence[Sequence[Array]]) -> float:
    """SQNR of their dequantised outputs against ours, over all outputs and samples."""
    noise = Noise()
    for a, b in zip(ours, theirs, strict=True):
        for mine, other in zip(a, b, strict=True):
            noise.add(mine, other)
    assert noise.db is not None
    return noise.db


def both(plan: Plan, samples: Mapping[str, Array]) -> tuple[list[list[Array]], list[list[Array]]]:
    """Dequantised outputs of the reference and of onnxruntime, sample by sample."""
    q, judge = plan.quant, session(checked(plan))
    ours, theirs = [], []
    for i in range(len(next(iter(samples.values())))):
        sample = {name: values[i] for name, values in samples.items()}
        found = run_int(q.steps, q.constants, quantized_inputs(q, sample))
        ours.append([real_values(q, name, found[name]) for name in q.graph.outputs])
        theirs.append(list(judge.run(None, sample)))
    return ours, theirs


def exported(module: nn.Module, *examples: torch.Tensor) -> Graph:
    return prepare(from_exported(torch.export.export(module.eval(), examples)))


def test_all_convnet_agrees() -> None:
    """Roundings add up over nine layers: 30 dB between two exact readings of the same integers."""
    torch.manual_seed(0)
    graph = exported(hd(), torch.zeros(1, 1, 16, 8))
    samples = {graph.inputs[0]: normal(np.random.default_rng(0), 8, 1, 1, 16, 8)}
    plan = planned(graph, samples)
    assert agreement_db(*both(plan, samples)) >= 30.0
    names = [node.name for node in onnx.load_from_string(qdq_model(plan, "net")).graph.node]
    assert any(name.startswith("features.0 + features.1/Conv") for name in names)


class Residual(nn.Module):
    """Two inputs; five outputs, one of them twice and one an index; batch norm comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(3), nn.Linear(12, 5)
        self.norm.running_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
        self.norm.running_var.copy_(torch.tensor([0.3, 2.0, 9.0]))
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=6)

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first = functional.relu(self.a(self.norm(x)))
        second = functional.silu(self.b(first) + first * gate)
        small = functional.avg_pool2d(second, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        largest = functional.adaptive_max_pool2d(first, 1).flatten(1)
        logits = self.head(torch.cat([second.mean((2, 3)), largest], 1))
        return small, second, second, logits, logits.argmax(1, keepdim=True)


@pytest.fixture(scope="module")
def residual() -> tuple[Plan, dict[str, Array]]:
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    graph = exported(Residual(), torch.zeros(1, 3, 9, 7), torch.zeros(1, 6, 1, 1))
    shapes = [graph.shape(name) for name in graph.inputs]
    samples = {
        n: normal(rng, SAMPLES, *shape) for n, shape in zip(graph.inputs, shapes, strict=True)
    }
    return planned(graph, samples), samples


def test_a_residual_network_agrees(residual: tuple[Plan, dict[str, Array]]) -> None:
    plan, samples = residual
    assert plan.quant.graph.input_normalization, "the batch norm is not at the border"
    ours, theirs = both(plan, samples)
    assert all(row[-1].dtype == np.int32 for row in theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert [x.shape for x in a] == [x.shape for x in b]
        assert np.array_equal(b[1], b[2])
        assert np.array_equal(a[-1], b[-1])
    for index in range(4):
        assert (
            agreement_db(
                [r[index : index + 1] for r in ours], [r[index : index + 1] for r in theirs]
            )
            >= 30.0
        )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_border_comes_before_quantisation(axis: int) -> None:
    """A factor per channel on the host: inputs are the model's own, not normalised ones."""
    rng = np.random.default_rng(axis)
    shape = (2, 3, 4)
    border = InputNormalization(
        (*rng.uniform(0.1, 5, shape[axis]),), (*rng.normal(size=shape[axis]),), axis
    )
    node = Node("table", ("x",), ("y",), {"chain": (("clamp", -0.5, 9.0),)})
    graph = network([node], {"x": shape}, {}).with_input_normalization("x", border)
    samples = {"x": normal(rng, SAMPLES, *shape)}
    plan = planned(graph, samples)
    ours, theirs = both(plan, samples)
    assert np.abs(np.array(ours) - np.array(theirs)).max() <= 1.001 * plan.quant.params["y"].scale


def test_names_are_the_models_own() -> None:
    """Also where an output is an input, and where names would be taken twice."""
    node = Node("table", ("x",), ("y",), {"chain": (("tanh",),)})
    graph = network([node], {"x": (2, 3)}, {})
    graph = replace(graph, outputs=("x", "y", "y"), output_names=("x", "y", "y"))
    plan = planned(graph, {"x": normal(np.random.default_rng(0), SAMPLES, 2, 3)})
    judge = session(checked(plan))
    assert [port.name for port in judge.get_inputs()] == ["x"]
    assert [port.name for port in judge.get_outputs()] == ["x_1", "y", "y_1"]
    ours, theirs = both(plan, {"x": normal(np.random.default_rng(2), 2, 2, 3)})
    assert agreement_db(ours, theirs) > 30.0


# the file


def test_nodes_say_where_they_come_from(residual: tuple[Plan, dict[str, Array]]) -> None:
    plan, samples = residual
    fidelity = measure(plan.quant, samples)
    model = onnx.load_from_string(qdq_model(plan, "net", fidelity))
    notes = {n.name: {p.key: p.value for p in n.metadata_props} for n in model.graph.node}
    found = notes["head/MatMul"]
    step = next(s for s in plan.steps if s.node.op == "linear")
    assert found["myoedge.module"] == "head"
    assert found["myoedge.op"] == "linear"
    assert found["myoedge.memory"] == f"output 3 + {plan.where[step.node.name].offset}"
    assert found["myoedge.sqnr_local"] == f"{fidelity.local[step.node.name]:.1f} dB"
    assert found["myoedge.source"].startswith("test_qdq.py:")
    assert all(notes.values()), "a node without notes"


def test_the_header_is_pinned(residual: tuple[Plan, dict[str, Array]]) -> None:
    model = onnx.load_from_string(qdq_model(residual[0], "net"))
    assert (model.ir_version, model.producer_name, model.graph.name) == (10, "myoedge", "net")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


def test_the_same_plan_gives_the_same_bytes() -> None:
    """In another process too, whose strings hash differently."""
    script = (
        "import hashlib, tests.support.onnx.quantized as t; rng = t.seeded('conv', 3);"
        "plan = t.one_operator('conv', t.draw_conv(rng), rng, (('silu',),));"
        "print(hashlib.sha256(t.qdq_model(plan, 'net')).hexdigest())"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    other = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    rng = seeded("conv", 3)
    plan = one_operator("conv", draw_conv(rng), rng, (("silu",),))
    assert qdq_model(plan, "net") == qdq_model(plan, "net")
    assert hashlib.sha256(qdq_model(plan, "net")).hexdigest() == other.stdout.strip()


def test_onnx_is_imported_late() -> None:
    """The command line stays quick: importing the writer does not import onnx."""
    script = "import sys, myoedge.codegen.qdq; print('onnx' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_the_file_is_read_as_any_qdq_file(
    residual: tuple[Plan, dict[str, Array]], tmp_path: Path
) -> None:
    """Its own parameters, and integers that agree within one step."""
    plan, samples = residual
    q, path = plan.quant, saved_bytes(qdq_model(plan, "net"), tmp_path)
    graph = load_model(path).graph
    other = quantize_graph(graph, calibrate(graph, samples, Observer(), "test"))
    pairs = [*zip(q.graph.outputs, other.graph.outputs, strict=True)]
    assert [q.params.get(a) for a, _ in pairs] == [other.params.get(b) for _, b in pairs]
    for i in range(SAMPLES):
        sample = {name: values[i] for name, values in samples.items()}
        ours, theirs = (
            run_int(network.steps, network.constants, quantized_inputs(network, sample))
            for network in (q, other)
        )
        for a, b in pairs:
            assert np.abs(ours[a].astype(int) - theirs[b].astype(int)).max() <= 1
