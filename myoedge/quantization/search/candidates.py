# SPDX-License-Identifier: Apache-2.0
"""Candidates for int16: groups of tensors, with noise in int8 and extra cycles of int16."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams, dequantize, rounded, symmetric_params
from myoedge.numerics.weight_format import EIGHT_BITS
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.operators.kernel_formats import read_together, weight_bits
from myoedge.operators.turns import times_run
from myoedge.quantization.calibrate import InputArrays, subsample_evenly
from myoedge.quantization.constants import constants_beside, following_constants
from myoedge.quantization.formats import fused_tables, int16_groups, with_tables_apart
from myoedge.quantization.scales import QuantGraph, quantize_node
from myoedge.quantization.search.added_noise import FloatChange, added_noise
from myoedge.quantization.search.goal import judged_rows
from myoedge.quantization.stated_widths import LayerRule
from myoedge.quantization.tensor_params import choose_params

NOISE_SAMPLES = 4  # samples for measuring the noise of single tensors
MOST_RUNS_OF_NODES = 600_000  # budget over all groups' networks, which limits the samples
LEAST_NOISE_SHARE = 0.002  # fraction of an output's noise below which int16 is not worth its cycles
LEAST_COST_CYCLES = 1.0

Group = tuple[str, ...]
# (layer, times that a run computes it) -> estimated cycles of a run; infinity if no tile fits
RunCycles = Callable[[QuantizedNode, int], float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group of tensors that could become int16 together.

    names         names of the tensors
    cost_cycles   estimated extra cycles of int16
    noise         [measured tensors] noise power that the group adds in int8, relative to the signal
    """

    names: Group
    cost_cycles: float
    noise: Array = field(repr=False)


def int16_candidates(
    network: QuantGraph,
    samples: InputArrays,
    limits: Array,
    cycles: RunCycles,
    rules: Sequence[LayerRule] = (),
    inner: frozenset[str] = frozenset(),
) -> list[Candidate]:
    """Return the groups of tensors that could become int16, with the noise of each on a few
    samples.

    limits   noise limit of each measured tensor; groups that add less than LEAST_NOISE_SHARE of it
             are left out
    cycles   (layer, times that a run computes it) -> estimated cycles of a run
    rules    layer rules of [quant]
    inner    tensors inside groups of layers that have 16 bits already
    For tensors next to a fused table, the costs are those with the table as a separate node.
    """
    ranges = network.calibration.ranges
    graph = with_tables_apart(network.graph, fused_tables(network.graph))
    eight = {name for name, q in network.params.items() if q.element_type != INT16}
    groups = [g for g in int16_groups(graph, network.params) if not eight.isdisjoint(g)]
    groups = _with_constants(graph, network, groups_together(graph, groups))
    few = subsample_evenly(samples, noise_samples(graph, groups, NOISE_SAMPLES))
    names = [name for _, name in judged_rows(network)]
    params = choose_params(graph, ranges, inner=inner) | {
        name: network.params[name] for name in inner
    }
    changes = [rounded_group(graph, params, group) for group in groups]
    found = zip(groups, added_noise(graph, few, names, changes, params), strict=True)
    cost = _cost_estimator(network, graph, params, cycles, tuple(rules))
    return [
        Candidate(group, cost(group), noise)
        for group, noise in found
        if np.any(noise > LEAST_NOISE_SHARE * limits)
    ]


def noise_samples(graph: Graph, groups: Sequence[Group], most: int) -> int:
    """Return the number of samples, 1 .. `most`, on which measuring the noise of all groups is
    affordable."""
    runs = sum(times_run(graph.nodes).values())
    affordable = MOST_RUNS_OF_NODES // max(len(groups) * runs, 1)
    return min(max(affordable, 1), most)


def groups_together(graph: Graph, groups: Sequence[Group]) -> list[Group]:
    """Merge groups of operands of one operator, if its kernel costs the same for one int16 operand
    as for several."""
    joined = list(groups)
    for node in graph.nodes:
        read = {node.inputs[i] for i in read_together(node.op)}
        parts = [group for group in joined if not read.isdisjoint(group)]
        if len(parts) > 1:
            joined[joined.index(parts[0])] = tuple(name for group in parts for name in group)
            joined = [group for group in joined if group not in parts[1:]]
    return joined


def _with_constants(graph: Graph, network: QuantGraph, groups: Sequence[Group]) -> list[Group]:
    """Add to each group the int8 constants that become int16 with it; they are no candidates of
    their own."""
    beside = constants_beside(graph, network.calibration.ranges)
    narrow = network.params.keys() - network.int16
    added = [
        sorted((following_constants(beside, {*group}) & narrow).difference(group))
        for group in groups
    ]
    follow = {*chain.from_iterable(added)}
    pairs = zip(groups, added, strict=True)
    return [(*group, *more) for group, more in pairs if not follow.issuperset(group)]


def _cost_estimator(
    network: QuantGraph,
    graph: Graph,
    params: Mapping[str, QuantParams],
    cycles: RunCycles,
    rules: tuple[LayerRule, ...],
) -> Callable[[Group], float]:
    """Return a function: group -> estimated extra cycles of the layers that write and read it, if
    it is int16.

    graph    the network's graph with separate tables
    params   parameters of its tensors
    """
    times = times_run(network.graph.nodes) | times_run(graph.nodes)
    before: dict[str, float] = {}
    for step in network.steps:
        name = step.node.name.removesuffix(PRE)
        before[name] = before.get(name, 0.0) + cycles(step, times[step.node.name])
    parts: dict[str, list[Node]] = {}
    for node in graph.nodes:
        parts.setdefault(node.name.removesuffix(PRE), []).append(node)

    def cost(group: Group) -> float:
        near = [node for name in group for node in _neighbours(graph, name)]
        touched = dict.fromkeys(node.name.removesuffix(PRE) for node in near)
        nodes = (node for name in touched for node in parts[name])
        wide = {**params, **{name: _int16_params(graph, name, params[name]) for name in group}}
        new = sum(cycles(quantize_node(graph, x, wide, rules), times[x.name]) for x in nodes)
        old = sum(before[name] for name in touched)
        return max(new - old, LEAST_COST_CYCLES) if math.isfinite(old) else old

    return cost


def _neighbours(graph: Graph, name: str) -> list[Node]:
    """Return the nodes that write or read a tensor."""
    made = graph.producer.get(name)
    return [*([] if made is None else [made]), *graph.users.get(name, ())]


def _int16_params(graph: Graph, name: str, params: QuantParams) -> QuantParams:
    """Return int16 parameters for the range of int8 parameters, as the producer allows; used for
    estimates."""
    low, high = (float(dequantize(np.array(q), params)) for q in (params.low, params.high))
    made = graph.producer.get(name)
    own = None if made is None else OPS[made.op].result.rules.get(INT16)
    return symmetric_params(low, high, INT16) if own is None else own.of(max(-low, high))


Worth = Callable[[Candidate, int], float]  # (candidate, row of a measured tensor) -> priority


def noise_per_cycle(candidate: Candidate, row: int) -> float:
    return float(candidate.noise[row]) / candidate.cost_cycles


def most_noise(candidate: Candidate, row: int) -> float:
    return float(candidate.noise[row])


def picked_candidates(
    candidates: Sequence[Candidate],
    noise: Array,
    limits: Array | float,
    most_cycles: float = math.inf,
    worth: Worth = noise_per_cycle,
) -> list[Candidate]:
    """Select candidates for int16 until the noise of each measured tensor is below its limit.

    noise         current noise per measured tensor
    limits        maximum noise per measured tensor
    most_cycles   maximum total of cost_cycles
    worth         (candidate, index of the tensor furthest above its limit) -> priority; the
                  candidate with the highest priority is chosen next
    """
    candidates_left, noise, picked = list(candidates), noise.copy(), list[Candidate]()
    while worthwhile := _useful_candidates(candidates_left, noise, limits, most_cycles):
        row, found = worthwhile
        pick = max(found, key=lambda c: worth(c, row))
        candidates_left.remove(pick)
        picked.append(pick)
        most_cycles -= pick.cost_cycles
        noise = np.maximum(noise - pick.noise, 0.0)
    return picked


def _useful_candidates(
    candidates: Sequence[Candidate], noise: Array, limits: Array | float, most_cycles: float
) -> tuple[int, list[Candidate]] | None:
    """Return (index of a measured tensor, useful candidates), for the tensor furthest above its
    limit that any candidate improves; None if there is none."""
    over = noise / limits
    for row in sorted(np.flatnonzero(over > 1.0), key=lambda row: -float(over[row])):
        least = LEAST_NOISE_SHARE * noise[row]
        found = [c for c in candidates if c.noise[row] >= least and c.cost_cycles <= most_cycles]
        if found:
            return int(row), found
    return None


def rounded_group(graph: Graph, params: Mapping[str, QuantParams], group: Group) -> FloatChange:
    """Return the change in which only a group's tensors are rounded to int8, with the weights that
    become int16 together with the group.

    params   int8 parameters
    """
    given = (name for name in group if graph.is_const(name))
    constants = {name: rounded(graph.array(name), params[name]) for name in given}
    constants |= {
        name: EIGHT_BITS.rounded(graph.array(name)) for name in _group_weights(graph, group)
    }
    return FloatChange(constants, frozenset(group).difference(constants))


def _group_weights(graph: Graph, group: Group) -> Iterator[str]:
    """Yield the weights that become int16 together with the group, except the file's integers."""
    for node in graph.nodes:
        if INT16.bits in weight_bits(node.op):
            op, weight = OPS[node.op], node.inputs[OPS[node.op].weights.at[0]]
            beside = node.outputs if op.weights.multiply_result else node.inputs
            if graph.format(weight) is None and not {*group}.isdisjoint(beside):
                yield weight
