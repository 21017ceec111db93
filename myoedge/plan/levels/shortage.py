# SPDX-License-Identifier: Apache-2.0
"""The error of a network that does not fit in L2: what needs its bytes."""

from __future__ import annotations

from collections.abc import Sequence

from myoedge.errors import DoesNotFit
from myoedge.plan.levels.constant_chunks import least_bytes
from myoedge.plan.plan import Plan, size_bytes

NO_L2 = "E301"  # error code of a network that does not fit L2
SHORT_OF_L1 = "L1"  # key of the fact that lists layers which need more L1
STAYS, NO_L3 = "stays in L2", "there is no L3"  # key of a fact, and its end


def too_large(plan: Plan, least: Plan | None = None, short_of_l1: Sequence[str] = ()) -> DoesNotFit:
    """Return error E301, which lists the buffers that need L2 even if all constants are streamed.

    least         the plan that needs the least L2; None without other levels
    short_of_l1   layers that could keep more outside L2 if L1 were larger
    """
    chip, names = plan.chip, list(dict.fromkeys(short_of_l1))
    title = f"{plan.l1_room_bytes:,} B are too few: with more, results of these could leave L2:"
    layers = [title, *names[:3]]
    stored = () if chip.flash_bytes else enumerate(plan.steps)
    sizes = [
        (sum(a.nbytes for a in plan.stored(index).values()), plan.names[step.node.name])
        for index, step in stored
    ]
    made = [life for life in plan.lives if life.name in plan.quant.graph.producer]
    sizes += [(life.size_bytes, _displayed_name(plan, life.name)) for life in made]
    return DoesNotFit(
        NO_L2,
        f"the network does not fit {chip.name}'s {'RAM' if chip.flash_bytes else 'L2 memory'}",
        {
            "needs": _describe_l2_use(plan, least),
            "has": f"{chip.l2_bytes:,} B",
            **_explain_shortage(plan, least),
            **({SHORT_OF_L1: "\n".join(layers)} if short_of_l1 else {}),
            "largest": "\n".join(_largest_entries(sizes)),
        },
        ["fewer channels in the layers named", "--target host, to see the rest of the report"],
    )


def _explain_shortage(plan: Plan, least: Plan | None) -> dict[str, str]:
    """Return the facts of an error that explain why the other memory levels do not suffice."""
    if plan.chip.flash_bytes:
        return {}
    levels, has_l3 = plan.chip.levels, plan.chip.map_level.bytes
    if least is not None and has_l3:
        return {STAYS: _describe_largest_buffer(least)}
    text = "has {:,} B for the weights that do not fit in L2"
    facts = {level.name.upper(): text.format(level.constants_bytes) for level in levels}
    kept = "all but weights" if levels else "everything"
    no_l3 = {} if has_l3 else {STAYS: f"{kept}: {NO_L3}"}
    return no_l3 if least is not None else {**facts, **no_l3}


def _describe_l2_use(plan: Plan, least: Plan | None) -> str:
    """Describe the bytes of L2 by use: with all weights if other levels are too small or absent,
    otherwise with weights read at once; and what the program takes of L2."""
    l2_bytes, needed, where = plan.l2_most_bytes, plan, ""
    total, weights = plan.l2_bytes, f"weights {plan.weight_bytes:,} B, "
    if least is not None and (most := least_bytes(least)) > l2_bytes:
        at_once = most - least.arena_bytes - least.border_bytes
        total, needed, where = most, least, " in the tiles tried"
        weights = f"weights that are read at once {at_once:,} B, "
    elif plan.chip.flash_bytes:
        weights = ""
    code, layers = plan.chip.l2_bytes - l2_bytes, len(plan.steps)
    linked = plan.chip.program is not None and not plan.chip.flash_bytes
    own = "variables and stack" if plan.chip.flash_bytes else "code"
    of_code = f", {own} of {layers:,} layers {code:,} B" if code else ", and code" * linked
    activations, border = needed.arena_bytes, needed.border_bytes
    return (
        f"{total + code:,} B{where}: {weights}activations {activations:,} B, "
        f"inputs and outputs {border:,} B{of_code}"
    )


def _describe_largest_buffer(least: Plan) -> str:
    """Describe the largest buffers in L2 of the plan that needs the least L2."""
    graph = least.quant.graph
    sizes = [(life.size_bytes, _displayed_name(least, life.name)) for life in least.lives]
    ports = [*graph.inputs, *graph.outputs]
    near = [name for name in ports if least.where[name].kind in ("input", "output")]
    sizes += [(size_bytes(least.quant, name), _displayed_name(least, name)) for name in near]
    title = "the data of a few tiles, and all operands of layers without tiles"
    title += " or in loops" * bool(least.loops)
    title += ", or whose constants are loaded in each step" * any(least.timeline_steps.passes)
    return "\n".join([title, *_largest_entries(sizes)])


def _displayed_name(plan: Plan, name: str) -> str:
    """Return a tensor's name for messages; windows have separate names."""
    maker = plan.quant.graph.producer.get(name)
    return name if maker is None else f"output of {plan.names.get(name, maker.where)}"


def _largest_entries(sizes: Sequence[tuple[int, str]]) -> list[str]:
    return [f"{size:,} B  {name}" for size, name in sorted(sizes, reverse=True)[:3]]
