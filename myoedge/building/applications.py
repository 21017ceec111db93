# SPDX-License-Identifier: Apache-2.0
"""The option --app: the application that runs a build's network on the chip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myoedge.building.budget import MLPERF, SENSOR
from myoedge.building.sensor import sensor_of
from myoedge.codegen.dataset import Dataset
from myoedge.errors import MyoedgeError
from myoedge.targets.sensor import SensorTable

if TYPE_CHECKING:
    from myoedge.building.config import Config
    from myoedge.building.options import BuildOptions
    from myoedge.building.stream_rate import StreamPlan
    from myoedge.codegen.application import Application
    from myoedge.plan.plan import Plan
    from myoedge.streaming.stream import Stream

PROBED_CHANNELS = 8  # assumed to check [sensor] before the network is known


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
        from myoedge.codegen.application import SensorApplication
        from myoedge.codegen.sensor_program import sensor_program

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


@dataclass(frozen=True)
class MlperfRequest:
    """Settings of the MLPerf Tiny application: [mlperf], with all keys that the protocol
    requires."""

    dataset: Dataset

    def application(self, plan: Plan, stream: Stream | None) -> Application:
        """Return the application of a planned network."""
        from myoedge.codegen.application import MlperfApplication

        return MlperfApplication(self.dataset)


ApplicationRequest = SensorRequest | MlperfRequest


def requested(options: BuildOptions, settings: Config) -> ApplicationRequest | None:
    """Return the settings of the application that --app names; None if it needs none.

    Errors: E232 [mlperf] lacks a key; E258 MLPerf Tiny on a stream; E264 [sensor] is wrong.
    """
    if options.app == MLPERF:
        return MlperfRequest(_dataset(options, settings))
    return _sensor(options, settings) if options.app == SENSOR else None


def period_of(
    request: ApplicationRequest | None, plan: Plan, stream_plan: StreamPlan | None
) -> dict[str, Any] | None:
    """Return the entry `period` of report.json: seconds between inferences, set by the sensor or by
    the rate of the stream's frames; None if neither is known. Errors: E264, E265."""
    stream = None if stream_plan is None else stream_plan.stream
    application = None if request is None else request.application(plan, stream)
    if application is not None and application.period_s is not None:
        return {"seconds": application.period_s, "set_by": SENSOR}
    if stream_plan is None or stream_plan.frame_hz is None:
        return None
    return {"seconds": stream_plan.stream.frames / stream_plan.frame_hz, "set_by": "stream"}


def _sensor(options: BuildOptions, settings: Config) -> SensorRequest:
    stream, scale = settings.stream, settings.calib.scale
    if isinstance(scale, dict):
        facts = {"sensor": "[calib] scale has factors by file, and the sensor has one"}
        raise MyoedgeError("E264", "[sensor] needs one [calib] scale", facts)
    found = SensorRequest(settings.sensor, stream.axis, scale)
    if options.stream:
        found = SensorRequest(settings.sensor, None, scale, stream.hop, stream.window)
    channels = None if settings.sensor.channels else PROBED_CHANNELS
    sensor_of(settings.sensor, channels, found.hop)
    return found


def _dataset(options: BuildOptions, settings: Config) -> Dataset:
    if options.stream:
        title = "MLPerf Tiny's protocol has whole inputs, and no frames"
        raise MyoedgeError("E258", title, {}, ["--app gap-sdk", "without --stream"])
    missing = [key for key in ("model", "input") if getattr(settings.mlperf, key) is None]
    if missing:
        tries = ['[mlperf] model = "ic01" and input = "uint8" in myoedge.toml, say']
        title = f"--app mlperf needs [mlperf] {' and '.join(missing)}"
        raise MyoedgeError("E232", title, {}, tries)
    return settings.mlperf
