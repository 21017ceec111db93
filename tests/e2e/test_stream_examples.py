# SPDX-License-Identifier: Apache-2.0
"""Examples of streams: text from an application's packets, bands normalised over past frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from myoedge.extensions.sensor.decisions import Reference
from myoedge.extensions.sensor.playback import program_of
from myoedge.extensions.sensor.recording import recording_of
from tests.support.pages import example

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")


# ---- typing


def test_greedy_ctc() -> None:
    typing = example("typing_stream")
    assert len(set(typing.KEYS)) == typing.BLANK == 98
    h, e, blank = typing.KEYS.index("h"), typing.KEYS.index("e"), typing.BLANK
    assert typing.text_of([]) == ""
    assert typing.text_of([blank, h, h, blank, e, e, None, e, h]) == "heeh"
    assert typing.typed([]) == ""


def test_presses_are_where_their_classes_say() -> None:
    typing = example("typing_stream")
    emg, classes = typing.presses("ab", seed=0)
    assert emg.shape == (len(classes), 32)
    assert (classes[:2000] == typing.BLANK).all()
    assert [x for x in dict.fromkeys(classes) if x != typing.BLANK] == [0, 1]
    assert emg[classes == 0].std() > 3 * emg[:2000].std()


@pytest.mark.slow
def test_text_from_packets(tmp_path: Path) -> None:
    """The text of the packets is that of the NumPy reference, and the one that was pressed."""
    typing = example("typing_stream")
    model = typing.fitted(per_key=8)
    made = typing.build(model, tmp_path)
    emg, _ = typing.presses("hello emg", seed=3)
    played = myoedge.play(made, emg)
    (tmp_path / "line.bin").write_bytes(played.run.line)
    text = typing.typed(myoedge.monitor(tmp_path / "line.bin"))
    program = program_of(made)
    counts = recording_of(program.sensor, emg).counts
    integers = program.conversion.integers(counts)
    assert made.stream is not None
    reference = Reference(program, made.stream.network, made.stream, integers)
    assert text == typing.text_of(row.class_index for row in reference.decisions())
    assert text == typing.in_floats(model, emg) == "hello emg"
    assert (played.exact, played.samples_lost) == (True, 0)


# ---- normalised bands


def test_means_over_past_frames() -> None:
    rolling = example("rolling_normalisation")
    x = np.random.default_rng(0).normal(3, 2, (40, 1, 2, 3))
    found = rolling.RollingNorm(5)(torch.from_numpy(x)).numpy()
    deviation = [row - x[max(t - 4, 0) : t + 1].mean(0) for t, row in enumerate(x)]
    wanted = [
        deviation[t] / np.sqrt(np.square(deviation[t - 4 : t + 1]).mean(0) + 0.1)
        for t in range(8, 40)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)


def test_a_louder_signal_has_the_same_bands(tmp_path: Path) -> None:
    rolling = example("rolling_normalisation")
    made = rolling.build(tmp_path)
    checked = myoedge.validate(made, on=("host", "simulator"))
    assert checked.exact["host"]
    assert checked.exact["simulator"]
    assert made.report["quantization"]["sqnr_db"] > 28
    emg = rolling.windows()[0, :, 0]
    frames = rolling.front_end()(torch.from_numpy(emg[:, None])).numpy()[:, 0]
    found = rolling.pushed(made, emg)
    assert found.shape[1:] == (8, 6)
    assert len(frames) - 4 < len(found) <= len(frames)  # a pass is 4 frames
    error = np.square(found - frames[: len(found)]).mean() / np.square(frames).mean()
    assert error < 10**-2.5
    assert np.median(np.abs(rolling.pushed(made, emg / 2) - found)) < 0.1
