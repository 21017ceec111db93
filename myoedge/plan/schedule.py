# SPDX-License-Identifier: Apache-2.0
"""QuantGraph + Chip -> Plan: aliases, live ranges, offsets, tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from myoedge.errors import MyoedgeError
from myoedge.ir import Node, Shape
from myoedge.op import OPS, Step, strides
from myoedge.plan.l1 import plan_l1
from myoedge.plan.legal import PLANNED
from myoedge.plan.place import Life, Place, Placement, place
from myoedge.plan.planned import ELEMENT_BYTES, Location, Plan, l1_room_bytes, size_bytes
from myoedge.quant.choose import QuantGraph
from myoedge.spec import enforce
from myoedge.target import Chip


def make_plan(q: QuantGraph, chip: Chip, *, placing: Place = place) -> Plan:
    """Aliases, live ranges, offsets. Errors: E301 where it does not fit L2."""
    alias = _aliases(q, chip.alignment_bytes)
    steps = tuple(step for step in q.steps if step.node.name not in alias)
    roots = {name: _root(name, alias) for name in (*q.graph.tensors, *q.constants)}
    owned, copies = _outputs(q, roots)
    lives = tuple(_lives(q, steps, roots, owned, copies))
    placement = placing(lives, chip.alignment_bytes)
    where = {name: _locate(q, root, owned, placement) for name, root in roots.items()}
    room = l1_room_bytes(chip, len(steps))
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
