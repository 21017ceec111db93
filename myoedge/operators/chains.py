# SPDX-License-Identifier: Apache-2.0
"""Element-wise layers that one generated function computes: their formulas joined into one.

For `add` then `tanh` of int8 tensors: y = table[clip((a * 3 + b * 5 + 7) >> 4, -128, 127) + 128].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.nest.c import LOOPS_MAX
from myoedge.nest.c_arrays import ALL_TYPES, C_TYPES, STEP
from myoedge.nest.c_header import CKernel, result_names
from myoedge.nest.flat import FlatNest
from myoedge.nest.intervals import in_int32, in_int64
from myoedge.nest.ir import Array, Expr, Nest
from myoedge.nest.lanes import lanes_of, words_together
from myoedge.nest.rebuild import records, with_sides
from myoedge.nest.rows import shared_loops, shared_rows
from myoedge.nest.tabled import shortest
from myoedge.nest.windows import IndexMap
from myoedge.numerics.arrays import ceil_div, strides
from myoedge.numerics.element_type import ElementType
from myoedge.operators.base import QuantizedNode
from myoedge.operators.chain_nest import (
    CUT,
    ChainNest,
    ChainParams,
    generated_cost,
    is_in_order,
    loop_extents,
    of_one_iteration,
    result_operands,
    scan_axes,
    scan_in_tiles,
    sequences,
    turn_axis,
)
from myoedge.operators.described import written_shape
from myoedge.operators.format import MOVES, Format
from myoedge.operators.joint_formula import JointFormula, long_axes
from myoedge.operators.kernel import (
    CLUSTER,
    AffineExpr,
    Fields,
    Kernel,
    Operand,
    Region,
    Sizes,
    TiledKernel,
    on_cluster,
)
from myoedge.operators.library.pointwise import axes_of, order_of
from myoedge.targets.chip import Engine

ARRAYS_MAX = 32  # that a function reads and writes: a core's stack has room for their pointers
SIDE = "side"  # axis of the results of an iteration in one array
ROW_CYCLES = 10.0  # of a row's start
# Of late results: cycles of the barrier, and of an element.
SYNC_CYCLES, LATE_CYCLES = 40.0, 5.0


def chain_step(
    members: Sequence[QuantizedNode], stored: Sequence[str] = ()
) -> QuantizedNode | None:
    """Return neighbouring layers as one; None if they cannot be one loop.

    members   layers in order
    stored    names of those whose results are written, in addition to the last one's; only members
              read the results of all others
    """
    last = members[-1]
    operands = _outside_operands(members)
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


def _outside_operands(members: Sequence[QuantizedNode]) -> list[tuple[str, Shape, ElementType]]:
    """Return what members read from outside of the chain, each operand once."""
    own = {member.node.name for member in members}
    read = [
        (name, member.shapes[at], member.read_type(at))
        for member in members
        for at, name in enumerate(member.operands)
    ]
    return [x for x in dict.fromkeys(read) if x[0] not in own]


def chain_nest(step: QuantizedNode) -> ChainNest | None:
    """Return the joint description of a chain's members; None if one has no description, results
    differ in shape, or no C can be generated."""
    formula = JointFormula(step)
    if not all(map(formula.add, step.members)):
        return None
    axes = long_axes(written_shape(step))
    written = [formula.values[name] for name in step.written]
    if any(own != axes for own, _ in written):
        return None
    elements = math.prod(axis.extent for axis in axes)
    made = shortest([value for _, value in written], elements)
    arrays = _arrays_of_results(step, tuple(axis.extent for axis in axes))
    own, *more = zip(arrays, (made[id(value)] for _, value in written), strict=True)
    index = tuple(axis.at for axis in axes)
    nest = Nest(axes, formula.arrays, own[0], index, own[1], tuple(more))
    return chain_of(nest, _part_labels(step, formula, made))


def _part_labels(
    step: QuantizedNode, formula: JointFormula, made: Mapping[int, Expr]
) -> dict[int, str]:
    """Return id of a part -> operator of the member whose result it is, for all but the last.

    made   id of a part of the joint formula -> the part in its place
    """
    ops = {x.node.name: x.node.op for x in step.members[:-1]}
    known = ((part, name) for part, name in formula.names.items() if part in made)
    return {id(made[part]): ops[name] for part, name in known if name in ops}


def _arrays_of_results(step: QuantizedNode, shape: Shape) -> list[Array]:
    names = result_names(len(step.results))
    types = (node.element_type.dtype.name for node in step.results)
    return [Array(name, kind, shape) for name, kind in zip(names, types, strict=True)]


def chain_of(nest: Nest, labels: Mapping[int, str]) -> ChainNest | None:
    """Return a description as loops with records of constants; None if no C can be generated.

    labels   id of a part -> the layer whose result it is
    """
    nest = with_sides(nest)
    parts = records(nest)
    (_, value), *more = [(array, parts[id(formula)]) for array, formula in nest.results]
    flat = FlatNest.of(replace(nest, value=value, more=tuple(more)))
    if flat is None or not _can_generate_kernel(flat):
        return None
    position = {id(array): at for at, array in enumerate(nest.operands)}
    operands = tuple(position.get(id(read.array)) for read in flat.reads)
    known = {id(parts[part]): label for part, label in labels.items() if part in parts}
    return ChainNest(flat, operands, known)


def _can_generate_kernel(flat: FlatNest) -> bool:
    """Return whether C can be generated: few loops in memory order, known types, all values in
    int32; in int64 beside carried values."""
    types = {read.array.dtype for read in flat.reads}
    if not all(map(flat.index_map, range(len(flat.reads)))):
        return False
    if flat.scanned is not None:
        return types <= {*ALL_TYPES} and in_int64(flat.nest)
    has_rows = all(_can_load_rows(flat, n) for n in range(len(flat.reads)))
    arrays = len(flat.reads) + len(flat.nest.results)
    few = has_rows and len(flat.loops) <= LOOPS_MAX and arrays <= ARRAYS_MAX
    return few and types <= {*C_TYPES} and in_int32(flat.nest)


def _can_load_rows(flat: FlatNest, number: int) -> bool:
    """Return whether the innermost loop reads elements a step apart that C can load."""
    read = flat.reads[number]
    step = flat.loops[-1].steps[number]
    is_dense = read.is_reduced or step in (0, read.width)
    return is_dense or (read.width == 1 and read.array.dtype in STEP)


# --- the kernel -----------------------------------------------------------------------------------


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a chain, or of one described operator: a generated function."""
    chain = step.integers.chain if step.members else chain_nest(replace(step, members=(step,)))
    assert chain is not None, f"{step.node.op} is not element-wise"
    flat, text = chain.flat, chain.in_c(engine.cores)
    if flat.scanned is not None:
        inputs = _chain_inputs(chain, text, scan_axes(flat)[1])
        return scan_in_tiles(step, flat, text, inputs, engine)
    axes, dims = axes_of(flat.loops, lanes_of(flat) * words_together(flat))
    over = {f"r{number}": axis.extent for number, axis in enumerate(flat.over)}
    sides = {SIDE: flat.result_extents[-1]} if flat.side_step else {}
    rows = _chain_inputs(chain, text, (*dims, *(((name, 1),) for name in over)))
    tables = [Operand.whole(name, array.known) for name, array in text.tables.items()]
    own = result_operands(step, text, flat, (*dims, ((SIDE, 1),)))
    operands = sequences(flat, (*rows, *tables, *own), text.pointers, text.results)
    return TiledKernel(
        function=text.name,
        axes=turn_axis(flat) | axes | over | sides,
        split=_tileable_axes(flat, axes),
        operands=tuple(operands),
        op=_table_fields(text, engine),
        tile=lambda regions: _chain_tile_fields(regions, flat, text),
        work=lambda sizes: chain_cycles(flat, own[0], sizes, text, engine.cores),
        nine_cores=engine.control_core or None,
        sources=text.files,
        cost=generated_cost(text.code),
        order=order_of(axes) if is_in_order(flat) else None,
    )


def _table_fields(text: CKernel, engine: Engine) -> Fields:
    empty: Fields = {} if engine.control_core else {"unused": 0}
    return {name: f"@{name}" for name in text.tables} or empty


def _tileable_axes(flat: FlatNest, axes: Iterable[str]) -> tuple[str, ...]:
    """Return the loops that may be tiled; none if a tile may read what an earlier one wrote,
    not the innermost one if a row is read twice."""
    if flat.late or flat.turns is not None:
        return ()
    loops = [name for name in axes if name.startswith("i")]
    has_rows = shared_rows(flat) or any(read.apart > 1 for read in flat.reads)
    return tuple(loops[:-1] if has_rows else loops)[:CUT]


def _chain_inputs(chain: ChainNest, text: CKernel, dims: Sequence[AffineExpr]) -> list[Operand]:
    """Return the arrays that a chain reads; rows that it reads twice once.

    dims   index along each loop, then along each reduced axis
    """
    named, again = zip(text.pointers, chain.operands, strict=True), shared_rows(chain.flat)
    return [
        _loop_operand(name, source, chain.flat, number, dims, text.steps[name])
        for number, (name, source) in enumerate(named)
        if number not in again
    ]


def _loop_operand(
    name: str,
    source: int | None,
    flat: FlatNest,
    number: int,
    dims: Sequence[AffineExpr],
    steps: Sequence[int],
) -> Operand:
    """Return an array of the loops as an operand whose index follows from theirs.

    steps   loops and reduced axes whose steps in the array are fields of the tile
    """
    known, array = flat.index_map(number), flat.reads[number].array
    assert known is not None, "a chain reads arrays with an index per dimension"
    index = tuple(
        tuple((axis, n * stride) for at, stride in terms for axis, n in (*dims, ())[at])
        for terms in known.index
    )
    size = np.dtype(array.dtype).itemsize
    if source is None:
        return Operand(name, name, known.shape, index, known.start, size, array=array.known)
    others, part = (at for at in range(len(dims)) if at not in steps), flat.part_read(number)
    has_steps = all(known.step(at, part) == known.step(at, known.shape) for at in others)
    return Operand(name, source, known.shape, index, known.start, size, has_steps=has_steps)


def _chain_tile_fields(regions: Mapping[str, Region], flat: FlatNest, text: CKernel) -> Fields:
    """Return the pointers of a tile, the extents of its loops, and the steps of its arrays; all
    results have those of y. Pointers are to where padding would start."""
    rows, given = _add_row_pointers(regions, flat, text)
    regions = of_one_iteration(given, flat, text.pointers, text.results)
    names = (*text.pointers, *text.results)
    fields: dict[str, int | str] = {name: f"@{rows.get(name, name)}" for name in names}
    fields |= {
        name: f"@{name}-{missing}"
        for name, read in zip(text.pointers, flat.reads, strict=True)
        if (missing := _padding_bytes(regions[name], read.array))
    }
    extents = loop_extents(flat, regions["y"].extent)
    if len(extents) == 1:
        fields["n"] = extents[0]
    else:
        fields |= {f"extent[{d}]": extent for d, extent in enumerate(extents)}
    result = IndexMap((), (), tuple(((at, 1),) for at in flat.result_loops))
    maps = [*map(flat.index_map, range(len(text.pointers))), result]
    for (name, wanted), own in zip(text.steps.items(), maps, strict=True):
        for n, at in enumerate(wanted):
            fields[f"{name}_step[{n}]"] = own.step(at, regions[name].in_memory) if own else 0
    return fields


def _add_row_pointers(
    regions: Mapping[str, Region], flat: FlatNest, text: CKernel
) -> tuple[dict[str, str], dict[str, Region]]:
    """Return pointer -> the pointer of another read of its rows, and the regions of all reads."""
    rows = {text.pointers[n]: text.pointers[other] for n, other in shared_rows(flat).items()}
    return rows, {**regions, **{name: regions[other] for name, other in rows.items()}}


def _padding_bytes(region: Region, array: Array) -> int:
    """Return the distance from where padding would start to the first element of a region."""
    steps = strides(region.in_memory)
    count = sum(n * step for n, step in zip(region.before, steps, strict=True))
    return count * np.dtype(array.dtype).itemsize


def chain_cycles(flat: FlatNest, y: Operand, sizes: Sizes, text: CKernel, cores: int) -> Any:
    """Return the estimated cycles of the busiest core for a tile."""
    lanes, extents = lanes_of(flat), loop_extents(flat, y.extents(sizes))
    shared = shared_loops(flat, cores, lanes)
    extents[-1] = ceil_div(extents[-1], lanes)
    share = ceil_div(math.prod(extents[d] for d in shared), cores)
    rows = math.prod(n for d, n in enumerate(extents[:-1]) if d not in shared)
    is_inner = len(extents) - 1 in shared
    rows, length = (rows, share) if is_inner else (rows * share, extents[-1])
    late = SYNC_CYCLES + LATE_CYCLES * len(flat.late) * rows * length if flat.late else 0.0
    once = rows * (ROW_CYCLES + text.row_cycles + length * lanes * text.cycles) + late
    return once if flat.turns is None else flat.turns.count * (once + SYNC_CYCLES * bool(late))


def generated(*formats: Format) -> tuple[Kernel, ...]:
    """Return the kernel of an operator whose description is element-wise, in a tuple.

    formats   supported formats in addition to int8
    """
    return on_cluster(in_tiles, *formats)


CHAIN_KERNELS = (Kernel(CLUSTER, in_tiles, formats=(MOVES,)),)
