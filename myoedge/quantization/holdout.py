# SPDX-License-Identifier: Apache-2.0
"""Samples that choose ranges and formats, and samples that the result is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.quantization.accuracy import JudgedClasses, judged_classes
from myoedge.quantization.samples import Data, taken, thin
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import measure

SHARE = 0.2
SEED = 0
JUDGED_SAMPLES = 1024  # for accuracy, where there are labels
LEAST_SAMPLES = 20  # of fewer, all calibrate and all are judged


@dataclass(frozen=True)
class Split:
    """Samples of a file in two parts, in the order of the file.

    calibration   ranges, observers and 16 bits are chosen with these
    held_out      chosen with no sample of these; None where all samples do both
    share         of the samples that was asked to be held out
    """

    calibration: Data
    held_out: Data | None
    share: float

    @property
    def judged(self) -> Data:
        """The samples that SQNR and accuracy are told of."""
        return self.calibration if self.held_out is None else self.held_out

    @property
    def judged_on(self) -> str:
        """For reports."""
        return "calibration" if self.held_out is None else "held-out"


def split(data: Data, share: float = SHARE) -> Split:
    """Holds out a share of the samples, drawn with a fixed seed: neighbours in a recording are
    alike, so that its last fifth would say more of that place than of the network.

    share   0 .. 1, rounded to whole samples; nothing is held out below LEAST_SAMPLES samples
    """
    count = round(share * data.count)
    if data.count < LEAST_SAMPLES or not count:
        return Split(data, None, share)
    order = np.random.default_rng(SEED).permutation(data.count)
    held_out, others = np.sort(order[:count]), np.sort(order[count:])
    return Split(taken(data, others, "of"), taken(data, held_out, "held out of"), share)


def describe(parts: Split) -> dict[str, Any] | None:
    """For report.json; None where nothing is held out."""
    if parts.held_out is None:
        return None
    return {"samples": parts.held_out.count, "share": parts.share, "seed": SEED}


def labelled_classes(network: QuantGraph, judged: Data) -> JudgedClasses | None:
    """Classes that float network and integers choose for the labelled samples; None without labels,
    or as judged_classes."""
    few = thin(judged, JUDGED_SAMPLES)
    if few.labels is None:
        return None
    fidelity = measure(network, few.inputs, layers=False)
    return judged_classes(network.graph, fidelity.real, fidelity.integer, few.labels)
