# SPDX-License-Identifier: Apache-2.0
"""Move: fewer weight bits per layer, beginning with the least added output noise per saved byte or
cycle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.few_bits import (
    ROUNDING_SAMPLES,
)
from myoedge.quantization.search.bench import Bench, worst_db
from myoedge.quantization.search.moves.weight_steps import (
    Accepts,
    FewerBits,
    Stops,
    WeightBudget,
    ordered_steps,
)
from myoedge.quantization.search.state import Network, TriedMove
from myoedge.quantization.stated_widths import LayerRule

MOST_LOST_DB = 0.5  # allowed loss of an output that is below its goal in int8
TRIALS_MAX = 4  # networks that are measured, because noise only nearly adds up

Quantise = Callable[[Graph], Network]  # a graph with formats of weights -> its networks


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
    count = search.accepted(budget.accepts, count)
    if not count:
        return network, tuple(replace(trial, is_kept=False) for trial in trials)
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
    made       cache: number of reductions -> network
    """

    start: Network
    bench: Bench
    quantise: Quantise
    steps: Sequence[FewerBits]
    noise: Array
    limits: Array
    fit: float
    made: dict[int, Network] = field(default_factory=dict)

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
        """Return the network after the first `count` reductions, made once."""
        formats = {name: step.format for step in self.steps[:count] for name in step.weight}
        if not formats:
            return self.start
        if count not in self.made:
            self.made[count] = self.quantise(self.start.design.graph.with_formats(formats))
        return self.made[count]

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

    def accepted(self, accepts: Accepts | None, count: int) -> int:
        """Return the number of reductions that other samples accept: half of them, and again half,
        where they do not."""
        while count and accepts is not None and not accepts(self.network(count)):
            count //= 2
        return count

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
