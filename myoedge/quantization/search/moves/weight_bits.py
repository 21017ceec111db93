# SPDX-License-Identifier: Apache-2.0
"""Move: fewer weight bits per layer, beginning with the least added output noise per saved byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from myoedge.graph.ir import PRE, Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16
from myoedge.quantization.calibrate import InputArrays, subsample_evenly
from myoedge.quantization.few_bits import (
    ROUNDING_SAMPLES,
    Weight,
    equal_weights,
    format_of,
    layers_to_round,
    layers_with_int16_weights,
    rounding_error,
    weight_input_moments,
)
from myoedge.quantization.layer_rules import LayerRule, weight_rule
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.added_noise import FloatChange, added_noise
from myoedge.quantization.search.bench import Bench, network_macs, worst_db
from myoedge.quantization.search.candidates import NOISE_SAMPLES
from myoedge.quantization.search.goal import judged_rows
from myoedge.quantization.search.state import Network, TriedMove

STORED_BITS = (4, 2)  # widths that the cores' kernels unpack
PLANE_BITS = (6, 5, 4, 3, 2)  # widths for an accelerator that reads weights bit plane by bit plane
PROBED_BITS = 4  # width whose output noise is measured; noise of other widths is scaled from it
NOISE_MACS = 3_000_000_000  # budget over all samples on which a layer's noise is measured
MOST_LOST_DB = 0.5  # allowed loss of an output that is below its goal in int8
TRIALS_MAX = 4  # networks that are measured, because noise only nearly adds up

Keeps = Callable[[QuantGraph], bool]
Stops = Callable[[QuantGraph], Keeps]
Quantise = Callable[[Graph], Network]  # a graph with formats of weights -> its networks
Formats = Mapping[int, ConstantFormat]  # bits -> a layer's weights in that format


@dataclass(frozen=True, slots=True)
class FewerBits:
    """One reduction of the bits of a layer's weights; noise and bytes are relative to the preceding
    reduction.

    weight        tensors of the weights
    bits          their new number of bits
    format        their integers and scales
    noise         [measured tensors] noise power that it adds, relative to the signal
    of_others     the same, as expected on samples that did not determine the rounding
    saved_bytes   reduction of the stored weights in bytes
    """

    weight: tuple[str, ...]
    bits: int
    format: ConstantFormat = field(repr=False)
    noise: Array = field(repr=False)
    of_others: Array = field(repr=False)
    saved_bytes: float

    def noise_per_byte(self, limits: Array) -> float:
        """Return the fraction of the allowed noise per saved byte."""
        return float((self.noise / limits).max(initial=0.0)) / max(self.saved_bytes, 1.0)


@dataclass(frozen=True)
class WeightBudget:
    """Limits for reducing weight bits.

    limits   [measured tensors] maximum noise on the calibration samples
    stops    the network with all reductions that the noise allows -> (network -> whether the
             reductions stop there, because it meets the other limits); None: as few bits as the
             noise allows
    planes   layers on an accelerator, whose weights may have PLANE_BITS; otherwise STORED_BITS
    layers   layers whose weights are reduced, with all equal weights -> fewest bits; None: all
    """

    limits: Array = field(repr=False)
    stops: Stops | None = None
    planes: frozenset[str] = frozenset()
    layers: Mapping[str, int] | None = None

    def levels(self, weight: Weight, *, is_wide: bool) -> Sequence[int]:
        """Return the fewer bits that a weight may have, descending; is_wide: of 16 bits."""
        in_planes = all(node.name in self.planes for node in weight.nodes)
        possible = (*(INT8.bits,) * is_wide, *(PLANE_BITS if in_planes else STORED_BITS))
        if self.layers is None:
            return possible
        names = (node.name.removesuffix(PRE) for node in weight.nodes)
        least = min(self.layers.get(name, INT16.bits) for name in names)
        return [bits for bits in possible if bits >= least]


def with_chosen_bits(
    network: Network,
    bench: Bench,
    rules: Sequence[LayerRule],
    budget: WeightBudget,
    quantise: Quantise,
) -> tuple[Network, tuple[TriedMove, ...]]:
    """Return the network with as few weight bits as the noise limits allow, or as memory and energy
    limits require, and the reductions tried on the way.

    bench      samples for measuring noise
    rules      layer rules of [quant]
    quantise   makes the network of a graph whose weights have formats
    Layers whose weight bits a rule or the model file sets are not changed. A network whose noise
    exceeds its limits from the start degrades by at most MOST_LOST_DB.
    """
    search = _OrderedBits.of(network, bench, rules, budget, quantise)
    count, trials = search.most_steps()
    if not count:
        return network, tuple(trials)
    count, note = search.where_it_stops(budget.stops, count)
    if not count:
        return network, ()
    chosen, remedy = search.network(count), search.told(count)
    if all(trial.remedy != remedy for trial in trials):
        trials.append(
            search.trial(search.expected(bench.measure(chosen.engined).noise(), count), count)
        )
    kept = next(trial for trial in trials if trial.remedy == remedy)
    left = (replace(trial, is_kept=False) for trial in trials if trial is not kept)
    return chosen, (*left, replace(kept, remedy=remedy + note, is_kept=True))


@dataclass(frozen=True)
class _OrderedBits:
    """All reductions of weight bits, in the order in which they are applied.

    start      the network without reductions
    quantise   makes the network of a graph whose weights have formats
    fit        fraction of the bench's samples that determined the rounding
    noise      [measured tensors] noise of `start`
    limits     [measured tensors] maximum noise
    """

    start: Network
    bench: Bench
    quantise: Quantise
    steps: Sequence[FewerBits]
    noise: Array
    limits: Array
    fit: float

    @staticmethod
    def of(
        network: Network,
        bench: Bench,
        rules: Sequence[LayerRule],
        budget: WeightBudget,
        quantise: Quantise,
    ) -> _OrderedBits:
        noise = bench.measure(network.engined).noise()
        limits = np.maximum(budget.limits, 10 ** (MOST_LOST_DB / 10) * noise)
        is_rich = len(next(iter(bench.others.values()), ())) >= ROUNDING_SAMPLES
        samples = bench.others if is_rich else bench.samples
        steps = ordered_steps(network.cores, samples, rules, replace(budget, limits=limits))
        fit = 0.0 if is_rich else min(ROUNDING_SAMPLES / bench.count, 1.0)
        return _OrderedBits(network, bench, quantise, steps, noise, limits, fit)

    def network(self, count: int) -> Network:
        """Return the network after the first `count` reductions."""
        formats = {name: step.format for step in self.steps[:count] for name in step.weight}
        if not formats:
            return self.start
        return self.quantise(self.start.design.graph.with_formats(formats))

    def told(self, count: int) -> str:
        """Describe the reductions: "weights of 3 layers in 2 to 4 bits, 12,345 B less"."""
        bits = {step.weight: step.bits for step in self.steps[:count]}
        low, high = min(bits.values()), max(bits.values())
        saved = round(sum(step.saved_bytes for step in self.steps[:count]))
        layers = f"{len(bits)} layer{'s' * (len(bits) > 1)}"
        in_bits = f"{low} to {high} bits" if low < high else f"{low} bits"
        return f"weights of {layers} in {in_bits}, {saved:,} B less"

    def trial(self, noise: Array, count: int) -> TriedMove:
        """Return the record of the first `count` reductions, with the resulting noise."""
        is_met = bool((noise <= self.limits).all())
        return TriedMove(self.told(count), worst_db(noise), 0.0, is_met)

    def expected(self, noise: Array, count: int) -> Array:
        """Estimate the noise on samples that did not determine the rounding, from the noise on
        those of the bench, after the first `count` reductions."""
        taken = self.steps[:count]
        fitted, others = (
            np.sum(x, axis=0)
            for x in ([step.noise for step in taken], [step.of_others for step in taken])
        )
        times = np.maximum(others / np.maximum(fitted, 1e-30), 1.0)
        more = times / (self.fit + (1.0 - self.fit) * times) - 1.0
        return np.asarray(noise + np.maximum(noise - self.noise, 0.0) * more)

    def most_steps(self) -> tuple[int, list[TriedMove]]:
        """Return the number of reductions that the noise limits allow, found by measuring networks,
        and the records of these networks."""
        if not self.steps:
            return 0, []
        added = np.cumsum([step.noise for step in self.steps], axis=0)
        factor, best, high = np.ones(len(self.noise)), 0, len(self.steps)
        trials: list[TriedMove] = []
        for _ in range(TRIALS_MAX):
            fits = ((self.noise + factor * added[:high]) <= self.limits).all(axis=1)
            count = high if fits.all() else int(np.argmin(fits))
            if count <= best:
                break
            noise = self.expected(self.bench.measure(self.network(count).engined).noise(), count)
            trials.append(self.trial(noise, count))
            is_met = bool((noise <= self.limits).all())
            best, high = (count, high) if is_met else (best, count - 1)
            factor = np.maximum(noise - self.noise, 0.0) / np.maximum(added[count - 1], 1e-30)
        return best, trials

    def where_it_stops(self, stops: Stops | None, most: int) -> tuple[int, str]:
        """Return the smallest number of reductions that meets the limits, and "" or what to add to
        its description: that all `most` reductions do not meet them.

        most   number of reductions that the noise allows
        """
        if stops is None:
            return most, ""
        network = self.network(most).engined
        keeps = stops(network)
        if not keeps(network):
            return most, ", of which l2, latency or energy would need more"
        low, high = -1, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if keeps(self.network(middle).engined) else (middle, high)
        return high, ""


def ordered_steps(
    network: QuantGraph, samples: InputArrays, rules: Sequence[LayerRule], budget: WeightBudget
) -> list[FewerBits]:
    """Return all possible reductions of weight bits, ordered by added noise (relative to its limit)
    per saved byte."""
    left = _steps_by_weight(network, samples, rules, budget)
    found: list[FewerBits] = []
    while left := [steps for steps in left if steps]:
        cheapest = min(left, key=lambda steps: steps[0].noise_per_byte(budget.limits))
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
        left.append([*_bit_reductions(weight, chosen, errors, noise, levels[weight])])
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
) -> Iterator[FewerBits]:
    """Yield the reductions of one weight's bits; noise at the outputs is taken as
    proportional to the error of its layers.

    errors   bits -> errors of its layers on these samples and on other samples
    noise    noise added with PROBED_BITS
    levels   its bits, then the fewer bits that it may have, descending
    """
    before, bits_before, unit = np.zeros(2), levels[0], errors[PROBED_BITS][0]
    for bits in levels[1:]:
        chosen = formats[bits]
        assert chosen.integers is not None
        share = np.array(errors[bits]) / unit if unit else np.zeros(2)
        own, others = np.maximum(share - before, 0.0)
        saved_bytes = chosen.integers.size * (bits_before - bits) / 8
        yield FewerBits(weight.tensors, bits, chosen, noise * own, noise * others, saved_bytes)
        before, bits_before = share, bits


def _weight_change(weight: Weight, chosen: ConstantFormat) -> FloatChange:
    assert chosen.integers is not None
    return FloatChange(dict.fromkeys(weight.tensors, chosen.real(chosen.integers)))
