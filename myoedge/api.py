# SPDX-License-Identifier: Apache-2.0
"""One function per verb of the command line, with the same arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import myoedge.ops  # noqa: F401  (fills the table of operators)
from myoedge.built import Build, load_build
from myoedge.errors import MyoedgeError, raised
from myoedge.pipeline import Model, Options, Quantized, Say, StrPath, load_model
from myoedge.samples import Given

if TYPE_CHECKING:
    from myoedge.board import Board
    from myoedge.consumption import Calibration
    from myoedge.flashing import Flashed
    from myoedge.ladder import Difference
    from myoedge.onchip import Simulated
    from myoedge.quant.choose import QuantGraph
    from myoedge.report.peaks import Peak
    from myoedge.run.console import Line
    from myoedge.run.meter import Energy
    from myoedge.simulator import Simulation
    from myoedge.survey import ToolRow
    from myoedge.sweep.whole import Swept

__all__ = [
    "Build",
    "Inspection",
    "Validation",
    "bench",
    "boards",
    "build",
    "calibrate_energy",
    "doctor",
    "energy",
    "explain",
    "flash",
    "init",
    "inspect",
    "load",
    "load_build",
    "ops",
    "peaks",
    "quantize",
    "report",
    "run",
    "simulate",
    "simulate_elf",
    "sweep",
    "validate",
]

RANDOM_CHECKS = 8  # random inputs that validate adds to the golden sample
RANDOM_CHECKS_ON_CHIP = 2  # the same on a simulated chip


def _silent(_: str) -> None:
    """For callers that do not watch the stages go by."""


def load(model: StrPath, *, factory: str | None = None, calib: Given | None = None) -> Model:
    """Loads a torch.export archive, an ONNX model, or a checkpoint through its factory.

    factory  "pkg.mod:make_model"     calib  gives a checkpoint's network its input shapes
    Errors: E101 .. E121 (see `explain`).
    """
    return load_model(Path(model), factory, calib)


def quantize(
    model: StrPath | None = None,
    *,
    calib: Given | None = None,
    factory: str | None = None,
    method: str | None = None,
    percentile: float | None = None,
    samples: int | None = None,
    strict: bool = False,
    config: StrPath | None = None,
    ctc: int | None = None,
    reuse: Build | StrPath | None = None,
    say: Say = _silent,
) -> Quantized:
    """Loads, calibrates and quantises, and measures SQNR layer by layer; writes nothing.

    The arguments are those of pipeline.Options; `reuse` is a build or its folder.
    Errors: those of load; E202 .. E219, E222, E230 .. E233.
    """
    from myoedge.pipeline import run_quantize

    chosen = Options(model, calib, factory, method, percentile, samples, strict, config, say=say)
    return run_quantize(replace(chosen, ctc=ctc, reuse=_network_of(reuse)))


def _network_of(build: Build | StrPath | None) -> QuantGraph | None:
    if build is None:
        return None
    return (build if isinstance(build, Build) else load_build(build)).network


def build(
    model: StrPath | None = None,
    *,
    target: str | None = None,
    calib: Given | None = None,
    output: StrPath | None = None,
    factory: str | None = None,
    method: str | None = None,
    percentile: float | None = None,
    samples: int | None = None,
    strict: bool = False,
    config: StrPath | None = None,
    ctc: int | None = None,
    reuse: Build | StrPath | None = None,
    l1: str | int | None = None,
    l2: str | int | None = None,
    l3: str | int | None = None,
    operating_point: str | None = None,
    app: str | None = None,
    stream: bool = False,
    say: Say = _silent,
) -> Build:
    """Everything up to C: quantises as `quantize` does, plans memory, writes the build folder.

    target   chip, "gap9" without it
    ctc      class that is the blank: greedy CTC's symbols take the place of the output
    reuse    an older build, whose ranges and integers the layers with its weights keep
    output   folder, build/<model>-<target> without it; an earlier build there is replaced
    l1 .. l3 "64KiB": no more of these memories than so much; else [budget], else what the chip has
    app      "gap-sdk": with an application of the GAP SDK in gap_sdk/, and L1 left for the SDK
    operating_point   "high", "low", a clock as "300MHz", or "auto": the cheapest that keeps the
                      latency of [budget]
    stream   me_push, for frames as they come: [stream] says how, see docs/streaming.md
    Errors: those of quantize; E131, E235, E236 no stream; E201 target, E204 operating point, E234,
    E301 .. E304, E306 does not fit or over budget; E220, E221, E281 folder.
    """
    from myoedge import budget, pace
    from myoedge import config as configuration
    from myoedge.coefficients import coefficients
    from myoedge.contents import build_files
    from myoedge.folder import check_output, write_folder
    from myoedge.pipeline import run_quantize, timed
    from myoedge.target import chip

    settings, _ = configuration.find(config)
    options = Options(model, calib, factory, method, percentile, samples, strict, config, say=say)
    options = replace(options, ctc=ctc, reuse=_network_of(reuse))
    if stream:
        pace.check_app(app)
        options = replace(options, examine=lambda graph: pace.examine(graph, settings.stream))
    described = chip(target or settings.target.chip or "gap9")
    limits = budget.for_app(app, described, budget.given(settings.budget, l1=l1, l2=l2, l3=l3))
    by = coefficients()
    if operating_point not in (None, budget.AUTO):
        described.at(operating_point)
    budget.within(described, limits)  # what cannot be is told before the long part
    if output:
        check_output(Path(os.path.normpath(output)))
    quantized = run_quantize(options)
    times_s = dict(quantized.times_s)
    with timed("plan", times_s, say):
        paced = None
        if stream:
            named = operating_point not in (None, budget.AUTO)
            at = described.at(str(operating_point)) if named else described
            paced = pace.plan(quantized.network, settings.stream, at, limits)
            plan = budget.at_point(paced.plan, operating_point, limits, by)
            paced = replace(paced, plan=plan)
        else:
            plan = budget.plan_within(quantized.network, described, limits)
            plan = budget.at_point(plan, operating_point, limits, by)
    found = (*plan.warnings, *(paced.warnings if paced else ()))
    warnings = (*quantized.warnings, *found)
    if strict and found:
        raise raised(found[0])
    budget.check(limits, plan, quantized.fidelity, by)
    default = Path("build") / f"{quantized.model.name}-{described.name}"
    folder = Path(os.path.normpath(output)) if output else default
    with timed("emit", times_s, say):
        told = replace(quantized, warnings=warnings)
        write_folder(folder, build_files(plan, told, by, asdict(limits), app, paced))
    return Build(folder, times_s=times_s, warnings=warnings)


@dataclass(frozen=True)
class Validation:
    """What the ladder said.

    exact        by rung: True, False; None where it was not run
    samples      inputs compared on each rung: the golden one, random ones, and those given
    difference   the first place where a rung differs
    onnx_db      SQNR between model.int8.onnx in onnxruntime and the reference, if asked for
    """

    exact: dict[str, bool | None]
    samples: dict[str, int]
    difference: Difference | None
    onnx_db: float | None = None


def validate(
    build: Build | StrPath,
    *,
    on: Sequence[str] = ("host",),
    input: Given | None = None,
    onnx: bool = False,
    cc: str = "zig",
    board: str | None = None,
    port: str | None = None,
    say: Say = _silent,
) -> Validation:
    """Compares the generated C with the NumPy reference, bit for bit, rung by rung.

    on      rungs of the ladder: "host", "simulator" (every layer), "gvsoc", "board" (the outputs)
    input   float samples to compare in addition, as for calibration
    onnx    measures model.int8.onnx in onnxruntime too, over the golden sample and `input`
    cc      "zig", "cc" or a compiler's path
    board   id or board.toml of the board whose console is looked for; port: its serial port
    The reports in the folder are replaced. It stops at the first rung that differs.
    Errors: E204 unknown rung, E222 no build, E240 no firmware, E501 tool, E701 .. E711 firmware.
    """
    from myoedge import ladder
    from myoedge.contents import report_files

    ladder.check_rungs(on)
    chosen = replace(build if isinstance(build, Build) else load_build(build), cc=cc)
    if "board" in on:
        chosen = replace(chosen, line=_line(board, port))
    exact, counts, difference = dict(chosen.report["exact"]), {}, None
    for rung in dict.fromkeys(on):
        say(f"compare with {rung}")
        on_chip = rung != "host"
        random = RANDOM_CHECKS_ON_CHIP if on_chip else RANDOM_CHECKS
        samples = ladder.all_samples(chosen, random, input, short=on_chip)
        counts[rung], difference = ladder.first_difference(chosen, samples, rung)
        exact[rung] = difference is None
        if difference is not None:
            break
    onnx_db = ladder.onnx_agreement_db(chosen, ladder.real_inputs(chosen, input)) if onnx else None
    report = chosen.report  # anew: a simulate may have written there since
    exact = {**report["exact"], **{rung: exact[rung] for rung in counts}}
    chosen.replace(report_files({**report, "exact": exact}))
    return Validation(exact, counts, difference, onnx_db)


def simulate(
    build: Build | StrPath,
    *,
    on: str = "simulator",
    input: Given | None = None,
    operating_point: str | None = None,
    like: str = "silicon",
    trace: bool = False,
    board: str | None = None,
    port: str | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Simulated:
    """Runs the firmware of a build: what it gives, and in how many cycles.

    on                "simulator", "gvsoc" where one is installed, "board" (see `run`)
    input             float samples as for calibration, one inference each; without them the golden
    operating_point   "high" (0.80 V, 370 MHz), "low" (0.65 V, 240 MHz), a clock between them as
                      "300MHz", or "auto": the cheapest within the build's [budget] latency; without
                      it the one that was built for
    like              "silicon", or "public-gvsoc": the costs that platform is documented to have
    trace             also writes trace.json for ui.perfetto.dev
    progress          called now and then with the cycle and what the program has printed since
    The reports in the folder are replaced, except with a `like` of your own.
    Errors: E204, E222, E240, E501, E701 .. E711.
    """
    from myoedge import onchip

    chosen = build if isinstance(build, Build) else load_build(build)
    if on == "board":
        chosen = replace(chosen, line=_line(board, port))
    return onchip.simulate_build(chosen, on, input, operating_point, like, trace, progress)


def run(
    build: Build | StrPath,
    *,
    on: str = "board",
    input: Given | None = None,
    board: str | None = None,
    port: str | None = None,
) -> Simulated:
    """Runs a build's application on a board, over its serial line: outputs, cycles of every layer.

    board   id or board.toml, "gap9_evk" without it; port: its serial port, else looked for by the
            USB ids of the board's probe
    Errors: E240 a build without --app gap-sdk, E252, E253, E601 .. E608; else as simulate.
    """
    return simulate(build, on=on, input=input, board=board, port=port)


def flash(
    build: Build | StrPath,
    *,
    board: str | None = None,
    to: str = "ram",
    elf: StrPath | None = None,
    port: str | None = None,
    console: bool = True,
    say: Say = _silent,
) -> Flashed:
    """Brings a build's application to a board through OpenOCD.

    board     id or board.toml, "gap9_evk" without it
    to        "ram" (and start it there), "mram", "octospi"
    elf       what the SDK compiled, gap_sdk/build/myoedge_app of the build without it
    console   ask the started program which build it is, over `port` or the probe's
    Errors: E204, E240, E252, E253, E501 OpenOCD or its scripts, E601 .. E613.
    """
    from myoedge.board import find_board
    from myoedge.flashing import flash_build

    chosen = build if isinstance(build, Build) else load_build(build)
    line = _line(board, port) if console and to == "ram" else None
    described = find_board(board or "gap9_evk")
    return flash_build(chosen, described, to, None if elf is None else Path(elf), line, say)


def bench(
    build: Build | StrPath,
    *,
    meter: str,
    times: int = 20,
    board: str | None = None,
    port: str | None = None,
) -> Energy:
    """Energy of an inference of the golden sample on a board, by a power meter.

    meter    serial port of a Nordic PPK2 between the supply and the board; D0 is the power pad
    times    inferences
    Errors: as `run`; E602 the board has no power pad, E614 the meter saw something else.
    """
    from myoedge import ladder
    from myoedge.board import find_board
    from myoedge.run.board import measure_on_board
    from myoedge.run.meter import energy_of, open_ppk2

    chosen = build if isinstance(build, Build) else load_build(build)
    described = find_board(board or "gap9_evk")
    if described.power is None:
        raise MyoedgeError("E602", f"nothing is known of a power pad of {described.name}")
    (case,) = ladder.chip_inputs(chosen, [*ladder.cases(chosen, [ladder.golden_sample(chosen)])])
    line, supply_v = _line(board, port), described.power.supply_v
    with open_ppk2(meter, supply_v) as opened:
        recorded = measure_on_board(line, chosen.application, case, times, opened)
    return energy_of(recorded, supply_v, times)


def _line(board: str | None, port: str | None) -> Line:
    from myoedge.board import find_board
    from myoedge.run.board import find_line, plugged_in

    return find_line(find_board(board or "gap9_evk"), port, plugged_in())


def simulate_elf(
    elf: StrPath,
    *,
    folder: StrPath | None = None,
    dump: Sequence[tuple[int, int]] = (),
    max_cycles: int | None = None,
    bank_conflicts: bool = True,
    like: str = "silicon",
    profile: bool = False,
    window: tuple[int, int] | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Simulation:
    """Runs any bare-metal program for GAP9's register map.

    folder           where it may read and write files by plain name; without it nowhere
    dump             (address, size in bytes) of L1 or L2 to keep at the end
    bank_conflicts   False: any number of accesses to a bank of L1 in a cycle
    profile          cycles by address of the instruction
    window           (from, to): every instruction executed between these cycles
    Errors: E241, E242 no program for this chip, E243 dump, E701 .. E709 it faulted or hung.
    """
    from myoedge import onchip

    return onchip.simulate_program(
        Path(elf),
        None if folder is None else Path(folder),
        dump,
        max_cycles,
        bank_conflicts,
        like,
        profile,
        window,
        progress,
    )


def energy(
    build: Build | StrPath,
    *,
    operating_point: str | None = None,
    every: str | None = None,
    battery_mah: float | None = None,
    battery_volts: float = 3.7,
) -> dict[str, Any]:
    """report.json with what an inference costs in joules, by the coefficients of today.

    operating_point   "high", "low", or a clock between them as "300MHz"
    every             "50 ms": a window so often, for duty cycle and average power
    battery_mah       with `every`, or a stream whose rate is known: hours on it, at battery_volts
    The reports in the folder are replaced, and remember `every`.
    Errors: E204, E222, E232 no time or battery, E240 no chip with a clock, E251 coefficients.
    """
    from myoedge.config import positive, seconds
    from myoedge.consumption import consumption

    chosen = build if isinstance(build, Build) else load_build(build)
    given: dict[str, float | None] | None = None
    if every is not None or battery_mah is not None:
        mah = None if battery_mah is None else positive(battery_mah, "--battery")
        volts = positive(battery_volts, "--volts")
        period_s = None if every is None else positive(seconds(every), "--every")
        given = {"period_s": period_s, "battery_mah": mah, "battery_volts": volts}
    return consumption(chosen, operating_point, given)


def calibrate_energy(measurements: StrPath) -> Calibration:
    """Fits the coefficients of energy to measurements of a board, and keeps them.

    measurements   CSV: build (folder, or "idle"), operating_point, energy_uj or power_mw,
                   and sigma_percent where the meter is not good for 2 %
    They hold from now on for every energy, on this computer; MYOEDGE_ENERGY names another file.
    Errors: E204, E220, E222, E250 measurements, E501 without scipy.
    """
    from myoedge.consumption import calibration

    return calibration(Path(measurements))


def sweep(
    file: StrPath,
    *,
    output: StrPath | None = None,
    jobs: int | None = None,
    against: StrPath | None = None,
    scheduler: str | None = None,
    say: Say = _silent,
) -> Swept:
    """Builds and simulates every combination that SWEEP.toml describes (docs/sweep.md).

    output      folder, build/<file>-sweep without it; results that are there are not computed again
    jobs        processes, as many as processors without it
    against     an earlier sweep's folder or sweep.json; what is worse is in the result
    scheduler   "tcp://host:8786": a Dask cluster does the work, not this computer
    A model that is refused or over its budget is a result, not an error. Errors: E220, E260, E261,
    E501, E503, and bugs.
    """
    from myoedge.sweep.whole import sweep as whole

    paths = (None if path is None else Path(path) for path in (output, against))
    folder, old = paths
    return whole(Path(file), folder, jobs, old, scheduler, say)


def check_regressions(found: Swept) -> None:
    """Errors: E305 where something is worse than the bounds allow."""
    from myoedge.sweep.compare import raise_worse

    raise_worse(found.regressions)


@dataclass(frozen=True)
class Inspection:
    """What is in a model file, before anything is decided.

    inputs, outputs   (name, shape)
    operators         how often each occurs after folding and fusing
    layers            (module path, operator, output shape, MACs)
    params, macs      learnt numbers; multiply-accumulates of one run
    notes             what was done to get at the network
    """

    name: str
    digest: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    operators: dict[str, int]
    layers: tuple[tuple[str, str, tuple[int, ...], int], ...]
    params: int
    macs: int
    notes: tuple[str, ...] = ()


def inspect(
    model: StrPath, *, factory: str | None = None, calib: Given | None = None
) -> Inspection:
    """What a model file holds; works without calibration and without a target. Errors: as load.

    For a build folder see `report` and `peaks`.
    """
    from collections import Counter

    from myoedge.op import OPS, macs

    loaded = load(model, factory=factory, calib=calib)
    graph = loaded.graph
    nodes = [node for node in graph.nodes if not OPS[node.op].view]
    work = [macs(n, [graph.shape(x) for x in n.inputs], graph.shape(n.name)) for n in nodes]
    return Inspection(
        loaded.name,
        graph.digest,
        tuple((name, graph.shape(name)) for name in graph.inputs),
        tuple(
            (shown, graph.shape(name))
            for shown, name in zip(graph.output_names, graph.outputs, strict=True)
        ),
        dict(sorted(Counter(node.op for node in nodes).items())),
        tuple((n.label, n.op, graph.shape(n.name), m) for n, m in zip(nodes, work, strict=True)),
        loaded.params,
        sum(work),
        loaded.notes,
    )


def peaks(build: Build | StrPath) -> tuple[Peak, ...]:
    """Who makes the peak of L1, L2 and L3. Errors: E222 no build, or one of an older version."""
    from myoedge.report.peaks import peaks as found

    chosen = build if isinstance(build, Build) else load_build(build)
    return found(chosen.mapped_report)


def report(build: Build | StrPath, *, against: Build | StrPath | None = None) -> Any:
    """report.json of a build; with `against`, the rows of what changed since that build."""
    new = build if isinstance(build, Build) else load_build(build)
    if against is None:
        return new.report
    from myoedge.report.diff import compare

    old = against if isinstance(against, Build) else load_build(against)
    return compare(old.report, new.report)


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of the operator table; `torch` and `onnx` list the calls that become it."""

    name: str
    doc: str
    fuses_activation: bool
    torch: tuple[str, ...]
    onnx: tuple[str, ...]


def ops() -> tuple[Operator, ...]:
    """Every operator that can be built, and the calls of PyTorch and ONNX that lead to it."""
    from myoedge.frontend.table import calls_of, onnx_of
    from myoedge.op import OPS

    return tuple(
        Operator(op.name, op.doc, op.epilogue, calls_of(op.name), onnx_of(op.name))
        for op in OPS.values()
    )


def boards(board: str | None = None) -> tuple[Board, ...]:
    """The boards that come along, or the one of that id or board.toml. Errors: E252, E253."""
    from myoedge.board import find_board, known_boards

    return known_boards() if board is None else (find_board(board),)


def doctor() -> tuple[ToolRow, ...]:
    """Which programs and packages are there, in which version, and how to get what is missing."""
    from myoedge.survey import survey

    return survey()


def explain(code: str) -> str:
    """What an error or warning means and what to do about it. Errors: E208 unknown code."""
    from myoedge.catalogue import explanation

    return explanation(code)


def init(folder: StrPath = ".", *, model: StrPath | None = None) -> tuple[Path, ...]:
    """Writes myoedge.toml and make_calib.py into a folder; never over files that are there.

    model   named in the file, and looked into for the input's shape
    Errors: E223 where a file exists, E220 not writable.
    """
    from myoedge.starter import write_starter

    return write_starter(Path(folder), model)
