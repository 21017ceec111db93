# SPDX-License-Identifier: Apache-2.0
"""Cycles of a job of NE16 alone in L1: the formula of the recorded jobs, written out.

Source: jobs on GAP9's platform model (gap_sdk 4.12), to which it is exact; test_ne16_speed.py
compares it with recordings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A job of int8 activations: rows x columns results of so many inputs and outputs.

    mode          1x1, 3x3, depthwise, linear
    scale_bytes   of a multiplier; 0: results are sums
    shifts, bias  whether each channel has one of its own
    words         whether results have 32 bits
    twice         how many results are computed twice
    """

    mode: str
    rows: int
    columns: int
    inputs: int
    outputs: int
    scale_bytes: int = 1
    shifts: bool = True
    bias: bool = True
    words: bool = False
    weight_bits: int = 8
    twice: int = 0

    @property
    def macs(self) -> int:
        each = 1 if self.mode == "depthwise" else self.inputs
        taps = 9 if self.mode in ("3x3", "depthwise") else 1
        return (self.rows * self.columns - self.twice) * self.outputs * each * taps

    @property
    def cycles(self) -> int:
        """From its start to its last store."""
        outputs = parts(self.outputs, 16 if self.mode == "depthwise" else 32)
        scaled = [32 if self.mode == "depthwise" else n for n in outputs[:-1]] + outputs[-1:]
        return sum(
            self._sums(n, rows, columns) + self._scaling(m) + self._stores(n, rows, columns)
            for n, m in zip(outputs, scaled, strict=True)
            for rows in parts(self.rows, 3)
            for columns in parts(self.columns, 3)
        )

    def _sums(self, n: int, rows: int, columns: int) -> int:
        """Of n outputs of a tile: inputs and weights."""
        groups, bits, read = -(-self.inputs // 16), n * self.weight_bits, (rows + 2) * (columns + 2)
        if self.mode == "1x1":
            return groups * (6 + 9 + 10 + n + 6)
        if self.mode == "3x3":
            return groups * (6 + read + 6 + bits + 6)
        if self.mode == "depthwise":
            return 6 + read + 22 + bits
        return sum(6 + -(-c // 16) + 10 + bits + 6 for c in parts(self.inputs, 256))

    def _scaling(self, n: int) -> int:
        if not self.scale_bytes:
            return 0
        return -(-n * self.scale_bytes // 4) + self.shifts + 4 * self.bias

    def _stores(self, n: int, rows: int, columns: int) -> int:
        stores = ((rows - 1) * 3 + columns) * (-(-n // 8) if self.words else 1)
        if self.mode != "1x1":
            return stores
        if self.scale_bytes and not self.words:
            return stores + 9 - rows * columns
        late = 10 - 4 * rows * columns
        return stores - 1 + (late if late >= 0 else late % 32)


def parts(n: int, size: int) -> list[int]:
    """Whole tiles, and what is left."""
    return [size] * (n // size) + [n % size] * (n % size > 0)
