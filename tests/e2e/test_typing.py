# SPDX-License-Identifier: Apache-2.0
"""The example that types: trained weights, from samples to keys, int8 against floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import myoedge
from tests.support.pages import example


def test_windows_hold_what_they_say() -> None:
    """Presses of keys that there are, each of its own gesture's strength, from one repetition."""
    typing = example("typing_myo")
    drawn = typing.windows(typing.TEST_REPS, 5, seed=0)
    assert all(x.shape == (typing.SAMPLES, 1, 8) for x, _ in drawn)
    assert all(set(keys) <= set(typing.GESTURES) and len(keys) >= 4 for _, keys in drawn)
    quiet = typing.stretches(typing.TEST_REPS)[typing.REST][0].std()
    assert all(x.std() > 3 * quiet for x, _ in drawn)
    again = typing.windows(typing.TEST_REPS, 5, seed=0)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(drawn, again, strict=True))


def test_the_distance_of_texts() -> None:
    typing = example("typing_myo")
    assert typing.distance("kitten", "sitting") == 3
    assert typing.distance("", "abc") == 3
    assert typing.symbols(np.array([6, 1, 1, 6, 1, 2, 2, 6])) == [1, 1, 2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_trained_weights_keep_their_symbols(tmp_path: Path) -> None:
    typing = example("typing_myo")
    model = typing.train(300)
    made = typing.build(model, tmp_path, typing.windows(typing.TRAIN_REPS, 48, seed=1))
    assert myoedge.validate(made, on=("host", "simulator")).difference is None
    found = typing.compare(model, made, typing.windows(typing.TEST_REPS, 64, seed=2))
    assert found.frames >= 3_000
    assert found.sqnr_db >= 20.0
    assert found.agreement >= 0.99
    assert found.wrong_float <= 0.05  # so that there is something to lose
    assert found.wrong_int8 <= found.wrong_float + 0.01
