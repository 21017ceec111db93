# SPDX-License-Identifier: Apache-2.0
"""What each ATen operator becomes: one row a name; tensors come by name, the rest as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from myoedge.frontend import compute, move
from myoedge.frontend.draft import Arguments, Draft, Row, first, slice_axis, weights


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


POOLS: Mapping[str, Row] = {
    f"aten.{name}{rank}d.default": row
    for rank in (1, 2)
    for name, row in {
        "max_pool": compute.pool("max_pool", rank, compute.regular),
        "avg_pool": compute.pool("avg_pool", rank, compute.regular),
        "adaptive_avg_pool": compute.pool("avg_pool", rank, compute.adaptive),
        "_adaptive_avg_pool": compute.pool("avg_pool", rank, compute.adaptive),
        "adaptive_max_pool": compute.first_of(compute.pool("max_pool", rank, compute.adaptive)),
    }.items()
}

NOTHING = (
    "alias", "clone", "contiguous", "detach", "detach_", "dropout", "alpha_dropout",
    "feature_dropout", "feature_alpha_dropout", "lift_fresh_copy", "to.dtype", "to.dtype_layout",
    "to.device", "type_as", "_to_copy", "resolve_conj", "resolve_neg",
)  # fmt: skip

FUNCTIONS = (
    "abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "hardsigmoid", "hardswish", "log",
    "log10", "log1p", "log2", "mish", "neg", "reciprocal", "round", "rsqrt", "sigmoid", "sign",
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


KEEPS = frozenset(map(_overload, NOTHING))

IMPORT: Mapping[str, Row] = {
    **dict.fromkeys(KEEPS, _same),
    **{_overload(name): _chain((name,)) for name in FUNCTIONS},
    "aten.absolute.default": _chain(("abs",)),
    "aten.negative.default": _chain(("neg",)),
    "aten.relu.default": _chain(("clamp", 0.0, math.inf)),
    "aten.relu6.default": _chain(("clamp", 0.0, 6.0)),
    **{f"aten.{name}.default": _clamp for name in ("clamp", "clip", "clamp_min", "clamp_max")},
    "aten.hardtanh.default": _hardtanh,
    "aten.leaky_relu.default": _step("leaky_relu", "negative_slope"),
    "aten.rrelu.default": _rrelu,
    "aten.elu.default": _step("elu", "alpha", "scale", "input_scale"),
    "aten.selu.default": _chain(("elu", 1.6732632423543772, 1.0507009873554805)),
    "aten.celu.default": _celu,
    "aten.gelu.default": _gelu,
    "aten.softplus.default": _step("softplus", "beta", "threshold"),
    "aten.softsign.default": _chain(("softsign",)),
    "aten.log_sigmoid.default": _chain(("log_sigmoid",)),
    "aten.hardshrink.default": _step("hardshrink", "lambd"),
    "aten.softshrink.default": _step("softshrink", "lambd"),
    "aten.tanhshrink.default": _chain(("tanhshrink",)),
    "aten.threshold.default": _step("threshold", "threshold", "value"),
    "aten.prelu.default": _prelu,
    "aten.glu.default": _glu,
    "aten.add.Tensor": compute.binary("add"),
    **{f"aten.{name}.Tensor": compute.binary("sub") for name in ("sub", "subtract")},
    **{f"aten.{name}.Tensor": compute.binary("mul") for name in ("mul", "multiply")},
    **{f"aten.{name}.Scalar": compute.binary(name) for name in ("add", "sub", "mul")},
    **{
        f"aten.div.{kind}": compute.div
        for kind in ("Tensor", "Scalar", "Tensor_mode", "Scalar_mode")
    },
    **{f"aten.{name}.Tensor": compute.div for name in ("divide", "true_divide")},
    **{f"aten.rsub.{kind}": compute.rsub for kind in ("Tensor", "Scalar")},
    **{f"aten.pow.{kind}": compute.pow for kind in ("Tensor_Scalar", "Tensor_Tensor", "Scalar")},
    **{f"aten.{name}": compute.extreme(low=True) for name in ("maximum.default", "max.other")},
    **{f"aten.{name}": compute.extreme(low=False) for name in ("minimum.default", "min.other")},
    **{f"aten.conv{r}d.{kind}": compute.conv for r in (1, 2, 3) for kind in ("default", "padding")},
    "aten.convolution.default": compute.conv,
    "aten.linear.default": compute.linear,
    **{f"aten.{name}.default": compute.matmul for name in ("matmul", "mm", "bmm", "mv", "dot")},
    "aten.addmm.default": compute.addmm,
    "aten.batch_norm.default": compute.batch_norm,
    "aten._native_batch_norm_legit_no_training.default": compute.first_of(compute.batch_norm),
    **POOLS,
    "aten.max_pool1d_with_indices.default": compute.first_of(POOLS["aten.max_pool1d.default"]),
    "aten.max_pool2d_with_indices.default": compute.first_of(POOLS["aten.max_pool2d.default"]),
    "aten.mean.default": compute.reduce("mean"),
    "aten.mean.dim": compute.reduce("mean"),
    "aten.sum.default": compute.reduce("sum"),
    "aten.sum.dim_IntList": compute.reduce("sum"),
    "aten.amax.default": compute.largest,
    "aten.max.default": compute.largest,
    "aten.max.dim": compute.first_of(compute.largest),
    "aten.softmax.int": compute.along("softmax"),
    "aten._softmax.default": compute.along("softmax"),
    "aten.log_softmax.int": compute.along("log_softmax"),
    "aten._log_softmax.default": compute.along("log_softmax"),
    "aten.argmax.default": compute.argmax,
    "aten.argmin.default": compute.argmin,
    **{_overload(name): move.view for name in VIEWS},
    "aten.permute.default": move.permute,
    "aten.transpose.int": move.swap,
    **{f"aten.{name}.default": move.swap for name in ("t", "mT", "swapaxes", "swapdims")},
    "aten.numpy_T.default": move.reverse,
    **{f"aten.{n}.{k}": move.movedim for n in ("movedim", "moveaxis") for k in ("int", "intlist")},
    "aten.slice.Tensor": move.cut,
    "aten.narrow.default": move.narrow,
    "aten.select.int": move.select,
    **{_overload(name): move.parts for name in PARTS},
    "aten.index.Tensor": move.index,
    "aten.index_select.default": move.index_select,
    "aten.flip.default": move.flip,
    "aten.roll.default": move.roll,
    **{f"aten.{name}.default": move.cat for name in ("cat", "concat", "concatenate")},
    "aten.stack.default": move.stack,
    **{f"aten.{name}.default": move.expand for name in ("expand", "expand_as", "broadcast_to")},
    **{f"aten.{name}.default": move.repeat for name in ("repeat", "tile")},
    "aten.repeat_interleave.self_int": move.repeat_each,
    **{f"aten.upsample_nearest{rank}d.vec": move.upsample_nearest for rank in (1, 2)},
    "aten.pad.default": move.pad,
    "aten.constant_pad_nd.default": move.pad,
    **{f"aten.{name}.default": move.filled(1.0) for name in ("ones_like", "new_ones")},
    **{f"aten.{name}.default": move.filled(0.0) for name in ("zeros_like", "new_zeros")},
    **{f"aten.{name}.default": move.filled(None) for name in ("full_like", "new_full")},
}
