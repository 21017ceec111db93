# SPDX-License-Identifier: Apache-2.0
"""Queries of the kernel table: which tensors may be int16, and which weight bits are supported; and
kernels for the cores that are selected by a layer's size or element types.

A layer is given as its node, the shapes of its inputs and of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from myoedge.graph.ir import Graph, Node, Shape
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.operators.base import OPS
from myoedge.operators.format import ANY, INT8_ALONE, Format
from myoedge.operators.kernel import CLUSTER, NINE_CORES, Kernel, Tiling

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode


def _supported_types(node: Node, shapes: Sequence[Shape], out: Shape) -> list[Format]:
    return [form for form in OPS[node.op].formats if form.where.holds(node.attrs, shapes, out)]


def may_read(
    node: Node, index: int, kind: ElementType, shapes: Sequence[Shape], out: Shape
) -> bool:
    """Return whether some kernel can read input `index` with element type `kind`.

    shapes, out   shapes of the inputs and the result
    """
    return any(kind in form.of_operand(index) for form in _supported_types(node, shapes, out))


def may_write(node: Node, kind: ElementType, shapes: Sequence[Shape], out: Shape) -> bool:
    """Return whether some kernel can write results of element type `kind`."""
    return any(kind in form.writes for form in _supported_types(node, shapes, out))


def may_weigh(node: Node, bits: int, shapes: Sequence[Shape], out: Shape) -> bool:
    """Return whether some kernel supports weights of this many bits."""
    return any(bits in form.weights for form in _supported_types(node, shapes, out))


def operand_places(node: Node) -> list[int]:
    """Return the positions of a node's operands: inputs read at run time, without weights."""
    op = OPS[node.op]
    return [i for i in range(len(node.inputs))[: op.operands.read] if i not in op.weights.at]


def read_beside_int16(node: Node, index: int, shapes: Sequence[Shape], out: Shape) -> list[int]:
    """Return the positions of the operands that kernels with int16 input `index` read in either
    width."""
    wide = [f for f in _supported_types(node, shapes, out) if INT16 in f.of_operand(index)]
    return [
        i
        for i in operand_places(node)
        if i != index and any({INT8, INT16} <= {*form.of_operand(i)} for form in wide)
    ]


def layer_shapes(graph: Graph, node: Node) -> tuple[list[Shape], Shape]:
    """Return the shapes of a node's inputs and of its result."""
    return [graph.shape(name) for name in node.inputs], graph.shape(node.name)


def always_reads(node: Node, kind: ElementType) -> list[int]:
    """Return the positions of the inputs that every kernel reads with element type `kind` only."""
    forms = OPS[node.op].formats
    return [i for i in operand_places(node) if all(form.of_operand(i) == (kind,) for form in forms)]


def always_writes(op: str, kind: ElementType) -> bool:
    """Return whether every kernel of an operator writes results of element type `kind` only."""
    return all(form.writes == (kind,) for form in OPS[op].formats)


def weight_bits(op: str) -> frozenset[int]:
    """Return the weight widths in bits that an operator supports under some condition."""
    return frozenset(bits for form in OPS[op].formats for bits in form.weights)


def read_together(op: str) -> frozenset[int]:
    """Return the positions of the inputs that share the cost of int16: one int16 input costs as
    many cycles as if all of them are int16."""
    return frozenset(i for form in OPS[op].formats for i in form.together)


def format_rows() -> Iterator[tuple[str, ...]]:
    """Yield the rows of `myoedge ops --md` about formats: operators, engines, operands, weights,
    results, condition.

    Operators with equal formats and engines share a row.
    """
    names: dict[tuple[str, ...], list[str]] = {}
    for op in OPS.values():
        for form in op.formats:
            engines = dict.fromkeys(k.engine for k in op.kernels if form in k.formats)
            kinds = (_types_text(types) for types in form.reads)
            bits_text = (
                f"{form.weights[0]} to {form.weights[-1]}"
                if len(form.weights) > 1
                else "".join(map(str, form.weights))
            )
            row = (
                ", ".join(engines),
                "; then ".join(kinds),
                bits_text,
                _types_text(form.writes),
                form.where.text,
            )
            names.setdefault(row, []).append(op.name)
    return ((", ".join(f"`{name}`" for name in found), *row) for row, found in names.items())


def _types_text(types: Sequence[ElementType]) -> str:
    return "any" if types == ANY else ", ".join(map(str, types))


# The ninth core, the control core, joins each tile some hundred cycles late, after starting its
# transfers. With this many MACs, a tile is longer than nine times that.
NINE_CORES_MACS = 2**18


def low_scratch_fallback(
    tiling: Tiling, *formats: Format, accepts: Callable[[QuantizedNode], bool] = lambda node: True
) -> Kernel:
    """Return a slower kernel with little scratch, for layers whose other kernels need more scratch
    than fits in L1."""
    return Kernel(CLUSTER, tiling, accepts, formats or (INT8_ALONE,), fallback=True)


def has_int16(step: QuantizedNode) -> bool:
    """Return whether operand, weights or result are int16; used as `accepts` of an int16 kernel."""
    return step.has_int16


def by_width(tiling: Tiling, wide: Tiling, *formats: Format) -> tuple[Kernel, ...]:
    """Return two kernels for eight cores, one for int8 only and one for int16.

    tiling, wide   tiling of the int8 and of the int16 kernel
    formats        formats of the int16 kernel
    """
    return (
        Kernel(CLUSTER, tiling, lambda node: not node.has_int16),
        Kernel(CLUSTER, wide, has_int16, formats),
    )


def is_large(macs: int) -> bool:
    """Return whether a layer with this number of multiply-accumulates is faster on nine cores."""
    return macs >= NINE_CORES_MACS


def on_nine_cores(
    tiling: Tiling, large: Callable[[QuantizedNode], bool], *formats: Format
) -> tuple[Kernel, ...]:
    """Return two kernels, for eight cores and for nine.

    large     layer -> whether the kernel for nine cores runs it
    formats   formats of both kernels in addition to int8
    """
    return (
        Kernel(CLUSTER, tiling, lambda node: not large(node), formats),
        Kernel(NINE_CORES, tiling, large, formats),
    )
