# SPDX-License-Identifier: Apache-2.0
"""Remedies where 8 bits lose too much: scales of their own for parts of concats, equalization
across layers, then 16-bit tensors.

Cross-layer equalization: channels between two products share one scale; exact in floats. Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), with
calibrated ranges of activations in place of weight ranges, and factors that are powers of two.
Mixed precision: by noise won for cycles spent. The noise of a group of tensors is that of a float
network in which they alone are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.graph.ir import Graph, Node, prune
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams, dequantize, quantize
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import (
    PRE,
    as_stated,
    every_value,
    has_table,
    real_node,
    run_real,
)
from myoedge.quantization.calibrate import Calibration, Samples, each_sample, spread
from myoedge.quantization.formats import (
    fused_tables,
    int16_cost_cycles,
    int16_groups,
    with_tables_apart,
)
from myoedge.quantization.joins import unlike_parts, with_copies
from myoedge.quantization.masked_ranges import counted, rows_of
from myoedge.quantization.scales import LayerRule, QuantGraph, choose_params, quantize_graph
from myoedge.quantization.sqnr import Fidelity, measure, measured_tensor

AIM_DB = 20.0  # SQNR at the worst output
MARGIN_DB = 3.0  # that samples outside the calibration set may lose
TRIAL_SAMPLES = 8  # for the SQNR of a quantised network
NOISE_SAMPLES = 4  # for the noise of single tensors
TRIALS_MAX = 3  # quantised networks that are measured: noise adds up nearly, not quite
LEAST_NOISE_SHARE = 0.002  # of an output's noise, below which a tensor is not worth 16 bits

PRODUCTS = ("conv", "linear")
POSITIVE = (("clamp", 0.0, math.inf),)  # f(s x) = s f(x) for s > 0
Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group of tensors that could have 16 bits.

    cost_cycles   estimate for 16 bits instead of 8
    noise         [outputs] that the group adds at 8 bits, relative to the signal
    """

    names: Group
    cost_cycles: float
    noise: Array = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """A quantised network, and its noise [outputs] relative to the signal."""

    network: QuantGraph
    noise: Array = field(repr=False)


def _relative_noise(fidelity: Fidelity) -> Array:
    """Noise power of every output, relative to its signal."""
    every_db = [fidelity.computed_db.get(name) for name in fidelity.outputs]
    return np.array([0.0 if db is None else 10 ** (-db / 10) for db in every_db])


def refine_precision(
    network: QuantGraph,
    fidelity: Fidelity,
    samples: Samples,
    calibrated: Callable[[Graph], Calibration],
    rules: Sequence[LayerRule] = (),
    aim_db: float = AIM_DB,
) -> QuantGraph:
    """The network with concats that read copies, equalized across layers, and with the 16-bit
    tensors that the aim needs.

    fidelity     of the network for these samples
    calibrated   Graph -> its Calibration
    aim_db       at the worst output; MARGIN_DB more is asked of the samples
    Returns the network itself where it meets the aim, the best one found where none does.
    """
    noise_max = 10 ** (-(aim_db + MARGIN_DB) / 10)
    trial = Trial(network, _relative_noise(fidelity))
    if trial.noise.max(initial=0.0) <= noise_max:
        return network
    few = spread(samples, TRIAL_SAMPLES)
    apart = with_copies(network.graph, unlike_parts(network.graph, network.calibration.ranges))
    graph = equalized(apart, few)
    if graph is not network.graph:  # costs no cycles, or next to none
        other = replace(quantize_graph(graph, calibrated(graph), rules), digest=network.digest)
        trial = min((_tried(x, few) for x in (network, other)), key=_worst_noise)
    return _with_int16(trial, few, rules, noise_max)


def _tried(network: QuantGraph, samples: Samples) -> Trial:
    return Trial(network, _relative_noise(measure(network, samples, layers=False)))


def _worst_noise(trial: Trial) -> float:
    return float(trial.noise.max())


def _with_int16(
    start: Trial, samples: Samples, rules: Sequence[LayerRule], noise_max: float
) -> QuantGraph:
    """16 bits for more and more tensors until noise is below noise_max; else the best trial's.

    Outputs come first: few samples do not show their range, and they cost next to nothing. Those
    that are measured before their last function win nothing.
    """
    network, best, trial = start.network, start, start
    candidates_left = int16_candidates(network, samples)
    outputs = set(network.graph.outputs)
    chosen = [c for c in candidates_left if outputs.intersection(c.names) and c.noise.any()]
    for _ in range(TRIALS_MAX):
        candidates_left = [candidate for candidate in candidates_left if candidate not in chosen]
        picked = picked_candidates(candidates_left, trial.noise, noise_max)
        if not picked:
            break
        chosen += picked
        int16 = frozenset(name for candidate in chosen for name in candidate.names)
        mixed = quantize_graph(network.graph, network.calibration, rules, int16)
        trial = _tried(replace(mixed, digest=network.digest), samples)
        best = min(best, trial, key=_worst_noise)
        if _worst_noise(trial) <= noise_max:
            break
    return best.network


def int16_candidates(network: QuantGraph, samples: Samples) -> list[Candidate]:
    """Groups of tensors that could have 16 bits, with their noise for a few samples; of those
    around tables as if these were nodes of their own."""
    ranges = network.calibration.ranges
    graph = with_tables_apart(network.graph, fused_tables(network.graph))
    groups = int16_groups(graph, network.params)
    few = list(each_sample(spread(samples, NOISE_SAMPLES)))
    names = [measured_tensor(network, output) for output in dict.fromkeys(graph.outputs)]
    signal, rows = np.zeros(len(names)), rows_of(graph)
    for real in (every_value(graph, sample) for sample in few):
        values = (real[name][counted(rows, name, real)] for name in names)
        signal += [np.sum(x.astype(np.float64) ** 2) for x in values]
    noise = noise_of(graph, choose_params(graph, ranges), few, groups, names)
    costs = (1.0 + int16_cost_cycles(graph, group) for group in groups)
    return [
        Candidate(group, cost, square / np.maximum(signal, 1e-30))
        for group, cost, square in zip(groups, costs, noise, strict=True)
    ]


def picked_candidates(
    candidates: Sequence[Candidate], noise: Array, noise_max: float
) -> list[Candidate]:
    """Candidates that bring the noise of every output below noise_max.

    Greedy: the next one removes most noise of the worst output for its cycles.
    """
    candidates_left, noise, picked = list(candidates), noise.copy(), list[Candidate]()
    while noise.max() > noise_max:
        worst = int(noise.argmax())
        least = LEAST_NOISE_SHARE * noise[worst]
        worthwhile = [c for c in candidates_left if c.noise[worst] >= least]
        if not worthwhile:
            break
        pick = max(worthwhile, key=lambda c: float(c.noise[worst]) / c.cost_cycles)
        candidates_left.remove(pick)
        picked.append(pick)
        noise = np.maximum(noise - pick.noise, 0.0)
    return picked


def noise_of(
    graph: Graph,
    params: Mapping[str, QuantParams],
    samples: Iterable[Mapping[str, Array]],
    groups: Sequence[Group],
    measured: Sequence[str],
) -> list[Array]:
    """Squared error at each measured tensor, summed over the samples, for every group alone.

    params   of 8 bits; the group's tensors are rounded to them, with the weights that have 8 bits
             where these have, and nothing else is
    measured tensors, or `name.pre` for what comes before a table
    The rounding of tensors is independent, nearly: together they cost the sum.
    """
    errors, rows = [np.zeros(len(measured)) for _ in groups], rows_of(graph)
    for sample in samples:
        real = every_value(graph, sample)
        for group, total in zip(groups, errors, strict=True):
            changed = _with_rounded(graph, params, real, frozenset(group))
            for at, x in enumerate(measured):
                if x in changed:
                    error = (changed[x] - real[x])[counted(rows, x, real)]
                    total[at] += np.sum(error.astype(np.float64) ** 2)
    return errors


def _with_rounded(
    graph: Graph,
    params: Mapping[str, QuantParams],
    real: Mapping[str, Array],
    group: frozenset[str],
) -> dict[str, Array]:
    """Values that differ when a group's tensors are rounded to 8 bits, and the weights that have
    16 bits where the group has."""
    constants = (name for name in group if graph.is_const(name))
    changed = {name: _rounded(graph.constants[name], params[name]) for name in constants}
    for node in graph.nodes:
        rounded = OPS[node.op].int16_weights
        if rounded is not None and group.intersection(node.inputs):
            changed[node.inputs[1]] = rounded(graph.constants[node.inputs[1]])
    for node in graph.nodes:
        name = node.name
        if any(x in changed for x in node.inputs):
            inputs = [changed.get(x, real[x]) for x in node.inputs]
            before, after = real_node(node, inputs)
            changed[name] = as_stated(graph, name, _saturated(after, params.get(name)))
            if has_table(node):
                changed[name + PRE] = before
        if name in group:
            changed[name] = _rounded(changed.get(name, real[name]), params[name])
    return changed


def _saturated(x: Array, params: QuantParams | None) -> Array:
    """Infinities, of a logarithm of 0 say, as integers hold them."""
    if params is None or np.isfinite(x).all():
        return x
    low, high = (dequantize(np.array(q), params) for q in (params.low, params.high))
    return np.nan_to_num(x, posinf=float(high), neginf=float(low))


def _rounded(x: Array, params: QuantParams) -> Array:
    return dequantize(quantize(x, params), params)


def equalized(graph: Graph, samples: Samples) -> Graph:
    """Graph of equal outputs with balanced channels between pairs of products.

    The first product's channels are multiplied by powers of two, the second one's divided by them.
    Returns the graph itself where there is no such pair.
    samples   for the largest value of every channel
    """
    pairs = [(node.name, reader.name) for node, reader in _pairs(graph)]
    if not pairs:
        return graph
    largest: dict[str, Array] = {name: np.zeros((), np.float32) for name, _ in pairs}

    def widen(name: str, value: Array) -> None:
        if name in largest:
            largest[name] = np.maximum(largest[name], _channel_magnitudes(value))

    for sample in each_sample(samples):
        run_real(graph, sample, widen)
    for name, reader_name in pairs:
        node, reader = graph.producer[name], graph.producer[reader_name]
        columns = _channel_magnitudes(graph.constants[reader.inputs[1]])
        graph = _scaled(graph, node, reader, _factors(largest[name], columns))
    return graph


def _channel_magnitudes(x: Array) -> Array:
    """Largest magnitude by channel, the last axis."""
    return np.asarray(np.abs(x).max(axis=tuple(range(x.ndim - 1))))


def _pairs(graph: Graph) -> Iterator[tuple[Node, Node]]:
    """Products with constant weights, each with the only reader of its channels."""
    for node in graph.nodes:
        reader = graph.only_user(node.name)
        if reader is None or {node.op, reader.op}.difference(PRODUCTS):
            continue
        if node.name in graph.quant_params:  # its values must not change
            continue
        if {node.inputs[1], reader.inputs[1]} & graph.formats.keys():  # nor the file's integers
            continue
        weights = graph.is_const(node.inputs[1]) and graph.is_const(reader.inputs[1])
        if (
            weights
            and reader.attrs.get("groups", 1) == 1
            and node.attrs.get("act", POSITIVE) == POSITIVE
        ):
            yield node, reader


def _factors(values: Array, weights: Array) -> Array:
    """Powers of two that bring values and weights of a channel to equal shares of their largest."""
    used = (values > 0) & (weights > 0)
    ratio = np.where(used, weights, 1.0) / np.where(used, values, 1.0)
    halves = np.log2(ratio.astype(np.float64)) / 2
    middle = np.median(halves[used]) if used.any() else 0.0
    return np.where(used, np.exp2(np.rint(halves - middle)), 1.0).astype(np.float32)


def _scaled(graph: Graph, node: Node, reader: Node, factors: Array) -> Graph:
    rows, columns = graph.constants[node.inputs[1]], graph.constants[reader.inputs[1]]
    made = {f"{node.name}.equalized": rows * factors.reshape(-1, *(1 for _ in rows.shape[1:]))}
    for bias in node.inputs[2:]:
        made[f"{node.name}.equalized.bias"] = graph.constants[bias] * factors
    first = (node.inputs[0], *made)
    made[f"{reader.name}.equalized"] = columns / factors
    second = (reader.inputs[0], f"{reader.name}.equalized", *reader.inputs[2:])
    inputs = {node.name: first, reader.name: second}
    nodes = tuple(n.but(inputs=inputs[n.name]) if n.name in inputs else n for n in graph.nodes)
    return prune(replace(graph, nodes=nodes, constants={**graph.constants, **made}))
