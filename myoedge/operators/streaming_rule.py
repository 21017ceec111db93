# SPDX-License-Identifier: Apache-2.0
"""Streaming rules of operators: the states passed from frame to frame, and the rate of the output
frames and the input frames of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode


@dataclass(frozen=True, slots=True)
class StreamState:
    """A state that an operator passes from frame to frame; its initial value is an operand.

    operand   position of that operand, which may be omitted
    name      name in reports and of tensors
    shape     shape of the state
    params    exact parameters of the state between frames; None: those of the result
    first     (QuantizedNode, initial state) -> its integers in `params`
    fill      QuantizedNode -> integer of the initial state if the operand is omitted
    scalars   constants that the operator gets if the operand has `params`
    last      operator that returns the state after the last frame; "": the last frame itself
    by_step   (this state, QuantizedNode) -> the state for that node's integer constants
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
        """Return the state with the quantisation parameters that a node's integer constants
        imply."""
        return self.by_step(self, step)


@dataclass(frozen=True, slots=True)
class OperandAxis:
    """One axis of one operand of a node: the argument of an operator's streaming rule.

    attrs     attributes of the node
    shapes    shapes of its inputs
    operand   position of the operand
    axis      index of the axis
    """

    attrs: Attrs
    shapes: Sequence[Shape]
    operand: int
    axis: int


@dataclass(frozen=True, slots=True)
class StreamingRule:
    """The input frames that an operator needs for the output frames of a stream.

    An operator makes `up` output frames of every `stride` input frames. Group j, the output frames
    from j * up on, needs `taps` input frames from j * stride - before on. Padding behind the last
    frame is not part of the rule: a stream has no last frame.

    axis      time axis of the result
    taps      input frames of a group
    stride    input frames from one group to the next
    up        output frames of a group
    before    left padding, in frames
    resized   number of output frames -> attributes for their unpadded input frames; None: unchanged
    fill      QuantizedNode -> integer value of padding frames
    carries   states passed from frame to frame
    """

    axis: int
    resized: Callable[[int], Attrs] | None = None
    taps: int = 1
    stride: int = 1
    up: int = 1
    before: int = 0
    fill: Callable[[QuantizedNode], int] = lambda step: 0
    carries: tuple[StreamState, ...] = ()

    @property
    def rate(self) -> Fraction:
        """Input frames per output frame."""
        return Fraction(self.stride, self.up)

    @property
    def is_by_frame(self) -> bool:
        """Whether each result frame depends on one operand frame only, of its own."""
        return self.taps == self.stride == self.up == 1 and not self.carries

    @property
    def anchored(self) -> bool:
        """Whether the results depend on the position in time, because padding or an initial state
        precedes frame 0."""
        return self.before > 0 or bool(self.carries)
