# SPDX-License-Identifier: Apache-2.0
"""The table [adapt] of myoedge.toml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from myoedge.errors import MyoedgeError

CLASSIFIERS = ("prototypes", "lda", "head")
METHODS = (*CLASSIFIERS, "norm")  # a method's number in C is its index plus 1


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


READERS = {  # key of [adapt] -> methods that use it
    "replay": ("head",),
    "channels": ("norm",),
    "layer": CLASSIFIERS,
    "pseudo": CLASSIFIERS,
}


def check_table(table: AdaptTable) -> None:
    """Raise E232 for [adapt] without methods, or with a key that none of them reads."""
    if not table.methods:
        needs = {"needs": ", ".join(METHODS)}
        raise MyoedgeError("E232", "[adapt] methods is empty", needs, ['methods = ["lda"]'])
    for key, readers in READERS.items():
        if getattr(table, key) in (None, 0) or {*readers} & {*table.methods}:
            continue
        facts = {"has": ", ".join(table.methods), "needs": " or ".join(readers)}
        methods = ", ".join(f'"{name}"' for name in (*table.methods, readers[-1]))
        tries = [f"methods = [{methods}]", f"[adapt] without {key}"]
        raise MyoedgeError("E232", f"no method reads [adapt] {key}", facts, tries)
