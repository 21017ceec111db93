# SPDX-License-Identifier: Apache-2.0
"""Trials of changes that let a network fit: a change is a remedy only if a build with it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import reduce

from myoedge.building import budget
from myoedge.building.fewer_bits import most_bits
from myoedge.building.finishing import BuildInputs, Finished
from myoedge.building.memory_changes import (
    BitsOfWeights,
    Fit,
    LargerTable,
    MemoryChange,
    MoreParts,
    OtherLevels,
    lossless_changes,
)
from myoedge.building.plan_within import check_parts
from myoedge.building.plans import estimated, planned
from myoedge.building.request import BuildRequest
from myoedge.errors import DoesNotFit, MyoedgeError
from myoedge.numerics.element_type import INT8
from myoedge.plan.plan import Plan
from myoedge.targets.boards import FILLS

TOGETHER = (LargerTable("ram"), LargerTable(FILLS))  # RAM is filled from this flash
SHARES = (1.0, 1.25, 2.0)  # of the bytes that a build with as much as a chip can have needs

Finish = Callable[[BuildInputs], Finished]


@dataclass(frozen=True)
class Remedy:
    """Changes that together let a network fit, and what they cost.

    changes   with their sizes
    text      as an error names them
    """

    changes: tuple[MemoryChange, ...]
    text: str


def trial_inputs(inputs: BuildInputs) -> BuildInputs:
    """Return the inputs of a build without simulation, and without limits that other remedies are
    for."""
    limits = replace(
        inputs.request.limits,
        l2_code_bytes=None,
        latency_s=None,
        energy_j=None,
        sqnr_db=None,
        outputs_sqnr_db=None,
    )
    return replace(
        inputs,
        request=replace(inputs.request, limits=limits),
        confirmation=replace(inputs.confirmation, simulate=False, tune=False),
        stage=lambda name: nullcontext(),
        advises=False,
    )


@dataclass
class Trials:
    """Trials of changes of a build that does not fit.

    inputs   of `trial_inputs`
    finish   the rest of a build
    known    changes -> what fits with them; None: nothing does
    """

    inputs: BuildInputs
    finish: Finish
    known: dict[tuple[MemoryChange, ...], Fit | None] = field(default_factory=dict)

    def fit(self, changes: Sequence[MemoryChange]) -> Fit | None:
        """Return what fits with these changes; None if nothing does."""
        key = tuple(changes)
        if key not in self.known:
            try:
                changed = reduce(lambda inputs, change: change.applied(inputs), key, self.inputs)
                is_exact = any(x.limit == "l2" for x in key)
                self.known[key] = _fit_of(changed, self.finish, is_exact=is_exact)
            except MyoedgeError:  # such as integers without a kernel
                self.known[key] = None
        return self.known[key]

    def remedy(self, changes: Sequence[MemoryChange]) -> Remedy | None:
        """Return the remedy of these changes with sizes that suffice; None if they do not help."""
        request, fit = self.inputs.request, self.fit(changes)
        if fit is None:
            return None
        for share in SHARES:
            sized = tuple(change.sized(request, fit, share) for change in changes)
            if (made := self.fit(sized)) is not None:
                return Remedy(sized, self._text(sized, made.plan))
        return None

    def _text(self, changes: Sequence[MemoryChange], plan: Plan) -> str:
        request = self.inputs.request
        conditions = dict.fromkeys(filter(None, (x.condition(request) for x in changes)))
        ordered = sorted(changes, key=lambda x: bool(x.condition(request)))
        text = ", and ".join(change.text(request) for change in ordered)
        text = "  # ".join([text, *conditions])
        priced = any(x.limit in ("l1", "l2") for x in changes)
        return f"{text}  ({estimated(plan)})" if priced else text

    def lossless(self) -> list[Remedy]:
        """Return remedies that keep all bits of the weights: each change that suffices alone,
        otherwise a combination of which none can be left out."""
        changes = [*lossless_changes(self.inputs.request)]
        tables = [x for x in changes if x in TOGETHER]
        alone = self._single(changes)
        if not any(isinstance(one.changes[0], LargerTable) for one in alone):
            alone += self._remedies([tables] * bool(tables))
        return alone or self._remedies([self._least(changes)])

    def _single(self, changes: Sequence[MemoryChange]) -> list[Remedy]:
        """Return remedies of one change each; of those that allow more parts, the fewest."""
        more = [x for x in changes if isinstance(x, MoreParts)]
        fewest = next((x for x in more if self.fit([x])), None)
        return self._remedies([x] for x in changes if x not in more or x == fewest)

    def _remedies(self, sets: Iterable[Sequence[MemoryChange]]) -> list[Remedy]:
        return [*filter(None, map(self.remedy, sets))]

    def _least(self, changes: Sequence[MemoryChange]) -> Sequence[MemoryChange]:
        """Return those of these changes of which none can be left out; all if they do not
        suffice."""
        kept = changes
        for change in reversed(changes if self.fit(changes) else ()):
            fewer = [x for x in kept if x != change]
            kept = fewer if self.fit(fewer) else kept
        return kept

    def fewer_bits(self, known: Sequence[Remedy]) -> Iterator[Remedy]:
        """Yield remedies of fewer bits for all weights: of the most bits first, which may need
        further memories of the chip.

        known   those that keep all bits
        """
        bits, further = self._most_bits([], 0), OtherLevels()
        if self.inputs.request.other_levels and not any(x.changes == (further,) for x in known):
            more = self._most_bits([further], bits or 0)
            if more is not None:
                yield from filter(None, [self.remedy([further, BitsOfWeights(more)])])
        if bits is not None:
            yield from filter(None, [self.remedy([BitsOfWeights(bits)])])

    def texts_of_few_bits(self, known: Sequence[Remedy]) -> list[str]:
        """Return the remedies of fewer bits if weights may have fewer than 8: on the cores, 5 to 7
        take as much as 8.

        known   remedies that keep all bits
        """
        if self.inputs.request.weight_bits == INT8.bits:
            return []
        return [x.text for x in self.fewer_bits(known)]

    def _most_bits(self, changes: Sequence[MemoryChange], above: int) -> int | None:
        """Return the most bits with which a build with these changes fits, more than `above`; None
        without any."""
        changed = reduce(lambda inputs, change: change.applied(inputs), changes, self.inputs)
        network, request = changed.quantized.network, changed.request
        return most_bits(
            network, request, lambda n: self.fit([*changes, BitsOfWeights(n)]) is not None, above
        )


def _fit_of(inputs: BuildInputs, finish: Finish, *, is_exact: bool) -> Fit:
    """Return a plan that fits beside its program; programs are linked where the plan leaves less
    than a chip reserves for them, or if that is asked for. Errors: of a build that does not fit.

    is_exact   whether programs are always linked
    """
    request = inputs.request
    first = next(planned(inputs.quantized.network, request, advises=False).candidates)
    plan = first.plan
    reserved = request.chip.l2_bytes - request.chip.l2_room_beside_code(len(plan.steps))
    if not is_exact and _is_sure(request, plan, reserved):
        return Fit(first, reserved, plan.weight_bytes + reserved)
    built = finish(inputs)
    firmware = built.contents.firmware
    boot_bytes = 0 if firmware is None else firmware.program.loaded_bytes
    return Fit(built.build_plan, budget.linked_bytes(built.report), boot_bytes)


def _is_sure(request: BuildRequest, plan: Plan, code_bytes: int) -> bool:
    """Return whether a plan leaves as much as a chip reserves for code, in L2 and in flashes."""
    chip = request.chip
    if request.parts or request.of_app or chip.program is None or chip.flash_bytes:
        return False
    try:
        check_parts(request.limits, plan, plan.weight_bytes + code_bytes)
    except DoesNotFit:
        return False
    return plan.l2_bytes + code_bytes <= (request.limits.l2_bytes or chip.l2_bytes)
