# SPDX-License-Identifier: Apache-2.0
"""Definition of an operator from its formula: integer constants, description, bounds, kernels, and
rules of streams, transposes and files from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.nest.formulas import broadcast_axes, broadcast_index
from myoedge.nest.intervals import intervals
from myoedge.nest.ir import Expr, Nest
from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import INT32_MAX
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
from myoedge.operators.integer_params import Scaled, as_integers
from myoedge.operators.stated_class import (
    StatedClass,
    faults_of_nest,
    faults_of_quantize,
    faults_of_real,
)
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import (
    BOUND,
    INTEGERS_32,
    NOTHING_LEARNT,
    REQUANT,
    Constants,
    Described,
    Learnt,
    Operands,
    Weights,
)

if TYPE_CHECKING:
    from myoedge.operators.api import ElementwiseOperator

FORMULAS: dict[str, Formula] = {}


@dataclass(frozen=True, kw_only=True)
class FormulaParams(RequantParams):
    """Integer constants of every operator that is a formula; a subclass has its own ones, as
    own_NAME, so that they may have any name.

    zeros       zero point of each operand, int32
    acc_bound   largest |result of the formula|
    """

    zeros: Array
    acc_bound: int


def field_of(constant: str) -> str:
    """Return the field of FormulaParams that has a constant of an operator's class."""
    return f"own_{constant}"


@dataclass(frozen=True)
class Formula:
    """An operator's class, and what follows from it.

    stated    the class
    weights   positions of the inputs that are constants
    params    class of its integer constants
    """

    stated: StatedClass
    weights: tuple[int, ...]
    params: type[FormulaParams]

    @staticmethod
    def of(stated: StatedClass) -> Formula:
        params = make_dataclass(
            f"{stated.stated.__name__}Params",
            [(name, Any) for name in map(field_of, stated.constants)],
            bases=(FormulaParams,),
            frozen=True,
            kw_only=True,
        )
        count = len(stated.inputs)
        weights = tuple(range(count - stated.weights, count))
        return Formula(stated, weights, cast(type[FormulaParams], params))

    @property
    def name(self) -> str:
        """Name of the operator."""
        return self.stated.name

    @property
    def constants(self) -> tuple[str, ...]:
        """Fields of its integer constants."""
        return tuple(map(field_of, self.stated.constants))

    def definition(self, doc: str, limits: Mapping[str, tuple[float, float]]) -> OpDef:
        def real(attrs: Attrs, *xs: Array) -> Array:
            known = all(isinstance(x, np.ndarray | np.generic) for x in xs)  # or names of ONNX
            shape = self.shape(attrs, *map(np.shape, xs)) if known else None
            made: Array = self.stated.call(
                "real", self._example_layer(attrs), xs, faults_of_real(shape)
            )
            return made

        real.__module__ = self.stated.stated.__module__
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

    def _example_layer(self, *site: Any) -> ElementwiseOperator:
        """Return an instance of the class: attributes, QuantizeInputs, and the layer."""
        layer: ElementwiseOperator = self.stated.stated(*site)
        return layer

    @property
    def operands(self) -> tuple[int, ...]:
        """Positions of the inputs that are tensors."""
        return tuple(range(len(self.stated.operands)))

    def shape(self, attrs: Attrs, *shapes: Shape) -> Shape:
        """Return the shape to which the operands broadcast.

        Errors: Unsupported if they do not, or if a constant is not one value or one per channel.
        """
        stated = ", ".join(str(list(shape)) for shape in shapes)
        try:
            out = tuple(map(int, np.broadcast_shapes(*(shapes[at] for at in self.operands))))
        except ValueError as refusal:
            raise Unsupported(f"{self.name} of shapes {stated}") from refusal
        for at in self.weights:
            if shapes[at] not in ((), (1,), out[-1:]):
                reason = f"{self.name} of shapes {stated}: a constant has one value per channel"
                reason += f", and channels are the last axis, {out[-1:] and out[-1]} here"
                raise Unsupported(reason, self._fitting_constant(shapes[at], out))
        return out

    def _fitting_constant(self, shape: Shape, out: Shape) -> str:
        """Return what to pass in place of a constant of another shape."""
        count = math.prod(shape)
        if count in (1, *out[-1:]):
            return f"the constant as .reshape({count})"
        if count in out:
            axis, (x, *_) = out.index(count), self.stated.operands
            moved = f"{x}.transpose({axis}, -1) and the constant as .reshape({count})"
            return f"{moved}, and .transpose({axis}, -1) of the result"
        return f"a constant of shape {list(out[-1:])} or [1]"

    def quantize(self, site: QuantizeInputs) -> FormulaParams:
        """Return the operator's constants, with those that requantise the formula's result."""
        made = self.scaled(site)
        own = {field_of(name): as_integers(x) for name, x in made.constants.items()}
        zeros = np.array([site.params(at).zero_point for at in self.operands], np.int32)
        more: dict[str, Any] = {**own, "zeros": zeros}
        bare = self.params(pre=0, mult=0, offset=0, shift=0, acc_bound=0, **more)
        bound = min(self.bound(site, bare), INT32_MAX)  # a layer beyond is refused (E117)
        return with_requant(self.params, site, float(made.unit) / site.target.scale, bound, more)

    def scaled(self, site: QuantizeInputs) -> Scaled:
        """Return what the class's `quantize` states, before its constants are rounded.

        Errors: E257; E111 for an attribute whose value leaves no unit.
        """
        try:
            return self._scaled(site)
        except MyoedgeError as error:
            for name in (x for x, y in site.attrs.items() if isinstance(y, int | float)):
                try:
                    self._scaled(replace(site, attrs={**site.attrs, name: 1.0}))
                except MyoedgeError:
                    continue
                raise self._attribute_error(name, site.attrs[name], error) from error
            raise

    def _scaled(self, site: QuantizeInputs) -> Scaled:
        right = faults_of_quantize(self.stated)
        made: Scaled = self.stated.call(
            "quantize", self._example_layer(site.attrs, site), (), right
        )
        return made

    def _attribute_error(self, name: str, value: Any, error: MyoedgeError) -> MyoedgeError:
        """Return E111 for a value of an attribute for which `quantize` has no result."""
        facts = {**dict(error.notice.facts), "attribute": f"{name} = {value}"}
        title = f"{self.name} cannot be built with {name} = {value}"
        low, high = (0.001, 1000) if value <= 0 else (0, value / 2)
        limit = f'limits={{"{name}": ({low:g}, {high:g})}} in its class statement'
        return MyoedgeError(
            "E111",
            title,
            facts,
            [f"another {name} in the model", f"to refuse it at import: {limit}"],
        )

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
        layer, right = self._example_layer(step.attrs, None, step), faults_of_nest(self.stated)
        value: Expr = self.stated.call("nest", layer, values, right)
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
