# SPDX-License-Identifier: Apache-2.0
"""Weight streaming: constants that do not fit L2 are loaded from other memory levels during the
run."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from functools import cache

from myoedge.errors import MyoedgeError
from myoedge.plan.cost.network import computed, moved_pj, waiting_cycles
from myoedge.plan.levels.distribution import distribute, tolerance, with_room
from myoedge.plan.levels.feature_maps import map_transfers
from myoedge.plan.levels.residency import (
    Key,
    content_digest,
    fill,
    most_read,
    residences,
    sizes_bytes,
    stored_once,
)
from myoedge.plan.levels.transfers import LevelTransfer, in_order, place_transfers
from myoedge.plan.placement import peak
from myoedge.plan.plan import Plan, size_bytes
from myoedge.plan.timeline import Chunk, candidates, chunks
from myoedge.targets.chip import MemoryLevel

PIECE_BYTES = 32768  # maximum bytes of a transfer: its start then costs 0.4 % of its time
PIECES = 8  # transfers that fit the window at least, if tiles are small enough
CHOICES = 8  # sets of resident constants that are tried
NO_L2 = "E301"  # error code of a network that does not fit L2
SHORT_OF_L1 = "L1"  # key of the fact that lists layers which need more L1


def fits(plan: Plan) -> bool:
    """Return whether all data of a plan fits in L2."""
    chip = plan.chip
    return plan.l2_bytes <= (plan.l2_room_bytes if chip.levels else chip.l2_bytes)


def window_bytes(plan: Plan) -> int:
    """Return the bytes of L2 that a plan leaves for constants, resident or streamed."""
    owners = plan.owners
    rows = _streamable_constants(plan)
    constants = sum(size for index, name, size in rows if owners[index, name] == (index, name))
    return plan.l2_room_bytes - plan.l2_bytes + constants


def exceed_levels(plan: Plan) -> bool:
    """Return whether the distinct constants of a network exceed L2 and the memory levels
    together."""
    constants_bytes = plan.weight_bytes + sum(a.nbytes for _, a in plan.l3_tables.values())
    return constants_bytes > plan.chip.levels_room_bytes + plan.l2_room_bytes


def levels_for_constants(plan: Plan) -> tuple[MemoryLevel, ...]:
    """Return the memory levels of a plan's chip without the bytes of its feature maps and
    tables."""
    tables = sum(array.nbytes for _, array in plan.l3_tables.values())
    return with_room(plan.chip.levels, {plan.chip.map_level.name: plan.map_bytes + tables})


def with_transfers(plan: Plan) -> Plan | None:
    """Return the plan with transfers of constants that do not fit L2; None if L2 is still too
    small."""
    window, known, work = window_bytes(plan), _chunks_of_constants(plan), computed(plan)
    fastest = residences(known, work, window, levels_for_constants(plan))
    digest, best, fewest = _make_digest_cache(plan), None, math.inf
    for choice in fastest[:CHOICES]:
        if choice.cycles >= fewest:  # addresses only delay transfers
            break
        made = _plan_streaming(plan, known, choice.streamed, digest)
        cycles = math.inf if made is None else waiting_cycles(made, work)
        if cycles < fewest:
            best, fewest = made, cycles
    return best


def _fits_levels(plan: Plan) -> bool:
    """Return whether the data of a plan fits its memory levels."""
    return all(plan.level_bytes(x.name) <= x.room_bytes for x in plan.chip.levels)


def filled(plan: Plan) -> Plan:
    """Return the plan with more constants resident in L2, as long as no run gets slower; this saves
    the energy of transfers."""
    plans = (_fill_l2(plan, most) for most in (PIECE_BYTES, PIECE_BYTES // 2))
    return min(plans, key=moved_pj)


def _fill_l2(plan: Plan, most: int) -> Plan:
    """Return the plan with more resident constants, and transfers of at most `most` bytes: small
    transfers take less space, but more time."""
    bare, work, best = replace(plan, transfers=()), computed(plan), plan
    known, digest = _chunks_of_constants(bare, most), _make_digest_cache(bare)
    streamed = frozenset(plan.owners[key] for key in plan.streamed)
    keys = fill(known, streamed, work, window_bytes(bare), levels_for_constants(bare))
    cycles = waiting_cycles(plan, work) * tolerance(plan.chip.levels)
    fewest, most = 0, len(keys)
    count = most
    while fewest < most:  # placement may fail although the sizes fit: as many as can be placed
        made = _plan_streaming(bare, known, streamed.difference(keys[:count]), digest)
        if made is not None and waiting_cycles(made, work) <= cycles:
            fewest, best = count, made
        else:
            most = count - 1
        count = (fewest + most + 1) // 2
    return best


def _make_digest_cache(plan: Plan) -> Callable[[Chunk], bytes]:
    """Return a function chunk -> digest of its bytes, with a cache; of small ones that may be equal
    by chance, with their place in the network."""

    @cache
    def digest(chunk: Chunk) -> bytes:
        content = plan.content(chunk)
        if len(content) < plan.shared_from_bytes:
            content += f"{chunk.step} {chunk.array} {chunk.start}".encode()
        return content_digest(content)

    return digest


def _plan_streaming(
    plan: Plan,
    known: Mapping[Key, Sequence[Chunk]],
    streamed: frozenset[Key],
    digest: Callable[[Chunk], bytes],
) -> Plan | None:
    """Return the plan that streams these constants; None if a transfer or a level does not fit."""
    at, alive = plan.placement.offsets, plan.timeline_steps.alive
    others = [(at[life.name], alive(life)) for life in plan.lives]
    stays = sum(size for key, size in sizes_bytes(known).items() if key not in streamed)
    room = window_bytes(plan) + plan.placement.arena_bytes - stays
    chunks_in_order = in_order([chunk for key in streamed for chunk in known[key]])
    maps: list[LevelTransfer] = []  # through windows whose addresses are known
    for access in plan.accesses:
        tiling, l2 = plan.tilings[access.step], plan.windows(access.step)[access.operand]
        start = plan.chip.map_level.name, plan.maps[access.tensor]
        maps += map_transfers(access, tiling, plan.timeline_steps, start, l2)
    placed = place_transfers(chunks_in_order, others, room, maps)
    if placed is None:
        return None
    levels = _levels_of(plan, chunks_in_order, digest, window_bytes(plan) - stays)
    made = stored_once(placed, [levels.get(x.chunk, plan.chip.map_level) for x in placed], digest)
    streaming = replace(plan, transfers=tuple(made))
    return streaming if _fits_levels(streaming) else None


def _levels_of(
    plan: Plan, chunks: Sequence[Chunk], digest: Callable[[Chunk], bytes], window: int
) -> dict[Chunk, MemoryLevel]:
    """Return the level of each streamed chunk.

    window   bytes of L2 for transfers
    """
    levels = levels_for_constants(plan)
    if len(levels) == 1:
        return dict.fromkeys(chunks, levels[0])
    contents = [digest(chunk) for chunk in chunks]
    found = distribute(chunks, contents, computed(plan), window, levels)
    return dict(zip(chunks, found, strict=True))


def _chunks_of_constants(plan: Plan, most: int = PIECE_BYTES) -> dict[Key, list[Chunk]]:
    """Return the chunks of every constant that can be streamed; equal arrays share
    chunks."""
    chunks_of: dict[Key, list[Chunk]] = {}
    most = min(most, max(window_bytes(plan), 0) // PIECES)
    for index, name, size in _streamable_constants(plan):
        own = chunks(index, name, size, plan.tilings[index], plan.timeline_steps, most)
        chunks_of.setdefault(plan.owners[index, name], []).extend(own)
    return chunks_of


def _streamable_constants(plan: Plan) -> list[tuple[int, str, int]]:
    """Return (layer, constant, bytes) of the constants that may be streamed; not of those equal to
    one that stays in L1 for a loop and is loaded from L2."""
    rows, owners = [*candidates(plan.tilings)], plan.owners
    may = {(index, name) for index, name, _ in rows}
    near = {owners[key] for key in owners if key not in may}
    return [row for row in rows if owners[row[:2]] not in near]


def least_bytes(plan: Plan) -> int:
    """Return the minimum bytes of L2 that a plan needs, with all constants streamed."""
    read = most_read([chunk for chunks in _chunks_of_constants(plan).values() for chunk in chunks])
    return plan.l2_room_bytes - window_bytes(plan) + read


def least_beside(plan: Plan, maps: Sequence[str], steps: Container[int]) -> int:
    """Return the bytes of L2 that a plan needs whichever of its feature maps leave L2: all other
    buffers, and the constants of steps that read none of these maps, in the smallest chunks.

    maps    feature maps that may leave L2
    steps   steps that read or write them
    """
    lives = tuple(life for life in plan.lives if life.name not in maps)
    ports = [name for name in (*plan.graph_inputs, *plan.graph_outputs) if name not in maps]
    fixed = plan.l2_room_bytes - window_bytes(plan) - plan.arena_bytes - plan.border_bytes
    chunks = (chunk for chunks in _chunks_of_constants(plan, most=0).values() for chunk in chunks)
    read = most_read([chunk for chunk in chunks if chunk.step not in steps])
    return fixed + peak(lives, plan.chip.alignment_bytes)[0] + plan.port_bytes(ports) + read


def read_at_once(plan: Plan) -> dict[int, int]:
    """Return layer -> minimum bytes of constants in L2 at a time, in the smallest chunks that its
    tiles allow."""
    chunks_of: dict[int, list[Chunk]] = {}
    for found in _chunks_of_constants(plan, most=0).values():
        for chunk in found:
            chunks_of.setdefault(chunk.step, []).append(chunk)
    return {index: most_read(own) for index, own in chunks_of.items()}


def too_large(
    plan: Plan, least: Plan | None = None, short_of_l1: Sequence[str] = ()
) -> MyoedgeError:
    """Return error E301, which lists the buffers that need L2 even if all constants are streamed.

    least         the plan that needs the least L2; None without other levels
    short_of_l1   layers that could keep more outside L2 if L1 were larger
    """
    chip, names = plan.chip, list(dict.fromkeys(short_of_l1))
    l2_bytes = plan.l2_room_bytes if chip.levels else chip.l2_bytes
    title = f"{plan.l1_room_bytes:,} B are too few for tiles with which more could leave L2:"
    layers = [title, *names[:3]]
    sizes = [
        (sum(a.nbytes for a in plan.stored(index).values()), plan.names[step.node.name])
        for index, step in enumerate(plan.steps)
    ]
    made = [life for life in plan.lives if life.name in plan.quant.graph.producer]
    sizes += [(life.size_bytes, _displayed_name(plan, life.name)) for life in made]
    return MyoedgeError(
        NO_L2,
        f"the network does not fit {chip.name}'s L2 memory",
        {
            "needs": _describe_l2_use(plan, least, l2_bytes),
            "has": f"{l2_bytes:,} B{_describe_code_share(plan) if chip.levels else ''}",
            **_explain_shortage(plan, least),
            **({SHORT_OF_L1: "\n".join(layers)} if short_of_l1 else {}),
            "largest": "\n".join(_largest_entries(sizes)),
        },
        ["fewer channels in the layers named", "--target host, to see the rest of the report"],
    )


def _explain_shortage(plan: Plan, least: Plan | None) -> dict[str, str]:
    """Return the facts of an error that explain why the other memory levels do not suffice."""
    if least is not None:
        return {"stays in L2": _describe_largest_buffer(least)}
    levels = plan.chip.levels
    text = "has {:,} B for the weights that do not fit in L2"
    facts = {level.name.upper(): text.format(level.room_bytes) for level in levels}
    return facts or {"stays in L2": "everything: there is no L3"}


def _describe_code_share(plan: Plan) -> str:
    """Return text for an error: the share of L2 for the code of many layers, or ""."""
    code = plan.chip.l2_room_bytes - plan.l2_room_bytes
    return f" in addition to the code of {len(plan.steps):,} layers" if code else ""


def _describe_l2_use(plan: Plan, least: Plan | None, l2_bytes: int) -> str:
    """Describe the bytes of L2 by use: with all weights if other levels are too small or absent,
    otherwise with weights read at once."""
    needed, weights = plan, f"{plan.l2_bytes:,} B: weights {plan.weight_bytes:,} B"
    if least is not None and (total := least_bytes(least)) > l2_bytes:
        at_once = total - least.arena_bytes - least.border_bytes
        weights = f"{total:,} B in the tiles tried: weights that are read at once {at_once:,} B"
        needed = least
    activations, border = needed.arena_bytes, needed.border_bytes
    return f"{weights}, activations {activations:,} B, inputs and outputs {border:,} B"


def _describe_largest_buffer(least: Plan) -> str:
    """Describe the largest buffer that must stay in L2."""
    graph = least.quant.graph
    sizes = [(life.size_bytes, _displayed_name(least, life.name)) for life in least.lives]
    ports = [*graph.inputs, *graph.outputs]
    near = [name for name in ports if least.where[name].kind in ("input", "output")]
    sizes += [(size_bytes(least.quant, name), _displayed_name(least, name)) for name in near]
    title = "the data of a few tiles, and all operands of layers without tiles"
    title += " or in loops" * bool(least.loops)
    return "\n".join([title, *_largest_entries(sizes)])


def _displayed_name(plan: Plan, name: str) -> str:
    """Return a tensor's name for messages; windows have separate names."""
    maker = plan.quant.graph.producer.get(name)
    return name if maker is None else f"output of {plan.names.get(name, maker.where)}"


def _largest_entries(sizes: Sequence[tuple[int, str]]) -> list[str]:
    return [f"{size:,} B  {name}" for size, name in sorted(sizes, reverse=True)[:3]]
