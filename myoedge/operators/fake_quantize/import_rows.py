# SPDX-License-Identifier: Apache-2.0
"""Import of quantize and dequantize operators.

A quantised tensor is represented by its float values; readers use its scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.graph.ir import Node, Shape
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize.definition import fake_quantized
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.integers.numbers import producer

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
        node = _rounding_of_all(b, node)
    if node is None or any(np.float32(fake_quantized(node.attrs, np.array(x))) != x for x in fills):
        return None
    return node


def _rounding_of_all(b: GraphBuilder, node: Node) -> Node | None:
    found = [rounding_of(b, name) for name in node.inputs]
    if len({(r.attrs["scale"], r.attrs["zero_point"]) if r else None for r in found}) > 1:
        raise Unsupported(
            "integers of several scales that are joined", "use DequantizeLinear before it"
        )
    return found[0]


ROWS = (ImportRow("fake_quantize", fake_quantize, "fake_quantize_per_tensor_affine"),)
