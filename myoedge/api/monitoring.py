# SPDX-License-Identifier: Apache-2.0
"""The verbs that use the serial line of a sensor application: monitor, adapt_on_device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from myoedge.api.models import as_build
from myoedge.api.plugin_errors import with_plugin_errors
from myoedge.backends.build import Build
from myoedge.building.options import StrPath, silent
from myoedge.building.pipeline_options import Progress
from myoedge.building.quantities import positive, seconds
from myoedge.errors import Notice

if TYPE_CHECKING:
    from myoedge.backends.packets import Record
    from myoedge.backends.prompted_session import PromptedSession


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
    from myoedge.backends.packet_source import records_from

    yield from records_from(str(source), baud_rate, warn)


@with_plugin_errors
def adapt_on_device(
    build: Build | StrPath,
    *,
    port: str,
    method: str | None = None,
    hold: str = "2 s",
    rounds: int = 2,
    baud_rate: int = 1_000_000,
    say: Progress = silent,
) -> PromptedSession:
    """Run a session of adaptation with a wearer, on a device that runs the build's sensor
    application.

    port        serial port that is wired to the UART of [sensor]
    method      "prototypes", "lda", "head" or "norm"; None: the first that the build supports
    hold        time for which the wearer holds each gesture, "2 s"
    rounds      how often each gesture is shown
    baud_rate   bits per second of the port, as in [sensor]
    say         called with each line for the wearer: countdown, name of the class, end
    Errors: E232 `hold`, E268 a build without [adapt] or without this method, E501, E603, E607,
    E618.
    """
    from myoedge.backends.adapting import check_method
    from myoedge.backends.prompted_session import Prompts, SensorLine, run_session
    from myoedge.backends.serial_port import SerialLine, open_port

    chosen, hold_s = as_build(build), positive(seconds(hold), "hold")
    adaptation = chosen.adaptation
    wanted = method or adaptation.methods[0]
    check_method(chosen, wanted)
    names = chosen.class_names or tuple(f"class {i}" for i in range(adaptation.classes))
    with open_port(SerialLine(port, baud_rate)) as opened:
        return run_session(SensorLine(opened), wanted, Prompts(names, hold_s, rounds), say)
