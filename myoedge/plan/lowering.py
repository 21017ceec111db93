# SPDX-License-Identifier: Apache-2.0
"""Lowering of a network for a chip: fused layers, shared buffers, kernels; the forms of it that may
fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import strides
from myoedge.operators.base import OPS
from myoedge.operators.turns import loop_of
from myoedge.plan.fused_layers import LoweredLayers, layers_as_one
from myoedge.plan.l1.layer_kernels import NetworkKernels
from myoedge.plan.l1.tile_choice import TileRanks
from myoedge.plan.loop_places import LoopPlaces, loops_of_odd_rows
from myoedge.plan.loops import Roots, loop_layers
from myoedge.plan.lowered import LoweredNetwork
from myoedge.plan.placement import Allocator
from myoedge.plan.plan import size_bytes
from myoedge.plan.whole_loops import reads_bytes
from myoedge.quantization.scales import QuantGraph
from myoedge.targets.chip import Chip

BYTES_BY_DMA = 1024  # size of a sliced output from which on the DMA copies faster than cores in L2


def forms(network: LoweredNetwork, by_bytes: bool | None) -> Iterator[LoweredNetwork]:
    """Yield the forms of a network that may fit: each layer on its best engine; all on the cores,
    as tiles for accelerators may leave less L2; and those that need the fewest bytes.

    by_bytes   as for make_plan
    """
    chip, ranks = network.chip, network.kernels.ranks
    alone, room = chip.cores_alone(), chip.l2_room_beside_code(len(network.steps))
    has_tight = bool(chip.l1_bytes and room)
    if not (by_bytes and has_tight):
        yield network
        if alone != chip and room and _uses_accelerators(network):
            yield lower_network(network.quant, chip, alone, network.placing, ranks)
    if has_tight and by_bytes is not False:
        yield network.tight()


def _uses_accelerators(network: LoweredNetwork) -> bool:
    """Return whether an accelerator can run a layer."""
    names = {engine.name for engine in network.used.engines if engine.accelerator}
    return any(kernel.engine in names for known in network.kernels.kernels for kernel, _ in known)


def lower_network(
    q: QuantGraph, chip: Chip, used: Chip, placing: Allocator, ranks: TileRanks, byte: float = 0.0
) -> LoweredNetwork:
    """Return the network with fused layers, shared buffers and candidate kernels for the engines of
    `used`; byte: byte_cycles of LoweredLayers."""
    lowered = _join_layers(q, used, loops_of_odd_rows(q, chip.alignment_bytes), byte)
    steps, roots, rows = lowered.steps, lowered.roots, lowered.rows
    written = (roots[name][0] for step in steps for name in step.written)
    stored = {*q.graph.inputs, *q.constants, *written}
    roots = {name: root for name, root in roots.items() if root[0] in stored}
    owned, copies = written_outputs(q, roots)
    kernels, loops = NetworkKernels.of(steps, used, ranks), loop_layers(q, steps)
    return LoweredNetwork(q, chip, steps, roots, owned, copies, placing, kernels, used, loops, rows)


def _join_layers(q: QuantGraph, chip: Chip, whole: Set[int], byte_cycles: float) -> LoweredLayers:
    """Return the layers of a network with fused ones, and their shared buffers.

    whole   numbers of the loops that are one layer if their rows are read at any address
    """
    views = shared_places(q, chip.alignment_bytes)
    places = LoopPlaces.of(q, views, chip.alignment_bytes, whole)
    steps = tuple(s for s in q.steps if s.node.name not in views and s.node.name not in places.idle)
    roots = {name: stored_at(name, places.aliases) for name in (*q.graph.tensors, *q.constants)}
    rows = {name: places.bytes_per_iteration(name) for name in roots}
    before = LoweredLayers(q, steps, roots, rows, chip, byte_cycles)
    found = replace(before, steps=layers_as_one(before))
    loops = loop_of(q.graph.nodes)
    joined = {loops[x.node.name] for x in found.steps if x.turns > 1 and reads_bytes(x)}
    return found if whole <= joined else _join_layers(q, chip, whole & joined, byte_cycles)


def shared_places(q: QuantGraph, alignment: int) -> dict[str, tuple[str, int]]:
    """Return tensor -> (tensor whose bytes it shares, offset in bytes), for views and contiguous
    slices.

    alignment   bytes of which an offset must be a multiple
    """
    aliases: dict[str, tuple[str, int]] = {}
    leaving = {_output_slice(q, name) for name in q.graph.outputs}
    for node in q.graph.nodes:
        first = 0 if OPS[node.op].view else None
        if node.op == "slice" and node.name not in leaving:
            first = contiguous_slice(q.graph.shape(node.inputs[0]), node.attrs["cuts"])
        if first is not None:
            offset = first * q.element_type(node.inputs[0]).size_bytes
            if offset % alignment == 0:
                aliases[node.name] = (node.inputs[0], offset)
    return aliases


def _output_slice(q: QuantGraph, name: str) -> str:
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
