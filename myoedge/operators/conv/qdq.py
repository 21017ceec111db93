# SPDX-License-Identifier: Apache-2.0
"""Export of convolutions as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

from myoedge.operators.base import QuantizedNode
from myoedge.operators.qdq import Write, Writer, channels_first, channels_last, weights


def _conv(w: Writer, step: QuantizedNode, x: str) -> str:
    rank, attrs = len(step.out), step.attrs
    weight, bias = weights(w, step, [0, rank - 1, *range(1, rank - 1)])
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


WRITE: Mapping[str, Write] = {"conv": _conv}
