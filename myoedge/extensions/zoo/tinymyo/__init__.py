# SPDX-License-Identifier: Apache-2.0
"""TinyMyo, a transformer foundation model for sEMG, and its fine-tuned variants, in plain torch.

Upstream is pulp-bio/BioFoundation (networks, v1 and v2), MatteoFasulo/silent_speech (speech) and
MatteoFasulo/generic-neuromotor-interface (neuromotor); parameters have its names, so that released
weights load strictly. They are CC BY-ND, so they are not included.
"""

from __future__ import annotations

from typing import Any

from myoedge.extensions.zoo.tinymyo.encoder import (
    Classification,
    Reconstruction,
    RegressionHead,
    SpeechMyo,
    TinyMyo,
)
from myoedge.extensions.zoo.tinymyo.wrist import NeuromotorMyo

__all__ = [
    "NeuromotorMyo", "SpeechMyo", "TinyMyo", "db5", "db8", "epn", "neuromotor", "pretraining",
    "production", "recognition", "small_epn", "uci",
]  # fmt: skip


def epn(samples: int = 1000, **options: Any) -> TinyMyo:
    """Return EPN-612's network: [n, 8, samples] at 200 Hz to 6 gestures; 3,572,742 parameters
    (version 1)."""
    return TinyMyo(Classification(8, 6), 8, samples, **options)


def uci(samples: int = 1000, **options: Any) -> TinyMyo:
    """Return the network for the UCI EMG data set, which is that of `epn`."""
    return epn(samples, **options)


def db5(samples: int = 200, **options: Any) -> TinyMyo:
    """Return NinaPro DB5's network: [n, 16, samples] at 200 Hz to 52 gestures and rest; 3,726,389
    parameters."""
    return TinyMyo(Classification(16, 53), 16, samples, **options)


def db8(samples: int = 200, **options: Any) -> TinyMyo:
    """Return NinaPro DB8's network: [n, 16, samples] at 2 kHz to [n, samples, 5] angles; 4,352,517
    parameters."""
    return TinyMyo(RegressionHead(16, 5, samples), 16, samples, **options)


def pretraining(samples: int = 1000, **options: Any) -> TinyMyo:
    """Return the pre-training network: [n, 16, samples] to the samples of every patch; 3,567,380
    parameters."""
    return TinyMyo(Reconstruction(), 16, samples, **options)


def small_epn(samples: int = 200, **options: Any) -> TinyMyo:
    """Return a small variant with four layers and 6 gestures; 1,793,286 parameters (version 1)."""
    return epn(samples, **{"layers": 4, **options})


def production(samples: int = 1600, **options: Any) -> SpeechMyo:
    """Return the speech production network: [n, samples, 8] at 689 Hz to 26 cepstral coefficients
    and 48 phonemes; 4,553,930 parameters."""
    return SpeechMyo(samples, 26, 48, **options)


def recognition(samples: int = 1600, **options: Any) -> SpeechMyo:
    """Return the speech recognition network: [n, samples, 8] to log-probabilities of 37 characters
    and blank; 4,546,982 parameters."""
    return SpeechMyo(samples, 38, log=True, **options)


def neuromotor(samples: int = 2000, **options: Any) -> NeuromotorMyo:
    """Return the neuromotor network: [n, 16, samples] at 2 kHz to 9 gestures per token; 3,626,121
    parameters."""
    return NeuromotorMyo(samples, **options)
