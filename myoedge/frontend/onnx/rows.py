# SPDX-License-Identifier: Apache-2.0
"""The import table of ONNX: the rows of all families of operators; needs no onnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from myoedge.frontend.onnx import arithmetic, compute
from myoedge.graph.ir import Shape
from myoedge.operators.import_rows import OnnxRow, onnx_calls, union

# Under the operator that does the work, as in frontend/torch/rows.py.
ONNX_CALLS: Mapping[str, Mapping[str, OnnxRow]] = union(
    onnx_calls(),
    {
        "add": {"Where": arithmetic.where},
        "attention": {"com.microsoft.Attention": compute.attention},
        "softmax": {"Softmax": compute.along("softmax")},
        "log_softmax": {"LogSoftmax": compute.along("log_softmax")},
    },
)

# Operators of onnxruntime's own: the row, and the shape of the result, which onnx cannot infer.
CONTRIBUTED: Mapping[str, tuple[OnnxRow, Callable[..., Shape]]] = {
    "com.microsoft.Attention": (compute.attention, compute.attention_shape),
}

ONNX_IMPORT: Mapping[str, OnnxRow] = {
    name: row for rows in ONNX_CALLS.values() for name, row in rows.items()
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
