# SPDX-License-Identifier: Apache-2.0
"""The option --app sensor: a request of the application, and its files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.codegen.application import Application, Period
from myoedge.codegen.render import C_TYPES, render
from myoedge.errors import MyoedgeError, Notice
from myoedge.extensions.sensor.clocks import check_clock, interrupt_us, period_of
from myoedge.extensions.sensor.gate_limit import gate_of, unable
from myoedge.extensions.sensor.program import JSON, SensorProgram, sensor_program
from myoedge.extensions.sensor.settings import sensor_of
from myoedge.extensions.sensor.wake import (
    CODE,
    NO_GATE,
    GateOutput,
    WakeTable,
    check_wake,
    gate_output,
)
from myoedge.power.states import RISE_US, WORTH_OFF_US
from myoedge.targets.sensor import CHIP_CHANNELS, Sensor, SensorTable

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.plan.plan import Plan
    from myoedge.quantization.samples import Data
    from myoedge.streaming.stream import Stream
    from myoedge.targets.chip import Chip

PROBED_CHANNELS = 8  # assumed to check [sensor] before the network is known


@dataclass(frozen=True)
class SensorApplication(Application):
    """The application that runs the network on the samples of a front end and sends its
    decisions.

    wake     [wake]; None: the network runs on every window
    output   output of the network by which [wake] decides; None: none
    """

    program: SensorProgram
    chip: Chip
    wake: WakeTable | None = None
    output: GateOutput | None = None
    name = "sensor"

    def learned(self, plan: Plan, data: Data) -> Application:
        if self.wake is None:
            return self
        gate = gate_of(self.wake, plan, self.program, data)
        return replace(self, program=replace(self.program, gate=gate))

    def reported(self) -> dict[str, Any]:
        gate = self.program.gate
        return {} if gate is None else {"wake": asdict(gate)}

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        return sensor_files(self.program, values, values["digest"])

    def sources_in(self, project: str, files: Mapping[str, str]) -> list[str]:
        return sorted(name for name in sdk_sources(files) if name.endswith(".c"))

    def files_in(self, project: str) -> dict[str, str]:
        return {SDK_PORT: (FIRMWARE / SDK_PORT).read_text()}

    def described(self) -> dict[str, Any]:
        return {JSON: self.program.to_json()}

    @property
    def warnings(self) -> tuple[Notice, ...]:
        gate = self.program.gate
        return () if gate is None else (*unable(gate),)

    @property
    def exit_output(self) -> int | None:
        return None if self.output is None else self.output.number

    @property
    def period(self) -> Period:
        by_energy = self.wake is not None and self.wake.by_energy
        period, gate = period_of(self.program, self.chip, gated=by_energy), self.program.gate
        if gate is None or not gate.windows:
            return period
        share = gate.at_rest / gate.windows
        return replace(period, rest_share=share, rest_layers=gate.layers)


@dataclass(frozen=True)
class SensorRequest:
    """Settings of the sensor application: [sensor], with keys of other tables.

    table    [sensor]
    axis     [stream] axis, the time axis of windows
    scale    [calib] scale
    hop      [stream] hop, samples between the starts of frames; None without a stream
    window   [stream] window, samples per frame; None: the network's own
    wake     [wake]; None without it
    """

    table: SensorTable
    axis: int | None
    scale: float
    hop: int | None = None
    window: int | None = None
    wake: WakeTable | None = None

    def application(self, plan: Plan, stream: Stream | None) -> Application:
        """Return the application of a planned network. Errors: E264, E265."""
        sensor = sensor_of(self.table, self._input_channels(plan, stream), self.hop)
        program = sensor_program(plan, sensor, stream, self.axis, self.scale)
        check_clock(program, plan.chip)
        if self.window not in (None, program.layout.samples):
            facts = {
                "[stream] window": self.window,
                "samples in a frame of the network": program.layout.samples,
            }
            tries = ["[stream] rate alone, if a frame of the network is one sample"]
            raise MyoedgeError("E265", "a frame has other samples than [stream] says", facts, tries)
        output = None
        if self.wake is not None:
            check_wake(self.wake, program)
            output = gate_output(self.wake, plan)
        return SensorApplication(program, plan.chip, self.wake, output)

    def _input_channels(self, plan: Plan, stream: Stream | None) -> int | None:
        """Return the number of channels of the network's input; None if its time axis is unknown.

        In a window without [stream] axis, the longer of two axes is the time axis.
        """
        shape = plan.quant.graph.shape(plan.graph_inputs[0])
        axis = self.axis if stream is None else stream.inputs[0].axis
        if axis is not None:
            return math.prod(shape) // shape[axis] // (self.window or 1)
        long = sorted(length for length in shape if length > 1)
        return long[0] if len(long) == 2 and long[0] < long[1] else None


def requested(options: BuildOptions, settings: Config) -> SensorRequest:
    """Return the request of a build. Errors: E264 [sensor] is wrong, E265 [wake] with [adapt]."""
    table: SensorTable = settings.table("sensor")
    stream, scale = settings.stream, settings.calib.scale
    if isinstance(scale, dict):
        facts = {"sensor": "[calib] scale has factors by file, and the sensor has one"}
        raise MyoedgeError("E264", "[sensor] needs one [calib] scale", facts)
    wake = settings.tables.get("wake")
    if wake is not None and "adapt" in settings.tables:
        facts = {"needs": "the network on every window, from which it learns"}
        raise MyoedgeError(CODE, "[wake] does not go with [adapt]", facts, [NO_GATE])
    found = SensorRequest(table, stream.axis, scale, wake=wake)
    if options.stream:
        found = SensorRequest(table, None, scale, stream.hop, stream.window, wake)
    channels = None if table.channels else PROBED_CHANNELS
    sensor_of(table, channels, found.hop)
    return found


# --- files of the application ---------------------------------------------------------------------


FOLDER = "firmware/sensor"  # subfolder of src/
FIRMWARE = Path(__file__).parent / "firmware"  # the templates
BARE_METAL = (
    "main.c.j2",
    "cluster.c",
    "port_gap9.c",
    "port_gap9.h",
    "port_gap9_clock.c",
    "port_gap9_front_end.c",
    "port_gap9_line.c",
    "vectors.S",
)  # for the chip without SDK
SDK_PORT = "port_sdk.c"  # in gap_sdk/
DRIVERS = {
    "ads1298": ("ads129x.c", "data_ready.c"),
    "ads1299": ("ads129x.c", "data_ready.c"),
    "spi": ("device.c", "data_ready.c"),
    "uart": ("device.c", "uart_samples.c", "receive.c", "receive.h"),
}
LABELS = ("labels.c", "labels.h", "receive.c", "receive.h")  # for networks that adapt
WAKE = ("wake.c", "wake.h")  # for [wake]
WAKE_BY = ("wake_energy.c", "wake_output.c")  # what it compares: one of them
COMMAND_BYTES, CRC_BYTES = 6, 2  # bytes of a message
INT32_MIN = -(2**31)

# Registers of the ADS129x that are equal for all channels and rates; SBAS459, SBAS499.
CONFIG2 = {"ads1298": 0x40, "ads1299": 0xC0}  # no test signal
CONFIG3 = {"ads1298": 0xCC, "ads1299": 0xEC}  # internal reference, bias amplifier at mid-supply
REFERENCE_4V = 0x20  # in the ADS1298's CONFIG3
LEAD_OFF = {"ads1298": 0x03, "ads1299": 0x00}  # direct current, 6 nA, threshold 95 %
CLOCK_OUT = 0x20  # in CONFIG1: the first chip's oscillator drives the others of a chain
UNUSED_CHANNEL = 0x81  # powered down, inputs shorted


def registers(sensor: Sensor) -> list[int]:
    """Return the values of the ADS129x registers CONFIG1 (0x01) to LOFF_FLIP (0x11)."""
    kind = sensor.kind
    assert kind is not None
    name, used = sensor.front_end, min(sensor.channels, CHIP_CHANNELS)
    config1 = kind.rates[int(sensor.rate_hz)] | CLOCK_OUT * (sensor.chips > 1)
    config3 = CONFIG3[name] | REFERENCE_4V * (name == "ads1298" and sensor.reference_v == 4)
    channel = kind.gains[int(sensor.gain)] << 4
    channels = [channel] * used + [UNUSED_CHANNEL] * (CHIP_CHANNELS - used)
    electrodes = (1 << used) - 1
    lead_off = [0, 0, electrodes, electrodes, 0]  # bias electrodes, lead-off electrodes, flip
    return [config1, CONFIG2[name], config3, LEAD_OFF[name], *channels, *lead_off]


def header(program: SensorProgram, banner: str, digest: str, *, adapts: bool = False) -> str:
    """Return the text of sensor_network.h.

    banner   first comment
    digest   of the model, hexadecimal
    adapts   whether commands on the line adapt the network
    """
    sensor, kind = program.sensor, program.sensor.kind
    low, conversion = sensor.count_limits[0], program.conversion
    output = None if program.gate is None else program.gate.output
    squares = program.layout.samples * max(conversion.low**2, conversion.high**2)
    # The bytes of the longest message that the line receives; 0: it receives none
    longest = max(sensor.sample_bytes * sensor.is_on_line, COMMAND_BYTES * adapts)
    values = {
        "banner": banner,
        "sensor": sensor,
        "adapts": adapts,
        "message_bytes": longest + CRC_BYTES if longest else 0,
        "registers": [] if kind is None else registers(sensor),
        **_times(sensor.rate_hz),
        "sample_type": C_TYPES[program.sample_type],
        "result_type": C_TYPES[program.result_type],
        "conversion": conversion,
        "rise_us": RISE_US,
        "interrupt_us": interrupt_us(program.clock.waiting_hz),
        "waiting": program.clock.waiting,
        "worth_off_us": WORTH_OFF_US,
        "low_literal": "INT32_MIN" if low == INT32_MIN else low,
        "layout": program.layout,
        "frames_per_output": Fraction(program.frames, program.ready),
        "value_bytes": 3 + program.values_bytes if program.all_values else 0,
        "gate": program.gate,
        "gate_type": C_TYPES[output.dtype] if output is not None else "",
        "squares_type": "uint32_t" if squares < 1 << 32 else "uint64_t",
        "digest": ", ".join(f"0x{digest[i : i + 2]}" for i in range(0, 16, 2)),
    }
    values["queue_packets"] = program.queue_packets
    names = ("hop", "frames", "ring_samples", "results", "ready", "all_values")
    values |= {name: getattr(program, name) for name in names}
    return render("sensor_network.h.j2", values, FIRMWARE)


def _times(rate_hz: Fraction) -> dict[str, int]:
    return {
        "rate_mhz": round(rate_hz * 1000),
        "second_samples": max(round(rate_hz), 1),
        "period_us": max(round(10**6 / rate_hz), 1),
        "period_16th_us": round(16 * 10**6 / rate_hz),
    }


def sdk_sources(files: Mapping[str, str]) -> set[str]:
    """Return the files of src/ that are independent of the port, so that the GAP SDK application
    compiles them too."""
    left_out = {f"{FOLDER}/{name.removesuffix('.j2')}" for name in BARE_METAL}
    return {name for name in files if name.startswith(f"{FOLDER}/")} - left_out


def sensor_files(program: SensorProgram, values: Mapping[str, Any], digest: str) -> dict[str, str]:
    """Return the files of src/firmware/sensor: the application, its constants, a main program.

    values   values that all templates share
    digest   of the network
    """
    adapts = "adapt" in values["calls"]
    told = {
        **values,
        "adapts": adapts,
        "classes": program.classes,
        "all_values": program.all_values,
        "other_outputs": program.other_outputs_bytes,
        "is_stream": program.is_stream,
        "ends": program.gate is not None and program.gate.output is not None,
    }
    drivers = chain.from_iterable(DRIVERS.values())
    left_out = {SDK_PORT, "sensor_network.h.j2", *LABELS, *WAKE, *WAKE_BY, *drivers}
    left_out -= {*DRIVERS[program.sensor.front_end]}
    left_out -= {*LABELS} if adapts else set()
    if program.gate is not None:
        left_out -= {*WAKE, WAKE_BY[program.gate.output is not None]}
    files = {"sensor_network.h": header(program, values["banner"], digest, adapts=adapts)}
    for path in sorted(FIRMWARE.iterdir()):
        if path.name not in left_out:
            is_made = path.suffix == ".j2"
            text = render(path.name, told, FIRMWARE) if is_made else path.read_text()
            files[path.name.removesuffix(".j2")] = text
    return {f"{FOLDER}/{name}": text for name, text in files.items()}
