# SPDX-License-Identifier: Apache-2.0
"""What `validate --onnx` says of decibels between onnxruntime and the reference."""

from __future__ import annotations

import math

import pytest

from myoedge.cli.runs import _onnx_verdict


@pytest.mark.parametrize(
    ("db", "words"),
    [
        (math.inf, "the same integers"),
        (41.9, "agrees: 41.9 dB"),
        (38.8, "agrees within roundings that add up: 38.8 dB"),
        (25.9, "--input compares more samples"),
        (12.0, "does NOT agree: 12.0 dB"),
    ],
)
def test_decibels_have_a_word(db: float, words: str) -> None:
    assert words in _onnx_verdict(db)
    assert ("NOT" in _onnx_verdict(db)) == (db == 12.0)
