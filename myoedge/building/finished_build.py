# SPDX-License-Identifier: Apache-2.0
"""The whole build up to its files, with every stage cached; its C runs the golden sample on the
host before the folder is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from myoedge.backends.build import Build
from myoedge.backends.equivalence import Difference, first_difference
from myoedge.backends.report_folder import remember_made_here
from myoedge.backends.samples import golden_sample
from myoedge.building.config import find
from myoedge.building.early_checks import TooManyWeights, check_frames
from myoedge.building.energy import coefficients
from myoedge.building.fewer_bits import sampled_network
from myoedge.building.layer_rules import engine_integers
from myoedge.building.model_inputs import ModelInputs, stage_key
from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.building.quantized import Quantized
from myoedge.building.request import BuildRequest
from myoedge.building.stages import reused, timed
from myoedge.building.stream_rate import TOO_LARGE
from myoedge.codegen.known_answer import repeated
from myoedge.errors import MyoedgeError, Notice, raised
from myoedge.operators.engine_choice import CORES
from myoedge.quantization.holdout import samples_by_purpose
from myoedge.quantization.samples import thin
from myoedge.quantization.sqnr import measure
from myoedge.reports.budget import over_budget
from myoedge.system import tools
from myoedge.system.cache import disk_full_error
from myoedge.system.toml_text import layer_key
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.building.finishing import SimulationOptions
    from myoedge.quantization.scales import QuantGraph
    from myoedge.targets.chip import Chip

OF_THIS_COMPUTER = ("W304",)  # warnings about missing tools of this computer


@dataclass(frozen=True)
class FinishedBuild:
    """A build that is ready to be written.

    name       name of the network
    files      file name -> bytes
    warnings   warnings of the build
    """

    name: str
    files: Mapping[str, bytes]
    warnings: tuple[Notice, ...]


def finished_build(
    options: Options,
    inputs: ModelInputs,
    request: BuildRequest,
    confirmation: SimulationOptions,
    times_s: dict[str, float],
) -> FinishedBuild:
    """Run all stages of a build, or take them from the cache; return its files, after its C has
    computed the golden sample on the host. Errors: as api.build.

    times_s   receives the seconds of each stage
    """
    more = (request, confirmation.simulate, confirmation.tune, inputs.given_test)
    compute = partial(_compute_build, options, inputs, request, confirmation, times_s)
    stage = ("build", stage_key("build", options, inputs, *more), compute, options.say)
    return reused(*stage, kind=FinishedBuild, lasts=_may_be_cached)


def _compute_build(
    options: Options,
    inputs: ModelInputs,
    request: BuildRequest,
    confirmation: SimulationOptions,
    times_s: dict[str, float],
) -> FinishedBuild:
    from myoedge.building.build_files import build_files
    from myoedge.building.confirm import finish
    from myoedge.building.finishing import BuildInputs
    from myoedge.building.remedies import advised

    stage = partial(timed, times_s=times_s, say=options.say)

    def inputs_of(quantized: Quantized) -> BuildInputs:
        again = partial(_choose_engines_again, options, quantized)
        return BuildInputs(quantized, request, coefficients(), confirmation, stage, again)

    try:
        quantized = run_quantize(options, inputs)
    except TooManyWeights as refused:
        of_sizes = inputs_of(_quantize_for_sizes(options, inputs, request))
        raise raised(over_budget([advised(refused, of_sizes, finish)])) from None
    times_s |= quantized.times_s
    try:
        finished = finish(inputs_of(quantized))
    except MyoedgeError as error:
        if error.exit_code != TOO_LARGE or not any(
            x.is_kept and x.tensors for x in quantized.choices
        ):
            raise
        # Options that reject every move of the precision search with extra cycles, for builds whose
        # program leaves no memory for them
        decided_by = (options.decided_by, "without room")
        quantized = run_quantize(
            replace(options, planned_cycles=lambda network: math.inf, decided_by=decided_by), inputs
        )
        for name, seconds in quantized.times_s.items():
            times_s[name] = times_s.get(name, 0.0) + seconds
        finished = finish(inputs_of(quantized))
    warnings = quantized.warned(finished.warnings, options.strict).warnings
    files = build_files(finished.contents, finished.reported(warnings), request.plugins)
    with stage("check"):
        check_golden(files)
    return FinishedBuild(quantized.model.name, files, (*warnings, *finished.notices))


def _quantize_for_sizes(options: Options, inputs: ModelInputs, request: BuildRequest) -> Quantized:
    """Quantise a network to the ranges of one sample, for its sizes."""
    model, samples = inputs.prepared(
        replace(options, examine=partial(check_frames, request=request))
    )
    samples = samples_by_purpose(thin(samples.given, 1), 0.0)
    data = samples.given
    network = sampled_network(model.graph, data, request)
    fidelity = measure(network, data.inputs, layers=False)
    return Quantized(model, samples, network, fidelity, (), {}, None)


def _choose_engines_again(
    options: Options, quantized: Quantized, network: QuantGraph, chip: Chip
) -> QuantGraph:
    """Return a network whose engines are chosen anew for a chip, as run_quantize chooses them."""
    settings = find(options.config).settings
    given = (quantized.model.graph, settings, chip, options.engine, quantized.older)
    return engine_integers(*given).again(network)


def _may_be_cached(build: FinishedBuild) -> bool:
    """Return whether a build may be cached: no part was skipped for lack of a tool."""
    return not any(warning.code in OF_THIS_COMPUTER for warning in build.warnings)


# --- the golden sample on the host ----------------------------------------------------------------


REPORT = "report it with the model file: it is a bug of myoedge"


def check_golden(files: Mapping[str, bytes]) -> None:
    """Compare the C on the host with the reference for the golden sample, layer by layer; for a
    stream, in all passes.

    files   all files of a build folder

    Errors: E281 disk full; E401 the integers differ; E501, E910 the C does not compile.
    """
    with tools.scratch() as folder:
        try:
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        except OSError as error:
            raise disk_full_error(error.strerror or "") or error from None
        build = Build(folder)
        remember_made_here(build.manifest)
        sample, stream = golden_sample(build), build.stream
        whole = sample if stream is None else repeated(stream, sample, stream.frames)
        _, difference = first_difference(build, [whole])
        if difference is not None:
            raise _differs(build, difference)


def _differs(build: Build, found: Difference) -> MyoedgeError:
    """Return E401 for the first layer that differs."""
    facts = {
        "layer": found.where,
        "place": f"{found.name}{[*found.index]}",
        "expected": found.expected,
        "got": found.got,
    }
    title = "the C does not compute the reference's integers on the host"
    return MyoedgeError("E401", title, facts, [*_on_cores(build, found), REPORT])


def _on_cores(build: Build, found: Difference) -> list[str]:
    """Return the setting by which a layer of an accelerator runs on the cores; [] for others."""
    rows, node = build.report["layers"], build.network.graph.producer.get(found.name)
    chip = find_chip(str(build.manifest["target"]))
    accelerators = {*chip.accelerators}
    if found.layer >= len(rows) or rows[found.layer]["engine"] not in accelerators:
        return []
    path = next((origin.path for origin in (node.origin if node else ()) if origin.path), "")
    return [f'[engine] {layer_key(path)} = "{CORES}"' if path else f"--engine {CORES}"]
