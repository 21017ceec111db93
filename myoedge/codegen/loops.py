# SPDX-License-Identifier: Apache-2.0
"""Values of network.c for loops: loads before the first iteration, the next iteration's rows of
sequences, which are fetched during each iteration, and stores after the last one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from myoedge.codegen.addresses import Outside, macro
from myoedge.codegen.names import function_name
from myoedge.codegen.tile_transfers import guarded
from myoedge.operators.kernel import Operand, Written
from myoedge.plan.locations import Location
from myoedge.plan.loops import LoopLayers
from myoedge.plan.plan import Plan

Outsides = Callable[[int, Operand], Outside]  # layer, operand -> its address in L2


@dataclass(frozen=True, slots=True)
class RowFetch:
    """The C function that fetches a row of a sequence into L1: the next iteration's, or this one's
    if the loop's last layer reads the row.

    loop       the loop
    during     layer during which it runs: the one after the row's last reader, or before the first
    function   its name
    lines      its statements
    is_next    whether it fetches the next iteration's row
    """

    loop: LoopLayers
    during: int
    function: str
    lines: Sequence[str]
    is_next: bool


def row_fetches(plan: Plan, outside: Outsides) -> list[RowFetch]:
    """Return the fetches of all rows of sequences, one for each row and loop."""
    found = []
    for loop in plan.loops:
        readers: dict[Location, list[tuple[int, Operand]]] = {}
        for index in range(loop.first, loop.last + 1):
            for operand in plan.tilings[index].kernel.operands:
                if plan.is_fetched_row(index, operand):
                    name = plan.steps[index].tensors[operand.source]
                    readers.setdefault(plan.where[name], []).append((index, operand))
        found += [_row_fetch(plan, loop, row, known, outside) for row, known in readers.items()]
    return found


def _row_fetch(
    plan: Plan,
    loop: LoopLayers,
    row: Location,
    readers: Sequence[tuple[int, Operand]],
    outside: Outsides,
) -> RowFetch:
    index, operand = readers[0]
    function = function_name(index, plan.steps[index])
    to, source = macro(function, operand.name), outside(index, operand).text
    size = max(_operand_bytes(reader) for _, reader in readers)  # a part of the row may come first
    is_next = readers[-1][0] < loop.last
    source += f" + {row.row_bytes}" * is_next
    # The last layer waits for a row of the first one, which it takes for the layer after it.
    waits = loop.last + 1 if is_next and plan.tilings[index].back_to_back else index
    lines: Sequence[str] = (
        f"me_start_for_layer({waits});",
        f"me_fetch({to}, {source}, {size}, {size}, 0);",
        "me_start_for_next();",
    )
    if is_next:
        lines = tuple(guarded(f"ME_ITERATION + 1 < {loop.steps}", lines))
    name = f"{function}_fetch_{'next_' * is_next}{operand.name}"
    during = readers[-1][0] + 1 if is_next else index - 1
    return RowFetch(loop, during, name, lines, is_next)


def loop_values(
    plan: Plan, number: int, outside: Outsides, fetches: Sequence[RowFetch]
) -> dict[str, Any]:
    """Return a loop's layers, the statements that run before the first iteration, which load its
    L1-resident constants and rows and write arguments, and those that store states after it.

    fetches   those of all loops
    """
    loop = plan.loops[number]
    layers = range(loop.first, loop.last + 1)
    own = [at for at in layers if plan.tilings[at].arguments_once]
    arguments = [f"{function_name(at, plan.steps[at])}_arguments();" for at in own]
    first = [f"{fetch.function}();" for fetch in fetches if fetch.loop == loop and fetch.is_next]
    loads = _constant_loads(plan, layers, outside)
    lines = [*loads, *first, *arguments]
    stores = list(_state_stores(plan, loop, outside))
    return {
        **asdict(loop),
        "last_rows": f"me_last{number}",
        "again_back_to_back": plan.tilings[loop.first].back_to_back,
        "lines": lines,
        "stores": stores,
        "before": f"before_loop{number}" if lines else "0",
        "after": f"after_loop{number}" if stores else "0",
    }


def _state_stores(plan: Plan, loop: LoopLayers, outside: Outsides) -> Iterator[str]:
    """Yield the statements that store a loop's states in L2 after its last iteration."""
    for state in (x for x in plan.loop_states if x.last == loop.last):
        number = plan.steps[state.first].written.index(state.name)
        operand = plan.tilings[state.first].kernel.written(Written(number))
        source = macro(function_name(state.first, plan.steps[state.first]), operand.name)
        to, size = outside(state.first, operand).text, state.size_bytes
        yield f"me_send({source}, {to}, {size}, {size}, 0);"


def _constant_loads(plan: Plan, layers: Iterable[int], outside: Outsides) -> Iterator[str]:
    """Yield the statements that load a loop's constants into L1 for all iterations."""
    for index in layers:
        tiling = plan.tilings[index]
        for operand in tiling.kernel.operands:
            if operand.constant and operand.name in tiling.resident:
                to = macro(function_name(index, plan.steps[index]), operand.name)
                size = _operand_bytes(operand)
                yield f"me_fetch({to}, {outside(index, operand).text}, {size}, {size}, 0);"


def _operand_bytes(operand: Operand) -> int:
    return math.prod(operand.shape) * operand.itemsize
