# SPDX-License-Identifier: Apache-2.0
"""Explanations why a layer runs on the cores or on the accelerator, and not on the other engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from myoedge.errors import MyoedgeError
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.engine_choice import AUTO, CORES, ConstraintViolation, EngineChoice
from myoedge.operators.kernel import Kernel, TiledKernel
from myoedge.operators.kernel_formats import weight_bits
from myoedge.plan.fused_layers import unfused_cycles
from myoedge.plan.l1.layer_kernels import cycles_with_code, fewest_cycles, least_bytes
from myoedge.plan.plan import Plan
from myoedge.quantization.engines import more_cycles
from myoedge.targets import find_chip, first_chip
from myoedge.targets.chip import Chip

ROOM = "room in L2 for its tiles"


def other_engine(plan: Plan, index: int) -> str | None:
    """Return, for messages, why a layer does not run on the other engine (the cores or the
    accelerator); None on chips without an accelerator, "" if both take as many cycles."""
    engine = next(iter(plan.chip.accelerators), None)
    choice, kernel = plan.steps[index].engine, plan.tilings[index].kernel
    if engine is None:
        return None
    if choice.name == CORES:
        return choice.source
    is_accelerated = kernel.engine == engine
    if not _kernels_on_engine(plan.steps[index], engine):
        return f"{engine} has no kernel for {plan.steps[index].node.op}"
    rule = None if is_accelerated else broken_rule(plan, index, engine)
    if rule is not None:
        return f"{engine} needs {rule.needs}, not {rule.has}"
    cycles = _cycles_by_engine(plan, index)
    on_engine, on_cores = cycles.pop(engine), min(cycles.values(), default=math.inf)
    if math.isinf(on_cores - on_engine):
        least = _least_tile_bytes(plan, index, plan.chip.engines[0].name)
        return f"{CORES}: no {'tile in L1' if least > plan.l1_room_bytes else ROOM}"
    name, more = (CORES, on_cores - on_engine) if is_accelerated else (engine, on_engine - on_cores)
    if round(more) < 0:
        return f"{name}: {-more:,.0f} estimated cycles fewer, but {_explain_more(choice, kernel)}"
    return more_cycles(name, more)


def _explain_more(choice: EngineChoice, kernel: TiledKernel) -> str:
    """Return why a layer does not run on the engine with the fewest cycles."""
    if choice.name != AUTO:
        return choice.source
    if len(kernel.estimates) < 2:  # a fused pair
        return "with a result between two layers"
    other = min(kernel.estimates.values())
    more = other.constant_bytes - kernel.estimates[kernel.engine].constant_bytes
    return f"{more:,} B more of constants, for which L2 has little room"


def _cycles_by_engine(plan: Plan, index: int) -> dict[str, float]:
    """Return engine -> estimated cycles of a layer; for a fused pair, the cores' cycles are those
    of two separate layers."""
    step, tiling = plan.steps[index], plan.tilings[index]
    if step.behind is None:
        return {name: x.cycles for name, x in tiling.kernel.estimates.items()}
    apart = unfused_cycles(step, fewest_cycles(plan.chip.cores_alone()))
    return {tiling.kernel.engine: cycles_with_code(tiling.kernel, tiling.choice), CORES: apart}


def broken_rule(plan: Plan, index: int, engine: str) -> ConstraintViolation | None:
    """Return the constraint of an accelerator that a layer violates; None if the accelerator can
    run it."""
    step, chip = plan.steps[index], plan.chip
    kernels = _kernels_on_engine(step, engine)
    if engine not in {row.name for row in chip.engines}:
        has = first_chip(lambda other: engine in other.accelerators)
        return ConstraintViolation(f"a target with {engine}", chip.name, f"--target {has}")
    if not kernels:
        change = "linear layers, convolutions, gates and attention run there"
        return ConstraintViolation(f"an operator with a kernel on {engine}", step.node.op, change)
    if not any(kernel.runs(step) for kernel in kernels):
        return step.engine.broken_rule or _violation_of_all(step, kernels, engine)
    estimates = plan.tilings[index].kernel.estimates
    if engine not in estimates:  # with it, no plan fitted: make_plan took one on the cores alone
        needs = "room in L2 for the whole plan with layers there"
        return ConstraintViolation(needs, f"{chip.l2_bytes:,} B", _more_l2(chip))
    if math.isfinite(estimates[engine].cycles):
        return None
    least = _least_tile_bytes(plan, index, engine)
    if least <= plan.l1_room_bytes:
        return ConstraintViolation(ROOM, f"{chip.l2_bytes:,} B", _more_l2(chip))
    needs, has = f"a tile in L1, of {least:,} B at least", f"{plan.l1_room_bytes:,} B"
    return ConstraintViolation(needs, has, "smaller kernels, fewer channels, or a larger --l1")


def _least_tile_bytes(plan: Plan, index: int, engine: str) -> float:
    """Return the bytes of L1 that the smallest tile of a layer takes on an engine; infinity if
    nothing can run the layer there."""
    step, engines = plan.steps[index], {row.name: row for row in plan.chip.engines}
    able = (kernel for kernel in _kernels_on_engine(step, engine) if kernel.runs(step))
    return min((least_bytes(x.tiling(step, engines[engine])) for x in able), default=math.inf)


def _more_l2(chip: Chip) -> str:
    """Return the remedy for layers without room in L2."""
    larger = "a larger --l2, or " * (chip.l2_bytes < find_chip(chip.name).l2_bytes)
    return f"{larger}smaller feature maps"


def _violation_of_all(
    step: QuantizedNode, kernels: Sequence[Kernel], engine: str
) -> ConstraintViolation:
    """Return the constraint because of which none of an engine's kernels runs a layer: of one with
    the layer's element types, otherwise these types."""
    rules = (x.broken_rule(step) for x in sorted(kernels, key=lambda x: not x.takes(step)))
    rule = next((rule for rule in rules if rule is not None), None)
    if rule is not None:
        return rule
    has = f"{', '.join(map(str, step.operand_types))} to {(step.behind or step).element_type}"
    if weight_bits(step.node.op):
        has += f", weights of {step.weight_type}"
    change = '[quant] "*" = { activations = 8 }'
    return ConstraintViolation(f"element types of a kernel on {engine}", has, change)


def check_forced(plan: Plan) -> None:
    """Raise E308 if [engine] forces a layer onto an accelerator that cannot run it."""
    found = [*_unmet_engine_choices(plan)]
    if not found:
        return
    index, *others = found
    step = plan.steps[index]
    engine, name = step.engine.name, plan.names[step.node.name]
    rule = broken_rule(plan, index, engine)
    assert rule is not None, "a layer that its engine can run does not run there"
    names = ", ".join(plan.names[plan.steps[other].node.name] for other in others)
    facts = {
        "asked": step.engine.source,
        "needs": rule.needs,
        "has": rule.has,
        **({"others": names} if others else {}),
    }
    tries = [rule.change, '[engine] with a pattern that leaves the layer out, or = "auto"']
    raise MyoedgeError("E308", f"{name} cannot run on {engine}", facts, tries)


def _unmet_engine_choices(plan: Plan) -> Iterator[int]:
    """Yield layers that a pattern forces onto an accelerator and that run elsewhere, unless another
    layer of the same module path runs there.

    Layers whose operator has no kernel there count only if the pattern matches no other layers.
    """
    forced = {
        i: step.engine
        for i, step in enumerate(plan.steps)
        if _is_forced_on_accelerator(step.engine)
    }
    has_kernel = {
        index: bool(_kernels_on_engine(plan.steps[index], forced[index].name)) for index in forced
    }
    patterns = {forced[index].source for index in forced if has_kernel[index]}
    runs = [i for i, choice in forced.items() if plan.tilings[i].kernel.engine == choice.name]
    there = set[tuple[str, str]]().union(*(_engine_requests(plan.steps[i]) for i in runs))
    for index, choice in forced.items():
        asked = has_kernel[index] or choice.source not in patterns
        if asked and there.isdisjoint(_engine_requests(plan.steps[index])):
            yield index


def _is_forced_on_accelerator(choice: EngineChoice) -> bool:
    """Return whether a pattern forces a layer onto an accelerator."""
    return choice.forced and choice.name not in (AUTO, CORES)


def _kernels_on_engine(step: QuantizedNode, engine: str) -> list[Kernel]:
    """Return the kernels of a layer's operator on an engine; none of a chain, which is generated
    for the cores."""
    if step.members:
        return []
    return [kernel for kernel in OPS[step.node.op].kernels if kernel.engine == engine]


def _engine_requests(step: QuantizedNode) -> set[tuple[str, str]]:
    """Return (requested engine, module path) pairs of a layer, one per module path."""
    return {(step.engine.name, origin.path) for origin in step.node.origin}
