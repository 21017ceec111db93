# SPDX-License-Identifier: Apache-2.0
"""Record of the moves that a precision search tried, for reports."""

from __future__ import annotations

from dataclasses import dataclass

# Reasons for rejecting a move.
LITTLE = "too little gain"
ONE_HALF = "a gain on one half of the samples only"
NO_ROOM = "too large for the memories"
TOO_SLOW = "more cycles than allowed"
OTHER_MOVE = "another move gains more for its cycles"


@dataclass(frozen=True, slots=True)
class TriedMove:
    """A move of the precision search that was tried.

    remedy        description of the move, with the reason if it was rejected
    worst_db      lowest SQNR of an output in dB after the move, on the calibration samples
    more_cycles   estimated extra cycles after the move, as a fraction of the int8 network's
    is_kept       whether it was accepted
    tensors       number of int16 tensors after the move
    setting       the build option that would accept the move, if it exceeds this build's cycle
                  limit; worst_db is then measured on the evaluation samples
    """

    remedy: str
    worst_db: float
    more_cycles: float
    is_kept: bool
    tensors: int = 0
    setting: str = ""
