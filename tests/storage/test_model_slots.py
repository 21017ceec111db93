# SPDX-License-Identifier: Apache-2.0
"""Models in the two slots of a flash: updates that power cuts end, models that fail their test."""

from __future__ import annotations

import ctypes
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from myoedge.backends.build import Build
from myoedge.codegen.blob import HEAD
from myoedge.numerics.arrays import Array
from tests.firmware.test_model_blob import LOADED, SHAPE, blob_of, load, resealed, trained
from tests.storage.test_slots import Device, library

__all__ = ["library"]

CUTS = 5000
X = np.random.default_rng(5).integers(-128, 128, SHAPE).astype(np.int8)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("slots_of_models")
    return trained(folder, "first", 0), trained(folder, "second", 1)


def started(build: Build, device: Device) -> bytes:
    """What a device does at start: the newest whole record of the flash is its model."""
    found = device.load()
    assert found is not None, "neither the old model nor the new one"
    assert load(build, found) == LOADED
    return found


def test_power_cuts_during_updates_leave_the_old_or_the_new_model(
    builds: tuple[Build, Build], library: ctypes.CDLL
) -> None:
    rng = random.Random(11)
    device = Device(library, 256, 4096, 2, rng)
    blobs = [blob_of(build) for build in builds]
    results = {blobs[i]: builds[i].run_raw([X])[0].tobytes() for i in (0, 1)}
    assert results[blobs[0]] != results[blobs[1]]
    assert device.save(blobs[0]) == 0
    operations = 2 + len(blobs[0]) // 256 + 2  # erasures, pages, the head
    kept, ended = blobs[0], Counter[str]()
    for _ in range(CUTS):
        wanted = blobs[1] if kept == blobs[0] else blobs[0]
        device.save(wanted, cut=rng.randrange(operations + 2))
        found = started(builds[0], device)
        assert found in (kept, wanted)
        ended["new" if found == wanted else "old"] += 1
        if ended["new"] + ended["old"] <= 50:  # the C computes with what it loaded
            assert builds[0].run_raw([X])[0].tobytes() == results[found]
        kept = found
    assert min(ended.values()) > CUTS // 50, ended


def updated(build: Build, device: Device, blob: bytes, sample: Array, wanted: bytes) -> bool:
    """The guide's order: load, run the sample with a known answer, and only then write to flash."""
    is_good = load(build, blob) == LOADED and build.run_raw([sample])[0].tobytes() == wanted
    if is_good:
        return device.save(blob) == 0
    started(build, device)
    return False


def test_a_model_that_fails_its_test_is_rolled_back(
    builds: tuple[Build, Build], library: ctypes.CDLL
) -> None:
    first, second = (blob_of(build) for build in builds)
    assert load(builds[0], first) == LOADED  # whatever another test left
    answers = [build.run_raw([X])[0].tobytes() for build in builds]
    device = Device(library, 256, 4096, 2, random.Random(3))
    assert device.save(first) == 0
    spoilt = resealed(second, HEAD.size, bytes(range(256)) * 8)  # intact, and not what was trained
    assert load(builds[0], spoilt) == LOADED
    assert not updated(builds[0], device, spoilt, X, answers[1])
    assert builds[0].run_raw([X])[0].tobytes() == answers[0]
    assert started(builds[0], device) == first
    assert updated(builds[0], device, second, X, answers[1])
    assert started(builds[0], device) == second


def test_the_guide_has_this_order() -> None:
    text = (Path(__file__).parents[2] / "docs" / "guides" / "model-updates.md").read_text()
    steps = [text.index(f"{number}. ") for number in (1, 2, 3)]
    assert steps == sorted(steps)
    assert text.index("gesture_load") < text.index("me_slots_save")
