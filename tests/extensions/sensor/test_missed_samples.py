# SPDX-License-Identifier: Apache-2.0
"""Data-readies that do not come, one after the other, on the simulated chip."""

from __future__ import annotations

import numpy as np
import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.packets import Flags
from myoedge.extensions.sensor.playback import Played
from myoedge.simulator import Fault
from tests.conftest import thinned
from tests.extensions.sensor import applications


def without_a_run(build: Build, seed: int, first: int, count: int) -> Played:
    """A playback of rest and gestures in which `count` data-readies from a frame on do not come."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 40.0, (500, 8))
    signal *= np.repeat(rng.choice([0.02, 1.0], 13), 40)[:500, None]
    return myoedge.play(build, signal, faults=[Fault(first + n, "missed") for n in range(count)])


@pytest.mark.parametrize(
    ("seed", "first", "count"),
    thinned([(5, 112, 67), (9, 120, 67), (13, 80, 67), (4, 134, 40), (12, 88, 52), (1, 5, 130)]),
)
def test_data_readies_missed_in_a_row(
    tmp_path_factory: pytest.TempPathFactory, seed: int, first: int, count: int
) -> None:
    """The program starts a front end that is silent again and again. In all cases but the last, the
    next data-ready came just before, and the transfer of its sample was cut off."""
    gated = applications.shared(tmp_path_factory, "gated")
    played = without_a_run(gated, seed, first, count)
    assert not played.compared.wrong
    assert played.samples_lost == count
    after = next(x for x in played.decisions if x.frame >= first)
    assert after.flags & Flags.SAMPLES_LOST
    assert played.decisions[-1].frame > 490


@pytest.mark.parametrize("count", [1, 39, 67, 130])
@pytest.mark.parametrize("name", thinned(["gated", "stream", "windows"]))
def test_the_first_data_readies_are_missed(
    tmp_path_factory: pytest.TempPathFactory, name: str, count: int
) -> None:
    """The program's sample 0 is the first one that it hears of, whatever its frame."""
    played = without_a_run(applications.shared(tmp_path_factory, name), 2, 0, count)
    assert played.exact
    assert (played.samples_lost, played.frames) == (count, 500 - count)
    assert played.latency is not None
    assert played.latency.max_s < 0.02  # a pass of the stream waits for 4 samples
