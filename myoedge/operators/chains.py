# SPDX-License-Identifier: Apache-2.0
"""Element-wise layers that one generated function computes: their formulas joined into one.

For `add` then `tanh` of int8 tensors: y = table[clip((a * 3 + b * 5 + 7) >> 4, -128, 127) + 128].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.nest.c import C_TYPES, LOOPS_MAX, CKernel, c_kernel, result_names, shared_loop
from myoedge.nest.flat import FlatNest
from myoedge.nest.formulas import broadcast_axes, constant_element, in_axes, matched_axes
from myoedge.nest.intervals import in_int32
from myoedge.nest.ir import (
    Affine,
    Array,
    Element,
    Expr,
    Lookup,
    Nest,
    walk,
)
from myoedge.nest.parts import is_in_place
from myoedge.nest.rebuild import with_elements
from myoedge.nest.simplify import simplified
from myoedge.numerics.arrays import strides
from myoedge.numerics.element_type import INT8, ElementType
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams
from myoedge.operators.described import nest_constant, written_shape
from myoedge.operators.elementwise.tiling import axes_of
from myoedge.operators.format import WORDS, Format
from myoedge.operators.kernel import (
    CLUSTER,
    AffineExpr,
    Fields,
    Kernel,
    Operand,
    Region,
    Sizes,
    TiledKernel,
    Written,
    on_cluster,
)
from myoedge.targets.chip import Engine, KernelCost

CUT = 3  # number of outer loops that may be tiled
# Cycles of a row's start, a tile, a layer's first tile and, in it, of code per cycle of an element.
ROW_CYCLES, TILE_CYCLES, LAYER_CYCLES, CODE_CYCLES = 10.0, 220.0, 60.0, 6.0


@dataclass(frozen=True, eq=False)
class ChainNest:
    """The description of a chain of layers.

    flat       its loops; its results are those of the step
    operands   operand of each read of the loops: its position in the step; None for a constant
    labels     id of a part -> the layer whose result it is
    """

    flat: FlatNest
    operands: tuple[int | None, ...]
    labels: Mapping[int, str]


@dataclass(frozen=True, eq=False, kw_only=True)
class ChainParams(QuantizedParams):
    """The description of a chain, in place of an operator's integer constants.

    chain   joint description of the members, whose constants are literals
    """

    chain: ChainNest = field(metadata={"in_c": False})


def chain_step(
    members: Sequence[QuantizedNode], stored: Sequence[str] = ()
) -> QuantizedNode | None:
    """Return neighbouring layers as one; None if they cannot be one loop.

    members   layers in order
    stored    names of those whose results are written, in addition to the last one's; only members
              read the results of all others
    """
    last = members[-1]
    operands = _chain_operands(members)
    origin = tuple(dict.fromkeys(x for member in members for x in member.node.origin))
    step = replace(
        last,
        node=last.node.but(origin=origin),
        operands=tuple(name for name, _, _ in operands),
        shapes=tuple(shape for _, shape, _ in operands),
        operand_types=tuple(kind for _, _, kind in operands),
        members=tuple(members),
        stored=tuple(stored),
    )
    chain = chain_nest(step)
    return None if chain is None else replace(step, integers=ChainParams(chain=chain))


def _chain_operands(members: Sequence[QuantizedNode]) -> list[tuple[str, Shape, ElementType]]:
    """Return what members read from outside of the chain, each operand once."""
    own = {member.node.name for member in members}
    read = [
        (name, member.shapes[at], member.read_type(at))
        for member in members
        for at, name in enumerate(member.operands)
    ]
    return [x for x in dict.fromkeys(read) if x[0] not in own]


def chain_nest(step: QuantizedNode) -> ChainNest | None:
    """Return the joint description of a chain's members; None if one has no element-wise
    description, or a value may leave int32."""
    reads = _Reads(step)
    if (values := _values(step, reads)) is None:
        return None
    shape = written_shape(step)
    axes = broadcast_axes(shape)
    index = tuple(axis.at for axis in axes)
    own, *more = [
        (Array(name, node.element_type.dtype.name, shape), values[node.node.name])
        for name, node in zip(result_names(len(step.results)), step.results, strict=True)
    ]
    nest = Nest(axes, reads.arrays, own[0], index, own[1], tuple(more))
    flat = FlatNest.of(nest)
    if flat is None or not _has_kernel(flat):
        return None
    position = {id(array): at for at, array in enumerate(reads.arrays)}
    operands = tuple(position.get(id(read.array)) for read in flat.reads)
    named = {id(values[x.node.name]): x.node.op for x in reversed(step.members[:-1])}
    return ChainNest(flat, operands, named)


def _values(step: QuantizedNode, reads: _Reads) -> dict[str, Expr] | None:
    """Return each member's result as a simplified formula of the chain's operands; None if one has
    no element-wise description."""
    values: dict[str, Expr] = {}
    for member in step.members:
        value = _member_value(step, member, values, reads)
        if value is None:
            return None
        values[member.node.name] = value
    made = simplified(*(values[node.node.name] for node in step.results))
    return {name: made.get(id(value), value) for name, value in values.items()}


def _has_kernel(flat: FlatNest) -> bool:
    """Return whether C can be generated: few loops in memory order, known types, all values in
    int32."""
    types = {read.array.dtype for read in flat.reads}
    in_order = all(read.blocks(steps_of(flat, n)) for n, read in enumerate(flat.reads))
    few = in_order and len(flat.loops) <= LOOPS_MAX
    return few and types <= {*C_TYPES} and in_int32(flat.nest)


def steps_of(flat: FlatNest, number: int) -> list[int]:
    """Return the element step of a read per iteration of each loop."""
    return [loop.steps[number] for loop in flat.loops]


class _Reads:
    """Elements of a chain's operands, each (array, index) once, so that it is loaded once."""

    def __init__(self, step: QuantizedNode) -> None:
        types = [step.read_type(at).dtype.name for at in range(len(step.operands))]
        shapes = zip(types, step.shapes, strict=True)
        self.arrays = tuple(Array(f"x{n}", kind, shape) for n, (kind, shape) in enumerate(shapes))
        self.by_name = {
            (name, array.shape): array
            for name, array in zip(step.operands, self.arrays, strict=True)
        }
        self.elements: dict[tuple[str, Shape, tuple[Affine, ...]], Expr] = {}

    def element(self, name: str, part: Element) -> Expr:
        """Return the element of operand `name` at the index of a member's element."""
        array = self.by_name[name, part.array.shape]
        key = (name, part.array.shape, part.index)
        return self.elements.setdefault(key, array[part.index])


def _member_value(
    step: QuantizedNode, member: QuantizedNode, known: Mapping[str, Expr], reads: _Reads
) -> Expr | None:
    """Return a member's result as a formula of the chain's operands; None without an element-wise
    description.

    known   results of members before it
    reads   elements of the chain's operands
    """
    nest = _description(step, member)
    if nest is None:
        return None
    names = {id(array): name for array, name in zip(nest.operands, member.operands, strict=True)}
    elements = (part for part in walk(nest.value) if isinstance(part, Element))
    own = [part for part in elements if names.get(id(part.array)) in known]
    if not all(is_in_place(part, nest.axes) for part in own):
        return None

    axes = matched_axes(nest.axes, broadcast_axes(written_shape(step))) or {}

    def load(part: Element) -> Expr:
        name = names.get(id(part.array), "")
        if name in known:
            return known[name]
        moved = in_axes(part, axes)
        return reads.element(name, moved) if name else constant_element(moved)

    return _looked_up(member, with_elements(nest.value, load))


def _looked_up(member: QuantizedNode, value: Expr) -> Expr:
    """Return a member's result with its fused activation."""
    if member.table is None:
        return value
    return Lookup(nest_constant("table", member.table), value - INT8.low)


def _description(step: QuantizedNode, member: QuantizedNode) -> Nest | None:
    """Return the description of a member that computes the elements of the chain's results in
    order; None without one."""
    meaning = OPS[member.node.op].meaning
    if meaning is None or member.behind or member.members:
        return None
    nest = meaning(member)
    in_order = nest.at == tuple(axis.at for axis in nest.axes)
    axes = matched_axes(nest.axes, broadcast_axes(written_shape(step)))
    return nest if in_order and axes is not None else None


# --- the kernel -----------------------------------------------------------------------------------


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a chain, or of one described operator: a generated function."""
    chain = step.integers.chain if step.members else chain_nest(replace(step, members=(step,)))
    assert chain is not None, f"{step.node.op} is not element-wise"
    flat, text = chain.flat, c_kernel(chain.flat, chain.labels)
    axes, dims = axes_of(flat.loops)
    streams = zip(text.pointers, flat.streams, strict=True)
    inputs = [_operand(name, chain, stream, dims) for name, stream in streams]
    tables = [Operand.whole(name, array.known) for name, array in text.tables.items()]
    results = _results(step, text, flat, dims)
    return TiledKernel(
        function=text.name,
        axes=axes,
        split=tuple(name for name in axes if name.startswith("i"))[:CUT],
        operands=(*inputs, *tables, *results),
        op={name: f"@{name}" for name in text.tables} or {"unused": 0},
        tile=lambda regions: _tile(regions, flat, text),
        work=lambda sizes: chain_cycles(flat, results[0], sizes, text.cycles, engine.cores),
        sources=text.files,
        cost=KernelCost(1.0, TILE_CYCLES, LAYER_CYCLES + CODE_CYCLES * text.cycles),
    )


def _results(
    step: QuantizedNode, text: CKernel, flat: FlatNest, dims: Sequence[AffineExpr]
) -> list[Operand]:
    shape = tuple(loop.extent for loop in flat.loops)
    return [
        Operand(name, Written(n), shape, tuple(dims), itemsize=node.element_type.size_bytes)
        for n, (name, node) in enumerate(zip(text.results, step.results, strict=True))
    ]


def _operand(
    name: str, chain: ChainNest, stream: Sequence[int], dims: Sequence[AffineExpr]
) -> Operand:
    """Return an array of the loops as an operand with one dimension per loop that moves it, and one
    of the arrays if there are several."""
    reads, source = [chain.flat.reads[number] for number in stream], chain.operands[stream[0]]
    read, steps = reads[0], steps_of(chain.flat, stream[0])
    blocks = read.blocks(steps)
    assert blocks is not None, "a chain reads its operands in memory order"
    index = tuple(dim for dim, step in zip(dims, steps, strict=True) if step) or ((),)
    shape = blocks.shape or (1,)
    whole = Operand(name, name, shape, index, blocks.start, np.dtype(read.array.dtype).itemsize)
    if source is not None:
        return replace(whole, source=source)
    if len(reads) == 1:
        return replace(whole, array=read.array.known)
    array = np.stack([x.array.known.reshape(-1) for x in reads], -1)
    return replace(whole, shape=(*shape, len(reads)), dims=(*index, ()), first=(), array=array)


def _tile(regions: Mapping[str, Region], flat: FlatNest, text: CKernel) -> Fields:
    # The steps of all results are equal.
    numbers = [*(first for first, *_ in flat.streams), len(flat.reads)]
    fields: dict[str, int | str] = {name: f"@{name}" for name in (*text.pointers, *text.results)}
    extents = regions["y"].extent
    if len(extents) == 1:
        return {**fields, "n": extents[0]}
    fields |= {f"extent[{d}]": extent for d, extent in enumerate(extents)}
    for number, name in zip(numbers, (*text.pointers, "y"), strict=True):
        dense = iter(strides(regions[name].extent))
        steps = [next(dense) if loop.steps[number] else 0 for loop in flat.loops]
        fields |= {f"{name}_step[{d}]": step for d, step in enumerate(steps[:-1])}
    return fields


def chain_cycles(flat: FlatNest, y: Operand, sizes: Sizes, each: float, cores: int) -> Any:
    """Return the estimated cycles of the busiest core for a tile.

    each   cycles of an element
    """
    extents, at = y.extents(sizes), shared_loop(flat, cores)
    own = [-(-n // cores) if d == at else n for d, n in enumerate(extents)]
    rows = math.prod(own[:-1]) if len(own) > 1 else 1
    return rows * (ROW_CYCLES + own[-1] * each)


def generated(*formats: Format) -> tuple[Kernel, ...]:
    """Return the kernel of an operator whose description is element-wise, in a tuple.

    formats   supported formats in addition to int8
    """
    return on_cluster(in_tiles, *formats)


CHAIN_KERNELS = (Kernel(CLUSTER, in_tiles, formats=(WORDS,)),)
