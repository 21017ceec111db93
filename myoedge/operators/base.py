# SPDX-License-Identifier: Apache-2.0
"""Definitions of operators (OpDef) and their table OPS; nodes of a quantised network."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, cast

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node, Shape, Tensor
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import Requant
from myoedge.numerics.weight_format import EIGHT_BITS, WeightFormat
from myoedge.operators.format import MOVES, Format
from myoedge.operators.kernel import FASTEST, AffineExpr, EngineChoice, Kernel
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule

WEIGHT_BITS_MIN = 2


@dataclass(frozen=True, slots=True)
class LoopNest:
    """A perfect loop nest with the index maps of its operands.

    axes      loop -> extent, outermost first
    reduce    reduction loops
    operands  per operand, one affine expression per dimension: "t*2 + r" is (("t", 2), ("r", 1))
    """

    axes: Mapping[str, int]
    operands: Mapping[str, tuple[AffineExpr, ...]]
    reduce: frozenset[str] = frozenset()

    @property
    def iterations(self) -> int:
        return math.prod(self.axes.values())

    def footprint(self, operand: str, tile: Mapping[str, int] | None = None) -> Shape:
        """Return the extents of an operand that a tile of these sizes reads, halo included."""
        sizes = {**self.axes, **(tile or {})}
        return tuple(
            1 + sum((sizes[axis] - 1) * stride for axis, stride in dim)
            for dim in self.operands[operand]
        )


@dataclass(frozen=True, slots=True)
class QuantizeInputs:
    """Arguments of an operator's `quantize`.

    shapes     input shapes        out      output shape
    input_params   parameters of the inputs; None for weights that the operator quantises itself
    target     parameters of requantised values (before a fused table, if there is one)
    constants  float value of constant inputs, otherwise None
    weight_format   weight format of the layer's rule
    unsigned_sums   whether the engine sums products of inputs plus 128, without a pre-shift
    formats    per input, format of integers in the model file, which must be kept
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
        """Return whether one of the first operands or the result is int16."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedParams:
    """The integers that a kernel reads at run time.

    Each family has its own subclass: scalars are fields of its C struct, arrays its constants; None
    marks a value that these operands do not need.

    table   int8 [256] of a fused activation
    """

    table: Array | None = None

    @property
    def scalars(self) -> dict[str, int]:
        return {name: x for name, x in self._in_c() if not isinstance(x, np.ndarray)}

    @property
    def arrays(self) -> dict[str, Array]:
        return {name: x for name, x in self._in_c() if isinstance(x, np.ndarray)}

    def named(self, names: Iterable[str]) -> dict[str, Any]:
        """Return some fields, by name."""
        return {name: getattr(self, name) for name in names}

    def _in_c(self) -> Iterator[tuple[str, Any]]:
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self) if not f.metadata)
        return ((name, value) for name, value in pairs if value is not None)

    @classmethod
    def holds(cls, names: Iterable[str]) -> bool:
        """Return whether these names are valid fields that include all required ones."""
        has = {f.name: f.default is not MISSING or bool(f.metadata) for f in fields(cls)}
        return has.keys() >= {*names} >= {name for name, optional in has.items() if not optional}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequantParams(QuantizedParams):
    """Parameters with one requantisation of accumulators: Requant's fields."""

    pre: int
    mult: int | Array
    offset: int | Array
    shift: int | Array

    @property
    def requant(self) -> Requant:
        return Requant(self.pre, *map(np.asarray, (self.mult, self.offset, self.shift)))


if TYPE_CHECKING:
    from typing_extensions import TypeVar  # with a default, from Python 3.13 on typing's own

    P = TypeVar("P", bound=QuantizedParams, default=Any)
else:
    P = typing.TypeVar("P")


@dataclass(frozen=True, slots=True)
class QuantizedNode(Generic[P]):
    """One quantised operator: node, integers, and the shapes of the operands it still reads.

    operands   names of the inputs that are read as integers (weights are in `integers`)
    low, high  limits at which requantised values saturate
    element_type   element type of the result
    engine     requested engine
    operand_types   element types of the operands; () if all are int8
    behind     the only reader of the results, if one kernel computes both layers; its result's name
               is the node's name
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

    @property
    def attrs(self) -> Attrs:
        return self.node.attrs

    @property
    def table(self) -> Array | None:
        return self.integers.table

    def read_type(self, operand: int) -> ElementType:
        """Element type of an operand."""
        return self.operand_types[operand] if self.operand_types else INT8

    @property
    def has_int16(self) -> bool:
        """Return whether an operand or the result is int16."""
        return INT16 in (*self.operand_types, self.element_type)

    def wide_flags(self, *names: str) -> dict[str, int]:
        """Return flags for C structs, 1 for int16: of the first operands, then of the result."""
        kinds = (*map(self.read_type, range(len(names) - 1)), self.element_type)
        return {f"{name}_wide": int(t == INT16) for name, t in zip(names, kinds, strict=True)}

    @property
    def weight_type(self) -> ElementType:
        """Element type of stored weights."""
        return ElementType.of(self._weight.dtype)

    @property
    def weight_bits(self) -> int:
        """Return the bits of two's complement that the weights need: 2 to 8, or 16. Weights of up
        to 8 bits may still be stored as int16, for a 16-bit operand."""
        weight = self._weight
        low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
        needed = max(max(high, -low - 1).bit_length() + 1, WEIGHT_BITS_MIN)
        return needed if needed <= INT8.bits else self.weight_type.bits

    @property
    def _weight(self) -> Array:
        weight: Array = cast(Any, self.integers).weight
        return weight

    def requantize(self, acc: Array) -> Array:
        """Requantise int32 accumulators [..., channels] to the result's integers, saturated at low
        and high."""
        assert isinstance(self.integers, RequantParams)
        return self.integers.requant.apply(acc, self.low, self.high, self.element_type)


@dataclass(frozen=True, slots=True)
class ResultParams:
    """Parameters of results of one element type, by their range.

    of      largest magnitude -> parameters
    may_be  whether results may have given parameters, such as a file's
    """

    of: Callable[[float], QuantParams]
    may_be: Callable[[QuantParams], bool] = lambda params: True


@dataclass(frozen=True, slots=True)
class OpDef:
    """An operator, defined once.

    shape      (attrs, *input shapes) -> output shape
    nest       (attrs, input shapes, output shape) -> loops and operands
    real       (attrs, *float arrays) -> float array: calibration and SQNR
    quantize   QuantizeInputs -> QuantizedParams
    integer    (QuantizedNode, *integer arrays) -> integer array: same bits as the C
    params     classes of the results of `quantize`
    acc_bound  QuantizedNode -> largest |intermediate int32| for any input, with its weights
    kernels    kernels that can run it; () if no code is emitted
    kernels_before   following operator -> kernels that run both as one layer
    weights    positions of the inputs that `quantize` turns into QuantizedParams
    same_scale inputs and output share one pair of parameters
    is_data_movement   results are elements of the operands unchanged, or a constant around them
    epilogue   ends in a requantisation, so that an activation can be fused
    permute_rule   (attrs, permutation) -> attrs with which f(transpose(x)) = transpose(f(x)), or
                   None if there are none; None: never
    reach      magnitude beyond which readers of the result saturate
    bounds     attributes -> range of results for any operands; None: unbounded
    view       output is the input's bytes under another shape
    out_dtype  element type of the output in the float graph: "float32", or an integer type
    fixed_params   parameters of the output if they do not depend on data
    params_of      attributes -> fixed parameters, if they depend on attributes
    result_params  element type -> rule from the results' range to their parameters, if the operator
                   has its own; int8 parameters may be finer than `fixed_params`
    multiplies one multiply-accumulate per iteration of the nest
    products   (attrs, input shapes, output shape) -> multiply-accumulates, if `multiplies` is
               false
    symmetric  inputs whose zero point must be 0
    prefers_symmetric  inputs that get zero point 0 if that hardly widens their range
    broadcast_inputs   input -> number of leading axes that may be broadcast; None: all axes
    first_states   inputs that hold the initial state; results get their range, too
    multiplies_result   whether weights multiply earlier results, of the result's type, instead of
                        operands
    multiplicands  (attrs, *float operands) -> [groups, vectors, taps]: the vectors that multiply
                   rows of the first of `weights`, for operators with 2- to 7-bit weights
    compares_rows  whether results depend only on differences between elements of a row
    decodes    whether results are symbols of a decoder, which labels cannot be compared with
    normalizes whether results are rows divided by their own magnitude
    reads_indices  whether it reads integers: an integer input, or classes from argmax
    reads      number of inputs that it reads, the others only have to be computed before it; None:
               all
    in_loops   whether the result differs from step to step of a loop
    streaming_rule   OperandAxis -> rule along it; None: the operator needs the whole axis at once
    formats    formats of its kernels
    """

    name: str
    doc: str
    shape: Callable[..., Shape]
    nest: Callable[[Attrs, Sequence[Shape], Shape], LoopNest]
    real: Callable[..., Array]
    integer: Callable[..., Array]
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
    multiplies: bool = False
    products: Callable[[Attrs, Sequence[Shape], Shape], int] | None = None
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
    formats: tuple[Format, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = dict.fromkeys(form for kernel in self.kernels for form in kernel.formats)
        object.__setattr__(self, "formats", (MOVES,) if self.view else tuple(found))


OPS: dict[str, OpDef] = {}
_TABLES = [OPS]  # `register` fills the last


def register(op: OpDef) -> OpDef:
    """Add an operator to the table, once, when its module is imported.

    Errors: ValueError if its name is taken.
    """
    if any(op.name in table for table in _TABLES):
        raise ValueError(f"there is an operator {op.name} already: this one needs another name")
    if op.name != "TEMPLATE":  # is imported by checks of all modules, and no operator
        _TABLES[-1][op.name] = op
    return op


@contextmanager
def registered_together() -> Iterator[dict[str, OpDef]]:
    """Context manager: collect the operators registered inside, which may be replaced; at its end
    OPS gets all of them, or none if an error occurred."""
    found: dict[str, OpDef] = {}
    _TABLES.append(found)
    try:
        yield found
    finally:
        _TABLES.pop()
    OPS.update(found)


def kernels_of(step: QuantizedNode) -> tuple[Kernel, ...]:
    """Return the kernels of a layer, together with the fused layer after it if there is one."""
    op = OPS[step.node.op]
    return op.kernels if step.behind is None else op.kernels_before.get(step.behind.node.op, ())


def params_of(op: str, numbers: Mapping[str, Any]) -> QuantizedParams:
    """Build an operator's parameters from values by name. Errors: ValueError for unknown names."""
    kind = next((kind for kind in OPS[op].params if kind.holds(numbers)), None)
    if kind is None:
        raise ValueError(f"parameters that {op} does not have: {', '.join(sorted(numbers))}")
    return kind(**numbers)


def macs(node: Node, shapes: Sequence[Shape], out: Shape) -> int:
    """Multiply-accumulates of the model: padding taps count, SIMD padding does not."""
    op = OPS[node.op]
    if op.products is not None:
        return op.products(node.attrs, shapes, out)
    return op.nest(node.attrs, shapes, out).iterations if op.multiplies else 0


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements between neighbours along each dimension of a C-contiguous array."""
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def outer_inner(shape: Shape, axis: int) -> tuple[int, int, int]:
    """Return (product of extents before, extent, product after) an axis."""
    axis %= len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def output_of(node: Node, shapes: Sequence[Shape], dtype: str = "float32") -> Tensor:
    """Description of a node's output tensor from its inputs' shapes, and the first one's dtype."""
    op = OPS[node.op]
    kept = dtype if op.is_data_movement else op.out_dtype
    return Tensor(node.name, op.shape(node.attrs, *shapes), kept)


def own_params(node: Node) -> QuantParams | None:
    """Parameters that an operator fixes for its result, whatever the data; None if it fixes
    none."""
    op = OPS[node.op]
    return op.fixed_params if op.params_of is None else op.params_of(node.attrs)


def fixed_params(graph: Graph, name: str) -> QuantParams | None:
    """Fixed quantisation parameters of a tensor's producer, through operators that keep them."""
    node = graph.producer.get(name)
    while node is not None and OPS[node.op].same_scale:
        node = graph.producer.get(node.inputs[0])
    return None if node is None else OPS[node.op].fixed_params
