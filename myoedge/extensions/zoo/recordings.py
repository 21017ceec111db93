# SPDX-License-Identifier: Apache-2.0
"""Labelled sEMG recordings, and windows cut from them for training, calibration and testing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording with the gesture and the repetition of every sample.

    emg      [samples, channels], in the recording's own unit
    fs_hz    samples per second
    labels   gesture, [samples]
    reps     repetition, [samples]
    """

    emg: Floats
    fs_hz: float
    labels: Ints
    reps: Ints


def load(path: str | Path) -> Recording:
    """Load a recording from an npz file with the arrays emg, fs (Hz), labels and reps."""
    with np.load(path, allow_pickle=False) as file:
        return Recording(
            file["emg"].astype(np.float32),
            float(file["fs"]),
            file["labels"].astype(np.int64),
            file["reps"].astype(np.int64),
        )


def windows(
    recording: Recording,
    reps: Collection[int],
    *,
    length: int,
    hop: int,
    rectify: bool = True,
    smooth: int = 1,
    part: tuple[float, float] = (0.0, 1.0),
) -> tuple[Floats, Ints]:
    """Cut windows from the given repetitions of a recording; return x [n, 1, channels, length] and
    the gestures y [n].

    length, hop   length of a window, and distance between the starts of two, in samples
    rectify       whether to take absolute values first
    smooth        length of a moving average, in samples
    part          part of each gesture's samples to use: (0.0, 0.5) is the first half

    No sample of a window, smoothing included, is from another gesture, repetition or part.
    """
    changed = (np.diff(recording.labels) != 0) | (np.diff(recording.reps) != 0)
    bounds = [0, *(np.flatnonzero(changed) + 1).tolist(), len(recording.labels)]
    x, y = [], []
    for start, stop in pairwise(bounds):
        if recording.reps[start] in reps:
            first, last = (start + int(fraction * (stop - start)) for fraction in part)
            x.append(_windows(recording.emg[first:last], length, hop, rectify, smooth))
            y.append(recording.labels[first:last][: len(x[-1])])
    if not sum(map(len, x)):
        raise ValueError(f"no window of {length} samples in repetitions {sorted(reps)}")
    return np.concatenate(x)[:, None], np.concatenate(y)


def _windows(emg: Floats, length: int, hop: int, rectify: bool, smooth: int) -> Floats:
    emg = np.abs(emg) if rectify else emg
    if len(emg) < length + smooth - 1:
        return np.empty((0, emg.shape[1], length), np.float32)
    smoothed = sliding_window_view(emg, smooth, axis=0).mean(axis=-1, dtype=np.float32)
    return sliding_window_view(smoothed, length, axis=0)[::hop].copy()
