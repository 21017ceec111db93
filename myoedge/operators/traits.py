# SPDX-License-Identifier: Apache-2.0
"""Parts of an operator's definition: its integer constants and arithmetic, and what is known of its
weights, operands and results.

Some integer constants follow from values of weights (Learnt). All others follow from attributes,
shapes and quantisation parameters, so that a build from elsewhere can be checked: they are computed
again (quantization/stored_numbers.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.intervals import largest
from myoedge.nest.ir import Nest
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import ElementType
from myoedge.numerics.quant_params import QuantParams, ResultParams
from myoedge.numerics.requant import INT32_MAX, MULT_MAX, PRE_MAX, SHIFT_MAX
from myoedge.operators.integer_params import QuantizedParams

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode, QuantizeInputs


Span = tuple[int, int]

INTEGERS_16: Span = (-(2**15), 2**15 - 1)
INTEGERS_32: Span = (-INT32_MAX - 1, INT32_MAX)
SYMMETRIC_32: Span = (-INT32_MAX, INT32_MAX)
BOUND: Span = (0, INT32_MAX)
SHIFT: Span = (0, SHIFT_MAX)
REQUANT: Mapping[str, Span] = {
    "pre": (0, PRE_MAX),
    "mult": (0, MULT_MAX),
    "offset": SYMMETRIC_32,
    "shift": SHIFT,
}


def any_fit(integers: Any, site: QuantizeInputs) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Learnt:
    """Fields of an operator's QuantizedParams that depend on the values of weights.

    ranges    field -> smallest and largest integer that its kernels take
    fits      (QuantizedParams, QuantizeInputs) -> whether these fields together stay inside the
              tables and the integers of its kernels, for any operands
    optional  fields that a stream adds for the operator that keeps the state
    varying   fields whose first axis is as long as the values of weights make it
    weights   shapes of the inputs -> weights by position from which `quantize` gives the other
              fields; those it does not return are ones
    """

    ranges: Mapping[str, Span] = field(default_factory=dict)
    fits: Callable[[Any, QuantizeInputs], bool] = any_fit
    varying: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    weights: Callable[[Sequence[Shape]], Mapping[int, Array]] = lambda shapes: {}


def inside(integers: Any, ranges: Mapping[str, Span]) -> bool:
    """Return whether all values of the fields in `ranges` are in their ranges."""
    limits = ((np.asarray(getattr(integers, name)), span) for name, span in ranges.items())
    return all(low <= int(x.min()) and int(x.max()) <= high for x, (low, high) in limits if x.size)


def requantised_fits(integers: Any, bound: Array | int) -> bool:
    """Return whether ((acc >> pre) * mult) + offset stays in int32.

    bound   largest |acc| per channel, or of all channels
    """
    mult, offset = (np.abs(np.asarray(x, np.int64)) for x in (integers.mult, integers.offset))
    most = ((np.asarray(bound, np.int64) >> integers.pre) + 1) * mult + offset
    return bool(most.max(initial=0) <= INT32_MAX)


def sums_fit(mult: Array, offset: Array, reach: int) -> bool:
    """Return whether sums of products of operands and `mult` [channels, ...], and an offset
    [channels], stay in int32 in any order.

    reach   largest |operand|
    """
    rows = np.abs(mult.astype(np.int64)).reshape(len(mult), -1).sum(axis=1)
    return bool((rows * reach + np.abs(offset.astype(np.int64))).max(initial=0) <= INT32_MAX)


NOTHING_LEARNT = Learnt()


@dataclass(frozen=True)
class Constants:
    """The integer constants of an operator, which its kernels read.

    quantize   QuantizeInputs -> QuantizedParams
    kinds      classes that `quantize` may return
    learnt     fields that depend on the values of weights, and their limits
    """

    quantize: Callable[[QuantizeInputs], QuantizedParams] = lambda inputs: QuantizedParams()
    kinds: tuple[type[QuantizedParams], ...] = (QuantizedParams,)
    learnt: Learnt = NOTHING_LEARNT


# --- integer arithmetic ---------------------------------------------------------------------------


def stored_bound(step: QuantizedNode) -> int:
    """Return the bound that the operator's `quantize` stored in its constants; 0 if it stored
    none."""
    return int(getattr(step.integers, "acc_bound", 0))


def computed(step: QuantizedNode, *operands: Array) -> Array:
    """Compute an operator from its description."""
    return step.reference(*operands).reshape(step.out)


@dataclass(frozen=True)
class Described:
    """Integer arithmetic that a description states.

    nest       QuantizedNode -> description, from which it is computed
    function   (QuantizedNode, *integer arrays) -> the same result, computed faster; None: there is
               none
    """

    nest: Callable[[QuantizedNode], Nest]
    function: Callable[..., Array] | None = None

    def __call__(self, step: QuantizedNode, *operands: Array) -> Array:
        return (self.function or computed)(step, *operands)

    def bound(self, step: QuantizedNode) -> int:
        """Return the largest magnitude of all intermediate values, for any operands."""
        return largest(self.nest(step))

    @property
    def stated(self) -> Callable[..., object]:
        """The function that states it."""
        return self.nest


@dataclass(frozen=True)
class ByHand:
    """Integer arithmetic that is written by hand.

    function   (QuantizedNode, *integer arrays) -> integer array, bit-identical to the C code
    bound      QuantizedNode -> largest |int32 intermediate| with its weights, for any operands
    """

    function: Callable[..., Array]
    bound: Callable[[QuantizedNode], int] = stored_bound

    def __call__(self, step: QuantizedNode, *operands: Array) -> Array:
        return self.function(step, *operands)

    @property
    def stated(self) -> Callable[..., object]:
        """The function that states it."""
        return self.function


# --- weights, operands and results ----------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """The inputs that `quantize` turns into integer constants.

    at              positions of these inputs
    multiplicands   (attrs, *float operands) -> [groups, vectors, taps]: the vectors that multiply
                    rows of the first of them, for operators with 2- to 7-bit weights
    multiply_result   whether they multiply earlier results (recurrent), of the result's type
    """

    at: tuple[int, ...] = ()
    multiplicands: Callable[..., Array] | None = None
    multiply_result: bool = False


@dataclass(frozen=True)
class Operands:
    """Inputs that an operator reads as tensors: demands on them, and what of them does not matter.

    read            number of inputs whose values are read; later ones only order execution; None:
                    all
    symmetric       positions of inputs whose zero point must be 0
    nearly_symmetric   positions of inputs that get zero point 0 if it hardly widens their range
    broadcast       input -> number of leading axes that may be broadcast; None: all axes
    first_states    positions of inputs with the initial state; results get their range, too
    are_indices     whether it reads integers: an integer input, or classes from argmax
    are_compared    whether results depend only on differences between elements of a row
    are_normalized  whether each result row is divided by its own magnitude
    """

    read: int | None = None
    symmetric: tuple[int, ...] = ()
    nearly_symmetric: tuple[int, ...] = ()
    broadcast: Mapping[int, int | None] = field(default_factory=dict)
    first_states: tuple[int, ...] = ()
    are_indices: bool = False
    are_compared: bool = False
    are_normalized: bool = False


def always(params: QuantParams) -> Callable[[Attrs], QuantParams]:
    """Return fixed parameters that do not depend on attributes."""
    return lambda attrs: params


class Kept(Enum):
    """The part of the first operand that a result keeps.

    SCALE      scale and zero point
    ELEMENTS   these, and it contains only elements of the operands and constants
    """

    NOTHING = "nothing"
    SCALE = "scale"
    ELEMENTS = "elements"


@dataclass(frozen=True)
class Result:
    """Element type and range of an operator's results.

    kept          what they keep of the first operand
    dtype         element type in the float graph: "float32", or an integer type
    reach         magnitude beyond which readers saturate
    bounds        attributes -> range of results for any operands; None: unbounded
    fixed_params  attributes -> parameters, which do not depend on data; None: they do
    rules         element type -> the operator's own rule from the results' range to their
                  parameters; int8 parameters may be finer than `fixed_params`
    are_symbols   whether they are decoded symbols, to which class labels cannot be compared
    state_of      operator whose state after the last step they are; on a stream they have the
                  integers of that operator
    """

    kept: Kept = Kept.NOTHING
    dtype: str = "float32"
    reach: float = math.inf
    bounds: Callable[[Attrs], tuple[float, float] | None] = lambda attrs: None
    fixed_params: Callable[[Attrs], QuantParams] | None = None
    rules: Mapping[ElementType, ResultParams] = field(default_factory=dict)
    are_symbols: bool = False
    state_of: str = ""
