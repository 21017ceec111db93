# SPDX-License-Identifier: Apache-2.0
"""Fake quantisation: the effect, in floats, of quantisation parameters in a model file.

A pass folds these nodes into the parameters of tensors; no code is generated for them. A quantised
tensor is represented by its float values; readers use its scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams, quantize
from myoedge.operators.attributes import ANY_INTEGER, POSITIVE
from myoedge.operators.base import OPS, QuantizedNode, QuantizeInputs, add_variant
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.elementwise.tables import TABLE, TableParams
from myoedge.operators.format import INT8_ALONE
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.kernel import on_cluster
from myoedge.operators.library.known_values import producer
from myoedge.operators.library.pointwise import lookup
from myoedge.operators.qdq import Write, Writer, number
from myoedge.operators.traits import Constants


def fake_quantized(attrs: Mapping[str, Any], x: Array) -> Array:
    """Round x to the nearest scale * (q - zero_point) with low <= q <= high, as float64."""
    zero = attrs["zero_point"]
    q = np.rint(x.astype(np.float64) / attrs["scale"]) + zero
    return np.asarray((np.clip(q, attrs["low"], attrs["high"]) - zero) * attrs["scale"])


def carried_params(attrs: Mapping[str, Any]) -> QuantParams:
    """Return the quantisation parameters that a fake-quantise node gives its result; uint8 becomes
    int8, and uint16 int16."""
    low, high, zero = attrs["low"], attrs["high"], attrs["zero_point"]
    kind = INT8 if high - low < 1 << INT8.bits else INT16
    fits = kind.low <= low and high <= kind.high
    return QuantParams(attrs["scale"], zero if fits else zero + kind.low, kind)


def rounds_to_16_bits(node: Node) -> bool:
    """Return whether a node fake-quantises to int16 with zero point 0."""
    if node.op != "fake_quantize":
        return False
    params = carried_params(node.attrs)
    return params.element_type == INT16 and params.zero_point == 0


def clamped_to(attrs: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the real values of the node's integer limits, if these are narrower than its integer
    type; otherwise None."""
    params, zero = carried_params(attrs), attrs["zero_point"]
    if attrs["high"] - attrs["low"] == params.high - params.low:
        return None
    return (attrs["low"] - zero) * attrs["scale"], (attrs["high"] - zero) * attrs["scale"]


def _rounding_constants(inputs: QuantizeInputs) -> TableParams:
    x = inputs.params(0)
    reals = (np.arange(INT8.low, INT8.high + 1) - x.zero_point) * x.scale
    return TableParams(lut=quantize(fake_quantized(inputs.attrs, reals), inputs.target))


FAKE_QUANTIZE = add_variant(
    TABLE,
    name="fake_quantize",
    attributes={"scale": POSITIVE, **dict.fromkeys(("zero_point", "low", "high"), ANY_INTEGER)},
    doc="rounding to a scale and a zero point that the file gives",
    real=lambda attrs, x: fake_quantized(attrs, x).astype(x.dtype),
    constants=Constants(_rounding_constants, kinds=(TableParams,)),
    kernels=on_cluster(lookup, INT8_ALONE),
)


PER_TENSOR = "one scale for the whole tensor: scales per channel are for weights"


def rounded(b: GraphBuilder, x: str, scale: Any, zero_point: Any, low: int, high: int) -> str:
    """Add a fake-quantise node for x with one scale and zero point, and integers low .. high.

    Errors: Unsupported for a scale per channel.
    """
    scales, zeros = (np.unique(np.asarray(value)) for value in (scale, zero_point))
    if scales.size != 1 or zeros.size != 1:
        raise Unsupported("activations with a scale for every channel", f"use {PER_TENSOR}")
    step, zero = float(np.float32(scales[0])), int(zeros[0])
    if not (0.0 < step < np.inf and low <= zero <= high):
        raise ValueError(f"scale {step:g}, zero point {zero}")
    if high - low >= 1 << 16:
        raise Unsupported("activations of more than 16 bits", "use int8, uint8 or int16")
    return b.add("fake_quantize", x, scale=step, zero_point=zero, low=low, high=high)


def fake_quantize(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    limits = int(a["quant_min"]), int(a["quant_max"])
    return rounded(b, a["self"], a["scale"], a["zero_point"], *limits)


def rounding_of(b: GraphBuilder, x: str) -> Node | None:
    """Return the fake-quantise node that produced a tensor, looking through data movement and
    padding; None if there is none.

    Errors: Unsupported if tensors with different scales are concatenated, because readers need one
    scale.
    """
    node, fills = producer(b, x), []
    while node is not None and node.op not in ("fake_quantize", "concat"):
        if node.op == "pad":
            fills.append(np.float32(node.attrs["value"]))
        node = producer(b, node.inputs[0]) if OPS[node.op].same_scale else None
    if node is not None and node.op == "concat":
        node = _rounding_constant(b, node)
    if node is None or any(np.float32(fake_quantized(node.attrs, np.array(x))) != x for x in fills):
        return None
    return node


def _rounding_constant(b: GraphBuilder, node: Node) -> Node | None:
    found = [rounding_of(b, name) for name in node.inputs]
    if len({(r.attrs["scale"], r.attrs["zero_point"]) if r else None for r in found}) > 1:
        raise Unsupported(
            "integers of several scales that are joined", "use DequantizeLinear before it"
        )
    return found[0]


ROWS = (ImportRow("fake_quantize", fake_quantize, "fake_quantize_per_tensor_affine"),)


def _write_rounding(w: Writer, step: QuantizedNode, x: str) -> str:
    scale, zero, low, high = (step.attrs[n] for n in ("scale", "zero_point", "low", "high"))
    steps = w.node("Round", w.node("Div", x, number(w, scale)))
    inside = w.node("Clip", steps, number(w, low - zero), number(w, high - zero))
    return w.node("Mul", inside, number(w, scale))


WRITE: Mapping[str, Write] = {"fake_quantize": _write_rounding}


ROUNDED = "torch.fake_quantize_per_tensor_affine(x0, scale, zero_point, low, high)"


def drawn(d: Draw) -> DrawnUse:
    low, high = d.pick([(-128, 127), (0, 255), (-8, 7), (-32768, 32767)])
    attrs = {
        "scale": d.pick([2.0**-5, 0.01, 0.37]),
        "zero_point": d.integer(low, high),
        "low": low,
        "high": high,
    }
    return DrawnUse("fake_quantize", attrs, (d.shape(1, 4),), ROUNDED, **d.common(1, act=False))


CASES = {"fake_quantize": drawn}
