# SPDX-License-Identifier: Apache-2.0
"""Reductions of the bits of single weights, beginning with the least added output noise per saved
byte or cycle; int8 weights rounded to fit the samples, as in GPTQ, if that takes only seconds.

With few samples, rounded weights may not generalise: such layers are rounded only if no other move
helps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.quantization.calibrate import InputArrays, subsample_evenly
from myoedge.quantization.few_bits import (
    ROUNDING_SAMPLES,
    Weight,
    equal_weights,
    format_of,
    layers_to_round,
    layers_with_int16_weights,
    rounding_error,
    rounding_work,
    weight_input_moments,
    weight_of,
    with_rounded_weights,
)
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.added_noise import FloatChange, added_noise
from myoedge.quantization.search.bench import network_macs
from myoedge.quantization.search.candidates import NOISE_SAMPLES
from myoedge.quantization.search.goal import UNLIMITED, judged_rows
from myoedge.quantization.search.state import (
    Design,
    Network,
    Proposal,
    Proposals,
    Search,
    SearchState,
)
from myoedge.quantization.stated_widths import LayerRule, weight_rule

STORED_BITS = (4, 2)  # widths that the cores' kernels unpack
PLANE_BITS = (6, 5, 4, 3, 2)  # widths for an accelerator that reads weights bit plane by bit plane
PROBED_BITS = 4  # width whose output noise is measured; noise of other widths is scaled from it
NOISE_MACS = 3_000_000_000  # budget over all samples on which a layer's noise is measured

Keeps = Callable[[QuantGraph], bool]
Stops = Callable[[QuantGraph], Keeps]
Accepts = Callable[[Network], bool]
Formats = Mapping[int, ConstantFormat]  # bits -> a layer's weights in that format


@dataclass(frozen=True, slots=True)
class FewerBits:
    """One reduction of the bits of a layer's weights; noise, bytes and gain are relative to the
    preceding reduction.

    weight        tensors of the weights
    bits          their new number of bits
    format        their integers and scales
    noise         [measured tensors] noise power that it adds, relative to the signal
    of_others     the same, as expected on samples that did not determine the rounding
    saved_bytes   reduction of the stored weights in bytes
    gain          what the reduction is for: bytes, or cycles
    """

    weight: tuple[str, ...]
    bits: int
    format: ConstantFormat = field(repr=False)
    noise: Array = field(repr=False)
    of_others: Array = field(repr=False)
    saved_bytes: float
    gain: float

    def noise_per_gain(self, limits: Array) -> float:
        """Return the fraction of the allowed noise per saved byte or cycle."""
        return float((self.noise / limits).max(initial=0.0)) / max(self.gain, 1.0)


@dataclass(frozen=True)
class WeightBudget:
    """Limits for reducing weight bits.

    limits   [measured tensors] maximum noise on the calibration samples
    stops    the network with all reductions that the noise allows -> (network -> whether the
             reductions stop there, because it meets the other limits); None: as few bits as the
             noise allows
    planes   layers on an accelerator, whose weights may have PLANE_BITS; otherwise STORED_BITS
    layers   layers whose weights are reduced, with all equal weights -> fewest bits; None: all
    cycles   layer -> cycles that a bit less of its weights saves; None: bits are reduced for bytes
    accepts  network -> whether samples that choose nothing else accept it; half of the reductions
             are tried if not; None: no such samples
    """

    limits: Array = field(repr=False)
    stops: Stops | None = None
    planes: frozenset[str] = frozenset()
    layers: Mapping[str, int] | None = None
    cycles: Mapping[str, float] | None = None
    accepts: Accepts | None = None

    def gain_of_a_bit(self, weight: Weight, size: int) -> float:
        """Return the bytes, or the cycles, that a bit less of a weight of `size` values saves."""
        if self.cycles is None:
            return size / 8
        return sum(self.cycles.get(node.name, 0.0) for node in weight.nodes)

    def levels(self, weight: Weight, *, is_wide: bool) -> Sequence[int]:
        """Return the fewer bits that a weight may have, descending; is_wide: of 16 bits."""
        in_planes = all(node.name in self.planes for node in weight.nodes)
        possible = (*(INT8.bits,) * is_wide, *(PLANE_BITS if in_planes else STORED_BITS))
        if self.layers is None:
            return possible
        names = (node.name.removesuffix(PRE) for node in weight.nodes)
        least = min(self.layers.get(name, INT16.bits) for name in names)
        return [bits for bits in possible if bits >= least]


def ordered_steps(
    network: QuantGraph, samples: InputArrays, rules: Sequence[LayerRule], budget: WeightBudget
) -> list[FewerBits]:
    """Return all possible reductions of weight bits, ordered by added noise (relative to its limit)
    per saved byte."""
    left = _steps_by_weight(network, samples, rules, budget)
    found: list[FewerBits] = []
    while left := [steps for steps in left if steps]:
        cheapest = min(left, key=lambda steps: steps[0].noise_per_gain(budget.limits))
        found.append(cheapest.pop(0))
    return found


def _steps_by_weight(
    network: QuantGraph, samples: InputArrays, rules: Sequence[LayerRule], budget: WeightBudget
) -> list[list[FewerBits]]:
    """Return the reductions of each weight, from most to fewest bits."""
    graph = network.graph
    levels = _possible_bits(network, rules, budget)
    if not levels:
        return []
    weights = [*levels]
    moments = weight_input_moments(graph, samples, weights)
    formats: list[Formats] = []
    for weight, sums in zip(weights, moments, strict=True):
        few = {*levels[weight][1:], PROBED_BITS}
        formats.append({n: format_of(graph, weight, sums, n) for n in few})
    changes = [_weight_change(w, x[PROBED_BITS]) for w, x in zip(weights, formats, strict=True)]
    measured = [name for _, name in judged_rows(network)]
    count = NOISE_MACS // max(network_macs(graph) * len(formats), 1)
    few_samples = subsample_evenly(samples, max(1, min(NOISE_SAMPLES, count)))
    left = []
    for weight, sums, chosen, noise in zip(
        weights,
        moments,
        formats,
        added_noise(graph, few_samples, measured, changes),
        strict=True,
    ):
        error = partial(rounding_error, graph.array(weight.tensors[0]), sums)
        errors = {n: (error(f), error(f, of_others=True)) for n, f in chosen.items()}
        gain = budget.gain_of_a_bit(weight, graph.array(weight.tensors[0]).size)
        left.append([*_bit_reductions(weight, chosen, errors, noise, levels[weight], gain)])
    return left


def _possible_bits(
    network: QuantGraph, rules: Sequence[LayerRule], budget: WeightBudget
) -> dict[Weight, Sequence[int]]:
    """Return weight -> its bits, then the fewer bits that it may have, descending: of the weights
    whose bits may be reduced, float weights that no rule sets."""
    graph, wide = network.graph, layers_with_int16_weights(network)
    free = [x for x in graph.nodes if weight_rule(rules, x) is None]
    found = dict[Weight, Sequence[int]]()
    for weight in equal_weights(graph, layers_to_round(graph, free)):
        is_wide = any(node.name in wide for node in weight.nodes)
        fewer = budget.levels(weight, is_wide=is_wide)
        if fewer:
            found[weight] = (INT16.bits if is_wide else INT8.bits, *fewer)
    return found


def _bit_reductions(
    weight: Weight,
    formats: Formats,
    errors: Mapping[int, tuple[float, float]],
    noise: Array,
    levels: Sequence[int],
    gain_of_a_bit: float,
) -> Iterator[FewerBits]:
    """Yield the reductions of one weight's bits; noise at the outputs is taken as
    proportional to the error of its layers.

    errors   bits -> errors of its layers on these samples and on other samples
    noise    noise added with PROBED_BITS
    levels   its bits, then the fewer bits that it may have, descending
    gain_of_a_bit   bytes or cycles that a bit less saves
    """
    before, bits_before, unit = np.zeros(2), levels[0], errors[PROBED_BITS][0]
    for bits in levels[1:]:
        chosen = formats[bits]
        assert chosen.integers is not None
        share = np.array(errors[bits]) / unit if unit else np.zeros(2)
        own, others = np.maximum(share - before, 0.0)
        fewer, added = bits_before - bits, (noise * own, noise * others)
        saved_bytes, gain = chosen.integers.size * fewer / 8, fewer * gain_of_a_bit
        yield FewerBits(weight.tensors, bits, chosen, *added, saved_bytes, gain)
        before, bits_before = share, bits


def _weight_change(weight: Weight, chosen: ConstantFormat) -> FloatChange:
    assert chosen.integers is not None
    return FloatChange(dict.fromkeys(weight.tensors, chosen.real(chosen.integers)))


# --- rounding -------------------------------------------------------------------------------------


MOST_ROUNDING = 2_000_000_000  # multiply-accumulates of rounding, if cycles are limited: seconds
MANY_VECTORS = 4  # input vectors per weight of an output; half of them determine the rounding
REMEDY = "weights rounded for the samples"


def well_determined_weights(search: Search, state: SearchState) -> Proposals:
    """Propose weights rounded to fit the samples, for layers with many more input vectors than
    weights per output."""
    graph = state.design.graph
    count = min(search.workshop.bench.count, ROUNDING_SAMPLES)
    nodes = [
        node for node in _layers_to_round(search, state) if _has_many_vectors(graph, node, count)
    ]
    yield from _propose_rounding(search, state, nodes, f"{REMEDY}, of layers with many vectors")


def rounded_weights(search: Search, state: SearchState) -> Proposals:
    """Propose weights rounded to fit the samples, for all layers."""
    yield from _propose_rounding(search, state, _layers_to_round(search, state), REMEDY)


def _layers_to_round(search: Search, state: SearchState) -> list[Node]:
    graph, steps = state.design.graph, state.network.engined.steps
    rules = search.workshop.rules
    of_8_bits = {s.node.name.removesuffix(PRE) for s in steps if _has_int8_weights(s, rules)}
    return layers_to_round(graph, [node for node in graph.nodes if node.name in of_8_bits])


def _has_many_vectors(graph: Graph, node: Node, samples: int) -> bool:
    """Return whether the samples have at least MANY_VECTORS input vectors per weight."""
    vectors = samples * math.prod(graph.shape(node.name)[:-1])
    return vectors >= MANY_VECTORS * math.prod(graph.shape(weight_of(node))[1:])


def _propose_rounding(
    search: Search, state: SearchState, nodes: Sequence[Node], remedy: str
) -> Proposals:
    """Propose rounded weights for these layers, if rounding is fast enough or cycles are
    unlimited."""
    workshop, design = search.workshop, state.design
    graph = design.graph
    is_quick = rounding_work(graph, nodes) <= MOST_ROUNDING
    if not nodes or not (is_quick or search.goal.budgets == UNLIMITED):
        return
    bits = {node.name: INT8.bits for node in nodes}

    def fit(samples: InputArrays) -> Design:
        return replace(design, graph=with_rounded_weights(graph, samples, bits))

    yield Proposal(remedy, fit(workshop.bench.samples), fit)


def _has_int8_weights(step: QuantizedNode, rules: Sequence[LayerRule]) -> bool:
    """Return whether int8 weights may be rounded: a scale per channel, not from a file."""
    weight = step.integers.arrays.get("weight")
    has_rule = any(r.weights == "per_tensor" and r.matches(step.node) for r in rules)
    return weight is not None and weight.dtype == INT8.dtype and not has_rule
