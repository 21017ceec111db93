# SPDX-License-Identifier: Apache-2.0
"""What each ATen operator becomes: one row a name; tensors come by name, the rest as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from myoedge.frontend import recurrent
from myoedge.frontend.graph_builder import Arguments, Draft, Row, first, slice_axis, weights
from myoedge.frontend.torch import arithmetic, compute, move, normalize, spectral


def _same(d: Draft, a: Arguments, out: Any) -> str:
    return str(next(value for value in a.values()))


def _chain(*steps: Any) -> Row:
    def row(d: Draft, a: Arguments, out: Any) -> str:
        return d.add("table", first(a), chain=steps)

    return row


def _step(name: str, *parameters: str) -> Row:
    """A pointwise function whose parameters are read from the call."""

    def row(d: Draft, a: Arguments, out: Any) -> str:
        values = tuple(float(a[p]) for p in parameters)
        return d.add("table", first(a), chain=((name, *values),))

    return row


def _clamp(d: Draft, a: Arguments, out: Any) -> str:
    low, high = (a.get(name) for name in ("min", "max"))
    edges = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return d.add("table", first(a), chain=(("clamp", *edges),))


def _hardtanh(d: Draft, a: Arguments, out: Any) -> str:
    edges = (float(a["min_val"]), float(a["max_val"]))
    return d.add("table", first(a), chain=(("clamp", *edges),))


def _gelu(d: Draft, a: Arguments, out: Any) -> str:
    name = "gelu_tanh" if a["approximate"] == "tanh" else "gelu"
    return d.add("table", first(a), chain=((name,),))


def _prelu(d: Draft, a: Arguments, out: Any) -> str:
    slope = weights(d, a["weight"], "a PReLU slope").reshape(-1)
    if slope.size == 1:
        return d.add("table", first(a), chain=(("leaky_relu", float(slope[0])),))
    return d.add("prelu", first(a), d.constant(slope), axis=1)


def _celu(d: Draft, a: Arguments, out: Any) -> str:
    alpha = float(a["alpha"])
    return d.add("table", first(a), chain=(("elu", alpha, 1.0, 1.0 / alpha),))


def _rrelu(d: Draft, a: Arguments, out: Any) -> str:
    """Outside training the slope is the middle of its range."""
    slope = (float(a["lower"]) + float(a["upper"])) / 2
    return d.add("table", first(a), chain=(("leaky_relu", slope),))


def _glu(d: Draft, a: Arguments, out: Any) -> str:
    x = first(a)
    axis = a["dim"] % len(d.shape(x))
    half = d.shape(x)[axis] // 2
    gate = d.add("table", slice_axis(d, x, axis, half, 2 * half), chain=(("sigmoid",),))
    return d.add("mul", slice_axis(d, x, axis, 0, half), gate)


NOTHING = (
    "alias", "clone", "contiguous", "detach", "detach_", "dropout", "alpha_dropout",
    "feature_dropout", "feature_alpha_dropout", "lift_fresh_copy", "to.dtype", "to.dtype_layout",
    "to.device", "type_as", "_to_copy", "resolve_conj", "resolve_neg",
)  # fmt: skip

FUNCTIONS = (
    "abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "hardsigmoid", "hardswish", "log",
    "log10", "log1p", "log2", "mish", "reciprocal", "round", "rsqrt", "sigmoid", "sign",
    "silu", "sin", "sqrt", "square", "tanh",
)  # fmt: skip

VIEWS = (
    "reshape", "view", "_unsafe_view", "flatten.using_ints", "unflatten.int", "squeeze",
    "ravel", "squeeze.dim", "squeeze.dims", "unsqueeze", "view_as", "reshape_as", "view_copy",
)  # fmt: skip

PARTS = (
    "split.Tensor", "split.sizes", "split.default", "split_with_sizes", "chunk",
    "tensor_split.sections", "tensor_split.indices", "unbind.int",
)  # fmt: skip


def _overload(name: str) -> str:
    return f"aten.{name}" if "." in name else f"aten.{name}.default"


def _calls(row: Row, *names: str) -> dict[str, Row]:
    """One row for several calls; a name without an overload means the default one."""
    return {_overload(name): row for name in names}


KEEPS = frozenset(map(_overload, NOTHING))
RANKS = (1, 2)
MAX_POOL = {r: compute.pool("max_pool", r, compute.regular) for r in RANKS}
LSTM, GRU = recurrent.aten("lstm"), recurrent.aten("gru")
RECURRENT = {**_calls(LSTM, "lstm.input"), **_calls(GRU, "gru.input")}
PRODUCTS = {
    **_calls(compute.matmul, "matmul", "mm", "bmm", "mv", "dot"),
    **_calls(compute.addmm, "addmm", "baddbmm"),
}

# Under the operator that does a call's work, whatever else is put around it; under "" what leaves
# no operator. Products are under two: with a constant matrix they are linear layers.
CALLS: Mapping[str, Mapping[str, Row]] = {
    "": {
        **_calls(_same, *NOTHING),
        **_calls(move.filled(1.0), "ones_like", "new_ones"),
        **_calls(move.filled(0.0), "zeros_like", "new_zeros"),
        **_calls(move.filled(None), "full_like", "new_full"),
    },
    "conv": {
        **_calls(compute.conv, "conv1d", "conv2d", "convolution"),
        **_calls(compute.conv, "conv1d.padding", "conv2d.padding"),
    },
    "linear": {
        **_calls(compute.linear, "linear"),
        **_calls(move.upsample_linear, "upsample_linear1d.vec"),
        **PRODUCTS,
    },
    "matmul": PRODUCTS,
    "max_pool": {
        **{f"aten.max_pool{r}d.default": row for r, row in MAX_POOL.items()},
        **{
            f"aten.max_pool{r}d_with_indices.default": compute.first_of(row)
            for r, row in MAX_POOL.items()
        },
        **{
            f"aten.adaptive_max_pool{r}d.default": compute.first_of(
                compute.pool("max_pool", r, compute.adaptive)
            )
            for r in RANKS
        },
        **_calls(compute.largest, "amax", "max"),
        **_calls(compute.first_of(compute.largest), "max.dim"),
    },
    "avg_pool": {
        f"aten.{name}{r}d.default": compute.pool("avg_pool", r, windows)
        for r in RANKS
        for name, windows in {
            "avg_pool": compute.regular,
            "adaptive_avg_pool": compute.adaptive,
            "_adaptive_avg_pool": compute.adaptive,
        }.items()
    },
    "mean": _calls(compute.reduce("mean"), "mean", "mean.dim"),
    "sum": {
        **_calls(compute.reduce("sum"), "sum", "sum.dim_IntList"),
        **_calls(normalize.cosine_similarity, "cosine_similarity"),
    },
    "add": {
        **_calls(arithmetic.binary("add"), "add.Tensor", "add.Scalar"),
        **_calls(arithmetic.masked_fill, "masked_fill.Scalar", "masked_fill.Tensor"),
        **_calls(arithmetic.where, "where.self", "where.ScalarSelf", "where.ScalarOther"),
    },
    "sub": {
        **_calls(arithmetic.binary("sub"), "sub.Tensor", "subtract.Tensor", "sub.Scalar"),
        **_calls(arithmetic.rsub, "rsub.Tensor", "rsub.Scalar"),
    },
    "mul": {
        **_calls(arithmetic.binary("mul"), "mul.Tensor", "multiply.Tensor", "mul.Scalar"),
        **_calls(arithmetic.div, "div.Tensor", "div.Scalar", "div.Tensor_mode", "div.Scalar_mode"),
        **_calls(arithmetic.div, "divide.Tensor", "true_divide.Tensor"),
        **_calls(_glu, "glu"),
    },
    "affine": {
        **_calls(compute.batch_norm, "batch_norm"),
        **_calls(compute.first_of(compute.batch_norm), "_native_batch_norm_legit_no_training"),
    },
    "prelu": _calls(_prelu, "prelu"),
    "attention": _calls(compute.attention, "scaled_dot_product_attention"),
    "magnitude": {},  # found by passes/fuse.py
    "rotary": {},  # found by passes/attention.py
    "ctc_greedy": {},  # asked for: --ctc
    "biquads": {},  # asked for: [conditioning]
    "biquads_past": {},  # on streams
    "gru_state": {},
    "running_norm": {},  # asked for: [conditioning], [model] vote, --ctc on streams
    "running_power": {},
    "majority": {},
    "ctc_new": {},
    "layer_norm": _calls(compute.norm("layer_norm"), "layer_norm"),
    "rms_norm": _calls(compute.norm("rms_norm"), "rms_norm"),
    "table": {
        **{_overload(name): _chain((name,)) for name in FUNCTIONS},
        **_calls(_chain(("abs",)), "absolute"),
        **_calls(_chain(("affine", -1.0, 0.0)), "neg", "negative"),
        **_calls(_chain(("clamp", 0.0, math.inf)), "relu"),
        **_calls(_chain(("clamp", 0.0, 6.0)), "relu6"),
        **_calls(_clamp, "clamp", "clip", "clamp_min", "clamp_max"),
        **_calls(_hardtanh, "hardtanh"),
        **_calls(_step("leaky_relu", "negative_slope"), "leaky_relu"),
        **_calls(_rrelu, "rrelu"),
        **_calls(_step("elu", "alpha", "scale", "input_scale"), "elu"),
        **_calls(_chain(("elu", 1.6732632423543772, 1.0507009873554805)), "selu"),
        **_calls(_celu, "celu"),
        **_calls(_gelu, "gelu"),
        **_calls(_step("softplus", "beta", "threshold"), "softplus"),
        **_calls(_chain(("softsign",)), "softsign"),
        **_calls(_chain(("log_sigmoid",)), "log_sigmoid"),
        **_calls(_step("hardshrink", "lambd"), "hardshrink"),
        **_calls(_step("softshrink", "lambd"), "softshrink"),
        **_calls(_chain(("tanhshrink",)), "tanhshrink"),
        **_calls(_step("threshold", "threshold", "value"), "threshold"),
        **_calls(arithmetic.pow, "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar"),
        **_calls(arithmetic.extreme(low=True), "maximum", "max.other"),
        **_calls(arithmetic.extreme(low=False), "minimum", "min.other"),
    },
    "spectrogram": _calls(spectral.stft, "stft", "stft.center"),
    "gates": RECURRENT,
    "lstm": _calls(LSTM, "lstm.input"),
    "lstm_cell": _calls(LSTM, "lstm.input"),
    "gru": _calls(GRU, "gru.input"),
    "softmax": _calls(compute.along("softmax"), "softmax.int", "_softmax"),
    "log_softmax": _calls(compute.along("log_softmax"), "log_softmax.int", "_log_softmax"),
    "argmax": {**_calls(compute.argmax, "argmax"), **_calls(compute.argmin, "argmin")},
    "reshape": _calls(move.view, *VIEWS),
    "transpose": {
        **_calls(move.permute, "permute"),
        **_calls(move.swap, "transpose.int", "t", "mT", "swapaxes", "swapdims"),
        **_calls(move.reverse, "numpy_T"),
        **_calls(move.movedim, "movedim.int", "movedim.intlist"),
        **_calls(move.movedim, "moveaxis.int", "moveaxis.intlist"),
    },
    "slice": {
        **_calls(move.cut, "slice.Tensor"),
        **_calls(move.narrow, "narrow"),
        **_calls(move.select, "select.int"),
        **_calls(move.parts, *PARTS),
        **_calls(move.index, "index.Tensor"),
        **_calls(move.index_select, "index_select"),
        **_calls(move.flip, "flip"),
    },
    "concat": {
        **_calls(move.cat, "cat", "concat", "concatenate"),
        **_calls(move.stack, "stack"),
        **_calls(move.roll, "roll"),
    },
    "expand": {
        **_calls(move.expand, "expand", "expand_as", "broadcast_to"),
        **_calls(move.repeat, "repeat", "tile"),
        **_calls(move.repeat_each, "repeat_interleave.self_int"),
        **_calls(move.upsample_nearest, "upsample_nearest1d.vec", "upsample_nearest2d.vec"),
    },
    "pad": _calls(move.pad, "pad", "constant_pad_nd"),
}

IMPORT: Mapping[str, Row] = {
    **{name: row for rows in CALLS.values() for name, row in rows.items()},
    **_calls(compute.conv, "conv3d", "conv3d.padding"),  # only to be refused by its rank
}
