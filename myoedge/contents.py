# SPDX-License-Identifier: Apache-2.0
"""Plan and measurements -> the files of a build folder, as bytes: the same for the same input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from myoedge import __version__
from myoedge.folder import MANIFEST, SCHEMA, sha256, to_json
from myoedge.ir import Array
from myoedge.quant import store
from myoedge.quant.sqnr import quantized_inputs
from myoedge.reference import run_integer
from myoedge.streaming import pushed

if TYPE_CHECKING:
    from myoedge.emit.project import Sources
    from myoedge.energy.model import Coefficients
    from myoedge.pace import Paced
    from myoedge.pipeline import Quantized
    from myoedge.plan.planned import Plan
    from myoedge.streaming.pushed import Stream


def build_files(
    plan: Plan,
    quantized: Quantized,
    by: Coefficients,
    limits: Mapping[str, float | None],
    app: str | None = None,
    paced: Paced | None = None,
) -> dict[str, bytes]:
    """Every file of a build folder, the manifest last; the same bytes for the same input.

    limits   what the build was held to, by name; kept in the report
    app      "gap-sdk": with an application of the GAP SDK beside src/
    paced    the stream that the plan is of, where that is not the network over whole samples
    """
    from myoedge.emit.gap_sdk import sdk_application
    from myoedge.emit.project import make_sources
    from myoedge.emit.qdq import qdq_model
    from myoedge.firmware import make_firmware
    from myoedge.plan.planned import describe as describe_plan
    from myoedge.report.energy import with_energy
    from myoedge.report.rows import Outcome, make_report
    from myoedge.report.streams import stream_report, with_pace

    network, name = quantized.network, quantized.model.name
    stream = None if paced is None else paced.stream
    golden = {key: x[0] for key, x in quantized.data.inputs.items()}
    integers = quantized_inputs(network, golden)
    values = run_integer(network.steps, network.constants, integers)
    tried = (integers, values) if stream is None else _one_pass(stream, integers)
    border = (plan.graph_inputs, plan.graph_outputs)
    arrays = [[found[n] for n in names] for found, names in zip(tried, border, strict=True)]
    sources = make_sources(plan, name, (arrays[0], arrays[1]), stream)
    outcome = Outcome(
        name,
        quantized.fidelity,
        quantized.accuracy_float,
        quantized.accuracy_int8,
        {},
        quantized.warnings,
        quantized.model.params,
    )
    app_files = sdk_application(plan, name, sources, stream) if app == "gap-sdk" else {}
    firmware = make_firmware(sources) if sources.on_chip else None
    reused = None if quantized.reused is None else asdict(quantized.reused)
    told = {**make_report(plan, outcome), "budget": dict(limits), "reused": reused}
    if paced is not None:
        told["stream"] = stream_report(paced.stream, paced.frame_hz, paced.window_s, paced.least)
    report = with_pace(with_energy(told, by))
    if firmware is not None:
        report["memory"]["code_bytes"] = firmware.code_bytes
    files = {
        "graph.json": to_json(store.to_json(plan.quant)).encode(),
        "weights.safetensors": store.to_safetensors(plan.quant),
        **({} if stream is None else {"stream.json": to_json(pushed.to_json(stream)).encode()}),
        "plan.json": to_json(describe_plan(plan)).encode(),
        "model.int8.onnx": qdq_model(plan, name, quantized.fidelity),
        **{f"src/{key}": text.encode() for key, text in sources.files.items()},
        **{key: text.encode() for key, text in app_files.items()},
        **({"firmware.elf": firmware.elf} if firmware is not None else {}),
        **({"l3.bin": plan.l3_image()} if plan.l3_bytes else {}),
        **_golden(quantized, integers, values),
        **report_files(report),
    }
    return {**files, MANIFEST: _manifest(quantized, report, sources, files)}


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
    *_, last = pushed.passes(stream, long)
    return last.sample, last.values


def report_files(report: Mapping[str, Any]) -> dict[str, bytes]:
    """What simulate and validate replace."""
    from myoedge.report.html import report_html
    from myoedge.report.rows import layers_csv

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
