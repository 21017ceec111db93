# SPDX-License-Identifier: Apache-2.0
"""Results of SQNR measurements: of layers, outputs and the whole network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.judged import JudgedTensor

LEAST = 1e-30  # fraction of the signal: an overflow has no logarithm
DRAWS, SEED, CONFIDENCE = 2000, 0, 0.95  # of the confidence intervals
LEAST_DB = -300.0  # SQNR of a signal that overflows

Interval = tuple[float, float]


@dataclass
class Noise:
    """Sums of squares over samples, from which an SQNR follows.

    signal   sum of squared float values
    error    sum of squared errors
    """

    signal: float = 0.0
    error: float = 0.0

    def add(self, real: Array, quantized: Array) -> None:
        exact = real.astype(np.float64)
        self.signal += float(np.sum(exact**2))
        self.error += float(np.sum((exact - quantized) ** 2))

    def add_judged(self, tensor: JudgedTensor, values: Array) -> None:
        """Add the counted elements of a tensor for one sample.

        tensor   float values of the counted elements
        values   dequantised values of the whole tensor
        """
        self.add(tensor.exact, tensor.counted(values))

    def __add__(self, other: Noise) -> Noise:
        return Noise(self.signal + other.signal, self.error + other.error)

    @property
    def db(self) -> float | None:
        """10 log10(signal / error), at least -300; None without signal, infinity without error."""
        if self.signal == 0.0:
            return None
        share = self.signal / self.error if self.error else math.inf
        return 10.0 * math.log10(share) if share > LEAST else 10.0 * math.log10(LEAST)


@dataclass(frozen=True)
class OutputFidelity:
    """SQNR of an output, before a final softmax or sigmoid; differences that do not affect the
    softmax are ignored.

    db                  SQNR in dB over all samples; infinity without error, None with errors of an
                        output that is 0 in every sample
    samples_db          SQNR of each sample in dB
    agreement           fraction of frames with the float network's argmax; None without a class
                        axis
    is_passed_through   whether the output contains only elements of inputs
    numbers             indices of the samples in the file; (): the first ones, in order
    end_db              SQNR after the final softmax or sigmoid; None without one, or without signal
    interval_db         confidence interval of `db`
    errors              largest error of each sample, in the unit of a regression's targets; () for
                        other networks
    """

    db: float | None
    samples_db: tuple[float | None, ...] = ()
    agreement: float | None = None
    is_passed_through: bool = False
    numbers: tuple[int, ...] = ()
    end_db: float | None = None
    interval_db: Interval | None = None
    errors: tuple[float, ...] = ()

    @property
    def worst_error(self) -> tuple[int, float] | None:
        """File index and largest error of the sample with the largest error; None if this is not a
        regression."""
        if not self.errors:
            return None
        numbers = self.numbers or range(len(self.errors))
        error, number = max(zip(self.errors, numbers, strict=True))
        return number, error

    def within(self, ends: Interval | None) -> OutputFidelity:
        """Return a copy whose interval includes another one; None: unchanged."""
        own = self.interval_db
        if own is None or ends is None:
            return self
        return replace(self, interval_db=(min(own[0], ends[0]), max(own[1], ends[1])))

    @property
    def worst_sample(self) -> tuple[int, float] | None:
        """File index and SQNR in dB of the sample with the lowest SQNR; None if no sample has a
        signal."""
        numbers = self.numbers or range(len(self.samples_db))
        pairs = zip(self.samples_db, numbers, strict=True)
        db, number = min(((db, at) for db, at in pairs if db is not None), default=(0.0, -1))
        return None if number < 0 else (number, db)


@dataclass(frozen=True)
class Fidelity:
    """SQNR of the quantised network and of its layers.

    local             tensor -> dB with only its operator quantised; without data movement
    cumulative        tensor -> dB with everything up to it quantised
    outputs           output tensor -> its SQNR
    real, integer     float and dequantised integer outputs, per sample
    final_functions   names of the final functions before which SQNR is measured, such as "softmax"
    sources           layer with low SQNR -> tensor whose rounding causes most of its noise
    """

    local: Mapping[str, float | None]
    cumulative: Mapping[str, float | None]
    outputs: Mapping[str, OutputFidelity]
    real: tuple[tuple[Array, ...], ...] = field(repr=False)
    integer: tuple[tuple[Array, ...], ...] = field(repr=False)
    final_functions: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def computed_db(self) -> dict[str, float]:
        """SQNR in dB by output, for computed outputs with a signal; for all outputs if none is
        computed."""
        computed = {n: x for n, x in self.outputs.items() if not x.is_passed_through}
        rows = (computed or self.outputs).items()
        return {name: x.db for name, x in rows if x.db is not None}

    def decides_less(self, other: Fidelity) -> bool:
        """Return whether an output has the float network's argmax in fewer frames than in another
        measurement of the same samples."""
        pairs = ((x.agreement, other.outputs[name].agreement) for name, x in self.outputs.items())
        return any(own is not None and own < (before or 0.0) for own, before in pairs)

    def weakest(self, names: Iterable[str]) -> str | None:
        """Return the tensor with the lowest SQNR by itself; None if none of them was measured."""
        known = {name: db for name in names if (db := self.local.get(name)) is not None}
        return min(known, key=known.__getitem__, default=None)

    def of_samples(self, numbers: Array | None) -> Fidelity:
        """Return a copy in which samples have their indices in the file.

        numbers   index of each sample in the file; None: unchanged
        """
        if numbers is None:
            return self
        places = tuple(map(int, numbers))
        outputs = {name: replace(x, numbers=places) for name, x in self.outputs.items()}
        return replace(self, outputs=outputs)

    def without_classes(self, graph: Graph) -> Fidelity:
        """Return a copy for a regression, whose outputs have no classes, but errors in the unit of
        their targets: the SQNR of a target near zero is low, however small its error."""
        outputs = {
            name: replace(x, agreement=None, errors=self._largest_errors(graph.outputs.index(name)))
            if graph.tensors[name].dtype == "float32"
            else x
            for name, x in self.outputs.items()
        }
        return replace(self, outputs=outputs)

    def _largest_errors(self, at: int) -> tuple[float, ...]:
        """Return the largest error of an output in each sample."""
        pairs = ((x[at], y[at]) for x, y in zip(self.real, self.integer, strict=True))
        return tuple(float(np.abs(x.astype(np.float64) - y).max()) for x, y in pairs)

    def within(self, others: Fidelity | None) -> Fidelity:
        """Return a copy whose intervals include those of another measurement of these outputs;
        None: unchanged."""
        if others is None:
            return self
        found = {
            name: x.within(others.outputs[name].interval_db) for name, x in self.outputs.items()
        }
        return replace(self, outputs=found)

    @property
    def worst_judged_db(self) -> float | None:
        """Lowest SQNR in dB of an output, before or after its final function; None if none was
        measured."""
        ends = (self.outputs[name].end_db for name in self.computed_db)
        every_db = [*self.computed_db.values(), *(db for db in ends if db is not None)]
        return min(every_db, default=None)

    @property
    def interval_db(self) -> Interval | None:
        """Confidence interval in dB of the SQNR `worst_db`."""
        computed = self.computed_db
        worst = min(computed, key=computed.__getitem__, default=None)
        return None if worst is None else self.outputs[worst].interval_db

    @property
    def worst_db(self) -> float | None:
        """Lowest SQNR in dB of an output before its final function; None if none was measured."""
        return min(self.computed_db.values(), default=None)


def interval_db(signal: Array, error: Array) -> Interval | None:
    """Return the 95 % confidence interval of an SQNR in dB; None for fewer than two samples, or
    without signal.

    signal, error   [samples] sums of squared values and of squared errors
    The bootstrap over samples is used, with a fixed seed (B. Efron, Bootstrap methods: another look
    at the jackknife, 1979), between the percentiles that a t interval of a mean has (T. Hesterberg,
    What teachers should know about the bootstrap, 2015): those of the normal distribution are too
    close for few samples.
    """
    count = len(signal)
    if count < 2 or not signal.any():
        return None
    times = np.random.default_rng(SEED).multinomial(count, [1.0 / count] * count, DRAWS)
    signals, errors = times @ signal, times @ error
    with np.errstate(divide="ignore"):
        drawn = 10.0 * np.log10(signals[signals > 0.0] / errors[signals > 0.0])
    outside = expanded_share(count)
    ends = (outside, 1.0 - outside)
    low, high = np.quantile(drawn, ends, method="inverted_cdf")  # a drawn value: some are infinite
    return max(float(low), LEAST_DB), max(float(high), LEAST_DB)


def expanded_share(count: int) -> float:
    """Return the share of bootstrap draws beyond each end of an interval, for a number of samples
    from 2 on: 2.5 % of many, less of few."""
    normal, free = NormalDist(), count - 1
    z = normal.inv_cdf(0.5 + CONFIDENCE / 2)
    # Student's t, M. Abramowitz and I. Stegun, Handbook of mathematical functions (1964), 26.7.5.
    t = (
        z
        + (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
    return normal.cdf(-t * math.sqrt(count / free))
