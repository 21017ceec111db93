# SPDX-License-Identifier: Apache-2.0
"""The table [adapt] of myoedge.toml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class AdaptTable:
    """[adapt]: settings of a firmware that can adapt to a new session.

    methods   supported methods
    layer     pattern of the layer whose results are the features; None: the layer before the last
              one with weights
    replay    memory for features of calibration samples, on which the head is trained again:
              "16KiB"
    channels  of the input, which norm rescales; one axis of the input is as long
    pseudo    least confidence with which the network's decisions are labels: 0.95; default: they
              never are
    """

    methods: list[Literal["prototypes", "lda", "head", "norm"]] = field(
        default_factory=lambda: ["prototypes", "head"]
    )
    layer: str | None = None
    replay: str | int = 0
    channels: int | None = None
    pseudo: float | None = None
