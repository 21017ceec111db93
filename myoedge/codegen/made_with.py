# SPDX-License-Identifier: Apache-2.0
"""Options for generating C, and options and versions that determine the C of a build beside
graph.json and the weights, as JSON in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from myoedge.codegen.names import check_prefix
from myoedge.operators.engine_choice import AUTO, EngineChoice
from myoedge.plan.l1.tile_choice import TileRanks
from myoedge.plan.plan import Plan
from myoedge.quantization.scales import QuantGraph
from myoedge.system.hooks import find_hook
from myoedge.targets import find_chip
from myoedge.targets.chip import Chip


@dataclass(frozen=True)
class SourceOptions:
    """Options of the generated C.

    prefix         prefix of all global C names; None: derived from the model's name
    checks         whether to generate <prefix>_check, which the program for the chip then calls,
                   <prefix>_on_layer and <prefix>_self_test
    weights_blob   whether weights, scales and tables are data that <prefix>_load replaces; with
                   <prefix>_self_test
    traced         whether a function that computes several layers stores the result of each
    class_names    names of the classes of the first output's scores; (): unknown
    exit_output    number of the output after which <prefix>_ends may end a run; None: a run always
                   computes all outputs
    """

    prefix: str | None = None
    checks: bool = False
    weights_blob: bool = False
    traced: bool = False
    class_names: tuple[str, ...] = ()
    exit_output: int | None = None

    @property
    def is_tested(self) -> bool:
        """Whether to generate <prefix>_self_test."""
        return self.checks or self.weights_blob


DEFAULT_OPTIONS = SourceOptions()


# Numbers of a chip that limits, the operating point and the linked code change.
CHIP_NUMBERS = (
    *("l1_bytes", "l2_bytes"),
    *("l1_reserved_bytes", "l2_reserved_bytes", "layer_code_bytes"),
)


@dataclass(frozen=True)
class MadeWith:
    """Settings of planner and code generator.

    chip          chip with its memories reduced to the limits
    engines       layer -> requested engine, for layers that may not run on every engine
    tile_ranks    as for make_plan
    options       options of the generated C
    application   name of the application; "" without one
    """

    chip: Chip
    engines: Mapping[str, str]
    tile_ranks: TileRanks = field(default_factory=dict)
    options: SourceOptions = DEFAULT_OPTIONS
    application: str = ""

    @staticmethod
    def of(plan: Plan, options: SourceOptions, application: str) -> MadeWith:
        """Return the settings with which a plan and its C were made."""
        chosen = {step.node.name: step.engine.name for step in plan.quant.steps}
        engines = {layer: engine for layer, engine in chosen.items() if engine != AUTO}
        return MadeWith(plan.chip, engines, plan.tile_ranks, options, application)

    def to_json(self) -> dict[str, Any]:
        """Return the entry of manifest.json."""
        chip = self.chip
        return {
            "chip": {
                "name": chip.name,
                "operating_point": chip.point.name,
                "engines": [engine.name for engine in chip.engines],
                **{name: getattr(chip, name) for name in CHIP_NUMBERS},
                **({} if chip.resident_bytes is None else {"resident_bytes": chip.resident_bytes}),
                "levels": {level.name: level.bytes for level in chip.levels},
                "clocks_hz": {x.name: x.clock.most_hz for x in chip.levels if x.clock},
            },
            "engines": dict(sorted(self.engines.items())),
            "tile_ranks": dict(sorted(self.tile_ranks.items())),
            "options": asdict(self.options),
            "application": self.application,
        }

    def network(self, network: QuantGraph) -> QuantGraph:
        """Return a network read from files with the engines that its layers request, and as the
        options of the C have it."""
        steps = (
            replace(step, engine=EngineChoice(self.engines.get(step.node.name, AUTO)))
            for step in network.steps
        )
        return for_sources(replace(network, steps=tuple(steps)), self.options)


def for_sources(network: QuantGraph, options: SourceOptions) -> QuantGraph:
    """Return a network whose numbers are data, and whose layers are traced, if the options of the C
    say so."""
    network = network.with_numbers_as_data if options.weights_blob else network
    return network.traced if options.traced else network


def read_made_with(document: Mapping[str, Any]) -> MadeWith:
    """Parse the entry of a manifest, which may come from anybody.

    Errors: LookupError, TypeError, ValueError or MyoedgeError for an entry that `to_json` does not
    write.
    """
    options = document["options"]
    made = SourceOptions(**{**options, "class_names": tuple(options["class_names"])})
    if made.prefix is not None:
        check_prefix(made.prefix)
    engines, ranks = dict(document["engines"]), dict(document["tile_ranks"])
    if document["application"] and not find_hook("applications", document["application"]):
        raise ValueError("no installed extension has its application")
    if type(made.exit_output) not in (int, type(None)):
        raise TypeError("an output whose number is no integer")
    if not all(isinstance(word, str) for word in (*engines.values(), *made.class_names)):
        raise TypeError("an engine or class that is no text")
    if not all(type(rank) is int for rank in ranks.values()):
        raise TypeError("a rank that is no integer")
    chip = _chip_facts(document["chip"])
    return MadeWith(chip, engines, ranks, made, document["application"])


def _chip_facts(fields: Mapping[str, Any]) -> Chip:
    chip = find_chip(fields["name"])
    if chip.point.clock_hz:
        chip = chip.at(fields["operating_point"])
    numbers, levels = {name: fields[name] for name in CHIP_NUMBERS}, fields["levels"]
    if (most := fields.get("resident_bytes")) is not None:
        numbers["resident_bytes"] = most
    clocks_hz = fields.get("clocks_hz", {})
    given = (*numbers.values(), *levels.values(), *clocks_hz.values())
    if not all(type(number) is int for number in given):
        raise TypeError("a memory whose size or clock is no integer")
    engines = tuple(engine for engine in chip.engines if engine.name in fields["engines"])
    for level in (chip := chip.with_optional(*levels)).levels:
        chip = chip.with_level(level.name, bytes=levels.get(level.name, 0))
    return replace(chip.with_clocks(clocks_hz), engines=engines, **numbers)
