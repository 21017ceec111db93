# SPDX-License-Identifier: Apache-2.0
"""Rows of the import table for short-time Fourier transforms, of which the magnitudes are taken."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow, first
from myoedge.operators.spectral.definition import LENGTHS


def stft(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """[B, T] or [T] -> magnitudes [B, n / 2 + 1, frames], which is what may be read of it."""
    x, length = first(a), int(a["n_fft"])
    if length not in LENGTHS:
        raise Unsupported(f"n_fft = {length}, a power of two from {LENGTHS[0]} to {LENGTHS[-1]}")
    if a.get("center"):
        raise Unsupported("center=True inside the operator: pad before it")
    if a["onesided"] is False:
        raise Unsupported("onesided=False")
    hop = int(a["hop_length"] or length // 4)
    size, given = int(a["win_length"] or length), a.get("window")
    window = np.ones(size, np.float32) if given is None else weights(d, given, "a window")
    before = (length - size) // 2  # a shorter window stands in the middle
    window = np.pad(window, (before, length - size - before))
    if a["normalized"]:
        window = window / np.float32(np.sqrt(length))
    rows = x if len(d.shape(x)) == 2 else reshape(d, x, (1, *d.shape(x)))
    lanes = d.shape(rows)[0]
    parts = window, np.ones(lanes, np.float32), np.zeros(lanes, np.float32)
    constants = [d.constant(part) for part in parts]
    y = d.add("spectrogram", transpose(d, rows, (1, 0)), *constants, hop=hop, chain=())
    turned = d.add("transpose", y, perm=(1, 2, 0), back=True)
    return reshape(d, turned, out)


ROWS = (ImportRow("spectrogram", stft, "stft stft.center"),)
