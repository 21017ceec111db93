# SPDX-License-Identifier: Apache-2.0
"""Import of quantised networks: QuantizeLinear and DequantizeLinear.

A quantised tensor of the model becomes a float tensor of the graph with the dequantised values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.frontend.onnx.fold import FLOATS, TensorType, attributes_of
from myoedge.frontend.onnx.normal_form import DEFAULT
from myoedge.frontend.onnx.state import MOVES, Importing, keep
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.operators.fake_quantize import rounded, rounding_of
from myoedge.operators.graph_builder import Unsupported

if TYPE_CHECKING:
    from onnx import NodeProto

MICROSOFT = "com.microsoft"  # domain of onnxruntime's own operators
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
FLOAT, UINT8 = 1, 2  # TensorProto.DataType
LIMITS = {"int4": (-8, 7), "uint4": (0, 15)}
# Operators that may be between QuantizeLinear and DequantizeLinear.
BETWEEN = (*MOVES, "MaxPool", "Pad")
PER_CHANNEL = (
    "use one scale for each output channel, or one in all (quantize_static with per_channel=True, "
    "no block_size), or leave the weights in float: the build quantises them"
)
STATIC = "use constant scales, as onnxruntime.quantization.quantize_static writes them"


def is_quantizer(node: NodeProto) -> bool:
    return node.op_type in QUANTIZERS and node.domain in (DEFAULT, MICROSOFT)


def quantizer(state: Importing, node: NodeProto) -> bool:
    """Import a QuantizeLinear or DequantizeLinear; return False for other nodes.

    Errors: Unsupported for computed scales, blocks, and per-channel scales of activations.
    """
    if not is_quantizer(node):
        return False
    x, output, attrs = node.input[0], node.output[0], attributes_of(node)
    scale, zero = _scale_and_zero(state, node, attrs)
    axis = int(attrs.get("axis", 1))
    if node.op_type == "DequantizeLinear":
        _dequantize(state, x, output, scale, zero, axis)
    elif x in state.arrays:
        keep(
            state,
            output,
            _quantise_constant(state.arrays[x], scale, zero, axis, _integer_type_of(attrs, zero)),
        )
        state.scales.add(x)  # its integers count as parameters
    else:
        from onnx import helper

        kind = _integer_type_of(attrs, zero)
        zeros = 0 if zero is None else zero.astype(np.int64)
        made = rounded(state.builder, state.names[x], scale, zeros, *_integer_limits(kind))
        state.names[output] = made
        onnx_kind = int(helper.np_dtype_to_tensor_dtype(kind))
        state.values[output] = TensorType(onnx_kind, state.values[x].shape)
    return True


def _scale_and_zero(
    state: Importing, node: NodeProto, attrs: Mapping[str, Any]
) -> tuple[Array, Array | None]:
    scale, zero = (_quantisation_constant(state, node, i) for i in (1, 2))
    if scale is None:
        raise ValueError("no scale")
    if attrs.get("block_size") or scale.ndim > 1:
        raise Unsupported("a scale for every block", PER_CHANNEL)
    if scale.dtype.kind != "f":
        raise ValueError(f"a scale of type {scale.dtype}")
    if zero is not None and zero.size not in (1, scale.size):
        raise ValueError(f"{zero.size} zero points for {scale.size} scales")
    return scale, zero


def _dequantize(
    state: Importing,
    x: str,
    output: str,
    scale: Array,
    zero: Array | None,
    axis: int,
) -> None:
    kind = _numpy_kind(state.values[x].kind)
    if zero is not None and zero.dtype != kind:
        raise ValueError(f"a zero point of type {zero.dtype} for integers of type {kind}")
    if x in state.arrays:
        state.dequantized.add(x)
        q, scale = _replace_zero_scales(state.arrays[x], scale, zero, axis)
        stated = _constant_format(q, scale, zero, axis)
        keep(state, output, stated.real(q.astype(np.int64)))
        if stated.high - stated.low < 1 << 16:
            state.formats[output] = stated
        return
    zeros, builder = np.zeros(1, np.int64) if zero is None else zero.astype(np.int64), state.builder
    state.values[output] = TensorType(FLOAT, state.values[x].shape)
    before = rounding_of(builder, state.names[x])
    if scale.size != 1 or zeros.size != 1:
        raise Unsupported("activations with a scale for every channel", "use one scale a tensor")
    step, offset = float(scale.reshape(-1)[0]), int(zeros.reshape(-1)[0])
    if before is None:  # an integer input
        made = builder.add("table", state.names[x], chain=(("affine", step, -offset * step),))
        limits = _integer_limits(kind)
        state.names[output] = rounded(builder, made, scale, zeros, *limits)
        return
    if (before.attrs["scale"], before.attrs["zero_point"]) != (step, offset):
        raise Unsupported("integers that are read with another scale than they were written with")
    state.names[output] = state.names[x]


def refuse_integers(state: Importing, node: NodeProto) -> None:
    """Raise Unsupported if a node computes with the integers of a quantised tensor."""
    held = [name for name in node.input[:1] if is_held(state, name)]
    if held and node.op_type not in BETWEEN:
        raise Unsupported(
            "it computes with integers of a quantised tensor", "use DequantizeLinear before it"
        )


def clip_of_integers(state: Importing, node: NodeProto) -> bool:
    """Import a Clip of a quantised tensor (Brevitas: fewer bits); return False for other nodes.

    Its limits are integers, so it reduces the tensor's integer range.
    """
    if node.op_type != "Clip" or not is_held(state, node.input[0]):
        return False
    x, output = node.input[0], node.output[0]
    before = rounding_of(state.builder, state.names[x])
    limits = [_quantisation_constant(state, node, i) for i in (1, 2)]
    assert before is not None
    low, high = (before.attrs[name] for name in ("low", "high"))
    low, high = (
        given if limit is None else pick(given, int(limit.reshape(-1)[0]))
        for given, limit, pick in zip((low, high), limits, (max, min), strict=True)
    )
    given = before.inputs[0] if before.name == state.names[x] else state.names[x]
    scale, zero = (np.array(before.attrs[name]) for name in ("scale", "zero_point"))
    state.names[output] = rounded(state.builder, given, scale, zero, low, high)
    state.values[output] = state.values[x]
    return True


def numbers_read(state: Importing, node: NodeProto) -> Mapping[str, Array]:
    """Return constants by name, with the pad value of a Pad of a quantised tensor dequantised.

    Errors: Unsupported if the pad value is missing and 0 represents another number.
    """
    if node.op_type != "Pad" or not is_held(state, node.input[0]):
        return state.arrays
    before, name = rounding_of(state.builder, state.names[node.input[0]]), [*node.input, "", ""][2]
    assert before is not None
    scale, zero = before.attrs["scale"], before.attrs["zero_point"]
    if name in state.arrays:
        real = (int(state.arrays[name].reshape(-1)[0]) - zero) * scale
        return {**state.arrays, name: np.array(real)}
    if zero:
        raise Unsupported("integers are padded with 0", "give Pad the zero point as its value")
    return state.arrays


def is_held(state: Importing, name: str) -> bool:
    """Return whether a tensor of the file holds a quantised tensor's integers."""
    if name not in state.names or state.values[name].kind in FLOATS:
        return False
    return rounding_of(state.builder, state.names[name]) is not None


def _quantisation_constant(state: Importing, node: NodeProto, index: int) -> Array | None:
    """Return the constant scale (input 1) or zero point (input 2) of a node; None if omitted."""
    name = node.input[index] if len(node.input) > index else ""
    if name and name not in state.arrays:
        raise Unsupported("a scale or a zero point that is computed", STATIC)
    if index and name:
        state.scales.add(name)
    return state.arrays[name] if name else None


def _constant_format(
    q: Array, scale: Array, zero: Array | None, axis: int, kind: np.dtype[Any] | None = None
) -> ConstantFormat:
    """Return the quantisation format of a constant's integers q; `kind`: their type."""
    scales = scale.reshape(-1).astype(np.float32)
    zeros = np.zeros(1, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
    if not (np.all(scales > 0) and np.isfinite(scales).all()):
        raise ValueError("a scale that is not positive")
    if scales.size > 1 and q.shape[axis : axis + 1] != scales.shape and axis != -1:
        raise ValueError(f"{scales.size} scales along axis {axis} of {list(q.shape)}")
    points = np.broadcast_to(zeros, scales.shape)
    numbers = tuple(scales.astype(np.float64).tolist()), tuple(map(int, points))
    return ConstantFormat(*numbers, *_integer_limits(kind or q.dtype), axis % max(q.ndim, 1))


def _quantise_constant(
    x: Array, scale: Array, zero: Array | None, axis: int, kind: np.dtype[Any]
) -> Array:
    """Quantise a constant in float32, as the ONNX standard defines QuantizeLinear."""
    _constant_format(x, scale, zero, axis, kind)
    shape = [-1 if d == axis % x.ndim else 1 for d in range(x.ndim)] if scale.size > 1 else ()
    zeros = np.zeros(1) if zero is None else zero.astype(np.int64)
    steps = np.rint(x.astype(np.float32) / scale.reshape(shape)) + zeros.reshape(shape)
    return np.clip(steps, *_integer_limits(kind)).astype(kind)


def _integer_limits(kind: np.dtype[Any]) -> tuple[int, int]:
    if str(kind) in LIMITS:
        return LIMITS[str(kind)]
    if kind.kind not in "iu":
        raise Unsupported(f"quantised tensors of type {kind}", "use int8 or uint8")
    return int(np.iinfo(kind).min), int(np.iinfo(kind).max)


def _replace_zero_scales(
    q: Array, scale: Array, zero: Array | None, axis: int
) -> tuple[Array, Array]:
    """Replace scales of 0 by 1 and their integers by the zero point; both represent 0."""
    none = scale == 0
    if scale.size < 2 or not none.any() or q.shape[axis : axis + 1] != scale.shape:
        return q, scale
    along = [-1 if d == axis % q.ndim else 1 for d in range(q.ndim)]
    points = np.zeros(1, q.dtype) if zero is None else zero
    of_all = np.broadcast_to(points, scale.shape).reshape(along)
    return np.where(none.reshape(along), of_all, q), np.where(none, np.ones_like(scale), scale)


def _integer_type_of(attrs: Mapping[str, Any], zero: Array | None) -> np.dtype[Any]:
    """Return QuantizeLinear's integer type: its zero point's type, else `output_dtype`, else uint8.

    Errors: ValueError if zero point and `output_dtype` differ.
    """
    named = int(attrs.get("output_dtype") or 0)
    if zero is None:
        return _numpy_kind(named or UINT8)
    if named and _numpy_kind(named) != zero.dtype:
        raise ValueError(
            f"output_dtype={_numpy_kind(named)} with a zero point of type {zero.dtype}"
        )
    return zero.dtype


def _numpy_kind(kind: int) -> np.dtype[Any]:
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(kind))
