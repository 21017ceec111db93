# SPDX-License-Identifier: Apache-2.0
"""The sample that <prefix>_self_test runs, and the CRC-32 of its outputs."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array


@dataclass(frozen=True)
class KnownAnswer:
    """A sample and the CRC-32 of the reference's outputs.

    inputs   integers of each input; for a stream its frames, time first
    crc      CRC-32 of all outputs, one after another; for a stream, of each pass's outputs in turn
    pushes   number of frames; 1 for a network without frames
    """

    inputs: Sequence[Array]
    crc: int
    pushes: int = 1

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of the C file that stores the sample, by C name."""
        inputs = {f"known_input{number}": array for number, array in enumerate(self.inputs)}
        return {**inputs, "known_crc": np.array([self.crc], np.uint32)}


def crc_of(outputs: Iterable[Array]) -> int:
    """Return the CRC-32 of arrays in the chip's byte order: little-endian, one after another."""
    crc = 0
    for array in outputs:
        values = np.ascontiguousarray(array)
        crc = zlib.crc32(values.astype(values.dtype.newbyteorder("<")).tobytes(), crc)
    return crc
