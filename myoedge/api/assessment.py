# SPDX-License-Identifier: Apache-2.0
"""The verb that adapts a build to a new session."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from myoedge.api.models import as_build
from myoedge.api.plugin_errors import with_plugin_errors
from myoedge.backends.build import Build
from myoedge.building.options import StrPath
from myoedge.building.quantities import positive, seconds
from myoedge.errors import MyoedgeError
from myoedge.quantization.samples import Given

if TYPE_CHECKING:
    from myoedge.building.adapting import Adapted


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
    on        "host" or "simulator", which also counts cycles
    methods   "prototypes", "lda", "head", "norm"; (): all that the build supports
    every     time between windows of a class, "5 ms": sessions of 1, 2, 4, 7.5 s and more;
              None: sessions with an eighth, a quarter, half and all of the windows
    window    duration of a window, "200 ms"; None: as `every`, without which it is refused
    Errors: E204 backend, or `window` alone; E213 .. E225 samples, E232 times, E268 a build without
    [adapt].
    """
    from myoedge.building.adapting import Times, adapted

    times = None
    if every is None and window is not None:
        tries = [f"--every {quote(window)}  (of windows that do not overlap)"]
        needs = {"needs": "--every, the time from one window to the next"}
        raise MyoedgeError("E204", "--window is read with --every only", needs, tries)
    if every is not None:
        every_s = positive(seconds(every), "every")
        window_s = every_s if window is None else positive(seconds(window), "window")
        times = Times(every_s, window_s)
    return adapted(as_build(build), data, test, old, on, methods, times)
