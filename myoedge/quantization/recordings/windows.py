# SPDX-License-Identifier: Apache-2.0
"""Windows cut from recordings: [rows, channels] -> [windows, *input shape]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array


@dataclass(frozen=True, slots=True)
class WindowLayout:
    """Order of time and channels in a network's input.

    rows        window length in rows of a recording
    transposed  whether channels come before time
    """

    rows: int
    transposed: bool


def layout(shape: Sequence[int], channels: int, window: int | None = None) -> WindowLayout | None:
    """Return the order of time and channels in an input of this shape, for a recording with this
    many channels; None if neither order fits.

    window   required window length; None: any
    Axes of size 1 are ignored. If both orders fit, channels come first, as in nn.Conv1d.
    """
    sizes = [size for size in shape if size > 1]
    if channels == 1 and len(sizes) == 1:
        sizes = [1, *sizes]
    if len(sizes) != 2:
        return None
    for transposed, (first, second) in ((True, sizes), (False, sizes[::-1])):
        if first == channels and window in (None, second):
            return WindowLayout(second, transposed)
    return None


def starts(lengths: Sequence[int], labels: Array | None, rows: int, hop: int) -> Array:
    """Return the first row of each window; windows are within one recording and one class.

    lengths   rows of each recording, in order
    labels    [rows, ...]; None without labels
    rows      rows per window
    hop       rows between the starts of windows
    """
    ends = np.cumsum(lengths)
    spans = zip(ends - lengths, ends, strict=True)
    found = [np.arange(start, end - rows + 1, hop) for start, end in spans]
    first = np.concatenate(found) if found else np.zeros(0, int)
    if labels is None:
        return first
    differs = (labels[1:] != labels[:-1]).reshape(len(labels[1:]), -1).any(axis=1)
    changes = np.concatenate([[0], np.cumsum(differs)])
    kept: Array = first[changes[first] == changes[first + rows - 1]]
    return kept


def cut(x: Array, first: Array, found: WindowLayout, shape: Sequence[int]) -> Array:
    """Cut windows [windows, *shape] from a recording.

    x       the recording [rows, channels]
    first   first row of each window
    found   order of time and channels
    """
    view = np.lib.stride_tricks.sliding_window_view(x, found.rows, axis=0)  # [.., channels, rows]
    windows = view[first] if found.transposed else view[first].transpose(0, 2, 1)
    return windows.reshape(len(first), *shape)
