# SPDX-License-Identifier: Apache-2.0
"""A build request: chip, operating point, limits, application, frames; checks of its network."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
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
from myoedge.building.config_tables import Config, StreamTable
from myoedge.building.options import BuildOptions
from myoedge.building.plugins import Plugin, load_plugins
from myoedge.building.stream_rate import check_stream
from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.codegen.names import check_prefix
from myoedge.codegen.source_options import DEFAULT_OPTIONS, SourceOptions
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import OPS
from myoedge.operators.engine_choice import CORES, FASTEST
from myoedge.targets import Chip, find_chip
from myoedge.targets.chip import AUTO_POINT

DEFAULT_CHIP = "gap9"
DEFAULT_ENGINE = FASTEST.name
CODE_MARGIN_BYTES = 4096  # allowance for longer code of the next plan
LINKED_MARGIN_BYTES = 256


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
    def of_integers(self) -> BuildRequest:
        """Return the request without latency limit and options of the C, on which the integers
        do not depend."""
        limits = replace(self.limits, latency_s=None)
        return replace(self, limits=limits, of_sources=DEFAULT_OPTIONS)

    def with_linked(self, code_bytes: int) -> BuildRequest:
        """Return the request with the size of the linked code, plus a margin, reserved in L2."""
        limits = replace(self.limits, l2_code_bytes=code_bytes + LINKED_MARGIN_BYTES)
        return replace(self, limits=limits)

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

    def with_room_for(self, program: ProgramTooLarge) -> BuildRequest:
        """Return the request with more memory reserved for the program: the bytes by which it
        exceeded L2 (code) or L1 (runtime and kernel arguments)."""
        name = f"{program.region.lower()}_reserved_bytes"
        margin = CODE_MARGIN_BYTES if program.region == "L2" else 0
        reserved = getattr(self.chip, name) + program.over_bytes + program.free_bytes + margin
        return replace(self, chip=replace(self.chip, **{name: reserved}))

    def check_graph(self, graph: Graph) -> Graph:
        """Check before quantisation that the network can fit the chip; return the part of it to
        build.

        Errors: as check_stream; E301 more weights than L2 and L3 hold; E303 so many layers that
        their code exceeds L2.
        """
        if self.chip.point.clock_hz:
            check_code(graph, self.chip)
            check_weights(graph, self.chip, self.weight_bits, self.limits)
        return graph if self.frames is None else check_stream(graph, self.frames)


def build_request(options: BuildOptions, settings: Config) -> BuildRequest:
    """Combine options and myoedge.toml.

    Errors, before anything takes time: E201 target, E204 operating point, application, engine or
    prefix, E232, E234, E302 limits, E258, E264 tables of applications, E256, E257 plug-ins.
    """
    chip = find_chip(options.target or settings.target.chip or DEFAULT_CHIP)
    engines = {options.engine, *settings.engine.values()}
    chip = _enable_engines(chip, options.engine, is_used=engines != {CORES})
    parts = requested_parts(options, settings)
    chip = _enable_levels(chip, options, parts)
    sizes = {name: getattr(options, name) for name in budget.MEMORIES}
    given = possible(chip, budget.given(settings.budget, **sizes))
    limits = budget.for_app(options.app, chip, given)
    frames = settings.stream if options.stream else None
    plugins = load_plugins(settings.plugins)
    request = BuildRequest(
        chip,
        limits,
        options.operating_point,
        options.app,
        requested(options, settings),
        frames,
        plugins,
        _minimum_weight_bits(options, settings),
        tuple(parts.values()),
        _source_options(options, settings),
    )
    budget.within(request.chip_at_point, limits)
    return request


def _enable_levels(chip: Chip, options: BuildOptions, parts: Iterable[str]) -> Chip:
    """Return the chip with the optional memory levels that a build may use. Errors: E204 no such
    choice, or programs that cannot read them.

    parts   names of the parts of the firmware
    """
    names = [level.name for level in chip.optional_levels]
    known = [f"{name}={choice}" for name in names for choice in ("off", "auto")]
    if options.memory is None or options.memory in known[::2]:
        return chip
    if options.memory not in known:
        facts = {"has": ", ".join(known) or f"no such memory of {chip.name}"}
        tries = [f"--memory {choice}" for choice in known[1::2]]
        title = f"there is no choice of memory {options.memory}"
        raise MyoedgeError("E204", title, facts, tries)
    application = find_application(options.app)
    cannot = {
        "--weights-blob": options.weights_blob,
        f"--app {options.app}": application is not None and not application.levels,
        **{f"[{name}]": True for name in parts},
    }
    if found := [name for name, is_given in cannot.items() if is_given]:
        title = f"programs of {' and '.join(found)} read no weights from {options.memory[:-5]}"
        tries = [f"without {' and '.join(found)}", f"--memory {known[0]}"]
        raise MyoedgeError("E204", title, tries=tries)
    return chip.with_optional(options.memory.partition("=")[0])


def _source_options(options: BuildOptions, settings: Config) -> SourceOptions:
    """Return the options of the generated C. Errors: E204."""
    prefix = options.prefix or settings.model.prefix
    if prefix is not None:
        check_prefix(prefix)
    return SourceOptions(prefix, options.checks, options.weights_blob, options.traced)


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
    names = (FASTEST.name, CORES, *(e.name for e in chip.engines if e.accelerator))
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
    if (tune or simulate) and not chip.point.clock_hz:
        tries = ["--target gap9", "without --tune and --simulate"]
        raise MyoedgeError("E204", f"target {chip.name} is not simulated", tries=tries)


def possible(chip: Chip, limits: Budget) -> Budget:
    """Check that the limits are not larger than the chip's memories, and return them. Errors:
    E232."""
    for name in budget.MEMORIES:
        limit, most = (getattr(x, f"{name}_bytes") for x in (limits, chip))
        if limit is not None and 0 < most < limit:
            title = f"{name}: {limit:,} B are more than {chip.name} has"
            facts = {"has": f"{most:,} B of {name.upper()}"}
            tries = [f"--{name} {most // budget.KIB}KiB", "without a limit all of it is used"]
            raise MyoedgeError("E232", title, facts, tries)
    return limits


# --- lower bounds of code and weights, from the float graph ---------------------------------------


# Minimum code per layer, from 20 and 50 equal linked layers: 282 and 310 bytes for linear and
# depthwise ones, 184 for pools, 109 for flips and maxima. Layers of one C function share its code.
PRODUCT_CODE_BYTES, LAYER_CODE_BYTES = 256, 64
LEAST_BITS = 2  # minimum bits of a weight
FEW_BITS = (4, LEAST_BITS)  # weight bits that the error may suggest
SHOWN = 3  # layers


def check_code(graph: Graph, chip: Chip) -> None:
    """Raise E303 if the minimum linked code of all layers exceeds L2."""
    layers = [OPS[node.op] for node in graph.nodes if not OPS[node.op].view]
    products = sum(op.macs is not None for op in layers)
    least_bytes = PRODUCT_CODE_BYTES * products + LAYER_CODE_BYTES * (len(layers) - products)
    if least_bytes > chip.l2_bytes:
        raise ProgramTooLarge("L2", least_bytes - chip.l2_bytes)


def _room_bytes(chip: Chip, limits: Budget) -> int:
    """Return the bytes of L2 and the memory levels behind it for data; without a flash beside the
    chip at most those of the flash on it."""
    flashes = (x for x in chip.optional_levels if x.program_bytes and limits.external == "none")
    stored = (x.room_bytes + x.program_bytes for x in flashes)
    return min([chip.l2_room_bytes + chip.levels_room_bytes, *stored])


def check_weights(graph: Graph, chip: Chip, bits: int, limits: Budget) -> None:
    """Raise E301 if the weights alone exceed L2 and the memory levels behind it together, or
    without a flash beside the chip, the flash on it.

    bits   minimum bits of a weight, for layers that allow fewer than 8
    """
    chip = budget.allowed_levels(chip, limits)
    has = _room_bytes(chip, limits)
    if _weight_bytes(graph, bits) <= has:
        return
    l2 = f"{chip.l2_room_bytes:,} B of L2"
    levels = (f"{x.room_bytes:,} B of {x.name.upper()}" for x in chip.levels)
    rows = sorted(
        ((_layer_weight_bytes(graph, n, bits), n.where) for n in _weighted_layers(graph)),
        reverse=True,
    )
    facts = {
        "needs": f"{_weight_bytes(graph, bits):,} B for weights of {bits} bits, and activations",
        "has": f"{has:,} B for data: {', '.join((l2, *levels))}",
        "largest": "\n".join(f"{size:,} B  {where}" for size, where in rows[:SHOWN]),
    }
    fewer = next((n for n in FEW_BITS if n < bits and _weight_bytes(graph, n) <= has), None)
    tries = [f'[quant] "*" = {{ weights = {fewer} }}'] if fewer else []
    tries += ["fewer channels in the layers named", "--target host, to see the rest of the report"]
    raise MyoedgeError("E301", f"the weights alone do not fit {chip.name}'s memories", facts, tries)


def _weighted_layers(graph: Graph) -> Iterator[Node]:
    """Yield layers with weights that are stored in memory."""
    for node in graph.nodes:
        stores = OPS[node.op].weights.multiplicands is not None or node.op == "embedding"
        if stores and node.inputs[OPS[node.op].weights.at[0]] in graph.constants:
            yield node


def _layer_weight_bytes(graph: Graph, node: Node, bits: int) -> int:
    """Return the minimum bytes of a layer's weights, without recurrent weights."""
    has_few = OPS[node.op].weights.multiplicands is not None
    constant = graph.constants[node.inputs[OPS[node.op].weights.at[0]]]
    least = LEAST_BITS if constant.format is not None else bits
    return constant.array.size * (least if has_few else INT8.bits) // INT8.bits


def _weight_bytes(graph: Graph, bits: int) -> int:
    """Return the bytes of all weights; equal arrays count once."""
    sizes = {}
    for node in _weighted_layers(graph):
        array = graph.constants[node.inputs[OPS[node.op].weights.at[0]]].array
        sizes[hashlib.sha256(array.tobytes()).digest()] = _layer_weight_bytes(graph, node, bits)
    return sum(sizes.values())
