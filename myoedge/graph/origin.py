# SPDX-License-Identifier: Apache-2.0
"""Origins: places in the user's program that nodes come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Place in the user's program that a node came from.

    path    module path, "encoder.2.conv"; empty for functional calls at the root
    source  "net.py:41", last frame outside installed packages; empty if unknown
    part    layer within a module that has several: "l1_reverse" in a bidirectional stacked LSTM
    """

    path: str = ""
    source: str = ""
    part: str = ""

    @property
    def layer(self) -> str:
        """Module path and part: "encoder.lstm.l1_reverse"."""
        return f"{self.path}.{self.part}" if self.path and self.part else self.path

    def __str__(self) -> str:
        return (
            f"{self.layer} ({self.source})"
            if self.path and self.source
            else self.path or self.source
        )
