# SPDX-License-Identifier: Apache-2.0
"""What the runner of MLPerf Tiny says to a device in performance mode, and what it reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

READY = "m-ready"
BYTES_A_COMMAND = 31  # of the runner, without a power meter


@dataclass(frozen=True)
class Answer:
    """Lines that a device sends after a command, the last one READY."""

    command: str
    lines: Sequence[str]

    def found(self, pattern: str) -> list[str]:
        """The groups of all lines that match, in their order."""
        matches = (re.fullmatch(pattern, line) for line in self.lines)
        return [match.group(1) for match in matches if match]

    @property
    def results(self) -> list[float]:
        (numbers,) = self.found(r"m-results-\[([^\]]+)\]")
        return [float(number) for number in numbers.split(",")]

    @property
    def elapsed_us(self) -> int:
        start, end = map(int, self.found(r"m-lap-us-([0-9]+)"))
        return end - start

    @property
    def errors(self) -> list[str]:
        return self.found(r"e-\[(.*)\]")


def introduced() -> list[str]:
    return ["name", "profile", "profile"]


def download(data: bytes) -> list[str]:
    """The commands that bring an input to the device."""
    pieces = (data[i : i + BYTES_A_COMMAND] for i in range(0, len(data), BYTES_A_COMMAND))
    return [f"db load {len(data)}", *(f"db {piece.hex()}" for piece in pieces)]


def performance(inputs: Sequence[bytes], times: int, warmups: int) -> list[str]:
    """All commands of a test in performance mode."""
    loops = ([*download(data), f"infer {times} {warmups}"] for data in inputs)
    return [*introduced(), *(command for loop in loops for command in loop)]


def sent(commands: Sequence[str]) -> bytes:
    return "".join(f"{command}%" for command in commands).encode()


def heard(commands: Sequence[str], said: bytes) -> list[Answer]:
    """The answer to each command, after the greeting. Errors: ValueError where there are fewer."""
    groups = [*_groups(said.decode().split("\n"))]
    return [Answer(c, lines) for c, lines in zip(["", *commands], groups, strict=True)][1:]


def _groups(lines: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for line in lines:
        group.append(line.strip("\r\0"))
        if READY in line:
            yield group
            group = []
