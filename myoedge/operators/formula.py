# SPDX-License-Identifier: Apache-2.0
"""Operators that are one formula per element: a class with the functions `real`, `quantize` and
`nest`; constants, bounds, kernels, both widths and rules follow from them.

    class Gains(ElementwiseOperator, name="gains", doc="x * factors", weights=(1,)):
        gain: Constant  # int16 [C]

        def real(self, x: Array, factors: Array) -> Array:
            return x * factors

        def quantize(self) -> Scaled:
            step = float(np.abs(self.constant(1)).max()) / 32767
            gain = np.rint(self.constant(1) / step).astype(np.int16)
            return Scaled(self.params(0).scale * step, gain=gain)

        def nest(self, x: Expr) -> Expr:
            return x * self.gain
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from typing import Any, cast

import numpy as np

from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.nest.c import C_TYPES
from myoedge.nest.formulas import broadcast_axes, broadcast_index
from myoedge.nest.intervals import intervals, largest
from myoedge.nest.ir import Expr as Expr
from myoedge.nest.ir import Lookup, Nest, as_expr
from myoedge.numerics.arrays import Array as Array
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, RequantParams, register
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import (
    broadcast_streaming_rule,
    elementwise,
    last_axis_kept,
    same_attrs,
    with_requant,
)
from myoedge.operators.described import constant, nest_constant, operand, requantised, result
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.learnt import BOUND, INTEGERS_32, NOTHING_LEARNT, REQUANT, Learnt
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule

ACCUMULATOR_MAX = 2**30
FORMULAS: dict[str, Formula] = {}


Constant = Any  # in `nest`: a number, or the element of an array


class WrongReturn(TypeError):
    """What a function of an operator's class returned cannot be used."""


class Scaled:
    """What a formula's `quantize` returns.

    unit        real value of one unit of the formula's result, > 0
    constants   integer constants by name: numbers, or arrays that broadcast to the result
    """

    def __init__(self, unit: float, **constants: int | Array) -> None:
        self.unit, self.constants = float(unit), constants


@dataclass(frozen=True, kw_only=True)
class FormulaParams(RequantParams):
    """Integer constants of every operator that is a formula; a subclass has its own ones.

    zeros       zero point of each operand, int32
    acc_bound   largest |result of the formula|
    """

    zeros: Array
    acc_bound: int


class ElementwiseOperator:
    """Base class of an operator that is a formula per element; a subclass registers it.

    name      name of the operator
    doc       what it computes, for docs/ops.md
    weights   positions of the inputs that are constants, of one value or one per channel
    limits    attribute -> its smallest and largest value

    A subclass has annotations, the names of its integer constants, and three functions:
        real(self, *arrays)    floats -> floats
        quantize(self)         -> Scaled: the meaning of one unit of `nest`, and the constants
        nest(self, *operands)  integers minus their zero points -> formula of the result
    An instance is the operator in one layer: its attributes `attrs`, in `quantize` also parameters
    of operands and values of constants, in `nest` the integer constants under their names: a
    number, or the element of an array at the result's place.
    """

    def __init_subclass__(
        cls,
        *,
        name: str,
        doc: str,
        weights: tuple[int, ...] = (),
        limits: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        formula = FORMULAS[name] = Formula.of(name, cls, weights)
        register(formula.definition(doc, limits or {}))

    def __init__(self, attrs: Attrs, site: QuantizeInputs | None, step: QuantizedNode | None):
        self.attrs, self._site, self._step = attrs, site, step

    def params(self, operand: int) -> QuantParams:
        """Return the quantisation parameters of an operand, in `quantize`."""
        return self.site.params(operand)

    def constant(self, operand: int) -> Array:
        """Return the float values of a constant, in `quantize`."""
        return self.site.constant(operand)

    @property
    def site(self) -> QuantizeInputs:
        """Everything that is known in `quantize`."""
        assert self._site is not None, "only quantize has parameters and values of constants"
        return self._site

    def multipliers(self, *factors: float) -> tuple[float, list[int]]:
        """Return what the operands of a weighted sum are multiplied by: (unit, integers).

        factors   real factor of each operand
        """
        operands = [*map(self.params, range(len(factors)))]
        terms = [factor * x.scale for factor, x in zip(factors, operands, strict=True)]
        reach = sum(abs(term) * x.reach for term, x in zip(terms, operands, strict=True))
        unit = max(reach, 1e-30) / ACCUMULATOR_MAX
        return unit, [round(term / unit) for term in terms]

    def lookup(self, name: str, index: Expr) -> Expr:
        """Return the element of a constant of one dimension at a computed index, in `nest`."""
        return Lookup(nest_constant(name, self._values(name)), index)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._step is None:
            raise AttributeError(f"{type(self).__name__} has no {name} here")
        axes = broadcast_axes(self._step.out)
        index = broadcast_index(axes, np.shape(self._values(name)))
        return constant(self._step, name, index)

    def _values(self, name: str) -> Any:
        assert self._step is not None, "only nest has the integer constants"
        return getattr(self._step.integers, name)


@dataclass(frozen=True)
class Formula:
    """An operator's class, and what follows from it.

    name        name of the operator
    stated      the class
    constants   names of its integer constants
    weights     positions of the inputs that are constants
    params      class of its integer constants
    """

    name: str
    stated: type[ElementwiseOperator]
    constants: tuple[str, ...]
    weights: tuple[int, ...]
    params: type[FormulaParams]

    @staticmethod
    def of(name: str, stated: type[ElementwiseOperator], weights: tuple[int, ...]) -> Formula:
        if lacking := [x for x in ("real", "quantize", "nest") if x not in vars(stated)]:
            raise TypeError(f"the class {stated.__name__} has no function {lacking[0]}")
        names = tuple(vars(stated).get("__annotations__", {}))
        params = make_dataclass(
            f"{stated.__name__}Params",
            [(name, Any) for name in names],
            bases=(FormulaParams,),
            frozen=True,
            kw_only=True,
        )
        return Formula(name, stated, names, weights, cast(type[FormulaParams], params))

    def definition(self, doc: str, limits: Mapping[str, tuple[float, float]]) -> OpDef:
        def real(attrs: Attrs, *xs: Array) -> Array:
            made: Array = self._called("real", self.stated(attrs, None, None), xs)
            return made

        real.__module__ = self.stated.__module__
        return OpDef(
            name=self.name,
            doc=doc,
            shape=self.shape,
            nest=elementwise,
            real=real,
            meaning=self.meaning,
            quantize=self.quantize,
            params=(self.params,),
            acc_bound=self.acc_bound,
            kernels=generated(*int16_where(LIMITED)),
            weights=self.weights,
            learnt=self.learnt,
            epilogue=True,
            permute_rule=last_axis_kept if self.weights else same_attrs,
            broadcast_inputs=dict.fromkeys(self.operands),
            streaming_rule=self.streaming_rule,
            limits=limits,
        )

    def _called(self, function: str, layer: ElementwiseOperator, arguments: Sequence[Any]) -> Any:
        """Return the result of a function of the class, which has no type of its own there."""
        return getattr(layer, function)(*arguments)

    @property
    def operands(self) -> tuple[int, ...]:
        """Positions of the inputs that are tensors."""
        stated: Any = self.stated
        count = len(inspect.signature(stated.real).parameters) - 1
        return tuple(at for at in range(count) if at not in self.weights)

    def shape(self, attrs: Attrs, *shapes: Shape) -> Shape:
        """Return the shape to which operands and constants broadcast.

        Errors: ValueError if they do not, or if a constant has more than one axis.
        """
        if deep := [shapes[at] for at in self.weights if len(shapes[at]) > 1]:
            raise ValueError(f"a constant {list(deep[0])}, which may have one axis")
        tensors = [shapes[at] for at in self.operands]
        out = tuple(map(int, np.broadcast_shapes(*tensors)))
        if np.broadcast_shapes(out, *shapes) != out:
            raise ValueError(f"constants that do not have one value, or one per channel of {out}")
        return out

    def quantize(self, site: QuantizeInputs) -> FormulaParams:
        """Return the operator's constants, with those that requantise the formula's result."""
        made = self._called("quantize", self.stated(site.attrs, site, None), ())
        unit, constants = self._checked(made)
        zeros = np.array([site.params(at).zero_point for at in self.operands], np.int32)
        more: dict[str, Any] = {**constants, "zeros": zeros}
        bare = self.params(pre=0, mult=0, offset=0, shift=0, acc_bound=0, **more)
        bound = min(self.bound(site, bare), INT32_MAX)  # beyond, `acc_bound` refuses the layer
        return with_requant(self.params, site, unit / site.target.scale, bound, more)

    def _checked(self, made: Any) -> tuple[float, dict[str, int | Array]]:
        """Return unit and constants that the class's `quantize` returned. Errors: WrongReturn."""
        if not isinstance(made, Scaled):
            raise WrongReturn(f"quantize of {self.name} returned a {type(made).__name__}")
        if sorted(made.constants) != sorted(self.constants):
            named = ", ".join(made.constants) or "no constants"
            raise WrongReturn(f"quantize of {self.name} returned {named}, not its annotated ones")
        if not (math.isfinite(made.unit) and made.unit > 0):
            raise WrongReturn(f"quantize of {self.name} returned the unit {made.unit}")
        return made.unit, {name: self._integers(name, x) for name, x in made.constants.items()}

    def _integers(self, name: str, value: Any) -> int | Array:
        """Return a constant as an int, or as an array of int8, int16 or int32."""
        values = np.asarray(value)
        if values.dtype.kind not in "iub" or not _in_int32(values):
            raise WrongReturn(f"{name} of {self.name} is {value}, not integers of 32 bits")
        if values.ndim == 0:
            return int(values)
        return values if values.dtype.name in C_TYPES else values.astype(np.int32)

    def bound(self, site: QuantizeInputs, integers: FormulaParams) -> int:
        """Return the largest |result of the formula|, before requantisation."""
        nest = self.accumulator(self.step(site, integers))
        return max(map(abs, intervals(nest)[id(nest.value)]))

    def step(self, site: QuantizeInputs, integers: FormulaParams) -> QuantizedNode:
        """Return the layer that a site describes."""
        names, y = tuple(f"x{at}" for at in self.operands), site.target.element_type
        return QuantizedNode(
            Node(self.name, names, ("y",), site.attrs),
            names,
            tuple(site.shapes[at] for at in self.operands),
            site.out,
            integers,
            y.low,
            y.high,
            y,
            operand_types=tuple(site.params(at).element_type for at in self.operands),
        )

    def accumulator(self, step: QuantizedNode[FormulaParams]) -> Nest:
        """Describe the formula of centred operands, without requantisation."""
        axes = broadcast_axes(step.out)
        arrays = tuple(operand(step, at) for at in range(len(step.operands)))
        values = [
            array[broadcast_index(axes, array.shape)] - int(zero)
            for array, zero in zip(arrays, step.integers.zeros, strict=True)
        ]
        value = as_expr(self._called("nest", self.stated(step.attrs, None, step), values))
        return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), value)

    def meaning(self, step: QuantizedNode[FormulaParams]) -> Nest:
        nest = self.accumulator(step)
        return replace(nest, value=requantised(step, nest.value))

    def acc_bound(self, step: QuantizedNode) -> int:
        return largest(self.meaning(step))

    def fits(self, integers: FormulaParams, site: QuantizeInputs) -> bool:
        """Return whether all values stay in int32, and all indices inside their tables."""
        return largest(self.meaning(self.step(site, integers))) <= INT32_MAX

    @property
    def learnt(self) -> Learnt:
        if not self.weights:
            return NOTHING_LEARNT
        own = dict.fromkeys(self.constants, INTEGERS_32)
        return Learnt({**REQUANT, "acc_bound": BOUND, **own}, self.fits)

    def streaming_rule(self, at: OperandAxis) -> StreamingRule | None:
        """Return the rule of pointwise operators; None along the axis of constants."""
        rule, rank = broadcast_streaming_rule(at), max(map(len, at.shapes))
        along = rule.axis == rank - 1
        has_axis = any(at.shapes[w] not in ((), (1,)) for w in self.weights)
        return None if along and has_axis else rule


def _in_int32(values: Array) -> bool:
    return int(values.min(initial=0)) >= -INT32_MAX and int(values.max(initial=0)) <= INT32_MAX
