# SPDX-License-Identifier: Apache-2.0
"""The import table of ONNX: the rows of all families of operators; needs no onnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from myoedge.graph.ir import Shape
from myoedge.operators.attention.import_rows import packed_attention_shape
from myoedge.operators.import_rows import OnnxRow, onnx_calls

ONNX_CALLS: Mapping[str, Mapping[str, OnnxRow]] = onnx_calls()  # by operator, then ONNX's name

ONNX_IMPORT: Mapping[str, OnnxRow] = {
    name: row for rows in ONNX_CALLS.values() for name, row in rows.items()
}

# Operators of onnxruntime's own: the shape of the result, which onnx cannot infer.
CONTRIBUTED: Mapping[str, Callable[..., Shape]] = {
    "com.microsoft.Attention": packed_attention_shape,
}

# Computed once, by the onnx package, where all they read is constant.
SHAPES = ("Constant", "Shape", "Size")  # constant whatever they read
FOLDED = frozenset((
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos",
    "CumSum", "DequantizeLinear", "Div", "Dropout", "Equal", "Erf", "Exp", "Expand", "EyeLike",
    "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gemm", "Greater",
    "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Mean", "Min",
    "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceL1",
    "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "Relu", "Reshape", "Round", "ScatterElements", "ScatterND", "Sigmoid",
    "Sign", "Sin", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile",
    "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
))  # fmt: skip
