# SPDX-License-Identifier: Apache-2.0
"""Patterns of torch's exporters, the default one of 2.13 and the legacy one, in several opsets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto
from onnx.reference import ReferenceEvaluator

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.support.onnx.models import model, node, saved
from tests.unit.test_onnx import agrees, refused

RNG = np.random.default_rng(0)
W = RNG.normal(size=(8, 6)).astype(np.float32)
NEWEST = 28
DYNAMO, LEGACY, ATTENTION = (18, 20, 23, NEWEST), (13, 17, 20, NEWEST), (23, 24, NEWEST)
CAUSAL = np.tri(5) > 0


def of(nodes: Sequence[NodeProto], constants: dict[str, Any], outputs: str = "y") -> Any:
    """A model of any opset: x [1, 5, 8] through a layer to h [1, 5, 6], and these nodes."""

    def made(opset: int) -> ModelProto:
        first = node("MatMul", "x w", "h")
        everything = {"w": W, **constants}
        return model([first, *nodes], {"x": (1, 5, 8)}, outputs.split(), everything, opset)

    return made


def ints(*values: Any) -> Array:
    return np.array(values, np.int64)


def listed(axis_first: list[int], back: list[int], picks: list[int]) -> Any:
    """x[:, picks] along an axis, which the default exporter moves to the front."""
    nodes = [
        node("Transpose", "h", "t", perm=axis_first),
        node("GatherND", "t i", "g", batch_dims=0),
        node("Transpose", "g", "y", perm=back),
    ]
    return of(nodes, {"i": ints(*([n] for n in picks))})


def heads(*attention: NodeProto) -> list[NodeProto]:
    """q, k and v of two heads [1, 2, 5, 3] in front of attention, whose result is a."""
    shaped = [node("Reshape", f"{name} s", f"{name}r") for name in ("h", "k0", "v0")]
    turned = [
        node("Transpose", f"{old}r", new, perm=[0, 2, 1, 3])
        for old, new in (("h", "q"), ("k0", "k"), ("v0", "v"))
    ]
    back = [node("Transpose", "a", "at", perm=[0, 2, 1, 3]), node("Reshape", "at f", "y")]
    products = [node("MatMul", "x w2", "k0"), node("MatMul", "x w3", "v0")]
    return [*products, *shaped, *turned, *attention, *back]


OF_HEADS = {
    "w2": W[::-1].copy(),
    "w3": np.roll(W, 3, 0).copy(),
    "s": ints(1, 5, 2, 3),
    "f": ints(1, 5, 6),
}


def attention(mask: Array | None = None, softcap: float = 0.0, **attrs: Any) -> Any:
    """ONNX's own operator, which the default exporter writes from opset 23 on."""
    ins = "q k v m" if mask is not None else "q k v"
    made = node("Attention", ins, "a", softcap=softcap, **attrs)
    return of(heads(made), {**OF_HEADS, **({} if mask is None else {"m": mask})})


def side_by_side() -> Any:
    """Attention of [batch, tokens, heads * width]."""
    products = [node("MatMul", "x w2", "k"), node("MatMul", "x w3", "v")]
    made = node("Attention", "h k v", "y", q_num_heads=2, kv_num_heads=2, is_causal=1)
    return of([*products, made], {name: OF_HEADS[name] for name in ("w2", "w3")})


def shared_heads(mask: Array | None = None, **attrs: Any) -> Any:
    """Two heads of queries for one of keys and values, side by side."""
    products = [node("MatMul", "x k1", "k"), node("MatMul", "x v1", "v")]
    ins = "h k v m" if mask is not None else "h k v"
    made = node("Attention", ins, "y", q_num_heads=2, kv_num_heads=1, **attrs)
    weights = {"k1": W[::-1, :3].copy(), "v1": np.roll(W, 3, 0)[:, :3].copy()}
    return of([*products, made], {**weights, **({} if mask is None else {"m": mask})})


def rotary(shape: tuple[int, ...], positions: Array | None = None, **attrs: Any) -> Any:
    """ONNX's own rotary embedding; angles by position, of two or three pairs."""
    pairs = attrs.get("rotary_embedding_dim", 6) // 2
    angles = np.outer(np.arange(9.0), 0.3 ** np.arange(pairs)).astype(np.float32)
    tables = angles if positions is not None else angles[None, :5]
    ins = "q cos sin at" if positions is not None else "q cos sin"
    nodes = [
        node("Reshape", "h s", "h4"),
        node("Transpose", "h4", "q", perm=[0, 2, 1, 3])
        if len(shape) == 4
        else node("Identity", "h", "q"),
        node("RotaryEmbedding", ins, "y", **attrs),
    ]
    constants = {"s": ints(1, 5, 1, 6), "cos": np.cos(tables), "sin": np.sin(tables)}
    return of(nodes, {**constants, **({} if positions is None else {"at": positions})})


def written_out() -> Any:
    """scaled_dot_product_attention with a constant bool mask: no NaN where no key is left."""
    scores = [
        node("Transpose", "k", "kt", perm=[0, 1, 3, 2]),
        node("Mul", "q c", "qs"),
        node("Mul", "kt c", "ks"),
        node("MatMul", "qs ks", "p"),
        node("Where", "m zero hidden", "b"),
        node("Add", "p b", "pb"),
        node("Softmax", "pb", "shares", axis=-1),
        node("IsNaN", "shares", "none"),
        node("Where", "none zero shares", "left"),
        node("MatMul", "left v", "a"),
    ]
    scalars = {"c": np.float32(3**-0.25), "zero": np.float32(0), "hidden": np.float32(-np.inf)}
    return of(heads(*scores), {**OF_HEADS, **scalars, "m": CAUSAL})


def softplus(beta: float, threshold: float) -> Any:
    """Linear above the threshold, as torch defines it."""
    nodes = [
        node("Mul", "h b", "hb"),
        node("Greater", "hb t", "above"),
        node("Exp", "hb", "e"),
        node("Add", "e one", "e1"),
        node("Log", "e1", "l"),
        node("Div", "l b", "s"),
        node("Where", "above h s", "y"),
    ]
    numbers = {"b": beta, "t": threshold, "one": 1.0}
    return of(nodes, {name: np.float32(value) for name, value in numbers.items()})


def split(sizes: Any = None) -> Any:
    """tensor_split(h, 3, dim=1) of the legacy exporter: sizes from the shape, parts by position."""
    parts = [node("SequenceAt", f"q p{i}", f"part{i}") for i in range(3)]
    joined = [node("Relu", "part2", "r"), node("Concat", "r part0 part1", "y", axis=1)]
    positions = {"p0": np.int64(0), "p1": np.int64(-2), "p2": np.int64(2)}
    if sizes is not None:
        first = [node("SplitToSequence", "h sizes", "q", axis=1)]
        return of([*first, *parts, *joined], {**positions, "sizes": sizes})
    computed = [
        node("Shape", "h", "shape"),
        node("Gather", "shape one", "n", axis=0),
        node("Sub", "n four", "last"),
        node("Concat", "two two last", "sizes", axis=0),
        node("SplitToSequence", "h sizes", "q", axis=1),
    ]
    numbers = {"one": ints(1), "two": ints(2), "four": ints(4)}
    return of([*computed, *parts, *joined], {**positions, **numbers})


Case = tuple[Callable[[int], ModelProto], tuple[int, ...]]
CASES: dict[str, Case] = {
    "a list on the second axis": (listed([1, 0, 2], [1, 0, 2], [0, 2, 4]), DYNAMO),
    "a list on the last axis": (listed([2, 0, 1], [1, 2, 0], [5, 1, -2, 1]), DYNAMO),
    "lists on two axes": (
        of([node("GatherND", "h i", "y")], {"i": ints([[0, 1], [0, 4]], [[0, 0], [0, -1]])}),
        DYNAMO,
    ),
    "attention": (attention(), ATTENTION),
    "attention, causal": (attention(is_causal=1), ATTENTION),
    "attention, a bool mask": (attention(CAUSAL), ATTENTION),
    "attention, a mask for each head": (
        attention(np.stack([CAUSAL, CAUSAL | np.eye(5, k=1, dtype=bool)])[None]),
        ATTENTION,
    ),
    "attention, an added mask": (attention(RNG.normal(size=(5, 5)).astype(np.float32)), ATTENTION),
    "attention, a scale": (attention(scale=0.25), ATTENTION),
    "attention, a window": (attention(left_window_size=2, right_window_size=1), (NEWEST,)),
    "attention, heads side by side": (side_by_side(), ATTENTION),
    "attention, a limit of scores": (attention(softcap=0.5, scale=2.0), ATTENTION),
    "attention, a limit and a mask": (attention(CAUSAL, softcap=0.5), ATTENTION),
    "attention, a limit and what is seen": (attention(softcap=0.5, is_causal=1), ATTENTION),
    "attention, shared heads": (shared_heads(), ATTENTION),
    "attention, shared heads, causal": (shared_heads(is_causal=1), ATTENTION),
    "attention, shared heads, a mask": (shared_heads(CAUSAL), ATTENTION),
    "attention, shared heads, a limit": (shared_heads(softcap=1.0), ATTENTION),
    "rotary, halves": (rotary((1, 1, 5, 6)), ATTENTION),
    "rotary, neighbours": (rotary((1, 1, 5, 6), interleaved=1), ATTENTION),
    "rotary, a part": (rotary((1, 1, 5, 6), rotary_embedding_dim=4), ATTENTION),
    "rotary, positions": (rotary((1, 1, 5, 6), ints(0, 2, 1, 8, 3)[None]), ATTENTION),
    "rotary, heads side by side": (rotary((1, 5, 6), num_heads=1, interleaved=1), ATTENTION),
    "attention, written out": (written_out(), (*DYNAMO, *LEGACY[:2])),
    "softplus": (softplus(1.0, 20.0), LEGACY),
    "softplus, steeper": (softplus(2.0, 10.0), LEGACY),
    "parts by sizes": (split(), LEGACY),
    "parts of one size": (split(np.int64(2)), LEGACY),
    "parts of one element": (
        of(
            [node("SplitToSequence", "h", "q", axis=2), node("SequenceAt", "q p", "y")],
            {"p": np.int64(-1)},
        ),
        LEGACY,
    ),
    "an output twice": (of([node("Relu", "h", "y")], {}, outputs="y y"), (*LEGACY, *DYNAMO)),
    "an output three times": (
        of([node("Relu", "h", "y"), node("Neg", "h", "y_1")], {}, outputs="y y_1 y y"),
        (17,),
    ),
    "infinities that are none": (
        of([node("IsInf", "h", "i"), node("Where", "i zero h", "y")], {"zero": np.float32(0)}),
        DYNAMO,
    ),
}
ROWS = [(name, opset) for name, (_, opsets) in CASES.items() for opset in sorted({*opsets})]


def wanted(made: ModelProto, x: Array) -> list[Array]:
    """Outputs by ONNX's reference implementation."""
    found = ReferenceEvaluator(made).run(None, {"x": x})
    return [np.asarray(y) for y in found]


@pytest.mark.parametrize(("name", "opset"), ROWS)
def test_patterns_mean_what_onnx_says(name: str, opset: int, tmp_path: Path) -> None:
    made = CASES[name][0](opset)
    graph = load_onnx(saved(made, tmp_path)).graph
    x = RNG.normal(size=(1, 5, 8)).astype(np.float32)
    outputs = wanted(made, x)
    assert len({*graph.output_names}) == len(graph.outputs) == len(outputs)
    for found in (graph, prepare(graph)):
        values = run_float(found, {"x": x})
        for output, real in zip(found.outputs, outputs, strict=True):
            assert values[output].shape == real.shape
            np.testing.assert_allclose(values[output], real, rtol=1e-4, atol=1e-5)


BUILT = ("a list on the second axis", "attention, a bool mask", "parts by sizes", "an output twice")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in BUILT[:2] else pytest.mark.slow) for n in BUILT]
)
def test_patterns_build(name: str, tmp_path: Path) -> None:
    made, opsets = CASES[name]
    calib = RNG.normal(size=(32, 5, 8)).astype(np.float32)
    path = saved(made(opsets[-1]), tmp_path)
    build = myoedge.build(path, calib=calib, output=tmp_path / "out")
    assert all(myoedge.validate(build, on="host,simulator").exact[x] for x in ("host", "simulator"))
    for y, real in zip(build.run(calib[0]), wanted(made(opsets[-1]), calib[:1]), strict=True):
        noise = np.sum((np.reshape(y, real.shape) - real) ** 2) / np.sum(real**2)
        assert noise < 10**-2, name  # 20 dB


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (of([node("Attention", "h h h", "y")], {}), "heads"),
        (
            of(heads(node("Attention", "q k v - k v", "a")), OF_HEADS),
            "use_cache=False",
        ),
        (
            of([node("RotaryEmbedding", "h h h", "y", num_heads=1)], {}),
            "must be a constant",
        ),
        (of([node("SequenceAt", "h p", "y")], {"p": np.int64(0)}), "part 0 of 0"),
    ],
)
def test_uses_that_are_refused(made: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError) as caught:
        load_onnx(saved(made(23), tmp_path))
    assert caught.value.code in ("E111", "E119")
    assert says in str(caught.value)


GRIDS = {  # rows, columns of [6, 16] that are written
    "every third column": (range(6), range(0, 16, 3)),
    "every other row": (range(1, 6, 2), range(16)),
    "both": (range(0, 6, 2), range(2, 15, 4)),
    "a block": (range(1, 3), range(4, 9)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_writes_in_steps_are_as_onnxruntime_does_them(name: str, tmp_path: Path) -> None:
    """x[:, ::3] = y, as the default exporter writes it: ScatterND by constant indices."""
    rows, columns = GRIDS[name]
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).astype(np.int64)
    nodes = [
        node("Tanh", "x", "t"),
        node("Slice", "t zero size", "part"),
        node("ScatterND", "x i part", "y"),
    ]
    constants = {
        "i": places, "zero": np.zeros(2, np.int64), "size": np.array(places.shape[:2], np.int64),
    }  # fmt: skip
    agrees(model(nodes, {"x": (6, 16)}, constants=constants), tmp_path)


@pytest.mark.parametrize("columns", [(0, 2, 3), (4, 2, 0)])
def test_writes_in_any_order_are_refused(columns: tuple[int, ...], tmp_path: Path) -> None:
    places = np.stack(np.meshgrid(range(6), columns, indexing="ij"), -1).astype(np.int64)
    nodes = [node("ScatterND", "x i part", "y")]
    inputs = {"x": (6, 16), "part": (6, 3)}
    error = refused(model(nodes, inputs, constants={"i": places}), tmp_path)
    assert "places that are no block in order" in str(error)
