# SPDX-License-Identifier: Apache-2.0
"""NumPy's functions as ONNX nodes: onnxruntime computes what NumPy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from myoedge.numerics.arrays import Array
from myoedge.operators.qdq import CALLS, NODES, Writer, WrittenNode
from tests.support.each import each

RNG = np.random.default_rng(0)
A, B = (RNG.uniform(0.1, 3.0, (2, 5)).astype(np.float32) for _ in range(2))
B[0, :2] = A[0, :2]
LOGICAL = ("logical_and", "logical_not", "logical_or", "bitwise_and", "bitwise_or", "invert")


def by_onnxruntime(function: Callable[..., Any], *arrays: Array) -> Array:
    w = Writer({}, {})
    names = [f"x{at}" for at in range(len(arrays))]
    made = function(*(WrittenNode(w, name, 2) for name in names))
    wanted = function(*arrays)
    kind = TensorProto.BOOL if wanted.dtype == bool else TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node(n.op, n.inputs, n.outputs, **n.attrs) for n in w.nodes],
        "f",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 5)) for name in names],
        [helper.make_tensor_value_info(made.name, kind, None)],
        [numpy_helper.from_array(value, name) for name, value in w.initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, dict(zip(names, arrays, strict=True)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    return np.asarray(found)


@each("name", sorted({*NODES, *CALLS} - {"where", "clip", *LOGICAL}))
def test_a_function_of_numpy_is_computed(name: str) -> None:
    function = getattr(np, name)
    by_onnxruntime(function, *(A, B)[: function.nin])


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: np.where(np.logical_and(a > 1, ~(b < 1)), a, 0.25),
        lambda a, b: np.where((a == b) | (a >= 2.0), np.clip(b, 0.5, 1.5), -a),
        lambda a, b: np.asarray(a + b) * np.float32(0.5) + np.array([1, 2, 3, 4, 5]),
        lambda a, b: 2.0 / a - b**2 + abs(a - b),
    ],
)
def test_a_formula_is_computed(function: Callable[..., Any]) -> None:
    assert by_onnxruntime(function, A, B).shape == (2, 5)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (np.cbrt, "cbrt"),
        (lambda x: np.cumsum(x, 1), "cumsum"),
        (lambda x: x.mean(), r"x\.mean"),
        (lambda x: np.add(x, 1, where=x > 0), "add"),
    ],
)
def test_what_onnx_has_not_is_told(function: Callable[..., Any], named: str) -> None:
    with pytest.raises(TypeError, match=f"real has {named}, which ONNX does not; WRITE can"):
        function(WrittenNode(Writer({}, {}), "x", 2))
