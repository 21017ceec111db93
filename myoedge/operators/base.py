# SPDX-License-Identifier: Apache-2.0
"""Operator definitions (OpDef), their table OPS, and nodes of quantised networks."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, cast

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.nest.ir import Nest
from myoedge.nest.reference import NestReference
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.weight_format import EIGHT_BITS, WeightFormat
from myoedge.operators.attributes import Values
from myoedge.operators.engine_choice import FASTEST, EngineChoice
from myoedge.operators.format import MOVES, Format
from myoedge.operators.integer_params import QuantizedParams as QuantizedParams
from myoedge.operators.integer_params import RequantParams as RequantParams
from myoedge.operators.kernel import Kernel, Source, Written
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Constants, Described, Kept, Operands, Result, Weights

WEIGHT_BITS_MIN = 2
FIELDS = ParamSpec("FIELDS")


@dataclass(frozen=True, slots=True)
class QuantizeInputs:
    """Arguments of an operator's `quantize`.

    attrs           attributes of the node
    shapes, out     shapes of the inputs and of the output
    input_params    quantisation parameters per input; None for weights that the operator quantises
    target          parameters of the requantised values (before a fused table, if there is one)
    constants       float values of constant inputs; None for computed ones
    weight_format   requested integer format of the weights
    unsigned_sums   whether the engine sums products of (input + 128) and cannot pre-shift
    formats         input index -> integer format in the model file, which must be kept
    """

    attrs: Attrs
    shapes: tuple[Shape, ...]
    out: Shape
    input_params: tuple[QuantParams | None, ...]
    target: QuantParams
    constants: tuple[Array | None, ...]
    weight_format: WeightFormat = EIGHT_BITS
    unsigned_sums: bool = False
    formats: Mapping[int, ConstantFormat] = field(default_factory=dict)

    def has_int16(self, operands: int = 1) -> bool:
        """Return whether the result or one of the first `operands` inputs is int16."""
        known = (*map(self.params, range(operands)), self.target)
        return any(q.element_type == INT16 for q in known)

    def params(self, index: int) -> QuantParams:
        params = self.input_params[index]
        assert params is not None, "operand without parameters"
        return params

    def constant(self, index: int) -> Array:
        value = self.constants[index]
        assert value is not None, "operand is not a constant"
        return value


if TYPE_CHECKING:
    from typing_extensions import TypeVar  # typing.TypeVar has defaults from Python 3.13 on

    P = TypeVar("P", bound=QuantizedParams, default=Any)
else:
    P = typing.TypeVar("P")


@dataclass(frozen=True)
class QuantizedNode(Generic[P]):
    """A node of the quantised network: the float node, its integer constants and operand shapes.

    operands        names of the tensors read as integers (weights are in `integers`)
    shapes, out     shapes of these operands and of the result
    integers        constants that the kernel reads
    low, high       saturation limits of requantised values
    element_type    element type of the result
    operand_types   element types of the operands; () if all are int8
    engine          requested engine
    behind          following node if one kernel computes both; its result has the node's name
    members         nodes that one kernel computes, the last of which is this one's; () for one
    stored          names of the members before the last one whose results the kernel writes, too
    turns           iterations of its loop that a call of its kernel computes
    as_data         whether numbers that follow from scales are data, equal C for all trainings
    is_traced       whether a kernel of several nodes writes this one's result in any case
    """

    node: Node
    operands: tuple[str, ...]
    shapes: tuple[Shape, ...]
    out: Shape
    integers: P
    low: int = -128
    high: int = 127
    element_type: ElementType = INT8
    engine: EngineChoice = FASTEST
    behind: QuantizedNode | None = None
    operand_types: tuple[ElementType, ...] = ()
    members: tuple[QuantizedNode, ...] = ()
    stored: tuple[str, ...] = ()
    turns: int = 1
    as_data: bool = False
    is_traced: bool = False

    @cached_property
    def reference(self) -> NestReference:
        """Return the operator's description for this node, ready to be computed."""
        meaning = OPS[self.node.op].meaning
        assert meaning is not None, f"{self.node.op} has no description"
        return NestReference.of(meaning(replace(self, as_data=False)))

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """Results that follow from the node, computed once; a changed copy starts without any."""
        return {}

    @cached_property
    def bound(self) -> int:
        """Return the largest |int32 intermediate| for any operands."""
        return OPS[self.node.op].integer.bound(self)

    @property
    def layers(self) -> tuple[QuantizedNode, ...]:
        """Nodes that it computes: the members of a chain, or itself."""
        return self.members or (self,)

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators that it computes: several for a chain."""
        return tuple(member.node.op for member in self.members) or (self.node.op,)

    @property
    def results(self) -> tuple[QuantizedNode, ...]:
        """Nodes whose results its kernel writes; the first one has the layer's own name."""
        own = self.members[-1] if self.members else self.behind or self
        return (own, *(member for member in self.members if member.node.name in self.stored))

    @property
    def written(self) -> tuple[str, ...]:
        """Names of the tensors that its kernel writes, its own first."""
        return tuple(result.node.name for result in self.results)

    @property
    def tensors(self) -> Mapping[Source, str]:
        """Names of the tensors that its kernel reads and writes, by the source of the operand."""
        read = dict[Source, str](enumerate(self.operands))
        return {**{Written(n): name for n, name in enumerate(self.written)}, **read}

    @property
    def attrs(self) -> Attrs:
        return self.node.attrs

    @property
    def table(self) -> Array | None:
        return self.integers.table

    def read_type(self, operand: int) -> ElementType:
        """Return the element type of an operand, by its position."""
        return self.operand_types[operand] if self.operand_types else INT8

    @property
    def has_int16(self) -> bool:
        """Return whether an operand, the weights or the result are int16."""
        weight = getattr(self.integers, "weight", None)
        has_wide = weight is not None and weight.dtype == INT16.dtype
        return has_wide or INT16 in (*self.operand_types, self.element_type)

    def wide_flags(self, *names: str) -> dict[str, int]:
        """Return C struct fields that tell which operands and results are int16 (1) or int8 (0).

        names   field names, first of the operands by position, then of the result
        """
        kinds = (*map(self.read_type, range(len(names) - 1)), self.element_type)
        return {f"{name}_wide": int(t == INT16) for name, t in zip(names, kinds, strict=True)}

    @property
    def weight_type(self) -> ElementType:
        """Element type in which the weights are stored: int8 or int16."""
        return ElementType.of(self._weight_of_input.dtype)

    @property
    def weight_bits(self) -> int:
        """Return the bits that the weights need in two's complement: 2 to 8, or 16; weights that
        need 8 or fewer may still be stored as int16, next to an int16 operand."""
        weight = self._weight_of_input
        low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
        needed = max(max(high, -low - 1).bit_length() + 1, WEIGHT_BITS_MIN)
        return needed if needed <= INT8.bits else self.weight_type.bits

    @property
    def _weight_of_input(self) -> Array:
        weight: Array = cast(Any, self.integers).weight
        return weight

    def requantize(self, acc: Array) -> Array:
        """Requantise int32 accumulators [..., channels], saturated at low and high."""
        assert isinstance(self.integers, RequantParams)
        return self.integers.requant.apply(acc, self.low, self.high, self.element_type)


@dataclass(frozen=True)
class OpDef:
    """Definition of an operator; everything else in myoedge is derived from it.

    name          name of the operator
    doc           what it computes, for `myoedge ops`
    attributes    attribute -> the values that it may have; OTHERS for any other name; a fused `act`
                  is allowed by `epilogue`
    shape         (attrs, *input shapes) -> output shape
    real          (attrs, *float arrays) -> float array: calibration and SQNR
    integer       (QuantizedNode, *integer arrays) -> integer array, bit-identical to the C code: a
                  description, or written by hand
    constants     the integers that its kernels read
    kernels       kernels that can run it; () if no code is emitted: the output is the input's bytes
    kernels_before   following operator -> kernels that run both as one layer
    weights       inputs that become integer constants
    operands      what it demands of the other inputs
    result        element type and range of its results
    epilogue      ends in a requantisation, so that an activation can be fused
    permute_rule  (attrs, permutation) -> attrs with which f(transpose(x)) = transpose(f(x)), or
                  None if there are none; None: never
    streaming_rule   OperandAxis -> rule along it; None: the operator needs the whole axis at once
    macs          (attrs, input shapes, output shape) -> multiply-accumulates; None: it makes none
    """

    name: str
    doc: str
    shape: Callable[..., Shape]
    real: Callable[..., Array]
    integer: Described | ByHand
    attributes: Mapping[str, Values] = field(default_factory=dict)
    constants: Constants = field(default_factory=Constants)
    kernels: tuple[Kernel, ...] = ()
    kernels_before: Mapping[str, tuple[Kernel, ...]] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    operands: Operands = field(default_factory=Operands)
    result: Result = field(default_factory=Result)
    epilogue: bool = False
    permute_rule: Callable[[Attrs, Sequence[int]], Attrs | None] | None = None
    streaming_rule: Callable[[OperandAxis], StreamingRule | None] = lambda at: None
    macs: Callable[[Attrs, Sequence[Shape], Shape], int] | None = None

    @property
    def meaning(self) -> Callable[[QuantizedNode], Nest] | None:
        """QuantizedNode -> description of the integer arithmetic; None: it is written by hand."""
        return self.integer.nest if isinstance(self.integer, Described) else None

    @property
    def view(self) -> bool:
        """Whether the output is the input's bytes under another shape."""
        return not self.kernels

    @property
    def same_scale(self) -> bool:
        """Whether inputs and output share scale and zero point."""
        return self.result.kept is not Kept.NOTHING

    @property
    def is_data_movement(self) -> bool:
        """Whether the output contains only input elements and constants."""
        return self.result.kept is Kept.ELEMENTS

    @cached_property
    def formats(self) -> tuple[Format, ...]:
        """Element types and weight bits that its kernels support."""
        if self.view:
            return (MOVES,)
        return tuple(dict.fromkeys(form for kernel in self.kernels for form in kernel.formats))


class OperatorTable(dict[str, OpDef]):
    """Operators by name. Errors: E257 for a name that no operator has."""

    def __missing__(self, name: str) -> OpDef:
        near = difflib.get_close_matches(name, self, 1)
        tries = [f'"{x}" in place of "{name}"' for x in near] or ["myoedge ops"]
        facts = {"needs": "the name of an operator that is defined", "has": name}
        raise MyoedgeError("E257", f"there is no operator {name}", facts, tries)


OPS: dict[str, OpDef] = OperatorTable()
_TABLES = [OPS]  # `register` adds to the last table


def is_taken(name: str) -> bool:
    """Return whether an operator has this name."""
    return any(name in table for table in _TABLES)


def register(op: OpDef) -> OpDef:
    """Add an operator to OPS when its module is imported. Errors: ValueError for a taken name."""
    if is_taken(op.name):
        raise ValueError(f"there is an operator {op.name} already: this one needs another name")
    _TABLES[-1][op.name] = op
    return op


def _register(make: Callable[FIELDS, OpDef]) -> Callable[FIELDS, OpDef]:
    return lambda *values, **fields: register(make(*values, **fields))


add_operator = _register(OpDef)  # registers an operator with these fields


def add_variant(op: OpDef, **fields: Any) -> OpDef:
    """Register an operator that differs from another one in some fields. Errors: of `register`."""
    return register(replace(op, **fields))


@contextmanager
def registered_together() -> Iterator[dict[str, OpDef]]:
    """Collect the operators that are registered inside this context; at the end, OPS gets all of
    them, or none if an exception was raised."""
    found: dict[str, OpDef] = {}
    _TABLES.append(found)
    try:
        yield found
    finally:
        _TABLES.pop()
    OPS.update(found)
