# SPDX-License-Identifier: Apache-2.0
"""report.json ("myoedge.report/1") from a plan and measured results, and its layers as
layers.csv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from myoedge.backends.names import listed_backends
from myoedge.codegen.names import function_name
from myoedge.errors import Notice
from myoedge.graph.ir import plain
from myoedge.operators.base import QuantizedNode
from myoedge.operators.layer_names import activation, origin_rows
from myoedge.plan.cost.network import (
    latency_s,
    layer_cycles,
    layer_estimates,
    layer_waits,
    step_macs,
    waits_by_clock,
)
from myoedge.plan.engine_rules import other_engine
from myoedge.plan.loops import LoopLayers
from myoedge.plan.plan import Plan
from myoedge.quantization.calibrate import Calibration
from myoedge.quantization.calibrate import describe as describe_calibration
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.files import model_digest
from myoedge.quantization.ports import QuantPort
from myoedge.quantization.search.state import TriedMove
from myoedge.quantization.sqnr import GOOD_DB as GOOD_DB
from myoedge.quantization.sqnr import WEAK_DB as WEAK_DB
from myoedge.reports.evaluations import choice_row, decibels, evaluation_rows, output_fidelity, sqnr
from myoedge.reports.memory import layer_bytes, memory
from myoedge.simulator.result import STALLS
from myoedge.targets import ACCELERATOR

SCHEMA = "myoedge.report/1"
UNLIMITED = 2**31 - 1  # memory of target "host"
CAUSES = ("busy", "engine", *STALLS)  # use of the cores' time

BUSY = f"cycles_{ACCELERATOR.name}"  # key of a layer: cycles in which the accelerator ran
MODELLED = ("cycles_modelled", "waiting_modelled", f"{ACCELERATOR.name}_modelled")
MEASURED = (  # keys of a layer that has run
    *("cycles", "cycles_compute", "cycles_dma", BUSY, "macs_per_cycle"),
    *("energy_uj", "energy_low_uj", "energy_high_uj", "activity", "instructions", "stalls"),
)

# Constants of weights: as kernels read or unpack them, or unsigned planes of one bit each
STORED = ("weights", "resident_weights", "rest_weights", "planes")
LAYER_KEYS = ("name", "label", "op", "function", "origin")  # that name a layer elsewhere

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results of a build in addition to its plan; None if not measured.

    model_name     name of the model
    fidelity       SQNR of the network and its layers
    evaluation     results on labelled samples: classes, or errors of targets
    exact          backend -> whether its integers equal the reference; None if not run
    warnings       warnings of the build
    params         parameters of the model as loaded; None: counted after folding
    judged_on      samples used for SQNR: "calibration" or "held-out"
    holdout        the held-out samples; None if there are none
    observers_db   observer -> SQNR of the worst output in dB, on calibration samples
    choices        moves tried to reach the SQNR goal
    accurate       whether the goal was 30 dB regardless of cycles
    """

    model_name: str
    fidelity: Fidelity | None = None
    evaluation: Evaluation | None = None
    exact: Mapping[str, bool | None] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    params: int | None = None
    judged_on: str = "calibration"
    holdout: Mapping[str, Any] | None = None
    observers_db: Mapping[str, float] = field(default_factory=dict)
    choices: Sequence[TriedMove] = ()
    accurate: bool = False


def make_report(plan: Plan, outcome: Outcome) -> Report:
    """Return the report of a build as JSON values: finite numbers, without paths or times."""
    cycles = [dict(zip(MODELLED, row, strict=True)) for row in layer_estimates(plan)]
    layers = [_layer_json(plan, outcome, *row) for row in enumerate(cycles)]
    q, graph = plan.quant, plan.quant.graph
    counted = sum(int(values.size) for values in graph.arrays.values())
    outputs = zip(plan.graph_outputs, graph.output_labels, strict=True)
    return {
        "schema": SCHEMA,
        "model": {
            "name": outcome.model_name,
            "digest": plan.quant.digest,
            "integer_digest": model_digest(plan.quant),
            "params": counted if outcome.params is None else outcome.params,
            "macs": sum(step_macs(plan, index) for index in range(len(plan.steps))),
            **_loops_json(plan),
        },
        "target": _target_json(plan),
        "quantization": _quantization_json(plan, outcome, layers),
        "exact": {name: outcome.exact.get(name) for name in listed_backends(plan.chip.name)},
        "cycles": _estimated_cycles(plan),
        "latency_s": latency_s(plan),
        "energy_uj": None,
        "memory": memory(plan),
        "inputs": [_port_json(plan, q.input_port(name), name) for name in plan.graph_inputs],
        "outputs": [
            {
                **_port_json(plan, q.output_port(name), shown),
                **output_fidelity(outcome.fidelity, name),
            }
            for name, shown in outputs
        ],
        "layers": layers,
        "warnings": [*map(notice_row, outcome.warnings)],
    }


def _loops_json(plan: Plan) -> dict[str, Any]:
    whole = [
        {**asdict(LoopLayers(n, n, step.turns)), "in_one_call": True}
        for n, step in enumerate(plan.steps)
        if step.turns > 1
    ]
    found = sorted((*map(asdict, plan.loops), *whole), key=lambda loop: loop["first"])
    return {"loops": found} if found else {}


def _target_json(plan: Plan) -> dict[str, Any]:
    chip = plan.chip
    return {
        "chip": chip.name,
        "doc": chip.doc,
        "operating_point": chip.point.name,
        "clock_hz": chip.point.clock_hz or None,
        "operating_points": [asdict(point) for point in chip.points if point.clock_hz],
        "l1_bytes": chip.l1_bytes or None,
        "l2_bytes": chip.l2_bytes if chip.l2_bytes < UNLIMITED else None,
        **({"flash_bytes": chip.flash_bytes} if chip.flash_bytes else {}),
        "l3_bytes": chip.l3_bytes or None,
        "l3_bytes_per_s": chip.l3_bytes_per_s or None,
        "engines": [{"name": x, "macs_per_cycle": rate} for x, rate in chip.rates.items()],
    }


def _estimated_cycles(plan: Plan) -> dict[str, Any] | None:
    """Return the cycles estimated by the cost model; None for a target without a clock."""
    if not plan.chip.point.clock_hz:
        return None
    macs = sum(step_macs(plan, index) for index in range(len(plan.steps)))
    total = sum((*layer_cycles(plan), *layer_waits(plan)))
    waits = [{"to_hz": hz, "layers": [*layers]} for hz, layers in waits_by_clock(plan)]
    return {
        "total": total,
        "clock_hz": plan.chip.point.clock_hz,
        **({"waits": waits} if waits else {}),
        "outside_layers": 0,
        "source": "modelled",
        "shown": None,
        "startup": None,
        "inferences": [],
        "macs_per_cycle": round(macs / total, 3) if macs and total else None,
        "stalls": None,
    }


# --- fidelity -------------------------------------------------------------------------------------


def _quantization_json(
    plan: Plan, outcome: Outcome, layers: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the `quantization` entry; `weakest` is the layer that adds the most noise."""
    measured = [row for row in layers if row["sqnr_local_db"] is not None]
    row = min(measured, key=lambda r: float(r["sqnr_local_db"]), default=None)
    keys = (*LAYER_KEYS, "sqnr_local_db")
    return {
        **quantization_rows(outcome, plan.quant.calibration),
        "weakest": None if row is None else {key: row[key] for key in keys},
        "noise_from": _noise_sources(plan, outcome.fidelity),
    }


def quantization_rows(outcome: Outcome, calibration: Calibration) -> dict[str, Any]:
    """Return the entries of `quantization` in report.json that need no plan."""
    fidelity, evaluation = outcome.fidelity, outcome.evaluation
    return {
        **sqnr(fidelity),
        "sqnr_before": [] if fidelity is None else list(fidelity.final_functions),
        **evaluation_rows(evaluation),
        "class_names": [*evaluation.names] if evaluation and evaluation.has_classes else [],
        "samples": None if fidelity is None else len(fidelity.real),
        "judged_on": None if fidelity is None else outcome.judged_on,
        "holdout": outcome.holdout,
        "source": "integer reference against the float network",
        "calibration": describe_calibration(calibration),
        "observers_db": {name: decibels(db) for name, db in outcome.observers_db.items()},
        "accurate": outcome.accurate,
        "choices": [choice_row(choice) for choice in outcome.choices],
    }


def _noise_sources(plan: Plan, fidelity: Fidelity | None) -> dict[str, str]:
    """Return layer -> tensor for the layers whose noise comes from another tensor's rounding; for
    the result of a chain's member, the chain's name."""
    if fidelity is None:
        return {}
    names = {own.node.name: step.node.name for step in plan.steps for own in step.layers}
    weakest = {step.node.name: _weakest_member(step, fidelity) for step in plan.steps}
    found = {name: fidelity.sources.get(own or name, name) for name, own in weakest.items()}
    shown = {name: names.get(source, source) for name, source in found.items()}
    return {name: source for name, source in shown.items() if source != name}


def _weakest_member(step: QuantizedNode, fidelity: Fidelity) -> str | None:
    return fidelity.weakest(own.node.name for own in step.layers)


# --- inputs and outputs ---------------------------------------------------------------------------


def _port_json(plan: Plan, port: QuantPort, display_name: str) -> dict[str, Any]:
    params, border = port.params, port.normalization
    normalization = border and {
        "scale": plain(border.scale),
        "offset": plain(border.offset),
        "axis": border.axis,
        "origin": origin_rows(border.origin),
    }
    # The memory of an input or output: "L2", or the level behind it
    place = plan.where[port.name]
    return {
        "name": display_name,
        "tensor": port.name,
        "shape": list(port.shape),
        "dtype": port.dtype,
        "bytes": port.size_bytes,
        "level": place.kind.upper() if place.in_level else "L2",
        "scale": None if params is None else params.scale,
        "zero_point": None if params is None else params.zero_point,
        "border": normalization,
    }


# --- layers ---------------------------------------------------------------------------------------


def _layer_json(
    plan: Plan, outcome: Outcome, index: int, cycles: Mapping[str, int | None]
) -> dict[str, Any]:
    step = plan.steps[index]
    node, fidelity = step.node, outcome.fidelity
    weakest = None if fidelity is None else _weakest_member(step, fidelity)
    local = {} if fidelity is None else fidelity.local
    cumulative = {} if fidelity is None else fidelity.cumulative
    return {
        "name": node.name,
        "label": node.label,
        "op": node.op,
        "members": [*step.operators] if step.members else [],
        "activation": activation(node),
        "function": function_name(index, step),
        "origin": origin_rows(node.origin),
        "in_shapes": [list(shape) for shape in step.shapes],
        "out_shape": list(plan.quant.graph.shape(node.name)),
        "dtype": plan.quant.dtype(node.name),
        "reads": list(step.operands),
        "writes": list(step.written),
        "in_dtypes": [plan.quant.dtype(name) for name in step.operands],
        **_weights_json(plan, index),
        "macs": step_macs(plan, index),
        **dict.fromkeys(MEASURED),
        **_tiling_json(plan, index, cycles),
        **layer_bytes(plan, index),
        "sqnr_db": decibels(cumulative.get(node.name)),
        "sqnr_local_db": decibels(local.get(weakest or node.name)),
    }


def _weights_json(plan: Plan, index: int) -> dict[str, Any]:
    """Return the type and bits of the widest weights of a layer as in report.json, and the bits of
    a weight where it is stored: several if parts of a layer differ."""
    weighted = [x for x in plan.steps[index].layers if x.integers.arrays.get("weight") is not None]
    widest = max(weighted, key=lambda x: x.weight_bits, default=None)
    if widest is None:
        return {"weight_dtype": None, "weight_bits": None, "weight_stored_bits": []}
    kernel, bits = plan.tilings[index].kernel, widest.weight_bits
    types = {name: array.dtype for name, array in kernel.arrays.items() if name in STORED}
    stored = {name: bits if x.kind == "u" else 8 * x.itemsize for name, x in types.items()}
    if kernel.packing is not None:
        stored[kernel.packing.operand] = kernel.packing.bits
    return {
        "weight_dtype": widest.weight_type.dtype.name,
        "weight_bits": bits,
        "weight_stored_bits": sorted({*stored.values()}) or [widest.weight_type.bits],
    }


def _tiling_json(plan: Plan, index: int, cycles: Mapping[str, int | None]) -> dict[str, Any]:
    """Return the tiles, estimated cycles and engine of a layer as in report.json; a layer without
    tiles runs on the chip's first engine."""
    tiling = plan.tilings[index] if plan.chip.l1_bytes else None
    if tiling is None:
        nothing = dict.fromkeys(("l1_bytes", "tile", "tiles"))
        engine = plan.chip.engines[0].name if plan.chip.l1_bytes else None
        return {**nothing, **cycles, "engine": engine, "other_engine": None}
    return {
        "l1_bytes": tiling.l1_bytes,
        "tile": dims(tiling.shape),
        "tiles": len(tiling.tiles),
        **cycles,
        "engine": tiling.kernel.engine,
        "other_engine": other_engine(plan, index),
    }


def notice_row(notice: Notice) -> dict[str, Any]:
    """Return a warning as JSON values."""
    return {
        "code": notice.code,
        "title": notice.title,
        "facts": [list(pair) for pair in notice.facts],
        "tries": list(notice.tries),
    }


def dims(shape: Iterable[int]) -> str:
    """Format a shape: "1x8x40"; "scalar" without dimensions."""
    return "x".join(map(str, shape)) or "scalar"
