# SPDX-License-Identifier: Apache-2.0
"""Plan and measurements -> the files of a build folder, as bytes: the same for the same input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_integer
from myoedge.quantization import files as store
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.streaming import stream as streams
from myoedge.system.folder import MANIFEST, SCHEMA, sha256, to_json
from myoedge.version import __version__

if TYPE_CHECKING:
    from myoedge.building.pipeline import Quantized
    from myoedge.building.request import Goal, Planned
    from myoedge.codegen.project import Sources
    from myoedge.power.model import Coefficients
    from myoedge.streaming.stream import Stream


def build_files(
    planned: Planned, quantized: Quantized, wanted: Goal, by: Coefficients
) -> dict[str, bytes]:
    """Every file of a build folder, the manifest last; the same bytes for the same input."""
    from myoedge.codegen.firmware import make_firmware
    from myoedge.codegen.gap_sdk import sdk_application
    from myoedge.codegen.project import make_sources

    plan, name = planned.plan, quantized.model.name
    integers, values = _golden_run(quantized)
    border = _at_border(planned, integers, values)
    sources = make_sources(plan, name, border, planned.stream)
    app = sdk_application(plan, name, sources, planned.stream) if wanted.app == "gap-sdk" else {}
    firmware = make_firmware(sources) if sources.on_chip else None
    report = _report(planned, quantized, wanted, by)
    if firmware is not None:
        report["memory"]["code_bytes"] = firmware.code_bytes
    files = {
        **_described(planned, quantized),
        **{f"src/{key}": text.encode() for key, text in sources.files.items()},
        **{key: text.encode() for key, text in app.items()},
        **({"firmware.elf": firmware.elf} if firmware is not None else {}),
        **({"l3.bin": plan.l3_image()} if plan.l3_bytes else {}),
        **_golden(quantized, integers, values),
        **report_files(report),
    }
    return {**files, MANIFEST: _manifest(quantized, report, sources, files)}


def _described(planned: Planned, quantized: Quantized) -> dict[str, bytes]:
    """The network in integers and its plan, for programs."""
    from myoedge.codegen.qdq.model import qdq_model
    from myoedge.plan.plan import describe

    plan, stream = planned.plan, planned.stream
    documents = {"graph.json": store.to_json(plan.quant), "plan.json": describe(plan)}
    if stream is not None:
        documents["stream.json"] = streams.to_json(stream)
    return {
        **{key: to_json(document).encode() for key, document in documents.items()},
        "weights.safetensors": store.to_safetensors(plan.quant),
        "model.int8.onnx": qdq_model(plan, quantized.model.name, quantized.fidelity),
    }


def _report(
    planned: Planned, quantized: Quantized, wanted: Goal, by: Coefficients
) -> dict[str, Any]:
    """report.json before anything has run; what the build was held to is in it."""
    from myoedge.reports.energy import with_energy
    from myoedge.reports.report_json import Outcome, make_report
    from myoedge.reports.streams import stream_report, with_real_time

    outcome = Outcome(
        quantized.model.name,
        quantized.fidelity,
        quantized.accuracy_float,
        quantized.accuracy_int8,
        {},
        quantized.warnings,
        quantized.model.params,
    )
    reused, paced = quantized.reused, planned.paced
    told = {
        **make_report(planned.plan, outcome),
        "budget": asdict(wanted.limits),
        "reused": None if reused is None else asdict(reused),
    }
    if paced is not None:
        told["stream"] = stream_report(paced.stream, paced.frame_hz, paced.window_s, paced.least)
    return with_real_time(with_energy(told, by))


def _golden_run(quantized: Quantized) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """The first sample in integers, and what the reference makes of it: (inputs, all tensors)."""
    network = quantized.network
    golden = {key: x[0] for key, x in quantized.data.inputs.items()}
    integers = quantized_inputs(network, golden)
    return integers, run_integer(network.steps, network.constants, integers)


def _at_border(
    planned: Planned, integers: Mapping[str, Array], values: Mapping[str, Array]
) -> tuple[list[Array], list[Array]]:
    """What the program takes and gives: (inputs, outputs), of a stream those of its last pass."""
    plan, stream = planned.plan, planned.stream
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
    *_, last = streams.passes(stream, long)
    return last.sample, last.values


def report_files(report: Mapping[str, Any]) -> dict[str, bytes]:
    """What simulate and validate replace."""
    from myoedge.reports.html import report_html
    from myoedge.reports.layers_csv import layers_csv

    return {
        "report.json": to_json(report).encode(),
        "report.html": report_html(dict(report)).encode(),
        "layers.csv": layers_csv(dict(report)).encode(),
    }


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


def _manifest(
    quantized: Quantized, report: Mapping[str, Any], sources: Sources, files: Mapping[str, bytes]
) -> bytes:
    """Digests of what went in and of every file that build wrote, and what the border means."""
    return to_json(
        {
            "schema": SCHEMA,
            "myoedge": __version__,
            "model": {"name": quantized.model.name, "digest": sources.digest},
            "target": report["target"]["chip"],
            "calibration": report["quantization"]["calibration"],
            "inputs": report["inputs"],
            "outputs": report["outputs"],
            "files": {name: sha256(content) for name, content in sorted(files.items())},
        }
    ).encode()
