# SPDX-License-Identifier: Apache-2.0
"""Rules that several operators share: loop nests, shapes, bounds, permutations, streaming."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import NUMBERS, choose_requant
from myoedge.operators.base import LoopNest, OpDef, QuantizedNode, QuantizeInputs, RequantParams
from myoedge.operators.kernel import AffineExpr
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule

R = TypeVar("R", bound=RequantParams)
HIDDEN_BELOW = 2.0**29  # scores that a mask hides are so much less, in floats


def elementwise(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    """One loop per output dimension; inputs are broadcast."""
    axes = {f"i{d}": extent for d, extent in enumerate(out)}
    operands = {f"x{i}": broadcast_index(shape, out) for i, shape in enumerate(shapes)}
    return LoopNest(axes, {**operands, "y": broadcast_index(out, out)})


def like_first(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    """`nest` of operators whose result has the shape of the first input."""
    return elementwise(attrs, shapes[:1], out)


def by_output(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    """`nest` of copies: one read per output element, indexed by the output's loops."""
    return elementwise(attrs, [out], out)


def broadcast_index(shape: Shape, out: Shape, axis: str = "i") -> tuple[AffineExpr, ...]:
    """Return the index map of an operand that is broadcast to `out`, with one loop per dimension of
    `out`."""
    lead = len(out) - len(shape)
    return tuple(() if n == 1 else ((f"{axis}{lead + d}", 1),) for d, n in enumerate(shape))


def same_shape(attrs: Attrs, x: Shape, *_: Shape) -> Shape:
    """`shape` of operators whose output has the shape of their first input."""
    return x


def stored_bound(step: QuantizedNode) -> int:
    """`acc_bound` of operators that compute it in `quantize`."""
    return int(step.integers.acc_bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductParams(RequantParams):
    """Parameters of products of two computed operands; sums lose `drop` low bits before
    requantisation."""

    a_zero: int
    b_zero: int
    acc_bound: int
    drop: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CentredParams(RequantParams):
    """Parameters of sums of one operand minus its zero point, with a shift for int16."""

    x_zero: int
    acc_bound: int


def product_requant(inputs: QuantizeInputs, bound: int) -> ProductParams:
    """Quantise acc = sum (a - a_zero)(b - b_zero), |acc| <= bound, requantised once."""
    a, b = inputs.params(0), inputs.params(1)
    more = {"a_zero": a.zero_point, "b_zero": b.zero_point}
    return with_requant(ProductParams, inputs, a.scale * b.scale / inputs.target.scale, bound, more)


def sum_bound(x: QuantParams, count: int) -> int:
    """Return the largest |sum of x - x_zero| over a number of terms."""
    return count * (255 if x.element_type == INT8 else x.reach)


def with_requant(
    kind: type[R], inputs: QuantizeInputs, factor: float, bound: int, more: Mapping[str, Any]
) -> R:
    """Return parameters with the same requantisation factor for all outputs.

    kind     class of the parameters, which has a field acc_bound
    factor   from accumulators to the result
    bound    largest |acc|     more   other fields
    """
    r = choose_requant(factor, bound, inputs.target.zero_point, inputs.target.element_type)
    fields: dict[str, Any] = {name: int(getattr(r, name)) for name in NUMBERS}
    fields |= {**more, "pre": r.pre, "acc_bound": bound}
    return kind(**fields)


def as_in_floats(real: Callable[..., Array]) -> Callable[..., Array]:
    """Use a float implementation for integers, for operators that only move, compare or count."""

    @functools.wraps(real)
    def integer(step: QuantizedNode, *xs: Array) -> Array:
        return real(step.attrs, *xs)

    return integer


def last_axis_kept(attrs: Attrs, perm: Sequence[int]) -> Attrs | None:
    """Return the attributes after a permutation that keeps the last axis last; None otherwise."""
    return attrs if perm[-1] == len(perm) - 1 else None


def with_entry(attrs: Attrs, name: str, index: int, value: object) -> Attrs:
    """Return the attributes with one entry of a tuple attribute replaced."""
    entries = attrs[name]
    return {**attrs, name: (*entries[:index], value, *entries[index + 1 :])}


def same_attrs(attrs: Attrs, perm: Sequence[int]) -> Attrs:
    """`permute_rule` of pointwise operators: their attributes name no axes."""
    return attrs


def axis_permuted(attrs: Attrs, perm: Sequence[int]) -> Attrs:
    """`permute_rule` of operators along attrs["axis"]: the axis is renumbered."""
    return {**attrs, "axis": perm[attrs["axis"]]}


def broadcast_streaming_rule(at: OperandAxis) -> StreamingRule:
    """`streaming_rule` of pointwise operators with broadcasting: frame by frame along any axis."""
    return StreamingRule(at.axis + max(map(len, at.shapes)) - len(at.shapes[at.operand]))


def all_beside_axis(at: OperandAxis) -> StreamingRule | None:
    """`streaming_rule` of operators along attrs["axis"] of all operands: frame by frame along any
    other axis."""
    same = at.axis == at.attrs["axis"] % len(at.shapes[0])
    return None if same else StreamingRule(at.axis)


def stream_except_axis(at: OperandAxis) -> StreamingRule | None:
    """`streaming_rule` of operators along attrs["axis"] of their first operand only: frame by frame
    along any other axis."""
    return None if at.operand else all_beside_axis(at)


def stream_except_last_axis(at: OperandAxis) -> StreamingRule | None:
    """`streaming_rule` of operators along the last axis: frame by frame along any other axis."""
    last = at.axis == len(at.shapes[0]) - 1
    return None if last or at.operand else StreamingRule(at.axis)


def final_state(op: OpDef, **fields: Any) -> OpDef:
    """Return an operator that computes the state of another after its last step."""
    return replace(op, epilogue=False, streaming_rule=lambda at: None, **fields)


def masked_scores(attrs: Attrs, scores: Array, mask: Array) -> Array:
    """Lower hidden scores until exp is 0 if another key of the row is visible; -inf (outside a
    window) stays."""
    flat = np.where(np.isneginf(scores), scores, 0.0)
    base = flat if attrs.get("flat") else scores.astype(np.float64)
    return np.asarray(np.where(mask < 0.5, base - HIDDEN_BELOW, scores))
