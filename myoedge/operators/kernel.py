# SPDX-License-Identifier: Apache-2.0
"""Tiled kernels: the loops that may be tiled, the operands, the C function, and its cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.format import INT8_ALONE, Format
from myoedge.operators.result_order import ResultOrder
from myoedge.targets.chip import Engine
from myoedge.targets.costs import KernelCost, KernelEstimate

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode
    from myoedge.operators.library.ne16_table import TileForm
    from myoedge.operators.library.packed_weights import PackedConstant

AffineExpr = tuple[tuple[str, int], ...]  # index along one dimension: sum of axis * stride
Span = tuple[int, int]  # first index, number of indices
Sizes = Mapping[str, Any]  # axis -> tile extent, or array of extents

SCRATCH = "scratch"  # name of a kernel's scratch, next to those of its operands
FREE = KernelCost(0.0, 0.0)  # before a chip is chosen
CLUSTER, NINE_CORES = "cluster", "nine cores"  # names of engines

MOST_TILES = 4096  # tiles per layer: more are never better, and the table would be long


@dataclass(frozen=True, slots=True)
class Written:
    """A tensor that a layer writes, by its position in `QuantizedNode.results`."""

    number: int


OUT = Written(0)
Source = int | str | Written  # operand number, name of a packed constant, or result


@dataclass(frozen=True, slots=True)
class Region:
    """The part of an operand that a tile accesses, clipped to the operand.

    start           first index per dimension
    extent          number of elements per dimension
    before, after   padding per dimension: elements accessed before index 0 and past the end
    within          extents of the tensor in L1 of which the region is a part; (): of none
    """

    start: Shape
    extent: Shape
    before: Shape
    after: Shape = field(compare=False)
    within: Shape = ()

    @property
    def size(self) -> int:
        return math.prod(self.extent)

    @property
    def in_memory(self) -> Shape:
        """Elements per dimension of the array in L1 that the region is, or is part of."""
        return self.within or self.extent


@dataclass(frozen=True, slots=True)
class Operand:
    """An array that a kernel reads or writes, with the loops that index it.

    name              name in messages and of the pointer in the tile struct
    source            operand number, name of a packed constant, or result: OUT is the first one
    shape             elements per dimension
    dims              index map: an affine expression per dimension; () for one read in full
    first             smallest index per dimension, such as minus the left padding; () for zeros
    itemsize          bytes of an element
    row_stride        tile field for the bytes between rows (dimension 1); "": contiguous rows
    position_stride   tile field for the bytes between positions (all dimensions but the last), so
                      that a tile may hold part of the channels; "": contiguous positions
    has_steps         whether its steps are tile fields: a tile may be any part of a tensor in L1
    array             values of a packed constant
    """

    name: str
    source: Source
    shape: Shape
    dims: tuple[AffineExpr, ...]
    first: Shape = ()
    itemsize: int = 1
    row_stride: str = field(default="", repr=False)
    position_stride: str = field(default="", repr=False)
    has_steps: bool = field(default=False, repr=False)
    array: Array | None = field(default=None, repr=False, compare=False)

    @classmethod
    def whole(cls, name: str, array: Array) -> Operand:
        """Return a packed constant that is not tiled: every tile reads all of it."""
        return cls(name, name, (array.nbytes,), ((),), array=array)

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(axis for dim in self.dims for axis, _ in dim)

    @property
    def constant(self) -> bool:
        """Whether the operand is a packed constant or weight, rather than a computed tensor."""
        return isinstance(self.source, str)

    @property
    def written(self) -> bool:
        return isinstance(self.source, Written)

    def region(self, tile: Mapping[str, Span]) -> Region:
        """Return the region that a tile accesses: halo included, padding excluded.

        tile   axis -> span of indices
        """
        spans = [self._region_along(d, tile) for d in range(len(self.shape))]
        return Region(*(tuple(part) for part in zip(*spans, strict=True)))

    def _region_along(self, d: int, tile: Mapping[str, Span]) -> tuple[int, int, int, int]:
        if not self.dims[d]:
            return 0, self.shape[d], 0, 0
        at = (self.first[d] if self.first else 0) + sum(tile[a][0] * s for a, s in self.dims[d])
        reach = [(tile[a][1] - 1) * s for a, s in self.dims[d]]
        low, high = at + sum(min(n, 0) for n in reach), at + sum(max(n, 0) for n in reach)
        start, stop = min(max(low, 0), self.shape[d]), max(min(high + 1, self.shape[d]), 0)
        return start, max(stop - start, 0), max(-low, 0), max(high + 1 - self.shape[d], 0)

    def footprint(self, sizes: Sizes) -> Any:
        """Return the maximum bytes that a tile accesses.

        sizes   axis -> tile extent, or an array of extents
        """
        return math.prod(self.extents(sizes), start=self.itemsize)

    def extents(self, sizes: Sizes) -> list[Any]:
        """Return the maximum number of elements per dimension that a tile accesses."""
        return [
            np.minimum(n, 1 + reach(dim, sizes)) if dim else n
            for n, dim in zip(self.shape, self.dims, strict=True)
        ]

    def span_bytes(self, sizes: Sizes) -> Any:
        """Return the maximum distance in bytes from the first to the last byte that a tile
        accesses, gaps included."""
        apart = (math.prod(self.shape[d + 1 :]) for d in range(len(self.shape)))
        reaches = ((n - 1) * bytes_ for n, bytes_ in zip(self.extents(sizes), apart, strict=True))
        return self.itemsize * sum(reaches, start=1)

    def lines(self, sizes: Sizes) -> Any:
        """Return the number of contiguous byte runs of which a tile consists.

        sizes   axis -> tile extent, or an array of extents
        """
        extents = self.extents(sizes)
        total: Any = 1
        for d, extent in enumerate(extents):
            whole, inner = math.prod(self.shape[d + 1 :]), math.prod(extents[d + 1 :])
            total = total * np.where(inner == whole, 1, extent)
        return total


def reach(dim: AffineExpr, sizes: Sizes) -> Any:
    return sum((sizes[axis] - 1) * abs(stride) for axis, stride in dim)


Fields = Mapping[str, int | str]  # of a C struct: a number, or "@x" for whether operand x is in L1


def of_member(member: str, fields: Fields) -> dict[str, int | str]:
    """Return struct fields with the prefix "member." that C needs for fields of a nested struct."""
    return {f"{member}.{name}": value for name, value in fields.items()}


@dataclass(frozen=True)
class TiledKernel:
    """A kernel for one quantised node: its loops, operands, and the cost of a tile.

    function             C function f, called with the structs f_params (equal for all tiles) and
                         f_tile
    axes                 extent of every loop
    split                axes that may be tiled
    unit_axes            axes tiled to 1, because the kernel has no loop for them
    innermost_axes       part of `split`: their loops are innermost, and the kernel keeps its
                         scratch from one of their tiles to the next
    reversed_axes        axes whose last tile comes first
    multiples            axis of `split` -> multiples to try as tile sizes, in addition to others
    doubled_axes         axes of `split` whose tile sizes are powers of two, so that layers with
                         equal constants read equal ranges of them
    kernel_waits         whether the kernel itself waits for the operands of a layer's first tile
    nine_cores           whether the control core runs it too, after transfers; None: never
    operands             operands that are read and written, without scratch
    l2_tables            constants that the kernel reads from L2, by rows that the data select
    l3_tables            such constants in L3, whose rows the control core fetches, at "%name"
    from_l3              the kernel with its tables in L3, if there is one
    in_l2                whether the kernel reads all operands untiled in L2
    op                   fields of the op struct
    tile                 regions by operand -> fields of the tile struct
    launches_next_tile   (fields of a tile, of the next) -> whether the kernel starts an accelerator
                         on the next tile as soon as its operands are in L1; None: never
    jobs                 the accelerator's jobs of a tile, as data
    scratch              tile sizes -> bytes of scratch, in L1 if they fit
    work                 tile sizes -> work units of the busiest core
    l1_only              whether the engine cannot access L2
    most_tiles           maximum number of tiles of a layer
    packing              constant operand that is unpacked before the kernel reads it
    sources              name -> text of C files and headers outside the library
    callbacks            further C functions that `op` names, each in a file of its own
    engine               engine that runs the kernel
    cost                 cycles per work unit, tile and layer, of the engine's table or its own
    preferred            whether the layer uses this engine wherever possible, whatever the estimate
    order                order of its results on one core; None: results may not replace operands
    estimates            engine -> estimate of its best candidate kernel
    derived              results that follow from the kernel, computed once; a copy has none
    """

    function: str
    axes: Mapping[str, int]
    split: tuple[str, ...]
    operands: tuple[Operand, ...]
    op: Fields
    tile: Callable[[Mapping[str, Region]], Fields]
    work: Callable[[Sizes], Any]
    scratch: Callable[[Sizes], Any] = lambda sizes: 0
    l2_tables: tuple[Operand, ...] = ()
    l3_tables: tuple[Operand, ...] = ()
    from_l3: TiledKernel | None = None
    in_l2: bool = False
    launches_next_tile: Callable[[Fields, Fields], bool] | None = None
    jobs: TileForm | None = None
    unit_axes: tuple[str, ...] = ()
    innermost_axes: tuple[str, ...] = ()
    reversed_axes: tuple[str, ...] = ()
    kernel_waits: bool = False
    multiples: Mapping[str, int] = field(default_factory=dict)
    doubled_axes: tuple[str, ...] = ()
    nine_cores: bool | None = None
    l1_only: bool = False
    most_tiles: int = MOST_TILES
    packing: PackedConstant | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    callbacks: tuple[str, ...] = ()
    engine: str = ""
    cost: KernelCost = FREE
    preferred: bool = False
    order: ResultOrder | None = None
    estimates: Mapping[str, KernelEstimate] = field(default_factory=dict)
    derived: dict[Hashable, Any] = field(init=False, compare=False, default_factory=dict)

    def cycles(self, sizes: Sizes) -> Any:
        """Return the estimated cycles of a tile, as an array if tile extents are arrays.

        sizes   axis -> tile extent
        """
        own = self.cost.cycles(self.work(sizes))
        if self.packing is None:
            return own
        return own + self.packing.cycles(self.operand(self.packing.operand), self.axes, sizes)

    def operand(self, name: str) -> Operand:
        return next(operand for operand in self.operands if operand.name == name)

    @property
    def functions(self) -> frozenset[str]:
        """Names of the C functions that a tile calls."""
        unpacked = self.packing.function if self.packing else self.function
        return frozenset({self.function, unpacked, *self.callbacks})

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """Values of the packed constants, by name."""
        known = (*self.operands, *self.l2_tables)
        return {o.name: o.array for o in known if o.array is not None}

    @property
    def out(self) -> Operand:
        """The first result."""
        return self.written(OUT)

    @property
    def results(self) -> list[Operand]:
        return [operand for operand in self.operands if operand.written]

    def written(self, result: Written) -> Operand:
        return next(operand for operand in self.operands if operand.source == result)


Tiling = Callable[["QuantizedNode", Engine], TiledKernel]


@dataclass(frozen=True)
class Kernel:
    """One way to run an operator's layers in tiles: an engine, and the tiling on it.

    engine   name of the engine; chips without it do not have the kernel
    tiling   (layer, engine) -> loops, operands, packed constants, scratch and work of the layer,
             with the C function, which names the row of the engine's costs
    accepts  layer -> whether the kernel runs it, given its formats
    formats  supported element types and weight bits
    broken_rule   layer -> constraint that it violates, for an accelerator
    fallback   whether this is a slower kernel with little scratch, for layers whose other kernels
               do not fit L1
    unsigned_sums   whether the engine sums products of the inputs plus 128 and has no pre-shift;
                    layers are requantised accordingly, if it then accepts them
    """

    engine: str
    tiling: Tiling
    accepts: Callable[[QuantizedNode], bool] = lambda node: True
    formats: tuple[Format, ...] = (INT8_ALONE,)
    fallback: bool = False
    unsigned_sums: bool = False
    broken_rule: Callable[[QuantizedNode], ConstraintViolation | None] = lambda node: None

    def runs(self, step: QuantizedNode) -> bool:
        """Return whether the kernel can run a layer: a format matches, and `accepts` is true."""
        return self.takes(step) and self.accepts(step)

    def takes(self, step: QuantizedNode) -> bool:
        """Return whether one of its formats matches a layer."""
        weight = step.weight_type if any(form.weights for form in self.formats) else None
        written = (step.behind or step).element_type  # by both if one kernel computes them
        return any(form.takes(step.operand_types, written, weight) for form in self.formats)


def on_cluster(tiling: Tiling, *formats: Format) -> tuple[Kernel, ...]:
    """Return a kernel for the eight worker cores; `formats` are supported in addition to int8."""
    return (Kernel(CLUSTER, tiling, formats=formats or (INT8_ALONE,)),)
