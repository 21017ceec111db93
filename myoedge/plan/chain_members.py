# SPDX-License-Identifier: Apache-2.0
"""Conditions for members of a chain, and the ways in which they read their operands."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set

from myoedge.graph.ir import Shape
from myoedge.nest.ir import Affine, Element, Nest, Reduced
from myoedge.nest.nodes import all_axes, depending
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.engine_choice import AUTO, CORES
from myoedge.operators.library.packing import WeightedParams
from myoedge.operators.library.rows import may_join_product


def may_join(step: QuantizedNode) -> bool:
    """Return whether a layer has a description, is not fused otherwise, and may run on the cores;
    of layers with weights, small ones."""
    is_described = OPS[step.node.op].meaning is not None and step.behind is None
    may_run = is_described and step.engine.name in (AUTO, CORES)
    return may_run and (not has_weights(step) or may_join_product(step))


def has_weights(step: QuantizedNode) -> bool:
    return isinstance(step.integers, WeightedParams)


def joins_operands(step: QuantizedNode) -> bool:
    """Return whether a layer's result is elements of different operands, side by side."""
    meaning = OPS[step.node.op].meaning
    if meaning is None or len(step.operands) == 1:  # that of one has padding
        return False
    return any(array.outside is not None for array in meaning(step).operands)


def has_sums(step: QuantizedNode) -> bool:
    """Return whether a layer's description reduces axes."""
    return any(isinstance(part, Reduced) for part in _loop_nest_of(step).parts)


def moves_operand(reader: QuantizedNode, names: Set[str]) -> bool:
    """Return whether a layer reads other elements of one of these operands than those of the
    operand's own loops."""
    nest = _loop_nest_of(reader)
    own = [axis.at for axis in nest.axes if axis.extent > 1]
    return any(
        [i for i, n in zip(x.index, x.array.shape, strict=True) if n > 1] != own
        for x in _elements_read(nest, reader, names)
    )


def reads_rows(reader: QuantizedNode, names: Set[str]) -> bool:
    """Return whether a layer reads these operands element by element, and in rows: along a reduced
    axis in the place of one of its own, for a reduction that all elements along that one have in
    common. A linear layer reads rows too, but once for each of its results."""
    nest = _loop_nest_of(reader)
    own = [axis.at for axis in nest.axes]
    read = _elements_read(nest, reader, names)
    return all(_is_own_row(x.index, own) and not _is_read_by_reduction(x, nest) for x in read)


def _is_read_by_reduction(element: Element, nest: Nest) -> bool:
    """Return whether a reduction of a row depends on the axis of the result in its place, too."""
    places = zip(element.index, nest.axes, strict=True)
    replaced = [axis for i, axis in places if i != axis.at]
    uses = [
        id(x)
        for x in nest.parts
        if isinstance(x, Element) and any(axis in replaced for i in x.index for axis, _ in i.terms)
    ]
    reached = depending(nest.parts, {id(element)}) & depending(nest.parts, {*uses})
    return any(isinstance(x, Reduced) and id(x) in reached for x in nest.parts)


def _is_own_row(index: Sequence[Affine], own: Sequence[Affine]) -> bool:
    """Return whether an index is that of an element, or of its row along a reduced axis."""
    if len(index) != len(own):
        return False
    moved = [(i, j) for i, j in zip(index, own, strict=True) if i != j]
    is_axis = all((i.low, i.high, len(i.terms)) == (0, j.high, 1) for i, j in moved)
    return len(moved) <= 1 and is_axis


def sums_along(reader: QuantizedNode, names: Set[str], axis: int) -> bool:
    """Return whether a layer reads these operands in sums along an axis alone."""
    nest = _loop_nest_of(reader)
    return all(
        len(x.index) > axis and not any(own in nest.axes for own, _ in x.index[axis].terms)
        for x in _elements_read(nest, reader, names)
    )


def _loop_nest_of(step: QuantizedNode) -> Nest:
    meaning = OPS[step.node.op].meaning
    assert meaning is not None, "members of chains are described"
    return meaning(step)


def _elements_read(nest: Nest, reader: QuantizedNode, names: Set[str]) -> list[Element]:
    """Return the elements of operands that a layer reads."""
    arrays = [x for x, known in zip(nest.operands, reader.operands, strict=True) if known in names]
    return [x for x in nest.parts if isinstance(x, Element) and x.array in arrays]


def sums_each_once(step: QuantizedNode, shape: Shape) -> bool:
    """Return whether a layer sums all elements of its one operand, each once.

    shape   of the operand
    """
    meaning = OPS[step.node.op].meaning
    if meaning is None or len(step.operands) > 1 or math.prod(shape) <= math.prod(step.out):
        return False
    nest = meaning(step)
    extents = [axis.extent for axis in all_axes(nest)]
    return math.prod(extents) == math.prod(shape) and len(extents) > len(nest.axes)
