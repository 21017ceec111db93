# SPDX-License-Identifier: Apache-2.0
"""Consistency checks of the layers' buffers in L1 and of transfers between L1 and L2, which `check`
includes."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from myoedge.operators.checks import Spec
from myoedge.operators.kernel import Operand, Source, Span, Written
from myoedge.plan.l1.prefetch import MOST_AHEAD
from myoedge.plan.l1.resident import LONGEST
from myoedge.plan.l1.tile_grid import READ_BYTES
from myoedge.plan.l1.tile_iteration import Transfer, start_bytes, transfers
from myoedge.plan.l1.tiling import Buffer, Tiling
from myoedge.plan.loops import borders
from myoedge.plan.plan import Plan, size_bytes

if TYPE_CHECKING:
    from myoedge.operators.base import QuantizedNode


LONGEST_TRANSFER = 2**17 - 1  # bytes: limit of the length field of mchan's command


def _check_l1_bounds(plan: Plan) -> Iterator[str]:
    """Yield layers with L1 buffers that end after the end of L1."""
    end = plan.chip.l1_room_bytes if plan.chip.l1_bytes else sys.maxsize
    for step, tiling in _tiled_layers(plan):
        if not all(0 <= b.offset <= end - b.size_bytes for b in tiling.buffers):
            yield step.node.name


def _check_l1_overlap(plan: Plan) -> Iterator[str]:
    """Yield layers whose L1 buffers overlap other L1 buffers that are alive at the same time."""
    rows = [(b, step.node.name) for step, tiling in _tiled_layers(plan) for b in tiling.buffers]
    alive: list[Buffer] = []
    for buffer, name in sorted(rows, key=lambda row: row[0].first):
        alive = [other for other in alive if other.last >= buffer.first]
        at, end = buffer.offset, buffer.offset + buffer.size_bytes
        if any(x.offset < end and at < x.offset + x.size_bytes for x in alive):
            yield name
        alive.append(buffer)


def _check_early_starts(plan: Plan) -> Iterator[str]:
    """Yield layers in which an accelerator that starts early would overwrite live L1 buffers."""
    buffers = [*chain.from_iterable(tiling.buffers for _, tiling in _tiled_layers(plan))]
    for step, tiling in _tiled_layers(plan):
        early = list(_early_writes(tiling))
        others = _live_buffers(tiling, buffers) if early else []
        for now, (at, count) in early:
            alive = (b for b in others if b.first <= now <= b.last)
            ends = ((b.offset, b.offset + b.size_bytes) for b in alive)
            if any(max(at, start) < min(at + count, end) for start, end in ends):
                yield step.node.name


def _live_buffers(tiling: Tiling, buffers: Iterable[Buffer]) -> list[Buffer]:
    """Return the buffers alive during a layer, without the buffers of its result: its own, or the
    buffer of another layer with the state of a loop, if the layer writes and does not read it."""
    last, name = tiling.first + len(tiling.tiles) - 1, tiling.kernel.out.name
    place = _place_of_state(tiling)
    alive = (b for b in buffers if b.first <= last and tiling.first <= b.last)
    others = (b for b in alive if b not in tiling.buffers or b.operand != name)
    return [b for b in others if (b.offset, b.size_bytes) != place]


def _place_of_state(tiling: Tiling) -> Span | None:
    """Return offset and size of a result that stays in L1; None for other results, or if the layer
    reads these bytes."""
    name, size_bytes = tiling.kernel.out.name, _size_bytes(tiling.kernel.out)
    if name not in tiling.resident:
        return None
    start, others = tiling.tiles[0].l1[name], {name, *tiling.choice.in_l2}
    reads = (at for tile in tiling.tiles for x, at in tile.l1.items() if x not in others)
    is_read = any(start <= at < start + size_bytes for at in reads)
    return None if is_read else (start, size_bytes)


def _early_writes(tiling: Tiling) -> Iterator[tuple[int, Span]]:
    """Yield (tile that starts the next tile early, L1 bytes that the next tile writes)."""
    starts, out, kernel = tiling.kernel.launches_next_tile, tiling.kernel.out, tiling.kernel
    rows = [kernel.tile(tile.regions) for tile in tiling.tiles] if starts else []
    for t, (here, behind) in enumerate(pairwise(rows)):
        tile = tiling.tiles[t + 1]
        if starts and starts(here, behind) and out.name in tile.l1:
            moved = list(transfers(out, tile.regions[out.name], 0))
            stays = out.name in tiling.resident
            size_bytes = moved[-1].end - moved[0].at if stays else sum(x.bytes for x in moved)
            yield tiling.first + t, (tile.l1[out.name], size_bytes)


def _check_prefetches(plan: Plan) -> Iterator[str]:
    """Yield layers whose prefetched constants have no buffer from the start of their transfer, or
    would exceed the transfers allowed in flight."""
    rows = [
        (step, tiling, tile, moved)
        for step, tiling in _tiled_layers(plan)
        for tile, moved in tiling.loads_ahead.items()
    ]
    for step, tiling, prefetch_tile, moved in rows:
        behind = bisect_right(rows, prefetch_tile, key=lambda row: row[1].first)
        later = rows[behind : behind + 2 * MOST_AHEAD]  # each has at least one tile
        at_once = [len(m) for _, _, begin, m in later if begin <= prefetch_tile]
        near = max(tiling.first - MOST_AHEAD, 0) <= prefetch_tile < tiling.first
        held = all(_transfer_is_in_buffer(tiling, x, prefetch_tile) for x in moved)
        if not (near and held and sum(at_once) <= MOST_AHEAD):
            yield step.node.name


def _check_loads_complete(plan: Plan) -> Iterator[str]:
    """Yield layers with operands that are loaded while the layer before writes them, or across the
    start or end of a loop."""
    outside = borders(plan.loops)
    for index, tiling in enumerate(plan.tilings):
        if not tiling.ahead:
            continue
        tensors = plan.steps[index].tensors
        read = [tensors[tiling.kernel.operand(name).source] for name in tiling.ahead]
        written = plan.steps[index - 1].written if index else ()
        if index in outside or any(_shares_bytes(plan, index, a, b) for a in read for b in written):
            yield plan.steps[index].node.name


def _shares_bytes(plan: Plan, index: int, read: str, written: str) -> bool:
    """Return whether an operand of layer `index` has bytes that the layer before writes."""
    here, there = plan.place(index, read), plan.place(index - 1, written)
    if (here.kind, here.index) != (there.kind, there.index):
        return False
    end, other = (size_bytes(plan.quant, name) for name in (read, written))
    return here.offset < there.offset + other and there.offset < here.offset + end


def _check_l1_alignment(plan: Plan) -> Iterator[str]:
    tiled = _tiled_layers(plan)
    return (step.node.name for step, t in tiled if any(b.offset % 4 for b in t.buffers))


def _check_l1_words(plan: Plan) -> Iterator[str]:
    """Yield layers with L1 buffers that end inside a word, whose kernels may read past the end of
    L1's array."""
    for step, tiling in _tiled_layers(plan):
        if plan.chip.l1_bytes and any(b.size_bytes % READ_BYTES for b in tiling.buffers):
            yield step.node.name


def _check_results_covered(plan: Plan) -> Iterator[str]:
    """Yield layers that do not store (or, for results that stay in L1, compute) every byte of their
    results exactly once."""
    for step, tiling in _tiled_layers(plan):
        if not all(_is_stored_once(tiling, out) for out in tiling.kernel.results):
            yield step.node.name


def _is_stored_once(tiling: Tiling, out: Operand) -> bool:
    counts = np.zeros(math.prod(out.shape) * out.itemsize, np.uint8)
    for tile in tiling.tiles:
        for x in (x for x in tile.stores if x.operand == out.name):
            for line in range(x.bytes // x.line):
                at = x.at + line * x.stride
                counts[at : at + x.line] += 1
        if out.name in tiling.resident or out.name in tiling.choice.in_l2:
            for x in transfers(out, tile.regions[out.name], 0):
                for line in range(x.bytes // x.line):
                    at = x.at + line * x.stride
                    counts[at : at + x.line] = 1
    return bool((counts == 1).all())


def _check_resident_offsets(plan: Plan) -> Iterator[str]:
    """Yield layers that read an L1-resident tensor at another offset than it was written, or after
    its buffer was released."""
    for index, (step, tiling) in enumerate(_tiled_layers(plan)):
        longest = len(plan.tilings) if plan.turns(index) > 1 else LONGEST
        near = plan.tilings[max(index - longest, 0) : index + 1]
        buffers = [*chain.from_iterable(other.buffers for other in near)]
        places = _l1_offsets(plan, index)
        operands = {o.source: o for o in tiling.kernel.operands if o.name in tiling.resident}
        fetched = (o for o in operands.values() if o.constant or plan.is_fetched_row(index, o))
        if plan.turns(index) > 1:
            places |= {o.source: tiling.resident[o.name] for o in fetched}
        if operands.keys() != places.keys() or not all(
            _stays_at_offset(tiling, operands[at], places[at], buffers) for at in places
        ):
            yield step.node.name


def _l1_offsets(plan: Plan, index: int) -> dict[Source, int]:
    """Return source of an operand of a layer's kernel -> L1 offset of its tensor, for tensors in
    L1."""
    used = {operand.source for operand in plan.tilings[index].kernel.operands}
    tensors = plan.steps[index].tensors
    places = {source: plan.place(index, name) for source, name in tensors.items() if source in used}
    return {source: place.offset for source, place in places.items() if place.kind == "l1"}


def _stays_at_offset(
    tiling: Tiling, operand: Operand, offset: int, buffers: Sequence[Buffer]
) -> bool:
    """Return whether all tiles access an L1-resident tensor at one offset, in a live buffer."""
    last = tiling.first + len(tiling.tiles) - 1
    end = offset + math.prod(operand.shape) * operand.itemsize
    strides = {0, operand.itemsize * operand.shape[-1] if operand.position_stride else 0}
    alive = any(
        b.offset <= offset
        and end <= b.offset + b.size_bytes
        and b.first <= tiling.first <= last <= b.last
        for b in buffers
    )
    for tile in tiling.tiles:
        region = tile.regions[operand.name]
        runs = list(transfers(operand, region, 0))
        at = offset + start_bytes(operand, region)
        alive &= operand.has_steps or (len(runs) <= 1 and all(x.stride in strides for x in runs))
        alive &= tile.l1[operand.name] == at
    return alive


def _check_operand_bounds(plan: Plan) -> Iterator[str]:
    """Yield layers whose kernel takes more of an operand, or of a result, than there is."""
    for step, tiling in _tiled_layers(plan):
        if any(_size_bytes(x) > held_bytes(step, x) for x in tiling.kernel.operands):
            yield step.node.name


def _size_bytes(operand: Operand) -> int:
    return math.prod(operand.shape) * operand.itemsize


def held_bytes(step: QuantizedNode, operand: Operand) -> int:
    """Return the bytes of the tensor or constant that an operand of a layer's kernel is."""
    if operand.array is not None:
        return operand.array.nbytes
    if isinstance(operand.source, Written):
        node = step.results[operand.source.number]
        return math.prod(node.out) * node.element_type.size_bytes
    assert isinstance(operand.source, int), operand
    at = operand.source
    return math.prod(step.shapes[at]) * step.read_type(at).size_bytes


def _check_dma_limits(plan: Plan) -> Iterator[str]:
    """Yield layers with transfers that exceed the DMA's limits, operand or L1 buffer."""
    longest = LONGEST_TRANSFER if plan.chip.l1_bytes else sys.maxsize
    for step, tiling in _tiled_layers(plan):
        shapes = {o.name: _size_bytes(o) for o in tiling.kernel.operands}
        for tile in tiling.tiles:
            for x in (*tile.loads, *tile.stores):
                rules = (
                    x.bytes % x.line == 0,
                    0 < x.bytes <= longest,
                    0 <= x.at < x.end <= shapes[x.operand],
                    _transfer_is_in_buffer(tiling, x),
                )
                if not all(rules):
                    yield step.node.name


def _transfer_is_in_buffer(tiling: Tiling, x: Transfer, tile: int | None = None) -> bool:
    return any(
        (b.operand == x.operand and (tile is None or b.first <= tile))
        and b.offset <= x.l1
        and x.l1 + x.bytes <= b.offset + b.size_bytes
        for b in tiling.buffers
    )


def _tiled_layers(plan: Plan) -> Iterator[tuple[QuantizedNode, Tiling]]:
    return zip(plan.steps, plan.tilings, strict=True)


L1_PLANNED: Spec[Plan] = (
    (_check_l1_bounds, "a buffer leaves L1"),
    (_check_l1_alignment, "a buffer of L1 does not start at a word"),
    (_check_l1_words, "a buffer of L1 ends inside a word"),
    (_check_l1_overlap, "two buffers of L1 share bytes while both are alive"),
    (
        _check_early_starts,
        "the next tile's results, which begin early, share bytes with a live buffer",
    ),
    (_check_prefetches, "a prefetched constant has no buffer yet, or too many are in flight"),
    (_check_loads_complete, "an operand is loaded before it is complete"),
    (_check_results_covered, "a byte of a layer's results is not stored once"),
    (_check_resident_offsets, "a tensor in L1 is read at another offset, or after its release"),
    (_check_operand_bounds, "a kernel takes more of an operand than there is"),
    (_check_dma_limits, "a transfer exceeds the DMA, its operand or its buffer"),
)
