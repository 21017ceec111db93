# SPDX-License-Identifier: Apache-2.0
"""Restoration of the first steps of an unrolled loop, which import computes in part.

A loop that begins with a constant state has other first steps than later ones: import computes what
depends on constants only (0.9 * state). The steps behind are the pattern by which the first steps
are made anew, from a constant state. Which constant that was is not in the graph: zeros and the
constants of the program are tried, then those that solve the first steps' equations. One is taken
only if the first steps give the same values as before, for random operands of three magnitudes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node, Shape, Tensor, ranked
from myoedge.graph.match import NoMatch, attempt, require
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import real_node
from myoedge.passes.loop_columns import MOST_PEELED, Column, Unrolled, UnrolledBody, unrolled_body
from myoedge.passes.steps import joined_cuts

MOST_TRIED = 256  # combinations of constants as states
MOST_COMPUTED = 1 << 21  # elements that all of them compute; zeros and ones are tried in any case
SCALES = (0.1, 1.0, 10.0)  # of the random operands for which the first steps give the same values
MOST_UNKNOWNS = 128  # elements of states for which equations are solved
CLOSER = 0.5  # by which a step of Newton's method must reduce what is missing
STEP, RANK = 1e-3, 1e-9  # of its differences; smallest singular value, of the largest
SAME = 1e-5  # largest difference, of the largest value: computed constants are float32


def from_first_step(body: UnrolledBody, least: int) -> UnrolledBody | None:
    """Return the body of a loop with the steps in front of it as steps of the loop, which begins
    with constant states; None if it begins so already, or if no constants give these steps.

    least   least number of steps in front
    """
    if all(body.graph.is_const(initial) for _, initial in body.states.values()):
        return None
    counts = range(max(least, 1), MOST_PEELED + 1)
    tried = (attempt(_with_first_steps, body, count) for count in counts)
    return next(filter(None, tried), None)


def _with_first_steps(body: UnrolledBody, count: int) -> UnrolledBody | None:
    """Return the body with `count` more steps; None if no constants give these. Errors: NoMatch."""
    made = _FirstSteps(body, count)
    same = made.same_tensors()
    first = _find_states(made, same)
    graph, starts = made.graph_from(first, same), made.starts()
    whole = unrolled_body(Unrolled(graph), starts)
    states = () if whole is None else whole.states.values()
    return whole if all(graph.is_const(initial) for _, initial in states) else None


@dataclass
class _FirstSteps:
    """The steps in front of the body of a loop, made as its other steps are.

    count           number of these steps
    made            (column, step) -> tensor
    nodes, tensors  what computes them
    """

    body: UnrolledBody
    count: int
    made: dict[tuple[Column, int], str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = self.body.in_order()
        for step in range(self.count):
            for column in columns:
                node = self.body.graph.producer[column[0]]
                inputs = (self.operand(x, step) for x in self.body.unrolled.inputs(column))
                self._add(node.but(inputs=tuple(inputs)), column, step)

    def operand(self, column: Column, step: int) -> str:
        """Return the tensor of a column in one of the steps. Errors: NoMatch if it is not known."""
        if (column, step) in self.made:
            return self.made[column, step]
        if column in self.body.states:
            after = self.body.states[column][0]
            return self.operand(after, step - 1) if step else f"{column[0]}.first"
        if len({*column}) == 1 or self.body.unrolled.is_one_constant(column):
            return column[0]
        return self._add(self._earlier_slice(column, step), column, step)

    def _earlier_slice(self, column: Column, step: int) -> Node:
        """Return the slice in front of consecutive slices. Errors: NoMatch."""
        nodes = [self.body.graph.producer.get(name) for name in column]
        slices = [node for node in nodes if node is not None and node.op == "slice"]
        require(len(slices) == len(column), len({node.inputs for node in slices}) == 1)
        axis, cuts = joined_cuts([node.attrs["cuts"] for node in slices])
        first = cuts[axis][0] + (step - self.count) * cuts[axis][2]
        require(0 <= first < self.body.graph.shape(slices[0].inputs[0])[axis])
        cut = (*cuts[:axis], (first, first + 1, 1), *cuts[axis + 1 :])
        return slices[0].but(attrs={**slices[0].attrs, "cuts": cut})

    def _add(self, node: Node, column: Column, step: int) -> str:
        name, tensor = f"{column[0]}.first{step}", self.body.graph.tensors[column[0]]
        require(name not in self.body.graph.tensors)
        self.nodes.append(node.but(outputs=(name,)))
        self.tensors[name] = replace(tensor, name=name)
        self.made[column, step] = name
        return name

    def starts(self) -> list[Column]:
        """Return the columns of the results, with those of the first steps."""
        steps = range(self.count)
        return [(*(self.operand(x, step) for step in steps), *x) for x in self.body.starts]

    def first_states(self) -> dict[str, Shape]:
        """Return constant -> shape, for the states before the first step."""
        return {f"{x[0]}.first": self.body.graph.shape(x[0]) for x in self.body.states}

    def same_tensors(self) -> dict[str, str]:
        """Return tensor of the graph -> the one that is made in its place: states after the first
        steps, and results of these. Errors: NoMatch."""
        last, states = self.count - 1, self.body.states.values()
        same = {initial: self.operand(after, last) for after, initial in states}
        for column in self.body.starts:
            for back, name in enumerate(self._results_before(column)):
                same.setdefault(name, self.operand(column, last - back))
        return same

    def _results_before(self, column: Column) -> Iterator[str]:
        """Yield the tensors that are joined with a column in front of it, last step first."""
        for node in self.body.graph.users.get(column[0], ()):
            for joined in (node.inputs, node.inputs[::-1]):
                at = joined.index(column[0])
                if node.op == "concat" and joined[at : at + len(column)] == column:
                    yield from joined[max(at - self.count, 0) : at][::-1]
                    return

    def operands_outside(self) -> Iterator[str]:
        """Yield the tensors that the steps read, but for those that they compute."""
        read = (name for node in self.nodes for name in node.inputs)
        return (name for name in read if name in self.body.graph.tensors)

    def graph_from(self, first: Mapping[str, Array], same: Mapping[str, str]) -> Graph:
        """Return the graph with these steps in place of its own.

        first   constant -> state before the first step
        same    as `same_tensors` returns
        """
        graph = self.body.graph
        return replace(
            graph,
            nodes=(*(node.reading(same) for node in graph.nodes), *self.nodes),
            outputs=tuple(same.get(name, name) for name in graph.outputs),
            tensors={**graph.tensors, **self.tensors},
            constants={**graph.constants, **as_constants(first)},
        )


def _find_states(made: _FirstSteps, same: Mapping[str, str]) -> dict[str, Array]:
    """Return constant -> state before the first step, for which tensors are the same as those made
    in their place. Errors: NoMatch."""
    cases, shapes = [_RandomOperands.of(made, same, scale) for scale in SCALES], made.first_states()
    most = MOST_COMPUTED // sum(tensor.size for tensor in made.tensors.values())
    tried = itertools.islice(
        _possible_states(made.body.graph, shapes), min(max(most, 2), MOST_TRIED)
    )
    for first in itertools.chain(tried, _solved_states(cases, shapes)):
        if all(case.is_same(first) for case in cases):
            return first
    raise NoMatch


def _possible_states(graph: Graph, shapes: Mapping[str, Shape]) -> Iterator[dict[str, Array]]:
    """Yield values for states: zeros, ones, and the constants of a graph, as far as they broadcast
    to the states' shapes; first those with which all states are the same constant."""
    floats = (c.array for c in graph.constants.values() if c.array.dtype == np.float32)
    arrays = [np.zeros((), np.float32), np.ones((), np.float32), *floats]
    fit = {shape: [*_distinct(arrays, shape)] for shape in {*shapes.values()}}
    alike = itertools.zip_longest(*(fit[shape] for shape in shapes.values()))
    mixed = itertools.product(*(fit[shape] for shape in shapes.values()))
    for values in itertools.chain(alike, mixed):
        if all(value is not None for value in values):
            yield dict(zip(shapes, values, strict=True))


def _solved_states(
    cases: Sequence[_RandomOperands], shapes: Mapping[str, Shape]
) -> Iterator[dict[str, Array]]:
    """Yield the states that Newton's method finds, as long as it comes closer: those of a program
    that begins with Python's numbers, or of a body that has other states than the program."""
    x, before = np.zeros(sum(map(math.prod, shapes.values()))), math.inf

    def missing(x: Array) -> Array:
        first = _parts(x, shapes)
        return np.concatenate([case.missing(first) for case in cases])

    while len(x) <= MOST_UNKNOWNS:
        now = missing(x)
        if not np.linalg.norm(now) < CLOSER * before:  # or a number that is not finite
            return
        slopes = [(missing(x + STEP * unit) - now) / STEP for unit in np.eye(len(x))]
        if not np.isfinite(slopes).all():
            return
        before = float(np.linalg.norm(now))
        x = x - np.linalg.lstsq(np.stack(slopes, 1), now, RANK)[0]
        yield {name: part.astype(np.float32) for name, part in _parts(x, shapes).items()}


def _parts(x: Array, shapes: Mapping[str, Shape]) -> dict[str, Array]:
    """Return the arrays of these shapes whose elements follow each other in x."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = zip(shapes.items(), np.split(x, ends[:-1]), strict=True)
    return {name: part.reshape(shape) for (name, shape), part in parts}


def _distinct(arrays: Iterable[Array], shape: Shape) -> Iterator[Array]:
    """Yield arrays that broadcast to a shape, broadcast, without repeats."""
    seen = set[bytes]()
    for array in arrays:
        own = ranked(array.shape, len(shape))
        if len(own) == len(shape) and all(n in (1, m) for n, m in zip(own, shape, strict=True)):
            whole = np.ascontiguousarray(np.broadcast_to(array, shape))
            if whole.tobytes() not in seen:
                seen.add(whole.tobytes())
                yield whole


@dataclass(frozen=True)
class _RandomOperands:
    """Random operands of the first steps, and what the steps of the graph give for them.

    same    tensor of the graph -> the one that is made in its place
    given   operand -> values
    wanted  tensor of the graph -> values
    """

    made: _FirstSteps
    same: Mapping[str, str]
    given: Mapping[str, Array]
    wanted: Mapping[str, Array]

    @classmethod
    def of(cls, made: _FirstSteps, same: Mapping[str, str], scale: float) -> _RandomOperands:
        graph, rng = made.body.graph, np.random.default_rng(0)
        names = dict.fromkeys((*graph.inputs, *made.operands_outside()))
        drawn = {name: scale * rng.standard_normal(graph.shape(name)) for name in names}
        given = {name: x.astype(graph.dtype(name)) for name, x in drawn.items()}
        return cls(made, same, given, _values(graph.nodes, same, {**graph.arrays, **given}))

    def is_same(self, first: Mapping[str, Array]) -> bool:
        """Return whether the steps give the same values if they begin with these states."""
        return all(_is_equal(x, y) for x, y in self._pairs(first))

    def missing(self, first: Mapping[str, Array]) -> Array:
        """Return by how much the values that the steps give are too large."""
        return np.concatenate([(y - x).ravel() for x, y in self._pairs(first)])

    def _pairs(self, first: Mapping[str, Array]) -> Iterator[tuple[Array, Array]]:
        """Yield the values that the steps have to give, and those that they give."""
        known = {**self.made.body.graph.arrays, **self.given, **first}
        values = _values(self.made.nodes, self.same.values(), known)
        return ((self.wanted[old], values[new]) for old, new in self.same.items())


@np.errstate(all="ignore")
def _is_equal(x: Array, y: Array) -> bool:
    most = np.abs(x[np.isfinite(x)]).max(initial=SAME)
    return np.allclose(x, y, rtol=0.0, atol=SAME * most, equal_nan=True)


@np.errstate(all="ignore")
def _values(
    nodes: Sequence[Node], names: Iterable[str], known: Mapping[str, Array]
) -> dict[str, Array]:
    """Return values of tensors, computed by the nodes that they need, floats in float64. Errors:
    NoMatch if they are results of a loop.

    nodes   in order of their operands
    """
    needed, read = list[Node](), {*names}
    for node in reversed(nodes):
        if node.name in read and node.name not in known:
            needed.append(node)
            read.update(node.inputs)
    values = {name: known[name] for name in read & known.keys()}
    values = {k: x.astype(np.float64) if x.dtype.kind == "f" else x for k, x in values.items()}
    for node in reversed(needed):
        require("loop" not in node.attrs)
        _, values[node.name] = real_node(node, [values[name] for name in node.inputs])
    return values
