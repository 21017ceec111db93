# SPDX-License-Identifier: Apache-2.0
"""Small ONNX models for tests, put together by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
Shapes = Mapping[str, Sequence[int | str | None] | None]


def node(op: str, inputs: str, outputs: str, **attrs: Any) -> NodeProto:
    """Names are separated by blanks, "-" is left out."""
    names = [["" if n == "-" else n for n in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op, *names, **attrs)


def tensor(name: str, value: Any) -> TensorProto:
    array = np.asarray(value)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return numpy_helper.from_array(array, name)


def model(
    nodes: Sequence[NodeProto],
    inputs: Shapes = {"x": (1, 4)},  # noqa: B006
    outputs: Sequence[str] = ("y",),
    constants: Mapping[str, Any] = {},
    opset: int = 17,
    **options: Any,
) -> ModelProto:
    """float32 inputs of these shapes; outputs say that they are numbers, which nobody believes."""
    ins = [helper.make_tensor_value_info(n, FLOAT, s) for n, s in inputs.items()]
    outs = [helper.make_tensor_value_info(n, FLOAT, ()) for n in outputs]
    made = [tensor(n, v) if not isinstance(v, TensorProto) else v for n, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ins, outs, made)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **options)


def saved(made: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def saved_bytes(made: bytes, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(made)
    return path


def relu() -> ModelProto:
    return model([node("Relu", "x", "y")])


def gemm() -> ModelProto:
    weights = np.arange(12.0).reshape(3, 4) / 6 - 1
    nodes = [node("Gemm", "x w b", "h", transB=1, name="fc"), node("Relu", "h", "y", name="act")]
    return model(nodes, constants={"w": weights, "b": np.ones(3)})


__all__ = ["FLOAT", "gemm", "model", "node", "onnx", "relu", "saved", "tensor"]
