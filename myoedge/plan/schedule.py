# SPDX-License-Identifier: Apache-2.0
"""QuantGraph + Chip -> Plan: which bytes every tensor is, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from myoedge.errors import MyoedgeError, Notice
from myoedge.ir import Array, Node, Shape
from myoedge.op import OPS, Step, macs, strides
from myoedge.plan.l1 import declared, plan_l1, too_small
from myoedge.plan.legal import PLANNED
from myoedge.plan.place import Life, Place, Placement, place
from myoedge.plan.tiling import Tiling
from myoedge.plan.tiling import describe as describe_tiling
from myoedge.quant.choose import QuantGraph
from myoedge.spec import enforce
from myoedge.target import Chip

ELEMENT_BYTES = {"int8": 1, "int32": 4}
MARK_BYTES = 4  # of L1: when a layer ended; one each, the start, and copies behind the last


@dataclass(frozen=True, slots=True)
class Location:
    """Where a tensor's bytes are.

    kind    "input" and "output": the caller's buffers; "arena"; "constant"
    index   number of the input or output, name of the constant; "" for the arena
    offset  bytes from the start of that memory
    """

    kind: str
    index: int | str
    offset: int = 0


@dataclass(frozen=True)
class Plan:
    """Every address, decided.

    steps     the operators that run; views are none of them
    where     location of every tensor
    copies    (output number, tensor) for outputs that are no operator's own buffer
    lives     the buffers of the arena
    tilings   of each step; None for those that work on L2 as a whole
    """

    quant: QuantGraph
    chip: Chip
    steps: tuple[Step, ...]
    where: Mapping[str, Location]
    copies: tuple[tuple[int, str], ...]
    lives: tuple[Life, ...]
    placement: Placement
    tilings: tuple[Tiling | None, ...]

    @property
    def arena_bytes(self) -> int:
        return self.placement.arena_bytes

    @property
    def weight_bytes(self) -> int:
        """Weights, tables and constant operands."""
        arrays = [a for index in range(len(self.steps)) for a in self.stored(index).values()]
        return sum(a.nbytes for a in (*arrays, *self.quant.constants.values()))

    def stored(self, index: int) -> Mapping[str, Array]:
        """The constant arrays of a step, as its code reads them."""
        tiling = self.tilings[index]
        return self.steps[index].integers.arrays if tiling is None else tiling.tiled.arrays

    @property
    def l1_bytes(self) -> int:
        """Planned bytes of L1, from its start to the end of the highest buffer."""
        buffers = [b for tiling in self.tilings if tiling for b in tiling.buffers]
        return max((b.offset + b.size_bytes for b in buffers), default=0)

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Layers that could run in tiles and do not fit L1 in any."""
        room = self.chip.l1_room_bytes
        return tuple(
            too_small(step, room)
            for step, tiling in zip(self.steps, self.tilings, strict=True)
            if room and tiling is None and declared(step) is not None
        )

    @property
    def border_bytes(self) -> int:
        """The caller's input and output buffers, which lie in L2 too."""
        return sum(size_bytes(self.quant, n) for n in (*self.graph_inputs, *self.graph_outputs))

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        return self.quant.graph.inputs

    @property
    def graph_outputs(self) -> tuple[str, ...]:
        return self.quant.graph.outputs

    @property
    def l2_bytes(self) -> int:
        """Data in L2 at its peak; code comes on top."""
        return self.arena_bytes + self.weight_bytes + self.border_bytes


def size_bytes(q: QuantGraph, name: str) -> int:
    return math.prod(q.graph.shape(name)) * ELEMENT_BYTES[q.dtype(name)]


def make_plan(q: QuantGraph, chip: Chip, *, placing: Place = place) -> Plan:
    """Aliases, live ranges, offsets. Errors: E301 where it does not fit L2."""
    alias = _aliases(q, chip.alignment_bytes)
    steps = tuple(step for step in q.steps if step.node.name not in alias)
    roots = {name: _root(name, alias) for name in (*q.graph.tensors, *q.constants)}
    owned, copies = _outputs(q, roots)
    lives = tuple(_lives(q, steps, roots, owned, copies))
    placement = placing(lives, chip.alignment_bytes)
    where = {name: _locate(q, root, owned, placement) for name, root in roots.items()}
    room = max(chip.l1_room_bytes - MARK_BYTES * (len(steps) + 2), 0)
    tilings = plan_l1(steps, room) if room else (None,) * len(steps)
    plan = Plan(q, chip, steps, where, copies, lives, placement, tilings)
    enforce(PLANNED, plan, q.graph, "planned")
    _check_fits(plan)
    return plan


def _aliases(q: QuantGraph, alignment: int) -> dict[str, tuple[str, int]]:
    """Tensors that are other tensors' bytes: {view: (tensor, offset in bytes)}."""
    found: dict[str, tuple[str, int]] = {}
    for node in q.graph.nodes:
        offset = _view_offset(q, node)
        if offset is not None and offset % alignment == 0:
            found[node.name] = (node.inputs[0], offset)
    return found


def _view_offset(q: QuantGraph, node: Node) -> int | None:
    """Bytes into its input at which a view starts; None for operators that move or compute."""
    if OPS[node.op].view:
        return 0
    if node.op != "slice":
        return None
    first = contiguous_slice(q.graph.shape(node.inputs[0]), node.attrs["cuts"])
    return None if first is None else first * ELEMENT_BYTES[q.dtype(node.inputs[0])]


def contiguous_slice(shape: Shape, cuts: Sequence[tuple[int, int, int]]) -> int | None:
    """First element of a slice that is one run of elements; None for others."""
    kept = [len(range(*cut)) for cut in cuts]
    cut_axes = [d for d, n in enumerate(shape) if kept[d] != n]
    last = max(cut_axes, default=0)
    one_run = all(n == 1 for n in kept[:last]) and all(
        c[2] == 1 for c, n in zip(cuts, kept, strict=True) if n > 1
    )
    first = sum(cut[0] * stride for cut, stride in zip(cuts, strides(shape), strict=True))
    return first if one_run else None


def _root(name: str, alias: Mapping[str, tuple[str, int]]) -> tuple[str, int]:
    offset = 0
    while name in alias:
        name, more = alias[name]
        offset += more
    return name, offset


Roots = Mapping[str, tuple[str, int]]


def _outputs(q: QuantGraph, roots: Roots) -> tuple[dict[str, int], tuple[tuple[int, str], ...]]:
    """({buffer: output it is written to}, outputs that are copied at the end)."""
    owned: dict[str, int] = {}
    copies: list[tuple[int, str]] = []
    for index, name in enumerate(q.graph.outputs):
        root, _ = roots[name]
        computed = root in q.graph.producer
        whole = size_bytes(q, root) == size_bytes(q, name)
        if computed and whole and root not in owned:
            owned[root] = index
        else:
            copies.append((index, name))
    return owned, tuple(copies)


def _lives(
    q: QuantGraph,
    steps: Sequence[Step],
    roots: Roots,
    owned: Mapping[str, int],
    copies: Sequence[tuple[int, str]],
) -> list[Life]:
    """Live ranges of the arena's buffers, in steps; copies happen after the last step."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for at, step in enumerate(steps):
        first[step.node.name] = last[step.node.name] = at
        last.update((roots[name][0], at) for name in step.operands)
    last.update((roots[name][0], len(steps)) for _, name in copies)
    return [
        Life(name, size_bytes(q, name), first[name], last[name])
        for name in first
        if name not in owned
    ]


def _locate(
    q: QuantGraph, root: tuple[str, int], owned: Mapping[str, int], placement: Placement
) -> Location:
    name, offset = root
    if name in q.constants:
        return Location("constant", name, offset)
    if name in q.graph.inputs:
        return Location("input", q.graph.inputs.index(name), offset)
    if name in owned:
        return Location("output", owned[name], offset)
    return Location("arena", "", placement.offsets[name] + offset)


def _check_fits(plan: Plan) -> None:
    if plan.l2_bytes <= plan.chip.l2_bytes:
        return
    raise MyoedgeError(
        "E301",
        f"the network does not fit {plan.chip.name}'s L2 memory",
        {
            "needs": f"{plan.l2_bytes:,} B: weights {plan.weight_bytes:,} B, "
            f"activations {plan.arena_bytes:,} B, inputs and outputs {plan.border_bytes:,} B",
            "has": f"{plan.chip.l2_bytes:,} B",
            "largest": "\n".join(_largest(plan)),
        },
        ["fewer channels in the layers named", "--target host, to see the rest of the report"],
    )


def _largest(plan: Plan) -> list[str]:
    sizes = [
        (sum(a.nbytes for a in plan.stored(index).values()), step.node.where)
        for index, step in enumerate(plan.steps)
    ]
    sizes += [
        (life.size_bytes, f"output of {plan.quant.graph.producer[life.name].where}")
        for life in plan.lives
    ]
    return [f"{size:,} B  {what}" for size, what in sorted(sizes, reverse=True)[:3]]


def step_macs(q: QuantGraph, step: Step) -> int:
    """MACs of the model that a step stands for."""
    shapes = [q.graph.shape(name) for name in step.node.inputs]
    return macs(step.node, shapes, step.out)


def describe(plan: Plan) -> dict[str, Any]:
    """plan.json: buffers with live ranges and offsets, locations of all tensors."""
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
        "steps": [_step_json(plan, index) for index in range(len(plan.steps))],
        "copies": [{"output": index, "from": name} for index, name in plan.copies],
    }


def _step_json(plan: Plan, index: int) -> dict[str, Any]:
    step, tiling = plan.steps[index], plan.tilings[index]
    name = step.node.name
    return {
        "name": name,
        "op": step.node.op,
        "reads": {x: _text(plan.where[x]) for x in step.operands},
        "writes": _text(plan.where[name]),
        "tiles": None if tiling is None else describe_tiling(tiling),
    }


def _text(location: Location) -> str:
    place = f"{location.kind}{f' {location.index}' if location.index != '' else ''}"
    return f"{place} + {location.offset}" if location.offset or location.kind == "arena" else place


def parse_location(text: str) -> tuple[str, int, int]:
    """What `describe` says of a place -> kind, number (0 without one), offset."""
    place, _, offset = text.partition(" + ")
    kind, _, number = place.partition(" ")
    return kind, int(number) if number.isdigit() else 0, int(offset or 0)
