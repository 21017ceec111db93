# SPDX-License-Identifier: Apache-2.0
"""ONNX models that are refused, what the refusal advises, and models that follow the advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx.parser
from onnx import ModelProto

from myoedge.numerics.arrays import Array
from tests.support.onnx.models import tensor


@dataclass(frozen=True)
class RefusedModel:
    """Fields as in support.refusals.networks.Refused; `given` are the inputs of `followed`."""

    advice: str
    model: ModelProto
    followed: ModelProto
    inputs: Mapping[str, Array]
    given: Mapping[str, Array]
    same: bool = True
    least_db: float = 25.0


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


X = {"x": drawn(2, 6)}
FRAMES = {"x": drawn(1, 4, 8)}
IMAGE = {"x": drawn(1, 1, 4, 6)}
TYPES = {"f": "float", "i": "int64", "u": "uint8", "b": "bool"}


def parsed(
    body: str, inputs: Mapping[str, Array], opset: int, constants: Mapping[str, Any]
) -> ModelProto:
    """Nodes in ONNX's own syntax, which make y, and other results named behind "->"."""
    nodes, _, outputs = body.partition("->")
    ins = ", ".join(f"{TYPES[x.dtype.kind]}{[*x.shape] or ''} {name}" for name, x in inputs.items())
    ends = ", ".join(f"float {name}" for name in outputs.split() or ["y"])
    heads = '<ir_version: 8, opset_import: ["": %d, "com.acme": 1, "ai.onnx.preview": 1]>'
    made = onnx.parser.parse_model(f"{heads % opset} g ({ins}) => ({ends}) {{ {nodes} }}")
    made.graph.initializer.extend(tensor(name, value) for name, value in constants.items())
    return made


def refused(
    advice: str,
    model: str,
    followed: str,
    inputs: Mapping[str, Array] = X,
    *,
    given: Mapping[str, Array] | None = None,
    opset: int = 18,
    constants: Mapping[str, Any] | None = None,
    **options: Any,
) -> RefusedModel:
    """Constants are there for both."""
    made = parsed(model, inputs, opset, constants or {})
    other = parsed(followed, given or inputs, opset, constants or {})
    return RefusedModel(advice, made, other, inputs, given or inputs, **options)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


LONG = 2**30
QKV = {name: drawn(1, 6, 4, seed=seed) for seed, name in enumerate("qkv")}
ATTENTION = "t = Transpose<perm=[0, 2, 1]>(k) s = MatMul(q, t) p = Softmax(s) y = MatMul(p, v)"
WEIGHTS = {"w": drawn(6, 3), "scale": np.float32(0.02), "zero": np.uint8(128)}
SEEN = np.tril(np.ones((6, 6), np.float32))
GRID = np.stack(
    np.meshgrid(np.linspace(-0.8, 0.9, 4), np.linspace(-1, 0.7, 5), indexing="ij")[::-1], -1
)[None].astype(np.float32)
BASE = np.stack([*np.meshgrid(np.linspace(-1, 1, 3), np.linspace(-1, 1, 2)), np.ones((2, 3))], -1)


NORM = {"w": drawn(4), "b": drawn(4, seed=1), "mean": drawn(4, seed=2), "var": abs(drawn(4)) + 1}


def sampling(size: tuple[int, int], grid: Array) -> Array:
    """Bilinear weights [pixels, points] of a grid in pixels' corners (align_corners=1)."""
    (height, width), points = size, grid.reshape(-1, 2)
    across, down = ((points + 1) / 2 * (np.array([width, height]) - 1)).T
    near = [np.maximum(0, 1 - abs(np.arange(n)[:, None] - at)) for n, at in
            ((height, down), (width, across))]  # fmt: skip
    return np.einsum("hp,wp->hwp", *near).reshape(height * width, -1).astype(np.float32)


MODELS: Mapping[str, RefusedModel] = {
    "RequantShift": refused(
        "use QuantizeLinear and DequantizeLinear around float operators (QDQ)",
        "y = com.acme.RequantShift<div=256, n_levels=256, signed=1>(x, mul, add)",
        "q = QuantizeLinear(x, scale, zero) f = DequantizeLinear(q, scale, zero) y = Relu(f)",
        constants={
            "mul": np.float32(7),
            "add": np.float32(0),
            "scale": np.float32(0.02),
            "zero": np.uint8(128),
        },
        same=False,
    ),
    "CausalConvWithState": refused(
        "use Concat of the state and the new frames, Conv, and Slice of the last frames",
        "y, new = CausalConvWithState(x, w, , old) -> y new",
        "all = Concat<axis=2>(old, x) y = Conv<group=4>(all, w) new = Slice(all, a, b, c) -> y new",
        {**FRAMES, "old": drawn(1, 4, 2, seed=1)},
        constants={"w": drawn(4, 1, 3), "a": ints(-2), "b": ints(LONG), "c": ints(2)},
        opset=27,
    ),
    "LinearAttention": refused(
        "use without decay: MatMul of q and k, Mul by a triangle of ones, and MatMul by v",
        "y, new = LinearAttention<q_num_heads=1, kv_num_heads=1, scale=1.0,"
        ' update_rule="linear">(q, k, v)',
        "t = Transpose<perm=[0, 2, 1]>(k) s = MatMul(q, t) p = Mul(s, m) y = MatMul(p, v)",
        QKV,
        constants={"m": SEEN},
        opset=27,
    ),
    "SwiGLU": refused(
        "use Mul and Sigmoid written out",
        "y = SwiGLU(x, g)",
        "s = Sigmoid(x) a = Mul(x, s) y = Mul(a, g)",
        {**X, "g": drawn(2, 6, seed=1)},
        opset=28,
    ),
    "FlexAttention": refused(
        "use MatMul and Softmax written out",
        "y = ai.onnx.preview.FlexAttention<scale=1.0>(q, k, v)",
        "t = Transpose<perm=[0, 1, 3, 2]>(k) s = MatMul(q, t) p = Softmax(s) y = MatMul(p, v)",
        {name: drawn(1, 2, 6, 4, seed=seed) for seed, name in enumerate("qkv")},
        opset=26,
    ),
    "Col2Im": refused(
        "use Reshape to [n, taps, height, width], then ConvTranspose",
        "y = Col2Im(x, size, taps)",
        "image = Reshape(x, s) y = ConvTranspose(image, w)",
        {"x": drawn(1, 8, 6)},
        constants={
            "size": ints(3, 4),
            "taps": ints(2, 2),
            "s": ints(1, 8, 2, 3),
            "w": np.eye(8, dtype=np.float32).reshape(8, 2, 2, 2),
        },
    ),
    "MaxUnpool": refused(
        "use Resize, mode nearest, which fills the whole window",
        "h, i = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(x)"
        "y = MaxUnpool<kernel_shape=[2, 2], strides=[2, 2]>(h, i)",
        'h = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(x) y = Resize<mode="nearest">(h, , s)',
        IMAGE,
        constants={"s": np.array([1, 1, 2, 2], np.float32)},
        same=False,
    ),
    "DynamicQuantizeLinear": refused(
        "use constant scales, as onnxruntime.quantization.quantize_static writes them",
        "q, s, z = DynamicQuantizeLinear(x) f = DequantizeLinear(q, s, z) h = MatMul(f, w)"
        "y = Relu(h)",
        "q = QuantizeLinear(x, scale, zero) f = DequantizeLinear(q, scale, zero) h = MatMul(f, w)"
        "y = Relu(h)",
        constants=WEIGHTS,
        same=False,
    ),
    "CenterCropPad": refused(
        "use Slice and Pad by constant sizes",
        "y = CenterCropPad<axes=[1]>(x, n)",
        "y = Slice(x, a, b, n1)",
        constants={"n": ints(4), "a": ints(1), "b": ints(5), "n1": ints(1)},
    ),
    "Compress": refused(
        "use Gather by constant indices",
        "y = Compress<axis=1>(x, c)",
        "y = Gather<axis=1>(x, i)",
        constants={"c": np.array([1, 0, 0, 1, 1, 0], bool), "i": ints(0, 3, 4)},
    ),
    "ReverseSequence": refused(
        "use Gather by constant indices",
        "y = ReverseSequence<batch_axis=0, time_axis=1>(x, n)",
        "y = Gather<axis=1>(x, i)",
        constants={"n": ints(6, 6), "i": ints(5, 4, 3, 2, 1, 0)},
    ),
    "TensorScatter": refused(
        "use Concat of the old rows and the new ones",
        "y = TensorScatter<axis=1>(x, new, at)",
        "a = Slice(x, zero, at, one) b = Slice(x, four, end, one) y = Concat<axis=1>(a, new, b)",
        {"x": drawn(1, 6, 4), "new": drawn(1, 2, 4, seed=1)},
        constants={"at": ints(2), "zero": ints(0), "four": ints(4), "end": ints(6), "one": ints(1)},
        opset=24,
    ),
    "LpPool": refused(
        "use for p=2: Mul, AveragePool and Sqrt",
        "y = LpPool<kernel_shape=[2], strides=[2]>(x)",
        "s = Mul(x, x) m = AveragePool<kernel_shape=[2], strides=[2]>(s) t = Mul(m, n) y = Sqrt(t)",
        FRAMES,
        constants={"n": np.float32(2)},
    ),
    "GlobalLpPool": refused(
        "use ReduceL1 or ReduceL2",
        "y = GlobalLpPool(x)",
        "y = ReduceL2(x, axes)",
        FRAMES,
        constants={"axes": ints(2)},
    ),
    "Hardmax": refused(
        "use ArgMax and OneHot",
        "y = Hardmax(x)",
        "i = ArgMax<axis=1, keepdims=0>(x) y = OneHot(i, n, v)",
        constants={"n": ints(6), "v": np.array([0, 1], np.float32)},
    ),
    "Unique": refused(
        "use its input as a network output, and do this step on the host",
        "h = Tanh(x) y = Unique(h)",
        "y = Tanh(x)",
        same=False,
    ),
    "MelWeightMatrix": refused(
        "use an initializer with its result",
        "w = MelWeightMatrix(bins, n, rate, low, high) y = MatMul(x, w)",
        "y = MatMul(x, given)",
        {"x": drawn(3, 9)},
        constants={
            "bins": np.int64(3),
            "n": np.int64(16),
            "rate": np.int64(8000),
            "low": np.float32(0),
            "high": np.float32(4000),
            "given": abs(drawn(9, 3)),
        },
        same=False,
    ),
    "Bernoulli": refused(
        "use the network as it runs after training",
        "p = Sigmoid(x) n = Bernoulli(p) y = Mul(x, n)",
        "p = Sigmoid(x) y = Mul(x, p)",
        same=False,
    ),
    "RandomNormalLike": refused(
        "use the network as it runs after training",
        "n = RandomNormalLike(x) y = Add(x, n)",
        "y = Tanh(x)",
        same=False,
    ),
    "Optional": refused(
        "use plain tensors",
        "o = Optional(x) h = OptionalGetElement(o) y = Tanh(h)",
        "y = Tanh(x)",
    ),
    "SequenceMap": refused(
        "use plain tensors",
        "s = SplitToSequence<axis=1, keepdims=1>(x, n) t = SequenceMap<body=b (float[2,3] a) =>"
        " (float[2,3] c) { c = Tanh(a) }>(s) y = ConcatFromSequence<axis=1>(t)",
        "y = Tanh(x)",
        constants={"n": ints(3, 3)},
    ),
    "AffineGrid": refused(
        "use MatMul of theta by a constant [3, h * w]",
        "y = AffineGrid<align_corners=1>(x, size)",
        "h = MatMul(x, base) t = Transpose<perm=[0, 2, 1]>(h) y = Reshape(t, shape)",
        {"x": drawn(1, 2, 3)},
        constants={
            "size": ints(1, 1, 2, 3),
            "shape": ints(1, 2, 3, 2),
            "base": BASE.reshape(-1, 3).T.astype(np.float32),
        },
        opset=20,
    ),
    "GridSample": refused(
        "use for a constant grid MatMul by the matrix of its weights",
        "y = GridSample<align_corners=1>(x, grid)",
        "rows = Reshape(x, flat) h = MatMul(rows, w) y = Reshape(h, shape)",
        IMAGE,
        constants={
            "grid": GRID,
            "flat": ints(1, 1, 24),
            "shape": ints(1, 1, 4, 5),
            "w": sampling((4, 6), GRID),
        },
        opset=20,
    ),
    "BitShift": refused(
        "use Mul by a power of 2",
        's = BitShift<direction="LEFT">(i, n) f = Cast<to=1>(s) y = Sqrt(f)',
        "f = Cast<to=1>(i) p = Mul(f, four) y = Sqrt(p)",
        {"i": np.array([[1, 5, 2]], np.uint8)},
        constants={"n": np.uint8(2), "four": np.float32(4)},
    ),
    "BitwiseAnd": refused(
        "use Mod by a power of 2 for the low bits",
        "a = BitwiseAnd(i, seven) y = Gather(table, a)",
        "a = Mod(i, eight) y = Gather(table, a)",
        {"i": np.array([[1, 15, 2]], np.int64)},
        constants={"seven": np.int64(7), "eight": np.int64(8), "table": drawn(8, 4)},
    ),
    "BitCast": refused(
        "use its result as a network input",
        "b = BitCast<to=6>(x) f = Cast<to=1>(b) y = Tanh(f)",
        "y = Tanh(x)",
        opset=26,
        same=False,
    ),
    "DeformConv": refused(
        "use Conv, all offsets being zero",
        "y = DeformConv<kernel_shape=[2, 2]>(x, w, o)",
        "y = Conv(x, w)",
        IMAGE,
        constants={"w": drawn(2, 1, 2, 2), "o": np.zeros((1, 8, 3, 5), np.float32)},
        opset=19,
    ),
    "Det": refused(
        "use Mul and Sub written out for 2x2",
        "y = Det(x)",
        "f = Reshape(x, s) a, b, c, d = Split<axis=1, num_outputs=4>(f) e = Mul(a, d) g = Mul(b, c)"
        "h = Sub(e, g) y = Squeeze(h, one)",
        {"x": drawn(3, 2, 2)},
        constants={"s": ints(3, 4), "one": ints(1)},
    ),
    "EyeLike": refused(
        "use an initializer with its result",
        "e = EyeLike(x) y = Add(x, e)",
        "y = Add(x, eye)",
        constants={"eye": np.eye(2, 6, dtype=np.float32)},
    ),
    "MaxRoiPool": refused(
        "use Slice and MaxPool for boxes that are constant",
        "y = MaxRoiPool<pooled_shape=[2, 2]>(x, boxes)",
        "h = Slice(x, a, b, axes) y = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(h)",
        IMAGE,
        constants={
            "boxes": np.array([[0, 1, 0, 4, 3]], np.float32),
            "a": ints(1),
            "b": ints(5),
            "axes": ints(3),
        },
    ),
    # uses of operators that are read
    "Cast": refused(
        "use x.floor(), x.trunc() or x.round(), which stay floats",
        "i = Cast<to=7>(x) y = Cast<to=1>(i)",
        "a = Abs(x) f = Floor(a) s = Sign(x) y = Mul(f, s)",
        {"x": 10 * drawn(2, 6)},
    ),
    "BatchNormalization": refused(
        "call model.eval() before the export, training=TrainingMode.EVAL in torch.onnx.export",
        "h, m, v = BatchNormalization<training_mode=1>(x, w, b, mean, var) y = Tanh(h)",
        "h = BatchNormalization(x, w, b, mean, var) y = Tanh(h)",
        FRAMES,
        constants=NORM,
        same=False,
    ),
    "BatchNormalization, of a batch": refused(
        "use BatchNorm with running statistics, or InstanceNorm, which it is for a batch of one",
        "n = ReduceMean<keepdims=0>(x, axes) y, m, v = BatchNormalization<training_mode=1>(x, w, b,"
        " n, var)",
        "y = InstanceNormalization(x, w, b)",
        FRAMES,
        constants={**NORM, "axes": ints(0, 2)},
    ),
    "Loop": refused(
        "use a constant number of iterations",
        "y = Loop<body=b (int64 i, bool on, float[2,6] s) => (bool more, float[2,6] t)"
        " { more = Identity(on) t = Tanh(s) }>(n, , x)",
        "y = Loop<body=b (int64 i, bool on, float[2,6] s) => (bool more, float[2,6] t)"
        " { more = Identity(on) t = Tanh(s) }>(two, , x)",
        {**X, "n": np.array(2, np.int64)},
        given=X,
        constants={"two": np.int64(2)},
    ),
    "SequenceAt": refused(
        "use Split by constant sizes, whose parts have names",
        "s = SplitToSequence<axis=1>(x, n) y = SequenceAt(s, i)",
        "y, z = Split<axis=1>(x, n)",
        {**X, "i": np.array(0, np.int64)},
        given=X,
        constants={"n": ints(2, 4)},
    ),
    "Attention": refused(
        "use MatMul and Softmax written out",
        "y, k2, v2 = Attention<scale=1.0>(q, k, v, , old, older)",
        "a = Concat<axis=2>(old, k) b = Concat<axis=2>(older, v) "
        "t = Transpose<perm=[0, 1, 3, 2]>(a) s = MatMul(q, t) p = Softmax(s) y = MatMul(p, b)",
        {
            name: drawn(1, 2, 3, 4, seed=seed)
            for seed, name in enumerate(("q", "k", "v", "old", "older"))
        },
        opset=23,
    ),
    "RotaryEmbedding": refused(
        "use caches of cosines and sines, and positions, that are constant",
        "c = Cos(a) s = Sin(a) y = RotaryEmbedding(x, c, s)",
        "y = RotaryEmbedding(x, cos, sin)",
        {"x": drawn(1, 2, 3, 4), "a": drawn(1, 3, 2)},
        given={"x": drawn(1, 2, 3, 4)},
        constants={"cos": np.cos(drawn(1, 3, 2)), "sin": np.sin(drawn(1, 3, 2))},
        opset=23,
    ),
    "Resize": refused(
        "use Resize without antialias, its scales or sizes constant",
        'y = Resize<mode="linear", antialias=1>(x, , s)',
        'y = Resize<mode="linear">(x, , s)',
        IMAGE,
        constants={"s": np.array([1, 1, 0.5, 0.5], np.float32)},
        same=False,
    ),
    "If": refused(
        "use only the branch that is taken",
        "s = ReduceSum<keepdims=0>(x) c = Greater(s, zero) y = If<then_branch=a () => "
        "(float[2,6] t) { t = Tanh(x) }, else_branch=b () => (float[2,6] e) { e = Sigmoid(x) }>(c)",
        "y = Tanh(x)",
        constants={"zero": np.float32(0)},
        same=False,
    ),
    "Mod": refused(
        "use Mod of integers by a positive constant",
        "y = Mod<fmod=1>(x, z)",
        "m = Mod(i, three) y = Gather(table, m)",
        {**X, "z": abs(drawn(2, 6, seed=3)) + 1},
        given={"i": np.array([[1, 15, 2]], np.int64)},
        constants={"three": np.int64(3), "table": drawn(8, 4)},
        same=False,
    ),
    "SplitToSequence": refused(
        "use Split by constant sizes",
        "s = SplitToSequence<axis=1>(x, i) y = SequenceAt(s, zero)",
        "y, z = Split<axis=1>(x, n)",
        {**X, "i": ints(2, 4)},
        given=X,
        constants={"zero": np.int64(0), "n": ints(2, 4)},
    ),
    "Where": refused(
        "use a finite number instead of an infinity",
        "c = Greater(x, zero) h = Where(c, x, large) y = ReduceMin<keepdims=0>(h, axes)",
        "c = Greater(x, zero) h = Where(c, x, five) y = ReduceMin<keepdims=0>(h, axes)",
        constants={
            "zero": np.float32(0),
            "large": np.float32(np.inf),
            "five": np.float32(5),
            "axes": ints(1),
        },
    ),
    "TopK": refused(
        "move it to the host, after the network",
        "h = Concat<axis=1>(x, x) y, i = TopK(h, nine)",
        "h = Concat<axis=1>(x, x) y, i = TopK(h, eight)",
        constants={"nine": ints(9), "eight": ints(8)},
        same=False,
    ),
    "another domain": refused(
        "export with ONNX's own operators",
        "y = com.acme.Fancy(x)",
        "y = Tanh(x)",
        same=False,
    ),
    "integers": refused(
        "Cast them to float32 first",
        "i = ArgMax<axis=1>(x) a = Abs(i) y = Cast<to=1>(a)",
        "i = ArgMax<axis=1>(x) f = Cast<to=1>(i) y = Abs(f)",
    ),
}
