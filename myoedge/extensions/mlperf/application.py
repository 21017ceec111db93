# SPDX-License-Identifier: Apache-2.0
"""The option --app mlperf: a request of the application, the generated files of its program, and
the conversion of the bytes of a data-set file to the integers of a network's input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from myoedge.building.config_rules import positive_sizes
from myoedge.codegen.application import Application
from myoedge.codegen.render import render
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.version import __version__

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.numerics.quant_params import QuantParams
    from myoedge.plan.plan import Plan
    from myoedge.quantization.scales import QuantGraph
    from myoedge.streaming.stream import Stream


# --- [mlperf] -------------------------------------------------------------------------------------


ModelName = Literal["ad01", "ic01", "ic02", "kws01", "vww01"]
ValueType = Literal["uint8", "int8", "float32"]
FLOATS = "float32"
MOST_LIMITS = 255  # limits of an int8 input's floats
SIGN = 1 << 31


@dataclass(frozen=True, slots=True)
class Dataset:
    """[mlperf]: the benchmark's task, and the format of its data-set files.

    model               task, by which the benchmark's runner selects its test
    input               type of the values; float32 values are real numbers, others scale * (value -
                        zero_point)
    scale, zero_point   quantisation parameters of integer values
    axes                the input's axes in the file's order; None: unchanged
    """

    model: ModelName | None = None
    input: ValueType | None = None
    scale: float = 1.0
    zero_point: int = 0
    axes: list[int] | None = None

    @property
    def value_bytes(self) -> int:
        """Bytes per value in the file."""
        return np.dtype(self.input or FLOATS).itemsize

    def real(self, values: Array) -> Array:
        """Convert values of the file to real numbers, float32."""
        reals = self.scale * (values.astype(np.float64) - self.zero_point)
        return np.asarray(reals, np.float32)


def rules(table: Dataset) -> Iterator[tuple[str, bool]]:
    """Yield the ranges of the numbers of [mlperf], each with whether it is satisfied."""
    yield from positive_sizes({"mlperf.scale": table.scale})
    low, high = (-128, 127) if table.input == "int8" else (0, 255)
    yield f"mlperf.zero_point must be {low} to {high}", low <= table.zero_point <= high
    is_plain = (table.scale, table.zero_point) == (1.0, 0)
    yield "mlperf.scale and zero_point are for bytes", is_plain or table.input != FLOATS


@dataclass(frozen=True)
class FileAxis:
    """An axis of a data-set file.

    length   number of elements
    stride   distance of two elements in the network's input array
    """

    length: int
    stride: int


def file_axes(dataset: Dataset, shape: Sequence[int]) -> list[FileAxis]:
    """Return the axes of a data-set file, slowest first. Errors: E232 a wrong number of axes."""
    order = [*range(len(shape))] if dataset.axes is None else dataset.axes
    if sorted(order) != [*range(len(shape))]:
        facts = {"needs": f"0 to {len(shape) - 1}, each once", "has": order}
        raise MyoedgeError("E232", "[mlperf] axes are not the axes of the input", facts)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return [FileAxis(shape[axis], strides[axis]) for axis in order]


def integers_of_bytes(dataset: Dataset, q: QuantGraph, name: str) -> Array:
    """Return the network input's integer for each of the 256 byte values, quantised as in the
    reference, [channels, 256].

    channels is 1 unless the host normalises them separately.
    """
    values = np.arange(256, dtype=np.uint8).view(dataset.input or FLOATS)
    return np.stack([_quantise_input(q, name, real) for real in dataset.real(values)], -1)


def limits_of_floats(q: QuantGraph, name: str) -> Array:
    """Return the float thresholds between a network input's integers, as keys (`keys_of`), uint32
    [channels, 255].

    For each integer above the lowest, it is the smallest float that the reference quantises to it.
    The firmware finds an integer by binary search.
    """
    low, high = keys_of(np.array([-np.inf, np.inf], np.float32)).astype(np.int64)
    lowest = q.params[name].low
    wanted = np.arange(lowest + 1, lowest + 1 + MOST_LIMITS)[:, None]
    channels = _quantise_input(q, name, np.zeros(1, np.float32)).size
    below = np.full((MOST_LIMITS, channels), low - 1)
    reached = np.full((MOST_LIMITS, channels), high)
    while np.any(reached - below > 1):
        middle = (below + reached) // 2
        # The input's integers for the floats with these keys, int64 [limits, channels]
        bits = np.where(middle >= SIGN, middle - SIGN, 2 * SIGN - 1 - middle).astype(np.uint32)
        rows = [_quantise_input(q, name, row) for row in bits.view(np.float32)]
        is_reached = np.stack(rows).astype(np.int64) >= wanted
        reached = np.where(is_reached, middle, reached)
        below = np.where(is_reached, below, middle)
    return np.asarray(reached.T, np.uint32)


def keys_of(x: Array) -> Array:
    """Return float32 numbers as uint32 keys that have the same order."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return np.where(bits & np.uint32(SIGN), ~bits, bits | np.uint32(SIGN))


def _quantise_input(q: QuantGraph, name: str, real: Array) -> Array:
    """Return the input's integers [channels] at a real number, or at one number per channel."""
    port = q.input_port(name)
    border, shape = port.normalization, [1] * len(port.shape)
    if border is not None:
        shape[border.axis] = len(border.scale)
    channels = np.broadcast_to(real, math.prod(shape))
    return port.integers(channels.reshape(shape)).ravel()


# --- application ----------------------------------------------------------------------------------


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
