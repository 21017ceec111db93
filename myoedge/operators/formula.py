# SPDX-License-Identifier: Apache-2.0
"""Definition of an operator from its formula: integer constants, description, bounds, kernels, and
rules of streams, transposes and files from elsewhere."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.nest.c_arrays import C_TYPES
from myoedge.nest.formulas import broadcast_axes, broadcast_index
from myoedge.nest.intervals import intervals
from myoedge.nest.ir import Nest, as_expr
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.attributes import OTHERS, SCALAR, number, optional
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, RequantParams
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import (
    broadcast_streaming_rule,
    last_axis_kept,
    same_attrs,
    with_requant,
)
from myoedge.operators.described import constant, operand, requantised, result
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.graph_builder import Unsupported
from myoedge.operators.learnt import BOUND, INTEGERS_32, NOTHING_LEARNT, REQUANT, Learnt
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Constants, Described, Operands, Weights

if TYPE_CHECKING:
    from myoedge.operators.elementwise_operator import ElementwiseOperator

FORMULAS: dict[str, Formula] = {}


class WrongReturn(TypeError):
    """Raised for a value returned by an operator's class that cannot be used."""


class Scaled:
    """Result of a formula's `quantize`.

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


@dataclass(frozen=True)
class Formula:
    """An operator's class, and what follows from it.

    name        name of the operator
    stated      the class
    constants   names of its integer constants
    inputs      number of its inputs
    weights     positions of the inputs that are constants
    params      class of its integer constants
    """

    name: str
    stated: type[ElementwiseOperator]
    constants: tuple[str, ...]
    inputs: int
    weights: tuple[int, ...]
    params: type[FormulaParams]

    @staticmethod
    def of(name: str, stated: type[ElementwiseOperator], constants: int) -> Formula:
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
        real = cast(Any, stated).real
        inputs = len(inspect.signature(real).parameters) - 1
        weights = tuple(range(inputs - constants, inputs))
        return Formula(name, stated, names, inputs, weights, cast(type[FormulaParams], params))

    def definition(self, doc: str, limits: Mapping[str, tuple[float, float]]) -> OpDef:
        def real(attrs: Attrs, *xs: Array) -> Array:
            made: Array = self._called("real", self.stated(attrs, None, None), xs)
            return made

        real.__module__ = self.stated.__module__
        return OpDef(
            name=self.name,
            doc=doc,
            shape=self.shape,
            real=real,
            integer=Described(self.meaning),
            constants=Constants(self.quantize, kinds=(self.params,), learnt=self.learnt),
            kernels=generated(*int16_where(LIMITED)),
            weights=Weights(self.weights),
            epilogue=True,
            permute_rule=last_axis_kept if self.weights else same_attrs,
            operands=Operands(broadcast=dict.fromkeys(self.operands)),
            streaming_rule=self.streaming_rule,
            attributes={
                **{name: optional(number(*span)) for name, span in limits.items()},
                OTHERS: optional(SCALAR),
            },
        )

    def _called(self, function: str, layer: ElementwiseOperator, arguments: Sequence[Any]) -> Any:
        """Return the result of a function of the class, which has no type of its own there."""
        return getattr(layer, function)(*arguments)

    @property
    def operands(self) -> tuple[int, ...]:
        """Positions of the inputs that are tensors."""
        return tuple(range(self.inputs - len(self.weights)))

    def shape(self, attrs: Attrs, *shapes: Shape) -> Shape:
        """Return the shape to which the operands broadcast.

        Errors: Unsupported if they do not, or if a constant is not one value or one per channel.
        """
        stated = ", ".join(str(list(shape)) for shape in shapes)
        try:
            out = tuple(map(int, np.broadcast_shapes(*(shapes[at] for at in self.operands))))
        except ValueError as refusal:
            raise Unsupported(f"{self.name} of shapes {stated}") from refusal
        if any(shapes[at] not in ((), (1,), out[-1:]) for at in self.weights):
            raise Unsupported(
                f"{self.name} of shapes {stated}: a constant has one value per channel"
            )
        return out

    def quantize(self, site: QuantizeInputs) -> FormulaParams:
        """Return the operator's constants, with those that requantise the formula's result."""
        made = self._called("quantize", self.stated(site.attrs, site, None), ())
        unit, constants = self._checked(made)
        zeros = np.array([site.params(at).zero_point for at in self.operands], np.int32)
        more: dict[str, Any] = {**constants, "zeros": zeros}
        bare = self.params(pre=0, mult=0, offset=0, shift=0, acc_bound=0, **more)
        bound = min(self.bound(site, bare), INT32_MAX)  # a layer beyond is refused (E117)
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
            array[broadcast_index(axes, array.shape)] - constant(step, "zeros", (at,))
            for at, array in enumerate(arrays)
        ]
        value = as_expr(self._called("nest", self.stated(step.attrs, None, step), values))
        return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), value)

    def meaning(self, step: QuantizedNode[FormulaParams]) -> Nest:
        nest = self.accumulator(step)
        return replace(nest, value=requantised(step, nest.value))

    @property
    def learnt(self) -> Learnt:
        if not self.weights:
            return NOTHING_LEARNT
        own = dict.fromkeys(self.constants, INTEGERS_32)
        return Learnt({**REQUANT, "acc_bound": BOUND, **own})

    def streaming_rule(self, at: OperandAxis) -> StreamingRule | None:
        """Return the rule of pointwise operators; None along the axis of constants."""
        rule, rank = broadcast_streaming_rule(at), max(map(len, at.shapes))
        along = rule.axis == rank - 1
        has_axis = any(at.shapes[w] not in ((), (1,)) for w in self.weights)
        return None if along and has_axis else rule


def _in_int32(values: Array) -> bool:
    return int(values.min(initial=0)) >= -INT32_MAX and int(values.max(initial=0)) <= INT32_MAX
