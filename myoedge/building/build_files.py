# SPDX-License-Identifier: Apache-2.0
"""Contents of a build folder; report.json has estimated cycles first, measured cycles later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from myoedge.backends.report_folder import ReportFolder, report_digest
from myoedge.building.applications import ApplicationRequest, project_files, project_of
from myoedge.building.golden_sample import golden_files, last_run
from myoedge.building.operating_points import at_operating_point, at_points
from myoedge.building.plugins import Plugin, recorded
from myoedge.codegen.application import Period
from myoedge.errors import Notice
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.quantization.files import npz, to_safetensors
from myoedge.quantization.files import to_json as graph_to_json
from myoedge.quantization.reuse import reused_layers
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.reports.cycles import with_cycles
from myoedge.reports.period import STREAM
from myoedge.reports.streams import stream_report
from myoedge.streaming.stream_json import to_json as stream_to_json
from myoedge.system.cache import sha256
from myoedge.system.control_characters import document_bytes
from myoedge.system.folder import MANIFEST, SCHEMA, to_json, unreplaced
from myoedge.targets.chip import AUTO_POINT
from myoedge.version import __version__

if TYPE_CHECKING:
    from myoedge.backends.measurement import Measurement
    from myoedge.building.plans import BuildPlan
    from myoedge.building.quantized import Quantized
    from myoedge.building.request import BuildRequest
    from myoedge.building.stream_rate import StreamPlan
    from myoedge.codegen.application import Application, FirmwarePart
    from myoedge.codegen.firmware import Firmware
    from myoedge.codegen.project import Sources
    from myoedge.errors import Notice
    from myoedge.plan.plan import Plan
    from myoedge.power.model import Coefficients
    from myoedge.reports.report_json import Report
    from myoedge.targets import Chip

FIRMWARE = "firmware.elf"


def estimated_report(
    build_plan: BuildPlan, quantized: Quantized, request: BuildRequest, by: Coefficients
) -> Report:
    """Return report.json before simulation: estimated cycles, the request's limits as "budget".

    by   energy coefficients
    """
    from myoedge.reports.report_json import make_report

    outcome = quantized.outcome(exact={"host": True})  # check_golden, otherwise nothing is written
    older, plan, stream_plan = quantized.older, build_plan.plan, build_plan.stream_plan
    of_pass = (stream_plan.stream.network,) if stream_plan is not None else ()
    networks = (quantized.network, *of_pass)
    reused = older and asdict(reused_layers(plan.steps, networks, older))
    report = {
        **make_report(plan, outcome),
        "budget": request.limits.reported(request.chip),
        "reused": reused,
        "period": period_of(request.of_app, plan, stream_plan),
    }
    if stream_plan is not None:
        rate = (stream_plan.frame_hz, stream_plan.window_s, stream_plan.least_frames)
        passes = [asdict(row) for row in stream_plan.passes]
        frames = stream_plan.stream.sample_frames(quantized.network.graph)
        report["stream"] = stream_report(stream_plan.stream, *rate, passes, sample_frames=frames)
    return at_operating_point(report, plan.chip, request.point == AUTO_POINT, by)


def with_run(
    report: Report,
    measured: Measurement,
    chip: Chip,
    auto: bool,
    by: Coefficients,
    counted_hz: int | None = None,
) -> Report:
    """Return the report with cycles, stalls and energy of a run at the chip's first operating
    point.

    auto   whether to select the cheapest operating point instead
    by     energy coefficients
    counted_hz   as for with_cycles
    """
    counted = with_cycles(at_points(report, chip), measured, chip.point, counted_hz)
    return at_operating_point(counted, chip, auto, by)


def with_digest(report: Mapping[str, Any]) -> dict[str, Any]:
    """Add a digest to the report, to detect later edits."""
    return {**report, "digest": report_digest(report)}


def _report_files(report: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files that simulate, validate and energy replace: report.json, report.html and
    layers.csv."""
    from myoedge.reports.documents import layers_csv
    from myoedge.reports.html import report_html

    written = with_digest(report)
    return {
        "report.json": to_json(written).encode(),
        "report.html": document_bytes(report_html(written)),
        "layers.csv": document_bytes(layers_csv(written)),
    }


def changed_report(
    build: ReportFolder, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> tuple[dict[str, Any], Notice | None]:
    """Replace a build's reports by ones of a changed report.

    change   stored report -> new report; no other run replaces the stored one meanwhile
    Return the new report, and W210 if it cannot be written. Errors: E222 for a rebuilt folder.
    """
    with unreplaced(build.folder):
        report = change(build.report)
        return report, build.updated(_report_files(report))


# --- files ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildArtifacts:
    """Content of a build except its reports.

    files      file name -> bytes
    digest     digest of the network and all of its integers
    made_with  entry of the manifest from which the C can be generated again
    golden     input name -> integers of the golden sample
    values     tensor -> its reference value for the golden sample
    firmware   the linked program; None for a target without firmware
    of_parts   entries of report.json from the application and parts of the firmware
    warnings   warnings of the application
    """

    files: Mapping[str, bytes]
    digest: str
    made_with: Mapping[str, Any]
    golden: Mapping[str, Array]
    values: Mapping[str, Array]
    firmware: Firmware | None = None
    of_parts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()


def make_contents(
    build_plan: BuildPlan, quantized: Quantized, request: BuildRequest
) -> BuildArtifacts:
    """Generate the content of a build except its reports: C, firmware, applications, golden sample,
    and the network and its plan as data."""
    from myoedge.codegen.blob import BLOB
    from myoedge.codegen.build_sources import GoldenSample, build_sources
    from myoedge.codegen.made_with import MadeWith

    plan, stream, name = build_plan.plan, build_plan.stream, quantized.model.name
    network = quantized.network
    golden = {key: x[0] for key, x in quantized.samples.given.inputs.items()}
    integers = quantized_inputs(network, golden)
    values = run_int(network.steps, network.constants, integers)
    last = last_run(build_plan, quantized, request, (integers, values))
    calibration, app = quantized.samples.learn, None
    if request.of_app is not None:
        app = request.of_app.application(plan, stream).learned(plan, calibration)
    parts = [asked.part(plan, calibration, stream) for asked in request.parts]
    exit_output = None if app is None else app.exit_output
    names = _class_names(quantized)
    options = replace(request.of_sources, class_names=names, exit_output=exit_output)
    sample, around = GoldenSample(integers, values, *last), (stream, app, parts)
    sources = build_sources(plan, name, sample, options, *around)
    made_with = MadeWith.of(plan, options, "" if app is None else app.name).to_json()
    project = project_files(project_of(request.app), plan, name, sources, stream, app)
    programs = _link_programs(sources, app, parts)
    files = {
        **_description_files(build_plan, quantized, app),
        **{f"src/{key}": text.encode() for key, text in sources.files.items()},
        **{key: text.encode() for key, text in project.items()},
        **{key: program.elf for key, program in programs.items()},
        **({} if sources.blob is None else {BLOB: sources.blob}),
        **sources.archives,
        **plan.image_files,
        **golden_files(quantized, integers, values),
        **{f"{part.name}.npz": npz(part.arrays()) for part in parts},
    }
    told = {} if app is None else {**app.reported(), **_period_entry(app)}
    told |= {key: entry for part in parts for key, entry in part.reported().items()}
    run = (integers, values, programs.get(FIRMWARE))
    warnings = () if app is None else app.warnings
    return BuildArtifacts(files, sources.digest, made_with, *run, told, warnings)


def _class_names(quantized: Quantized) -> tuple[str, ...]:
    """Return the class names of the labels; without labels, the class names of the model file."""
    found = quantized.evaluation
    names = () if found is None or not found.has_classes else tuple(found.names)
    return names or quantized.model.class_names


def _link_programs(
    sources: Sources, app: Application | None, parts: Iterable[FirmwarePart]
) -> dict[str, Firmware]:
    """Link the programs of a build for a chip: firmware, application, programs of parts."""
    from myoedge.codegen.firmware import FOLDER, make_application, make_firmware

    programs = {FIRMWARE: make_firmware(sources)} if sources.program else {}
    if app is not None:
        programs[f"{app.name}.elf"] = make_application(sources, app.name)
    for part in parts:
        if any(name.startswith(f"{FOLDER}/{part.name}/") for name in sources.files):
            programs[f"{part.name}.elf"] = make_application(sources, part.name)
    return programs


def build_files(
    contents: BuildArtifacts, report: Report, plugins: Iterable[Plugin] = ()
) -> dict[str, bytes]:
    """Return all files of a build folder by name, the manifest last; equal arguments give equal
    bytes.

    contents   files except the reports
    report     report.json
    plugins    plug-ins that the build needs
    """
    files = {**contents.files, **_report_files(report)}
    model = {key: report["model"][key] for key in ("name", "digest")}
    manifest = {  # digests of inputs and files, and the meaning of the network's inputs and outputs
        "schema": SCHEMA,
        "myoedge": __version__,
        "model": {**model, "integer_digest": contents.digest},
        "target": report["target"]["chip"],
        "calibration": report["quantization"]["calibration"],
        "inputs": report["inputs"],
        "outputs": report["outputs"],
        "made_with": contents.made_with,
        **recorded(plugins),
        "files": {name: sha256(content) for name, content in sorted(files.items())},
    }
    return {**files, MANIFEST: to_json(manifest).encode()}


def _description_files(
    build_plan: BuildPlan, quantized: Quantized, app: Application | None
) -> dict[str, bytes]:
    """Return graph.json, the weights file, plan.json and the JSON files of the application."""
    from myoedge.codegen.qdq import qdq_model
    from myoedge.plan.plan_json import describe

    plan, stream = build_plan.plan, build_plan.stream
    documents = {"graph.json": graph_to_json(plan.quant), "plan.json": describe(plan)}
    if stream is not None:
        documents["stream.json"] = stream_to_json(stream)
    if app is not None:
        documents |= app.described()
    return {
        **{key: to_json(document).encode() for key, document in documents.items()},
        "weights.safetensors": to_safetensors(plan.quant),
        "model.int8.onnx": qdq_model(plan, quantized.model.name, quantized.fidelity),
    }


def _period_entry(application: Application) -> dict[str, Any]:
    """Return the entry `period` that an application adds to report.json; {} if it sets none."""
    period = application.period
    return {} if period is None else {"period": {**asdict(period), "set_by": application.name}}


def period_of(
    request: ApplicationRequest | None, plan: Plan, stream_plan: StreamPlan | None
) -> dict[str, Any] | None:
    """Return the entry `period` of report.json: seconds between inferences, set by the sensor or by
    the rate of the stream's frames; None if neither is known. Errors: E264, E265."""
    stream = None if stream_plan is None else stream_plan.stream
    application = None if request is None else request.application(plan, stream)
    if application is not None and application.period is not None:
        period: dict[str, Any] = _period_entry(application)["period"]
        return period
    if stream_plan is None or stream_plan.frame_hz is None:
        return None
    own = Period(stream_plan.stream.frames / stream_plan.frame_hz)
    return {**asdict(own), "set_by": STREAM}
