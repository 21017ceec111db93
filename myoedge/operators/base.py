# SPDX-License-Identifier: Apache-2.0
"""Operator definitions (OpDef), their table OPS, and nodes of quantised networks."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, cast

from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.nest.ir import Nest
from myoedge.nest.reference import NestReference
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams, ResultParams
from myoedge.numerics.weight_format import EIGHT_BITS, WeightFormat
from myoedge.operators.attributes import Values
from myoedge.operators.engine_choice import FASTEST, EngineChoice
from myoedge.operators.format import MOVES, Format
from myoedge.operators.integer_params import QuantizedParams as QuantizedParams
from myoedge.operators.integer_params import RequantParams as RequantParams
from myoedge.operators.kernel import Kernel
from myoedge.operators.learnt import NOTHING_LEARNT, Learnt
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule

WEIGHT_BITS_MIN = 2


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
    members         nodes that one generated kernel computes, the last of which is this one's; ()
                    for one node
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

    @cached_property
    def reference(self) -> NestReference:
        """Return the operator's description for this node, ready to be computed."""
        meaning = OPS[self.node.op].meaning
        assert meaning is not None, f"{self.node.op} has no description"
        return NestReference.of(meaning(self))

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators that it computes: several for a chain."""
        return tuple(member.node.op for member in self.members) or (self.node.op,)

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
        return ElementType.of(self._weight.dtype)

    @property
    def weight_bits(self) -> int:
        """Return the bits that the weights need in two's complement: 2 to 8, or 16; weights that
        need 8 or fewer may still be stored as int16, next to an int16 operand."""
        weight = self._weight
        low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
        needed = max(max(high, -low - 1).bit_length() + 1, WEIGHT_BITS_MIN)
        return needed if needed <= INT8.bits else self.weight_type.bits

    @property
    def _weight(self) -> Array:
        weight: Array = cast(Any, self.integers).weight
        return weight

    def requantize(self, acc: Array) -> Array:
        """Requantise int32 accumulators [..., channels], saturated at low and high."""
        assert isinstance(self.integers, RequantParams)
        return self.integers.requant.apply(acc, self.low, self.high, self.element_type)


def computed_by_meaning(step: QuantizedNode, *operands: Array) -> Array:
    """Compute an operator by its description."""
    return step.reference(*operands)


@dataclass(frozen=True, slots=True)
class OpDef:
    """Definition of an operator; everything else in myoedge is derived from it.

    shape      (attrs, *input shapes) -> output shape
    real       (attrs, *float arrays) -> float array: calibration and SQNR
    quantize   QuantizeInputs -> QuantizedParams
    meaning    QuantizedNode -> description of the integer arithmetic; None: `integer` is by hand
    integer    (QuantizedNode, *integer arrays) -> integer array, bit-identical to the C code; by
               default computed from `meaning`
    params     classes that `quantize` may return
    acc_bound  QuantizedNode -> largest |int32 intermediate| for any input, with the given weights
    kernels    kernels that can run it; () if no code is emitted
    kernels_before   following operator -> kernels that run both as one layer
    weights    positions of the inputs that `quantize` turns into QuantizedParams
    same_scale inputs and output share scale and zero point
    is_data_movement   the output contains only input elements and constants
    epilogue   ends in a requantisation, so that an activation can be fused
    permute_rule   (attrs, permutation) -> attrs with which f(transpose(x)) = transpose(f(x)), or
                   None if there are none; None: never
    reach      magnitude beyond which readers of the result saturate
    bounds     attributes -> range of results for any operands; None: unbounded
    view       output is the input's bytes under another shape
    out_dtype  element type of the output in the float graph: "float32", or an integer type
    fixed_params   parameters of the output if they do not depend on data
    params_of      attributes -> fixed parameters, if they depend on attributes
    result_params  element type -> the operator's own rule from the results' range to their
                   parameters; int8 parameters may be finer than `fixed_params`
    macs       (attrs, input shapes, output shape) -> multiply-accumulates; None: it makes none
    attributes attribute -> the values that it may have; a fused `act` is allowed by `epilogue`
    other_attributes   values of attributes not among them; None: a node has no others
    symmetric  positions of inputs whose zero point must be 0
    prefers_symmetric  positions of inputs that get zero point 0 if it hardly widens their range
    broadcast_inputs   input -> number of leading axes that may be broadcast; None: all axes
    first_states   positions of inputs with the initial state; results get their range, too
    multiplies_result   whether weights multiply earlier results (recurrent), of the result's type
    multiplicands  (attrs, *float operands) -> [groups, vectors, taps]: the vectors that multiply
                   rows of the first of `weights`, for operators with 2- to 7-bit weights
    compares_rows  whether results depend only on differences between elements of a row
    decodes    whether results are decoded symbols, to which class labels cannot be compared
    normalizes whether each result row is divided by its own magnitude
    reads_indices  whether it reads integers: an integer input, or classes from argmax
    reads      number of inputs whose values are read; later inputs only order execution; None: all
    in_loops   whether the result differs between iterations of a loop
    streaming_rule   OperandAxis -> rule along it; None: the operator needs the whole axis at once
    state_of   operator whose state after the last step it returns; on a stream it has the
               integers of that operator
    learnt     fields of QuantizedParams that depend on the values of weights, and their limits
    formats    element types and weight bits that its kernels support
    """

    name: str
    doc: str
    shape: Callable[..., Shape]
    real: Callable[..., Array]
    meaning: Callable[[QuantizedNode], Nest] | None = None
    integer: Callable[..., Array] = computed_by_meaning
    quantize: Callable[[QuantizeInputs], QuantizedParams] = lambda inputs: QuantizedParams()
    params: tuple[type[QuantizedParams], ...] = (QuantizedParams,)
    acc_bound: Callable[[QuantizedNode], int] = lambda step: 0
    kernels: tuple[Kernel, ...] = ()
    kernels_before: Mapping[str, tuple[Kernel, ...]] = field(default_factory=dict)
    weights: tuple[int, ...] = ()
    same_scale: bool = False
    is_data_movement: bool = False
    epilogue: bool = False
    permute_rule: Callable[[Attrs, Sequence[int]], Attrs | None] | None = None
    reach: float = math.inf
    bounds: Callable[[Attrs], tuple[float, float] | None] = lambda attrs: None
    view: bool = False
    out_dtype: str = "float32"
    fixed_params: QuantParams | None = None
    params_of: Callable[[Attrs], QuantParams] | None = None
    result_params: Mapping[ElementType, ResultParams] = field(default_factory=dict)
    macs: Callable[[Attrs, Sequence[Shape], Shape], int] | None = None
    symmetric: tuple[int, ...] = ()
    broadcast_inputs: Mapping[int, int | None] = field(default_factory=dict)
    prefers_symmetric: tuple[int, ...] = ()
    first_states: tuple[int, ...] = ()
    multiplies_result: bool = False
    multiplicands: Callable[..., Array] | None = None
    reads_indices: bool = False
    reads: int | None = None
    in_loops: bool = False
    compares_rows: bool = False
    decodes: bool = False
    normalizes: bool = False
    streaming_rule: Callable[[OperandAxis], StreamingRule | None] = lambda at: None
    state_of: str = ""
    learnt: Learnt = NOTHING_LEARNT
    attributes: Mapping[str, Values] = field(default_factory=dict)
    other_attributes: Values | None = None
    formats: tuple[Format, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = dict.fromkeys(form for kernel in self.kernels for form in kernel.formats)
        object.__setattr__(self, "formats", (MOVES,) if self.view else tuple(found))


OPS: dict[str, OpDef] = {}
_TABLES = [OPS]  # `register` adds to the last table


def register(op: OpDef) -> OpDef:
    """Add an operator to OPS when its module is imported.

    Errors: ValueError if an operator of this name exists.
    """
    if any(op.name in table for table in _TABLES):
        raise ValueError(f"there is an operator {op.name} already: this one needs another name")
    _TABLES[-1][op.name] = op
    return op


@contextmanager
def registered_together() -> Iterator[dict[str, OpDef]]:
    """Collect the operators that are registered inside this context.

    At the end, OPS gets all of them, or none if an exception was raised.
    """
    found: dict[str, OpDef] = {}
    _TABLES.append(found)
    try:
        yield found
    finally:
        _TABLES.pop()
    OPS.update(found)
