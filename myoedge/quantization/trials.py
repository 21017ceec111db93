# SPDX-License-Identifier: Apache-2.0
"""Trials of quantised networks: what an aim asks for, and how far each is from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.base import macs
from myoedge.quantization.calibrate import Samples
from myoedge.quantization.mixed_precision import Candidate
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import Fidelity, judged_tensors, measure

AIM_DB = 25.0  # SQNR of every output
ACCURATE_DB = 30.0  # the same with --accurate
MARGIN_DB = 3.0  # that samples outside the calibration set may lose
ENOUGH_DB = AIM_DB + MARGIN_DB  # of the samples that choose
TRIAL_SAMPLES = (8, 64)  # at least and at most, for the SQNR of a quantised network
TRIAL_MACS = 500_000_000  # of all samples, where more than the least are run
LEAST_GAIN_DB = 0.5  # of a remedy that misses the aim: less may be another choice of samples


@dataclass(frozen=True, slots=True)
class Allowance:
    """Cycles that more bits may cost while an output keeps less than `below_db`.

    share   of the cycles of the network in 8 bits
    """

    share: float
    below_db: float


# So that simulated cycles grow by less than 15 and 40 %: estimates of layers by themselves add up
# to as much as a sixth more than a network takes.
USUAL = (Allowance(0.13, math.inf), Allowance(0.34, AIM_DB))
ROUNDED = (Allowance(0.34, math.inf),)  # of exponentials alone, for a file's own roundings
UNLIMITED = (Allowance(math.inf, math.inf),)
NEARLY_FREE = (Allowance(0.015, math.inf),)
IN_8_BITS: tuple[Allowance, ...] = ()  # 16 bits are not tried


@dataclass(frozen=True, slots=True)
class Aim:
    """SQNR that outputs are to keep, before and behind a final function, and what it may cost.

    outputs_db   by the output's tensor; `db` of all others
    rounded_db   `db` is at least that of a network that its file quantised
    exponentials whether attention's exponentials may have more bits
    floor        noise by judged tensor that weights of few bits make: 16 bits are for what is above
    """

    db: float = AIM_DB
    outputs_db: Mapping[str, float] = field(default_factory=dict)
    allowances: tuple[Allowance, ...] = USUAL
    floor: Mapping[str, float] = field(default_factory=dict)
    rounded_db: float = 0.0
    exponentials: bool = True

    def share(self, worst_db: float) -> float:
        """Share of the cycles that more bits may cost where the worst output keeps so much."""
        shares = (a.share for a in self.allowances if worst_db < a.below_db)
        return max(shares, default=0.0)

    def limits(self, network: QuantGraph, margin_db: float = MARGIN_DB) -> Array:
        """[judged tensors] Noise that is allowed, relative to the signal."""
        rows = judged_rows(network)
        usual_db = max(self.db, self.rounded_db if network.graph.has_fake_quantized else 0.0)
        every_db = (self.outputs_db.get(output, usual_db) for output, _ in rows)
        allowed = np.array([10 ** (-(db + margin_db) / 10) for db in every_db])
        floor = np.array([self.floor.get(name, 0.0) for _, name in rows])
        return np.asarray(np.maximum(allowed + floor, 10 ** (LEAST_GAIN_DB / 10) * floor))


USUAL_AIM = Aim()


@dataclass(frozen=True, slots=True)
class Choice:
    """A remedy that was tried.

    worst_db      dB of the worst output with it, for samples that choose
    more_cycles   share of the cycles of 8 bits that it costs, estimated
    tensors       that have 16 bits with it
    """

    remedy: str
    worst_db: float
    more_cycles: float
    is_kept: bool
    tensors: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """A quantised network, its noise [judged tensors] relative to the signal, the cycles that it
    takes more than the network in 8 bits, and the candidates that have 16."""

    network: QuantGraph
    noise: Array = field(repr=False)
    more_cycles: float = 0.0
    chosen: tuple[Candidate, ...] = ()

    def missing_db(self, limits: Array) -> float:
        """Decibels that are missing to the limits, of all judged tensors; 0 meets the aim."""
        over = np.maximum(self.noise / limits, 1.0)
        return float(np.sum(10 * np.log10(over)))

    def is_better(self, other: Trial, limits: Array) -> bool:
        """Whether this network alone meets the aim, or is LEAST_GAIN_DB nearer to it."""
        mine, others = self.missing_db(limits), other.missing_db(limits)
        return mine == 0.0 < others or mine + LEAST_GAIN_DB <= others

    @property
    def worst_db(self) -> float:
        """Decibels of what is worst; infinite without noise."""
        worst = float(self.noise.max(initial=0.0))
        return -10 * math.log10(worst) if worst else math.inf


def judged_rows(network: QuantGraph) -> list[tuple[str, str]]:
    """(output, tensor that it is judged by) in a fixed order."""
    outputs = dict.fromkeys(network.graph.outputs)
    return [(output, name) for output in outputs for name in judged_tensors(network, output)]


def relative_noise(network: QuantGraph, fidelity: Fidelity) -> Array:
    """[judged tensors] Noise power relative to the signal; 0 of what is not computed."""
    computed = fidelity.computed_db
    every_db = [
        None if output not in computed else _judged_db(fidelity, output, name)
        for output, name in judged_rows(network)
    ]
    return np.array([0.0 if db is None else 10 ** (-db / 10) for db in every_db])


def _judged_db(fidelity: Fidelity, output: str, name: str) -> float | None:
    found = fidelity.outputs[output]
    return found.end_db if name == output and found.end_db is not None else found.db


def trial_samples(graph: Graph) -> int:
    """Number of samples for a trial: many of a small network, whose few numbers scatter."""
    least, most = TRIAL_SAMPLES
    return max(least, min(most, TRIAL_MACS // max(network_macs(graph), 1)))


def network_macs(graph: Graph) -> int:
    """Multiply-accumulates of a sample."""
    return sum(
        macs(node, [graph.shape(name) for name in node.inputs], graph.shape(node.name))
        for node in graph.nodes
    )


def trial_of(network: QuantGraph, samples: Samples, more_cycles: float = 0.0) -> Trial:
    noise = relative_noise(network, measure(network, samples, layers=False))
    return Trial(network, noise, more_cycles)
