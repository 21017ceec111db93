# SPDX-License-Identifier: Apache-2.0
"""Streaming rules of operators: states between frames, and the frames that a pass needs."""

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
    """A state that an operator passes from frame to frame; its initial value is an operand.

    operand   index of that operand, which may be omitted
    name      its name in reports and tensor names
    params    exact parameters of the state between frames; None: the result's
    first     (QuantizedNode, initial state) -> its integers in `params`
    fill      QuantizedNode -> integer of the initial state if the operand is omitted
    scalars   fields of the operator if the operand has `params`
    last      operator that returns the state after the last frame; "": the last frame itself
    by_step   (this state, QuantizedNode) -> the state for an operator with these integers
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
        """Return the state for an operator with these integers."""
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
    """The input frames that an operator needs for each output frame of a stream.

    axis      time axis of the result
    taps      input frames of output frame j: j * stride - before, and the next taps - 1
    stride    input frames from one output frame to the next
    before    left padding, in frames
    behind    right padding in frames (look-ahead), which a stream does not have yet
    resized   number of output frames -> attributes for their unpadded input frames; None: unchanged
    fill      QuantizedNode -> integer value of padding frames
    carries   states passed from frame to frame
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
        """Whether a pass has to begin with frame 0, because padding or an initial state precedes
        it."""
        return self.before > 0 or bool(self.carries)
