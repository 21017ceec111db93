# SPDX-License-Identifier: Apache-2.0
"""The option --app sensor: a request of the application, and its files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myoedge.codegen.application import Application
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.files import FIRMWARE, SDK_PORT, sdk_sources, sensor_files
from myoedge.extensions.sensor.program import JSON, SensorProgram, sensor_program
from myoedge.extensions.sensor.settings import sensor_of
from myoedge.targets.sensor import SensorTable

if TYPE_CHECKING:
    from myoedge.building.config_tables import Config
    from myoedge.building.options import BuildOptions
    from myoedge.plan.plan import Plan
    from myoedge.streaming.stream import Stream

PROBED_CHANNELS = 8  # assumed to check [sensor] before the network is known


@dataclass(frozen=True)
class SensorApplication(Application):
    """The application that runs the network on the samples of a front end and sends its
    decisions."""

    program: SensorProgram
    name = "sensor"

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        return sensor_files(self.program, values, values["digest"])

    def sources_in(self, project: str, files: Mapping[str, str]) -> list[str]:
        return sorted(name for name in sdk_sources(files) if name.endswith(".c"))

    def files_in(self, project: str) -> dict[str, str]:
        return {SDK_PORT: (FIRMWARE / SDK_PORT).read_text()}

    def described(self) -> dict[str, Any]:
        return {JSON: self.program.to_json()}

    @property
    def period_s(self) -> float:
        return float(self.program.hop * self.program.frames / self.program.sensor.rate_hz)


@dataclass(frozen=True)
class SensorRequest:
    """Settings of the sensor application: [sensor], with keys of other tables.

    table    [sensor]
    axis     [stream] axis, the time axis of windows
    scale    [calib] scale
    hop      [stream] hop, samples between the starts of frames; None without a stream
    window   [stream] window, samples per frame; None: the network's own
    """

    table: SensorTable
    axis: int | None
    scale: float
    hop: int | None = None
    window: int | None = None

    def application(self, plan: Plan, stream: Stream | None) -> Application:
        """Return the application of a planned network. Errors: E264, E265."""
        sensor = sensor_of(self.table, self._channels(plan, stream), self.hop)
        program = sensor_program(plan, sensor, stream, self.axis, self.scale)
        self._check_window(program.layout.samples)
        return SensorApplication(program)

    def _check_window(self, samples: int) -> None:
        if self.window not in (None, samples):
            facts = {"[stream] window": self.window, "samples in a frame of the network": samples}
            tries = ["[stream] rate alone, if a frame of the network is one sample"]
            raise MyoedgeError("E265", "a frame has other samples than [stream] says", facts, tries)

    def _channels(self, plan: Plan, stream: Stream | None) -> int | None:
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
    """Return the request of a build. Errors: E264 [sensor] is wrong."""
    table: SensorTable = settings.table("sensor")
    stream, scale = settings.stream, settings.calib.scale
    if isinstance(scale, dict):
        facts = {"sensor": "[calib] scale has factors by file, and the sensor has one"}
        raise MyoedgeError("E264", "[sensor] needs one [calib] scale", facts)
    found = SensorRequest(table, stream.axis, scale)
    if options.stream:
        found = SensorRequest(table, None, scale, stream.hop, stream.window)
    channels = None if table.channels else PROBED_CHANNELS
    sensor_of(table, channels, found.hop)
    return found
