# SPDX-License-Identifier: Apache-2.0
"""The golden sample of a build: its files, and the pass of a stream over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from myoedge.backends.build_folder import CALIBRATION
from myoedge.building.sample_statistics import described
from myoedge.building.stream_agreement import check_agreement
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import every_value
from myoedge.quantization.files import npz

if TYPE_CHECKING:
    from myoedge.building.plans import BuildPlan
    from myoedge.building.quantized import Quantized
    from myoedge.building.request import BuildRequest

GoldenRun = tuple[Mapping[str, Array], Mapping[str, Array]]  # integers: inputs, all tensors


def last_run(
    build_plan: BuildPlan, quantized: Quantized, request: BuildRequest, whole: GoldenRun
) -> GoldenRun:
    """Return the run of the golden sample that the generated C repeats: of a stream the last pass.

    whole   the sample in the network over whole samples
    Errors: as check_agreement.
    """
    stream, table = build_plan.stream, request.frames
    if stream is None or table is None:
        return whole
    golden = {name: x[0] for name, x in quantized.samples.given.inputs.items()}
    from myoedge.codegen.known_answer import sample_run

    run = sample_run(stream, golden)
    networks = (quantized.model.graph, quantized.network)
    check_agreement(stream, run, networks, table, golden)
    return run.last.sample, run.last.values


def golden_files(
    quantized: Quantized, integers: Mapping[str, Array], values: Mapping[str, Array]
) -> dict[str, bytes]:
    """Return the golden sample's files (integer inputs, expected outputs) and the digests of the
    calibration samples."""
    graph = quantized.network.graph
    real = {name: x[0] for name, x in quantized.samples.given.inputs.items()}
    inputs = {**real, **{f"{name}.q": x for name, x in integers.items()}}
    floats, outputs = every_value(graph, real), dict[str, Array]()
    for name, shown in zip(graph.outputs, graph.output_names, strict=True):
        outputs |= {shown: floats[name], f"{shown}.q": values[name]}
    known = described(quantized.model, quantized.samples.given)
    kept = {CALIBRATION: npz(known)} if known else {}
    return {"golden/input.npz": npz(inputs), "golden/output.npz": npz(outputs), **kept}
