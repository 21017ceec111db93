# SPDX-License-Identifier: Apache-2.0
"""Data of a loop that stay in L1 during all iterations: states and results, constants of its
layers, and the arguments of their kernel calls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from myoedge.numerics.arrays import round_up
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.plan.l1.resident import LONGEST
from myoedge.plan.l1.tile_grid import ALIGNMENT, readable
from myoedge.plan.l1.tiling import ARGUMENTS, Buffer, Tiling
from myoedge.plan.loops import LoopLayers, LoopTensor

SHARES = (2, 8)  # constants may take 1 / SHARES of L1
CARRIED_SHARE = 8  # tensors may take 1 / CARRIED_SHARE of L1
CALLS_SHARE = 3  # arguments may take 1 / CALLS_SHARE of L1
ARGUMENTS_BYTES = 384  # of one kernel call, as the generated C asserts
TIME_BYTES = 4  # of a layer's cycles

Offsets = Mapping[str, int]  # operand -> bytes from the first of these operands


def carried_tensors(
    tensors: Sequence[LoopTensor], kernels: Sequence[TiledKernel], room: int
) -> dict[LoopTensor, int]:
    """Return tensor -> bytes from the first one, for the tensors that stay in L1 to the end of
    their loop: states, rows of sequences, and results that are live for more layers than
    `choose_resident` considers, which fit in a share of L1, smallest first.

    room   bytes of L1
    """
    found: dict[LoopTensor, int] = {}
    at = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.size_bytes):
        size = int(round_up(tensor.size_bytes, ALIGNMENT))
        stays = tensor.is_state or tensor.is_row or tensor.layers > LONGEST
        fits = stays and (at + size) * CARRIED_SHARE <= room
        if fits and not any(kernels[layer].in_l2 for layer, _, _ in tensor.uses):
            found[tensor] = at
            at += size
    return found


def _offsets_by_layer(
    carried: Mapping[LoopTensor, int], kernels: Sequence[TiledKernel]
) -> dict[int, Offsets]:
    """Return layer -> L1 offsets of the operands that are these tensors, or parts of them."""
    found: dict[int, dict[str, int]] = {}
    for tensor, at in carried.items():
        for layer, source, offset in tensor.uses:
            names = (x.name for x in kernels[layer].operands if x.source == source)
            found.setdefault(layer, {}).update((name, at + offset) for name in names)
    return dict(found)


def loops_with_calls(loops: Sequence[LoopLayers], room: int) -> list[LoopLayers]:
    """Return the loops whose arguments stay in L1.

    room   bytes of L1
    """
    return [x for x in loops if x.steps > 1 and calls_bytes(x) * CALLS_SHARE <= room]


def times_bytes(layers: int) -> int:
    """Return the bytes of the layers' cycles, which a network with loops sums over iterations."""
    return TIME_BYTES * (layers + 2)


def calls_bytes(loop: LoopLayers) -> int:
    """Return the bytes of the arguments of a loop's layers."""
    return loop.layers * ARGUMENTS_BYTES


def with_buffers(
    tilings: Sequence[Tiling | None],
    staying: Mapping[int, Offsets],
    carried: Iterable[LoopTensor],
    loops: Sequence[LoopLayers],
) -> tuple[Tiling | None, ...]:
    """Return the tilings with L1 buffers for constants that stay for a loop, and for carried
    tensors in the layer that sets or first reads them; unchanged if a layer has no tiling.

    staying   layer -> operands that stay
    """
    known = [tiling for tiling in tilings if tiling is not None]
    if len(known) < len(tilings):
        return tuple(tilings)
    for loop in loops:
        for index in range(loop.first, loop.last + 1):
            names = sorted(staying.get(index, {}).keys() & known[index].resident.keys())
            constants = (x for name in names if (x := known[index].kernel.operand(name)).constant)
            sizes = {x.name: size_bytes(x) for x in constants}
            known[index] = _add_resident_buffers(known, index, sizes, known[loop.first].first, loop)
    for tensor in carried:
        known[tensor.setter] = _add_carried_buffer(known, tensor)
    return tuple(known)


def _add_carried_buffer(tilings: Sequence[Tiling], tensor: LoopTensor) -> Tiling:
    """Return the layer that sets or first reads a carried tensor with the tensor's buffer."""
    at, loop = tensor.setter, tensor.loop
    first = loop.first if tensor.is_row else at
    sources = {source for layer, source, _ in tensor.uses if layer == at}
    found = (x for x in tilings[at].kernel.operands if x.source in sources)
    name = next(x.name for x in found if x.written or tensor.is_row)
    sizes = {name: readable(tensor.size_bytes)}
    return _add_resident_buffers(tilings, at, sizes, tilings[first].first, loop)


def _add_resident_buffers(
    tilings: Sequence[Tiling], index: int, sizes: Mapping[str, int], first: int, loop: LoopLayers
) -> Tiling:
    """Return layer `index` with buffers of resident operands from tile `first` to the loop's end.

    sizes   operand -> bytes
    """
    tiling, last = tilings[index], tilings[loop.last]
    end = last.first + len(last.tiles) - 1
    more = (Buffer(name, 0, n, tiling.resident[name], first, end) for name, n in sizes.items())
    return replace(tiling, buffers=(*tiling.buffers, *more))


def with_calls(
    tilings: Sequence[Tiling | None], loops: Sequence[LoopLayers]
) -> tuple[Tiling | None, ...]:
    """Return the tilings with L1 buffers for the calls of these loops' layers, behind all other
    buffers, and iterations back to back where nothing is moved between them; unchanged if a layer
    has no tiling."""
    known = [tiling for tiling in tilings if tiling is not None]
    found = [*tilings]
    ends = (buffer.offset + buffer.size_bytes for x in known for buffer in x.buffers)
    start = int(round_up(max(ends, default=0), ALIGNMENT))
    for loop in loops if len(known) == len(found) else ():
        span = known[loop.first].first, known[loop.last].first + len(known[loop.last].tiles) - 1
        for at, index in enumerate(range(loop.first, loop.last + 1)):
            call = Buffer(ARGUMENTS, 0, ARGUMENTS_BYTES, start + at * ARGUMENTS_BYTES, *span)
            buffers = [call] * _has_constant_arguments(known[index])
            is_next = at == 0 and _can_follow(known[index], known[loop.last])
            found[index] = replace(
                known[index],
                buffers=(*known[index].buffers, *buffers),
                back_to_back=is_next or known[index].back_to_back,
            )
    return tuple(found)


def _can_follow(first: Tiling, last: Tiling) -> bool:
    """Return whether a loop's first layer can begin when the last one has ended, without a
    transfer between them."""
    return _has_constant_arguments(first) and not first.tiles[0].loads and not last.tiles[-1].stores


def _has_constant_arguments(tiling: Tiling) -> bool:
    """Return whether a layer's arguments are the same in all iterations and tiles: operands in L2
    may be rows of sequences, jobs of the accelerator are made for
    each call."""
    in_l2 = tiling.kernel.in_l2 or tiling.choice.in_l2
    return len(tiling.tiles) == 1 and not in_l2 and not tiling.kernel.jobs


def loop_data(
    kernels: Sequence[TiledKernel],
    loops: Sequence[LoopLayers],
    carried: Mapping[LoopTensor, int],
    room: int,
) -> list[dict[int, Offsets]]:
    """Return the choices of operands that stay in L1 for all iterations of their loop, each as
    layer -> L1 offsets: all carried tensors, with constants that fit in a share of L1 or none.

    room   bytes of L1; constants that stay leave less for the tiles of all layers
    """
    places = _offsets_by_layer(carried, kernels)
    found: list[dict[int, Offsets]] = []
    for share in SHARES:
        chosen = _place_loop_data(kernels, loops, places, room // share)
        found += [chosen] * (chosen not in found)
    return found if places in found else [*found, places]


def _place_loop_data(
    kernels: Sequence[TiledKernel],
    loops: Sequence[LoopLayers],
    carried: Mapping[int, Offsets],
    most: int,
) -> dict[int, Offsets]:
    """Return layer -> L1 offsets of carried tensors and, behind them, of the constants that fit in
    `most` bytes, smallest first; no constants for a loop of a single iteration. Loops run one after
    another, so that their constants share the bytes.
    """
    found = {layer: dict(offsets) for layer, offsets in carried.items()}
    start = end_bytes(kernels, carried)
    for loop in loops:
        if loop.steps == 1:
            continue
        constants = [
            (size_bytes(operand), index, operand.name)
            for index in range(loop.first, loop.last + 1)
            for operand in kernels[index].operands
            if operand.constant and not kernels[index].in_l2
        ]
        at = 0
        for size, index, name in sorted(constants):
            if at + size <= most:
                found.setdefault(index, {})[name] = start + at
                at += size
    return dict(found)


def end_bytes(kernels: Sequence[TiledKernel], staying: Mapping[int, Offsets]) -> int:
    """Return the end of the operands that stay in L1 during loops, in bytes from the first one.

    staying   layer -> operand -> offset, as of `loop_data`
    """
    rows = ((kernels[i].operand(name), at) for i, x in staying.items() for name, at in x.items())
    return max((at + size_bytes(operand) for operand, at in rows), default=0)


def size_bytes(operand: Operand) -> int:
    """Return the bytes of L1 that an operand takes if it is not tiled."""
    return int(round_up(math.prod(operand.shape) * operand.itemsize, ALIGNMENT))
