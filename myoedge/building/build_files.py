# SPDX-License-Identifier: Apache-2.0
"""Files of a build folder, as bytes, from a plan and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from myoedge.building.build_report import report_files
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_integer
from myoedge.quantization.files import to_json as graph_to_json
from myoedge.quantization.files import to_safetensors
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.streaming.stream import passes
from myoedge.streaming.stream import to_json as stream_to_json
from myoedge.system.folder import MANIFEST, SCHEMA, sha256, to_json
from myoedge.version import __version__

if TYPE_CHECKING:
    from myoedge.building.pipeline import Quantized
    from myoedge.building.request import BuildPlan
    from myoedge.codegen.firmware import Firmware
    from myoedge.reports.report_json import Report
    from myoedge.streaming.stream import Stream


@dataclass(frozen=True)
class Contents:
    """Files of a build, without its reports.

    files      by name, as bytes     firmware   None for a target without one
    digest     of the network
    golden     the golden sample as integers, by input name
    values     of all tensors of the whole network, by the reference
    """

    files: Mapping[str, bytes]
    digest: str
    golden: Mapping[str, Array]
    values: Mapping[str, Array]
    firmware: Firmware | None = None


def make_contents(build_plan: BuildPlan, quantized: Quantized, app: str | None) -> Contents:
    """C, firmware, golden samples, and the network and its plan for programs."""
    from myoedge.codegen.firmware import make_firmware
    from myoedge.codegen.gap_sdk import sdk_application
    from myoedge.codegen.project import make_sources

    plan, stream, name = build_plan.plan, build_plan.stream, quantized.model.name
    integers, values = _golden_run(quantized)
    sources = make_sources(plan, name, _at_border(build_plan, integers, values), stream)
    application = sdk_application(plan, name, sources, stream) if app == "gap-sdk" else {}
    firmware = make_firmware(sources) if sources.on_chip else None
    files = {
        **_described(build_plan, quantized),
        **{f"src/{key}": text.encode() for key, text in sources.files.items()},
        **{key: text.encode() for key, text in application.items()},
        **({"firmware.elf": firmware.elf} if firmware is not None else {}),
        **({"l3.bin": plan.l3_image()} if plan.l3_bytes else {}),
        **_golden(quantized, integers, values),
    }
    return Contents(files, sources.digest, integers, values, firmware)


def build_files(contents: Contents, report: Report) -> dict[str, bytes]:
    """Every file of a build folder, the manifest last; the same bytes for the same input."""
    files = {**contents.files, **report_files(report)}
    return {**files, MANIFEST: _manifest(contents, report, files)}


def _described(build_plan: BuildPlan, quantized: Quantized) -> dict[str, bytes]:
    """The network in integers and its plan, for programs."""
    from myoedge.codegen.qdq.model import qdq_model
    from myoedge.plan.plan import describe

    plan, stream = build_plan.plan, build_plan.stream
    documents = {"graph.json": graph_to_json(plan.quant), "plan.json": describe(plan)}
    if stream is not None:
        documents["stream.json"] = stream_to_json(stream)
    return {
        **{key: to_json(document).encode() for key, document in documents.items()},
        "weights.safetensors": to_safetensors(plan.quant),
        "model.int8.onnx": qdq_model(plan, quantized.model.name, quantized.fidelity),
    }


def _golden_run(quantized: Quantized) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """The first sample in integers, and what the reference makes of it: (inputs, all tensors)."""
    network = quantized.network
    golden = {key: x[0] for key, x in quantized.data.inputs.items()}
    integers = quantized_inputs(network, golden)
    return integers, run_integer(network.steps, network.constants, integers)


def _at_border(
    build_plan: BuildPlan, integers: Mapping[str, Array], values: Mapping[str, Array]
) -> tuple[list[Array], list[Array]]:
    """Golden (inputs, outputs) of the program; of a stream those of its last pass."""
    plan, stream = build_plan.plan, build_plan.stream
    given, found = (integers, values) if stream is None else _one_pass(stream, integers)
    return [given[n] for n in plan.graph_inputs], [found[n] for n in plan.graph_outputs]


def _one_pass(
    stream: Stream, integers: Mapping[str, Array]
) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """(inputs, all tensors) of the last pass of a sample, which is repeated if it has none."""
    import numpy as np

    frames = stream.frames
    long = {
        p.name: np.concatenate([integers[p.name]] * frames, p.axis)
        if integers[p.name].shape[p.axis] + stream.early < frames
        else integers[p.name]
        for p in stream.inputs
    }
    *_, last = passes(stream, long)
    return last.sample, last.values


def _golden(
    quantized: Quantized, integers: Mapping[str, Array], values: Mapping[str, Array]
) -> dict[str, bytes]:
    """The first sample as it went in, as integers, and what comes out."""
    graph = quantized.network.graph
    real = {name: x[0] for name, x in quantized.data.inputs.items()}
    inputs = {**real, **{f"{name}.q": x for name, x in integers.items()}}
    outputs: dict[str, Array] = {}
    for name, shown, floats in zip(
        graph.outputs, graph.output_names, quantized.fidelity.real[0], strict=True
    ):
        outputs |= {shown: floats, f"{shown}.q": values[name]}
    return {"golden/input.npz": npz(inputs), "golden/output.npz": npz(outputs)}


def npz(arrays: Mapping[str, Array]) -> bytes:
    """An npz file without the time of day in it."""
    import io
    import zipfile

    import numpy as np

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.save(member, values, allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue()
            )
    return packed.getvalue()


def _manifest(contents: Contents, report: Report, files: Mapping[str, bytes]) -> bytes:
    """Digests of what went in and of every file that build wrote, and what the border means."""
    return to_json(
        {
            "schema": SCHEMA,
            "myoedge": __version__,
            "model": {"name": report["model"]["name"], "digest": contents.digest},
            "target": report["target"]["chip"],
            "calibration": report["quantization"]["calibration"],
            "inputs": report["inputs"],
            "outputs": report["outputs"],
            "files": {name: sha256(content) for name, content in sorted(files.items())},
        }
    ).encode()
