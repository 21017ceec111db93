# SPDX-License-Identifier: Apache-2.0
"""Operators that are one formula per element: a class with the functions `real`, `quantize` and
`nest`, from which everything else follows.

    class Gains(ElementwiseOperator, name="gains", doc="x * factors", constants=1):
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

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import broadcast_axes, broadcast_index
from myoedge.nest.ir import Expr, Lookup
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode, QuantizeInputs, register
from myoedge.operators.described import constant, nest_constant
from myoedge.operators.formula import FORMULAS, Formula

ACCUMULATOR_MAX = 2**30
Constant = Expr  # in `nest`: a number, or the element of an array at the result's place


class ElementwiseOperator:
    """Base class of an operator that is a formula per element; a subclass registers it.

    name       name of the operator
    doc        what it computes, for docs/ops.md
    constants  number of inputs, the last ones, that are constants: one value, or one per channel
    limits     attribute -> its smallest and largest value

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
        constants: int = 0,
        limits: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        formula = FORMULAS[name] = Formula.of(name, cls, constants)
        register(formula.definition(doc, limits or {}))

    def __init__(self, attrs: Attrs, site: QuantizeInputs | None, step: QuantizedNode | None):
        self.attrs: Mapping[str, float] = attrs
        self._site, self._step = site, step

    def params(self, operand: int) -> QuantParams:
        """Return the quantisation parameters of an operand, in `quantize`."""
        return self.site.params(operand)

    def constant(self, operand: int) -> Array:
        """Return the float values of a constant, in `quantize`."""
        return self.site.constant(operand)

    @property
    def site(self) -> QuantizeInputs:
        """Arguments of `quantize`: shapes, parameters, values of constants."""
        assert self._site is not None, "only quantize has parameters and values of constants"
        return self._site

    def multipliers(self, *factors: float) -> tuple[float, list[int]]:
        """Return what the operands of a weighted sum are multiplied by: (unit, integers).

        factors   real factor of each operand
        """
        operands = [*map(self.params, range(len(factors)))]
        return common_unit(
            *((factor * x.scale, x.reach) for factor, x in zip(factors, operands, strict=True))
        )

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


def common_unit(*terms: tuple[float, int]) -> tuple[float, list[int]]:
    """Return what the terms of a sum are multiplied by, so that it stays in 32 bits: (unit of the
    sum, integers).

    terms   real value of one unit of a term, and its largest magnitude
    """
    unit = max(sum(abs(value) * reach for value, reach in terms), 1e-30) / ACCUMULATOR_MAX
    return unit, [round(value / unit) for value, _ in terms]
