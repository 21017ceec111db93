# SPDX-License-Identifier: Apache-2.0
"""A build request: chip, operating point, limits, application, frames."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from myoedge.building import budget
from myoedge.building.applications import (
    ApplicationRequest,
    PartRequest,
    find_application,
    requested,
    requested_parts,
)
from myoedge.building.budget import Budget
from myoedge.building.config_tables import FAST, Config, StreamTable
from myoedge.building.optional_levels import enable_levels, readers_of_no_level
from myoedge.building.options import BuildOptions
from myoedge.building.plan_within import StoredOverParts
from myoedge.building.plugins import Plugin, described_board, load_plugins
from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.codegen.made_with import DEFAULT_OPTIONS, SourceOptions
from myoedge.codegen.names import check_prefix
from myoedge.errors import MyoedgeError
from myoedge.numerics.element_type import INT8
from myoedge.operators.engine_choice import CORES, FASTEST
from myoedge.targets import DEFAULT, Chip, find_chip, first_chip
from myoedge.targets.board_memories import on_board, with_sizes
from myoedge.targets.boards import Board
from myoedge.targets.chip import AUTO_POINT, WITHOUT_POINT

DEFAULT_ENGINE = FASTEST.name
CODE_MARGIN_BYTES = 4096  # allowance for longer code of the next plan
LINKED_MARGIN_BYTES = 256
# Memories of which a plan can leave more -> their names in Chip
PLANNED = {"L1": "l1", "L2": "l2", "RAM": "l2"}
LEAST_BITS = 2  # minimum bits of a weight
LIMITED = (*budget.MEMORIES, budget.FLASH)  # memories that a size limits
MEMORIES_OF = {budget.FLASH: "flash that it reads weights and code from"}  # others: upper case


@dataclass(frozen=True)
class BuildRequest:
    """Arguments of a build, combined with myoedge.toml.

    chip          chip with the operating point selected
    limits        limits of the build
    point         operating point, "auto", or None
    app           name of the application, or None
    of_app        settings of the application
    frames        [stream]; None for a network on whole samples
    plugins       plug-ins that myoedge.toml names
    weight_bits   minimum bits of a weight
    parts         settings of parts of the firmware beside the network
    of_sources    options of the generated C
    other_levels  optional memory levels that the program could read and that are not used
    """

    chip: Chip
    limits: Budget
    point: str | None = None
    app: str | None = None
    of_app: ApplicationRequest | None = None
    frames: StreamTable | None = None
    plugins: tuple[Plugin, ...] = ()
    weight_bits: int = INT8.bits
    parts: tuple[PartRequest, ...] = ()
    of_sources: SourceOptions = DEFAULT_OPTIONS
    other_levels: tuple[str, ...] = ()

    @property
    def chip_at_point(self) -> Chip:
        """Chip at the requested operating point. Errors: E204 no such point."""
        return self.chip if self.point in (None, AUTO_POINT) else self.chip.at(str(self.point))

    @property
    def chip_in_limits(self) -> Chip:
        """Chip at the requested operating point, with its memories reduced to the limits.

        Errors: E204 no such point.
        """
        return budget.within(self.chip_at_point, self.limits)

    @property
    def with_other_levels(self) -> BuildRequest:
        """Return the request with all optional memory levels that the program can read."""
        chip = self.chip.with_optional(*self.other_levels)
        return replace(self, chip=chip, other_levels=())

    @property
    def of_integers(self) -> BuildRequest:
        """Return the request without latency limit and options of the C, on which the integers
        do not depend."""
        limits = replace(self.limits, latency_s=None)
        return replace(self, limits=limits, of_sources=DEFAULT_OPTIONS)

    def with_linked(self, code_bytes: int) -> BuildRequest:
        """Return the request with the size of the linked code reserved in L2, plus a margin, as
        other plans have other code; or of the variables, which are the same."""
        margin = 0 if self.chip.flash_bytes else LINKED_MARGIN_BYTES
        limits = replace(self.limits, l2_code_bytes=code_bytes + margin)
        return replace(self, limits=limits)

    def with_boot_code(self, code_bytes: int) -> BuildRequest:
        """Return the request with a boot image of at least these bytes besides weights, if that is
        more than before."""
        most = max(code_bytes, self.limits.boot_code_bytes)
        return replace(self, limits=replace(self.limits, boot_code_bytes=most))

    @property
    def estimates_code(self) -> bool:
        """Whether the L2 limit counts code whose size is estimated."""
        return (
            self.limits.l2_code_bytes is None and budget.code_bytes(self.limits, self.chip, 0) > 0
        )

    @property
    def with_least_code(self) -> BuildRequest:
        """Return the request with as much L2 left for code as the smallest program needs."""
        limits = replace(self.limits, l2_code_bytes=budget.LEAST_CODE_BYTES)
        return replace(self, limits=limits)

    def with_room_for(self, program: ProgramTooLarge | StoredOverParts) -> BuildRequest:
        """Return the request with more memory reserved for the program: the bytes by which it
        exceeded L2 (code) or L1 (runtime and kernel arguments), or those of its boot image. Raises
        the error of a program that exceeds another memory, of which no plan leaves more."""
        if isinstance(program, StoredOverParts):
            return self.with_boot_code(program.code_bytes)
        if program.region not in PLANNED:
            raise program
        name = f"{PLANNED[program.region]}_reserved_bytes"
        margin = CODE_MARGIN_BYTES if program.region == "L2" else 0
        reserved = getattr(self.chip, name) + program.over_bytes + program.free_bytes + margin
        return replace(self, chip=replace(self.chip, **{name: reserved}))


def _default_point(options: BuildOptions, parts: Mapping[str, PartRequest]) -> str | None:
    """Return the operating point of a build for which none is given; None: the chip's first.

    What parts such as [adapt] compute between inferences is not planned: none for them.
    """
    application = find_application(options.app)
    waits = application is not None and application.waits
    return AUTO_POINT if waits and not parts else None


def build_request(options: BuildOptions, settings: Config) -> BuildRequest:
    """Combine options and myoedge.toml.

    Errors, before anything takes time: E201 target, E204 operating point, application, engine,
    prefix or board of another chip, E232, E234, E302 limits, E252, E253 board, E258, E264 tables of
    applications, E256, E257 plug-ins.
    """
    chip = find_chip(options.target or settings.target.chip or DEFAULT.name)
    _check_parts(chip, options, settings)
    engines = {options.engine, *settings.engine.values()}
    chip = _enable_engines(chip, options.engine, is_used=engines != {CORES})
    parts, plugins = requested_parts(options, settings), load_plugins(settings.plugins)
    board = _board(options, settings, chip)
    chip = on_board(chip, board)
    cannot = readers_of_no_level(options, parts)
    chip, unused = enable_levels(chip, options, cannot)
    sizes = {name: getattr(options, name) for name in budget.MEMORIES}
    typed = [f"--{name}" for name, size in sizes.items() if size is not None]
    given = possible(with_sizes(chip, board), budget.given(settings.budget, **sizes), typed, board)
    limits = replace(budget.for_app(options.app, chip, given), board=board)
    frames = settings.stream if options.stream else None
    # The options of the generated C
    prefix = options.prefix or settings.model.prefix
    if prefix is not None:
        check_prefix(prefix)
    request = BuildRequest(
        chip,
        limits,
        options.operating_point or _default_point(options, parts),
        options.app,
        requested(options, settings),
        frames,
        plugins,
        _minimum_weight_bits(options, settings),
        tuple(parts.values()),
        SourceOptions(prefix, options.checks, options.weights_blob, options.traced),
        unused,
    )
    budget.within(_check_waiting(request), limits)
    return request


def _check_parts(chip: Chip, options: BuildOptions, settings: Config) -> None:
    """Raise E204 for an option of a memory or an accelerator that the chip does not have."""
    _check_memories(chip, options, "--{}")
    if chip.program is not None:  # on a host, tables of other targets have no effect
        _check_memories(chip, settings.budget, "[budget] {}")
    weights = {"--weights": options.weights, "[calib] weights": settings.calib.weights}
    for name in (x for x, given in weights.items() if given == FAST and not chip.accelerators):
        raise _of_no_use(name, chip, "accelerator")


def _check_memories(chip: Chip, given: object, form: str) -> None:
    """Raise E204 for a size of a memory that the chip does not have.

    given   has a size, or None, for some memories
    form    text of an option or key, with the memory's name in it
    """
    sizes = {x: getattr(chip, f"{x}_bytes") for x in LIMITED if hasattr(given, x)}
    has = ", ".join(form.format(name) for name, size in sizes.items() if size)
    for name, size in sizes.items():
        if not size and getattr(given, name) is not None:
            raise _of_no_use(form.format(name), chip, MEMORIES_OF.get(name, name.upper()), has)


def _of_no_use(name: str, chip: Chip, part: str, has: str = "") -> MyoedgeError:
    """Return the error of an option or key for a part that the chip lacks; `has`: those like it
    for parts that it has."""
    title = f"{name} is of no use: {chip.name} has no {part}"
    return MyoedgeError("E204", title, {"has": has} if has else {}, [f"without {name}"])


def _check_waiting(request: BuildRequest) -> Chip:
    """Return the chip at the requested point. Errors: E204 a clock for waiting without an
    application that waits, the cheapest point of a chip whose energy is not known."""
    if request.point == AUTO_POINT and request.chip.energy is None:
        title = f"no operating point of {request.chip.name} is known to be the cheapest"
        raise MyoedgeError("E204", title, tries=[WITHOUT_POINT])
    chip, application = request.chip_at_point, find_application(request.app)
    waits = application is not None and application.waits
    return chip if waits else chip.without_waiting()


def _board(options: BuildOptions, settings: Config, chip: Chip) -> Board | None:
    """Return the board that the program is for; None if none is named, and for a host. Errors: E204
    a board with another chip, E252, E253, E256, E257."""
    is_host = chip.program is None  # tables of other targets have no effect
    name = options.board or (None if is_host else settings.target.board)
    if name is None:
        return None
    board = board_with(chip.name, name, [f"--target {described_board(name).chip}"])
    return None if is_host else board


def board_with(chip: str, name: str, tries: Sequence[str] = ()) -> Board:
    """Return a board by id or file. Errors: E204 a board with another chip, E252, E253, E256,
    E257.

    tries   remedies if the chip differs
    """
    board = described_board(name)
    if board.chip != chip:
        title = f"the board {board.id} has another chip than {chip}"
        raise MyoedgeError("E204", title, {"has": board.chip}, [*tries, "without --board"])
    return board


def _minimum_weight_bits(options: BuildOptions, settings: Config) -> int:
    """Return the minimum bits of a weight; an older build may have low-bit weights."""
    if options.weights or settings.calib.weights or options.reuse is not None:
        return LEAST_BITS
    asked = (row.weights for row in settings.quant.values() if isinstance(row.weights, int))
    return min([INT8.bits, *asked])


def _enable_engines(chip: Chip, engine: str, *, is_used: bool) -> Chip:
    """Return the chip with the engines that layers may use.

    Errors: E204 no such choice.

    is_used   whether layers may run on accelerators
    """
    names = (FASTEST.name, CORES, *chip.accelerators)
    if engine not in names:
        title = f"there is no engine {engine} for {chip.name}"
        near = difflib.get_close_matches(engine.lower(), names, 1, 0.5) or [DEFAULT_ENGINE]
        raise MyoedgeError("E204", title, {"has": ", ".join(names)}, [f"--engine {near[0]}"])
    return chip if is_used else chip.cores_alone()


def check_simulation(chip: Chip, simulate: bool | None, tune: bool) -> None:
    """Raise E204 if the options need a simulator and the chip has none, or if tiles are tuned
    without simulation."""
    if tune and simulate is False:
        tries = ["--tune without --no-simulate"]
        raise MyoedgeError("E204", "tiles are tuned by simulating them", tries=tries)
    if (tune or simulate) and not chip.platforms:
        simulated = first_chip(lambda x: x.platforms)
        tries = [f"--target {simulated}", "without --tune and --simulate"]
        raise MyoedgeError("E204", f"target {chip.name} is not simulated", tries=tries)


def possible(
    chip: Chip, limits: Budget, typed: Collection[str] = (), board: Board | None = None
) -> Budget:
    """Check that the limits are not larger than the memories, and return them. Errors: E232.

    typed   those of the limits that are options, as "--l2"; others are keys of [budget]
    board   the board whose memories the chip has; None: any
    """
    for name in LIMITED:
        limit, most = (getattr(x, f"{name}_bytes") for x in (limits, chip))
        if limit is not None and 0 < most < limit:
            owner = chip.name if board is None else f"the board {board.id}"
            title = f"{name}: {limit:,} B are more than {owner} has"
            facts = {"has": f"{most:,} B of {name.upper()}"}
            enough, is_typed = f"{most // budget.KIB}KiB", f"--{name}" in typed
            key = f"--{name}" if is_typed else f"[budget] {name}"
            limited = f"{key} {enough}" if is_typed else f'{key} = "{enough}"'
            raise MyoedgeError("E232", title, facts, [limited, f"without {key}"])
    return limits
