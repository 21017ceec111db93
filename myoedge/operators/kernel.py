# SPDX-License-Identifier: Apache-2.0
"""Tilings of operators in L1: loops that may be cut, operands, kernel, its cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array, round_up
from myoedge.operators.format import INT8_ALONE, Format
from myoedge.targets.chip import Engine, KernelCost

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode

AffineExpr = tuple[tuple[str, int], ...]  # index along one dimension: sum of axis * stride
Span = tuple[int, int]  # first, how many
Sizes = Mapping[str, Any]  # of a tile by axis: numbers, or arrays of them if many are tried

OUT = "out"  # the source of what is written
SCRATCH = "scratch"  # name of a kernel's scratch, next to those of its operands
FREE = KernelCost(0.0, 0.0)  # before a chip is chosen
CLUSTER, NINE_CORES = "cluster", "nine cores"  # engines, as chips name them
AUTO, CORES = "auto", "cores"  # choices of an engine, next to the names of accelerators

# The ninth core of the cluster, the control core that moves data, comes some hundred cycles late to
# every tile, when it has started what is to be moved meanwhile. A layer of so many MACs has tiles
# that are longer than nine times that.
NINE_CORES_MACS = 2**18
WORD_BYTES, UNPACKING_CORES = 4, 8
MOST_TILES = 4096  # of a layer: more are never better, and their list would be long


@dataclass(frozen=True, slots=True)
class Region:
    """Part of an operand that a tile reads or writes.

    start, extent  along every dimension, inside the operand
    before         how far the loops reach before its start, along every dimension: padding
    after          how far they reach after the operand's end
    """

    start: Shape
    extent: Shape
    before: Shape
    after: Shape = field(compare=False)

    @property
    def size(self) -> int:
        return math.prod(self.extent)


@dataclass(frozen=True, slots=True)
class Operand:
    """Array that a kernel reads or writes, and the loops that index it.

    source  OUT, the number of an operand of the step, or the name of a packed array
    dims    index along each dimension; () for one that is not indexed: taken whole
    first   if the index of each dimension starts: minus the padding, say; () for all 0
    itemsize   bytes of an element
    row_stride   field of the tile's struct with the bytes between rows, the second dimension; "":
                 the kernel knows no other rows than a tile's, one after the other
    position_stride   field of the tile's struct with the bytes between positions, all dimensions
                 but the last: tiles with a part of the channels may lie among the others' in L1;
                 "": the kernel writes positions one after the other
    array   values of a packed array, as the kernel reads them
    """

    name: str
    source: str | int
    shape: Shape
    dims: tuple[AffineExpr, ...]
    first: Shape = ()
    itemsize: int = 1
    row_stride: str = field(default="", repr=False)
    position_stride: str = field(default="", repr=False)
    array: Array | None = field(default=None, repr=False, compare=False)

    @classmethod
    def whole(cls, name: str, array: Array) -> Operand:
        """A packed array that every tile reads from start to end."""
        return cls(name, name, (array.nbytes,), ((),), array=array)

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(axis for dim in self.dims for axis, _ in dim)

    @property
    def constant(self) -> bool:
        """Whether it is there before the network starts."""
        return isinstance(self.source, str) and self.source != OUT

    @property
    def written(self) -> bool:
        return self.source == OUT

    def region(self, tile: Mapping[str, Span]) -> Region:
        """Region of a tile, given by the span of every axis; halo included, padding not."""
        spans = [self._along(d, tile) for d in range(len(self.shape))]
        return Region(*(tuple(part) for part in zip(*spans, strict=True)))

    def _along(self, d: int, tile: Mapping[str, Span]) -> tuple[int, int, int, int]:
        if not self.dims[d]:
            return 0, self.shape[d], 0, 0
        at = (self.first[d] if self.first else 0) + sum(tile[a][0] * s for a, s in self.dims[d])
        reach = [(tile[a][1] - 1) * s for a, s in self.dims[d]]
        low, high = at + sum(min(n, 0) for n in reach), at + sum(max(n, 0) for n in reach)
        start, stop = min(max(low, 0), self.shape[d]), max(min(high + 1, self.shape[d]), 0)
        return start, max(stop - start, 0), max(-low, 0), max(high + 1 - self.shape[d], 0)

    def footprint(self, sizes: Sizes) -> Any:
        """Bytes that a tile of these sizes touches at most; sizes may be arrays."""
        return math.prod(self.extents(sizes), start=self.itemsize)

    def extents(self, sizes: Sizes) -> list[Any]:
        """Extents that such a tile touches at most."""
        return [
            np.minimum(n, 1 + reach(dim, sizes)) if dim else n
            for n, dim in zip(self.shape, self.dims, strict=True)
        ]

    def lines(self, sizes: Sizes) -> Any:
        """Runs of bytes that are apart in memory, of such a tile."""
        extents = self.extents(sizes)
        total: Any = 1
        for d, extent in enumerate(extents):
            whole, inner = math.prod(self.shape[d + 1 :]), math.prod(extents[d + 1 :])
            total = total * np.where(inner == whole, 1, extent)
        return total


def reach(dim: AffineExpr, sizes: Sizes) -> Any:
    return sum((sizes[axis] - 1) * abs(stride) for axis, stride in dim)


Fields = Mapping[str, int | str]  # of a C struct: a number, or "@x" for if operand x lies in L1


@dataclass(frozen=True, slots=True)
class PackedConstant:
    """A constant that lies packed in all memories: the cores unpack a tile's part of it into bytes
    after the kernel's scratch, if the kernel reads it.

    operand  its name
    bits     of an element: 4 or 2
    scratch  of the kernel itself
    stays    axes along which tiles go on with the same part, innermost: it is unpacked once
    cost     of a packed word, by the core that has most; of every tile that unpacks
    """

    operand: str
    bits: int
    scratch: Callable[[Sizes], Any]
    stays: tuple[str, ...]
    cost: KernelCost

    @property
    def function(self) -> str:
        return f"me_unpack_s{self.bits}"

    def offset(self, sizes: Sizes) -> Any:
        """Bytes from the start of scratch to the unpacked bytes."""
        return round_up(self.scratch(sizes), WORD_BYTES)

    def unpacked_bytes(self, packed: Operand, sizes: Sizes) -> Any:
        return packed.footprint(sizes) * 8 // self.bits

    def cycles(self, packed: Operand, axes: Mapping[str, int], sizes: Sizes) -> Any:
        """Cycles of a tile: its part of those for all tiles that read the same bytes."""
        words = -(-packed.footprint(sizes) // (WORD_BYTES * UNPACKING_CORES))
        share = math.prod(sizes[axis] / axes[axis] for axis in self.stays)
        return self.cost.cycles(words) * share


@dataclass(frozen=True)
class TiledKernel:
    """Kernel as it runs one quantised node: its loops, its operands, and the cost of a tile.

    function  the C function, called with an op and a tile: pointers to structs of that name
    axes      extent of every loop     split   those that may be cut
    unit_axes       cut to 1: the kernel has no loop of them
    innermost_axes  of `split`: their loops are innermost, and the kernel goes on in the next of
                    their tiles with what it has in scratch
    reversed_axes   the last tile along them comes first
    multiples       of axes of `split`: besides other sizes multiples of so many are tried
    kernel_waits    the kernel waits by itself for operands of a layer's first tile
    nine_cores  whether the control core calls the kernel too, when it has started a tile's
              transfers; None: of this kernel it never does
    operands  what is read and written; scratch is apart
    l2_tables constants that the kernel reads where they lie in L2, rows of them as data say
    l3_tables the same in L3, from where the control core brings rows; their offsets are "%name"
    from_l3   the kernel with its tables in L3, if it has one
    in_l2     the kernel takes all operands where they lie in L2, uncut
    op        fields of the op's struct: the same for all tiles
    tile      regions by operand -> fields of the tile's struct
    launches_next_tile  fields of a tile and of the next one -> whether the kernel starts an
                        accelerator on the next tile as soon as its operands are in L1; None: never
    scratch   sizes of a tile -> bytes that the kernel wants besides, in L1 if they fit
    work      sizes of a tile -> units of work of the core that has most
    l1_only   the engine does not reach L2
    most_tiles  of a layer
    packing   of a constant operand that is not stored as the kernel reads it
    sources   C files of a kernel that is not in the library, by name: headers and sources
    engine, cost   of the engine that runs it, and its row of that engine's costs, if it does not
                bring one
    preferred   the layer takes this engine wherever it can, whatever the estimate
    estimates   cycles of the layer by engine, of the kernels that it was chosen from; inf: no tile
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
    unit_axes: tuple[str, ...] = ()
    innermost_axes: tuple[str, ...] = ()
    reversed_axes: tuple[str, ...] = ()
    kernel_waits: bool = False
    multiples: Mapping[str, int] = field(default_factory=dict)
    nine_cores: bool | None = None
    l1_only: bool = False
    most_tiles: int = MOST_TILES
    packing: PackedConstant | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""
    cost: KernelCost = FREE
    preferred: bool = False
    estimates: Mapping[str, float] = field(default_factory=dict)

    def cycles(self, sizes: Sizes) -> Any:
        """Estimated, of the computation of a tile."""
        own = self.cost.cycles(self.work(sizes))
        if self.packing is None:
            return own
        return own + self.packing.cycles(self.operand(self.packing.operand), self.axes, sizes)

    def operand(self, name: str) -> Operand:
        return next(operand for operand in self.operands if operand.name == name)

    @property
    def functions(self) -> frozenset[str]:
        """C functions that a tile calls."""
        return frozenset({self.function, *([self.packing.function] if self.packing else [])})

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """The packed arrays by name."""
        known = (*self.operands, *self.l2_tables)
        return {o.name: o.array for o in known if o.array is not None}

    @property
    def out(self) -> Operand:
        return next(operand for operand in self.operands if operand.written)


@dataclass(frozen=True, slots=True)
class ConstraintViolation:
    """Rule of an accelerator that a layer violates.

    needs    what the rule asks of a layer     has   what the layer has
    change   of the network, so that the layer keeps to the rule
    """

    needs: str
    has: str
    change: str


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Engine that a layer is to run on.

    name     AUTO: of fewest estimated cycles; CORES; or an accelerator
    source   option or pattern with that name, for people
    forced   whether a layer that cannot run there is an error
    broken_rule   of the accelerator, if the layer breaks one
    """

    name: str = AUTO
    source: str = ""
    forced: bool = False
    broken_rule: ConstraintViolation | None = None


FASTEST = EngineChoice()


Tiling = Callable[["QuantizedNode", Engine], TiledKernel]


@dataclass(frozen=True)
class Kernel:
    """One way to run an operator's layers in tiles: an engine, and how a layer is tiled on it.

    engine   name of the engine; chips that do not list it do not have the kernel
    tiling   layer, engine -> loops, operands, packed constants, scratch and work of the layer, with
             the C function and so the row of the engine's costs
    accepts  layers of these formats that it runs
    formats  element types and bits of weights that it takes
    broken_rule   of an accelerator: the rule that a layer breaks which it does not accept
    fallback   slower with little scratch: taken if L1 has no room for that of the other kernels
    unsigned_sums   the engine sums products of the inputs plus 128 and has no pre-shift: layers are
               requantised accordingly, if it then accepts them
    """

    engine: str
    tiling: Tiling
    accepts: Callable[[QuantizedNode], bool] = lambda node: True
    formats: tuple[Format, ...] = (INT8_ALONE,)
    fallback: bool = False
    unsigned_sums: bool = False
    broken_rule: Callable[[QuantizedNode], ConstraintViolation | None] = lambda node: None

    def runs(self, step: QuantizedNode) -> bool:
        """Whether it runs a layer: one of its formats has the layer's types, and it is accepted."""
        weight = step.weight_type if any(form.weights for form in self.formats) else None
        types = (step.operand_types, step.element_type, weight)
        return any(form.takes(*types) for form in self.formats) and self.accepts(step)


def on_cluster(tiling: Tiling, *formats: Format) -> tuple[Kernel, ...]:
    """Return the kernel for the eight compute cores, without int8-only formats."""
    return (Kernel(CLUSTER, tiling, formats=formats or (INT8_ALONE,)),)


def low_scratch_fallback(
    tiling: Tiling,
    *formats: Format,
    accepts: Callable[[QuantizedNode], bool] = lambda node: True,
) -> Kernel:
    """A kernel with little scratch, for layers whose other kernels need more scratch than L1."""
    return Kernel(CLUSTER, tiling, accepts, formats or (INT8_ALONE,), fallback=True)


def has_int16(step: QuantizedNode) -> bool:
    """Accept layers with int16, for kernels that have an int8-only counterpart."""
    return step.has_int16


def by_width(tiling: Tiling, wide: Tiling, *formats: Format) -> tuple[Kernel, ...]:
    """Return the kernels for eight cores: one for int8 only, one for these formats with int16."""
    return (
        Kernel(CLUSTER, tiling, lambda node: not node.has_int16),
        Kernel(CLUSTER, wide, has_int16, formats),
    )


def is_large(macs: int) -> bool:
    """Return whether a layer with this number of MACs is faster on nine cores."""
    return macs >= NINE_CORES_MACS


def on_nine_cores(
    tiling: Tiling,
    large: Callable[[QuantizedNode], bool],
    *formats: Format,
) -> tuple[Kernel, ...]:
    """The kernel on eight cores, and of large layers on nine."""
    return (
        Kernel(CLUSTER, tiling, lambda node: not large(node), formats),
        Kernel(NINE_CORES, tiling, large, formats),
    )
