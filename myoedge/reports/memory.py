# SPDX-License-Identifier: Apache-2.0
"""`memory` of report.json: sizes, and every buffer of L1 and L2 with its offset and lifetime.

Time is counted in layers and fractions of them: the second of a layer's four tiles is at the
layer's index plus 1/4.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from myoedge.operators.kernel import SCRATCH, Operand, Source
from myoedge.plan.levels.transfers import LevelTransfer
from myoedge.plan.locations import Location
from myoedge.plan.plan import Plan, scratch_name, size_bytes
from myoedge.plan.plan_json import levels_bytes

if TYPE_CHECKING:
    from myoedge.system.elf import Program

Row = dict[str, Any]


def planned_image_bytes(plan: Plan) -> int:
    """Return the bytes of the boot image before the program is linked: constants in L2, and the
    room that the plan leaves for code."""
    return plan.weight_bytes + max(plan.chip.l2_bytes - plan.l2_room_bytes, 0)


def external_parts(plan: Plan, boot_bytes: int) -> list[str]:
    """Return the parts beside the chip that a build needs: "ram" for a memory level, "flash" to
    start from if the boot image exceeds the flash on the chip.

    boot_bytes   bytes of the boot image: the program and the constants in L2
    """
    parts = {x.external for x in plan.chip.levels if x.external and plan.level_bytes(x.name)}
    return sorted({*parts, *(["flash"] if parts or _boots_beside(plan, boot_bytes) else [])})


def stored_beside_bytes(plan: Plan, boot_bytes: int) -> int:
    """Return the bytes that a build stores in a flash beside the chip: data of memory levels there,
    and a boot image that the flash on the chip has no room for.

    boot_bytes   as for external_parts
    """
    filled = sum(plan.image_bytes(x.name) for x in plan.chip.levels if x.external)
    return filled + (boot_bytes if _boots_beside(plan, boot_bytes) else 0)


def _boots_beside(plan: Plan, boot_bytes: int) -> bool:
    return any(boot_bytes > room for room in _boot_rooms(plan).values())


def _boot_rooms(plan: Plan) -> dict[str, int]:
    """Return flash on the chip -> bytes that it has for the boot image beside a plan's weights."""
    return {
        flash.name: flash.boot_room_bytes(plan.image_bytes(flash.name))
        for flash in plan.chip.optional_levels
        if flash.program_bytes
    }


def memory(plan: Plan) -> Row:
    """Return the `memory` entry of report.json: bytes of L1, L2 and L3 by kind of data, the buffers
    in use at the peak of L2, and all buffers of the L2 arena and of L1."""
    arena = [*_arena_rows(plan)]
    buffers = [*arena, *(_level_buffer_row(plan, transfer) for transfer in plan.constant_transfers)]
    peak, chip = fullest(buffers), plan.chip
    # tile buffers, stacks and runtime data
    l1_bytes = chip.l1_reserved_bytes + plan.l1_bytes if chip.l1_bytes else None
    reversed_steps = reversed(list(enumerate(plan.steps)))
    first_readers = {name: at for at, step in reversed_steps for name in step.operands}
    return {
        "l1_peak_bytes": l1_bytes,
        "l2_peak_bytes": plan.l2_bytes,
        "l3_bytes": plan.image_bytes("l3") + plan.map_bytes,
        "l3_weights_bytes": plan.image_bytes("l3"),
        "l3_maps": [_l3_map_row(plan, name) for name in plan.maps],
        "levels": levels_bytes(plan),
        "external": external_parts(plan, planned_image_bytes(plan)),
        "boot_image_bytes": planned_image_bytes(plan) if chip.point.clock_hz else None,
        "boot_rooms": _boot_rooms(plan),
        "code_bytes": None,
        "l1_stacks_bytes": None,
        "fc_stack_bytes": None,
        "source": "planned",
        "weights_bytes": plan.weight_bytes,
        "constants_bytes": sum(plan.constants.values()),
        "constants": [
            {"name": name, "step": first_readers[name], "size_bytes": size}
            for name, size in plan.constants.items()
        ],
        "arena_bytes": plan.arena_bytes,
        "lower_bound_bytes": plan.placement.lower_bound_bytes,
        "proven": plan.placement.proven,
        "input_bytes": plan.port_bytes(plan.graph_inputs),
        "output_bytes": plan.port_bytes(plan.graph_outputs),
        "peak_step": int(peak),
        "peak_buffers": [row["name"] for row in alive(buffers, peak)],
        "buffers": buffers,
        "l1_planned_bytes": l1_bytes,
        "l1_reserved_bytes": chip.l1_reserved_bytes if chip.l1_bytes else None,
        "l1_buffers": list(_l1_buffer_rows(plan)),
        **_beside_flash(plan, alive(arena, peak)),
    }


def _beside_flash(plan: Plan, most: Sequence[Row]) -> Row:
    """Return the further entries of a chip that reads constants in place from flash.

    most   the buffers in use at the peak
    """
    if not plan.chip.flash_bytes:
        return {}
    sizes = zip(most, own_bytes(most), strict=True)
    scratch_bytes = sum(size for row, size in sizes if row["kind"] == SCRATCH)
    stack_bytes = plan.chip.program.stack_bytes if plan.chip.program else 0
    return {"scratch_bytes": scratch_bytes, "variables_bytes": None, "stack_bytes": stack_bytes}


def with_firmware(report: Mapping[str, Any], plan: Plan, program: Program) -> Row:
    """Return the report with the memory that the linked program takes in addition to the plan's
    data, and with its boot image.

    Code includes everything else in L2: instructions, their tables, the runtime's variables.
    """
    symbols, planned = program.symbols, report["memory"]
    if plan.chip.flash_bytes:
        static_bytes = symbols["me_bss_end"] - symbols["me_data_start"]
        code_bytes = program.loaded_bytes - plan.weight_bytes
        found = {"code_bytes": code_bytes, "variables_bytes": static_bytes - plan.l2_bytes}
        return {**report, "memory": {**planned, **found}}
    l2_bytes = symbols["me_l2_end"] - min(address for address, _ in program.segments)
    sizes = {
        "code_bytes": l2_bytes - planned["l2_peak_bytes"],
        "l1_stacks_bytes": plan.chip.cores * symbols["me_stack_bytes"],
        "fc_stack_bytes": symbols["me_fc_stack_bytes"],
        "boot_image_bytes": program.loaded_bytes,
        "external": external_parts(plan, program.loaded_bytes),
    }
    return {**report, "memory": {**planned, **sizes}}


def alive(rows: Sequence[Row], at: float) -> list[Row]:
    """Return the buffers in use at a time (counted in layers)."""
    return [row for row in rows if row["from"] <= at < row["to"]]


def alive_bytes(rows: Sequence[Row], at: float) -> int:
    return sum(own_bytes(alive(rows, at)))


def own_bytes(rows: Sequence[Row]) -> list[int]:
    """Return the bytes of each buffer in use, without those that a later one replaces."""
    spans = [(row["offset"], row["offset"] + row["size_bytes"], row["from"]) for row in rows]
    return [
        end - start - sum(max(min(end, b) - max(start, a), 0) for a, b, x in spans if x > begins)
        for start, end, begins in spans
    ]


def fullest(rows: Sequence[Row]) -> float:
    """Return the first time, counted in layers, at which the most bytes are in use."""
    times = sorted({row["from"] for row in rows})
    return max(times, key=lambda at: alive_bytes(rows, at), default=0.0)


def _arena_rows(plan: Plan) -> Iterator[Row]:
    """Yield the report's row of each buffer of the L2 arena: a layer's result or scratch, or the
    window onto a tensor in L3. A sequence that a loop writes by rows has the name of these rows."""
    made = {x.node.name: plan.where[x.node.name] for _, x in plan.results}
    by_rows: dict[Location | None, str] = {
        replace(at, row_bytes=0): name for name, at in made.items() if at.row_bytes
    }
    names = dict(zip(made, made, strict=True))
    levels = {"window": {"level": plan.chip.map_level.name}}
    for life in plan.lives:
        name = names.get(life.name) or by_rows.get(plan.where.get(life.name), life.name)
        node = plan.quant.graph.producer.get(name)
        other = SCRATCH if life.name == scratch_name(life.first) else "window"
        kind = "result" if node else other
        yield {
            "name": name,
            "kind": kind,
            **({} if node else {"step": life.first}),
            **levels.get(kind, {}),
            "label": (node or plan.steps[life.first].node).label,
            "offset": plan.placement.offsets[life.name],
            "size_bytes": life.size_bytes,
            "first_step": life.first,
            "last_step": life.last,
            "from": life.first,
            "to": life.last + 1,
        }


def _l3_map_row(plan: Plan, name: str) -> Row:
    """Return the report's row of a result or input that lies in L3, after the weights."""
    node = plan.quant.graph.producer.get(name)
    label = node.label if node else name
    reader = next(access.step for access in plan.accesses if access.tensor == name)
    offset = plan.image_bytes("l3") + plan.maps[name]
    return {
        "name": name,
        **({} if node else {"step": reader}),
        "label": label,
        "offset": offset,
        "size_bytes": size_bytes(plan.quant, name),
    }


def _level_buffer_row(plan: Plan, transfer: LevelTransfer) -> Row:
    """Return the report's row of an L2 buffer with weights from a memory level, in use from the
    start of the transfer to the last read."""
    chunk, clock = transfer.chunk, plan.timeline_steps
    node = plan.steps[chunk.step].node
    return {
        "name": f"{node.name} {chunk.array} {chunk.start}",
        "kind": "weights",
        "level": transfer.level,
        "step": chunk.step,
        "label": node.label,
        "offset": transfer.l2,
        "size_bytes": chunk.room_bytes,
        "first_step": clock.layer(transfer.begins),
        "last_step": clock.layer(chunk.last),
        "from": _time_in_layers(clock.enters, transfer.begins),
        "to": _time_in_layers(clock.enters, chunk.last + 1),
    }


# --- L1 -------------------------------------------------------------------------------------------


def _l1_buffer_rows(plan: Plan) -> Iterator[Row]:
    # Index of each step's first tile, then the end; an untiled step counts as one tile.
    tile_counts = (len(tiling.tiles) for tiling in plan.tilings)
    starts = [0, *accumulate(tile_counts)]
    for step, tiling in enumerate(plan.tilings if plan.chip.l1_bytes else ()):
        operands = {x.name: x for x in tiling.kernel.operands}
        for buffer in tiling.buffers:
            # None for scratch, and for arguments and rows of the layers of a loop
            region = tiling.tiles[0].regions.get(buffer.operand)
            shape = None if region is None else [*region.extent]
            if buffer.operand in tiling.resident:
                shape = [*operands[buffer.operand].shape]
            yield {
                "step": step,
                "operand": buffer.operand,
                "kind": _buffer_kind(operands.get(buffer.operand)),
                "slot": buffer.slot,
                "shape": shape,
                "offset": buffer.offset,
                "size_bytes": buffer.size_bytes,
                "from": _time_in_layers(starts, buffer.first),
                "to": _time_in_layers(starts, buffer.last + 1),
            }


def _buffer_kind(operand: Operand | None) -> str:
    """Return the kind of an L1 buffer: "weights", "result", "input" or "scratch"."""
    if operand is None:
        return SCRATCH
    return "weights" if operand.constant else "result" if operand.written else "input"


def _time_in_layers(starts: Sequence[int], at: int) -> float:
    """Convert an index of a tile or timeline to time in layers; `starts`: first index per layer."""
    step = min(max(bisect_right(starts, at) - 1, 0), len(starts) - 2)
    fraction = (at - starts[step]) / (starts[step + 1] - starts[step])
    return round(step + min(max(fraction, 0.0), 1.0), 4)


# --- layers ---------------------------------------------------------------------------------------


def layer_bytes(plan: Plan, index: int) -> Row:
    """Return the memory that holds a layer's weights, and the bytes of its weights, inputs and
    outputs; constants shared with earlier layers are not counted in L2 and other levels."""
    step = plan.steps[index]
    sizes = {(index, name): array.nbytes for name, array in plan.stored(index).items()}
    tables = sum(array.nbytes for (at, _), (_, array) in plan.l3_tables.items() if at == index)
    weights = tables + sum(sizes.values())
    resident = dict(zip(sizes, map(plan.resident_bytes, sizes), strict=True))
    streamed = weights - sum(resident.values())
    out_bytes = sum(map(partial(size_bytes, plan.quant), step.written))
    moved = _moved_bytes(plan, index)
    near = "flash" if plan.chip.flash_bytes else "l2"
    level = max(moved, key=lambda name: moved[name]) if 2 * streamed > weights else near
    return {
        "weights_in": level.upper() if weights else None,
        "weights_bytes": weights,
        "weights_l2_bytes": sum(map(resident.__getitem__, filter(plan.stays, sizes))),
        "weights_l3_bytes": tables + _first_read_chunk_bytes(plan, index, "l3"),
        "l3_moved_bytes": (out_bytes if tables else 0) + moved["l3"],
        **_other_levels(plan, index, moved),
        "read_bytes": _input_bytes(plan, index) + weights,
        "out_bytes": out_bytes,
    }


def _other_levels(plan: Plan, index: int, moved: Mapping[str, int]) -> Row:
    """Return the columns of a layer for memory levels other than L3."""
    names = [name for name in moved if name != "l3"]
    held = {f"weights_{x}_bytes": _first_read_chunk_bytes(plan, index, x) for x in names}
    return held | {f"{name}_moved_bytes": moved[name] for name in names}


def _moved_bytes(plan: Plan, index: int) -> Mapping[str, int]:
    """Return memory level -> bytes that a layer's transfers move in one run; L3 first."""
    moved = {"l3": 0, **{level.name: 0 for level in plan.chip.levels}}
    for transfer in plan.transfers:
        if (chunk := transfer.chunk).step == index:
            moved[transfer.level] += chunk.size_bytes * chunk.turns
    return moved


def _first_read_chunk_bytes(plan: Plan, index: int, level: str) -> int:
    """Return the bytes of a memory level's image that this layer is the first to read."""
    first_steps: dict[int, int] = {}  # by offset in the image
    for transfer in plan.constant_transfers:
        if transfer.level == level:
            first_steps.setdefault(transfer.address, transfer.chunk.step)
    chunks = pairwise(sorted([*first_steps, plan.transferred_bytes(level)]))
    return sum(end - at for at, end in chunks if first_steps[at] == index)


def _input_bytes(plan: Plan, index: int) -> int:
    """Return the bytes of the inputs that a layer reads, without padding and weights."""
    kernel, read = plan.tilings[index].kernel, Counter[Source]()
    for operand in kernel.operands:
        read[operand.source] += int(operand.footprint(kernel.axes))
    sizes = [size_bytes(plan.quant, name) for name in plan.steps[index].operands]
    return sum(min(read.get(at, size), size) for at, size in enumerate(sizes))
