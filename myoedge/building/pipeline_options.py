# SPDX-License-Identifier: Apache-2.0
"""Options and intermediate results of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from myoedge.building.options import QuantizeOptions
from myoedge.errors import MyoedgeError, Notice
from myoedge.graph.ir import Graph
from myoedge.operators.engine_choice import AUTO
from myoedge.quantization.calibrate import Observer
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.moves.layers import METHODS_TRIED
from myoedge.quantization.search.state import ConstantReading, Network, TriedMove, Workshop
from myoedge.system.regular_files import MAX_UNPACKED_BYTES
from myoedge.targets.chip import Chip

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options(QuantizeOptions):
    """Options of quantisation, and the limits that a build adds.

    reuse       network of an older build; unchanged layers keep its parameters
    max_bytes   maximum unpacked size of samples and of a compressed checkpoint
    planned_cycles   network -> estimated cycles of its plan, infinite if it does not fit the
                     memories; None: the estimates of the layers are added
    examine     called with the loaded network before the long part; returns the part to build, or
                raises
    stream      whether frames are pushed, so that a decoder works frame by frame
    engine      engine of layers that [engine] does not name: "auto", "cores", or an accelerator
    chip        chip whose accelerators may run layers; such layers get the accelerator's integers
    keeps       network -> whether it meets [budget] l2, latency and energy; None without such
                limits
    reading     network -> how its plan reads constants in every step of a loop from memories behind
                L2; None if that is not planned
    gate        file of a network that runs before the other one on the same input; None: none
    first       name of an output, or of a network in front, that is computed before all others
    decided_by  values that determine planned_cycles, keeps, reading and examine, for the cache key;
                None: no caching
    """

    reuse: QuantGraph | None = None
    max_bytes: int = MAX_UNPACKED_BYTES
    examine: Callable[[Graph], Graph] = field(default=lambda graph: graph)
    planned_cycles: Callable[[QuantGraph], float] | None = None
    stream: bool = False
    engine: str = AUTO
    chip: Chip | None = None
    keeps: Callable[[QuantGraph], bool] | None = None
    reading: Callable[[QuantGraph], ConstantReading] | None = None
    gate: Path | None = None
    first: str = ""
    decided_by: object = None

    @classmethod
    def of(cls, asked: QuantizeOptions, **limits: Any) -> Options:
        """Return the options that a user asked for, with the limits of a build."""
        values = {f.name: getattr(asked, f.name) for f in fields(QuantizeOptions)}
        return cls(**(values | limits))


# Options that are functions, which no cache key can hold: `decided_by` stands for their results.
CALLBACKS = {option.name for option in fields(Options) if "Callable[" in str(option.type)}


@dataclass(frozen=True)
class Integers:
    """The part of Quantized that takes long to compute and is cached.

    network        the quantised network
    fidelity       its SQNR
    warnings       warnings of the quantisation
    observers_db   observer -> SQNR of the worst output in dB
    choices        moves of the precision search
    """

    network: QuantGraph
    fidelity: Fidelity
    warnings: tuple[Notice, ...]
    observers_db: Mapping[str, float]
    choices: tuple[TriedMove, ...]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Starting point and settings of the precision search.

    network    the network before the search
    workshop   functions for making networks
    tried      moves tried while choosing weight bits
    goal       goal of the search
    needs      output -> SQNR in dB required by [budget]
    warnings   warnings of these steps
    """

    network: Network
    workshop: Workshop
    tried: tuple[TriedMove, ...]
    goal: Goal
    needs: Mapping[str, float]
    warnings: tuple[Notice, ...]


# --- checks of options ----------------------------------------------------------------------------


LARGEST_HOLDOUT = 0.9
METHODS = ("auto", *METHODS_TRIED)


def observers_of(options: QuantizeOptions) -> list[Observer]:
    """Return the observers that calibration may choose from; only one if the options name it or an
    older build used it.

    Errors: E203 unknown method, or a percentile out of range.
    """
    method, percentile = str(options.method), float(options.percentile or 0.0)
    if method not in METHODS:
        raise MyoedgeError("E203", f"there is no method {method!r}", {"has": ", ".join(METHODS)})
    if not 50.0 < percentile <= 100.0:
        facts = {"needs": "more than 50, at most 100", "has": percentile}
        raise MyoedgeError("E203", "the percentile is out of range", facts)
    if options.samples is not None and options.samples < 1:
        raise MyoedgeError("E203", "at least one sample is needed", {"has": options.samples})
    if method != AUTO:
        return [Observer(method, percentile)]
    if isinstance(options.reuse, QuantGraph):
        return [options.reuse.calibration.observer]
    return [Observer(tried, percentile) for tried in METHODS_TRIED]


def holdout_share(options: QuantizeOptions) -> float:
    """Return the fraction of samples held out for evaluation. Errors: E203."""
    share = float(options.holdout or 0.0)
    if not 0.0 <= share <= LARGEST_HOLDOUT:
        facts = {"needs": f"0 to {LARGEST_HOLDOUT}", "has": share}
        title = "the share of samples that are held out is out of range"
        raise MyoedgeError("E203", title, facts, ["--holdout 0.2", "--holdout 0: none"])
    return share
