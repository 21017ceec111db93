# SPDX-License-Identifier: Apache-2.0
"""Tensors that share buffers: views, contiguous slices, rows of a loop's sequences, outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import strides
from myoedge.operators.base import OPS
from myoedge.plan.l3.spill import Roots
from myoedge.plan.loops import LoopPlaces
from myoedge.plan.plan import size_bytes
from myoedge.quantization.scales import QuantGraph

BYTES_BY_DMA = 1024  # size of a sliced output from which on the DMA copies faster than cores in L2


def row_bytes(name: str, places: LoopPlaces) -> int:
    """Return the bytes by which a tensor's address advances per iteration of its loop; 0 outside
    loops."""
    while name not in places.rows and name in places.aliases:
        name = places.aliases[name][0]
    return places.rows.get(name, 0)


def shared_places(q: QuantGraph, alignment: int) -> dict[str, tuple[str, int]]:
    """Return tensor -> (tensor whose bytes it shares, offset in bytes), for views and contiguous
    slices.

    alignment   bytes of which an offset must be a multiple
    """
    aliases: dict[str, tuple[str, int]] = {}
    leaving = {_slice_of_output(q, name) for name in q.graph.outputs}
    for node in q.graph.nodes:
        first = 0 if OPS[node.op].view else None
        if node.op == "slice" and node.name not in leaving:
            first = contiguous_slice(q.graph.shape(node.inputs[0]), node.attrs["cuts"])
        if first is not None:
            offset = first * q.element_type(node.inputs[0]).size_bytes
            if offset % alignment == 0:
                aliases[node.name] = (node.inputs[0], offset)
    return aliases


def _slice_of_output(q: QuantGraph, name: str) -> str:
    """Return the slice that an output views, if it is large enough for the DMA to copy it faster
    than the cores; otherwise ""."""
    while (node := q.graph.producer.get(name)) is not None and OPS[node.op].view:
        name = node.inputs[0]
    return name if node is not None and size_bytes(q, name) >= BYTES_BY_DMA else ""


def contiguous_slice(shape: Shape, cuts: Sequence[tuple[int, int, int]]) -> int | None:
    """Return the index of a slice's first element, if the slice is contiguous in memory, otherwise
    None.

    cuts   (start, stop, step) per axis
    """
    resident = [len(range(*cut)) for cut in cuts]
    cut_axes = [d for d, n in enumerate(shape) if resident[d] != n]
    last = max(cut_axes, default=0)
    one_run = all(n == 1 for n in resident[:last]) and all(
        c[2] == 1 for c, n in zip(cuts, resident, strict=True) if n > 1
    )
    first = sum(cut[0] * stride for cut, stride in zip(cuts, strides(shape), strict=True))
    return first if one_run else None


def stored_at(name: str, alias: Mapping[str, tuple[str, int]]) -> tuple[str, int]:
    """Return the tensor whose buffer a tensor shares, directly or through others, and its offset in
    it in bytes."""
    offset = 0
    while name in alias:
        name, more = alias[name]
        offset += more
    return name, offset


def written_outputs(
    q: QuantGraph, roots: Roots
) -> tuple[dict[str, int], tuple[tuple[int, str], ...]]:
    """Return the outputs that layers write directly, as {buffer: output number}, and the (output
    number, tensor) pairs that are copied at the end."""
    owned: dict[str, int] = {}
    copies: list[tuple[int, str]] = []
    for index, name in enumerate(q.graph.outputs):
        root, _ = roots[name]
        computed = root in q.graph.producer
        is_all = size_bytes(q, root) == size_bytes(q, name)
        if computed and is_all and root not in owned:
            owned[root] = index
        else:
            copies.append((index, name))
    return owned, tuple(copies)
