# SPDX-License-Identifier: Apache-2.0
"""Recordings of a logger: int16, little endian, its number of channels first."""

from pathlib import Path

import numpy as np

MICROVOLTS = 0.5  # of a step


def read(path: Path) -> dict[str, np.ndarray]:
    """{"input": float32 [rows, channels]}"""
    numbers = np.fromfile(path, "<i2")
    channels = int(numbers[0])
    if channels < 1 or (len(numbers) - 1) % channels:
        raise ValueError("it is cut off in a row")
    return {"input": numbers[1:].reshape(-1, channels) * np.float32(MICROVOLTS)}
