# SPDX-License-Identifier: Apache-2.0
"""Import rows of operators on elements."""

from __future__ import annotations

import math

from myoedge.operators.elementwise.arithmetic_rows import (
    average,
    batch_norm,
    batch_norm_onnx,
    binary,
    div,
    pow,
    power_onnx,
    rsub,
    total,
)
from myoedge.operators.elementwise.function_rows import (
    celu,
    celu_onnx,
    chain,
    clamp,
    clip_onnx,
    gelu,
    gelu_onnx,
    glu,
    hard_sigmoid_onnx,
    hardtanh,
    prelu,
    prelu_onnx,
    rrelu,
    shrink_onnx,
    step,
    step_onnx,
    swish_onnx,
    table_onnx,
    thresholded_onnx,
)
from myoedge.operators.import_rows import Calls, by_inputs, calls, first_of

FUNCTIONS = (
    "abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "hardsigmoid", "hardswish", "log",
    "log10", "log1p", "log2", "mish", "reciprocal", "round", "rsqrt", "sigmoid", "sign",
    "silu", "sin", "sqrt", "square", "tanh",
)  # fmt: skip
ONNX_FUNCTIONS = {
    "Abs": "abs", "Ceil": "ceil", "Cos": "cos", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "HardSwish": "hardswish", "Log": "log", "Mish": "mish",
    "Reciprocal": "reciprocal", "Round": "round", "Sigmoid": "sigmoid", "Sign": "sign",
    "Sin": "sin", "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Tanh": "tanh",
}  # fmt: skip
ONNX_SELU = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}

ATEN: Calls = {
    "add": calls(binary("add"), "add.Tensor", "add.Scalar"),
    "sub": {
        **calls(binary("sub"), "sub.Tensor", "subtract.Tensor", "sub.Scalar"),
        **calls(rsub, "rsub.Tensor", "rsub.Scalar"),
    },
    "mul": {
        **calls(binary("mul"), "mul.Tensor", "multiply.Tensor", "mul.Scalar"),
        **calls(div, "div.Tensor", "div.Scalar", "div.Tensor_mode", "div.Scalar_mode"),
        **calls(div, "divide.Tensor", "true_divide.Tensor"),
        **calls(glu, "glu"),
    },
    "affine": {
        **calls(batch_norm, "batch_norm"),
        **calls(first_of(batch_norm), "_native_batch_norm_legit_no_training"),
    },
    "prelu": calls(prelu, "prelu"),
    "table": {
        **{call: row for name in FUNCTIONS for call, row in calls(chain((name,)), name).items()},
        **calls(chain(("abs",)), "absolute"),
        **calls(chain(("affine", -1.0, 0.0)), "neg", "negative"),
        **calls(chain(("clamp", 0.0, math.inf)), "relu"),
        **calls(chain(("clamp", 0.0, 6.0)), "relu6"),
        **calls(clamp, "clamp", "clip", "clamp_min", "clamp_max"),
        **calls(hardtanh, "hardtanh"),
        **calls(step("leaky_relu", "negative_slope"), "leaky_relu"),
        **calls(rrelu, "rrelu"),
        **calls(step("elu", "alpha", "scale", "input_scale"), "elu"),
        **calls(chain(("elu", 1.6732632423543772, 1.0507009873554805)), "selu"),
        **calls(celu, "celu"),
        **calls(gelu, "gelu"),
        **calls(step("softplus", "beta", "threshold"), "softplus"),
        **calls(chain(("softsign",)), "softsign"),
        **calls(chain(("log_sigmoid",)), "log_sigmoid"),
        **calls(step("hardshrink", "lambd"), "hardshrink"),
        **calls(step("softshrink", "lambd"), "softshrink"),
        **calls(chain(("tanhshrink",)), "tanhshrink"),
        **calls(step("threshold", "threshold", "value"), "threshold"),
        **calls(pow, "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar"),
    },
}

ONNX: Calls = {
    "add": {"Add": by_inputs(binary("add"), "self", "other"), "Sum": total, "Mean": average},
    "sub": {"Sub": by_inputs(binary("sub"), "self", "other")},
    "mul": {
        "Mul": by_inputs(binary("mul"), "self", "other"),
        "Div": by_inputs(div, "self", "other"),
    },
    "affine": {"BatchNormalization": batch_norm_onnx},
    "prelu": {"PRelu": prelu_onnx},
    "table": {
        **{name: table_onnx((function,)) for name, function in ONNX_FUNCTIONS.items()},
        "Neg": table_onnx(("affine", -1.0, 0.0)),
        "Relu": table_onnx(("clamp", 0.0, math.inf)),
        "LeakyRelu": step_onnx("leaky_relu", alpha=0.01),
        "Elu": step_onnx("elu", alpha=1.0),
        "Selu": step_onnx("elu", **ONNX_SELU),
        "Celu": celu_onnx,
        "ThresholdedRelu": thresholded_onnx,
        "HardSigmoid": hard_sigmoid_onnx,
        "Gelu": gelu_onnx,
        "Swish": swish_onnx,
        "Shrink": shrink_onnx,
        "Clip": clip_onnx,
        "Pow": power_onnx,
    },
}
