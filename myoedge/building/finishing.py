# SPDX-License-Identifier: Apache-2.0
"""Inputs and result of the last stages of a build: plan, emit and simulate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from myoedge.building.build_files import BuildArtifacts
from myoedge.building.plans import BuildPlan, ChosenAgain
from myoedge.building.quantized import Quantized
from myoedge.building.request import BuildRequest
from myoedge.building.stream_rate import slow_stream
from myoedge.errors import Notice
from myoedge.power.model import Coefficients
from myoedge.reports.report_json import Report, notice_row

Stage = Callable[[str], AbstractContextManager[None]]  # reports a stage and measures its time
CycleProgress = Callable[[int, float], None]  # cycles so far, estimated cycles


@dataclass(frozen=True)
class SimulationOptions:
    """Options of the simulated inference at the end of a build.

    simulate   True: always; False: never; None: up to LONGEST_CYCLES estimated cycles
    tune       whether to choose tiles by simulated cycles, in several simulations
    progress   callback during the simulation
    """

    simulate: bool | None = None
    tune: bool = False
    progress: CycleProgress | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether the build should end with a simulation."""
        return self.tune or self.simulate is not False


@dataclass(frozen=True)
class BuildInputs:
    """Inputs of the stages plan, emit and simulate of a build.

    quantized      the quantised network
    request        chip, limits and other arguments
    energy         coefficients for the reported energy
    confirmation   options of the simulation
    stage          context that reports the name of a stage
    on_engines     (network, chip) -> the network with engines chosen anew for the chip
    advises        whether an L2 limit that is too small is answered with one that suffices
    """

    quantized: Quantized
    request: BuildRequest
    energy: Coefficients
    confirmation: SimulationOptions
    stage: Stage
    on_engines: ChosenAgain
    advises: bool = True


@dataclass(frozen=True)
class Finished:
    """A build that has not been written yet.

    build_plan   its plan
    contents     its files
    report       its report.json
    notices      W303 or W304, if its cycles are only estimated
    of_limits    W305, if a limit makes it slow
    """

    build_plan: BuildPlan
    contents: BuildArtifacts
    report: Report
    notices: tuple[Notice, ...] = ()
    of_limits: tuple[Notice, ...] = ()

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Return the warnings of plan, limits and application, and W302 if the stream does not run
        in real time."""
        slow = slow_stream(self.report) if "stream" in self.report else None
        of_plan = (*self.build_plan.plan.warnings, *self.of_limits)
        return (*of_plan, *self.contents.warnings, *([] if slow is None else [slow]))

    @property
    def cycles(self) -> list[int]:
        """Return the simulated cycles of every layer, followed by the cycles outside layers."""
        layers = [row["cycles"] for row in self.report["layers"]]
        return [*layers, self.report["cycles"]["total"] - sum(layers)]

    def reported(self, warnings: Sequence[Notice]) -> Report:
        """Return the report with these warnings and with `notices`."""
        return {**self.report, "warnings": [notice_row(n) for n in (*warnings, *self.notices)]}
