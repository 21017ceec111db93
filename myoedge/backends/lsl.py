# SPDX-License-Identifier: Apache-2.0
"""Output of decisions as a stream of the Lab Streaming Layer (LSL), with pylsl."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from myoedge.backends.packets import Decision
from myoedge.errors import MyoedgeError
from myoedge.system.extras import install_command

STREAM, CONTENT = "myoedge", "Decisions"  # name and type of the LSL stream
IRREGULAR_HZ = 0.0


def lsl_sender(source: str) -> Callable[[Decision, float], None]:
    """Return a function (decision, time on the board in seconds) that sends the decision.

    source   identifier of the stream, by which receivers find it again after an interruption
    Channels: time_s, class (-1: none), score, value_0 and further ones if packets have values. The
    stream appears with the first decision. Errors: E501 pylsl is missing.
    """
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:  # pylsl raises RuntimeError without liblsl
        facts, tries = {"cause": str(error).splitlines()[0]}, [install_command("lsl")]
        raise MyoedgeError("E501", "--lsl needs pylsl", facts, tries) from None
    outlets: dict[int, Any] = {}  # by number of values; a restart may begin another application

    def send(decision: Decision, time_s: float) -> None:
        count = len(decision.values)
        if count not in outlets:
            outlets.clear()
            outlets[count] = _outlet(pylsl, source, count)
        index = -1 if decision.class_index is None else decision.class_index
        outlets[count].push_sample([time_s, float(index), float(decision.score), *decision.values])

    return send


def _outlet(pylsl: Any, source: str, value_count: int) -> Any:
    labels = ["time_s", "class", "score", *(f"value_{i}" for i in range(value_count))]
    form = pylsl.cf_double64
    stream = pylsl.StreamInfo(STREAM, CONTENT, len(labels), IRREGULAR_HZ, form, source)
    channels = stream.desc().append_child("channels")
    for label in labels:
        channels.append_child("channel").append_child_value("label", label)
    return pylsl.StreamOutlet(stream)
