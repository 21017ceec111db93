# SPDX-License-Identifier: Apache-2.0
"""Classes that the network itself decided with confidence, in place of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoedge.extensions.adaptation.exponentials import EXPONENTIALS, STEPS
from myoedge.numerics.arrays import Array

AGREEING, OF_HELD_BACK = (
    9,
    10,
)  # required share of held-back windows on which the old and the new classifier agree

MOST_FACTOR = 1 << 24  # with more, a difference of 1 is already past the table of exponentials


@dataclass(frozen=True)
class Pseudo:
    """Confidence in the network's decision, 15 bits after the point.

    threshold   the least confidence of a pseudo-label
    factor      of differences of scores: their step times 16 (1 / 16 is a step of the
                exponentials), with 12 bits after the point; of probabilities: their step, with 23;
                at most MOST_FACTOR
    is_probability   whether the network's scores are probabilities, else they are logits
    zero_point  of the scores
    """

    threshold: int
    factor: int
    is_probability: bool
    zero_point: int

    def confidence(self, scores: Array) -> int:
        """Return the confidence in the largest of integer scores [classes]."""
        values = scores.reshape(-1).astype(np.int64)
        best = int(values.max())
        if self.is_probability:
            return (best - self.zero_point) * self.factor >> 8
        behind = (best - values) * self.factor >> 12
        powers = np.where(behind < STEPS, EXPONENTIALS[np.minimum(behind, STEPS - 1)], 0)
        return (1 << 30) // int(powers.sum())

    def label(self, scores: Array) -> int:
        """Return the class of the largest score, the first of equals; -1: not confident."""
        is_confident = self.confidence(scores) >= self.threshold
        return int(scores.reshape(-1).argmax()) if is_confident else -1


def pseudo(threshold: float, scale: float, zero_point: int, *, is_probability: bool) -> Pseudo:
    """Return the settings for scores with a scale, whose decisions are labels from a confidence
    on."""
    step = scale * (2.0**23 if is_probability else 16 * 2.0**12)
    factor = min(max(round(step), 1), MOST_FACTOR)
    return Pseudo(round(threshold * 2**15), factor, is_probability, zero_point)
