# SPDX-License-Identifier: Apache-2.0
"""Commands to an adapting network, executed by the host library or the firmware, and their
answers."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.extensions.adaptation.record import Adaptation
from myoedge.extensions.adaptation.table import METHODS
from myoedge.numerics.arrays import Array

INFER, TAKE, BEGIN, WINDOW, END, CLASS, SAVE, LOAD, STATE, KEEP, RESTORE = range(
    11
)  # as in firmware/main.c

PSEUDO = -2  # label for a pseudo-label: ME_ADAPT_PSEUDO
HELD_BACK = 1  # result: the window is held back to evaluate the new classifier


@dataclass(frozen=True)
class Command:
    """A command to the adaptation of a firmware.

    number     number of the command
    argument   an integer
    content    a payload
    """

    number: int
    argument: int = 0
    content: bytes = b""


@dataclass(frozen=True)
class Answer:
    """The firmware's answer to a command.

    result    return value
    content   a payload
    cycles    cycles that the command took; 0 on the host
    """

    result: int
    content: bytes = b""
    cycles: int = 0


@dataclass(frozen=True)
class Window:
    """Input of the adaptation for one window.

    features   int8 [features]
    decision   class that the network decided
    """

    features: Array
    decision: int


def infer(inputs: Array, *, starts: bool = False) -> Command:
    """Return the command that runs the network on integers; its answer has the decision and the
    features.

    inputs   of the network; for a stream, frames [frames, ...] of which the last completes a pass
             with results
    starts   whether the stream starts again
    """
    return Command(INFER, int(starts), np.ascontiguousarray(inputs).tobytes())


def take(window: Window) -> Command:
    """Return the command that hands features and decision of a window to the adaptation, as if the
    network had just run on it."""
    return Command(TAKE, window.decision, window.features.astype(np.int8).tobytes())


def _window_argument(window: Window | Command) -> Command:
    return take(window) if isinstance(window, Window) else window


def session(
    method: str, windows: Sequence[Window | Command], labels: Iterable[int]
) -> Iterator[Command]:
    """Yield the commands of a session of adaptation: begin with `method`, every window with its
    class, end."""
    yield Command(BEGIN, METHODS.index(method) + 1)
    for window, label in zip(windows, labels, strict=True):
        yield _window_argument(window)
        yield Command(WINDOW, int(label))
    yield Command(END)


def decisions(windows: Sequence[Window | Command]) -> Iterator[Command]:
    """Yield the commands that classify windows, two each; the second answer is the class."""
    for window in windows:
        yield _window_argument(window)
        yield Command(CLASS)


def inferred(answer: Answer) -> Window:
    """Return the window in the answer to `infer`."""
    return Window(np.frombuffer(answer.content, np.int8), answer.result)


def packed(commands: Iterable[Command]) -> bytes:
    """Return commands in the byte format that the firmware reads."""
    return b"".join(struct.pack("<Ii", c.number, c.argument) + c.content for c in commands)


def unpacked(answers: bytes) -> Iterator[Answer]:
    """Yield the answers in the bytes that the firmware wrote."""
    at = 0
    while at < len(answers):
        result, cycles, size = struct.unpack_from("<iII", answers, at)
        at += 12
        yield Answer(result, answers[at : at + size], cycles)
        at += size


def saved_bytes(adaptation: Adaptation) -> int:
    """Return the bytes of a saved classifier."""
    weights = 2 * adaptation.classes * adaptation.features
    norm = 0 if adaptation.norm is None else 4 + 8 * adaptation.norm.channels
    return 28 + 4 * adaptation.classes + (weights + 3) // 4 * 4 + norm
