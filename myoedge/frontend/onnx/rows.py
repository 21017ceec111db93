# SPDX-License-Identifier: Apache-2.0
"""What each ONNX operator becomes: one row a name; needs no onnx."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from myoedge.frontend import recurrent
from myoedge.frontend.onnx import arithmetic, compute, move, pointwise
from myoedge.frontend.onnx.call import OnnxRow
from myoedge.graph.ir import Shape

_MATMUL = {"MatMul": compute.matmul, "Gemm": compute.gemm}
_LSTM, _GRU = {"LSTM": recurrent.onnx("lstm")}, {"GRU": recurrent.onnx("gru")}
_FUNCTIONS = {
    "Abs": "abs", "Ceil": "ceil", "Cos": "cos", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "HardSwish": "hardswish", "Log": "log", "Mish": "mish",
    "Reciprocal": "reciprocal", "Round": "round", "Sigmoid": "sigmoid", "Sign": "sign",
    "Sin": "sin", "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Tanh": "tanh",
}  # fmt: skip
_SELU = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}  # ONNX's own

# Under the operator that does the work, whatever else is put around it; under "" what leaves no
# operator. Products are under two: with a constant matrix they are linear layers.
ONNX_CALLS: Mapping[str, Mapping[str, OnnxRow]] = {
    "": {
        "Identity": move.same,
        "Dropout": move.dropout,
        "Cast": move.cast,
        "CastLike": move.cast_like,
    },
    "conv": {"Conv": compute.conv},
    "linear": _MATMUL,
    "matmul": _MATMUL,
    "add": {
        "Add": arithmetic.binary("add"),
        "Sum": arithmetic.total,
        "Mean": arithmetic.average,
        "Where": arithmetic.where,
    },
    "sub": {"Sub": arithmetic.binary("sub")},
    "mul": {"Mul": arithmetic.binary("mul"), "Div": arithmetic.div},
    "affine": {"BatchNormalization": compute.batch_norm},
    "prelu": {"PRelu": pointwise.prelu},
    "attention": {"com.microsoft.Attention": compute.attention},
    "layer_norm": {"LayerNormalization": compute.norm("layer_norm")},
    "rms_norm": {"RMSNormalization": compute.norm("rms_norm")},
    "table": {
        **{name: pointwise.table((function,)) for name, function in _FUNCTIONS.items()},
        "Neg": pointwise.table(("affine", -1.0, 0.0)),
        "Relu": pointwise.table(("clamp", 0.0, math.inf)),
        "LeakyRelu": pointwise.step("leaky_relu", alpha=0.01),
        "Elu": pointwise.step("elu", alpha=1.0),
        "Selu": pointwise.step("elu", **_SELU),
        "Celu": pointwise.celu,
        "ThresholdedRelu": pointwise.thresholded,
        "HardSigmoid": pointwise.hard_sigmoid,
        "Gelu": pointwise.gelu,
        "Swish": pointwise.swish,
        "Shrink": pointwise.shrink,
        "Clip": pointwise.clip,
        "Pow": arithmetic.power,
        "Max": arithmetic.extreme(low=True),
        "Min": arithmetic.extreme(low=False),
    },
    "max_pool": {
        "MaxPool": compute.pool("max_pool"),
        "GlobalMaxPool": compute.global_pool("max_pool"),
        "ReduceMax": compute.reduction("max_pool"),
        "ReduceMin": compute.reduction("max_pool", [("neg",)], [("neg",)]),
    },
    "avg_pool": {"AveragePool": compute.pool("avg_pool")},
    "mean": {
        "GlobalAveragePool": compute.global_pool("mean"),
        "ReduceMean": compute.reduction("mean"),
    },
    "sum": {
        "ReduceSum": compute.reduction("sum"),
        "ReduceL1": compute.reduction("sum", [("abs",)]),
        "ReduceL2": compute.reduction("sum", [("square",)], [("sqrt",)]),
        "ReduceSumSquare": compute.reduction("sum", [("square",)]),
    },
    "gates": {**_LSTM, **_GRU},
    "lstm": _LSTM,
    "lstm_cell": _LSTM,
    "gru": _GRU,
    "softmax": {"Softmax": compute.along("softmax")},
    "log_softmax": {"LogSoftmax": compute.along("log_softmax")},
    "argmax": {"ArgMax": compute.arg(1.0), "ArgMin": compute.arg(-1.0)},
    "reshape": {
        "Reshape": move.view,
        "Flatten": move.view,
        "Squeeze": move.view,
        "Unsqueeze": move.view,
    },
    "transpose": {
        "Transpose": move.permute,
        "DepthToSpace": compute.depth_to_space,
        "SpaceToDepth": compute.space_to_depth,
    },
    "slice": {"Slice": move.cut, "Split": move.parts, "Gather": move.gather},
    "expand": {"Expand": move.expand, "Tile": move.tile, "Resize": move.resize},
    "pad": {"Pad": move.pad},
    "concat": {"Concat": compute.join},
}

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
