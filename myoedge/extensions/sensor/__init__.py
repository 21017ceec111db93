# SPDX-License-Identifier: Apache-2.0
"""The sensor application: a network on the samples of a front end, decisions as packets on a line,
which `monitor` decodes; and playback of recordings to it on the simulated chip."""

from __future__ import annotations

from myoedge.extension import (
    ApplicationHook,
    CommandHook,
    Extension,
    PanelHook,
    SectionHook,
    StepHook,
    TableHook,
)

EXTENSION = Extension(
    commands=(
        CommandHook(
            "monitor",
            "decode the packets of a sensor application: print, plot, save, forward",
            "myoedge.extensions.sensor.monitor:monitor",
            after="bench",
        ),
    ),
    tables=(
        TableHook("sensor", "myoedge.targets.sensor:SensorTable"),
        TableHook(
            "wake",
            "myoedge.extensions.sensor.wake:WakeTable",
            "myoedge.extensions.sensor.wake:rules",
        ),
    ),
    applications=(
        ApplicationHook(
            "sensor",
            ", for a front end",
            "myoedge.extensions.sensor.application:requested",
            play="myoedge.extensions.sensor.commands:play",
            project="gap_sdk",
            levels=True,
            waits=True,
            gate="myoedge.extensions.sensor.wake:gate_options",
            ported="examples/sensor_port  is a port of the application, to complete for a board",
        ),
    ),
    sections=(
        SectionHook(
            "wake",
            "wakes",
            "myoedge.extensions.sensor.wake_report:one_line",
            "Wake gate",
            "On which windows the sensor application runs the network.",
            "myoedge.extensions.sensor.wake_report:wake_table",
        ),
    ),
    panels=(PanelHook("played", "myoedge.extensions.sensor.played_panel:panel"),),
    steps=(StepHook("play", "myoedge.extensions.sensor.playback:play_step", after="advise"),),
)
