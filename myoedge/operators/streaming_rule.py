# SPDX-License-Identifier: Apache-2.0
"""Operators on streams: states from frame to frame, and how much of a pass is new."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode


@dataclass(frozen=True, slots=True)
class StreamState:
    """State that an operator carries from frame to frame; its first value is an operand.

    operand   number of that operand; optional after the operator's other operands
    name      in reports and tensor names
    params    of the state between frames, exact; None: those of the result
    first     (QuantizedNode, the operand) -> its integers in `params`
    fill      QuantizedNode -> integer of all elements of the first state without such an operand
    scalars   of the operator if the operand has `params`
    last      operator that gives the state after the last frame; empty: that frame itself
    by_step   (this one, QuantizedNode) -> the state of an operator with these integers
    """

    operand: int
    name: str
    shape: Shape
    params: QuantParams | None
    first: Callable[[QuantizedNode, Array], Array] = lambda step, x: x
    fill: Callable[[QuantizedNode], int] = lambda step: 0
    scalars: Mapping[str, int] = field(default_factory=dict)
    last: str = ""
    by_step: Callable[[StreamState, QuantizedNode], StreamState] = lambda state, step: state

    def of(self, step: QuantizedNode) -> StreamState:
        """The state of an operator with these integers."""
        return self.by_step(self, step)


@dataclass(frozen=True, slots=True)
class OperandAxis:
    """An axis of an operand: attributes and input shapes of the node, index of the operand."""

    attrs: Attrs
    shapes: Sequence[Shape]
    operand: int
    axis: int


@dataclass(frozen=True, slots=True)
class StreamingRule:
    """Frames of an operand that make a frame of the result, along the time axis of a stream.

    axis      of the result that corresponds to the operand's time axis
    taps      number of operand frames of result frame j, from frame j * stride - before on
    before    padded frames before the first one that a result frame may read
    after    padded frames after the last one, which a stream does not have yet
    resized   number of result frames -> attributes for their operand frames only, unpadded; None:
              the node's attributes
    fill      QuantizedNode -> integer of the padded frames
    carries   states between frames
    """

    axis: int
    resized: Callable[[int], Attrs] | None = None
    taps: int = 1
    stride: int = 1
    before: int = 0
    behind: int = 0
    fill: Callable[[QuantizedNode], int] = lambda step: 0
    carries: tuple[StreamState, ...] = ()

    @property
    def anchored(self) -> bool:
        """Whether a pass has to begin with frame 0: padding or a first state comes before it."""
        return self.before > 0 or bool(self.carries)
