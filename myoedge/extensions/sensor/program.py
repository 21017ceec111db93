# SPDX-License-Identifier: Apache-2.0
"""Settings of the sensor application: front end, windows, decisions; stored in sensor.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.wake import Gate, GateOutput
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.numerics.counts import CountConversion, count_conversion
from myoedge.plan.plan import Plan, size_bytes
from myoedge.plan.plan_json import levels_bytes
from myoedge.targets import DEFAULT
from myoedge.targets import DEFAULT_CLOCKS as CLOCKS
from myoedge.targets.chip import OperatingPoint
from myoedge.targets.clocks import ChipClock
from myoedge.targets.sensor import MOST_CHANNELS, Pins, Sensor

if TYPE_CHECKING:
    from myoedge.graph.input_normalization import InputNormalization
    from myoedge.quantization.ports import QuantPort
    from myoedge.quantization.scales import QuantGraph
    from myoedge.streaming.stream import Stream

CODE = "E265"
NO_APPLICATION = "a build without --app sensor"
JSON = "sensor.json"
SCHEMA = "myoedge.sensor/1"
SPARE_SAMPLES = 16  # in the ring buffer, for jitter
SPARE_PACKETS, MOST_PACKETS = 4, 64
MOST_VALUE_BYTES = 4000  # of a packet with all output integers


@dataclass(frozen=True, slots=True)
class SampleLayout:
    """The network's input as [outer, samples, inner]; channel c of a sample is at (c // inner, c %
    inner)."""

    outer: int
    samples: int
    inner: int

    def arranged(self, samples: Array) -> Array:
        """Arrange samples [samples, channels] as the flat elements of the input."""
        grouped = samples.reshape(self.samples, self.outer, self.inner)
        return grouped.transpose(1, 0, 2).ravel()


class _NetworkInput(NamedTuple):
    """The input of a network: its port, its time axis (None without a stream), its layout."""

    port: QuantPort
    time_axis: int | None
    layout: SampleLayout


@dataclass(frozen=True)
class SensorProgram:
    """Settings of the sensor application of one build.

    sensor       front end and its wiring
    layout       order of samples and channels in the network's input
    conversion   from converter values to the input's integers
    hop          samples between the starts of two windows or frames
    frames       frames per pass; 1 without a stream
    results      number of integers of one decision
    ready        maximum number of decisions per pass
    classes      "largest": the class is the index of the largest integer; "index": the integer is
                 the class; "none": there are no classes
    sample_type, result_type   element types of input and output
    other_outputs_bytes   sizes of the outputs after the first
    is_stream    whether the network is a stream
    point        operating point of the build
    gate         gate of [wake]; None: the network runs on every window
    fast_peripherals   whether the peripherals have the network's clock, as the memories beside L2
                 that it reads need, rather than the one of waiting
    """

    sensor: Sensor
    layout: SampleLayout
    conversion: CountConversion
    hop: int
    frames: int
    results: int
    ready: int
    classes: str
    sample_type: str
    result_type: str
    other_outputs_bytes: tuple[int, ...]
    is_stream: bool
    point: OperatingPoint = DEFAULT.point
    gate: Gate | None = None
    fast_peripherals: bool = False

    @property
    def clock(self) -> ChipClock:
        """Clocks of the program without an SDK."""
        waiting_hz, fast = self.point.waiting_hz, self.fast_peripherals
        return CLOCKS.settings(self.point.clock_hz, waiting_hz, fast_peripherals=fast)

    @property
    def clock_hz(self) -> int:
        """Clock of controller and cluster while the network runs."""
        return self.clock.hz

    @property
    def all_values(self) -> bool:
        """Whether packets contain all integers of the output."""
        return self.sensor.packets == "outputs"

    @property
    def values_bytes(self) -> int:
        """Bytes of all integers of a decision."""
        return self.results * np.dtype(self.result_type).itemsize

    @property
    def ring_samples(self) -> int:
        """Samples in the firmware's ring buffer: a window, two passes and a few more; a power of
        two."""
        needed = self.layout.samples + 2 * self.hop * self.frames + SPARE_SAMPLES
        return 1 << (needed - 1).bit_length()

    @property
    def queue_packets(self) -> int:
        """Packets in the firmware's send queue: packets of a full ring buffer, and a few spare."""
        return min(self.ring_samples // self.hop + self.ready + SPARE_PACKETS, MOST_PACKETS)

    def to_json(self) -> dict[str, Any]:
        """Return sensor.json; fractions are stored as text."""
        sensor = asdict(self.sensor)
        rates = {name: str(x) for name, x in sensor.items() if isinstance(x, Fraction)}
        plain = {**asdict(self), "sensor": {**sensor, **rates}}
        return {"schema": SCHEMA, **plain, "ring_samples": self.ring_samples}


def from_json(document: Mapping[str, Any]) -> SensorProgram:
    """Load the program from sensor.json."""
    values: dict[str, Any] = {
        n: x for n, x in document.items() if n not in ("schema", "ring_samples")
    }
    sensor = dict(values["sensor"])
    for name in ("rate_hz", "gain", "reference_v"):
        sensor[name] = Fraction(sensor[name])
    conversion: dict[str, Any] = {
        n: tuple(x) if isinstance(x, list) else x for n, x in values["conversion"].items()
    }
    values["sensor"] = Sensor(**{**sensor, "pins": Pins(**sensor["pins"])})
    values["point"] = OperatingPoint(**values["point"])
    values["gate"] = gate = values.get("gate") or None
    if gate is not None:
        output = None if gate.get("output") is None else GateOutput(**gate["output"])
        values["gate"] = Gate(**{**gate, "output": output})
    values["layout"] = SampleLayout(**values["layout"])
    values["conversion"] = CountConversion(**conversion)
    values["other_outputs_bytes"] = tuple(values["other_outputs_bytes"])
    return SensorProgram(**values)


def sensor_program(
    plan: Plan, sensor: Sensor, stream: Stream | None, axis: int | None, scale: float
) -> SensorProgram:
    """Return the settings of the sensor application for a planned network and a front end.

    axis    [stream] axis, the time axis of whole windows
    scale   [calib] scale
    Errors: E265 the network does not fit the front end.
    """
    _check_network_input(plan, stream)
    q, port = plan.quant, plan.quant.input_port(plan.graph_inputs[0])
    shape = port.shape
    time_axis = None if stream is None else stream.inputs[0].axis
    frame = [length for at, length in enumerate(shape) if at != time_axis]
    layout = window_layout(frame, sensor.channels, axis if stream is None else None)
    output = plan.graph_outputs[0] if stream is None else stream.outputs[0].name
    border = _NetworkInput(port, time_axis, layout)
    return SensorProgram(
        sensor,
        layout,
        _input_conversion(sensor, border, Fraction(scale)),
        sensor.hop,
        **_frames_and_results(plan, stream),
        classes=_class_count(q, output, _result_shape(q, stream, output), sensor),
        sample_type=port.dtype,
        result_type=q.dtype(output),
        is_stream=stream is not None,
        point=plan.chip.point,
        fast_peripherals=any(levels_bytes(plan).values()),
    )


def _sensor_error(needs: str, *tries: str, **facts: object) -> MyoedgeError:
    title = "the network does not fit the sensor application"
    return MyoedgeError(CODE, title, {"needs": needs, **facts}, tries)


def _check_network_input(plan: Plan, stream: Stream | None) -> None:
    inputs = plan.graph_inputs if stream is None else [port.name for port in stream.inputs]
    outputs = plan.graph_outputs if stream is None else [port.name for port in stream.outputs]
    needs = {
        "one input": len(inputs) == 1,
        "an input of real numbers": all(name in plan.quant.params for name in inputs),
        "input and outputs in L2": all(
            not plan.where[name].in_level for name in (*inputs, *outputs)
        ),
    }
    for need, holds in needs.items():
        if not holds:
            raise _sensor_error(need, NO_APPLICATION, has=f"inputs {', '.join(inputs)}")


def window_layout(shape: Sequence[int], channels: int, axis: int | None) -> SampleLayout:
    """Return the layout of samples in an input or frame: along the only axis whose length times the
    number of channels is the number of elements. Errors: E265 none, or several without `axis`."""
    elements = math.prod(shape)
    if elements == channels:
        return SampleLayout(1, 1, channels)
    axes = [at for at, length in enumerate(shape) if length * channels == elements]
    if not axes:
        others = (elements // length for length in shape if length > 1)
        fitting = sorted({n for n in (elements, *others) if n <= MOST_CHANNELS})
        tries = f"[sensor] channels = {' or '.join(map(str, fitting))}"
        needs = f"an axis of samples, and {channels} channels along the other axes"
        raise _sensor_error(needs, tries if fitting else NO_APPLICATION, has=str([*shape]))
    if axis is not None:
        axes = [at for at in axes if at == axis % len(shape)]
    if len(axes) != 1:
        need = f"one axis of {elements // channels} samples of {channels} channels"
        raise _sensor_error(need, "[stream] axis = 2, for example", has=str([*shape]))
    outer, samples, inner = outer_inner(tuple(shape), axes[0])
    return SampleLayout(outer, samples, inner)


def _input_conversion(sensor: Sensor, border: _NetworkInput, scale: Fraction) -> CountConversion:
    """Return the conversion from converter counts to the input's integers, with unit, [calib] scale
    and the host's normalisation."""
    params, normalization = border.port.params, border.port.normalization
    assert params is not None, "of real numbers, as _check_network_input requires"
    factors, offsets = [Fraction(1)] * sensor.channels, [Fraction(0)] * sensor.channels
    if normalization is not None:
        factors = _factors_by_channel(normalization, normalization.scale, border)
        offsets = _factors_by_channel(normalization, normalization.offset, border)
    step, per_count = Fraction(params.scale), sensor.count_units * scale
    made = count_conversion(
        [factor * per_count / step for factor in factors],
        [offset / step + params.zero_point for offset in offsets],
        params.low,
        params.high,
    )
    if made is None:
        raise _sensor_error("counts and offsets within 2^30 steps of the input's scale")
    return made


def _factors_by_channel(
    normalization: InputNormalization, values: Sequence[float], border: _NetworkInput
) -> list[Fraction]:
    """Return one factor or offset per channel. Errors: E265 if it varies along time."""
    shape = border.port.shape
    along = [-1 if at == normalization.axis else 1 for at in range(len(shape))]
    full = np.broadcast_to(np.reshape(np.array(values, np.float64), along), shape)
    if border.time_axis is not None:
        full = np.take(full, 0, border.time_axis)
    layout = border.layout
    grouped = full.reshape(layout.outer, layout.samples, layout.inner).swapaxes(0, 1)
    rows = grouped.reshape(layout.samples, -1)
    if np.any(rows != rows[0]):
        raise _sensor_error("the same normalisation for every sample")
    return [Fraction(float(x)) for x in rows[0]]


def _result_shape(q: QuantGraph, stream: Stream | None, name: str) -> list[int]:
    shape = [*q.graph.shape(name)]
    if stream is not None:
        del shape[stream.outputs[0].axis]
    return shape


def _frames_and_results(plan: Plan, stream: Stream | None) -> dict[str, Any]:
    """Return the numbers of frames and results per pass, and the bytes of outputs that packets
    leave out."""
    q = plan.quant
    names = plan.graph_outputs if stream is None else [port.name for port in stream.outputs]
    return {
        "frames": 1 if stream is None else stream.frames,
        "ready": 1 if stream is None else stream.outputs[0].frames,
        "results": math.prod(_result_shape(q, stream, names[0])),
        "other_outputs_bytes": tuple(size_bytes(q, name) for name in names[1:]),
    }


def _class_count(q: QuantGraph, output: str, shape: Sequence[int], sensor: Sensor) -> str:
    size_bytes = math.prod(shape) * q.element_type(output).size_bytes
    if sensor.packets == "outputs" and size_bytes > MOST_VALUE_BYTES:
        raise _sensor_error(
            f"at most {MOST_VALUE_BYTES:,} bytes of results per packet", has=str([*shape])
        )
    if output not in q.params and math.prod(shape) == 1:
        return "index"
    if output in q.params and len([n for n in shape if n > 1]) == 1:
        return "largest"
    if sensor.packets != "outputs":
        raise _sensor_error(
            "an output of classes", '[sensor] packets = "outputs"', has=str([*shape])
        )
    return "none"
