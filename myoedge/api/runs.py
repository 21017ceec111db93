# SPDX-License-Identifier: Apache-2.0
"""Verbs that run a build: validate and simulate; and any program on the simulated chip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.api.models import as_build, with_plugin_errors
from myoedge.api.results import Validation
from myoedge.backends.build import Build
from myoedge.building.options import StrPath, silent
from myoedge.building.pipeline_options import Progress
from myoedge.errors import Notice
from myoedge.quantization.samples import Data, Given

if TYPE_CHECKING:
    from myoedge.backends.equivalence import Difference
    from myoedge.building.simulate import Simulated
    from myoedge.quantization.evaluation import Evaluation
    from myoedge.simulator import Simulation

RANDOM_CHECKS = 8  # random inputs that validate adds to the golden sample
RANDOM_CHECKS_ON_CHIP = 2  # fewer on a simulated chip, on GVSoC and on a board


@with_plugin_errors
def validate(
    build: Build | StrPath,
    *,
    on: str | Sequence[str] = ("host",),
    input: Given | None = None,
    test: Given | None = None,
    onnx: bool = False,
    cc: str = "zig",
    board: str | None = None,
    port: str | None = None,
    say: Progress = silent,
) -> Validation:
    """Compare the generated C with the NumPy reference, bit for bit, on one backend after another.

    on      backends: "host", "simulator" (every layer), "gvsoc", "gvsoc-sdk", "board", "jtag"
            (outputs); "host,simulator" too
    input   float samples to compare in addition, as for calibration
    test    labelled test samples: the accuracy or errors of the generated C are measured and
            reported; None: the samples of `input`, if labelled
    onnx    also measure model.int8.onnx in onnxruntime, over the golden sample and `input`
    cc      "zig", "cc" or a compiler's path
    board   id or board.toml of the board
    port    its serial port; None: search for it
    The reports in the folder are replaced; if they cannot be written, `unwritten` of the result has
    W210. The comparison stops at the first backend that differs. Errors: E204 unknown backend, E222
    no build, E240 no firmware, E501 tool, E701 .. E711 firmware.
    """
    from myoedge.backends.equivalence import check_known
    from myoedge.backends.names import backends as known
    from myoedge.backends.onnx_agreement import check_comparable, onnx_agreement_db
    from myoedge.backends.runner import runner_of
    from myoedge.backends.samples import real_inputs
    from myoedge.building.simulate import samples_for
    from myoedge.reports.evaluations import evaluation_rows

    backends = on.split(",") if isinstance(on, str) else on
    check_known(backends, [*known()])
    opened = replace(as_build(build), cc=cc)
    _check_chip_of(opened, backends)
    for name in backends:
        runner_of(name).find()
    chosen = prepared(opened, backends, board, port)
    assert chosen.manifest  # read before another build may replace this one
    if onnx:
        check_comparable(chosen)
    given = None if input is None else samples_for(chosen, input)
    tested = None if test is None else samples_for(chosen, test, "--test")
    counts, same, difference = _compare_backends(chosen, backends, given, say)
    onnx_db = onnx_agreement_db(chosen, real_inputs(chosen, given)) if onnx else None
    found = _evaluate(chosen, given, tested)
    rows = None if found is None else evaluation_rows(found)
    exact, unwritten = _record_results(chosen, same, None if tested is None else rows)
    warnings = _warnings(chosen, given, tested, found)
    in_passes = chosen.stream is not None
    return Validation(exact, counts, difference, onnx_db, in_passes, unwritten, rows, warnings)


def _record_results(
    build: Build,
    same: Mapping[str, bool | None],
    evaluation: Mapping[str, Any] | None,
) -> tuple[dict[str, bool | None], Notice | None]:
    """Write the results into the reports; return results by backend, old ones included, and W210 if
    writing failed."""
    from myoedge.backends.runner import runner_of
    from myoedge.building.build_files import changed_report
    from myoedge.reports.evaluations import with_evaluation

    entries = {key: x for name in same for key, x in runner_of(name).entries(build).items()}

    def with_results(report: dict[str, Any]) -> dict[str, Any]:
        evaluated = report if evaluation is None else with_evaluation(report, evaluation)
        return {**evaluated, **entries, "exact": {**report["exact"], **same}}

    report, unwritten = changed_report(build, with_results)
    return report["exact"], unwritten


def _warnings(
    build: Build, given: Data | None, tested: Data | None, found: Evaluation | None
) -> tuple[Notice, ...]:
    from myoedge.building.warning_rules import warnings_about

    data = given if tested is None else tested
    return () if data is None else warnings_about(build, data, found, is_test=tested is not None)


def _evaluate(build: Build, given: Data | None, tested: Data | None) -> Evaluation | None:
    """Measure accuracy or errors on the test set, or on labelled samples; None without labels."""
    from myoedge.backends.equivalence import evaluated_outputs
    from myoedge.quantization.evaluation import GIVEN
    from myoedge.quantization.holdout import TEST

    data = given if tested is None else tested
    if data is None:
        return None
    return evaluated_outputs(build, data, role=GIVEN if tested is None else TEST)


def _compare_backends(
    build: Build, backends: Sequence[str], given: Data | None, say: Progress
) -> tuple[dict[str, int], dict[str, bool | None], Difference | None]:
    """Compare backend after backend with the reference, up to the first difference.

    given   user's float samples, in addition to the golden sample and random samples

    -> (samples by backend, equality by backend, first difference)
    """
    from myoedge.backends.equivalence import first_difference
    from myoedge.backends.samples import all_samples

    counts: dict[str, int] = {}
    same: dict[str, bool | None] = {}
    difference: Difference | None = None
    for name in dict.fromkeys(backends):
        say(f"compare with {name}")
        random = RANDOM_CHECKS if name == "host" else RANDOM_CHECKS_ON_CHIP
        samples = all_samples(build, random, given, short=name != "host")
        counts[name], difference = first_difference(build, samples, name)
        same[name] = difference is None
        if difference is not None:
            break
    return counts, same, difference


@with_plugin_errors
def simulate(
    build: Build | StrPath,
    *,
    on: str = "simulator",
    input: Given | None = None,
    operating_point: str | None = None,
    like: str = "silicon",
    fc_hart: int | None = None,
    trace: bool = False,
    profile: bool = False,
    window: tuple[int, int] | None = None,
    board: str | None = None,
    port: str | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Simulated:
    """Run the firmware of a build on a simulator or board; return outputs and cycles of every
    layer.

    on                "simulator"; "gvsoc" if one is installed; "gvsoc-sdk" if GAP_SDK_HOME is
                      the folder of a GAP SDK; "board" and "jtag" (see `run`)
    input             float samples as for calibration, one inference each; None: the golden sample
    operating_point   "high" (0.80 V, 370 MHz), "low" (0.65 V, 240 MHz), a clock such
                      as "300MHz", or "auto": the cheapest within the build's [budget] latency;
                      None: the point of the build
    like              cost model: "silicon", or "public-gvsoc" with that platform's documented
                      costs
    fc_hart           mhartid of the simulated fabric controller, which selects the firmware's
                      drivers: 9 (the chip) or 0x3e0 (public GVSoC); None: by `like`
    trace             also write trace.json for ui.perfetto.dev
    profile           record cycles by instruction address, in `run.profile`
    window            (from, to): record every instruction between these cycles, in `run.steps`
    progress          called about once a second with the cycle and the new text printed
    The reports in the folder are replaced, unless another chip was simulated. `unwritten` of the
    result has W210 if they cannot be written; `over` has E302 if the run misses the build's
    [budget].
    Errors: E204, E220 no folder for trace.json, E222, E240, E501, E701 .. E711.
    """
    from myoedge.building.simulate import costs, simulate_build
    from myoedge.simulator import RunOptions

    records = RunOptions(spans=trace, profile=profile, window=window)
    chosen = prepared(as_build(build), [on], board, port)
    cycles = costs(like, fc_hart, on)
    return simulate_build(chosen, on, input, operating_point, cycles, records, progress)


def simulate_elf(
    elf: StrPath,
    *,
    folder: StrPath | None = None,
    dump: Sequence[tuple[int, int]] = (),
    max_cycles: int | None = None,
    bank_conflicts: bool = True,
    like: str = "silicon",
    fc_hart: int | None = None,
    profile: bool = False,
    window: tuple[int, int] | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Simulation:
    """Run any bare-metal program for the register map of the simulated chip.

    folder           where the program may read and write files by plain name; None: nowhere
    dump             (address, size in bytes) of L1 or L2 regions to return at the end
    max_cycles       cycle limit (E708); None: 2,000,000,000
    bank_conflicts   False: L1 banks serve any number of accesses per cycle
    like, fc_hart    as for `simulate`
    profile          record cycles by instruction address
    window           (from, to): record every instruction between these cycles
    Errors: E241, E242 no program for this chip, E243 dump, E701 .. E709 it faulted or hung.
    """
    from myoedge.building.simulate import costs
    from myoedge.simulator import PROGRAM_CYCLES, Faulted, RunOptions, with_other_first_core
    from myoedge.simulator import simulate as run
    from myoedge.system.elf import read_program

    program, cycles = read_program(Path(elf)), costs(like, fc_hart)
    try:
        return run(
            program,
            cycles={**cycles, **({} if bank_conflicts else {"l1_contention": 0})},
            folder=None if folder is None else Path(folder),
            options=RunOptions(dump=dump, profile=profile, window=window),
            progress=progress,
            max_cycles=PROGRAM_CYCLES if max_cycles is None else max_cycles,
        )
    except Faulted as fault:
        raise with_other_first_core(fault, program, cycles["fc_hart"]) from None


def prepared(build: Build, backends: Sequence[str], board: str | None, port: str | None) -> Build:
    """Return a build with the board and serial port that its backends need.

    Errors: E240 a build for another chip; as Runner.connect of the backends: E240 no application,
    E252, E253, E601, E602.
    """
    from myoedge.backends.names import backends as known
    from myoedge.backends.runner import runner_of

    _check_chip_of(build, backends)
    named = [name for name in known() if name in backends]
    devices = {name: runner_of(name).connect(build, board, port) for name in named}
    return replace(build, devices=devices)


def _check_chip_of(build: Build, backends: Sequence[str]) -> None:
    """Raise E240 for a build of a chip that one of the backends does not run."""
    from myoedge.backends.names import backends as known
    from myoedge.backends.runner import check_chip

    for hook in (known()[name] for name in known() if name in backends):
        check_chip(build, hook)
