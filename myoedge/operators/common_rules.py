# SPDX-License-Identifier: Apache-2.0
"""Rules that several operators share: shapes, bounds, permutations, streaming."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import NUMBERS, choose_requant
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizeInputs,
    RequantParams,
    add_operator,
    add_variant,
)
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Operands, Result, always

R = TypeVar("R", bound=RequantParams)
HIDDEN_BELOW = 2.0**29  # subtracted from hidden scores in floats

ROW_MAX = 2**15  # elements of a row of a softmax: their sum is below 2**31


def same_shape(attrs: Attrs, x: Shape, *_: Shape) -> Shape:
    """Return the shape of the first input, for operators whose output has the same shape."""
    return x


def row_products(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> int:
    """Return the multiply-accumulates of results that are sums over the last axis of the first
    operand."""
    return math.prod(out) * shapes[0][-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductParams(RequantParams):
    """Integer constants of products of two computed operands, such as matmul.

    a_zero, b_zero   zero points of the operands
    acc_bound        largest |sum of products|
    drop             low bits dropped from a sum before requantisation; None: none
    """

    a_zero: int
    b_zero: int
    acc_bound: int
    drop: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CentredParams(RequantParams):
    """Integer constants of sums of x - x_zero.

    x_zero      zero point of the input
    acc_bound   largest |sum|
    """

    x_zero: int
    acc_bound: int


def product_requant(inputs: QuantizeInputs, bound: int) -> ProductParams:
    """Return the constants for requantising acc = sum (a - a_zero)(b - b_zero).

    bound   largest |acc|
    """
    a, b = inputs.params(0), inputs.params(1)
    more = {"a_zero": a.zero_point, "b_zero": b.zero_point}
    return with_requant(ProductParams, inputs, a.scale * b.scale / inputs.target.scale, bound, more)


def sum_bound(x: QuantParams, count: int) -> int:
    """Return the largest possible |sum of (x - x_zero)| over `count` terms."""
    return count * (255 if x.element_type == INT8 else x.reach)


def with_requant(
    kind: type[R], inputs: QuantizeInputs, factor: float, bound: int, more: Mapping[str, Any]
) -> R:
    """Return parameters with one requantisation factor for all outputs.

    kind     class of the parameters; has a field acc_bound
    factor   real number that converts accumulators to output steps
    bound    largest |accumulator|
    more     values of the other fields of `kind`
    """
    r = choose_requant(factor, bound, inputs.target.zero_point, inputs.target.element_type)
    fields: dict[str, Any] = {name: int(getattr(r, name)) for name in NUMBERS}
    fields |= {**more, "pre": r.pre, "acc_bound": bound}
    return kind(**fields)


def as_in_floats(real: Callable[..., Array]) -> Callable[..., Array]:
    """Return an integer implementation that applies a float one to integers, for operators that
    only move, compare or count elements."""

    @functools.wraps(real)
    def integer(step: QuantizedNode, *xs: Array) -> Array:
        return real(step.attrs, *xs)

    return integer


def last_axis_kept(attrs: Attrs, perm: Sequence[int]) -> Attrs | None:
    """Return attributes with their axes renumbered by a permutation that leaves the last axis in
    place; None for other permutations."""
    return attrs if perm[-1] == len(perm) - 1 else None


def with_entry(attrs: Attrs, name: str, index: int, value: object) -> Attrs:
    """Return the attributes with entry `index` of the tuple attribute `name` replaced."""
    entries = attrs[name]
    return {**attrs, name: (*entries[:index], value, *entries[index + 1 :])}


def same_attrs(attrs: Attrs, perm: Sequence[int]) -> Attrs:
    """Return the attributes unchanged: `permute_rule` of pointwise operators, which name no
    axes."""
    return attrs


def axis_permuted(attrs: Attrs, perm: Sequence[int]) -> Attrs:
    """Return the attributes with attrs["axis"] renumbered: `permute_rule` of operators along an
    axis."""
    return {**attrs, "axis": perm[attrs["axis"]]}


def broadcast_streaming_rule(at: OperandAxis) -> StreamingRule:
    """Return the streaming rule of pointwise operators with broadcasting: frame by frame along any
    axis."""
    return StreamingRule(at.axis + max(map(len, at.shapes)) - len(at.shapes[at.operand]))


def all_beside_axis(at: OperandAxis) -> StreamingRule | None:
    """Return the streaming rule of operators along attrs["axis"] of all operands: frame by frame
    along any other axis; None along that axis."""
    same = at.axis == at.attrs["axis"] % len(at.shapes[0])
    return None if same else StreamingRule(at.axis)


def stream_except_axis(at: OperandAxis) -> StreamingRule | None:
    """Return the streaming rule of operators along attrs["axis"] of their first operand only: frame
    by frame along any other axis; None along that axis."""
    return None if at.operand else all_beside_axis(at)


def stream_except_last_axis(at: OperandAxis) -> StreamingRule | None:
    """Return the streaming rule of operators along the last axis: frame by frame along any other
    axis; None along the last one."""
    last = at.axis == len(at.shapes[0]) - 1
    return None if last or at.operand else StreamingRule(at.axis)


def without_time(attrs: Attrs, x: Shape, *_: Shape) -> Shape:
    """Return the shape of x without the axis attrs["axis"] (time)."""
    return (*x[: attrs["axis"]], *x[attrs["axis"] + 1 :])


def final_state(op: OpDef, *, fixed_params: QuantParams | None = None, **fields: Any) -> OpDef:
    """Register the operator that computes the final state of the recurrence `op`.

    fixed_params   parameters of the state, if they do not depend on data
    fields         fields of its OpDef that differ from those of `op`
    """
    own: dict[str, Any] = {
        "epilogue": False,
        "permute_rule": None,
        "streaming_rule": lambda at: None,
    }
    fixed = None if fixed_params is None else always(fixed_params)
    state = Result(fixed_params=fixed, state_of=op.name)
    return add_variant(op, result=state, **own, **fields)


def masked_scores(attrs: Attrs, scores: Array, mask: Array) -> Array:
    """Lower the scores of hidden keys so far that their exponentials are 0, in rows with a visible
    key; scores of -inf (outside a window) are unchanged.

    mask   1 for a visible key, 0 for a hidden one
    """
    flat = np.where(np.isneginf(scores), scores, 0.0)
    base = flat if attrs.get("flat") else scores.astype(np.float64)
    return np.asarray(np.where(mask < 0.5, base - HIDDEN_BELOW, scores))


def broadcast(attrs: Attrs, a: Shape, b: Shape) -> Shape:
    return tuple(int(n) for n in np.broadcast_shapes(a, b))


pairwise = partial(  # adds a pointwise operator on two broadcast tensors
    add_operator,
    shape=broadcast,
    epilogue=True,
    permute_rule=same_attrs,
    operands=Operands(broadcast={0: None, 1: None}),
    streaming_rule=broadcast_streaming_rule,
)
