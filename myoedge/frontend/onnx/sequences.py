# SPDX-License-Identifier: Apache-2.0
"""Sequences of tensors, as torch's legacy exporter writes tensor_split: nodes without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from myoedge.frontend.onnx.fold import Value, plain_attribute
from myoedge.frontend.onnx.state import Importing, keep
from myoedge.operators.graph_builder import Unsupported

if TYPE_CHECKING:
    from onnx import NodeProto

SEQUENCES = ("SplitToSequence", "SequenceAt")


def without_sequence(state: Importing, node: NodeProto) -> NodeProto:
    """Split for SplitToSequence, and Identity of a part for SequenceAt; state.sequences has the
    parts' names. Errors: Unsupported sizes or positions that are computed, parts without an axis.
    """
    from onnx import helper

    if any(name not in state.arrays for name in node.input[1:]):
        raise Unsupported("sizes or positions that are computed")
    if node.op_type == "SequenceAt":
        parts = state.sequences.get(node.input[0], ())
        position = int(state.arrays[node.input[1]])
        if not -len(parts) <= position < len(parts):
            raise Unsupported(f"part {position} of {len(parts)}")
        return helper.make_node("Identity", [parts[position]], node.output)
    attrs = {a.name: plain_attribute(a) for a in node.attribute}
    shape = state.values[node.input[0]].shape
    if shape is None or (len(node.input) < 2 and not attrs.get("keepdims", 1)):
        raise Unsupported("parts without the axis")
    axis = int(attrs.get("axis", 0))
    sizes = _sizes(shape[axis], state.arrays[node.input[1]] if len(node.input) > 1 else np.array(1))
    name = node.output[0]
    keep(state, f"{name}.sizes", np.array(sizes, np.int64))
    state.sequences[name] = tuple(f"{name}.{i}" for i in range(len(sizes)))
    state.values[name] = Value(0, None)
    parts = state.sequences[name]
    return helper.make_node("Split", [node.input[0], f"{name}.sizes"], parts, axis=axis)


def _sizes(length: int, given: np.ndarray) -> list[int]:
    """Sizes of all parts, from these or from one that all but the last part have."""
    if given.ndim:
        return [int(n) for n in given]
    step = max(int(given), 1)
    return [min(step, length - at) for at in range(0, length, step)]
