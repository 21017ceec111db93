# SPDX-License-Identifier: Apache-2.0
"""Import of pointwise operators: sums, products, quotients, powers, functions, selections."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import FLOAT_MAX
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, expand, slice_axis, weights
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.arithmetic import (
    average,
    binary,
    combined,
    div,
    modulo,
    pow,
    rest,
    total,
)
from myoedge.operators.library.conditions import is_of, tested, where
from myoedge.operators.library.nonfinite import Nonfinite

OWN_STATISTICS = (
    "use BatchNorm with running statistics, or InstanceNorm, which it is for a batch of one"
)
EVALUATED = "call model.eval() before the export, training=TrainingMode.EVAL in torch.onnx.export"


def batch_norm(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import batch norm in inference form: (x - mean) * weight / sqrt(var + eps) + bias."""
    if a["running_mean"] is None or (
        a.get("training_mode")
        and not all(a[name] in d.constants for name in ("running_mean", "running_var"))
    ):
        reason = "statistics of the batch (track_running_stats=False); the device has none"
        raise Unsupported(reason, OWN_STATISTICS)
    if a.get("training_mode"):
        raise Unsupported("statistics of the batch: training_mode is 1", EVALUATED)
    shape = d.shape(a["input"])
    if len(shape) < 2:
        raise Unsupported("a tensor without a channel axis")
    usual = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    parameters: dict[str, Array] = {}
    for name, value in usual.items():
        given = a.get(name)
        default = np.full(shape[1], value, np.float32)
        parameters[name] = default if given is None else weights(d, given, f"a batch norm's {name}")
        if parameters[name].shape != shape[1:2]:
            raise ValueError(f"{name} {list(parameters[name].shape)}")
    root = np.sqrt(parameters["running_var"].astype(np.float64) + a["eps"])
    scale = parameters["weight"].astype(np.float64) / root
    offset = parameters["bias"] - parameters["running_mean"] * scale
    return d.add("affine", a["input"], d.constant(scale), d.constant(offset), axis=1)


def masked_fill(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    return where(d, {"condition": a["mask"], "self": a["value"], "other": a["self"]}, out)


def function(*steps: tuple[Any, ...]) -> Row:
    """Return a function that imports a chain of pointwise functions.

    steps   (name, *parameters) of each function; a text parameter names an argument of the call
    """

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        filled = (
            (name, *(float(a[p]) if isinstance(p, str) else p for p in parameters))
            for name, *parameters in steps
        )
        return d.add("table", first(a), chain=tuple(filled))

    return row


def function_of(step: Callable[[Arguments], tuple[Any, ...]]) -> Row:
    """Return a function that imports a pointwise function whose parameters depend on the call.

    step   arguments of the call -> (name, *parameters) of the function
    """
    return lambda d, a, out: d.add("table", first(a), chain=(step(a),))


def _clamp_limits(a: Arguments) -> tuple[str, float, float]:
    low, high = (a.get(name) for name in ("min", "max"))
    return (
        "clamp",
        -math.inf if low is None else float(low),
        math.inf if high is None else float(high),
    )


def swish(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import x * sigmoid(alpha * x) as silu(alpha * x) / alpha."""
    alpha = a["alpha"]
    if alpha == 0.0:
        return d.add("table", a["self"], chain=(("affine", 0.5, 0.0),))
    chain = (("affine", alpha, 0.0), ("silu",), ("affine", 1.0 / alpha, 0.0))
    return d.add("table", a["self"], chain=chain[1:2] if alpha == 1.0 else chain)


def shrink(d: GraphBuilder, a: Arguments, out: Any) -> str:
    limit, bias = a["lambd"], a["bias"]
    if bias not in (0.0, limit):
        raise Unsupported(f"lambd={limit:g} with bias={bias:g}; they must be equal, or bias 0")
    name = "softshrink" if bias else "hardshrink"
    return d.add("table", a["self"], chain=((name, limit),))


def glu(d: GraphBuilder, a: Arguments, out: Any) -> str:
    x = first(a)
    axis = a["dim"] % len(d.shape(x))
    half = d.shape(x)[axis] // 2
    gate = d.add("table", slice_axis(d, x, axis, half, 2 * half), chain=(("sigmoid",),))
    return d.add("mul", slice_axis(d, x, axis, 0, half), gate)


def prelu(*, broadcast: bool) -> Row:
    """Return a function that imports PReLU: a pointwise function if there is one slope, otherwise a
    slope per channel.

    broadcast   whether slopes broadcast as in ONNX; torch's slopes are along axis 1
    """

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        x, slope = first(a), weights(d, a["weight"], "a PReLU slope")
        if slope.size == 1:
            return d.add("table", x, chain=(("leaky_relu", float(slope.reshape(-1)[0])),))
        shape, varying = d.shape(x), [1]
        if broadcast:
            lead = len(shape) - slope.ndim
            varying = [axis for axis, n in enumerate(slope.shape, start=lead) if n != 1]
        if len(varying) > 1:
            raise Unsupported(f"slopes that vary along {len(varying)} axes")
        if varying[0] < 0 or shape[varying[0]] != slope.size:
            raise ValueError(f"slopes {list(slope.shape)} for {list(shape)}")
        return d.add("prelu", x, d.constant(slope.reshape(-1)), axis=varying[0])

    return row


def finite_numbers(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import nan_to_num: the identity for tensors that are certain to be finite, a pointwise
    function if one computes the tensor, otherwise tests of the arguments of such functions.

    Infinities that become the largest floats, which no integer represents, become 0 in the tests.
    """
    known, x = Nonfinite.of(d), str(a["self"])
    if x not in known.possible:
        return x
    usual = {"nan": 0.0, "posinf": FLOAT_MAX, "neginf": -FLOAT_MAX}
    chosen = {name: u if a[name] is None else float(a[name]) for name, u in usual.items()}
    if known.is_one_function(x):
        return d.add("table", x, chain=(("nan_to_num", *chosen.values()),))
    y = known.finite(x)
    values = {name: v for name, v in chosen.items() if v not in (0.0, usual[name])}
    if len({*values.values()}) == 1 and len(values) == len(chosen):
        values = {"any": values["nan"]}
    for kind, value in values.items():
        y = known.plus(y, value, known.where(x, kind))
    return expand(d, y, out)


def infinite(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import isinf: a test for infinities of both signs, or of one sign."""
    signs = {"detect_positive": "posinf", "detect_negative": "neginf"}
    return is_of(d, a["self"], *(kind for name, kind in signs.items() if a[name]))


FUNCTIONS = (  # functions without parameters, with their ONNX names
    ("abs absolute", "Abs"), ("acos arccos", "Acos"), ("acosh arccosh", "Acosh"),
    ("asin arcsin", "Asin"), ("asinh arcsinh", "Asinh"), ("atan arctan", "Atan"),
    ("atanh arctanh", "Atanh"), ("ceil", "Ceil"), ("cos", "Cos"), ("cosh", "Cosh"),
    ("erf", "Erf"), ("exp", "Exp"), ("exp2", ""), ("expm1", ""), ("floor", "Floor"),
    ("frac", ""), ("hardsigmoid", ""), ("hardswish", "HardSwish"), ("log", "Log"),
    ("log10", ""), ("log1p", ""), ("log2", ""), ("log_sigmoid", ""), ("mish", "Mish"),
    ("reciprocal", "Reciprocal"), ("round", "Round"), ("rsqrt", ""), ("sigmoid", "Sigmoid"),
    ("sign sgn", "Sign"), ("silu", ""), ("sin", "Sin"), ("sinc", ""), ("sinh", "Sinh"),
    ("softsign", "Softsign"), ("sqrt", "Sqrt"), ("square", ""), ("tan", "Tan"),
    ("tanh", "Tanh"), ("tanhshrink", ""), ("trunc fix", ""),
)  # fmt: skip
SELU = "Selu(self, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875)"

ROWS = (
    ImportRow("add", binary("add"), "add.Tensor add.Scalar", "Add(self, other)"),
    ImportRow("add", total, onnx="Sum(*tensors)"),
    ImportRow("add", average, onnx="Mean(*tensors)"),
    ImportRow("add where", masked_fill, "masked_fill.Scalar masked_fill.Tensor"),
    ImportRow(
        "add where",
        where,
        "where.self where.ScalarSelf where.ScalarOther where.Scalar",
        "Where(condition, self, other)",
    ),
    ImportRow("sub", binary("sub"), "sub.Tensor subtract.Tensor sub.Scalar", "Sub(self, other)"),
    ImportRow(
        "sub",
        lambda d, a, out: combined(d, "sub", a["other"], a["self"], a["alpha"], out),
        "rsub.Tensor rsub.Scalar",
    ),
    ImportRow("mul", binary("mul"), "mul.Tensor multiply.Tensor mul.Scalar", "Mul(self, other)"),
    ImportRow(
        "mul",
        div,
        "div.Tensor div.Scalar div.Tensor_mode div.Scalar_mode divide.Tensor true_divide.Tensor",
        "Div(self, other)",
    ),
    ImportRow(
        "mul",
        lambda d, a, out: div(d, {**a, "rounding_mode": "floor"}, out),
        "floor_divide floor_divide.Scalar",
    ),
    ImportRow("table", rest("floor"), "remainder.Scalar remainder.Tensor"),
    ImportRow("table", rest("trunc"), "fmod.Scalar fmod.Tensor"),
    ImportRow("table", modulo, onnx="Mod(self, other, *, fmod=False)"),
    ImportRow("mul", glu, "glu"),
    ImportRow(
        "affine",
        batch_norm,
        "batch_norm _native_batch_norm_legit_no_training",
        "BatchNormalization(input, weight: weights, bias: weights, running_mean, "
        "running_var, *, eps: epsilon = 1e-5, training_mode=False)",
    ),
    ImportRow("prelu", prelu(broadcast=False), "prelu"),
    ImportRow("prelu", prelu(broadcast=True), onnx="PRelu(self, weight: weights)"),
    *(
        ImportRow("table", function((aten.split()[0],)), aten, f"{onnx}(self)" if onnx else "")
        for aten, onnx in FUNCTIONS
    ),
    ImportRow("table", tested("nan", negated=False), "isnan", "IsNaN(self)"),
    ImportRow("table", tested("posinf", "neginf", negated=False), "isinf"),
    ImportRow("table", infinite, onnx="IsInf(self, *, detect_negative=True, detect_positive=True)"),
    ImportRow("table", tested("any", negated=True), "isfinite"),
    ImportRow("table", finite_numbers, "nan_to_num"),
    ImportRow("table", function(("affine", -1.0, 0.0)), "neg negative", "Neg(self)"),
    ImportRow("table", function(("clamp", 0.0, math.inf)), "relu", "Relu(self)"),
    ImportRow("table", function(("clamp", 0.0, 6.0)), "relu6"),
    ImportRow("table", function(("clamp", "min_val", "max_val")), "hardtanh"),
    ImportRow(
        "table",
        function_of(_clamp_limits),
        "clamp clip clamp_min clamp_max",
        "Clip(self, min: float, max: float)",
    ),
    ImportRow(
        "table",
        function(("leaky_relu", "negative_slope")),
        "leaky_relu",
        "LeakyRelu(self, *, negative_slope: alpha = 0.01)",
    ),
    # In inference, the slope is the middle of its range.
    ImportRow(
        "table", function_of(lambda a: ("leaky_relu", (a["lower"] + a["upper"]) / 2)), "rrelu"
    ),
    ImportRow("table", function(("elu", "alpha", "scale", "input_scale")), "elu"),
    ImportRow("table", function(("elu", "alpha")), onnx="Elu(self, *, alpha=1.0)"),
    ImportRow("table", function(("elu", 1.6732632423543772, 1.0507009873554805)), "selu"),
    ImportRow("table", function(("elu", "alpha", "gamma")), onnx=SELU),
    ImportRow(
        "table",
        function_of(lambda a: ("elu", float(a["alpha"]), 1.0, 1.0 / a["alpha"])),
        "celu",
        "Celu(self, *, alpha=1.0)",
    ),
    ImportRow(
        "table",
        function_of(lambda a: ("gelu_tanh" if a["approximate"] == "tanh" else "gelu",)),
        "gelu",
        "Gelu(self, *, approximate='none')",
    ),
    ImportRow("table", function(("softplus", "beta", "threshold")), "softplus"),
    ImportRow("table", function(("softplus",)), onnx="Softplus(self)"),
    ImportRow("table", function(("hardshrink", "lambd")), "hardshrink"),
    ImportRow("table", function(("softshrink", "lambd")), "softshrink"),
    ImportRow("table", shrink, onnx="Shrink(self, *, lambd=0.5, bias=0.0)"),
    ImportRow("table", function(("threshold", "threshold", "value")), "threshold"),
    ImportRow(
        "table", function(("threshold", "alpha", 0.0)), onnx="ThresholdedRelu(self, *, alpha=1.0)"
    ),
    ImportRow(
        "table",
        function(("affine", "alpha", "beta"), ("clamp", 0.0, 1.0)),
        onnx="HardSigmoid(self, *, alpha=0.2, beta=0.5)",
    ),
    ImportRow("table", swish, onnx="Swish(self, *, alpha=1.0)"),
    ImportRow(
        "table",
        pow,
        "pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar float_power.Tensor_Scalar",
        "Pow(self, exponent)",
    ),
)
