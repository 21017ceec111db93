# SPDX-License-Identifier: Apache-2.0
"""The sensor application: a network on the samples of a front end, decisions as packets on a line;
and playback of recordings to it on the simulated chip."""

from __future__ import annotations

from myoedge.extension import ApplicationHook, Extension, TableHook

EXTENSION = Extension(
    tables=(TableHook("sensor", "myoedge.targets.sensor:SensorTable"),),
    applications=(
        ApplicationHook(
            "sensor",
            "myoedge.extensions.sensor.application:requested",
            play="myoedge.extensions.sensor.commands:play",
            playable="myoedge.extensions.sensor.playback:playable_file",
        ),
    ),
)
