# SPDX-License-Identifier: Apache-2.0
"""Networks of whole numbers: the same integers as by Python's, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import myoedge
from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.interpreter import run_integer
from myoedge.quantization.scales import QuantGraph
from tests.onnx_models import model, node, saved
from tests.whole_networks import attributes, block, convolutions, exact, of_floats, requantised


def integers(network: QuantGraph, x: Any) -> Any:
    """Results in whole numbers for one sample."""
    (name,) = network.graph.inputs
    given = {name: network.input_integers(name, np.asarray(x, np.float32))}
    (y,) = network.graph.outputs
    made = run_integer(network.steps, network.constants, given)[y].astype(int)
    return made - network.params[y].zero_point


@pytest.mark.parametrize(
    ("draw", "low", "high"), [(convolutions, 0, 256), (convolutions, -128, 128), (block, -128, 128)]
)
@pytest.mark.parametrize("seed", range(2))
def test_the_same_integers(draw: Any, low: int, high: int, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    made, _, meaning = draw(rng)
    shape = [d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim]
    samples = rng.integers(low, high, (4, *shape))
    samples.reshape(-1)[:2] = low, high - 1
    found = myoedge.quantize(saved(made, tmp_path), calib={"x": samples.astype(np.float32)})
    assert found.fidelity.worst_db == np.inf
    results = [integers(found.network, x) for x in samples]
    assert all(
        np.array_equal(y.reshape(-1), meaning(exact(x[0])).reshape(-1))
        for y, x in zip(results, samples, strict=True)
    )
    assert np.ptp(results) > 40


@pytest.mark.parametrize(
    ("low", "high", "params"),
    [
        (-128, 127, QuantParams(1.0, 0)),
        (0, 127, QuantParams(1.0, 0)),
        (0, 128, QuantParams(1.0, -128)),
    ],
)
def test_an_inputs_type_follows_the_samples(
    low: int, high: int, params: QuantParams, tmp_path: Path
) -> None:
    made, _, _ = convolutions(np.random.default_rng(0))
    samples = np.full((2, 1, 3, 4, 4), low, np.float32)
    samples[0, 0, 0, 0, 0] = high
    network = myoedge.quantize(saved(made, tmp_path), calib={"x": samples}).network
    assert network.params["x"] == params


def test_samples_may_be_left_out(tmp_path: Path) -> None:
    made, _, meaning = convolutions(np.random.default_rng(0))
    network = myoedge.quantize(saved(made, tmp_path)).network
    x = np.random.default_rng(1).integers(-128, 128, (1, 3, 4, 4))
    assert network.params["x"] == QuantParams(1.0, 0)
    assert np.array_equal(integers(network, x)[0], meaning(exact(x[0])))


def test_an_input_of_16_bits(tmp_path: Path) -> None:
    c = {"m": [504.0], "a": [-40_000.0]}
    made = of_floats([node("RequantShift", "x m a", "y", **attributes())], (1, 64), c)
    x = np.random.default_rng(0).integers(-16384, 16384, (2, 1, 64))
    network = myoedge.quantize(saved(made, tmp_path), calib={"x": x.astype(np.float32)}).network
    assert np.array_equal(integers(network, x[0]), requantised(exact(x[0]), 504, -40_000))


@pytest.mark.parametrize(
    "reads",
    [
        node("iSoftmax", "x", "y", coeffA=3, coeffB=8, coeffC=4, log2=5, n_levels=256),
        node("ITAMax", "x", "y", n_levels=256),
        node("iLeakyReLU", "x", "y0", mul=3, shift=2),
    ],
)
def test_16_bits_of_what_reads_8_are_refused(reads: Any, tmp_path: Path) -> None:
    """Tables of 256 entries and shares; in 8 bits the same network builds."""
    behind = [node("RequantShift", "y0 m a", "y", **attributes())] if "y0" in reads.output else []
    made = of_floats([reads, *behind], (1, 64), {"m": [504.0], "a": [3.0]})
    path, x = saved(made, tmp_path), np.arange(-8192.0, 8192.0, 256.0).reshape(1, 1, 64)
    assert myoedge.quantize(path, calib={"x": x.astype(np.float32) / 64})
    with pytest.raises(MyoedgeError, match=r"E249.*\n.*8 bits(.*\n)*.*RequantShift in front"):
        myoedge.quantize(path, calib={"x": x.astype(np.float32)})


@pytest.mark.parametrize("value", [0.5, 40_000.0])
def test_samples_that_are_no_integers_are_refused(value: float, tmp_path: Path) -> None:
    made, _, _ = convolutions(np.random.default_rng(0))
    samples = np.full((2, 1, 3, 4, 4), value, np.float32)
    with pytest.raises(MyoedgeError, match="E249"):
        myoedge.quantize(saved(made, tmp_path), calib={"x": samples})


REFUSED = {
    "results of 32 bits": (
        [node("MatMul", "x w", "y0"), node("iGELU", "y0", "y", b=-4, one=9)],
        {},
    ),
    "a divisor": (
        [node("MatMul", "x w", "y0"), node("RequantShift", "y0 m a", "y", **attributes(div=1000))],
        {},
    ),
    "levels": (
        [
            node("MatMul", "x w", "y0"),
            node("RequantShift", "y0 m a", "y", **attributes(levels=512)),
        ],
        {},
    ),
    "a fraction": (
        [node("MatMul", "x w", "y0"), node("RequantShift", "y0 m a", "y", **attributes())],
        {"m": [0.5]},
    ),
    "weights with fractions": (
        [node("MatMul", "x w", "y0"), node("RequantShift", "y0 m a", "y", **attributes())],
        {"w": np.full((4, 4), 1.5)},
    ),
    "weights of more than 16 bits": (
        [node("MatMul", "x w", "y0"), node("RequantShift", "y0 m a", "y", **attributes())],
        {"w": np.full((4, 4), 300_000)},
    ),
    "a function of sums": (
        [
            node("MatMul", "x w", "y0"),
            node("Relu", "y0", "y1"),
            node("RequantShift", "y1 m a", "y", **attributes()),
        ],
        {},
    ),
    "limits with fractions": (
        [
            node("RequantShift", "x m a", "y0", **attributes()),
            node("Clip", "y0 low high", "y"),
        ],
        {"low": -3.5, "high": 7.0},
    ),
    "padding below 0 of numbers without a sign": (
        [
            node("RequantShift", "x m a", "y0", **attributes(signed=0)),
            node("Constant", "", "pads", value_ints=[0, 1, 0, 1]),
            node("Pad", "y0 pads value", "y"),
        ],
        {"value": -7.0},
    ),
    "a shift below 0": (
        [
            node("iLeakyReLU", "x", "y0", mul=3, shift=-2),
            node("RequantShift", "y0 m a", "y", **attributes()),
        ],
        {},
    ),
    "a division by 0": (
        [
            node("TrueIntegerDiv", "x", "y0", y=0, Delta=3, eps=0, eta=1),
            node("RequantShift", "y0 m a", "y", **attributes()),
        ],
        {},
    ),
    "quotients that nothing rounds": (
        [
            node("RequantShift", "x m a", "y0", **attributes()),
            node("Div", "y0 by", "y1"),
            node("RequantShift", "y1 m a", "y", **attributes()),
        ],
        {"by": 49.0},
    ),
    "a function beyond 32 bits": (
        [
            node("iGELU", "x", "y0", b=-(2**31) + 600, one=2**31 - 600),
            node("RequantShift", "y0 m a", "y", **attributes()),
        ],
        {},
    ),
    "a function without its numbers": ([node("iSoftmax", "x", "y", coeffB=3)], {}),
    "no multiplier": (
        [node("RequantShift", "x m a", "y", **attributes())],
        {"m": [], "a": []},
    ),
    "multipliers of a row": (
        [node("MatMul", "x w", "y0"), node("RequantShift", "y0 m a", "y", **attributes())],
        {"m": np.ones((3, 1)), "a": np.ones((3, 1))},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_integers_here_is_refused(case: str, tmp_path: Path) -> None:
    nodes, constants = REFUSED[case]
    c = {"w": np.ones((4, 4)), "m": [1.0], "a": [0.0], **constants}
    with pytest.raises(MyoedgeError, match="E111"):
        myoedge.quantize(saved(of_floats(nodes, (3, 4), c), tmp_path))


@pytest.mark.parametrize(("axes", "refused"), [([2], True), ([-3], True), ([-1, 1], False)])
def test_axes_of_a_mean(axes: list[int], refused: bool, tmp_path: Path) -> None:
    nodes = [
        node("RequantShift", "x m a", "y0", **attributes(div=1)),
        node("IntegerMean", "y0", "y", axes=axes, keepdims=1),
    ]
    path = saved(of_floats(nodes, (3, 4), {"m": [1.0], "a": [0.0]}), tmp_path)
    if refused:
        with pytest.raises(MyoedgeError, match="give IntegerMean inputs and attributes as in"):
            myoedge.quantize(path)
    else:
        x = np.arange(-6, 6).reshape(3, 4)
        assert integers(myoedge.quantize(path).network, x).tolist() == [[-4], [0], [4]]


def test_quotients_are_rounded_down(tmp_path: Path) -> None:
    """Where the file says so by Floor: also those without a rest, whose floats are just below."""
    nodes = [
        node("RequantShift", "x one a", "y0", **attributes(div=1)),
        node("Div", "y0 by", "y1"),
        node("Floor", "y1", "y2"),
        node("RequantShift", "y2 m a", "y", **attributes(div=1)),
    ]
    x = np.arange(-128, 128).reshape(1, 256)
    for by in (7, 49, 103):
        c = {"one": [1.0], "m": [5.0], "a": [0.0], "by": float(by)}
        network = myoedge.quantize(saved(of_floats(nodes, (1, 256), c), tmp_path)).network
        assert integers(network, x)[0].tolist() == [
            min(max(value // by * 5, -128), 127) for value in range(-128, 128)
        ]


def test_a_quotients_divisor_may_be_a_node(tmp_path: Path) -> None:
    nodes = [
        node("RequantShift", "x one a", "y0", **attributes(div=1)),
        node("Constant", "", "by", value_float=49.0),
        node("Div", "y0 by", "y1"),
        node("Floor", "y1", "y2"),
        node("RequantShift", "y2 m a", "y", **attributes(div=1)),
    ]
    c = {"one": [1.0], "m": [5.0], "a": [0.0]}
    network = myoedge.quantize(saved(of_floats(nodes, (1, 5), c), tmp_path)).network
    assert integers(network, [[-98, -49, 0, 49, 98]])[0].tolist() == [-10, -5, 0, 5, 10]


@pytest.mark.parametrize(("by", "least"), [(np.inf, 0), (1e30, -1), (3e9, -1)])
def test_quotients_by_more_than_32_bits(by: float, least: int, tmp_path: Path) -> None:
    nodes = [
        node("RequantShift", "x one a", "y0", **attributes(div=1)),
        node("Div", "y0 by", "y1"),
        node("Floor", "y1", "y2"),
        node("RequantShift", "y2 m a", "y", **attributes(div=1)),
    ]
    c = {"one": [1.0], "m": [5.0], "a": [0.0], "by": by}
    path = saved(of_floats(nodes, (1, 3), c), tmp_path)
    network = myoedge.quantize(path).network
    assert integers(network, [[-128, 0, 127]])[0].tolist() == [5 * least, 0, 0]


def test_damaged_divisors_are_told(tmp_path: Path) -> None:
    divide = [node("Div", "y0 by", "y1"), node("Floor", "y1", "y")]
    requant = node("RequantShift", "x one a", "y0", **attributes(div=1))
    c = {"one": [1.0], "a": [0.0], "by": 7.0}
    alone = of_floats([requant, *divide], (1, 3), c)
    del alone.graph.node[1].input[1]
    short, strange = (of_floats([requant, *divide], (1, 3), c) for _ in range(2))
    for made in (short, strange):
        (by,) = (t for t in made.graph.initializer if t.name == "by")
        by.CopyFrom(TensorProto(name="by", data_type=1, raw_data=b"123"))
    by.data_type = 77
    for made, code in ((alone, "E119"), (short, "E119"), (strange, "E111")):
        with pytest.raises(MyoedgeError, match=code):
            load_model(saved(made, tmp_path))


def test_advice_for_what_onnx_does_not_know(tmp_path: Path) -> None:
    says = {
        "HardSwish": "opset_version=17",
        "TFL_GELU": "none of ONNX's operators",
    }
    for op, advice in says.items():
        made = of_floats([node(op, "x", "y")], (3, 4), {})
        with pytest.raises(MyoedgeError, match="E119") as caught:
            load_model(saved(made, tmp_path))
        assert advice in str(caught.value)
    newer = model([node("HardSwish", "x", "y")], {"x": (3, 4)}, opset=17)
    assert load_model(saved(newer, tmp_path)).graph.nodes


def test_products_beyond_32_bits_are_refused(tmp_path: Path) -> None:
    c = {"w": np.full((4, 4), 127), "m": [50_001.0], "a": [0.0]}
    nodes = [node("MatMul", "x w", "y0"), node("RequantShift", "y0 m a", "y", **attributes())]
    with pytest.raises(MyoedgeError, match="E117") as refused:
        myoedge.quantize(saved(of_floats(nodes, (3, 4), c), tmp_path))
    assert "mul, add and div of its RequantShift divided by 2" in str(refused.value)
    nodes[1] = node("RequantShift", "y0 m a", "y", **attributes(div=2**15))
    assert myoedge.quantize(saved(of_floats(nodes, (3, 4), c | {"m": [25_000.0]}), tmp_path))
    nodes[1] = node("RequantShift", "y0 m a", "y", **attributes(div=1))
    with pytest.raises(MyoedgeError, match="mul and add of its RequantShift 2 times smaller"):
        myoedge.quantize(saved(of_floats(nodes, (3, 4), c), tmp_path))
    assert myoedge.quantize(saved(of_floats(nodes, (3, 4), c | {"m": [25_001.0]}), tmp_path))


def test_several_sums_in_16_bits(tmp_path: Path) -> None:
    """Sums of sums, and a function behind the last."""
    nodes = [
        *(node("RequantShift", f"x m{i} a", f"y{i}", **attributes()) for i in range(3)),
        node("Add", "y0 y1", "s"),
        node("Add", "s y2", "t"),
        node("RequantShift", "t m3 a", "u", **attributes()),
        node("RequantShift", "u m0 a", "v", **attributes()),
        node("Sub", "v y2", "w"),
        node("RequantShift", "w m1 a", "y", **attributes()),
    ]
    m = {"m0": 60_001, "m1": 65_000, "m2": 52_345, "m3": 23_456}
    c = {**{name: [value] for name, value in m.items()}, "a": [0]}
    x = np.random.default_rng(0).integers(-128, 128, (2, 1, 64))
    made = saved(of_floats(nodes, (1, 64), c), tmp_path)
    network = myoedge.quantize(made, calib={"x": x.astype(np.float32)}).network
    y = [requantised(exact(x[0]), m[f"m{i}"], 0) for i in range(3)]
    v = requantised(requantised(y[0] + y[1] + y[2], m["m3"], 0), m["m0"], 0)
    assert np.array_equal(integers(network, x[0]), requantised(v - y[2], m["m1"], 0))
