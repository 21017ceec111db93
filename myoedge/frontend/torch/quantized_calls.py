# SPDX-License-Identifier: Apache-2.0
"""Import of quantised networks: calls of quantized_decomposed, written by convert_pt2e of torchao
or torch, and torchao's own calls converted to these.

A quantised tensor becomes a float tensor with the dequantised values. A constant keeps its integers
in addition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.frontend.torch.traced import arguments_of
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.operators.fake_quantize import rounded, rounding_of
from myoedge.operators.graph_builder import GraphBuilder, Unsupported

NAMESPACE = "quantized_decomposed."
QUANTIZE, DEQUANTIZE = ("quantize_per_tensor", "quantize_per_channel"), "dequantize_per_"
STATIC = (
    "quantise statically: scales from calibration or training, is_dynamic=False in every "
    "QuantizationSpec, as myoedge.GAP9Quantizer has it"
)


def is_quantizer(node: Any) -> bool:
    """Return whether a call quantises, dequantises, or computes quantisation scales."""
    return str(node.target).startswith((NAMESPACE, "torchao."))


def is_rounding(node: Any) -> bool:
    """Return whether a call quantises or dequantises."""
    return _node_name(node).startswith((*QUANTIZE, DEQUANTIZE))


def dequantized(node: Any) -> Any:
    """Return the tensor that a dequantising call reads; None for other calls."""
    return node.args[0] if _node_name(node).startswith(DEQUANTIZE) else None


def quantizer(builder: GraphBuilder, values: Mapping[str, Any], node: Any) -> str:
    """Import a call that quantises or dequantises; return the name of its result.

    Errors: Unsupported for computed scales, and per-channel scales of activations.
    """
    if "choose_qparams" in str(node.target):
        raise Unsupported("scales that are computed from each input", STATIC)
    if not is_rounding(node):
        raise Unsupported("a scale for every block", "use one scale a tensor or a channel")
    given = {name: _constant_value(builder, values, x) for name, x in arguments_of(node).items()}
    x = values[node.args[0].name]
    scale, zero = _constant_numbers(given, "scale"), _constant_numbers(given, "zero_point")
    limits = int(given["quant_min"]), int(given["quant_max"])
    if x in builder.constants:
        stated = _constant_format(builder.array(x), scale, zero, limits, int(given.get("axis", 0)))
        quantizes = _node_name(node).startswith(QUANTIZE)
        return (_quantise_constant if quantizes else _add_dequantized)(
            builder, builder.array(x), stated
        )
    if _node_name(node).startswith(QUANTIZE):
        return rounded(builder, x, scale, zero, *limits)
    before = rounding_of(builder, x)
    step = float(np.float32(scale[0]))
    if before is None or (before.attrs["scale"], before.attrs["zero_point"]) != (step, zero[0]):
        raise Unsupported("integers that are read with another scale than they were written with")
    return str(x)


def _node_name(node: Any) -> str:
    name = str(node.target)
    return name.removeprefix(NAMESPACE) if name.startswith(NAMESPACE) else ""


def _constant_value(builder: GraphBuilder, values: Mapping[str, Any], x: Any) -> Any:
    """Return an argument of a call; for a constant tensor, its values."""
    if not hasattr(x, "all_input_nodes"):
        return x
    name = values[x.name]
    return builder.find_array(name) if isinstance(name, str) else name


def _constant_numbers(given: Mapping[str, Any], name: str) -> Array:
    """Return a call's constant scales or zero points. Errors: Unsupported if they are computed."""
    key = next((key for key in given if key in (name, f"{name}s")), "")
    if given.get(key) is None:
        if name == "zero_point":
            return np.zeros(1, np.int64)  # zero points of per_channel calls may be None
        raise Unsupported("scales that are computed from each input", STATIC)
    return np.asarray(given[key]).reshape(-1)


def _constant_format(
    q: Array, scale: Array, zero: Array, limits: tuple[int, int], axis: int
) -> ConstantFormat:
    """Return the quantisation format of a constant. Errors: ValueError, Unsupported."""
    scales = scale.astype(np.float32).astype(np.float64)
    if not (np.all(scales > 0) and np.isfinite(scales).all()):
        raise Unsupported("a scale that is not positive")
    points = np.broadcast_to(zero, scales.shape)
    return ConstantFormat(tuple(scales.tolist()), tuple(map(int, points)), *limits, axis % q.ndim)


def _add_dequantized(builder: GraphBuilder, q: Array, stated: ConstantFormat) -> str:
    is_bias = stated.high - stated.low >= 1 << 16  # a bias, which has the steps of its product
    return builder.constant(stated.real(q), None if is_bias else stated)


def _quantise_constant(builder: GraphBuilder, x: Array, stated: ConstantFormat) -> str:
    """Quantise a float constant that the program quantises at run time (fold_quantize=False);
    return the name of the constant with its integers."""
    axes = [-1 if axis == stated.axis and len(stated.scale) > 1 else 1 for axis in range(x.ndim)]
    scale, zero = (np.reshape(n, axes) for n in (stated.scale, stated.zero_point))
    steps = np.rint(x.astype(np.float32) * (1.0 / scale.astype(np.float32))) + zero
    return builder.constant(np.clip(steps, stated.low, stated.high).astype(np.int64))
