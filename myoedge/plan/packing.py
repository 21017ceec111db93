# SPDX-License-Identifier: Apache-2.0
"""The smallest arena for buffers with live ranges: greedily, then with CP-SAT (ortools)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from myoedge.numerics.arrays import round_up
from myoedge.plan.placement import (
    LiveRange,
    LiveRangeIndex,
    Pairs,
    Placement,
    Replacement,
    greedy,
    height,
    lower_bound,
)

# CP-SAT's deterministic work units: 150 buffers need about 0.02. With 500 buffers, 1.0 takes some
# 10 s of CPU. Work grows with pairs of buffers, so larger problems get less.
DETERMINISTIC_TIME = 4.0
FEW = 300  # up to this many buffers get the full limit
MANY = 1000  # with more buffers, building the model takes too long


def place(
    lives: Sequence[LiveRange], alignment: int, may_replace: Sequence[Replacement] = ()
) -> Placement:
    """Place buffers greedily; if that does not reach the lower bound, search with CP-SAT (ortools,
    if installed).

    may_replace   pairs of buffers that may overlap

    CP-SAT gets a smaller work limit for more than FEW buffers, and is not used for more than MANY.
    Equal buffers get equal offsets on every machine.
    """
    pairs = {(x.read, x.written): x.rounded(alignment) for x in may_replace}
    offsets = greedy(lives, alignment)
    if pairs:
        found = (offsets, greedy(lives, alignment, pairs), _from_the_top(lives, alignment, pairs))
        offsets = min(found, key=lambda x: height(lives, x, alignment))
    bound = lower_bound(lives, alignment, pairs)
    size = height(lives, offsets, alignment)
    if size == bound:
        return Placement(offsets, size, bound, True)
    if len(lives) > MANY:
        return Placement(offsets, size, bound, False)
    better, proven = _pack_buffers(lives, alignment, offsets, (bound, size), pairs)
    return Placement(better, height(lives, better, alignment), bound, proven)


def _from_the_top(lives: Sequence[LiveRange], alignment: int, pairs: Pairs) -> dict[str, int]:
    """Return the offsets of `greedy` from the end of the arena downwards: results, which lie below
    what they replace, come behind it then."""
    size = {x.name: int(round_up(x.size_bytes, alignment)) for x in lives}
    mirrored = {}
    for (read, written), pair in pairs.items():
        longer = size[read] - size[written]
        if longer % pair.multiple == 0:
            turned = replace(pair, read=written, written=read)
            turned = replace(turned, distance_bytes=pair.distance_bytes + longer)
            mirrored[written, read] = turned
    rounded = [replace(x, size_bytes=size[x.name]) for x in lives]
    offsets = greedy(rounded, alignment, mirrored)
    top = height(rounded, offsets, alignment)
    return {name: top - at - size[name] for name, at in offsets.items()}


def _pack_buffers(
    lives: Sequence[LiveRange],
    alignment: int,
    hint: dict[str, int],
    limits: tuple[int, int],
    pairs: Pairs,
) -> tuple[dict[str, int], bool]:
    """Pack the buffers with CP-SAT: live ranges are given, offsets are searched, with one worker
    for repeatable results.

    limits   least and most bytes of the arena
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        return hint, False
    model = cp_model.CpModel()
    bound, most = (size // alignment for size in limits)
    top = model.new_int_var(bound, most, "top")
    offsets, times, spans = {}, [], []
    for life in lives:
        units = round_up(life.size_bytes, alignment) // alignment
        offsets[life.name] = at = model.new_int_var(0, most - units, life.name)
        model.add_hint(at, hint[life.name] // alignment)
        spans.append(model.new_fixed_size_interval_var(at, units, life.name))
        times.append(model.new_fixed_size_interval_var(life.first, life.last - life.first + 1, "t"))
        model.add(at + units <= top)
    if pairs:
        _keep_apart(model, lives, alignment, offsets, pairs)
    else:
        model.add_no_overlap_2d(times, spans)
    model.minimize(top)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    share = min(FEW / max(len(lives), 1), 1.0) ** 2
    solver.parameters.max_deterministic_time = DETERMINISTIC_TIME * share
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint, False
    found = {name: solver.value(at) * alignment for name, at in offsets.items()}
    return found, status == cp_model.OPTIMAL


def _keep_apart(
    model: Any, lives: Sequence[LiveRange], alignment: int, at: Mapping[str, Any], pairs: Pairs
) -> None:
    """Add to CP-SAT's model that buffers alive at the same time share no bytes, unless they may."""
    units = {x.name: int(round_up(x.size_bytes, alignment)) // alignment for x in lives}
    most = sum(units.values())
    placed = LiveRangeIndex()
    for life in lives:
        for other in placed.meeting(life):
            a, b = life.name, other.name
            below, above = model.new_bool_var(""), model.new_bool_var("")
            model.add(at[a] + units[a] <= at[b]).only_enforce_if(below)
            model.add(at[b] + units[b] <= at[a]).only_enforce_if(above)
            ways = [below, above]
            for pair in filter(None, (pairs.get((a, b)), pairs.get((b, a)))):
                over, turns = model.new_bool_var(""), model.new_int_var(-most, most, "")
                apart = at[pair.read] - at[pair.written]
                model.add(apart >= pair.distance_bytes // alignment).only_enforce_if(over)
                model.add(apart == pair.multiple // alignment * turns).only_enforce_if(over)
                ways.append(over)
            model.add_bool_or(ways)
        placed.add(life)
