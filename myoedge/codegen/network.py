# SPDX-License-Identifier: Apache-2.0
"""Plan -> values of the template of network.c: layers, their calls, copies, L3 transfers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from myoedge.codegen.constants import constant_name, function_name
from myoedge.codegen.library import brought, called, headers
from myoedge.codegen.render import designated
from myoedge.codegen.tiled_layer import parts, tiled_layer
from myoedge.operators.kernel import Operand
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.l3.feature_maps import through_windows
from myoedge.plan.l3.transfers import L3Transfer, in_arena, turns
from myoedge.plan.plan import IN_L3, Location, Plan, scratch_name, size_bytes

FUNCTIONS = ("arguments", "load", "compute", "store", "prefetch")  # of a me_layer, all of them


def network_values(plan: Plan) -> dict[str, Any]:
    """Values of the template of network.c, besides inputs and outputs."""
    calls = [_call(plan, index) for index in range(len(plan.steps))]
    copies = [_copy(plan, index, name) for index, name in plan.copies]
    layers = [
        layer_fields(call["function"], tiling, bool(call["prefetches"]))
        for call, tiling in zip(calls, plan.tilings, strict=True)
    ]
    layers += [[".tiles = 1, .compute = copy_outputs,"]] if plan.copies else []
    used = sorted({tiling.kernel.function for tiling in plan.tilings})
    return {
        "kernels": [_layer(plan, index) for index in range(len(plan.steps))],
        "used": used,
        "starts_next_tiles": any(tiling.kernel.launches_next_tile for tiling in plan.tilings),
        "headers": headers(called(plan.tilings), brought(plan)),
        "calls": calls,
        "copies": copies,
        "transfers": [_l3_transfer(plan, l3_transfer) for l3_transfer in plan.l3_transfers],
        "map_bytes": plan.map_bytes,
        "limits": list(turns(plan.l3_transfers)),
        "layer_table": layers,
    }


def layer_fields(function: str, tiling: Tiling, prefetches: bool) -> list[str]:
    """Initialisers of a me_layer, in lines."""
    fields: dict[str, Any] = {
        "tiles": len(tiling.tiles),
        "buffers": tiling.choice.depth if tiling.choice.depth > 2 else 0,
        "back_to_back": int(tiling.back_to_back),
        "kernel_waits": int(tiling.kernel_waits),
        "nine_cores": int(bool(tiling.kernel.nine_cores)),
    }
    known = (*parts(tiling), *(("prefetch",) if prefetches else ()))
    fields |= {name: f"{function}_{name}" for name in FUNCTIONS if name in known}
    return designated([(name, str(value)) for name, value in fields.items()])


def _l3_transfer(plan: Plan, l3_transfer: L3Transfer) -> dict[str, Any]:
    chunk = l3_transfer.chunk
    kind = ("ME_MAP_OUT" if l3_transfer.out else "ME_MAP_IN") if chunk.tensor else "ME_CONSTANT"
    return {
        "l3": l3_transfer.l3 + (plan.l3_bytes if chunk.tensor else 0),
        "l2": l3_transfer.l2,
        "bytes": chunk.room_bytes,
        "kind": kind,
        "content": f"{chunk.array} of layer {chunk.step}, from byte {chunk.start} on",
    }


def _layer(plan: Plan, index: int) -> str:
    """The C of a layer in tiles."""
    step, tiling = plan.steps[index], plan.tilings[index]
    near = in_arena(
        tiling,
        {name: l3_transfers for (at, name), l3_transfers in plan.streamed.items() if at == index},
    )
    mine = [access for access in plan.accesses if access.step == index]
    near = through_windows(near, mine, plan.windows(index))
    at = plan.placement.offsets[scratch_name(index)] if tiling.l2_scratch_bytes else None
    scratch = "" if at is None else f"me_arena + {at}"
    l3 = {name: at for (owner, name), (at, _) in plan.l3_tables.items() if owner == index}
    base = partial(_outside, plan, index)
    return tiled_layer(index, step, near, base, scratch=scratch, l3_tables=l3)


def _outside(plan: Plan, index: int, operand: Operand) -> str:
    """The C of where an operand of a layer in tiles starts in L2, as a pointer to bytes."""
    step, source = plan.steps[index], operand.source
    if operand.name in plan.windows(index):
        return "me_arena"
    if isinstance(source, int) or operand.written:
        name = step.node.name if operand.written else step.operands[int(source)]
        return _bytes(plan, name)
    if (index, source) in plan.streamed:
        in_l2 = operand.name in plan.tilings[index].choice.in_l2
        return f"me_arena + {plan.streamed[index, source][0].l2}" if in_l2 else "me_arena"
    text = f"{function_name(index, step)}_{source}"
    is_bytes = plan.stored(index)[source].dtype == np.int8
    return text if is_bytes else f"(const int8_t *){text}"


def _bytes(plan: Plan, name: str) -> str:
    """The C of where a tensor lies, as a pointer to bytes."""
    location = plan.where[name]
    text = pointer(plan, name)
    if location.kind in ("input", "output") and not location.offset:
        const = "const " if location.kind == "input" else ""
        return f"({const}int8_t *){text}"
    return text


def _call(plan: Plan, index: int) -> dict[str, Any]:
    step = plan.steps[index]
    return {
        "number": index,
        "function": function_name(index, step),
        "result": pointer(plan, step.node.name),
        "bytes": size_bytes(plan.quant, step.node.name),
        "in_l2": plan.where[step.node.name].kind != IN_L3,
        "tiles": len(plan.tilings[index].tiles),
        "prefetches": _prefetches(plan, index),
    }


def _prefetches(plan: Plan, index: int) -> list[tuple[str, int]]:
    """(C function that prefetches constants of a later layer, tile of this layer beside which)."""
    begins = [0]
    for tiling in plan.tilings:
        begins.append(begins[-1] + len(tiling.tiles))
    return [
        (
            f"{function_name(behind, plan.steps[behind])}_fetch_constants",
            tiling.prefetch_tile - begins[index],
        )
        for behind, tiling in enumerate(plan.tilings)
        if tiling.prefetch_tile is not None
        and begins[index] <= tiling.prefetch_tile < begins[index + 1]
    ]


def _copy(plan: Plan, index: int, name: str) -> dict[str, Any]:
    size = size_bytes(plan.quant, name)
    return {"to": f"out[{index}]", "source": pointer(plan, name), "bytes": size}


def pointer(plan: Plan, name: str) -> str:
    """The C expression for where a tensor lies."""
    location = plan.where[name]
    base = _base(plan, location)
    if not location.offset:
        return base
    if location.kind in ("input", "output"):
        const = "const " if location.kind == "input" else ""
        base = f"({const}int8_t *){base}"
    return f"{base} + {location.offset}"


def _base(plan: Plan, location: Location) -> str:
    if location.kind == "constant":
        name = str(location.index)
        is_bytes = plan.quant.constants[name].dtype == np.int8
        return f"{'' if is_bytes else '(const int8_t *)'}{constant_name(plan, name)}"
    if location.kind in ("arena", IN_L3):
        return "me_arena"
    if location.kind == "l1":
        return "me_l1"
    return f"{'in' if location.kind == 'input' else 'out'}[{location.index}]"
