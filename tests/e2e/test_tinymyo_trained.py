# SPDX-License-Identifier: Apache-2.0
"""TinyMyo's small variant, trained on real recordings: what the device's bytes keep of it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("weight_bits", [8, 4])
def test_windows_of_a_repetition_that_was_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight_bits: int
) -> None:
    """Over 1,000 of them: the same answers as in floats, and 20 dB of the logits."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    trial = importlib.import_module("tinymyo_myo")
    training = trial.data(trial.TRAIN_REPS, 10)
    model = trial.train(training, epochs=12)
    made = trial.build(model, training[0][::8], tmp_path, weight_bits)
    found = trial.compare(model, made, trial.data(trial.TEST_REPS, 2))
    assert found.windows >= 1000
    assert found.sqnr_db >= 20.0
    assert found.agreement >= 0.99
    assert found.right_int8 >= found.right_float - 0.01
