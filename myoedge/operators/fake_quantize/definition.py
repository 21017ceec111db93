# SPDX-License-Identifier: Apache-2.0
"""Fake quantisation: the effect, in floats, of quantisation parameters in a model file.

A pass folds these nodes into the parameters of tensors; no code is generated for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams, quantize
from myoedge.operators.attributes import ANY_INTEGER, POSITIVE
from myoedge.operators.base import QuantizeInputs, register
from myoedge.operators.elementwise.tables import TABLE, TableParams, in_tiles
from myoedge.operators.format import INT8_ALONE
from myoedge.operators.kernel import on_cluster
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


def _quantize(inputs: QuantizeInputs) -> TableParams:
    x = inputs.params(0)
    reals = (np.arange(INT8.low, INT8.high + 1) - x.zero_point) * x.scale
    return TableParams(lut=quantize(fake_quantized(inputs.attrs, reals), inputs.target))


FAKE_QUANTIZE = register(
    replace(
        TABLE,
        name="fake_quantize",
        attributes={
            "scale": POSITIVE,
            **dict.fromkeys(("zero_point", "low", "high"), ANY_INTEGER),
        },
        doc="rounding to a scale and a zero point that the file gives",
        real=lambda attrs, x: fake_quantized(attrs, x).astype(x.dtype),
        constants=Constants(_quantize, kinds=(TableParams,)),
        kernels=on_cluster(in_tiles, INT8_ALONE),
    )
)
