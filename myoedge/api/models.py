# SPDX-License-Identifier: Apache-2.0
"""Verbs on model files: load, inspect, quantize and build; the supported operators. Exceptions
raised by functions of plug-ins become E257."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from myoedge.api.results import Inspection, Operator, Operators
from myoedge.backends.build import Build
from myoedge.backends.build import load_build as read_build
from myoedge.backends.report_folder import ReportFolder, remember_made_here
from myoedge.building.loading import Model, load_model
from myoedge.building.options import BuildOptions, QuantizeOptions, StrPath, takes
from myoedge.building.pipeline_options import Options
from myoedge.building.quantized import Quantized
from myoedge.errors import MyoedgeError, set_in
from myoedge.operators.engine_choice import CORES
from myoedge.quantization.recordings.reading import Reading
from myoedge.quantization.samples import Given
from myoedge.system.folder import MANIFEST
from myoedge.system.regular_files import MAX_UNPACKED_BYTES

if TYPE_CHECKING:
    from myoedge.building.finishing import SimulationOptions
    from myoedge.building.request import BuildRequest
    from myoedge.quantization.scales import QuantGraph

P = ParamSpec("P")
R = TypeVar("R")


def with_plugin_errors(verb: Callable[P, R]) -> Callable[P, R]:
    """Wrap an API function so that exceptions raised by a plug-in's functions become E257."""

    @functools.wraps(verb)
    def wrapped(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return verb(*arguments, **named)
        except (MyoedgeError, KeyboardInterrupt):
            raise
        except BaseException as error:
            plugins = sys.modules.get("myoedge.building.plugins")  # imported only to load plug-ins
            in_plugin = plugins.error_in_plugin(error) if plugins else None
            if in_plugin is None:
                raise
            raise in_plugin from error

    return wrapped


def as_build(build: Build | StrPath) -> Build:
    """Return the build, loaded if a folder is given. Errors: E222 no build."""
    return build if isinstance(build, Build) else load_build(build)


def report_of(build: Build | StrPath) -> dict[str, Any]:
    """Return the report of a build, or of a folder with its report.json and manifest.json, the rest
    of which may be gone. Errors: E222 no build."""
    if isinstance(build, Build) or not os.path.isfile(Path(build) / MANIFEST):
        return as_build(build).report
    return ReportFolder(Path(build)).report


@with_plugin_errors
def load_build(folder: StrPath, *, cc: str = "zig") -> Build:
    """Load a build from its folder, with the plug-ins that it needs.

    Errors: E222 no build, or files missing or changed; E256, E257 plug-ins.
    """
    from myoedge.building.plugins import load_needed

    load_needed(Path(folder))
    return read_build(folder, cc=cc)


@with_plugin_errors
def load(
    model: StrPath,
    *,
    factory: str | None = None,
    calib: Given | None = None,
    max_bytes: str | int | None = None,
) -> Model:
    """Load a torch.export archive, an ONNX model, or a checkpoint with its factory.

    factory  "pkg.mod:make_model", the function that builds a checkpoint's network
    calib    samples, from which a checkpoint's network gets its input shapes
    max_bytes  maximum unpacked size of a compressed file, such as "2GiB"; None: 1 GiB
    Errors: E101 .. E121 (see `explain`), E247.
    """
    from myoedge.building.plugins import load_named

    load_named()
    reading = Reading(max_bytes=_parse_size(max_bytes))
    return load_model(Path(model), factory, calib, reading=reading)


def _parse_size(max_bytes: str | int | None) -> int:
    """Parse a size as bytes; None: MAX_UNPACKED_BYTES. Errors: E232 not a size."""
    from myoedge.building.quantities import size_bytes

    return MAX_UNPACKED_BYTES if max_bytes is None else size_bytes(max_bytes, "--max-bytes")


@with_plugin_errors
@takes(QuantizeOptions)
def quantize(options: QuantizeOptions) -> Quantized:
    """Quantise a network and measure its SQNR layer by layer, without writing anything. The
    integers equal those of a build with engine="cores"; with weights="fast", of one with its
    default engine, for whose jobs bits are chosen.

    Arguments: as listed below.
    Errors: as load; E202 .. E219, E222, E230 .. E233, E245 .. E248, E255.
    """
    from myoedge.building.config import find
    from myoedge.building.config_tables import FAST
    from myoedge.building.energy import coefficients
    from myoedge.building.pipeline import run_quantize
    from myoedge.building.plan_limits import keeper, reading
    from myoedge.building.plans import planned_cycles
    from myoedge.building.request import build_request

    settings = find(options.config).settings
    is_fast = (options.weights or settings.calib.weights) == FAST
    engine = BuildOptions.engine if is_fast else CORES
    request = build_request(BuildOptions(engine=engine), settings)
    limits = {
        "engine": engine,
        "chip": request.chip_in_limits if is_fast else None,
        "keeps": keeper(request, coefficients()),
        "planned_cycles": partial(planned_cycles, request=request),
        "reading": partial(reading, request=request),
        "decided_by": (request.of_integers, coefficients()),
    }
    return run_quantize(Options.of(options, **_read_options(options), **limits))


def _read_options(options: QuantizeOptions) -> dict[str, Any]:
    """Return the network of the older build, and the size as bytes."""
    return {"reuse": _network_of(options.reuse), "max_bytes": _parse_size(options.max_bytes)}


def _network_of(build: Build | QuantGraph | StrPath | None) -> QuantGraph | None:
    from myoedge.quantization.scales import QuantGraph

    if build is None or isinstance(build, QuantGraph):
        return build
    return as_build(build).network


@with_plugin_errors
@takes(BuildOptions)
def build(options: BuildOptions) -> Build:
    """Build a network: quantise it, plan memory, generate C and firmware, simulate one inference
    (of a stream: one pass), and write the build folder.

    Arguments: as listed below.
    Errors: as quantize; E131, E235, E236, E239 no stream; E201 target, E204 operating point, E234,
    E301 .. E304, E306, E308 does not fit or over budget; E220, E221, E281 folder; E401 outputs
    on the simulated chip or of the C on the host are not the reference's; E501, E701 .. E711 the
    simulation failed.
    """
    from myoedge.backends.arguments import arguments_of, remember
    from myoedge.building.applications import gate_of
    from myoedge.building.config import find
    from myoedge.building.early_checks import check_graph
    from myoedge.building.energy import coefficients
    from myoedge.building.finishing import SimulationOptions
    from myoedge.building.plan_limits import keeper, reading
    from myoedge.building.plans import planned_cycles
    from myoedge.building.request import build_request, check_simulation

    found = find(options.config)
    request = build_request(options, found.settings)
    check_simulation(request.chip, options.simulate, options.tune)
    given = Options.of(
        options,
        **_read_options(options),
        keeps=keeper(request, coefficients()),
        reading=partial(reading, request=request),
        examine=partial(check_graph, request=request),
        planned_cycles=partial(planned_cycles, request=request),
        stream=options.stream,
        engine=options.engine,
        chip=request.chip_in_limits,
        **(gate_of(options, found) if options.app else {}),
        decided_by=(request.of_integers, coefficients()),
    )
    folder = Path(os.path.normpath(options.output)) if options.output else None
    simulation = SimulationOptions(options.simulate, options.tune, options.progress)
    host = {"--target host,": "--target host without --board,"} if options.board else None
    with set_in("", host):
        built = _run_build(given, request, simulation, folder)
    made_by = arguments_of(options)
    remember(built.folder, made_by)
    return replace(built, arguments=made_by)


def _run_build(
    options: Options, request: BuildRequest, confirmation: SimulationOptions, output: Path | None
) -> Build:
    """Run all stages of a build and write its folder; errors about the folder are raised first."""
    from myoedge.building.finished_build import finished_build
    from myoedge.building.model_inputs import checked_inputs
    from myoedge.building.stages import OTHER
    from myoedge.system.folder import check_output, write_folder

    began = time.perf_counter()
    if output is not None:
        check_output(output)
    times_s: dict[str, float] = {}
    options, inputs = checked_inputs(options)
    made = finished_build(options, inputs, request, confirmation, times_s)
    folder = output or Path("build") / f"{made.name}-{request.chip.name}"
    write_folder(folder, made.files)
    build = Build(folder, times_s=times_s, warnings=made.warnings)
    build.check_written(made.files)
    remember_made_here(build.manifest)
    times_s[OTHER] = time.perf_counter() - began - sum(times_s.values())
    return build


@with_plugin_errors
def inspect(
    model: StrPath,
    *,
    factory: str | None = None,
    calib: Given | None = None,
    max_bytes: str | int | None = None,
) -> Inspection:
    """Return the contents of a model file, without calibration or target. Errors: as load.

    For a build folder see `report` and `peaks`.
    """
    from collections import Counter

    loaded = load(model, factory=factory, calib=calib, max_bytes=max_bytes)
    layers = loaded.rows()
    return Inspection(
        loaded.name,
        loaded.graph.digest,
        loaded.inputs(),
        loaded.outputs(),
        dict(sorted(Counter(row["operator"] for row in layers).items())),
        tuple(tuple(row.values()) for row in layers),
        loaded.params,
        sum(row["macs"] for row in layers),
        loaded.notes,
    )


@with_plugin_errors
def ops() -> Operators:
    """Return every supported operator, with the calls of PyTorch and ONNX that map to it, and the
    operators of plug-ins that ./myoedge.toml names.

    Errors: E230 .. E232 myoedge.toml, E256, E257 plug-ins.
    """
    from myoedge.building.plugins import load_named

    load_named()  # before the table of calls is imported, which is complete then
    from myoedge.frontend.operator_table import calls_of, onnx_of
    from myoedge.operators.base import OPS

    return Operators(
        Operator(op.name, op.doc, op.epilogue, calls_of(op.name), onnx_of(op.name))
        for op in OPS.values()
    )
