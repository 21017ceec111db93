# SPDX-License-Identifier: Apache-2.0
"""Values that a network computes in branches that no calibration sample takes.

A guard such as nan_to_num(1 / b, posinf=9), a comparison or a choice gives other values for some
arguments. If no sample has such an argument but the integers reach it, float runs in which it
replaces a part of the samples' arguments show what operators on elements compute there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import FLOAT_MAX, NEXT_CHOICE, Chain, branches
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE, activated, has_table, real_node
from myoedge.operators.library.known_values import POINTS
from myoedge.operators.turns import IN_LOOPS
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.masked_ranges import BOOLEAN, Range

BY_ELEMENT = frozenset(
    ("add", "affine", "magnitude", "max_pool", "maximum", "mul", "prelu", "sub", "table", "where")
)
BRANCHING = ("embedding", "integer_compare", "table")  # first words of operators with branches
STEPS = 255  # int8 steps in a range
RUNS = 32  # enough for every combination of the branches of five tensors, even of one element each
FARTHEST = 8.0  # times the values that samples show: a farther value would leave these too few bits

Sample = Mapping[str, Array]
Points = Mapping[str, tuple[float, ...]]  # tensor, or input of a fused function -> its values


def unseen_points(graph: Graph, samples: Iterable[Sample], seen: Mapping[str, Range]) -> Points:
    """Return arguments that the integers represent and for which a function of a tensor takes a
    branch that it takes for no sample: the nearest and farthest one per branch.

    seen   range of every tensor over the samples
    An argument to which a sample's argument is rounded is left out: samples show its branch.
    """
    if not any("act" in node.attrs or node.op.startswith(BRANCHING) for node in graph.nodes):
        return {}
    functions = {} if graph.has_fake_quantized else _functions_of_tensors(graph, seen)
    left = _candidate_arguments(graph, functions, seen)

    def leave_unseen(name: str, values: Array) -> None:
        points = left.get(name, np.zeros(0))
        if points.size:
            known = np.unique(_taken_branches(functions.get(name, ()), values))
            shown = np.isin(_taken_branches(functions.get(name, ()), points), known) & (
                name in functions
            )
            left[name] = points[~(shown | _is_near_values(points, values, seen[name]))]

    for sample in samples if left else ():
        float_values(graph, sample, leave_unseen)
    return {
        x: _branch_end_points(functions.get(x, ()), p, seen[x]) for x, p in left.items() if p.size
    }


def _candidate_arguments(
    graph: Graph, functions: Mapping[str, Sequence[Chain]], seen: Mapping[str, Range]
) -> dict[str, Array]:
    """Return the arguments of functions with several branches, and the results of tests."""
    points = {x: _representable_arguments(seen[x]) for x in functions}
    found = {
        x: p for x, p in points.items() if np.unique(_taken_branches(functions[x], p)).size > 1
    }
    tests = [
        node.name
        for node in graph.nodes
        if _is_integer_comparison(graph, node) and node.name in seen
    ]
    return found | dict.fromkeys(tests, np.array(BOOLEAN))


def _functions_of_tensors(graph: Graph, seen: Mapping[str, Range]) -> dict[str, tuple[Chain, ...]]:
    """Return the functions of each tensor, and of the inputs of fused functions."""
    found: dict[str, tuple[Chain, ...]] = {}
    for node in graph.nodes:
        name, chain = node.name + PRE, node.attrs.get("act", ())
        if node.op == "table":
            name, chain = node.inputs[0], node.attrs["chain"]
        if chain and name in seen:
            found[name] = (*found.get(name, ()), chain)
    return found


def _is_integer_comparison(graph: Graph, node: Node) -> bool:
    """Return whether an operator compares integers, possibly by a constant table."""
    table = graph.find_array(node.inputs[1]) if node.op == "embedding" else None
    is_table = table is not None and bool(np.isin(table, BOOLEAN).all())
    return is_table or node.op.startswith("integer_compare")


def _representable_arguments(seen: Range) -> Array:
    """Return values that integers of this range represent."""
    low, high = min(seen[0], 0.0), max(seen[1], 0.0)
    whole = POINTS[(POINTS == 0.0) | (np.abs(POINTS) > 0.1)]
    inside = whole[(low <= whole) & (whole <= high)]
    return np.unique(np.append(inside, np.linspace(low, high, STEPS + 1)))


def _taken_branches(functions: Sequence[Chain], x: Array) -> Array:
    """Return a number per element, equal if all functions take equal branches."""
    taken = np.zeros(np.shape(x), np.int64)
    for chain in functions:
        taken = taken * NEXT_CHOICE + branches(chain, x)
    return taken


def _is_near_values(points: Array, values: Array, seen: Range) -> Array:
    """Return, per point, whether a value is within half an int8 step of it."""
    known = np.sort(values, axis=None)
    at = np.searchsorted(known, points)
    around = known[np.clip([at - 1, at], 0, len(known) - 1)]
    step = (max(seen[1], 0.0) - min(seen[0], 0.0)) / STEPS
    return np.asarray(np.abs(around - points).min(axis=0) <= step / 2)


def _branch_end_points(functions: Sequence[Chain], points: Array, seen: Range) -> tuple[float, ...]:
    """Return the points of each branch that are nearest to and farthest from the range."""
    away = np.maximum(seen[0] - points, points - seen[1])
    taken = _taken_branches(functions, points)
    groups = ((points[taken == one], away[taken == one]) for one in np.unique(taken))
    ends = {float(p[at]) for p, far in groups for at in (np.argmin(far), np.argmax(far))}
    return tuple(sorted(ends))


# --- runs -----------------------------------------------------------------------------------------


def inserted_ranges(
    graph: Graph, samples: Iterable[Sample], points: Points, seen: Mapping[str, Range]
) -> dict[str, Range]:
    """Return the ranges of tensors whose values in unseen branches exceed those of the samples,
    with these values, unless they are FARTHEST times as large; zeros lose nothing by any range.

    points, seen   as of `unseen_points`
    """
    found: dict[str, Range] = {}
    for values, changed in branch_runs(graph, samples, points):
        for name in changed.keys() & seen.keys():
            new, (low, high) = changed[name], found.get(name, seen[name])
            reach = FARTHEST * max(map(abs, seen[name])) or FLOAT_MAX
            near = new[(new != values[name]) & (np.abs(new) <= reach) & (np.abs(new) < FLOAT_MAX)]
            ends = float(near.min(initial=low)), float(near.max(initial=high))
            found |= {name: ends} if ends != (low, high) else {}
    return found


def widened(
    ranges: Mapping[str, Range], seen: Mapping[str, Range], inserted: Mapping[str, Range]
) -> dict[str, Range]:
    """Return the ranges that values of unseen branches widen, at the ends that they exceed."""
    found = dict[str, Range]()
    for name, (low, high) in inserted.items():
        (least, most), (first, last) = ranges[name], seen[name]
        found[name] = low if low < first else least, high if high > last else most
    return found


def branch_runs(
    graph: Graph,
    samples: Iterable[Sample],
    points: Points,
    limits: Mapping[str, Range] | None = None,
) -> Iterator[tuple[Mapping[str, Array], Mapping[str, Array]]]:
    """Yield (all tensors for a sample, the tensors that differ if arguments are replaced).

    points   values that replace a part of the elements, another part in each run
    limits   tensor -> range at which it saturates; None: none does
    Only operators on elements and data movement read replaced values.
    """
    places = _values_by_tensor(points)
    known = [float_values(graph, x) for x in islice(samples, RUNS if points else 0)]
    for run in range(RUNS if points else 0):
        values = known[run % len(known)]
        with np.errstate(all="ignore"):
            yield values, _changed_tensors(graph, values, _TensorChange(places, run, limits or {}))


def _values_by_tensor(points: Points) -> dict[str, tuple[int, Array]]:
    """Return tensor -> (number of elements in a row that get one value, these values): several
    tensors get all combinations of their values."""
    found, wide = dict[str, tuple[int, Array]](), 1
    for name, values in points.items():
        wide = 1 if wide * (len(values) + 1) > RUNS else wide
        found[name] = wide, np.array(values)
        wide *= len(values) + 1
    return found


@dataclass(frozen=True, slots=True)
class _TensorChange:
    """Changes of tensors in one run.

    places   tensor -> (number of elements in a row, values), from `_values_by_tensor`
    run      number of the run
    limits   tensor -> range at which it saturates
    """

    places: Mapping[str, tuple[int, Array]]
    run: int
    limits: Mapping[str, Range]

    def of(self, name: str, value: Array) -> Array:
        # In integers, which saturate, a mask of 0 erases what is infinite in floats.
        value = np.nan_to_num(value, posinf=np.inf, neginf=-np.inf)
        if name in self.limits:
            value = np.clip(value, *self.limits[name]).astype(value.dtype)
        if name not in self.places:
            return value
        wide, values = self.places[name]
        which = (np.arange(value.size) + self.run) // wide % (len(values) + 1)
        taken = np.append(values, 0.0)[which].reshape(value.shape)
        kept = (which == len(values)).reshape(value.shape)
        return np.where(kept, value, taken).astype(value.dtype)


def _changed_tensors(
    graph: Graph, values: Mapping[str, Array], change: _TensorChange
) -> dict[str, Array]:
    """Return the tensors that differ in a run, before and after fused functions."""
    inputs = change.places.keys() & {*graph.inputs}
    made = {name: change.of(name, values[name]) for name in inputs}
    for node in graph.nodes:
        before, after = values.get(node.name + PRE, values[node.name]), values[node.name]
        moves = OPS[node.op].is_data_movement and node.op not in IN_LOOPS
        is_read = (node.op in BY_ELEMENT or moves) and not made.keys().isdisjoint(node.inputs)
        if is_read:
            before, after = real_node(node, [made.get(x, values[x]) for x in node.inputs])
        elif change.places.keys().isdisjoint((node.name, node.name + PRE)):
            continue
        if has_table(node):
            made[node.name + PRE] = change.of(node.name + PRE, before)
            after = activated(node, made[node.name + PRE])
        made[node.name] = change.of(node.name, after)
    return made
