# SPDX-License-Identifier: Apache-2.0
"""Samples of a network by purpose: some calibrate and choose, others are held out to judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.quantization.samples import Data, taken, thin

TEST, HELD_OUT, CALIBRATION = "test", "held-out", "calibration"  # roles of samples
SHARE = 0.2
MEASURED_SAMPLES = 64  # for SQNR, which runs every layer twice
JUDGED_SAMPLES = 1024  # held-out samples to measure accuracy on; of a test set all are used
SEED = 0
LEAST_SAMPLES = 20  # with fewer samples, all calibrate and all are evaluated


@dataclass(frozen=True)
class Samples:
    """Samples of a network by purpose, in file order: made once, and handed to every stage.

    given       all samples of the calibration recording; the first is the golden sample
    learn       those that are not held out
    calibrate   those of `learn` that determine ranges
    choose      MEASURED_SAMPLES of `learn` at most, on which candidate networks are compared
    judge       held-out samples, which influence no decision; `learn` if none are held out
    test        labelled samples of another file, for accuracy only; None without
    share       requested fraction of held-out samples
    """

    given: Data
    learn: Data
    calibrate: Data
    choose: Data
    judge: Data
    test: Data | None
    share: float

    @property
    def held_out(self) -> Data | None:
        """Held-out samples; None without."""
        return None if self.judge is self.learn else self.judge

    @property
    def judged_on(self) -> str:
        """Name, for reports, of the samples in `judge`."""
        return CALIBRATION if self.held_out is None else HELD_OUT

    @property
    def labelled(self) -> tuple[str, Data] | None:
        """Role and samples on which accuracy is measured: the test set, otherwise `judge`; None
        without labels."""
        role, data = self.judged_on, thin(self.judge, JUDGED_SAMPLES)
        if self.test is not None:
            role, data = TEST, self.test
        return None if data.labels is None else (role, data)


def samples_by_purpose(
    data: Data, share: float = SHARE, test: Data | None = None, *, most: int | None = None
) -> Samples:
    """Hold out a fraction of the samples at random with a fixed seed, because neighbouring samples
    of a recording are similar.

    share   fraction, 0 .. 1; no samples are held out if there are fewer than LEAST_SAMPLES
    test    samples of another file, on which accuracy is measured
    most    maximum number of samples that determine ranges; None: all that are not held out
    """
    count = round(share * data.count)
    learn = judge = data
    if data.count >= LEAST_SAMPLES and count:
        order = np.random.default_rng(SEED).permutation(data.count)
        learn = taken(data, np.sort(order[count:]), "of")
        judge = taken(data, np.sort(order[:count]), "held out of")
    return Samples(
        data, learn, thin(learn, most or learn.count), measured(learn), judge, test, share
    )


def measured(data: Data) -> Data:
    """Select the samples on which SQNR is measured: MEASURED_SAMPLES at most, evenly spaced."""
    return thin(data, MEASURED_SAMPLES)


def describe(samples: Samples) -> dict[str, Any] | None:
    """Return the held-out samples' entry in report.json; None if there are none."""
    if samples.held_out is None:
        return None
    return {"samples": samples.held_out.count, "share": samples.share, "seed": SEED}
