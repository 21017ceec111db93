# SPDX-License-Identifier: Apache-2.0
"""The verbs that adapt a build to a new session: adapt, adapt_on_device."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from myoedge.api.models import as_build, with_plugin_errors
from myoedge.backends.build import Build
from myoedge.building.options import StrPath, silent
from myoedge.building.pipeline_options import Progress
from myoedge.building.quantities import positive, seconds
from myoedge.errors import MyoedgeError
from myoedge.quantization.samples import Given

if TYPE_CHECKING:
    from myoedge.extensions.adaptation.evaluation import Adapted
    from myoedge.extensions.adaptation.prompted_session import PromptedSession


@with_plugin_errors
def adapt(
    build: Build | StrPath,
    *,
    data: Given,
    test: Given,
    old: Given | None = None,
    on: str = "host",
    methods: Sequence[str] = (),
    every: str | None = None,
    window: str | None = None,
) -> Adapted:
    """Run sessions of adaptation, each with the first windows of every class; measure accuracy
    before and after.

    data      labelled windows of the new session for adaptation
    test      other labelled windows of the new session, for evaluation
    old       labelled windows of an older session, to measure forgetting
    on        "host", "simulator", which also counts cycles, or "qemu"
    methods   "prototypes", "lda", "head", "norm"; (): all that the build supports
    every     time between windows of a class, "5 ms": sessions of 1, 2, 4, 7.5 s and more;
              None: sessions with an eighth, a quarter, half and all of the windows
    window    duration of a window, "200 ms"; None: as `every`, without which it is refused
    Errors: E204 backend, or `window` alone; E213 .. E225 samples, E232 times, E268 a build without
    [adapt].
    """
    from myoedge.extensions.adaptation.evaluation import Times, adapted

    times = None
    if every is None and window is not None:
        tries = [f"--every {quote(window)}  (of windows that do not overlap)"]
        needs = {"needs": "--every, the time from one window to the next"}
        raise MyoedgeError("E204", "--window is read with --every only", needs, tries)
    if every is not None:
        every_s = _positive_s(every, "--every")
        window_s = every_s if window is None else _positive_s(window, "--window")
        times = Times(every_s, window_s)
    return adapted(as_build(build), data, test, old, on, methods, times)


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
    Errors: E232 `hold`, E268 a build without [adapt], this method or the sensor application, E501,
    E603, E607, E618.
    """
    from myoedge.backends.serial_port import SerialLine, open_port
    from myoedge.extensions.adaptation.prompted_session import Prompts, SensorLine, run_session
    from myoedge.extensions.adaptation.running import check_line, check_method, settings_of

    chosen, hold_s = as_build(build), _positive_s(hold, "--hold")
    adaptation = settings_of(chosen)
    wanted = method or adaptation.methods[0]
    check_method(chosen, wanted)
    check_line(chosen)
    names = chosen.class_names or tuple(f"class {i}" for i in range(adaptation.classes))
    with open_port(SerialLine(port, baud_rate)) as opened:
        return run_session(SensorLine(opened), wanted, Prompts(names, hold_s, rounds), say)


def _positive_s(text: str, option: str) -> float:
    """Parse the positive time of an option as seconds. Errors: E232."""
    return positive(seconds(text, option), option)
