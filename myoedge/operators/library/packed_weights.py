# SPDX-License-Identifier: Apache-2.0
"""Weights of few bits on the cores: packed in all memories, and unpacked tile by tile, to bytes
or, beside an int16 operand, to halfwords."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import Operand, Sizes, TiledKernel
from myoedge.operators.library.packing import BLOCK, CHANNELS
from myoedge.targets.chip import Engine
from myoedge.targets.costs import KernelCost

WEIGHTS = "weights"  # name of the operand
PACKED_BITS = {INT8: (2, 4), INT16: (4, 8)}  # weights with more bits are stored as they are
FREE = KernelCost(0.0, 0.0)
WORD_BYTES, UNPACKING_CORES = 4, 8


@dataclass(frozen=True, slots=True)
class PackedConstant:
    """A constant operand stored with fewer bits per element than the kernel reads; the cores unpack
    each tile's part into scratch.

    operand   name of the operand
    bits      stored bits of an element
    kind      type of the unpacked elements
    scratch   tile sizes -> bytes of the kernel's own scratch; the unpacked bytes follow
    stays     axes along which consecutive tiles reuse the unpacked bytes: the innermost ones, the
              others if a tile has all elements
    inner     innermost axes
    cost      cycles per packed word on the busiest core, and per tile that unpacks
    """

    operand: str
    bits: int
    kind: ElementType
    scratch: Callable[[Sizes], Any]
    stays: tuple[str, ...]
    inner: tuple[str, ...]
    cost: KernelCost

    @property
    def function(self) -> str:
        return "me_unpack"

    def offset(self, sizes: Sizes) -> Any:
        """Return the offset of the unpacked bytes in scratch."""
        return round_up(self.scratch(sizes), WORD_BYTES)

    def unpacked_bytes(self, packed: Operand, sizes: Sizes) -> Any:
        return packed.footprint(sizes) * self.kind.bits // self.bits

    def cycles(self, packed: Operand, axes: Mapping[str, int], sizes: Sizes) -> Any:
        """Return the unpacking cycles per tile, averaged over the tiles that share the unpacked
        bytes."""
        words = -(-packed.footprint(sizes) // (WORD_BYTES * UNPACKING_CORES))
        has_all = math.prod(sizes[axis] >= axes[axis] for axis in packed.axes)
        cycles: Any = self.cost.cycles(words)
        for axis in self.stays:
            share = sizes[axis] / axes[axis]
            cycles = cycles * (share if axis in self.inner else np.where(has_all, share, 1.0))
        return cycles


def with_packed_weights(step: QuantizedNode, kernel: TiledKernel, engine: Engine) -> TiledKernel:
    """Return the kernel with weights stored in fewer bits than it reads, if they fit these;
    otherwise the kernel unchanged."""
    found = [x for x in kernel.operands if x.name == WEIGHTS]
    for weights, kind in itertools.product(found, PACKED_BITS):
        is_read = weights.array is not None and weights.array.dtype == kind.dtype
        bits = stored_bits(step, kind) if is_read else None
        packed = None if bits is None else packed_operand(weights, bits)
        if bits is not None and packed is not None:
            return _unpack_in_scratch(kernel, packed, bits, kind, engine)
    return kernel


def _unpack_in_scratch(
    kernel: TiledKernel, packed: Operand, bits: int, kind: ElementType, engine: Engine
) -> TiledKernel:
    """Return the kernel with packed weights, which it unpacks into its scratch."""
    axes = (*kernel.unit_axes, *kernel.split)
    stays = tuple(axis for axis in axes if axis not in packed.axes)
    inner = kernel.innermost_axes or (stays if packed.axes else ())
    cost = engine.kernels.get(f"me_unpack_s{bits}_s{kind.bits}", FREE)
    packing = PackedConstant(WEIGHTS, bits, kind, kernel.scratch, stays, inner, cost)

    def scratch(sizes: Sizes) -> int:
        unpacked: int = packing.offset(sizes) + packing.unpacked_bytes(packed, sizes)
        return unpacked

    return replace(
        kernel,
        operands=tuple(packed if o.name == WEIGHTS else o for o in kernel.operands),
        innermost_axes=inner,
        scratch=scratch,
        packing=packing,
    )


def stored_bits(step: QuantizedNode, read: ElementType) -> int | None:
    """Return the bits in which a weight is stored for a kernel of the cores that reads this type;
    None if it is stored as it is read."""
    if OPS[step.node.op].weights.multiplicands is None:
        return None
    return next((bits for bits in PACKED_BITS[read] if step.weight_bits <= bits), None)


def packed_operand(weights: Operand, bits: int) -> Operand | None:
    """Return the weights' operand with elements of `bits` bits; None if tiles would begin inside a
    packed word.

    The last block of channels is padded to full size.
    """
    assert weights.array is not None
    unit = WORD_BYTES * 8 // bits  # elements of a packed word
    if not weights.axes:
        array = packed_bytes(weights.array.reshape(1, -1), bits)
        return Operand.whole(weights.name, array.reshape(-1))
    outer = list(weights.shape[:-1])
    size = weights.array.size // math.prod(outer)
    index, rows = weights.dims[:-1], weights.array.reshape(outer[0], -1)
    if CHANNELS in index:
        *outer, channels = outer
        outer, size = [*outer, -(-channels // BLOCK)], BLOCK * size
        index = (*index[:-1], (("k", 1),))
        rows = weights.array.reshape(math.prod(outer[:-1]), -1)
        rows = np.pad(rows, ((0, 0), (0, outer[-1] * size - rows.shape[1])))
    if size % unit or weights.dims[-1]:
        return None
    shape = (*outer, size * bits // 8)
    packed = packed_bytes(rows, bits)
    return Operand(weights.name, weights.source, shape, (*index, ()), array=packed)


def packed_bytes(rows: Array, bits: int) -> Array:
    """Pack int8 or int16 values that fit `bits` bits: [n, values] -> int8 [n, packed bytes].

    Lane i of the lanes (bytes or halfwords) of a packed word holds values i, i + lanes, .. of the
    word's values, the first in its lowest bits.
    """
    lane = rows.dtype.itemsize
    lanes, count = WORD_BYTES // lane, lane * 8 // bits
    filled = np.pad(rows, ((0, 0), (0, -rows.shape[1] % (lanes * count))))
    values = filled.view(f"u{lane}").reshape(len(rows), -1, count, lanes) & ((1 << bits) - 1)
    shifts = (bits * np.arange(count)).astype(values.dtype)[:, None]
    words = np.bitwise_or.reduce(values << shifts, axis=2)
    return np.ascontiguousarray(words).view(np.int8).reshape(len(rows), -1)
