# SPDX-License-Identifier: Apache-2.0
"""2- to 4-bit weights on the cores: packed in all memories, and unpacked tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import Operand, Sizes, TiledKernel
from myoedge.operators.library.packing import BLOCK, CHANNELS
from myoedge.targets.chip import Engine, KernelCost

WEIGHTS = "weights"  # name of the operand
STORED_BITS = (2, 4)  # weights with more bits are stored as bytes
FREE = KernelCost(0.0, 0.0)
WORD_BYTES, UNPACKING_CORES = 4, 8


@dataclass(frozen=True, slots=True)
class PackedConstant:
    """A constant operand stored with 2 or 4 bits per element; the cores unpack each tile's part
    into scratch.

    operand   name of the operand
    bits      bits of an element
    scratch   tile sizes -> bytes of the kernel's own scratch; the unpacked bytes follow
    stays     innermost axes along which consecutive tiles reuse the unpacked bytes
    cost      cycles per packed word on the busiest core, and per tile that unpacks
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
        """Return the offset of the unpacked bytes in scratch."""
        return round_up(self.scratch(sizes), WORD_BYTES)

    def unpacked_bytes(self, packed: Operand, sizes: Sizes) -> Any:
        return packed.footprint(sizes) * 8 // self.bits

    def cycles(self, packed: Operand, axes: Mapping[str, int], sizes: Sizes) -> Any:
        """Return the unpacking cycles per tile, averaged over the tiles that share the unpacked
        bytes."""
        words = -(-packed.footprint(sizes) // (WORD_BYTES * UNPACKING_CORES))
        share = math.prod(sizes[axis] / axes[axis] for axis in self.stays)
        return self.cost.cycles(words) * share


def with_packed_weights(step: QuantizedNode, kernel: TiledKernel, engine: Engine) -> TiledKernel:
    """Return the kernel with weights stored in 2 or 4 bits if they fit; otherwise the kernel
    unchanged."""
    found = [x for x in kernel.operands if x.name == WEIGHTS and x.array is not None]
    bits = stored_bits(step) if found else INT8.bits
    packed = packed_operand(found[0], bits) if bits < INT8.bits else None
    return kernel if packed is None else _unpack_in_scratch(kernel, packed, bits, engine)


def _unpack_in_scratch(
    kernel: TiledKernel, packed: Operand, bits: int, engine: Engine
) -> TiledKernel:
    """Return the kernel with packed weights, which it unpacks into its scratch."""
    axes = (*kernel.unit_axes, *kernel.split) if packed.axes else ()
    stays = tuple(axis for axis in axes if axis not in packed.axes)
    cost = engine.kernels.get(f"me_unpack_s{bits}", FREE)
    packing = PackedConstant(WEIGHTS, bits, kernel.scratch, stays, cost)

    def scratch(sizes: Sizes) -> int:
        unpacked: int = packing.offset(sizes) + packing.unpacked_bytes(packed, sizes)
        return unpacked

    return replace(
        kernel,
        operands=tuple(packed if o.name == WEIGHTS else o for o in kernel.operands),
        innermost_axes=kernel.innermost_axes or stays,
        scratch=scratch,
        packing=packing,
    )


def stored_bits(step: QuantizedNode) -> int:
    """Return the bits in which the cores' kernels store a weight: 2, 4, 8 or 16."""
    if OPS[step.node.op].weights.multiplicands is None or step.weight_type != INT8:
        return INT8.bits
    return next((bits for bits in STORED_BITS if step.weight_bits <= bits), INT8.bits)


def packed_operand(weights: Operand, bits: int) -> Operand | None:
    """Return the weights' operand with 2- or 4-bit elements; None if tiles would begin inside a
    packed word.

    The last block of channels is padded to full size.
    """
    assert weights.array is not None
    if weights.array.dtype != np.int8:
        return None
    unit = WORD_BYTES * 8 // bits  # unpacked bytes per word
    if not weights.axes:
        array = packed_bytes(weights.array.reshape(1, -1), bits)
        return Operand.whole(weights.name, array.reshape(-1))
    *outer, size = weights.shape
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
    """Pack int8 values that fit `bits` bits: [n, bytes] -> [n, packed bytes].

    Byte i of a packed word holds bytes i, i + 4, .. of the unpacked row, the first in its lowest
    bits.
    """
    count = 8 // bits
    padded = np.pad(
        rows, ((0, 0), (0, round_up(rows.shape[1], WORD_BYTES * count) - rows.shape[1]))
    )
    parts = padded.view(np.uint8).reshape(len(rows), -1, count, WORD_BYTES) & ((1 << bits) - 1)
    shifts = (bits * np.arange(count, dtype=np.uint8))[:, None]
    words = np.bitwise_or.reduce(parts << shifts, axis=2)
    return np.ascontiguousarray(words.astype(np.uint8).view(np.int8)).reshape(len(rows), -1)
