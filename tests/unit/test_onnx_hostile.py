# SPDX-License-Identifier: Apache-2.0
"""ONNX files that are broken, odd, or made to do harm: our errors, and never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, ModelProto, SparseTensorProto, TensorProto, helper

from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from tests.support.onnx.models import FLOAT, gemm, model, node, relu, saved, tensor

HUGE = 2**40


def refused(made: ModelProto | bytes, folder: Path) -> MyoedgeError:
    path = folder / "model.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    with pytest.raises(MyoedgeError) as caught:
        load_model(path)
    assert caught.value.exit_code == 1
    assert len(str(caught.value)) < 2000
    return caught.value


# ---- bytes


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    whole = gemm().SerializeToString()
    path = tmp_path / "model.onnx"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        for load in (load_model, load_onnx):
            with pytest.raises(MyoedgeError):
                load(path)


@pytest.mark.parametrize("seed", range(8))
def test_changed_bytes_are_refused_or_read(seed: int, tmp_path: Path) -> None:
    """Past sniffing too: whatever the bytes say, it is a network or one of our errors."""
    rng, path = np.random.default_rng(seed), tmp_path / "model.onnx"
    whole, codes = np.frombuffer(gemm().SerializeToString(), np.uint8), set()
    for _ in range(60):
        changed = whole.copy()
        places = rng.integers(0, len(whole), rng.integers(1, 6))
        changed[places] = rng.integers(0, 256, len(places), np.uint8)
        path.write_bytes(changed.tobytes())
        try:
            load_onnx(path)
        except MyoedgeError as error:
            codes.add(error.code)
    assert len(codes) > 1
    assert all(code.startswith("E1") for code in codes)


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for size in (1, 2, 7, 100, 5000):
        path.write_bytes(np.random.default_rng(seed).bytes(size))
        with pytest.raises(MyoedgeError):
            load_onnx(path)


def test_another_protobuf(tmp_path: Path) -> None:
    error = refused(tensor("t", np.zeros(3)).SerializeToString(), tmp_path)
    assert error.code in ("E103", "E104", "E120")
    assert refused(gemm().graph.SerializeToString(), tmp_path).code in ("E103", "E104", "E120")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    data = gemm().SerializeToString().replace(b"act", b"\xff\xfe\xfd")
    error = refused(data, tmp_path)
    assert error.code == "E104"
    assert "UTF-8" in str(error)


# ---- the model as a whole


def with_opset(version: int | None, domain: str = "") -> ModelProto:
    made = relu()
    del made.opset_import[:]
    if version is not None:
        made.opset_import.append(helper.make_opsetid(domain, version))
    return made


@pytest.mark.parametrize("version", [None, 0, 1, 6, -3])
def test_opsets_that_are_too_old(version: int | None, tmp_path: Path) -> None:
    error = refused(with_opset(version), tmp_path)
    assert error.code in ("E120", "E103")  # without any opset it is not told as ONNX
    if error.code == "E120":
        assert "opset_version=17" in str(error)


def test_an_opset_of_the_future(tmp_path: Path) -> None:
    error = refused(with_opset(9999), tmp_path)
    assert error.code == "E120"
    assert "pip install --upgrade onnx" in str(error)


def test_the_other_name_of_onnxs_own_domain(tmp_path: Path) -> None:
    assert load_model(saved(with_opset(17, "ai.onnx"), tmp_path)).graph.nodes


@pytest.mark.parametrize("version", [0, 65, 999])
def test_ir_versions_that_do_not_exist(version: int, tmp_path: Path) -> None:
    made = relu()
    made.ir_version = version
    assert refused(made, tmp_path).code in ("E119", "E103")


def test_no_graph(tmp_path: Path) -> None:
    made = relu()
    made.ClearField("graph")
    assert refused(made, tmp_path).code == "E103"
    with pytest.raises(MyoedgeError) as caught:
        load_onnx(tmp_path / "model.onnx")
    assert caught.value.code == "E119"


def test_no_outputs(tmp_path: Path) -> None:
    assert refused(model([node("Relu", "x", "y")], outputs=()), tmp_path).code == "E115"


STRUCTURE: dict[str, Callable[[], ModelProto]] = {
    "cycle": lambda: model([node("Add", "x b", "a"), node("Relu", "a", "b")], outputs=("b",)),
    "reads itself": lambda: model([node("Add", "x y", "y")]),
    "reads nothing": lambda: model([node("Relu", "nowhere", "y")]),
    "written twice": lambda: model([node("Relu", "x", "y"), node("Abs", "x", "y")]),
    "output is input": lambda: model([node("Relu", "x", "x")], outputs=("x",)),
    "output unknown": lambda: model([node("Relu", "x", "y")], outputs=("z",)),
    "no operator": lambda: model([node("", "x", "y")]),
    "unknown operator": lambda: model([node("Rleu", "x", "y")]),
    "unknown attribute": lambda: model([node("Relu", "x", "y", slope=0.1)]),
    "too many inputs": lambda: model([node("Relu", "x x", "y")]),
    "too few inputs": lambda: model([node("Add", "x", "y")]),
    "no output": lambda: model([node("Relu", "x", "-")]),
    "shapes apart": lambda: model([node("Add", "x b", "y")], constants={"b": np.zeros((1, 3))}),
    "columns apart": lambda: model([node("MatMul", "x w", "y")], constants={"w": np.ones((5, 2))}),
    "attribute of another type": lambda: model([node("Softmax", "x", "y", axis="last")]),
    "axis out of range": lambda: model([node("Softmax", "x", "y", axis=9)]),
    "perm that is none": lambda: model([node("Transpose", "x", "y", perm=[0, 0])]),
    "weights twice": lambda: _twice(gemm()),
}


def _twice(made: ModelProto) -> ModelProto:
    made.graph.initializer.append(made.graph.initializer[0])
    return made


@pytest.mark.parametrize("name", STRUCTURE)
def test_graphs_that_are_none(name: str, tmp_path: Path) -> None:
    error = refused(STRUCTURE[name](), tmp_path)
    assert error.code in ("E111", "E115", "E119"), error


# ---- tensors


def declared(dims: list[int], kind: int = FLOAT, **fields: Any) -> ModelProto:
    """A weight that says it has this shape."""
    weight = TensorProto(name="w", data_type=kind, dims=dims, **fields)
    return model([node("Add", "x w", "y")], constants={"w": weight})


TENSORS: dict[str, Callable[[], ModelProto]] = {
    "huge": lambda: declared([HUGE, HUGE], raw_data=b"1234"),
    "huge without data": lambda: declared([HUGE]),
    "larger than int64": lambda: declared([2**62, 2**62], float_data=[1.0]),
    "negative": lambda: declared([-4], raw_data=b""),
    "negative twice": lambda: declared([-2, -2], raw_data=bytes(16)),
    "too few bytes": lambda: declared([4], raw_data=bytes(15)),
    "too many bytes": lambda: declared([4], raw_data=bytes(20)),
    "too few numbers": lambda: declared([4], float_data=[1.0, 2.0]),
    "two kinds of data": lambda: declared([1], float_data=[1.0], raw_data=bytes(4)),
    "no type": lambda: declared([1], 0, raw_data=bytes(4)),
    "unknown type": lambda: declared([1], 99, raw_data=bytes(4)),
    "text": lambda: declared([1], TensorProto.STRING, string_data=[b"a"]),
    "complex": lambda: declared([1], TensorProto.COMPLEX64, float_data=[1.0, 2.0]),
    "another type than x": lambda: declared([1], TensorProto.INT64, raw_data=bytes(8)),
}


@pytest.mark.parametrize("name", TENSORS)
def test_weights_that_say_what_they_are_not(name: str, tmp_path: Path) -> None:
    assert refused(TENSORS[name](), tmp_path).code in ("E104", "E111", "E119")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    made = model([node("Gemm", "x w", "y")], constants={"w": np.full((4, 2), value)})
    error = refused(made, tmp_path)
    assert error.code == "E112"
    assert "w holds 8 values" in error.notice.title


def test_doubles_that_no_float_holds(tmp_path: Path) -> None:
    double = helper.make_tensor("w", TensorProto.DOUBLE, [4, 2], [1e300] * 8)
    nodes = [node("Cast", "w", "v", to=FLOAT), node("Gemm", "x v", "y")]
    assert refused(model(nodes, constants={"w": double}), tmp_path).code == "E112"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_factors_that_overflow_together(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x w", "h"), node("Mul", "h k", "s"), node("Mul", "s k", "y")]
    constants = {"w": np.ones((4, 2)), "k": np.float32(1e38)}
    error = refused(model(nodes, constants=constants), tmp_path)
    assert error.code == "E112"
    assert error.notice.title.startswith("h + s + y (linear)")
    assert dict(error.notice.facts)["has"] == "8 of 8 not finite"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_half_floats_are_compared_without_a_warning(tmp_path: Path) -> None:
    nodes = [node("Cast", "w", "v", to=FLOAT), node("Gemm", "x v", "y")]
    made = saved(model(nodes, constants={"w": np.ones((4, 2), np.float16)}), tmp_path)
    assert load_model(made).params == 8


def test_weights_nobody_reads_may_be_anything(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y")], constants={"w": np.full(4, np.nan)})
    assert load_model(saved(made, tmp_path)).params == 0


def test_sparse_weights(tmp_path: Path) -> None:
    made = model([node("Add", "x s", "y")])
    values = helper.make_tensor("s", FLOAT, [1], [1.0])
    sparse = SparseTensorProto(values=values, indices=tensor("i", np.array([2])), dims=[4])
    made.graph.sparse_initializer.append(sparse)
    assert "sparse tensors" in str(refused(made, tmp_path))


# ---- numbers that are made from numbers

LARGE = np.array([2**20, 2**20], np.int64)
MADE: dict[str, Callable[[], ModelProto]] = {
    "ConstantOfShape": lambda: _made([node("ConstantOfShape", "n", "w")], n=LARGE),
    "Expand": lambda: _made([node("Expand", "o n", "w")], o=np.ones(1), n=LARGE),
    "Tile": lambda: _made([node("Tile", "o n", "w")], o=np.ones((1, 1)), n=LARGE),
    "Range": lambda: _made(
        [node("Range", "a b c", "r"), node("Cast", "r", "w", to=FLOAT)],
        a=np.array(0),
        b=np.array(2**50),
        c=np.array(1),
    ),
    "Pad": lambda: _made([node("Pad", "o p", "w")], o=np.ones(1), p=np.array([2**40, 2**40])),
    "outer product": lambda: _made(
        [node("MatMul", "a b", "w")], a=np.ones((2**14, 1)), b=np.ones((1, 2**14))
    ),
    "broadcast": lambda: _made(
        [node("Add", "a b", "w")], a=np.ones((2**14, 1)), b=np.ones((1, 2**14))
    ),
    "negative": lambda: _made([node("ConstantOfShape", "n", "w")], n=np.array([-5, 3])),
    "Reshape": lambda: _made([node("Reshape", "o n", "w")], o=np.ones(4), n=np.array([2**62, 4])),
    "Gather": lambda: _made([node("Gather", "o n", "w")], o=np.ones(4), n=np.array([7])),
    "Split": lambda: _made([node("Split", "o n", "w v")], o=np.ones(4), n=np.array([9, -5])),
    "step 0": lambda: _made(
        [node("Slice", "o a b z s", "w")],
        o=np.ones(4),
        a=np.array([0]),
        b=np.array([4]),
        z=np.array([0]),
        s=np.array([0]),
    ),
}


def _made(nodes: list[Any], **constants: Any) -> ModelProto:
    return model([*nodes, node("Mul", "x w", "y")], constants=constants)


@pytest.mark.parametrize("name", MADE)
def test_constants_that_grow(name: str, tmp_path: Path) -> None:
    error = refused(MADE[name](), tmp_path)
    assert error.code in ("E111", "E119"), error


def test_constants_that_grow_a_little_many_times(tmp_path: Path) -> None:
    nodes = [node("Expand", "o n", f"w{i}") for i in range(20)]
    total = [node("Add", f"{'x' if i == 0 else f's{i - 1}'} w{i}", f"s{i}") for i in range(20)]
    constants = {"o": np.ones(1), "n": np.array([2**11, 2**12])}
    made = model([*nodes, *total], outputs=("s19",), constants=constants, inputs={"x": (1, 1)})
    error = refused(made, tmp_path)
    assert "constants of" in str(error)


USES: dict[str, Callable[[], ModelProto]] = {
    "Reshape": lambda: model([node("Reshape", "x n", "y")], constants={"n": np.array([2**62])}),
    "Expand": lambda: model([node("Expand", "x n", "y")], constants={"n": np.array([2**62, 4])}),
    "Slice": lambda: model(
        [node("Slice", "x a b c", "y")],
        constants={"a": np.array([-(2**63)]), "b": np.array([-(2**63)]), "c": np.array([1])},
    ),
    "Gather": lambda: model([node("Gather", "x n", "y", axis=1)], constants={"n": np.array([9])}),
    "Pad": lambda: model([node("Pad", "x n", "y")], constants={"n": np.array([0, -9, 0, 0])}),
    "Conv of stride 0": lambda: _conv(strides=[0]),
    "Conv of a long stride": lambda: _conv(strides=[2**40]),
    "Conv of dilation -1": lambda: _conv(dilations=[-1]),
    "Conv with pads below 0": lambda: _conv(pads=[-1, 0]),
    "Conv with three pads": lambda: _conv(pads=[1, 0, 0]),
    "Conv in three groups": lambda: _conv(group=3),
    "Conv in no groups": lambda: _conv(group=0),
    "MaxPool of stride 0": lambda: _pool(kernel_shape=[2], strides=[0]),
    "MaxPool of kernel 0": lambda: _pool(kernel_shape=[0]),
    "AveragePool of 9 in 8": lambda: model(
        [node("AveragePool", "x", "y", kernel_shape=[9], strides=[3])], {"x": (1, 2, 8)}
    ),
    "MaxPool in its padding": lambda: _pool(kernel_shape=[1], pads=[3, 3]),
    "DepthToSpace by 0": lambda: model(
        [node("DepthToSpace", "x", "y", blocksize=0)], {"x": (1, 4, 2, 2)}
    ),
    "LSTM whose c is of other units": lambda: model(
        [node("LSTM", "x w r - - - c", "y", hidden_size=2)],
        {"x": (3, 1, 4)},
        constants={"w": np.ones((1, 8, 4)), "r": np.ones((1, 8, 2)), "c": np.ones((1, 1, 3))},
    ),
    "Squeeze of 4": lambda: model([node("Squeeze", "x n", "y")], constants={"n": np.array([1])}),
}


def _conv(**attrs: Any) -> ModelProto:
    made = node("Conv", "x w", "y", **attrs)
    return model([made], {"x": (1, 2, 8)}, constants={"w": np.ones((4, 2, 3))})


def _pool(**attrs: Any) -> ModelProto:
    return model([node("MaxPool", "x", "y", **attrs)], {"x": (1, 2, 8)})


@pytest.mark.parametrize("name", USES)
def test_uses_that_mean_nothing(name: str, tmp_path: Path) -> None:
    assert refused(USES[name](), tmp_path).code in ("E111", "E115", "E119")


FAR = np.array([0, 0, 0, 0, 0, 2_000_000])
GROWN = {
    "Tile": (node("Tile", "x counts", "y"), {"counts": np.array([1, 1_000_000, 1])}),
    "Expand": (node("Expand", "x sizes", "y"), {"sizes": np.array([1_000_000, 2, 3])}),
    "Resize": (
        node("Resize", "x - scales", "y", mode="linear"),
        {"scales": np.array([1, 1, 1e6], np.float32)},
    ),
    "Pad": (node("Pad", "x pads", "y"), {"pads": FAR}),
    "a mean of pads": (
        node("AveragePool", "x", "y", kernel_shape=[4_000_000], pads=[2_000_000, 2_000_000]),
        {},
    ),
}


@pytest.mark.parametrize("name", GROWN)
def test_results_far_larger_than_inputs_are_refused_at_once(name: str, tmp_path: Path) -> None:
    made, constants = GROWN[name]
    error = refused(model([made], {"x": (1, 2, 3)}, constants=constants), tmp_path)
    assert error.code == "E111"
    assert "1,024 times the inputs" in error.notice.title
    assert error.notice.tries[0] == "a smaller factor or pad"


def test_a_window_that_is_too_large_is_called_so(tmp_path: Path) -> None:
    made = model([node("AveragePool", "x", "y", kernel_shape=[9])], {"x": (1, 2, 6)})
    assert "a window that is larger than its input" in str(refused(made, tmp_path))


def test_outputs_without_a_shape_are_read(tmp_path: Path) -> None:
    """The checker wants one; what it says is read by nobody."""
    made = relu()
    for value in made.graph.output:
        value.type.tensor_type.ClearField("shape")
    assert load_model(saved(made, tmp_path)).graph.outputs


# ---- what would run, or cannot


def branch(op: str) -> ModelProto:
    inner = helper.make_graph(
        [node("Relu", "x", "z")], "inner", [], [helper.make_tensor_value_info("z", FLOAT, ())]
    )
    attrs = {"then_branch": inner, "else_branch": inner}
    return model([node(op, "c", "y", **attrs)], constants={"c": np.array(True)})


def test_control_flow_is_refused_by_name(tmp_path: Path) -> None:
    made = branch("If")
    del made.graph.initializer[:]
    made.graph.node.insert(0, node("Cast", "x", "c", to=9))
    error = refused(made, tmp_path)
    assert error.code == "E111"
    assert "If" in error.notice.title
    assert "if a condition is not constant" in str(error)


def test_graphs_inside_graphs_inside_graphs(tmp_path: Path) -> None:
    made = branch("If")
    for _ in range(20):
        outer = branch("If")
        for attribute in outer.graph.node[0].attribute:
            attribute.g.node[0].CopyFrom(made.graph.node[0])
        made = outer
        if made.ByteSize() > 1 << 20:
            break
    assert refused(made, tmp_path).code in ("E104", "E111", "E119")


def test_operators_of_others(tmp_path: Path) -> None:
    made = model([node("Fancy", "x", "y", domain="com.acme")])
    made.opset_import.append(helper.make_opsetid("com.acme", 1))
    error = refused(made, tmp_path)
    assert error.code == "E111"
    assert "com.acme.Fancy" in str(error)
    assert "ONNX's own operators" in str(error)


def test_functions_come_with_the_lines_that_put_them_in_place(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 17)]
    body = [node("Relu", "a", "b")]
    function = helper.make_function("mine", "Twice", ["a"], ["b"], body, opsets)
    made = model([node("Twice", "x", "y", domain="mine")], functions=[function])
    made.opset_import.append(helper.make_opsetid("mine", 1))
    error = refused(made, tmp_path)
    assert "inline_local_functions" in str(error)


def test_an_attribute_that_refers_to_a_function(tmp_path: Path) -> None:
    made = model([node("Softmax", "x", "y")])
    made.graph.node[0].attribute.append(
        AttributeProto(name="axis", ref_attr_name="a", type=AttributeProto.INT)
    )
    assert refused(made, tmp_path).code == "E119"
