# SPDX-License-Identifier: Apache-2.0
"""Split of the samples into a calibration set and a held-out set for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.quantization.samples import Data, taken, thin

TEST, HELD_OUT, CALIBRATION = "test", "held-out", "calibration"  # roles of samples
SHARE = 0.2
JUDGED_SAMPLES = 1024  # held-out samples to measure accuracy on; of a test set all are used
SEED = 0
LEAST_SAMPLES = 20  # with fewer samples, all calibrate and all are evaluated


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
        """The samples for SQNR, and for accuracy without a test set: the held-out samples if there
        are any, otherwise the calibration samples."""
        return self.calibration if self.held_out is None else self.held_out

    @property
    def judged_on(self) -> str:
        """Name, for reports, of the samples in `judged`."""
        return CALIBRATION if self.held_out is None else HELD_OUT

    @property
    def labelled(self) -> tuple[str, Data]:
        """Role and samples on which accuracy is measured: the test set, otherwise `judged`."""
        if self.test is not None:
            return TEST, self.test
        return self.judged_on, thin(self.judged, JUDGED_SAMPLES)


def split(data: Data, share: float = SHARE, test: Data | None = None) -> Split:
    """Hold out a fraction of the samples at random with a fixed seed, because neighbouring samples
    of a recording are similar.

    share   fraction, 0 .. 1; no samples are held out if there are fewer than LEAST_SAMPLES
    test    samples of another file, on which accuracy is measured
    """
    count = round(share * data.count)
    if data.count < LEAST_SAMPLES or not count:
        return Split(data, None, share, test)
    order = np.random.default_rng(SEED).permutation(data.count)
    held_out, others = np.sort(order[:count]), np.sort(order[count:])
    return Split(taken(data, others, "of"), taken(data, held_out, "held out of"), share, test)


def describe(parts: Split) -> dict[str, Any] | None:
    """Return the held-out samples' entry in report.json; None if there are none."""
    if parts.held_out is None:
        return None
    return {"samples": parts.held_out.count, "share": parts.share, "seed": SEED}
