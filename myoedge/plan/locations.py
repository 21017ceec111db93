# SPDX-License-Identifier: Apache-2.0
"""Locations of tensors in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NEAR = ("input", "output", "arena", "constant", "l1")  # kinds of locations that are no level


@dataclass(frozen=True, slots=True)
class Location:
    """Location of a tensor's bytes.

    kind        "input" or "output": a caller's buffer; "arena"; "constant"; "l1": resident in L1;
                or the name of a memory level that holds the feature map
    index       number of the input or output, or name of the constant or of the feature map in the
                level; otherwise ""
    offset      bytes from the start of that memory
    row_bytes   for a row of a sequence in a loop: bytes from one iteration's row to the next;
                `offset` is that of the first iteration
    """

    kind: str
    index: int | str
    offset: int = 0
    row_bytes: int = 0

    @property
    def in_level(self) -> bool:
        """Whether the tensor is in a memory level behind L2."""
        return self.kind not in NEAR


@dataclass(frozen=True, slots=True)
class LoopState:
    """A state that is in L1 until its loop ends, and is then stored in its buffer in L2.

    name         the tensor of that buffer
    l1           offset in L1
    size_bytes   size in bytes
    first        layer that sets it
    last         last layer of the loop
    """

    name: str
    l1: int
    size_bytes: int
    first: int
    last: int


def place_in_layer(
    index: int, location: Location, states: Iterable[LoopState], where: Mapping[str, Location]
) -> Location:
    """Return where layer `index` finds a tensor: a loop's state is in L1 until the loop ends.

    location   that of the tensor outside of its loop
    states     states that are stored after their loops
    where      tensor -> location
    """
    for state in (x for x in states if x.first <= index <= x.last):
        start = where[state.name]
        at = location.offset - start.offset
        is_there = (location.kind, location.index) == (start.kind, start.index)
        if is_there and 0 <= at < state.size_bytes:
            return Location("l1", "", state.l1 + at)
    return location
