# SPDX-License-Identifier: Apache-2.0
"""The verbs of the sensor application: play, monitor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from myoedge.api.models import as_build, with_plugin_errors
from myoedge.backends.build import Build
from myoedge.building.options import StrPath, silent
from myoedge.errors import Notice
from myoedge.numerics.arrays import Array

if TYPE_CHECKING:
    from myoedge.backends.packets import Record
    from myoedge.extensions.sensor.playback import Played
    from myoedge.simulator import Fault


@with_plugin_errors
def play(
    build: Build | StrPath,
    recording: StrPath | Array,
    *,
    seconds: float | None = None,
    battery: str | float | None = None,
    volts: str | float | None = None,
    others: str | None = None,
    faults: Sequence[Fault] = (),
    progress: Callable[[int, str], None] | None = None,
) -> Played:
    """Play a recording through the sensor application of a build on the simulated chip.

    recording   file or array [samples, channels] in the unit of [sensor], at its rate; if a file
                has several arrays, the one with this number of channels is used
    seconds     length to play; None: all of it
    battery, volts, others   as in `energy`, which keeps them for later runs too
    faults      faults of front end, SPI and serial line, by sample (myoedge.simulator.Fault)
    progress    called about once a second with the cycle and the new text printed
    Every decision is compared with the reference on the same samples. `over` of the result has E302
    if a decision came later than [budget] latency; `unlike` has W605 if the recording seems to have
    another scale than the calibration data.
    Errors: E210, E211, E222, E232 no battery or power, E266 a build without the application, or an
    unsuitable recording; E501, E701 .. E709 the program faulted.
    """
    from myoedge.building.energy import duty_cycle, module_powers
    from myoedge.extensions.sensor.playback import play_build

    given = {**duty_cycle(None, battery, volts), **module_powers(others, None, None)}
    return play_build(as_build(build), recording, seconds, faults, progress, given)


def monitor(
    source: StrPath, *, baud_rate: int = 1_000_000, warn: Callable[[Notice], None] = silent
) -> Iterator[Record]:
    """Yield the packets of a sensor application as they arrive: Decision, Status, Start,
    BrokenFrame.

    source      serial port, read until the connection breaks; or a file with recorded bytes
    baud_rate   bits per second of the port, as in [sensor]
    warn        called if no packet arrives: W603
    Errors: E501, E603, E607 the connection breaks, E615, E616.
    """
    from myoedge.extensions.sensor.packet_source import records_from

    yield from records_from(str(source), baud_rate, warn)
