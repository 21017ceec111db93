# SPDX-License-Identifier: Apache-2.0
"""ONNX models through the third door: what they mean, what is named, what is refused and how."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper

import myoedge
from myoedge import api
from myoedge.building.loading import Model, load_model
from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.operator_table import CALLS, onnx_folded, onnx_of
from myoedge.frontend.port_names import port_names
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.reports import operators
from tests.conftest import ROOT, Ran
from tests.support.networks.small import Small
from tests.support.onnx.models import FLOAT, Shapes, gemm, model, node, saved
from tests.support.refusals.models import parsed

RNG = np.random.default_rng(0)


def agrees(made: ModelProto, folder: Path, *, bound: float = 1e-5) -> Graph:
    """Holds the graph, before and after the passes, to onnxruntime; returns the latter."""
    found = load_onnx(saved(made, folder)).graph
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # outputs here declare shapes that are not theirs
    session = ort.InferenceSession(str(folder / "model.onnx"), options)
    inputs = [RNG.normal(size=found.shape(name)).astype(np.float32) for name in found.inputs]
    given = dict(zip((port.name for port in session.get_inputs()), inputs, strict=True))
    wanted = session.run(None, given)
    for graph in (found, prepare(found)):
        values = run_float(graph, dict(zip(graph.inputs, inputs, strict=True)))
        for name, real in zip(graph.outputs, wanted, strict=True):
            assert values[name].shape == real.shape
            np.testing.assert_allclose(values[name], real, rtol=bound, atol=bound)
    return prepare(found)


def refused(made: ModelProto, folder: Path) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        load_model(saved(made, folder))
    return caught.value


def weights(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def conv(shape: tuple[int, ...], kernel: tuple[int, ...], **attrs: Any) -> ModelProto:
    made = node("Conv", "x w b", "y", **attrs)
    return model([made], {"x": shape}, constants={"w": weights(*kernel), "b": weights(kernel[0])})


def pooled(op: str, shape: tuple[int, ...], **attrs: Any) -> ModelProto:
    return model([node(op, "x", "y", **attrs)], {"x": shape})


def upsampled(way: str, rounding: str, factor: float) -> ModelProto:
    attrs = {"coordinate_transformation_mode": way, "nearest_mode": rounding}
    scales = np.array([1, 1, factor, factor], np.float32)
    return model(
        [node("Resize", "x - s", "y", **attrs)], {"x": (1, 2, 6, 4)}, constants={"s": scales}
    )


CHOICE = np.array([[True, False, True, True], [True, True, False, True]])


def chosen(
    inputs: str,
    shapes: Mapping[str, tuple[int, ...]] = {"x": (2, 4)},
    behind: Sequence[NodeProto] = (),
    more: Sequence[NodeProto] = (),
    **constants: Any,
) -> ModelProto:
    """Where, whose condition is c."""
    nodes = [*more, node("Where", inputs, "y"), *behind]
    return model(nodes, shapes, ("s" if behind else "y",), {"c": CHOICE, **constants})


@pytest.mark.parametrize("seed", range(4))
def test_nodes_in_any_order(seed: int, tmp_path: Path) -> None:
    """onnxruntime sorts them as well; a branch reads results of the graph around it."""
    text = """
        a = Relu(x) b = Tanh(a) one = Constant<value = bool {1}>()
        c = If(one)<then_branch = then() => (float[2, 3] p) {q = Neg(a) p = Add(q, b)},
                    else_branch = other() => (float[2, 3] p) {p = Sub(a, b)}>
        y = Add(c, b)
    """
    made = parsed(text, {"x": RNG.standard_normal((2, 3), np.float32)}, 17, {})
    order = np.random.default_rng(seed).permutation(len(made.graph.node))
    nodes = [made.graph.node[i] for i in order]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    agrees(made, tmp_path)


# Uses that ONNX's own cases do not have, or not with these numbers; onnxruntime judges.
USES: dict[str, Callable[[], ModelProto]] = {
    "conv, even kernel, asymmetric": lambda: conv((1, 3, 16), (4, 3, 8), pads=[3, 4]),
    "conv, same upper, stride 2": lambda: conv(
        (1, 2, 9, 8), (3, 2, 4, 3), auto_pad="SAME_UPPER", strides=[2, 3]
    ),
    "conv, same lower": lambda: conv((1, 2, 9, 8), (3, 2, 4, 2), auto_pad="SAME_LOWER"),
    "conv, valid, dilated": lambda: conv((2, 2, 20), (3, 2, 3), auto_pad="VALID", dilations=[4]),
    "conv, groups": lambda: conv((1, 4, 9), (6, 2, 3), group=2, pads=[1, 1]),
    "depthwise": lambda: conv((1, 4, 9), (4, 1, 3), group=4, strides=[2]),
    "max pool, ceil, asymmetric": lambda: pooled(
        "MaxPool", (1, 2, 7, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1
    ),
    "average pool, padding counts": lambda: pooled(
        "AveragePool", (1, 2, 9), kernel_shape=[4], strides=[3], pads=[1, 2], count_include_pad=1
    ),
    "average pool, padding does not": lambda: pooled(
        "AveragePool", (1, 2, 9), kernel_shape=[4], strides=[3], pads=[1, 2]
    ),
    "average pool, same": lambda: pooled(
        "AveragePool", (1, 2, 9), kernel_shape=[4], strides=[2], auto_pad="SAME_LOWER"
    ),
    "gemm of two tensors": lambda: model(
        [node("Gemm", "x z w", "y", alpha=0.5, beta=2.0, transA=1, transB=1)],
        {"x": (4, 3), "z": (5, 4)},
        constants={"w": weights(3, 1)},
    ),
    "gemm, bias by row": lambda: model(
        [node("Gemm", "x v w", "y", alpha=0.5, beta=2.0)],
        {"x": (3, 4)},
        constants={"v": weights(4, 5), "w": weights(3, 1)},
    ),
    "matmul from the left": lambda: model(
        [node("MatMul", "w x", "y")], {"x": (4, 3)}, constants={"w": weights(5, 4)}
    ),
    "up by 2": lambda: upsampled("asymmetric", "floor", 2.0),
    "up by 3, centres": lambda: upsampled("half_pixel", "round_prefer_floor", 3.0),
    "down by 2": lambda: upsampled("asymmetric", "floor", 0.5),
    "slice backwards": lambda: model(
        [node("Slice", "x a b c d", "y")],
        {"x": (2, 9)},
        constants={"a": ints(-2), "b": ints(-(2**63)), "c": ints(-1), "d": ints(-3)},
    ),
    "gather a matrix of indices": lambda: model(
        [node("Gather", "x i", "y", axis=1)], constants={"i": ints(3, -1, 0, 1).reshape(2, 2)}
    ),
    "gather one": lambda: model(
        [node("Gather", "x i", "y", axis=1)], constants={"i": np.array(2, np.int64)}
    ),
    "prelu by channel": lambda: model(
        [node("PRelu", "x s", "y")], {"x": (1, 3, 5)}, constants={"s": weights(3, 1)}
    ),
    "batch norm behind relu": lambda: model(
        [node("Relu", "x", "r"), node("BatchNormalization", "r s b m v", "y", epsilon=1e-3)],
        {"x": (1, 3, 5)},
        constants={"s": weights(3), "b": weights(3), "m": weights(3), "v": weights(3) ** 2},
    ),
    "where, a condition that is constant": lambda: chosen("c x z", {"x": (2, 4), "z": (1, 4)}),
    "where, a number instead": lambda: chosen("c n x", n=np.float32(3.0)),
    "where, a condition that is larger": lambda: chosen("c x n", {"x": (1, 1)}, n=weights(4)),
    "where, minus infinity in front of a softmax": lambda: chosen(
        "c x n", {"x": (3, 2, 4)}, [node("Softmax", "y", "s")], n=np.float32(-np.inf)
    ),
    "where, a condition that is folded": lambda: chosen(
        "d x z", {"x": (2, 4), "z": (2, 4)}, [node("Neg", "y", "s")], more=[node("Not", "c", "d")]
    ),
    "l2": lambda: model([node("ReduceL2", "x", "y", axes=[1], keepdims=0)], {"x": (3, 5)}),
    "two inputs, in their order": lambda: model(
        [node("Sub", "b a", "y")], {"a": (1, 4), "b": (1, 4)}
    ),
}


@pytest.mark.parametrize("name", USES)
def test_a_use_means_what_onnxruntime_makes_of_it(name: str, tmp_path: Path) -> None:
    agrees(USES[name](), tmp_path)


POOLS = [
    (op, rank, seed) for op in ("MaxPool", "AveragePool") for rank in (1, 2, 3) for seed in (0, 1)
]


@pytest.mark.parametrize(("op", "rank", "seed"), POOLS)
def test_windows_of_ceil_mode_are_those_of_torch_and_onnxruntime(
    op: str, rank: int, seed: int, tmp_path: Path
) -> None:
    """Five drawn uses each: a last window may not start in the padding, which onnx's shapes
    include; a Reshape behind it has the shape that exporters write."""
    rng = np.random.default_rng([seed, rank, len(op)])
    for _ in range(5):
        size, stride = rng.integers(1, 5, (2, rank))
        before = np.minimum(rng.integers(0, 3, rank), size // 2)
        after = before if seed == 0 else rng.integers(0, size)
        dilations = rng.integers(1, 4, rank) if rng.integers(2) else np.ones(rank, int)
        reach = (size - 1) * dilations + 1
        spatial = np.maximum(reach - before - after, dilations) + rng.integers(0, 5, rank)
        attrs: dict[str, Any] = {"kernel_shape": size, "strides": stride, "ceil_mode": 1}
        attrs |= {"pads": [*before, *after], "dilations": dilations}
        if op == "AveragePool":
            attrs["count_include_pad"] = int(rng.integers(2))
        x = rng.normal(size=(1, 2, *spatial)).astype(np.float32)
        nodes = [node(op, "x", "h", **attrs), node("Reshape", "h n", "y")]
        is_torchs = seed == 0 and min(spatial - reach) >= 0  # whose averages have no dilation
        is_torchs &= op == "MaxPool" or max(dilations) == 1
        wanted = _pooled_by_torch(op, x, attrs) if is_torchs else None
        flat = ints(-1) if wanted is None else ints(wanted.size)
        made = model(nodes, {"x": x.shape}, constants={"n": flat}, opset=19)
        graph = agrees(made, tmp_path)
        if wanted is not None:
            values = run_float(graph, {graph.inputs[0]: x})
            np.testing.assert_allclose(values[graph.outputs[0]], wanted.reshape(-1), atol=1e-5)


def _pooled_by_torch(op: str, x: Array, attrs: Mapping[str, Any]) -> Array:
    rank = x.ndim - 2
    name = f"{'max' if op == 'MaxPool' else 'avg'}_pool{rank}d"
    given = (attrs[key] for key in ("kernel_shape", "strides", "pads", "dilations"))
    size, stride, pads, dilation = (tuple(map(int, values)) for values in given)
    options: dict[str, Any] = {"dilation": dilation}
    if op == "AveragePool":
        options = {"count_include_pad": bool(attrs["count_include_pad"])}
    pool = getattr(torch.nn.functional, name)
    return pool(torch.tensor(x), size, stride, pads[:rank], ceil_mode=True, **options).numpy()


EVIL_WINDOWS = {
    "kernel_shape [5], weights of [3]": ("Conv", {"kernel_shape": [5], "pads": [2, 2]}),
    "kernel_shape [3], weights of [2]": ("ConvTranspose", {"kernel_shape": [3]}),
    "auto_pad 'EVIL'": ("Conv", {"auto_pad": "EVIL"}),
    "auto_pad 'NONE'": ("MaxPool", {"kernel_shape": [3], "auto_pad": "NONE"}),
    "auto_pad SAME_UPPER together with pads [1, 1]": (
        "Conv", {"auto_pad": "SAME_UPPER", "pads": [1, 1]},
    ),
    "auto_pad VALID together with pads [1, 0]": (
        "AveragePool", {"kernel_shape": [3], "auto_pad": "VALID", "pads": [1, 0]},
    ),
    "pads attribute cannot be used simultaneously with auto_pad": (
        "ConvTranspose", {"auto_pad": "SAME_LOWER", "pads": [1, 0]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", EVIL_WINDOWS)
def test_windows_that_contradict_each_other_are_refused(words: str, tmp_path: Path) -> None:
    op, attrs = EVIL_WINDOWS[words]
    if "Conv" not in op:
        made = pooled(op, (1, 1, 9), **attrs)
    else:
        constants = {"w": weights(1, 1, 3 if op == "Conv" else 2)}
        made = model([node(op, "x w", "y", **attrs)], {"x": (1, 1, 9)}, constants=constants)
    error = refused(made, tmp_path)
    assert error.code == "E119"
    assert words in str(error)


def test_pads_of_zero_go_with_auto_pad(tmp_path: Path) -> None:
    """Converters from Core ML write both for pools, and onnxruntime takes them."""
    attrs = {"kernel_shape": [3], "strides": [2], "auto_pad": "SAME_UPPER", "pads": [0, 0]}
    agrees(pooled("MaxPool", (1, 2, 9), **attrs), tmp_path)


def test_reshapes_by_computed_shapes_are_folded(tmp_path: Path) -> None:
    """What exporters write for x.view(x.size(0), -1): nothing of it is left."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axes", "n1"),
        node("Constant", "", "m", value_ints=[-1]),
        node("Concat", "n1 m", "shape", axis=0),
        node("Reshape", "x shape", "f"),
        node("Relu", "f", "y"),
    ]
    constants = {"zero": np.array(0, np.int64), "axes": ints(0)}
    graph = agrees(model(nodes, {"x": (2, 3, 4)}, constants=constants), tmp_path)
    assert [n.op for n in graph.nodes] == ["table", "reshape"]


def test_weights_may_be_turned_cast_and_computed(tmp_path: Path) -> None:
    half = helper.make_tensor("w", TensorProto.FLOAT16, [3, 4], [1.5] * 12)
    nodes = [
        node("Cast", "w", "f", to=FLOAT),
        node("Transpose", "f", "t"),
        node("Mul", "t t", "u"),
        node("MatMul", "x u", "y"),
    ]
    graph = agrees(model(nodes, constants={"w": half}), tmp_path)
    assert [n.op for n in graph.nodes] == ["linear"]


def test_int8_weights_of_a_float_network_are_unpacked(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", "q s", "w"), node("MatMul", "x w", "y")]
    constants = {"q": np.arange(12, dtype=np.int8).reshape(4, 3), "s": np.float32(0.5)}
    agrees(model(nodes, constants=constants), tmp_path)


def test_a_batch_axis_becomes_one_and_is_told(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y")], {"x": ("batch", 3, 8)})
    found = load_model(saved(made, tmp_path))
    assert found.graph.shape("x") == (1, 3, 8)
    assert found.notes == ("axis 0 of input x, batch, is set to 1",)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 3, "time"), "--dim_param time --dim_value <n>"),
        ((1, None), "--input_name x --input_shape 1,<n>"),
        (None, "has no shape"),
        (("n",), "axis 0 of input x is dynamic"),
        ((1, 0), "at least 1 element"),
        ((1, 2**40), "at most"),
    ],
)
def test_other_axes_are_refused_with_the_tools_line(shape: Any, words: str, tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y")], {"x": shape})
    if shape is None:
        made.graph.input[0].type.tensor_type.shape.SetInParent()
        made.graph.input[0].type.tensor_type.ClearField("shape")
        with pytest.raises(MyoedgeError) as caught:
            load_model(saved(made, tmp_path))
        assert caught.value.code == "E119"  # the checker is first
        return
    error = refused(made, tmp_path)
    assert error.code == "E110"
    assert words in str(error)


def test_initialisers_that_are_listed_as_inputs(tmp_path: Path) -> None:
    made = gemm()
    for weight in made.graph.initializer:
        kind = helper.make_tensor_value_info(weight.name, FLOAT, list(weight.dims))
        made.graph.input.append(kind)
    found = load_model(saved(made, tmp_path))
    assert found.graph.inputs == ("x",)
    assert found.params == 15


def test_masks_were_not_learnt(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x w", "s"), node("Add", "s m", "h"), node("Softmax", "h", "y")]
    hidden = np.where(np.eye(4) == 1, 0.0, -np.inf)
    made = model(nodes, {"x": (4, 3)}, constants={"w": weights(3, 4), "m": hidden})
    assert load_model(saved(made, tmp_path)).params == 12


def test_an_input_nobody_reads_stays(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y")], {"unused": (1, 2), "x": (1, 4)})
    assert load_model(saved(made, tmp_path)).graph.inputs == ("unused", "x")


def test_branches_nobody_reads_need_not_be_supported(tmp_path: Path) -> None:
    made = model([node("NonZero", "x", "n"), node("Relu", "x", "y")])
    assert [n.op for n in load_model(saved(made, tmp_path)).imported.nodes] == ["table"]


def test_shapes_that_the_file_declares_are_not_believed(tmp_path: Path) -> None:
    made = gemm()
    made.graph.value_info.append(helper.make_tensor_value_info("h", FLOAT, [7, 7, 7]))
    graph = agrees(made, tmp_path)
    assert [graph.shape(n.name) for n in graph.nodes] == [(1, 3)]


# ---- names


def loaded(made: ModelProto, folder: Path) -> Model:
    return load_model(saved(made, folder))


def test_nodes_keep_their_names(tmp_path: Path) -> None:
    graph = loaded(gemm(), tmp_path).graph
    assert graph.nodes[0].label == "fc + act"


def test_nodes_without_names_are_called_by_their_outputs(tmp_path: Path) -> None:
    assert loaded(model([node("Relu", "x", "y")]), tmp_path).graph.nodes[0].label == "y"


def test_the_notes_of_torchs_exporter_say_module_and_line(tmp_path: Path) -> None:
    made = gemm()
    notes = {
        "pkg.torch.onnx.name_scopes": "['', 'encoder', 'encoder.fc', 'linear']",
        "pkg.torch.onnx.stack_trace": 'File "/home/me/net.py", line 41, in forward\n    return x\n'
        'File "/usr/lib/python3/site-packages/torch/nn/linear.py", line 9, in forward',
    }
    for key, value in notes.items():
        made.graph.node[0].metadata_props.add(key=key, value=value)
    origin = loaded(made, tmp_path).imported.nodes[0].origin[0]
    assert str(origin) == "encoder.fc (net.py:41)"


def test_the_notes_of_torchs_older_exporter(tmp_path: Path) -> None:
    made = gemm()
    made.graph.node[0].doc_string = (
        "/usr/site-packages/torch/nn/linear.py(9): forward\n/home/me/net.py(41): forward\n"
        "/home/me/train.py(7): <module>\n"
    )
    assert loaded(made, tmp_path).imported.nodes[0].origin[0].source == "net.py:41"


def test_names_end_no_line_and_no_comment(tmp_path: Path) -> None:
    made = gemm()
    made.graph.node[0].name = "a\n#include <evil> */ \x1b[31m" + "x" * 500
    origin = loaded(made, tmp_path).imported.nodes[0].origin[0]
    assert "\n" not in origin.path
    assert "\x1b" not in origin.path
    assert len(origin.path) <= 120


def test_names_of_inputs_and_outputs_can_be_typed(tmp_path: Path) -> None:
    made = model([node("Relu", "in:0", "y;import")], {"in:0": (1, 4)}, ("y;import",))
    found = loaded(made, tmp_path)
    assert (found.graph.inputs, found.graph.output_names) == (("in_0",), ("y_import",))
    assert "input 'in:0' is called in_0" in found.notes


def test_arrays_may_have_the_names_of_the_file(tmp_path: Path) -> None:
    names = ("onnx::Add_0", "x.3")
    made = model(
        [node("Add", " ".join(names), "t"), node("Relu", "t", "y")], dict.fromkeys(names, (1, 8))
    )
    given = {name: RNG.normal(size=(8, 1, 8)).astype(np.float32) for name in names}
    built = myoedge.build(saved(made, tmp_path), calib=given, output=tmp_path / "built")
    found = built.run({name: x[0] for name, x in given.items()})
    wanted = np.maximum(given["onnx::Add_0"][0] + given["x.3"][0], 0)
    np.testing.assert_allclose(found, wanted, atol=0.05)


def test_an_empty_cache_is_left_out(tmp_path: Path) -> None:
    nodes = [node("Concat", "cache x", "k", axis=2), node("Relu", "k", "y")]
    shapes: Shapes = {"x": (1, 16, 3, 4), "cache": ("batch", 16, 0, 4)}
    found = loaded(model(nodes, shapes), tmp_path)
    assert found.graph.inputs == ("x",)
    assert "input cache [1, 16, 0, 4] has no elements and is left out" in found.notes
    x = RNG.normal(size=(1, 16, 3, 4)).astype(np.float32)
    values = run_float(found.graph, {"x": x})
    np.testing.assert_array_equal(values[found.graph.outputs[0]], np.maximum(x, 0))


def test_an_empty_input_elsewhere_is_refused(tmp_path: Path) -> None:
    assert refused(model([node("Relu", "x", "y")], {"x": (1, 0, 4)}), tmp_path).code == "E110"


def test_port_names() -> None:
    names = ["a.b", "a/b", "1", "", "label", "import", "größe", "x"]
    expected = ("a_b", "a_b_1", "_1", "value", "label_", "import_", "gr__e", "x")
    assert port_names(names) == expected


def test_init_writes_no_code_of_a_models_author(tmp_path: Path) -> None:
    evil = 'x\nimport os; os.system("true")\n#'
    made = model([node("Add", "first second", "y")], {"first": (1, 4), "second": (1, 4)})
    made.graph.input[0].name = made.graph.node[0].input[0] = evil
    myoedge.init(tmp_path, model=saved(made, tmp_path))
    assert "import os" not in (tmp_path / "make_calib.py").read_text()


# ---- refusals


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    nodes = [
        node("Hardmax", "x", "n", name="/enc/hard"),
        node("Relu", "n", "r"),
        node("Concat", "r r r", "c", axis=1),
        node("TopK", "c k", "v i", name="/head/topk"),
    ]
    made = model(nodes, outputs=("v",), constants={"s": weights(4), "k": ints(9)})
    made.graph.value_info.append(helper.make_tensor_value_info("n", FLOAT, [1, 4]))
    error = refused(made, tmp_path)
    assert error.code == "E111"
    assert "Hardmax, at /enc/hard" in str(error)
    assert "TopK: the 9 largest elements, at most 8, at /head/topk" in str(error)
    assert "Relu" not in str(error).replace("Clip, Relu", "")
    assert "use ArgMax" in str(error)


def test_networks_that_are_quantised_for_every_input(tmp_path: Path) -> None:
    nodes = [node("DynamicQuantizeLinear", "x", "q s z"), node("DequantizeLinear", "q s z", "y")]
    assert "quantize_static" in str(refused(model(nodes), tmp_path))


def test_second_results_are_refused_by_name(tmp_path: Path) -> None:
    made = model(
        [node("MaxPool", "x", "y i", kernel_shape=[2])], {"x": (1, 2, 8)}, outputs=("y", "i")
    )
    made.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    assert "only the first result of MaxPool is there, not i" in str(refused(made, tmp_path))


def test_indices_are_outputs_or_numbers(tmp_path: Path) -> None:
    nodes = [node("ArgMax", "x", "a", axis=1), node("Cast", "a", "y", to=TensorProto.INT32)]
    made = model(nodes)
    assert load_model(saved(made, tmp_path)).graph.nodes[-1].op == "argmax"
    made = model([nodes[0], node("Cast", "a", "y", to=FLOAT)])
    graph = load_model(saved(made, tmp_path)).graph
    found = run_float(graph, {"x": np.float32([[3, 9, 4, 9]])})
    assert found[graph.outputs[0]].tolist() == [[1]]


@pytest.mark.parametrize("seed", [0, 1])
def test_an_output_that_is_constant(seed: int, tmp_path: Path) -> None:
    read = node("Relu", "w", "y") if seed else node("Identity", "w", "y")
    assert refused(model([read], constants={"w": weights(1, 4)}), tmp_path).code == "E115"


# ---- the whole way


def test_torchs_exporter_and_ours_agree(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = Small().eval(), torch.randn(1, 2, 12)
    program = torch.export.export(network, (x,))
    torch.export.save(program, tmp_path / "model.pt2")
    torch.onnx.export(network, (x,), str(tmp_path / "model.onnx"), dynamo=False, input_names=["x"])
    ours, theirs = (load_model(tmp_path / name).graph for name in ("model.pt2", "model.onnx"))
    assert [n.op for n in ours.nodes] == [n.op for n in theirs.nodes]
    for graph in (ours, theirs):
        found = run_float(graph, {"x": x.numpy()})[graph.outputs[0]]
        np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_build_inspect_and_quantize(tmp_path: Path, run: Callable[..., Ran]) -> None:
    saved(gemm(), tmp_path)
    np.savez(tmp_path / "calib.npz", input=RNG.normal(size=(16, 4)).astype(np.float32))
    assert "fc + act" in run("inspect", "model.onnx").out
    assert run("quantize", "model.onnx", "--calib", "calib.npz").code == 0
    made = run("build", "model.onnx", "--calib", "calib.npz", "--target", "host", "-o", "out")
    assert made.code == 0, made.err
    assert run("validate", "out", "--onnx").code == 0
    assert myoedge.load_build(tmp_path / "out").run(np.zeros((1, 4), np.float32)).shape == (1, 3)


def test_no_torch_and_no_pickle_through_this_door(tmp_path: Path) -> None:
    """And no onnx through the others, nor at the start."""
    saved(gemm(), tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import myoedge.api, myoedge.frontend.refusals\n"
        "assert 'onnx' not in sys.modules\n"
        "from myoedge.building.loading import load_model\n"
        "from pathlib import Path\n"
        "load_model(Path('model.onnx'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# ---- the page of operators


def test_the_page_lists_onnxs_operators() -> None:
    page = operators.markdown(api.ops())
    for op in ("", *OPS):
        assert all(f"`{name}`" in page for name in onnx_of(op))
    assert all(f"`{name}`" in page for name in onnx_folded())
    assert onnx.defs.has("Conv")


def test_an_operator_that_onnx_has_is_imported_from_onnx() -> None:
    """Others come from a pass, from torch or on request."""
    schemas = {schema.name.lower() for schema in onnx.defs.get_all_schemas()}
    for op in (op for op in OPS if not onnx_of(op)):
        names = {op, *(call.split(".")[1] for call in CALLS[op])}
        assert not schemas & {name.replace("_", "") for name in names}, op


def test_attention_of_onnxruntime(tmp_path: Path) -> None:
    """Against its own kernel: heads, a scale, keys behind a query left out."""
    rng = np.random.default_rng(0)
    for attrs in ({}, {"unidirectional": 1}, {"scale": 0.7, "qkv_hidden_sizes": [8, 8, 4]}):
        sizes = attrs.get("qkv_hidden_sizes", [8, 8, 8])
        w, b = rng.normal(size=(6, sum(sizes))), rng.normal(size=sum(sizes))
        made = model(
            [node("Attention", "x w b", "y", domain="com.microsoft", num_heads=2, **attrs)],
            {"x": (1, 5, 6)},
            constants={"w": w, "b": b},
        )
        made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        shape = made.graph.output[0].type.tensor_type.shape
        for n in (1, 5, sizes[2]):
            shape.dim.add().dim_value = n
        graph = load_onnx(saved(made, tmp_path)).graph
        x = rng.normal(size=(1, 5, 6)).astype(np.float32)
        session = ort.InferenceSession(made.SerializeToString())
        (wanted,) = session.run(None, {"x": x})
        for stage in (graph, prepare(graph)):
            found = run_float(stage, {"x": x})[stage.outputs[0]]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_attention_of_onnxruntime_with_a_mask_is_refused(tmp_path: Path) -> None:
    made = model(
        [node("Attention", "x w b m", "y", domain="com.microsoft", num_heads=2)],
        {"x": (1, 5, 6)},
        constants={"w": weights(6, 24), "b": weights(24), "m": ints(5)},
    )
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert "masks, past states" in str(refused(made, tmp_path))
