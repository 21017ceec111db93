# SPDX-License-Identifier: Apache-2.0
"""Every operator as ONNX writes it, in floats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.codegen.qdq import classes, filters, recurrent
from myoedge.codegen.qdq.pool import avg_pool, max_pool
from myoedge.codegen.qdq.spectral import spectrogram
from myoedge.codegen.qdq.writer import Write, Writer, channels_first, channels_last
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import Chain, evaluate
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.attention.definition import HIDING, hides, mask
from myoedge.operators.attention.rotary import split
from myoedge.operators.base import QuantizedNode
from myoedge.quantization.scales import QuantGraph

FIRST = -(2**31)  # an end before the first element, for slices that run backwards


# Functions of one number. Those here are continuous and finite everywhere, so that the last bit of
# float32 does not matter; for all others the 256 values are written down.


def clamp(w: Writer, x: str, low: float, high: float) -> str:
    if (low, high) == (0.0, math.inf):
        return w.node("Relu", x)
    edges = ["" if math.isinf(e) else w.constant(np.array(e, np.float32)) for e in (low, high)]
    return w.node("Clip", x, *edges)


def _scaled(w: Writer, x: str, scale: float, offset: float) -> str:
    if scale != 1.0:
        x = w.node("Mul", x, w.constant(np.array(scale, np.float32)))
    return w.node("Add", x, w.constant(np.array(offset, np.float32))) if offset else x


def _leaky(w: Writer, x: str, slope: float = 0.01) -> str:
    return w.node("LeakyRelu", x, alpha=slope)


def _silu(w: Writer, x: str) -> str:
    return w.node("Mul", x, w.node("Sigmoid", x))


def _named(op: str, **attrs: Any) -> Write:
    return lambda w, x: w.node(op, x, **attrs)


NATIVE: Mapping[str, Write] = {
    "abs": _named("Abs"),
    "affine": _scaled,
    "clamp": clamp,
    "erf": _named("Erf"),
    "gelu": _named("Gelu"),
    "gelu_tanh": _named("Gelu", approximate="tanh"),
    "hardsigmoid": _named("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    "hardswish": _named("HardSwish"),
    "leaky_relu": _leaky,
    "mish": _named("Mish"),
    "neg": _named("Neg"),
    "sigmoid": _named("Sigmoid"),
    "silu": _silu,
    "softsign": _named("Softsign"),
    "tanh": _named("Tanh"),
}


def pointwise(w: Writer, q: QuantGraph, name: str, functions: Chain) -> str:
    """The chain at our tensor `name`."""
    if any(function not in NATIVE for function, *_ in functions):
        return _gathered(w, w.integers[name], q.params[name], functions)
    y = w.reals[name]
    for function, *parameters in functions:
        y = NATIVE[function](w, y, *parameters)
    return y


def _gathered(w: Writer, integers: str, params: QuantParams, functions: Chain) -> str:
    """The chain's float value at each of the 256 inputs; 0.0 where it is not a number."""
    real = (np.arange(-128, 128) - params.zero_point) * params.scale
    values = np.nan_to_num(evaluate(functions, real), nan=0.0, posinf=1e30, neginf=-1e30)
    table = w.constant(np.clip(values, -1e30, 1e30).astype(np.float32), f"{w.label}/table")
    index = w.node("Cast", integers, to=onnx_type("INT32"))
    return w.node("Gather", table, w.node("Add", index, w.constant(np.array(128, np.int32))))


def onnx_type(name: str) -> int:
    from onnx import TensorProto

    return int(TensorProto.DataType.Value(name))


def _table(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    return pointwise(w, q, step.operands[0], step.attrs["chain"])


# Products with weights: integer initialisers, dequantised per output channel.


def _weight_scale(q: QuantGraph, step: QuantizedNode) -> Array:
    """float64 scale per output channel: of the two ways to choose it, the one that was taken."""
    x, floats = q.params[step.operands[0]], [q.graph.constants[n] for n in step.node.inputs[1:]]
    weight = floats[0].astype(np.float64)
    bias = floats[1].astype(np.float64) if len(floats) > 1 else np.zeros(len(weight))
    unfolded = _unfolded_bias(step)
    for per_channel in (True, False):
        made = WeightFormat(step.weight_type.bits, per_channel)
        integers, scale = made.quantize(weight, bias, x)
        same_bias = np.array_equal(np.rint(bias / (x.scale * scale)), unfolded)
        if same_bias and np.array_equal(integers, step["weight"]):
            return scale
    raise AssertionError(f"{step.node.where}: integers do not come from its weights")


def _unfolded_bias(step: QuantizedNode) -> Array:
    """int32 [K] without the contribution of the input's zero point, which QDQ has elsewhere."""
    rows = step["weight"].reshape(len(step["bias"]), -1).astype(np.int64).sum(axis=1)
    return np.asarray(step["bias"] + step["x_zero"] * rows, np.int32)


def _weights(
    w: Writer, q: QuantGraph, step: QuantizedNode, layout: Sequence[int]
) -> tuple[str, str]:
    """(weights with their axes in the order `layout`, bias), dequantised."""
    scale, axis = _weight_scale(q, step), layout.index(0)
    factor = (scale * q.params[step.operands[0]].scale).astype(np.float32)
    parts = (
        ("weight", step["weight"].transpose(layout), scale.astype(np.float32), axis),
        ("bias", _unfolded_bias(step), factor, 0),
    )
    names = [
        w.node(
            "DequantizeLinear",
            w.constant(values, f"{w.label}/{part}"),
            w.constant(scales, f"{w.label}/{part}.scale"),
            axis=axis,
        )
        for part, values, scales, axis in parts
    ]
    return names[0], names[1]


def _conv(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    rank, attrs = len(step.out), step.attrs
    weight, bias = _weights(w, q, step, [0, rank - 1, *range(1, rank - 1)])
    y = w.node(
        "Conv",
        channels_first(w, x, rank),
        weight,
        bias,
        strides=list(attrs["stride"]),
        dilations=list(attrs["dilation"]),
        pads=[*(p[0] for p in attrs["pads"]), *(p[1] for p in attrs["pads"])],
        group=attrs["groups"],
    )
    return channels_last(w, y, rank)


def _linear(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    weight, bias = _weights(w, q, step, [1, 0])
    return w.node("Add", w.node("MatMul", x, weight), bias)


# Operators on elements and rows.


def _binary(op: str) -> Write:
    return lambda w, q, step, a, b: w.node(op, a, b)


def _matmul(w: Writer, q: QuantGraph, step: QuantizedNode, a: str, b: str) -> str:
    if step.attrs.get("b_turned", False):
        rank = len(step.shapes[1])
        b = w.node("Transpose", b, perm=[*range(rank - 2), rank - 1, rank - 2])
    return w.node("MatMul", a, b)


def _magnitude(w: Writer, q: QuantGraph, step: QuantizedNode, a: str, b: str) -> str:
    return w.node("Sqrt", w.node("Add", w.node("Mul", a, a), w.node("Mul", b, b)))


def _along(w: Writer, q: QuantGraph, step: QuantizedNode, index: int) -> str:
    """Constant input [C] of the step, shaped to broadcast along its axis."""
    rank = len(step.out)
    shape = [-1 if d == step.attrs["axis"] % rank else 1 for d in range(rank)]
    values = q.graph.constants[step.node.inputs[index]]
    return w.constant(values.astype(np.float32).reshape(shape))


def _affine(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    return w.node("Add", w.node("Mul", x, _along(w, q, step, 1)), _along(w, q, step, 2))


def _prelu(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    return w.node("PRelu", x, _along(w, q, step, 1))


def _layer_norm(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    parts = (w.constant(q.graph.constants[n].astype(np.float32)) for n in step.node.inputs[1:])
    return w.node("LayerNormalization", x, *parts, axis=-1, epsilon=step.attrs["eps"])


def _rms_norm(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    """Written out: ONNX has it as an operator from opset 23 on."""
    square = w.node("ReduceMean", w.node("Mul", x, x), w.whole(-1), keepdims=1)
    eps = w.constant(np.array(step.attrs["eps"], np.float32))
    root = w.node("Sqrt", w.node("Add", square, eps))
    gain = w.constant(q.graph.constants[step.node.inputs[1]].astype(np.float32))
    return w.node("Mul", w.node("Div", x, root), gain)


def _rotary(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    """Pairs apart, turned, and together again."""
    cos, sin = (q.graph.constants[n].astype(np.float32) for n in step.node.inputs[1:])
    outer, period, inner, pairs = split(step.attrs, step.out, len(cos))
    both = w.node("Reshape", x, w.whole(outer, period, inner, pairs, 2))
    even, odd = (w.node("Gather", both, w.whole(i), axis=4) for i in (0, 1))
    c, s = (w.constant(t.reshape(1, period, 1, pairs, 1)) for t in (cos, sin))
    first = w.node("Sub", w.node("Mul", even, c), w.node("Mul", odd, s))
    second = w.node("Add", w.node("Mul", odd, c), w.node("Mul", even, s))
    return w.node("Reshape", w.node("Concat", first, second, axis=4), w.whole(*step.out))


def _attention(w: Writer, q: QuantGraph, step: QuantizedNode, *xs: str) -> str:
    """Products and softmax written out; masked keys get what no softmax lets through."""
    (_, rows, _, _), (_, keys, _, _) = step.shapes[:2]
    left, right = (
        w.node("Transpose", xs[0], perm=[0, 2, 1, 3]),
        w.node("Transpose", xs[1], perm=[0, 2, 3, 1]),
    )
    scores = _scaled(w, w.node("MatMul", left, right), step.attrs["scale"], 0.0)
    scores = w.node("Add", scores, xs[3]) if len(xs) > 3 else scores
    if hides(step.attrs):
        gone = np.where(q.constants[step.operands[3]] == HIDING, -1e9, 0.0)
        scores = w.node("Add", scores, w.constant(gone.astype(np.float32)))
    if step.attrs["window"]:
        hidden = np.where(mask(step.attrs, rows, keys), 0.0, -1e9)
        scores = w.node("Add", scores, w.constant(hidden.astype(np.float32)))
    v = w.node("Slice", xs[2], *(w.whole(n) for n in (0, keys, 3, 1)))
    shares = w.node("Softmax", scores, axis=-1)
    y = w.node("MatMul", shares, w.node("Transpose", v, perm=[0, 1, 3, 2]))
    return w.node("Transpose", y, perm=[0, 2, 1, 3])


def _along_axis(op: str) -> Write:
    return lambda w, q, step, *xs: w.node(op, *xs, axis=step.attrs["axis"])


def _argmax(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    index = w.node("ArgMax", x, axis=step.attrs["axis"], keepdims=int(step.attrs["keepdim"]))
    return w.node("Cast", index, to=onnx_type("INT32"))


def _ctc_greedy(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    """The count so far is the place of what is kept; the others go behind the end."""
    steps, batch, _ = step.shapes[0]
    best = w.node("ArgMax", x, axis=2, keepdims=0)
    none, blank = (w.constant(np.array(n, np.int64)) for n in (-1, step.attrs["blank"]))
    first = w.constant(np.full((1, batch), -1, np.int64))
    before = w.node("Slice", w.node("Concat", first, best, axis=0), *map(w.whole, (0, steps, 0)))
    gone = w.node("Or", w.node("Equal", best, before), w.node("Equal", best, blank))
    kept = w.node("Cast", w.node("Not", gone), to=onnx_type("INT64"))
    places = w.node("CumSum", kept, w.constant(np.array(0, np.int64)))
    at = w.node("Where", gone, w.constant(np.array(steps + 1, np.int64)), places)
    empty = w.node("Expand", none, w.whole(steps + 2, batch))
    symbols = w.node("ScatterElements", empty, at, best, axis=0)
    count = w.node("ReduceSum", kept, w.whole(0), keepdims=1)
    rest = w.node("Slice", symbols, *map(w.whole, (1, steps + 1, 0)))
    y = w.node("Transpose", w.node("Concat", count, rest, axis=0), perm=[1, 0])
    return w.node("Cast", y, to=onnx_type("INT32"))


def _reduce(op: str) -> Write:
    def write(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
        kept = int(step.attrs["keepdim"])
        return w.node(op, x, w.whole(*step.attrs["axes"]), keepdims=kept)

    return write


# Operators that move elements.


def _to_shape(op: str) -> Write:
    return lambda w, q, step, x: w.node(op, x, w.whole(*step.out))


def _transpose(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    return w.node("Transpose", x, perm=list(step.attrs["perm"]))


def _slice(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    starts, stops, steps = zip(*step.attrs["cuts"], strict=True)
    ends = [FIRST if by < 0 and stop < 0 else stop for stop, by in zip(stops, steps, strict=True)]
    return w.node("Slice", x, *(w.whole(*v) for v in (starts, ends, range(len(ends)), steps)))


def _pad(w: Writer, q: QuantGraph, step: QuantizedNode, x: str) -> str:
    pads = step.attrs["pads"]
    both = w.whole(*(before for before, _ in pads), *(after for _, after in pads))
    return w.node("Pad", x, both, w.constant(np.array(step.attrs["value"], np.float32)))


WRITE: Mapping[str, Write] = {
    "add": _binary("Add"),
    "affine": _affine,
    "argmax": _argmax,
    "attention": _attention,
    "avg_pool": avg_pool,
    "concat": _along_axis("Concat"),
    "conv": _conv,
    "biquads": filters.write(kept=False),
    "biquads_past": filters.write(kept=True),
    "ctc_greedy": _ctc_greedy,
    "ctc_new": classes.ctc_new,
    "expand": _to_shape("Expand"),
    "gates": _linear,
    "gru": recurrent.write("GRU", result=0),
    "gru_state": recurrent.write("GRU", result=1),
    "layer_norm": _layer_norm,
    "linear": _linear,
    "log_softmax": _along_axis("LogSoftmax"),
    "lstm": recurrent.write("LSTM", result=0),
    "lstm_cell": recurrent.write("LSTM", result=2),
    "magnitude": _magnitude,
    "majority": classes.majority,
    "matmul": _matmul,
    "max_pool": max_pool,
    "mean": _reduce("ReduceMean"),
    "mul": _binary("Mul"),
    "pad": _pad,
    "prelu": _prelu,
    "reshape": _to_shape("Reshape"),
    "rms_norm": _rms_norm,
    "rotary": _rotary,
    "running_norm": filters.running(kept=False),
    "running_power": filters.running(kept=True),
    "slice": _slice,
    "softmax": _along_axis("Softmax"),
    "spectrogram": spectrogram,
    "sub": _binary("Sub"),
    "sum": _reduce("ReduceSum"),
    "table": _table,
    "transpose": _transpose,
}
