# SPDX-License-Identifier: Apache-2.0
"""The plan of a network: the memory and offset of every tensor, and derived sizes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from myoedge.errors import Notice
from myoedge.numerics.arrays import Array, round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.operators.layer_names import located
from myoedge.plan.cost.timing import modelled
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.plan.l1.no_tiling import too_small
from myoedge.plan.l1.tile_search import choose
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.levels.equal_constants import SHARED_FROM, Key, owners
from myoedge.plan.levels.feature_maps import Access
from myoedge.plan.levels.transfers import LevelTransfer, resident_ranges
from myoedge.plan.locations import Location, LoopState, place_in_layer
from myoedge.plan.loops import LoopLayers, turns_of
from myoedge.plan.placement import LiveRange, Placement
from myoedge.plan.timeline import Chunk, TimelineSteps, whole_words
from myoedge.quantization.scales import QuantGraph
from myoedge.targets.chip import Chip

MARK_BYTES = 4  # bytes of L1 per time stamp: of the start, each layer, and the copies


@dataclass(frozen=True)
class Plan:
    """A quantised network with the address of every tensor and the transfers of every layer.

    quant            the network
    chip             the chip
    steps            layers that run; views are left out
    where            location of every tensor
    copies           (output number, tensor) for outputs that no layer writes directly
    lives            buffers of the arena
    placement        offsets of these buffers
    tilings          tiling of each layer
    timeline_steps   numbering of barrier intervals
    transfers        transfers between memory levels and L2, in order
    maps             feature map in a memory level -> offset after the level's image
    accesses         accesses of layers to these maps
    loops            loop bodies
    tile_ranks       layer signature -> rank of its tiling by estimated cycles, if it is not 0
    loop_states      states that are stored after their loops
    is_tight         whether bytes decided instead of cycles, as of the LoweredNetwork
    """

    quant: QuantGraph
    chip: Chip
    steps: tuple[QuantizedNode, ...]
    where: Mapping[str, Location]
    copies: tuple[tuple[int, str], ...]
    lives: tuple[LiveRange, ...]
    placement: Placement
    tilings: tuple[Tiling, ...]
    timeline_steps: TimelineSteps
    transfers: tuple[LevelTransfer, ...] = ()
    maps: Mapping[str, int] = field(default_factory=dict)
    accesses: tuple[Access, ...] = ()
    loops: tuple[LoopLayers, ...] = ()
    tile_ranks: Mapping[str, int] = field(default_factory=dict)
    loop_states: tuple[LoopState, ...] = ()
    is_tight: bool = False

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena: feature maps, and buffers for data from memory levels."""
        ends = (x.l2 + x.chunk.room_bytes for x in self.transfers)
        return max([self.placement.arena_bytes, *ends])

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights, tables and constant operands that stay in L2."""
        near = map(self.resident_bytes, {*self.owners.values()})
        return sum(near) + sum(self.constants.values())

    def stays(self, key: Key) -> bool:
        """Return whether a part of a layer's constant stays in L2, stored under its own name."""
        return self.owners[key] == key and self.resident_bytes(key) > 0

    def resident_bytes(self, key: Key) -> int:
        """Return the bytes of a layer's constant that no transfer moves."""
        moved = (x.chunk.size_bytes for x in self.streamed.get(key, ()))
        return self.stored(key[0])[key[1]].nbytes - sum(moved)

    def resident(self, key: Key) -> Array:
        """Return the bytes of a layer's constant that stay in L2, one part after another."""
        array = self.stored(key[0])[key[1]]
        if key not in self.streamed:
            return array
        content = np.ascontiguousarray(array).reshape(-1).view(np.int8)
        parts = resident_ranges(self.streamed[key], array.nbytes)
        return np.concatenate([content[:0], *(content[start:end] for start, end in parts)])

    @property
    def shared_from_bytes(self) -> int:
        """Bytes of the smallest constants that are stored once if they are equal."""
        return SHARED_FROM if any(step.as_data for step in self.steps) else 0

    @cached_property
    def same(self) -> Mapping[str, str]:
        """Constant operand -> the operand of equal bytes that is stored; only for operands that a
        layer reads."""
        read = {name for step in self.steps for name in step.operands}
        arrays = ((n, array) for n, array in self.quant.constants.items() if n in read)
        return owners(arrays, self.shared_from_bytes)

    @cached_property
    def constants(self) -> Mapping[str, int]:
        """Bytes of the stored constant operands, by name."""
        return {
            name: self.quant.constants[name].nbytes for name in dict.fromkeys(self.same.values())
        }

    @cached_property
    def owners(self) -> Mapping[Key, Key]:
        """(layer, constant) -> the first one with equal bytes, which is stored."""
        arrays = (
            ((index, name), array)
            for index in range(len(self.steps))
            for name, array in self.stored(index).items()
        )
        return owners(arrays, self.shared_from_bytes)

    @cached_property
    def streamed(self) -> Mapping[Key, tuple[LevelTransfer, ...]]:
        """(layer, constant) -> transfers of all of it or of parts, in the order of its bytes."""
        transfers: dict[Key, tuple[LevelTransfer, ...]] = {}
        for x in sorted(self.constant_transfers, key=lambda x: x.chunk.start):
            key = (x.chunk.step, x.chunk.array)
            transfers[key] = (*transfers.get(key, ()), x)
        return transfers

    def image_bytes(self, level: str) -> int:
        """Return the bytes of a memory level's image: constants to be transferred, then tables."""
        tables = self.l3_tables.values() if level == self.chip.map_level.name else ()
        ends: list[int] = [at + array.nbytes for at, array in tables]
        return max([self.transferred_bytes(level), *ends])

    def level_bytes(self, level: str) -> int:
        """Return the bytes of a memory level that the network uses."""
        maps = self.map_bytes if level == self.chip.map_level.name else 0
        return self.image_bytes(level) + maps

    def transferred_bytes(self, level: str) -> int:
        """Return the bytes of a memory level's image that are transferred to L2."""
        mine = (x for x in self.constant_transfers if x.level == level)
        end: int = max((x.address + x.chunk.room_bytes for x in mine), default=0)
        return round_up(end, self.chip.level(level).word_bytes)

    @cached_property
    def l3_tables(self) -> Mapping[Key, tuple[int, Array]]:
        """(layer, table) -> (offset in the image, values) of the tables that stay in the level of
        feature maps; equal tables share one offset."""
        tables = {
            (index, o.name): o.array
            for index, tiling in enumerate(self.tilings)
            for o in tiling.kernel.l3_tables
            if o.array is not None
        }
        known = owners(tables.items(), self.shared_from_bytes)
        end = self.transferred_bytes(self.chip.map_level.name)
        places: dict[Key, tuple[int, Array]] = {}
        for key, array in tables.items():
            places[key] = (places[known[key]][0] if known[key] != key else end), array
            end += whole_words(array.nbytes) if known[key] == key else 0
        return places

    @property
    def constant_transfers(self) -> tuple[LevelTransfer, ...]:
        """Return the transfers of constants."""
        return tuple(x for x in self.transfers if not x.chunk.tensor)

    @property
    def map_bytes(self) -> int:
        """Bytes for feature maps in a memory level, after its image."""
        sizes = {name: size_bytes(self.quant, name) for name in self.maps}
        return max((at + whole_words(sizes[n]) for n, at in self.maps.items()), default=0)

    def windows(self, index: int) -> dict[str, int]:
        """Return the arena offsets of a layer's windows on feature maps in a memory level, by
        operand."""
        at, last = self.placement.offsets, len(self.steps) - 1
        return {a.operand: at[a.window(last).name] for a in self.accesses if a.step == index}

    def image(self, level: str) -> bytes:
        """Return a memory level's image: the constants to be transferred, in chunks in the order in
        which the network loads them, then tables; each begins at a word."""
        image = bytearray(self.image_bytes(level))
        for x in self.constant_transfers:
            if x.level == level:
                image[x.address : x.address + x.chunk.room_bytes] = self.content(x.chunk)
        tables = self.l3_tables.values() if level == self.chip.map_level.name else ()
        for at, array in tables:
            image[at : at + array.nbytes] = array.tobytes()
        return bytes(image)

    @property
    def image_files(self) -> dict[str, bytes]:
        """File of a build -> image of a memory level, for levels with an image."""
        names = [level.name for level in self.chip.levels if self.image_bytes(level.name)]
        return {f"{name}.bin": self.image(name) for name in names}

    def content(self, chunk: Chunk) -> bytes:
        """Return the bytes of a chunk of a constant, padded to words."""
        array = np.ascontiguousarray(self.stored(chunk.step)[chunk.array])
        own = array.reshape(-1).view(np.uint8)[chunk.start : chunk.start + chunk.size_bytes]
        return own.tobytes().ljust(chunk.room_bytes, b"\0")

    def stored(self, index: int) -> Mapping[str, Array]:
        """Return the constant arrays of a layer by name, packed for its kernel."""
        return self.tilings[index].kernel.arrays

    @cached_property
    def cycles(self) -> tuple[float, ...]:
        """Estimated cycles of each layer, summed over the iterations of its loop."""
        begins = Counter(x.begins for x in self.transfers)
        asked = partial(self.timeline_steps.count_in_stage, begins)
        return tuple(modelled(self.tilings, self.chip.transfers, self.loops, asked))

    def turns(self, index: int) -> int:
        """Return the iterations of a layer's loop; 1 outside loops."""
        return turns_of(self.loops, index) * self.steps[index].turns

    def place(self, index: int, name: str) -> Location:
        """Return the location of a tensor for layer `index`: a loop's state is in L1 until the loop
        ends, and then in L2."""
        return place_in_layer(index, self.where[name], self.loop_states, self.where)

    def is_fetched_row(self, index: int, operand: Operand) -> bool:
        """Return whether an operand of a layer is a row of a sequence in L1, of which the next one
        is fetched during each iteration of the loop."""
        if not isinstance(operand.source, int) or operand.name not in self.tilings[index].resident:
            return False
        return self.place(index, self.steps[index].operands[operand.source]).kind != "l1"

    @property
    def l1_bytes(self) -> int:
        """Planned bytes of L1, up to the end of the highest buffer."""
        buffers = [b for tiling in self.tilings for b in tiling.buffers]
        return max((b.offset + b.size_bytes for b in buffers), default=0)

    @property
    def l1_room_bytes(self) -> int:
        """Bytes of L1 that are available for operands."""
        return l1_room_bytes(self.chip, len(self.steps))

    @property
    def without_tiles(self) -> Mapping[str, TiledKernel]:
        """Layer name -> kernel, for layers that have no tiling in L1, with operands in L2."""
        chip, room = self.chip, self.l1_room_bytes
        if not chip.l1_bytes:
            return {}
        pairs = zip(self.steps, self.tilings, strict=True)
        in_l2 = ((step, tiling.kernel) for step, tiling in pairs if tiling.choice.in_l2)
        return {
            self.names[step.node.name]: kernel
            for step, kernel in in_l2
            if not any(choose(known, room, chip.transfers) for known in candidates(step, chip))
        }

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Warnings about layers that are slower than necessary."""
        room, layers = self.l1_room_bytes, self.without_tiles.items()
        return tuple(too_small(name, kernel, room) for name, kernel in layers)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Layer names for messages, by the names of the layers' results."""
        return located(self.steps)

    @cached_property
    def results(self) -> tuple[tuple[int, QuantizedNode], ...]:
        """(layer, result) for all results of the layers, in order."""
        return tuple((i, result) for i, step in enumerate(self.steps) for result in step.results)

    @property
    def border_bytes(self) -> int:
        """Bytes of the caller's input and output buffers in L2."""
        return self.port_bytes(self.graph_inputs) + self.port_bytes(self.graph_outputs)

    def port_bytes(self, names: Sequence[str]) -> int:
        """Return the bytes in L2 of the inputs or outputs with these names."""
        return sum(size_bytes(self.quant, n) for n in names if not self.where[n].in_level)

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        return self.quant.graph.inputs

    @property
    def graph_outputs(self) -> tuple[str, ...]:
        return self.quant.graph.outputs

    @property
    def l2_room_bytes(self) -> int:
        """Bytes of L2 that are available for data if memory levels are used."""
        return self.chip.l2_room_beside_code(len(self.steps))

    @property
    def l2_most_bytes(self) -> int:
        """Bytes of L2 that data may take: beside code only if data can go elsewhere, or if the
        chip's flash holds the code and linking has told the size of the variables."""
        has_room = self.chip.levels or self.chip.flash_bytes
        return self.l2_room_bytes if has_room else self.chip.l2_bytes

    @property
    def l2_bytes(self) -> int:
        """Peak bytes of data in L2, without code, and without constants that are read in place from
        flash."""
        constants = 0 if self.chip.flash_bytes else self.weight_bytes
        return self.arena_bytes + constants + self.border_bytes


def scratch_name(index: int) -> str:
    """Return the name of the arena buffer that holds a step's scratch if it does not fit in L1."""
    return f"scratch, step {index}"


def l1_room_bytes(chip: Chip, steps: int) -> int:
    """Return the bytes of L1 for operands: without stacks, runtime data and the layers' cycle
    counters.

    steps   number of layers
    """
    return max(chip.l1_room_bytes - MARK_BYTES * (steps + 2), 0)


def size_bytes(q: QuantGraph, name: str) -> int:
    return math.prod(q.graph.shape(name)) * q.element_type(name).size_bytes
