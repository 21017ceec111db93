# SPDX-License-Identifier: Apache-2.0
"""Split of the samples: calibration, and evaluation of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.quantization.samples import Data, taken, thin

TEST, HELD_OUT, CALIBRATION = "test", "held-out", "calibration"  # roles of samples
SHARE = 0.2
JUDGED_SAMPLES = 1024  # of a calibration recording whose labels are compared; of a test set all
SEED = 0
LEAST_SAMPLES = 20  # of fewer, all calibrate and all are judged


@dataclass(frozen=True)
class Split:
    """Samples split into a calibration set and an evaluation set, both in file order.

    calibration   used to choose ranges, observers and int16 tensors
    held_out      used only for evaluation; None: `calibration` serves both purposes
    share         requested fraction of held-out samples
    test          test samples of another file, used only for evaluation; None without
    """

    calibration: Data
    held_out: Data | None
    share: float
    test: Data | None = None

    @property
    def judged(self) -> Data:
        """The samples for measuring SQNR, and accuracy if there is no test set."""
        return self.calibration if self.held_out is None else self.held_out

    @property
    def judged_on(self) -> str:
        """The name of the evaluation samples in reports."""
        return CALIBRATION if self.held_out is None else HELD_OUT

    @property
    def labelled(self) -> tuple[str, Data]:
        """(role, samples) for the accuracy: the test set, otherwise the samples used for SQNR."""
        if self.test is not None:
            return TEST, self.test
        return self.judged_on, thin(self.judged, JUDGED_SAMPLES)


def split(data: Data, share: float = SHARE, test: Data | None = None) -> Split:
    """Hold out a fraction of the samples, drawn at random with a fixed seed, because neighbours in
    a recording are similar.

    share   0 .. 1, rounded to whole samples; nothing is held out below LEAST_SAMPLES samples
    """
    count = round(share * data.count)
    if data.count < LEAST_SAMPLES or not count:
        return Split(data, None, share, test)
    order = np.random.default_rng(SEED).permutation(data.count)
    held_out, others = np.sort(order[:count]), np.sort(order[count:])
    return Split(taken(data, others, "of"), taken(data, held_out, "held out of"), share, test)


def describe(parts: Split) -> dict[str, Any] | None:
    """The held-out samples as listed in report.json; None if nothing is held out."""
    if parts.held_out is None:
        return None
    return {"samples": parts.held_out.count, "share": parts.share, "seed": SEED}
