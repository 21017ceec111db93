# SPDX-License-Identifier: Apache-2.0
"""Simulation of a build's firmware; labelled samples for an existing build."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from myoedge.backends.build import Build
from myoedge.backends.equivalence import (
    cases,
    check_known,
    chip_inputs,
    evaluated_outputs,
    same_outputs,
)
from myoedge.backends.names import backends, by_source
from myoedge.backends.runner import Case, runner_of
from myoedge.backends.samples import given_data, given_samples, golden_sample
from myoedge.building.build_files import changed_report, with_run
from myoedge.building.config import Found, find
from myoedge.building.energy import check_application_point, coefficients, renewable
from myoedge.errors import MyoedgeError, set_in
from myoedge.operators.interpreter import one_blas_thread
from myoedge.operators.layer_names import unique_names
from myoedge.quantization.recordings.reading import OF_LABELLED, of_option
from myoedge.quantization.recordings.sources import AS_GIVEN
from myoedge.quantization.samples import Data, Given
from myoedge.reports import speed, wording
from myoedge.reports.budget import over_goals
from myoedge.reports.evaluation_lines import card_facts
from myoedge.reports.evaluations import evaluation_rows
from myoedge.reports.trace import perfetto
from myoedge.reports.trace_facts import L1Operands
from myoedge.simulator import RunOptions, Simulation
from myoedge.system.notebook import Card, Tabular
from myoedge.system.progress import tell_cycles
from myoedge.targets import DEFAULT, find_chip
from myoedge.targets.chip import AUTO_POINT

if TYPE_CHECKING:
    from myoedge.backends.measurement import Measurement
    from myoedge.errors import Notice
    from myoedge.targets.chip import Chip

INPUT = "--input"


def samples_for(
    build: Build, given: Given, option: str = INPUT, *, any_length: bool = False
) -> Data:
    """Read labelled samples, scaled to the unit of training, with the class names of the build.

    option   command-line option of the samples, for messages; for options except INPUT, samples
             must have labels and are read with the settings of [calib] in ./myoedge.toml
    any_length   as given_data
    Errors: as given_data, E230 .. E232.
    """
    is_test = option != INPUT
    found = find(None)
    settings = found.settings
    reading = settings.test.reading(settings.calib.reading) if is_test else AS_GIVEN
    reading = replace(reading, classes=reading.classes or build.class_names)
    place = labelled_in(found, option) if is_test else INPUT
    with set_in(place, of_option(option) | (OF_LABELLED if is_test else {})):
        return given_data(build, given, reading, needs_labels=is_test, any_length=any_length)


def test_set_in(found: Found, *, is_typed: bool) -> str:
    """Return the source of the test set for messages: --test if it was given, otherwise [test]."""
    return labelled_in(found, "--test") if is_typed else f"[test] of {found.file}"


def labelled_in(found: Found, option: str) -> str:
    """Return the source of labelled samples for messages: the option, and [test] if it names the
    labels."""
    label = found.settings.test.label
    return option if label is None else f"{option}, with the label of [test] of {found.file}"


TRACE = "trace.json"

Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Simulated(Tabular):
    """Result of running a build's firmware.

    measurement   outputs, cycles and core activity of each layer
    exact         whether every inference gave the integers of the reference
    report        the updated report.json
    run           counters of the whole run; None on GVSoC
    over          E302 if the run takes longer, or more energy, than [budget] allows
    unwritten     W210 if the reports of the folder could not be replaced
    evaluation    accuracy or errors on labelled samples, with the keys of report.json
    """

    measurement: Measurement = field(repr=False)
    exact: bool
    report: dict[str, Any] = field(repr=False)
    run: Simulation | None = field(default=None, repr=False)
    over: Notice | None = field(default=None, repr=False)
    unwritten: Notice | None = field(default=None, repr=False)
    evaluation: dict[str, Any] | None = field(default=None, repr=False)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per layer and inference: its cycles, and stall cycles of the cores by
        cause."""
        layers = self.report["layers"]
        names = [
            {"layer": p, "op": row["op"]}
            for row, p in zip(layers, unique_names(layers), strict=True)
        ]
        return [
            {"inference": number, **name, "cycles": cost.cycles, **cost.stalls}
            for number, inference in enumerate(self.measurement.inferences)
            for name, cost in zip(names, inference.layers, strict=True)
        ]

    def _card(self) -> Card:
        report = self.report
        total, layers = report["cycles"]["total"], report["layers"]
        facts = [
            ("latency", speed.latency(report)),
            ("passes" if "stream" in report else "inferences", len(self.measurement.inferences)),
            ("outputs", "equal to the reference" if self.exact else "NOT equal to the reference"),
            ("budget", self.over),
            ("warning", self.unwritten),
            *card_facts(self.evaluation),
        ]
        rows = [
            {
                "layer": place,
                "operator": wording.operator(row),
                "engine": row["engine"],
                "cycles": row["cycles"],
                "share": wording.rough_percent(row["cycles"], total),
                "MAC/cycle": row["macs_per_cycle"],
            }
            for row, place in zip(layers, unique_names(layers), strict=True)
        ]
        return Card(f"{report['model']['name']}: {total:,} cycles", facts, rows)


def _chip_at_point(build: Build, point_name: str | None) -> Chip:
    """Return the chip at an operating point; without one, at the build's."""
    chip = find_chip(str(build.manifest.get("target")))
    check_application_point(build.report, point_name)
    built_for = build.report["target"].get("operating_point")
    point = built_for if point_name in (None, AUTO_POINT) else point_name
    return chip.at(point) if chip.point.clock_hz and point else chip


def simulate_build(
    build: Build,
    on: str,
    given: Given | None,
    point_name: str | None,
    cycles: Mapping[str, int],
    records: RunOptions,
    progress: Progress | None,
) -> Simulated:
    """Implement api.simulate, which documents the arguments.

    on           backend
    given        the user's samples; None: the golden sample
    point_name   operating point; None: that of the build
    cycles       cost table (event -> cycles) of the simulated chip
    records      what to record in addition to cycles: intervals for trace.json, executions by
                 instruction (profile), executed instructions between two cycles (window)
    """
    if records.spans:  # a file that is asked for, before the long part
        build.check_writable()
    chip = _chip_at_point(build, point_name)
    short = [golden_sample(build, short=True)]
    data = None if given is None else samples_for(build, given)
    samples = short if data is None else given_samples(build, data)
    with one_blas_thread():
        runs = [*cases(build.network, build.stream, samples)]
    measured, run = _run_inferences(build, on, runs, cycles, records, progress)
    exact = same_outputs(runs, measured)
    by, made = coefficients(), build.manifest.get("made_with", {}).get("chip", {})
    counted_hz = chip.at(made["operating_point"]).point.clock_hz if made else None  # by its program

    def with_cycles(stored: dict[str, Any]) -> dict[str, Any]:
        given, is_free = renewable(stored, by), point_name == AUTO_POINT
        report = with_run(given, measured, chip, is_free, by, counted_hz)
        return {**report, "exact": {**report["exact"], on: exact}}

    # the folder says what the chip costs, not what stands for it
    is_silicon = cycles == chip.simulator_cycles
    report, unwritten = (
        changed_report(build, with_cycles) if is_silicon else (with_cycles(build.report), None)
    )
    if records.spans and run is not None:
        base = build.program.symbols.get(f"{build.prefix}_l1", 0)
        operands = L1Operands(base, report["memory"]["l1_buffers"])
        clock_hz = report["target"]["clock_hz"]
        trace = perfetto(run, report["layers"], clock_hz, operands)
        unwritten = build.updated({TRACE: trace}) or unwritten
    over = over_goals(report) if is_silicon else None
    found = _evaluate_outputs(build, data, measured)
    return Simulated(measured, exact, report, run, over, unwritten, found)


def _evaluate_outputs(
    build: Build, data: Data | None, measured: Measurement
) -> dict[str, Any] | None:
    """Return accuracy or errors on labelled samples, from the run's outputs; for a stream from the
    NumPy reference, because a sample is divided among passes."""
    if data is None:
        return None
    outputs = None if build.stream else [run.outputs for run in measured.inferences]
    found = evaluated_outputs(build, data, outputs)
    return None if found is None else evaluation_rows(found)


def _run_inferences(
    build: Build,
    on: str,
    runs: Sequence[Case],
    cycles: Mapping[str, int],
    records: RunOptions,
    progress: Progress | None,
) -> tuple[Measurement, Simulation | None]:
    """Run inferences on a backend; return the measurement, and the run's counters if the backend
    has any.

    Errors: E204 no backend, or records from a backend without them.
    """
    check_known([on], [*by_source().values()])
    asked = {"trace": records.spans, "profile": records.profile, "window": records.window}
    for name in (name for name, value in asked.items() if value):
        if on != "simulator":
            title = f"{backends()[on].text} records no {name} here"
            raise MyoedgeError("E204", title, {"has": "simulator"})
    if on != "simulator":
        return runner_of(on).measured(build, runs), None
    inputs, known = chip_inputs(build.stream, runs), build.report["cycles"] or {"total": 0}
    estimated = known["total"] * len(runs)

    def say(cycle: int, text: str) -> None:
        tell_cycles(cycle, estimated)
        if progress is not None:
            progress(cycle, text)

    return build.simulate(inputs, options=records, cycles=cycles, progress=say)


def costs(like: str, fc_hart: int | None = None, on: str = "simulator") -> Mapping[str, int]:
    """Return the cost table (event -> cycles) of a simulated platform.

    like      "silicon" or "public-gvsoc"
    fc_hart   number of the fabric controller, for the backend "simulator"; None: the platform's
    on        backend
    Errors: E204 unknown platform, or a number for another backend.
    """
    if fc_hart is not None and on != "simulator":
        raise MyoedgeError("E204", f"{on} has a first core of its own", {"has": "simulator"})
    known = DEFAULT.platforms
    if like not in known:
        raise MyoedgeError("E204", f"there is no chip like {like}", {"has": ", ".join(known)})
    return known[like] if fc_hart is None else {**known[like], "fc_hart": fc_hart}
