# SPDX-License-Identifier: Apache-2.0
"""Replacement of ONNX sequences, which torch's legacy exporter writes for lists, by tensor
operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from myoedge.frontend.onnx.control_flow import stacked
from myoedge.frontend.onnx.fold import TensorType, attributes_of
from myoedge.frontend.onnx.state import Importing, keep
from myoedge.operators.graph_builder import Unsupported

if TYPE_CHECKING:
    from onnx import NodeProto

SEQUENCES = (
    "ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
    "SequenceInsert", "SequenceLength", "SplitToSequence",
)  # fmt: skip


def of_sequences(state: Importing, node: NodeProto) -> bool:
    """Return whether a node reads or computes an ONNX sequence."""
    known = any(name in state.sequences for name in node.input)
    return node.op_type in SEQUENCES or (known and node.op_type == "Identity")


def without_sequence(state: Importing, node: NodeProto) -> Iterator[NodeProto]:
    """Yield the nodes on tensors that replace a node on ONNX sequences; record the elements' names
    in state.sequences.

    Errors: Unsupported for computed sizes or positions, or elements that do not exist.
    """
    from onnx import helper

    output, parts, attrs = node.output[0], _sequence_elements(state, node), attributes_of(node)
    if node.op_type == "SplitToSequence":
        yield from _expand_split(state, node)
    elif node.op_type == "SequenceAt":
        at = _constant_position(state, node, 1, len(parts))
        if at == len(parts):
            raise Unsupported(f"part {at} of {len(parts)}")
        yield helper.make_node("Identity", [parts[at]], [output])
    elif node.op_type == "SequenceLength":
        keep(state, output, np.array(len(parts), np.int64))
    elif node.op_type == "ConcatFromSequence" and attrs.get("new_axis"):
        yield from stacked(state, [*parts], output, int(attrs["axis"]))
    elif node.op_type == "ConcatFromSequence":
        if not parts:
            raise Unsupported("a tensor without elements")
        yield helper.make_node("Concat", parts, [output], axis=int(attrs["axis"]))
    else:
        _record_elements(state, output, _changed_elements(state, node, parts))


def _sequence_elements(state: Importing, node: NodeProto) -> tuple[str, ...]:
    if node.op_type in ("SequenceConstruct", "SequenceEmpty", "SplitToSequence"):
        return ()
    if node.input[0] not in state.sequences:
        raise Unsupported("part 0 of 0")
    return state.sequences[node.input[0]]


def _changed_elements(state: Importing, node: NodeProto, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a sequence's elements after a node that creates or changes it."""
    if node.op_type == "SequenceConstruct":
        return tuple(node.input)
    if node.op_type == "SequenceInsert":
        at = _constant_position(state, node, 2, len(parts))
        return (*parts[:at], node.input[1], *parts[at:])
    if node.op_type == "SequenceErase":
        at = min(_constant_position(state, node, 1, len(parts)), len(parts) - 1)
        return (*parts[:at], *parts[at + 1 :])
    return parts


def _constant_position(state: Importing, node: NodeProto, index: int, count: int) -> int:
    """Read a constant position from input `index` of a node; `count`, the end, if it is omitted."""
    if len(node.input) <= index or not node.input[index]:
        return count
    if node.input[index] not in state.arrays:
        raise Unsupported("sizes or positions that are computed")
    position = int(state.arrays[node.input[index]])
    if not -count <= position <= count:
        raise Unsupported(f"part {position} of {count}")
    return position + count if position < 0 else position


def _record_elements(state: Importing, name: str, parts: tuple[str, ...]) -> None:
    state.sequences[name] = parts
    state.values[name] = TensorType(0, None)


def _expand_split(state: Importing, node: NodeProto) -> Iterator[NodeProto]:
    """Yield a Split node, and for keepdims = 0 a Squeeze of each part, that replace
    SplitToSequence."""
    from onnx import helper

    if any(name not in state.arrays for name in node.input[1:]):
        raise Unsupported("sizes or positions that are computed")
    attrs = attributes_of(node)
    shape, axis = state.values[node.input[0]].shape, int(attrs.get("axis", 0))
    if shape is None:
        raise Unsupported("a shape that is not known")
    sizes = _split_sizes(state, node, shape[axis])
    name = node.output[0]
    keep(state, f"{name}.sizes", np.array(sizes, np.int64))
    parts = tuple(f"{name}.{i}" for i in range(len(sizes)))
    yield helper.make_node("Split", [node.input[0], f"{name}.sizes"], parts, axis=axis)
    if len(node.input) > 1 or attrs.get("keepdims", 1):
        _record_elements(state, name, parts)
        return
    keep(state, f"{name}.axis", np.array([axis], np.int64))
    rows = tuple(f"{part}.row" for part in parts)
    for part, row in zip(parts, rows, strict=True):
        yield helper.make_node("Squeeze", [part, f"{name}.axis"], [row])
    _record_elements(state, name, rows)


def _split_sizes(state: Importing, node: NodeProto, length: int) -> list[int]:
    """Return the sizes of all parts of a split, from their list or the size of all but the last."""
    if len(node.input) == 1:
        return [1] * length
    given = state.arrays[node.input[1]]
    if given.ndim:
        return [int(n) for n in given]
    step = max(int(given), 1)
    return [min(step, length - at) for at in range(0, length, step)]
