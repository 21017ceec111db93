# SPDX-License-Identifier: Apache-2.0
"""The option --app mlperf: a request of the application, and the generated files of its
program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.codegen.application import Application
from myoedge.codegen.render import render
from myoedge.errors import MyoedgeError
from myoedge.extensions.mlperf.dataset import (
    FLOATS,
    Dataset,
    file_axes,
    integers_of_bytes,
    limits_of_floats,
)
from myoedge.version import __version__

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.numerics.quant_params import QuantParams
    from myoedge.plan.plan import Plan
    from myoedge.streaming.stream import Stream


@dataclass(frozen=True)
class MlperfApplication(Application):
    """The application that answers MLPerf Tiny's serial protocol with samples of a data set."""

    dataset: Dataset
    name = "mlperf"

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the files. Errors: E258, E232 as mlperf_files."""
        return mlperf_files(plan, self.dataset, values, values["digest"])

    def sources_in(self, project: str, files: Mapping[str, str]) -> list[str]:
        starts = f"{FOLDER}/mlperf"
        return [name for name in files if name.startswith(starts) and name.endswith(".c")]

    def files_in(self, project: str) -> dict[str, str]:
        return {SDK_SERVE: (FIRMWARE / SDK_SERVE).read_text()}


@dataclass(frozen=True)
class MlperfRequest:
    """Settings of the application: [mlperf], with all keys that the protocol requires."""

    dataset: Dataset

    def application(self, plan: Plan, stream: Stream | None) -> Application:
        """Return the application of a planned network."""
        return MlperfApplication(self.dataset)


def requested(options: BuildOptions, settings: Config) -> MlperfRequest:
    """Return the request of a build. Errors: E232 [mlperf] lacks a key; E258 a stream."""
    dataset: Dataset = settings.table("mlperf")
    if options.stream:
        title = "MLPerf Tiny's protocol has whole inputs, and no frames"
        raise MyoedgeError("E258", title, {}, ["--app gap-sdk", "without --stream"])
    missing = [key for key in ("model", "input") if getattr(dataset, key) is None]
    if missing:
        tries = ['[mlperf] model = "ic01" and input = "uint8" in myoedge.toml, say']
        title = f"--app mlperf needs [mlperf] {' and '.join(missing)}"
        raise MyoedgeError("E232", title, {}, tries)
    return MlperfRequest(dataset)


# --- generated parts of the program ---------------------------------------------------------------


FIRMWARE = Path(__file__).parent / "firmware"  # the templates
FOLDER = "firmware/mlperf"  # subfolder of src/
SDK_SERVE = "serve.c"  # in gap_sdk/
MULTIPLIER_BITS = 30
SUM_BITS = 63  # bits of the sum of squared differences
BEYOND_RANGE_BITS = 2  # bits by which a file's values may exceed the largest reconstruction


def fixed_scale(scale: float, zero_point: int, units: float) -> str:
    """Return the C initialiser of a me_scale that multiplies by scale * units, with 30 bits.

    units   1000 to convert to thousandths, say
    Errors: E258 the product is 2**29 or more.
    """
    exponent = math.frexp(scale * units)[1]
    if exponent >= MULTIPLIER_BITS:
        raise MyoedgeError(
            "E258", f"a scale of {scale:.3g} is too large", {"needs": "less than 1e5"}
        )
    shift = min(MULTIPLIER_BITS - exponent, 62)
    return f"{{ {zero_point}, {round(math.ldexp(scale * units, shift))}, {shift} }}"


def mlperf_files(
    plan: Plan, dataset: Dataset, values: Mapping[str, Any], digest: str
) -> dict[str, str]:
    """Return the files of src/firmware/mlperf: protocol, number conversion, constants, main
    program.

    values   values that all templates share
    digest   of the network, which the program reports
    Errors: E258 a network that the protocol does not support; E232 axes.
    """
    _check_ports(plan, is_float=dataset.input == FLOATS)
    ports = {"input": values["inputs"][0], "output": values["outputs"][0]}
    told = {**values, **ports, **_network_values(plan, dataset), **_identity_values(plan, digest)}
    files = {}
    for path in sorted(FIRMWARE.iterdir()):
        if path.name != SDK_SERVE:
            is_made = path.suffix == ".j2"
            text = render(path.name, told, FIRMWARE) if is_made else path.read_text()
            files[f"{FOLDER}/{path.name.removesuffix('.j2')}"] = text
    return files


def _identity_values(plan: Plan, digest: str) -> dict[str, Any]:
    program = plan.chip.program
    assert program is not None, "a chip with applications"
    assert program.clocks is not None, "a chip with applications"
    return {
        "device": f"myoedge {plan.chip.name}",
        "program": f"myoedge {__version__}, model {digest[:16]}",
        "clock_khz": program.clocks.settings(plan.chip.point.clock_hz).hz // 1000,
    }


def _check_ports(plan: Plan, *, is_float: bool) -> None:
    q, ports = plan.quant, (*plan.graph_inputs, *plan.graph_outputs)
    is_narrow = all(q.element_type(name).bits == 8 for name in plan.graph_inputs)
    borders = filter(None, (q.input_port(name).normalization for name in plan.graph_inputs))
    needs = {
        "one input and one output": len(plan.graph_inputs) == len(plan.graph_outputs) == 1,
        "floats at input and output": all(name in q.params for name in ports),
        "input and output in L2": all(not plan.where[name].in_level for name in ports),
        "an int8 input, for float32 values": is_narrow or not is_float,
        "factors above 0 before the network": all(min(b.scale) > 0 for b in borders),
    }
    for need, holds in needs.items():
        if not holds:
            title = "the network does not fit MLPerf Tiny's protocol"
            raise MyoedgeError("E258", title, {"needs": need}, ["--app gap-sdk"])


def _network_values(plan: Plan, dataset: Dataset) -> dict[str, Any]:
    q, ((name,), (output,)) = plan.quant, (plan.graph_inputs, plan.graph_outputs)
    shape, axes = q.graph.shape(name), file_axes(dataset, q.graph.shape(name))
    is_float = dataset.input == FLOATS
    table = limits_of_floats(q, name) if is_float else integers_of_bytes(dataset, q, name)
    border = q.input_port(name).normalization
    order = dataset.axes or [*range(len(shape))]
    at = 0 if border is None else order.index(border.axis)
    made = {
        "dataset": dataset,
        "count": math.prod(shape),
        "value_bytes": dataset.value_bytes,
        "axes": axes,
        "table": table,
        "lowest": q.params[name].low,
        "channel_step": math.prod(axis.length for axis in axes[at + 1 :]),
    }
    params, is_same = q.params[output], q.graph.shape(output) == shape
    return made | (
        _reconstruction(params, dataset, shape) if is_same else _score_values(plan, output)
    )


def _score_values(plan: Plan, output: str) -> dict[str, Any]:
    params = plan.quant.params[output]
    thousandths = fixed_scale(params.scale, params.zero_point, 1000)
    results = math.prod(plan.quant.graph.shape(output))
    return {
        "reconstructs": False,
        "results": results,
        "scales": {"me_thousandths": thousandths},
    }


def _reconstruction(
    params: QuantParams, dataset: Dataset, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return the fixed-point format of the sum of squared differences: as many fraction bits as fit
    in 64 bits, for file values up to 2**range and the largest reconstruction."""
    largest = max(math.frexp(params.scale * params.reach)[1] + BEYOND_RANGE_BITS, 0)
    count_bits = math.prod(shape).bit_length()
    fraction = min((SUM_BITS - count_bits) // 2 - (largest + 1), 24)
    units = 2.0**fraction
    scales = {"me_output_real": fixed_scale(params.scale, params.zero_point, units)}
    if dataset.input != FLOATS:
        scales["me_file_real"] = fixed_scale(dataset.scale, dataset.zero_point, units)
    return {
        "reconstructs": True,
        "results": 1,
        "fraction": fraction,
        "range": largest,
        "scales": scales,
    }
