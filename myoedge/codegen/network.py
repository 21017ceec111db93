# SPDX-License-Identifier: Apache-2.0
"""Values for the template of network.c: layers, their calls, copies, transfers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from myoedge.codegen.addresses import NetworkAddresses, Outside, added, macro
from myoedge.codegen.job_tables import slots
from myoedge.codegen.library import brought, called, headers
from myoedge.codegen.loops import RowFetch, loop_values, row_fetches
from myoedge.codegen.names import constant_name, function_name
from myoedge.codegen.render import wrapped
from myoedge.codegen.tile_transfers import fetch_function
from myoedge.codegen.tiled_layer import OutsideL1, TiledLayer, tiled_layer
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import Operand, Source, Written
from myoedge.operators.turns import READ, STATE, WRITE
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.levels.feature_maps import through_windows
from myoedge.plan.levels.transfers import LevelTransfer, in_arena, turns
from myoedge.plan.locations import Location
from myoedge.plan.loops import own_row
from myoedge.plan.plan import Plan, scratch_name, size_bytes

FUNCTIONS = ("arguments", "jobs", "load", "compute", "store")  # of a me_layer; also prefetch


def network_values(
    plan: Plan, exit_output: int | None = None, *, as_data: bool = False
) -> dict[str, Any]:
    """Return the template values of network.c, without inputs and outputs.

    exit_output   number of the output after which a run may end; None: never
    as_data       whether kernel arguments are stored as data: "scalars", C name -> numbers
    """
    layers = [_layer_source(plan, index, as_data=as_data) for index in range(len(plan.steps))]
    copies = [  # of outputs that no layer writes directly to the caller's buffer
        {
            "to": f"me_out[{index}]",
            "source": _output_place(plan, index),
            "bytes": size_bytes(plan.quant, name),
        }
        for index, name in plan.copies
    ]
    outside = partial(_l2_pointer, plan)
    rows = row_fetches(plan, outside) if plan.loops else []
    prefetches = _prefetches(plan, rows)
    table = _layer_table(plan, layers, prefetches)
    exit_at, place = _exit(plan, exit_output)
    loops = [loop_values(plan, number, outside, rows) for number in range(len(plan.loops))]
    return {
        "kernels": [layer.text for layer in layers],
        "scalars": {
            f"{function_name(index, step)}_scalars": layer.scalars
            for index, (step, layer) in enumerate(zip(plan.steps, layers, strict=True))
            if layer.scalars
        },
        "used": bool(plan.tilings),
        "arguments": sorted({x.kernel.function for x in plan.tilings if not x.kernel.jobs}),
        "job_slots": slots(max((layer.job_words for layer in layers), default=0)),
        "starts_next_tiles": any(tiling.kernel.launches_next_tile for tiling in plan.tilings),
        "headers": headers(called(plan.tilings), brought(plan)),
        "row_fetches": rows,
        "prefetches": [prefetch for prefetch in prefetches.values() if prefetch.lines],
        "traced": [*filter(None, (traced(plan, index) for index in range(len(layers))))],
        "copies": copies,
        "layer_table": table,
        "loops": loops,
        "parts": list(_network_parts(loops, len(table), exit_at)),
        "exit": place,
        "levels": [*_level_values(plan)],
        "has_passes": any(plan.timeline_steps.passes),
        "map_bytes": plan.map_bytes,
    }


def _network_parts(
    loops: Sequence[Mapping[str, Any]], layers: int, exit_layer: int
) -> Iterator[dict[str, Any]]:
    """Yield the parts of a network in order, layers first .. end - 1: loops, and layers between
    them with "loop" None. The run may end behind a part with "may_end".

    exit_layer   layer behind which the run may end, in no loop but as its last one; -1: none
    """
    borders = {0, layers, *(loop["first"] for loop in loops), *(loop["last"] + 1 for loop in loops)}
    of_loop = {loop["first"]: loop for loop in loops}
    for first, end in pairwise(sorted(borders | {exit_layer + 1})):
        may_end = exit_layer + 1 == end < layers
        yield {"first": first, "end": end, "loop": of_loop.get(first), "may_end": may_end}


def _exit(plan: Plan, output: int | None) -> tuple[int, str]:
    """Return the layer behind which a run may end, and the address of the output that decides it;
    (-1, "") without an output."""
    return (-1, "") if output is None else (exit_layer(plan, output), _output_place(plan, output))


def exit_layer(plan: Plan, output: int) -> int:
    """Return the last layer of those that compute an output, or of its loop; -1 if it is an
    input."""
    written = {r.node.name: at for at, step in enumerate(plan.steps) for r in step.results}
    graph, name = plan.quant.graph, plan.graph_outputs[output]
    while name not in written and name in graph.producer:  # views of a result
        name = graph.producer[name].inputs[0]
    layer = written.get(name, -1)
    return next((loop.last for loop in plan.loops if layer in loop), layer)


def _level_values(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield the template values of each memory level with transfers."""
    start = 0
    for level in plan.chip.levels:
        if transfers := [x for x in plan.transfers if x.level == level.name]:
            yield {
                "name": level.name,
                "writable": level.writable,
                "host": start,
                "transfers": [_level_transfer(plan, x) for x in transfers],
                "limits": list(turns(transfers)),
            }
        start += plan.image_bytes(level.name)


def _layer_table(
    plan: Plan, layers: Sequence[TiledLayer], prefetches: Mapping[int, Prefetch]
) -> list[list[str]]:
    """Return the lines of C that initialise the me_layer structs of all layers."""
    passes = plan.timeline_steps.passes[: len(layers)]
    rows = zip(plan.steps, plan.tilings, layers, passes, strict=True)
    table = [
        layer_fields(function_name(index, step), tiling, layer, prefetches.get(index), tiles)
        for index, (step, tiling, layer, tiles) in enumerate(rows)
    ]
    return [*table, [".tiles = 1, .compute.once = copy_outputs,"]] if plan.copies else table


def layer_fields(
    function: str,
    tiling: Tiling,
    layer: TiledLayer,
    prefetch: Prefetch | None = None,
    pass_tiles: int = 0,
) -> list[str]:
    """Return the lines of C that initialise a layer's me_layer struct.

    function   name of the layer's C function
    pass_tiles   tiles of a pass over its constants; 0: there are none
    prefetch   DMA of later layers' constants that starts during this layer; None: there is none
    """
    member = "once" if len(tiling.tiles) == 1 else "of_tile"
    numbers = {
        "tiles": len(tiling.tiles),
        "buffers": tiling.choice.depth if tiling.choice.depth > 2 else 0,
        "pass_tiles": pass_tiles,
        "back_to_back": int(tiling.back_to_back),
        "kernel_waits": int(tiling.kernel_waits),
        "nine_cores": int(bool(tiling.kernel.nine_cores)),
    }
    # Field of me_layer -> C function; own arguments are written before the loop
    called = {name: f"{function}_{name}" for name in FUNCTIONS if name in layer.functions}
    if tiling.arguments_once:
        del called["arguments"]
    if prefetch is not None:
        called["prefetch"] = prefetch.function
    texts = [f".{name} = {number}," for name, number in numbers.items() if number]
    return wrapped([*texts, *(f".{name}.{member} = {fn}," for name, fn in called.items())], 8)


@dataclass(frozen=True, slots=True)
class Prefetch:
    """A prefetch during the tiles of a layer, of later layers' constants or the next iteration's
    rows.

    function   name of its C function
    lines      statements of this function; () if it is defined elsewhere
    """

    function: str
    lines: tuple[str, ...] = ()


def _level_transfer(plan: Plan, transfer: LevelTransfer) -> dict[str, Any]:
    chunk, step = transfer.chunk, transfer.chunk.step
    kind = ("ME_MAP_OUT" if transfer.out else "ME_MAP_IN") if chunk.tensor else "ME_CONSTANT"
    operands = plan.tilings[step].kernel.operands
    operand = next(o for o in operands if chunk.array in (o.name, o.source))
    start = macro(function_name(step, plan.steps[step]), operand.name, "L2")
    origin = _l2_pointer(plan, step, operand).origin
    return {
        "address": added("ME_L3_BYTES", transfer.address) if chunk.tensor else transfer.address,
        "l2": added(start, transfer.l2 - origin),
        "bytes": chunk.room_bytes,
        "kind": kind,
        "content": f"{chunk.array} of layer {step}, from byte {chunk.start} on",
    }


def _layer_source(plan: Plan, index: int, *, as_data: bool) -> TiledLayer:
    """Generate the C of a tiled layer."""
    step, tiling = plan.steps[index], plan.tilings[index]
    near = in_arena(
        tiling,
        {name: transfers for (at, name), transfers in plan.streamed.items() if at == index},
    )
    mine = [access for access in plan.accesses if access.step == index]
    near = through_windows(near, mine, plan.windows(index))
    at = plan.placement.offsets[scratch_name(index)] if tiling.l2_scratch_bytes else None
    l3_tables = {name: at for (owner, name), (at, _) in plan.l3_tables.items() if owner == index}
    return tiled_layer(
        index,
        step,
        near,
        partial(_l2_pointer, plan, index),
        resident=NetworkAddresses(plan).resident(index),
        outside=OutsideL1("" if at is None else f"me_arena + {at}", l3_tables),
        as_data=as_data,
    )


def _l2_pointer(plan: Plan, index: int, operand: Operand, stays: bool = False) -> Outside:
    """Return the C pointer to the start of a tiled layer's operand in L2.

    stays   of a constant that is partly streamed: the part that stays in L2
    """
    step, source = plan.steps[index], operand.source
    arrived = plan.windows(index).get(operand.name)
    if isinstance(source, str) and (index, source) in plan.streamed and not stays:
        arrived = min(transfer.l2 for transfer in plan.streamed[index, source])
    if arrived is not None:
        return Outside(f"me_arena + {arrived}", arrived, in_arena=True)
    if not isinstance(source, str):
        return _tensor_pointer(plan, step.tensors[source], index, _moved_bytes(plan, step, source))
    text = f"{function_name(index, step)}_{source}"
    is_bytes = plan.resident((index, source)).dtype == np.int8
    return Outside(text if is_bytes else f"(const int8_t *){text}")


def _moved_bytes(plan: Plan, step: QuantizedNode, source: Source) -> int:
    """Return the bytes between the rows that a copy of a row reads or writes in two iterations."""
    node = step.results[source.number].node if isinstance(source, Written) else step.node
    moves = node.op == (WRITE if isinstance(source, Written) else READ)
    return own_row(plan.quant, node) if moves and step.turns == 1 else 0


def _tensor_pointer(plan: Plan, name: str, index: int, row_bytes: int = 0) -> Outside:
    """Return the C pointer to a tensor, as layer `index` reads it.

    row_bytes   bytes by which the address advances in each iteration of the layer's loop
    """
    location = plan.where[name]
    row_bytes = row_bytes or location.row_bytes * (plan.steps[index].turns == 1)
    moved = f" + ME_ITERATION * {row_bytes}" if row_bytes else ""
    if location.kind == "arena":
        return Outside(NetworkAddresses(plan).address(location, index) + moved, in_arena=True)
    text = pointer(plan, name)
    if location.kind in ("input", "output") and not location.offset:
        const = "const " if location.kind == "input" else ""
        text = f"({const}int8_t *){text}"
    return Outside(text + moved)


def traced(plan: Plan, index: int) -> list[dict[str, Any]]:
    """Return the template values for recording a layer's results under ME_TRACE, except those in L3
    and states that the loop replaces."""
    rows = []
    before = sum(len(step.results) for step in plan.steps[:index])
    turns = plan.steps[index].turns
    for at, node in enumerate(result.node for result in plan.steps[index].results):
        if not plan.where[node.name].in_level and node.op != STATE:
            data = NetworkAddresses(plan).written(index, at)
            if not data or (node.op == WRITE and turns == 1):  # all rows
                data = _tensor_pointer(plan, node.name, index).text
            if turns > 1:  # the last row
                data = added(data, plan.where[node.name].row_bytes * (turns - 1))
            size = size_bytes(plan.quant, node.name)
            names = {"layer": index, "number": before + at, "tensor": node.name}
            rows.append({**names, "data": data, "bytes": size})
    return rows


def _prefetches(plan: Plan, rows: Sequence[RowFetch]) -> dict[int, Prefetch]:
    """Return layer -> prefetch that starts during its tiles: of later layers' constants and
    operands, and of the next iteration's rows."""
    starts = list(accumulate((len(tiling.tiles) for tiling in plan.tilings), initial=0))
    fetched: dict[int, list[tuple[str, int]]] = {}
    for later, tiling in enumerate(plan.tilings):
        name = function_name(later, plan.steps[later])
        for tile, loads in tiling.loads_ahead.items():
            index = bisect_right(starts, tile) - 1
            for function in dict.fromkeys(fetch_function(tiling, x) for x in loads):
                fetched.setdefault(index, []).append((f"{name}_{function}", tile - starts[index]))
    for row in rows:
        fetched.setdefault(row.during, []).append((row.function, 0))
    return {index: _prefetch(plan, index, known) for index, known in sorted(fetched.items())}


def _prefetch(plan: Plan, index: int, fetched: Sequence[tuple[str, int]]) -> Prefetch:
    """Return the prefetch that starts during one layer.

    fetched   (C function that loads data, tile of this layer during which it runs)
    """
    function = f"{function_name(index, plan.steps[index])}_prefetch"
    if len(plan.tilings[index].tiles) > 1:
        return Prefetch(function, tuple(f"if (t == {tile}) {fetch}();" for fetch, tile in fetched))
    if len(fetched) == 1:
        return Prefetch(fetched[0][0])
    return Prefetch(function, tuple(f"{fetch}();" for fetch, _ in fetched))


def _output_place(plan: Plan, index: int) -> str:
    """Return the C expression for the address at which the layers leave an output."""
    name = plan.graph_outputs[index]
    location, last = plan.where[name], len(plan.steps)
    known = location.kind in ("arena", "l1")
    return NetworkAddresses(plan).address(location, last) if known else pointer(plan, name)


def pointer(plan: Plan, name: str) -> str:
    """Return the C expression for the address of a constant or of a caller's buffer."""
    location = plan.where[name]
    base = _base_pointer(plan, location)
    if location.offset and location.kind in ("input", "output"):
        const = "const " if location.kind == "input" else ""
        base = f"({const}int8_t *){base}"
    return added(base, location.offset)


def _base_pointer(plan: Plan, location: Location) -> str:
    if location.kind == "constant":
        name = str(location.index)
        is_bytes = plan.quant.constants[name].dtype == np.int8
        return f"{'' if is_bytes else '(const int8_t *)'}{constant_name(plan, name)}"
    return f"me_{'in' if location.kind == 'input' else 'out'}[{location.index}]"
