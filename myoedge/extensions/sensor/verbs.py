# SPDX-License-Identifier: Apache-2.0
"""The verb that plays a recording to the sensor application of a build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from myoedge.api.models import as_build
from myoedge.api.plugin_errors import with_plugin_errors
from myoedge.backends.build import Build
from myoedge.building.options import StrPath
from myoedge.numerics.arrays import Array

if TYPE_CHECKING:
    from myoedge.extensions.sensor.playback import Played
    from myoedge.simulator import Fault


@with_plugin_errors
def play(
    build: Build | StrPath,
    recording: StrPath | Array,
    *,
    seconds: float | None = None,
    faults: Sequence[Fault] = (),
    progress: Callable[[int, str], None] | None = None,
) -> Played:
    """Play a recording through the sensor application of a build on the simulated chip.

    recording   file or array [samples, channels] in the unit of [sensor], at its rate; if a file
                has several arrays, the one with this number of channels is used
    seconds     length to play; None: all of it
    faults      faults of front end, SPI and serial line, by sample (myoedge.simulator.Fault)
    progress    called about once a second with the cycle and the new text printed
    Every decision is compared with the reference on the same samples. `over` of the result has E302
    if a decision came later than [budget] latency; `unlike` has W605 if the recording seems to have
    another scale than the calibration data.
    Errors: E210, E211, E222, E266 a build without the application, or an unsuitable recording;
    E501, E701 .. E709 the program faulted.
    """
    from myoedge.extensions.sensor.playback import play_build

    return play_build(as_build(build), recording, seconds, faults, progress)
