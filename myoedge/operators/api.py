# SPDX-License-Identifier: Apache-2.0
"""Names that an element-wise operator imports: docs/developers/adding-an-operator.md."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import (
    broadcast_axes,
    broadcast_index,
    clip,
    maximum,
    minimum,
    rounded_shift,
    where,
)
from myoedge.nest.ir import Array as NestArray
from myoedge.nest.ir import Expr, Lookup, Value, as_expr
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode, QuantizeInputs, register
from myoedge.operators.cases import uses
from myoedge.operators.described import constant, nest_constant
from myoedge.operators.formula import FORMULAS, Formula, field_of
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, weights
from myoedge.operators.import_rows import (
    Arguments,
    ImportRow,
    Row,
    argument_type,
    first,
    parse_signature,
    place_of_call,
)
from myoedge.operators.integer_params import Scaled
from myoedge.operators.stated_class import CAPITAL, StatedClass

# --- rows -----------------------------------------------------------------------------------------


def import_row(
    op: str, aten: str = "", onnx: str = "", *, only: Arguments | None = None
) -> ImportRow:
    """Return the row of calls whose arguments are an operator's inputs and attributes; inputs that
    it turns into integers must be parameters. A call with an argument that is not read is refused.

    aten   calls of PyTorch with the names of their arguments, "lerp.Scalar(self, end, *, weight)":
           the operator's inputs in their order, after the star its attributes, with the argument's
           name if that differs, "weight: alpha"
    onnx   as in ImportRow, with these names; without `aten`, the first one has those of attributes.
           An operator without a bracket has the arguments of `aten`
    only   an argument that is not read -> its value, {"reduction": 0}; by default None or False
    """
    place = place_of_call(2)
    names, signature = parse_signature(aten or onnx.partition(";")[0], place)
    operands = [argument.arg for argument in signature.args]
    attrs = {x.arg: argument_type(x, x.arg) if aten else x.arg for x in signature.kwonlyargs}
    row = _adding(op, operands, attrs, only or {})
    own = ", ".join([*operands, *(["*", *attrs.values()] if attrs else [])])
    named = filter(None, map(str.strip, onnx.split(";")))
    texts = [x if "(" in x else f"{x}({own})" for x in named]
    return ImportRow(op, row, names if aten else "", "; ".join(texts), place=place)


def _adding(op: str, operands: Sequence[str], attrs: Mapping[str, str], only: Arguments) -> Row:
    """Return an import function that adds an operator.

    operands   names of the call's tensors, in the order of the operator's inputs
    attrs      attribute -> name of the call's argument
    """
    read = {*operands, *attrs.values()}

    def row(b: GraphBuilder, a: Arguments, out: Any) -> str:
        tensors = [a[name] for name in operands]
        given = {name: a[argument] for name, argument in attrs.items()}
        _refuse_unread_arguments({x: a[x] for x in a if x not in read}, only)
        for at in OPS[op].weights.at:
            own = operands[at]
            weights(
                b, tensors[at], f"{own} of {op}", f"{own} as a buffer or parameter of the module"
            )
        return b.add(op, *tensors, **given)

    return row


def _refuse_unread_arguments(others: Arguments, only: Arguments) -> None:
    """Refuse arguments that a row does not read, unless they are None, False, private, or have the
    values in `only`."""
    wrong = [
        x
        for x, value in others.items()
        if x[0] != "_"
        and not (bool(value == only[x]) if x in only else value is None or value is False)
    ]
    if wrong:
        has = ", ".join(f"{x} = {others[x]!r}" for x in wrong)
        row = ", ".join(f'"{x}": {others[x]!r}' for x in wrong)
        unless = f"to accept this, if its operator computes it: only={{{row}}}"
        raise Unsupported(f"{has}, which its row does not read; {unless}")


# --- names ----------------------------------------------------------------------------------------


IN_QUANTIZE = "compute it in quantize, and return it as an annotated constant"
TABLE = 'self.lookup("{}", index) for a table'
CONSTANTS = "constants=1 in the class statement"
ACCUMULATOR_MAX = 2**30
Floats = Any  # of `real`: NumPy's functions are of many types
Constant = Expr  # in `nest`: a number, or the element of an array at the result's place


class NotThere(LookupError):
    """Raised for what a function of an operator's class does not have.

    instead   what it has
    """

    def __init__(self, reason: str, instead: str) -> None:
        super().__init__(reason)
        self.instead = instead


class ElementwiseOperator:
    """Base class of an operator that is a formula per element; a subclass registers it.

    name       name of the operator; by default dead_zone for a class DeadZone
    doc        what it computes, for `myoedge ops`; by default the first line of its docstring
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

    _operator: ClassVar[str]

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        doc: str = "",
        constants: int = 0,
        limits: Mapping[str, tuple[float, float]] | None = None,
        **others: Any,
    ) -> None:
        name = name or CAPITAL.sub("_", cls.__name__).lower()
        doc = doc or (cls.__doc__ or "").strip().partition("\n")[0]
        given = {"name": name, "doc": doc, "constants": constants, "limits": limits}
        place = sys._getframe(1)  # the class statement
        line = f"{Path(place.f_code.co_filename).name}:{place.f_lineno}"
        cls._operator = name
        stated = StatedClass(name, cls, ElementwiseOperator, constants)
        stated.check({**given, "others": others}, line)
        formula = Formula.of(stated)
        register(formula.definition(doc, limits or {}))
        FORMULAS[name] = formula

    def __init__(
        self, attrs: Attrs, site: QuantizeInputs | None = None, step: QuantizedNode | None = None
    ):
        self.attrs: Mapping[str, float] = attrs
        self._site, self._step = site, step
        # One array per constant that nest reads, however often: C has each once
        self._tables: dict[str, NestArray] = {}
        self._elements: dict[str, Value] = {}

    @property
    def as_data(self) -> bool:
        """Whether the constants are formulas in `nest`."""
        return self._step is not None and self._step.as_data

    def params(self, operand: int) -> QuantParams:
        """Return the quantisation parameters of an operand, in `quantize`."""
        found: QuantParams = _describe_input(self.site.input_params, operand, "params")
        return found

    def constant(self, operand: int) -> Array:
        """Return the values of a constant as float64, in `quantize`."""
        return np.asarray(_describe_input(self.site.constants, operand, "constant"), np.float64)

    @property
    def site(self) -> QuantizeInputs:
        """Arguments of `quantize`: shapes, parameters, values of constants."""
        if self._site is None:
            raise NotThere("only quantize has parameters and values of constants", IN_QUANTIZE)
        return self._site

    def multipliers(self, *factors: float | Array) -> tuple[float, list[Array]]:
        """Return what the operands of a weighted sum are multiplied by: (unit, numbers).

        factors   real factor of each operand: a number, or one per channel
        """
        operands = [*map(self.params, range(len(factors)))]
        return common_unit(
            *((factor * x.scale, x.reach) for factor, x in zip(factors, operands, strict=True))
        )

    def lookup(self, name: str, index: Expr) -> Expr:
        """Return the element of a constant of one dimension at a computed index, in `nest`."""
        values = self._input_values(name)
        if np.ndim(values) != 1:
            raise NotThere(f"{name} is a number, no table", f"self.{name}")
        table = self._tables.setdefault(name, nest_constant(name, values))
        return Lookup(table, as_expr(index))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        values, out = self._input_values(name), self._step.out if self._step else ()
        shape = np.shape(values)
        if shape not in ((), (1,), out[-1:]):
            needs = f"one integer, or one per channel of {list(out)}"
            raise NotThere(f"{name} has shape {list(shape)}, not {needs}", TABLE.format(name))
        index = broadcast_index(broadcast_axes(out), shape)
        own = constant(cast(QuantizedNode, self._step), field_of(name), index)
        return self._elements.setdefault(name, own)

    def _input_values(self, name: str) -> Any:
        stated = FORMULAS[self._operator].stated.constants
        if name not in stated:
            near = difflib.get_close_matches(name, stated, 1)
            reason = f"no constant {name}: annotated are {', '.join(stated) or 'none'}"
            raise NotThere(reason, f"self.{near[0]}" if near else f"{name}: Constant in the class")
        if self._step is None:
            raise NotThere(f"only nest has the constant {name}", IN_QUANTIZE)
        return getattr(self._step.integers, field_of(name))


def _describe_input(values: Sequence[Any], operand: int, function: str) -> Any:
    """Return what `quantize` knows of an input."""
    known = [at for at, value in enumerate(values) if value is not None]
    if operand not in known:
        has = ", ".join(map(str, known)) or "none"
        instead = f"self.{function}({known[0]})" if known else CONSTANTS
        raise NotThere(f"no {function}({operand}): there are {has}", instead)
    return values[operand]


def common_unit(*terms: tuple[float | Array, int]) -> tuple[float, list[Array]]:
    """Return what the terms of a sum are multiplied by, so that it stays in 32 bits: (unit of the
    sum, numbers, which are rounded where `quantize` returns them).

    terms   real value of one unit of a term (a number, or one per channel), and the largest
            magnitude of the term
    """
    largest = np.max(sum(np.abs(value) * reach for value, reach in terms))
    unit = max(float(largest), 1e-30) / ACCUMULATOR_MAX
    return unit, [np.asarray(value / unit, np.float64) for value, _ in terms]


__all__ = [
    "Arguments",
    "Array",
    "Constant",
    "ElementwiseOperator",
    "Expr",
    "Floats",
    "GraphBuilder",
    "ImportRow",
    "Scaled",
    "Unsupported",
    "clip",
    "common_unit",
    "first",
    "import_row",
    "maximum",
    "minimum",
    "rounded_shift",
    "uses",
    "weights",
    "where",
]
