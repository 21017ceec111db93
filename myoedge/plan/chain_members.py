# SPDX-License-Identifier: Apache-2.0
"""Conditions for members of a chain, and the ways in which they read their operands."""

from __future__ import annotations

import math

from myoedge.graph.ir import Shape
from myoedge.nest.ir import Element
from myoedge.nest.parts import all_axes
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.engine_choice import AUTO, CORES
from myoedge.operators.products.packing import WeightedParams
from myoedge.operators.products.rows import is_small_product


def may_join(step: QuantizedNode) -> bool:
    """Return whether a layer has a description, is not fused otherwise, and may run on the cores;
    of layers with weights, small ones."""
    is_described = OPS[step.node.op].meaning is not None and step.behind is None
    may_run = is_described and step.engine.name in (AUTO, CORES)
    return may_run and (not isinstance(step.integers, WeightedParams) or is_small_product(step))


def joins_operands(step: QuantizedNode) -> bool:
    """Return whether a layer's result is elements of different operands, side by side."""
    meaning = OPS[step.node.op].meaning
    if meaning is None or len(step.operands) == 1:  # that of one has padding
        return False
    return any(array.outside is not None for array in meaning(step).operands)


def sums_along(reader: QuantizedNode, name: str, axis: int) -> bool:
    """Return whether a layer reads an operand in sums along an axis alone."""
    meaning = OPS[reader.node.op].meaning
    if meaning is None:
        return False
    nest = meaning(reader)
    arrays = [x for x, known in zip(nest.operands, reader.operands, strict=True) if known == name]
    read = [x for x in nest.parts if isinstance(x, Element) and x.array in arrays]
    return all(
        len(x.index) > axis and not any(own in nest.axes for own, _ in x.index[axis].terms)
        for x in read
    )


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
