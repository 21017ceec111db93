# SPDX-License-Identifier: Apache-2.0
"""Which variations `advise` builds for a sensor application, by the network's share of power."""

from __future__ import annotations

import pytest
from torch import nn

from myoedge.backends.build import Build
from myoedge.building.config_tables import Config
from myoedge.extensions.sweeps.suggestions import network_share, ordered
from myoedge.extensions.sweeps.variations import variations
from myoedge.power.model import PUBLISHED
from tests.extensions.sensor import applications
from tests.extensions.sensor.applications import ARMBAND


class Large(applications.Windows):
    """Gestures, by many weights and few cycles."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.classes = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 128))


class Busy(Large):
    """Gestures, by many cycles."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv = nn.Sequential(
            nn.Conv1d(channels, 128, 5), nn.ReLU(), nn.Conv1d(128, 128, 9), nn.ReLU(),
            nn.Conv1d(128, 16, 5),
        )  # fmt: skip


@pytest.fixture(scope="module", params=["rare", "often"])
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    kind, hop = {"rare": (Large, 40), "often": (Busy, 1)}[request.param]
    place = tmp_path_factory.mktemp(request.param)
    return applications.built(place, kind, 40, sensor={**ARMBAND, "hop": hop})


def test_the_share_is_what_a_network_without_work_saves(build: Build) -> None:
    """The power of the cluster's state above that of a chip that waits meanwhile; at the lowest
    clock that is all, at a higher one the network also raises the clock."""
    duty, share = build.report["duty"], network_share(build.report, PUBLISHED, {})
    seconds, powers = duty["states_s"]["run"], duty["states_mw"]
    waits_mw = powers.get("cluster_off", powers.get("idle"))
    saved = seconds * (powers["run"] - waits_mw) / (duty["average_mw"][0] * duty["period_s"])
    assert 0.9 * saved < share < 1
    if build.report["target"]["clock_hz"] == 10_000_000:
        assert share == pytest.approx(saved, rel=0.1)


def test_what_a_rare_network_can_hardly_save_is_not_built(build: Build) -> None:
    asked = variations(build.report, Config(), {})
    builds, pointless = ordered(asked, build.report, PUBLISHED, {})
    assert sorted(x.title for x in asked) == sorted(x.title for x in [*builds, *pointless])
    is_rare = build.report["duty"]["period_s"] > 0.1
    assert ("weights of 4 bits" in [x.title for x in pointless]) == is_rare
    assert bool(pointless) == is_rare


def test_without_a_period_all_are_built_in_their_order(build: Build) -> None:
    free = {**build.report, "duty": None}
    asked = variations(free, Config(), {})
    assert len(asked) > 1
    assert ordered(asked, free, PUBLISHED, {}) == ([*asked], [])
