# SPDX-License-Identifier: Apache-2.0
"""Firmware on a simulated chip: inferences of a build, or any program at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.backends import equivalence as ladder
from myoedge.backends.build import MOST_CYCLES
from myoedge.building.budget import AUTO, cheapest
from myoedge.building.build_files import report_files
from myoedge.building.energy_coefficients import coefficients
from myoedge.errors import MyoedgeError
from myoedge.operators.interpreter import one_blas_thread
from myoedge.reports.cycles import with_cycles
from myoedge.reports.energy import with_energy
from myoedge.reports.latency_check import over_latency
from myoedge.reports.streams import with_real_time
from myoedge.reports.trace import perfetto
from myoedge.simulator import RunOptions, Simulation, simulate
from myoedge.targets import Chip, find_chip
from myoedge.targets.gap9.simulator_costs import COSTS

if TYPE_CHECKING:
    from myoedge.backends.build import Build
    from myoedge.backends.measurement import Measurement
    from myoedge.errors import Notice
    from myoedge.quantization.samples import Given

SILICON = "silicon"
TRACE = "trace.json"
RUNGS = {"simulator": "the simulator", "gvsoc": "GVSoC", "board": "a board"}
MOST_FILE = 256 << 20  # bytes of a program, by far

Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Simulated:
    """Inferences on a simulated chip.

    measurement   outputs, cycles of each layer, what the cores did
    exact         whether every inference gave the integers of the reference
    report        report.json as it is now
    over          what is to be said where the run takes longer than [budget] latency
    run           counters of the whole run; None on GVSoC
    """

    measurement: Measurement = field(repr=False)
    exact: bool
    report: dict[str, Any] = field(repr=False)
    run: Simulation | None = field(default=None, repr=False)
    over: Notice | None = field(default=None, repr=False)


def simulate_build(
    build: Build,
    on: str,
    given: Given | None,
    point_name: str | None,
    like: str,
    trace: bool,
    progress: Progress | None,
) -> Simulated:
    """api.simulate; the arguments are explained there."""
    described = _described(build, point_name)
    short = [ladder.golden_sample(build, short=True)]
    samples = short if given is None else ladder.given_samples(build, given)
    with one_blas_thread():
        runs = [*ladder.cases(build, samples)]
    measured, run = _measured(build, on, runs, like, trace, progress)
    exact = _exact(runs, measured)
    report = _reported(build, measured, described, point_name == AUTO)
    report["exact"] = {**report["exact"], on: exact}
    # the folder says what the chip costs, not what stands for it
    files = report_files(report) if like == SILICON else {}
    if trace and run is not None:
        files[TRACE] = perfetto(run, report["layers"], report["target"]["clock_hz"])
    build.replace(files)
    over = over_latency(report) if like == SILICON else None
    return Simulated(measured, exact, report, run, over)


def _measured(
    build: Build,
    on: str,
    runs: Sequence[ladder.Case],
    like: str,
    trace: bool,
    progress: Progress | None,
) -> tuple[Measurement, Simulation | None]:
    """Inferences on a rung, with counters of the run where it has some. Errors: E204 no rung, or
    a trace of one that records none."""
    if on not in RUNGS:
        raise MyoedgeError("E204", f"there is no rung {on}", {"has": ", ".join(RUNGS)})
    if trace and on != "simulator":
        raise MyoedgeError("E204", f"{RUNGS[on]} records no trace here", {"has": "simulator"})
    if on == "board":
        return build.run_on_board(ladder.board_runs(build, runs)), None
    inputs = ladder.chip_inputs(build, runs)
    if on == "gvsoc":
        return build.run_on_gvsoc(inputs), None
    options = RunOptions(spans=trace)
    return build.simulate(inputs, options=options, cycles=costs(like), progress=progress)


def _exact(runs: Sequence[ladder.Case], measured: Measurement) -> bool:
    pairs = zip(runs, measured.inferences, strict=True)
    return all(
        np.array_equal(options, got)
        for case, inference in pairs
        for options, got in zip(case.outputs, inference.outputs, strict=True)
    )


def _described(build: Build, name: str | None) -> Chip:
    """The chip at an operating point: the one asked for, else the one that was built for."""
    described = find_chip(str(build.manifest.get("target")))
    chosen = build.report["target"].get("operating_point") if name in (None, AUTO) else name
    return described.at(chosen) if described.point.clock_hz and chosen else described


def _reported(build: Build, measured: Measurement, described: Chip, auto: bool) -> dict[str, Any]:
    by, report = coefficients(), build.report

    def at(chosen: Chip) -> dict[str, Any]:
        found = with_cycles(at_points(report, chosen), measured, chosen.point)
        return with_real_time(with_energy(found, by))

    found = at(described)
    if not auto:
        return found
    limit = (report.get("budget") or {}).get("latency_s")
    rows = [(p["name"], p["latency_s"], p["value"]) for p in found["energy_uj"]["points"]]
    return at(described.at(cheapest(rows, limit)))


def at_points(report: Mapping[str, Any], described: Chip) -> dict[str, Any]:
    """The report with the chip's operating points, the first of them chosen."""
    target = {
        **report["target"],
        "operating_points": [asdict(point) for point in described.points],
        "operating_point": described.point.name,
        "clock_hz": described.point.clock_hz,
        "l3_bytes_per_s": described.l3_bytes_per_s or None,
    }
    return {**report, "target": target}


def costs(like: str) -> Mapping[str, int]:
    """What things cost on the chip, or on a platform that stands for it. Errors: E204 unknown."""
    if like not in COSTS:
        raise MyoedgeError("E204", f"there is no chip like {like}", {"has": ", ".join(COSTS)})
    return COSTS[like]


def simulate_program(
    elf: Path,
    folder: Path | None,
    dump: Sequence[tuple[int, int]],
    max_cycles: int | None,
    bank_conflicts: bool,
    like: str,
    profile: bool,
    window: tuple[int, int] | None,
    progress: Progress | None,
) -> Simulation:
    """api.simulate_elf; the arguments are explained there."""
    from myoedge.simulator import read_elf

    chosen = {**costs(like), **({} if bank_conflicts else {"l1_contention": 0})}
    return simulate(
        read_elf(_bytes(elf), elf.name),
        cycles=chosen,
        folder=folder,
        options=RunOptions(dump=dump, profile=profile, window=window),
        progress=progress,
        max_cycles=MOST_CYCLES if max_cycles is None else max_cycles,
    )


def _bytes(elf: Path) -> bytes:
    try:
        with elf.open("rb") as file:
            data = file.read(MOST_FILE + 1)
    except (OSError, ValueError) as error:
        facts = {"reason": getattr(error, "strerror", None) or str(error)}
        raise MyoedgeError("E241", f"{elf} cannot be read", facts) from None
    if len(data) > MOST_FILE:
        raise MyoedgeError("E241", f"{elf} is too large", {"at most": f"{MOST_FILE:,} bytes"})
    return data
