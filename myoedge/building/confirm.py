# SPDX-License-Identifier: Apache-2.0
"""End of a build: one simulated inference, and the next candidate plan if an estimate was wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from myoedge.backends.build import MOST_CYCLES
from myoedge.backends.equivalence import cases, chip_inputs, same_outputs
from myoedge.backends.measurement import FirmwareFiles
from myoedge.backends.runner import Case
from myoedge.backends.simulator import run_firmware
from myoedge.building.broken_budgets import check
from myoedge.building.budget import LEAST_CODE_BYTES, CodeOverBudget, check_linked
from myoedge.building.build_files import (
    BuildArtifacts,
    estimated_report,
    make_contents,
    with_run,
)
from myoedge.building.finishing import BuildInputs, CycleProgress, Finished
from myoedge.building.flash_limits import check_flash, check_in_place
from myoedge.building.operating_points import sooner
from myoedge.building.plan_within import StoredOverParts, check_parts
from myoedge.building.plans import (
    BuildPlan,
    Planned,
    memory_costs,
    planned,
    plans_without_transfers,
    small_plans,
)
from myoedge.building.quantized import Quantized
from myoedge.building.remedies import KeepsLimit, advised, slow_for_l2
from myoedge.building.request import BuildRequest
from myoedge.building.stages import key, reused
from myoedge.building.stream_rate import TOO_LARGE, keeps_up
from myoedge.building.tune import tuned_plan
from myoedge.catalogue import warning
from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.errors import DoesNotFit, MyoedgeError, Notice, raised
from myoedge.operators.interpreter import one_blas_thread
from myoedge.plan.cost.network import modelled_cycles
from myoedge.plan.engine_rules import check_forced
from myoedge.reports.budget import broken_limits, goals, over_budget
from myoedge.reports.energy import with_energy
from myoedge.reports.memory import with_firmware
from myoedge.reports.period import mean_mw
from myoedge.simulator.binding import core
from myoedge.streaming.stream import first_frames, ready_specs
from myoedge.targets.chip import AUTO_POINT

if TYPE_CHECKING:
    from myoedge.backends.measurement import Measurement
    from myoedge.plan.plan import Plan

LONGEST_CYCLES = 600_000_000  # estimated cycles up to which a build is simulated without --simulate
MOST_CANDIDATES = 6
MOST_PLANS = 6  # plans: the code of each may be larger than that of the one before
TRIALS = "plan: other limits are tried"
NO_COMPILER = (5, 70)  # exit codes: no compiler; it rejects the simulator's C

Candidate = TypeVar("Candidate")
Result = TypeVar("Result")


def first_accepted(
    candidates: Iterable[Candidate],
    evaluate: Callable[[Candidate], Result],
    holds: Callable[[Result], bool],
) -> Result:
    """Evaluate candidates in order until a result is accepted; return it, or the last result if
    none is.

    candidates   at least one, best estimate first
    evaluate     candidate -> result
    holds        result -> whether it is accepted
    """
    for candidate in islice(candidates, MOST_CANDIDATES):
        result = evaluate(candidate)
        if holds(result):
            break
    return result


def finish(inputs: BuildInputs) -> Finished:
    """Plan a build within its limits, generate C and report, and simulate it.

    If a memory cannot hold the program together with the plan's data, the network is planned again
    with less of that memory. Errors: as planned; E302 all limits that are exceeded; E303 the code
    does not fit; E401 the simulated outputs differ from the reference; E701 .. E711 the firmware
    fails.
    """
    try:
        try:
            return _plan_again(inputs)
        except DoesNotFit as refused:
            if not inputs.advises:
                raise
            with inputs.stage(TRIALS):
                raise raised(over_budget([advised(refused, inputs, finish)])) from None
    except KeepsLimit as kept:  # found while a remedy was searched
        return _finish_first_accepted(inputs, kept.build_plan)


def _plan_again(inputs: BuildInputs) -> Finished:
    """Finish a build with less room for data if its code is larger than estimated, at last with
    `small_plans`."""
    over: CodeOverBudget | None = None
    too_large: DoesNotFit
    for _ in range(MOST_PLANS):
        request = inputs.request
        try:
            return _finish_with_least_transfers(inputs)
        except CodeOverBudget as error:
            over = min(over or error, error, key=attrgetter("total_bytes"))
            inputs = replace(inputs, request=request.with_linked(error.linked_bytes))
        except (ProgramTooLarge, StoredOverParts) as error:
            too_large = error
            inputs = replace(inputs, request=request.with_room_for(error))
        except MyoedgeError as error:
            if over is None or error.exit_code != TOO_LARGE or error.code == over.code:
                raise
            break  # there is no plan that leaves this room for code
    return _finish_least(inputs, over or too_large)


def _finish_with_least_transfers(inputs: BuildInputs) -> Finished:
    """Finish a build within a limit of L2 without transfers from memories behind it, if that takes
    no more cycles and data and code fit."""
    request = inputs.request
    is_limited = request.limits.l2_bytes is not None
    for plan in plans_without_transfers(inputs.quantized.network, request) if is_limited else ():
        with suppress(DoesNotFit):
            return _finish_first_accepted(inputs, plan)
    return _finish_first_accepted(inputs)


def _finish_least(inputs: BuildInputs, refused: DoesNotFit) -> Finished:
    """Finish a build with the first of `small_plans` that fits beside its code. Errors: `refused`
    if it is not L2 that is too small; E302 of the plan that needs the least L2 with its code."""
    if not isinstance(refused, CodeOverBudget):
        raise refused
    room, least = (inputs.request.limits.l2_bytes or 0) - LEAST_CODE_BYTES, None
    network, request = inputs.quantized.network, inputs.request
    with suppress(DoesNotFit):  # as if the program were the smallest
        return _finish_first_accepted(replace(inputs, request=request.with_least_code))
    plans = small_plans(network, request)
    sized = [(build_plan.plan.l2_bytes, build_plan) for build_plan in plans]
    # Those that leave room for code, from the one with the most data; then the least that do not.
    for size_bytes, build_plan in sorted(sized, key=lambda x: (max(x[0] - room, 0), -x[0])):
        if least is None or size_bytes + LEAST_CODE_BYTES < least.total_bytes:
            try:
                return _finish_first_accepted(inputs, build_plan)
            except CodeOverBudget as error:
                least = min(least or error, error, key=attrgetter("total_bytes"))
    raise least or refused


def _finish_first_accepted(inputs: BuildInputs, build_plan: BuildPlan | None = None) -> Finished:
    """Finish a build with this plan, or with the first of its candidates that is accepted."""
    quantized, request = inputs.quantized, inputs.request
    with inputs.stage("plan"):
        advises = inputs.advises and request.limits.l2_code_bytes is None
        known = None if build_plan is None else Planned(iter([build_plan]))
        plans = known or planned(quantized.network, request, advises=advises)
    kept = quantized.older is not None
    judge = partial(
        check,
        request.limits,
        network=quantized.network,
        fidelity=quantized.fidelity,
        sooner=partial(sooner, chip=request.chip, by=inputs.energy),
        reused=kept,
    )
    if plans.short is not None:
        free = next(plans.candidates)
        report = estimated_report(free, quantized, request, inputs.energy)
        with inputs.stage(TRIALS):
            short = advised(plans.short, inputs, finish, free.plan)
        judge(report, short=short)
    evaluate = partial(_finish_candidate, inputs)
    finished = first_accepted(plans.candidates, evaluate, lambda result: keeps_up(result.report))
    if inputs.confirmation.tune and finished.contents.firmware is not None:
        finished = _choose_simulated_tiles(finished, request, evaluate)
    judge(finished.report)
    if finished.build_plan.plan.is_tight:
        with inputs.stage(TRIALS):
            finished = replace(finished, of_limits=slow_for_l2(finished, inputs, finish))
    return _add_limit_costs(finished, inputs)


def _generate_contents(
    build_plan: BuildPlan, quantized: Quantized, request: BuildRequest
) -> BuildArtifacts:
    """Generate the files of a build. Errors: ProgramTooLarge, with the free bytes of the chip,
    regardless of [budget]."""
    plan = build_plan.plan
    try:
        return make_contents(build_plan, quantized, request)
    except ProgramTooLarge as error:
        l2 = request.chip.l2_room_beside_code(len(plan.steps)) - plan.l2_bytes
        l1 = plan.l1_room_bytes - plan.l1_bytes
        free_bytes = max(l1 if error.region == "L1" else l2, 0)
        raise ProgramTooLarge(error.region, error.over_bytes, free_bytes, error.target) from error


def _add_limit_costs(finished: Finished, inputs: BuildInputs) -> Finished:
    """Add to the report the cycles that each memory limit costs, if [budget] has several goals."""
    limits, plan = finished.report["budget"], finished.build_plan.plan
    if len(goals(limits)) < 2 or not plan.chip.point.clock_hz:
        return finished
    shares = memory_costs(inputs.on_engines, inputs.quantized.network, inputs.request, plan)
    rounded = {name: round(share, 6) for name, share in shares.items()}
    report = {**finished.report, "budget": {**limits, "more_cycles": rounded}}
    return replace(finished, report=report)


def _choose_simulated_tiles(
    finished: Finished, request: BuildRequest, evaluate: Callable[[BuildPlan], Finished]
) -> Finished:
    """Return the build with the tiles fastest in simulation; the same build if it costs no more."""
    plan = tuned_plan(
        finished.build_plan,
        finished.cycles,
        request.chip_at_point,
        request.limits,
        lambda plan: evaluate(plan).cycles,
    )
    if plan is finished.build_plan:
        return finished
    tuned = evaluate(plan)
    return min(finished, tuned, key=partial(_cost, request))


def _cost(request: BuildRequest, finished: Finished) -> tuple[int, float]:
    """Return what tiles are to have less of: exceeded limits of [budget], and then seconds, or
    where these do not choose the operating point, power or energy."""
    report = finished.report
    if request.point == AUTO_POINT:
        asked = mean_mw(report) or report["energy_uj"]["value"]
    else:
        asked = report["latency_s"]
    return len(broken_limits(report)), asked


def _finish_candidate(inputs: BuildInputs, build_plan: BuildPlan) -> Finished:
    """Finish a candidate plan, with simulated cycles, otherwise with estimated cycles and a notice.
    Errors: E308."""
    plan, confirmation = build_plan.plan, inputs.confirmation
    check_forced(plan)
    quantized, request = inputs.quantized, inputs.request
    report = estimated_report(build_plan, quantized, request, inputs.energy)
    check_flash(request.limits, request.chip, plan.weight_bytes)
    with inputs.stage("emit"):
        contents = _generate_contents(
            build_plan.at(report["target"]["operating_point"]), quantized, request
        )
    if contents.of_parts:  # among them the period, on which the average power depends
        report = with_energy({**report, **contents.of_parts}, inputs.energy)
    if contents.firmware is not None:
        report = with_firmware(report, plan, contents.firmware.program)
        check_linked(request.limits, plan, report)
        check_in_place(request.limits, request.chip, plan, report)
        check_parts(request.limits, plan, contents.firmware.program.loaded_bytes)
    estimated = Finished(build_plan, contents, report)
    if contents.firmware is None or not (confirmation.is_wanted and plan.chip.platforms):
        return estimated
    if reason := _explain_no_simulation(plan, bool(confirmation.tune or confirmation.simulate)):
        return replace(estimated, notices=(reason,))
    with inputs.stage("simulate"), one_blas_thread():
        measured = _simulate_inference(build_plan, contents, confirmation.progress)
    is_free, counted_hz = request.point == AUTO_POINT, report["target"]["clock_hz"]
    found = with_run(report, measured, plan.chip, is_free, inputs.energy, counted_hz)
    if found["target"]["operating_point"] != report["target"]["operating_point"]:
        contents = _generate_contents(
            build_plan.at(found["target"]["operating_point"]), quantized, request
        )
    return replace(estimated, contents=contents, report=found)


def _explain_no_simulation(plan: Plan, is_forced: bool) -> Notice | None:
    """Return W303 if an inference would take too long to simulate, W304 if the simulator does not
    compile; None to simulate.

    is_forced   whether the user requested the simulation

    Errors: the reason why the simulator does not compile, if the simulation is forced.
    """
    cycles = modelled_cycles(plan)
    if not is_forced and cycles > LONGEST_CYCLES:
        return warning("W303", {"estimated": cycles / 1e6, "most": LONGEST_CYCLES / 1e6})
    try:
        core("zig", ())
    except MyoedgeError as error:
        if is_forced or error.exit_code not in NO_COMPILER:
            raise
        return warning("W304", {"cause": error.notice.title}, tries=error.notice.tries)
    return None


def _simulate_inference(
    build_plan: BuildPlan, contents: BuildArtifacts, progress: CycleProgress | None
) -> Measurement:
    """Simulate the golden sample, or a stream's first pass. Errors: E401, E701 .. E711."""
    plan, stream, firmware = build_plan.plan, build_plan.stream, contents.firmware
    assert firmware is not None
    q, estimated = plan.quant, modelled_cycles(plan)
    if stream is not None:
        frames = first_frames(stream, 1, contents.golden)
        run = next(cases(stream.network, stream, [frames]))
    else:
        inputs = [contents.golden[name] for name in q.graph.inputs]
        run = Case(inputs, contents.values, [contents.values[name] for name in q.graph.outputs])
    specs = [(q.graph.shape(name), q.dtype(name)) for name in q.graph.outputs]
    specs, images = specs if stream is None else ready_specs(stream), plan.image_files
    files = FirmwareFiles(chip_inputs(stream, [run]), specs, len(plan.steps), images)
    say = None if progress is None else lambda cycle, _: progress(cycle, estimated)
    costs = plan.chip.simulator_cycles
    simulate = partial(run_firmware, firmware.program, files, cycles=costs, progress=say)
    inputs_key = key("simulate", firmware.elf, files, dict(costs))
    measured = reused("simulate", inputs_key, lambda: simulate(max_cycles=MOST_CYCLES)[0])
    if not same_outputs([run], measured):
        raise MyoedgeError(
            "E401",
            "the simulated outputs are not the reference's",
            {"compared": "the golden sample" if stream is None else "the first pass"},
            ["build --no-simulate, then myoedge validate --on simulator: the first layer"],
        )
    return measured
