# SPDX-License-Identifier: Apache-2.0
"""A session of adaptation with a wearer: prompts on the computer, and commands to the sensor
application over its serial line."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from myoedge.backends.packets import (
    MAX_FRAME_BYTES,
    NO_LABEL,
    BrokenFrame,
    CommandAnswer,
    Decision,
    Record,
    Start,
    command_message,
    record_of,
)
from myoedge.backends.serial_port import SerialPort, unplug_errors
from myoedge.errors import MyoedgeError
from myoedge.extensions.adaptation.table import METHODS
from myoedge.system.notebook import Card, Shown

COUNTDOWN_S = 3
ANSWER_S = (
    5.0  # for a command; the end of a session takes longer, up to 1.5 s on the demo's network
)
END_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prompts:
    """Gestures that a wearer makes in a session.

    names    name of each class, in the order in which they are shown
    hold_s   seconds for which each gesture is held
    rounds   how often each gesture is shown
    """

    names: Sequence[str]
    hold_s: float
    rounds: int


@dataclass(frozen=True)
class PromptedSession(Shown):
    """Result of a session.

    method      the method that the device used
    in_force    whether the session's classifier, or its normalisation, decides now
    decisions   for each class, how many decisions arrived while it was held, and how many of these
                were the class: by the classifier before the session
    """

    method: str
    in_force: bool
    decisions: tuple[tuple[int, int], ...]

    def _card(self) -> Card:
        rows = [
            {"class": at, "decisions": count, "right before it learnt": right}
            for at, (count, right) in enumerate(self.decisions)
        ]
        decides = "decides now" if self.in_force else "gained nothing: the one before decides"
        return Card(f"session by {self.method}: its classifier {decides}", rows=rows)


@dataclass
class SensorLine:
    """The serial line of a sensor application: commands out, packets in.

    port   the open port
    rest   received bytes after the last frame
    came   packets and broken frames that arrived, and nobody has taken yet
    """

    port: SerialPort
    rest: bytes = field(default=b"", repr=False)
    came: deque[Record] = field(default_factory=deque, repr=False)

    def heard(self, seconds: float) -> Iterator[Record]:
        """Yield the packets and broken frames that arrive within this time, after those that came
        with the last one taken. Errors: E607."""
        end_s = time.monotonic() + seconds
        while self.came or time.monotonic() < end_s:
            if self.came:
                yield self.came.popleft()
                continue
            with unplug_errors():
                received = self.port.read(max(self.port.in_waiting, 1))
            *frames, rest = (self.rest + received).split(b"\0")
            self.rest = rest[: MAX_FRAME_BYTES + 1]  # a longer frame is invalid
            self.came.extend(map(record_of, filter(None, frames)))

    def asked(self, command: str, argument: int = 0) -> int:
        """Send a command and return the result of its answer.

        Errors: E607; E618 no answer, or the device restarted.
        """
        with unplug_errors():
            self.port.write(command_message(command, argument))
        wait_s, broken = (END_S if command == "end" else ANSWER_S), 0
        for record in self.heard(wait_s):
            broken += isinstance(record, BrokenFrame)
            if isinstance(record, Start):
                facts = {"command": command, "cause": f"the device restarted: {record.restart}"}
                raise MyoedgeError("E618", "the session is lost", facts, ["begin it again"])
            if isinstance(record, CommandAnswer) and record.command == command:
                return record.result
        facts = {"command": command, "waited": f"{wait_s:g} s", "damaged": f"{broken} frames"}
        tries = [
            "is it the port of a build with --app sensor and [adapt]?",
            "--baud-rate: the one of [sensor]",
        ]
        raise MyoedgeError("E618", "the sensor application does not answer", facts, tries)


def run_session(line: SensorLine, method: str, prompts: Prompts, say: Say) -> PromptedSession:
    """Run a session: show every gesture in turn, give its label to the device while it is held, and
    end the session.

    method   one of adaptation.table.METHODS that the build supports
    say      called with each line for the wearer
    After an interrupt or an error the device's older classifier stays in force. Errors: E607; E618
    the device does not answer, refuses a command, or restarts.
    """
    _send_required_command(line, "begin", METHODS.index(method) + 1)
    counts = [[0, 0] for _ in prompts.names]
    try:
        for number in range(1, prompts.rounds + 1):
            for index, name in enumerate(prompts.names):
                _count_down(line, f"round {number} of {prompts.rounds}: {name}", say)
                _send_required_command(line, "label", index)
                say(f"hold {name} for {prompts.hold_s:g} s")
                for record in line.heard(prompts.hold_s):
                    if isinstance(record, Decision):
                        counts[index][0] += 1
                        counts[index][1] += record.class_index == index
                _send_required_command(line, "label", NO_LABEL)
        say("relax; the device learns")
    except BaseException:
        with suppress(MyoedgeError), unplug_errors():
            line.port.write(command_message("label", NO_LABEL))
        raise
    in_force = _send_required_command(line, "end") == 1
    return PromptedSession(method, in_force, tuple((all_, right) for all_, right in counts))


def _count_down(line: SensorLine, title: str, say: Say) -> None:
    for seconds in range(COUNTDOWN_S, 0, -1):
        say(f"{title} in {seconds}")
        for _ in line.heard(1.0):  # read on, so that the line does not fill up
            pass


def _send_required_command(line: SensorLine, command: str, argument: int = 0) -> int:
    """Return the result of a command that must not be refused."""
    result = line.asked(command, argument)
    if result < 0:
        facts = {"command": f"{command} {argument}", "result": result}
        tries = ["flash the build that this folder holds", "another --method"]
        raise MyoedgeError("E618", "the device refuses a command of the session", facts, tries)
    return result
