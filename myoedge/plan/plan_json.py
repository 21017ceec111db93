# SPDX-License-Identifier: Apache-2.0
"""plan.json: a plan as plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from myoedge.plan.cost.network import layer_waits
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.levels.transfers import LevelTransfer
from myoedge.plan.locations import Location
from myoedge.plan.plan import Plan


def levels_bytes(plan: Plan) -> dict[str, int]:
    """Return memory level -> bytes that the network uses."""
    return {level.name: plan.level_bytes(level.name) for level in plan.chip.levels}


def describe(plan: Plan) -> dict[str, Any]:
    """Return plan.json: buffers with live ranges and offsets, locations of all tensors."""
    return {
        "schema": "myoedge.plan/1",
        "chip": plan.chip.name,
        "arena_bytes": plan.arena_bytes,
        "lower_bound_bytes": plan.placement.lower_bound_bytes,
        "proven_optimal": plan.placement.proven,
        "buffers": [
            {
                "name": life.name,
                "size_bytes": life.size_bytes,
                "offset": plan.placement.offsets[life.name],
                "first_step": life.first,
                "last_step": life.last,
            }
            for life in plan.lives
        ],
        "l1_bytes": plan.l1_bytes,
        "levels": levels_bytes(plan),
        "maps": {
            name: {"level": plan.chip.map_level.name, "offset": at}
            for name, at in plan.maps.items()
        },
        "transfers": [_transfer_json(plan, x) for x in plan.transfers],
        "steps": [_step_json(plan, index, waits) for index, waits in enumerate(layer_waits(plan))],
        **({"loops": [asdict(loop) for loop in plan.loops]} if plan.loops else {}),
        "copies": [{"output": index, "from": name} for index, name in plan.copies],
    }


def _step_json(plan: Plan, index: int, waits: int) -> dict[str, Any]:
    step, tiling = plan.steps[index], plan.tilings[index]
    name, cycles = step.node.name, round(plan.cycles[index]) + waits
    # The locations of a step's results
    own, *others = plan.steps[index].written
    more = {name: _location_text(_final_location(plan, index, name)) for name in others}
    writes = _location_text(_final_location(plan, index, own))
    return {
        "name": name,
        "op": step.node.op,
        **({"members": [*step.operators]} if step.members else {}),
        **({"iterations": step.turns} if step.turns > 1 else {}),
        "reads": {x: _location_text(plan.place(index, x)) for x in step.operands},
        "writes": writes,
        **({"writes_too": more} if more else {}),
        "cycles_modelled": cycles if plan.chip.point.clock_hz else None,
        "tiles": _tiling_json(tiling),
    }


def _tiling_json(tiling: Tiling) -> dict[str, Any]:
    """Return the entry of a tiling: number and shape of tiles, buffers, transfers."""
    moved = [x for tile in tiling.tiles for x in (*tile.loads, *tile.stores)]
    return {
        "kernel": tiling.kernel.function,
        "count": len(tiling.tiles),
        "shape": list(tiling.shape),
        "order": list(tiling.choice.order),
        "sizes": dict(tiling.choice.sizes),
        "depth": tiling.choice.depth,
        "first_tile": tiling.first,
        "fetched_since_tile": tiling.prefetch_tile,
        "kept_in_l1": dict(tiling.resident),
        **({"stays_in_l2": sorted(tiling.choice.in_l2)} if tiling.choice.in_l2 else {}),
        "transfers": len(moved),
        "transfer_bytes": sum(x.bytes for x in moved),
        "l1_bytes": tiling.l1_bytes,
        "buffers": [
            {
                "operand": b.operand,
                "offset": b.offset,
                "size_bytes": b.size_bytes,
                "first_tile": b.first,
                "last_tile": b.last,
            }
            for b in tiling.buffers
        ],
    }


def _transfer_json(plan: Plan, transfer: LevelTransfer) -> dict[str, Any]:
    """Return a transfer as JSON; its times are layer numbers."""
    chunk, layer = transfer.chunk, plan.timeline_steps.layer
    return {
        "step": chunk.step,
        "array": chunk.array,
        **({"map": chunk.tensor, "out": transfer.out} if chunk.tensor else {}),
        "start": chunk.start,
        "size_bytes": chunk.size_bytes,
        "level": transfer.level,
        "address": transfer.address,
        "offset": transfer.l2,
        "begins_moment": transfer.begins,
        "begins_in_step": layer(transfer.begins),
        "first_moment": chunk.first,
        "last_moment": chunk.last,
    }


def written_by(step: Mapping[str, Any]) -> dict[str, str]:
    """Return tensor -> location of the results of a step of plan.json, its own first."""
    return {str(step["name"]): str(step["writes"]), **step.get("writes_too", {})}


def _final_location(plan: Plan, index: int, name: str) -> Location:
    """Return the location of a step's result after the last iteration of its loop."""
    location = plan.place(index, name)
    moved = location.row_bytes * (plan.turns(index) - 1)
    return replace(location, offset=location.offset + moved)


def _location_text(location: Location) -> str:
    place = f"{location.kind}{f' {location.index}' if location.index != '' else ''}"
    has_offset = location.offset or location.kind in ("arena", "l1")
    return f"{place} + {location.offset}" if has_offset else place


def parse_location(text: str) -> tuple[str, int, int]:
    """Parse a location written by `describe`: (kind, number or 0, offset)."""
    place, _, offset = text.partition(" + ")
    kind, _, number = place.partition(" ")
    return kind, int(number) if number.isdigit() else 0, int(offset or 0)
