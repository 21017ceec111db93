# SPDX-License-Identifier: Apache-2.0
"""What several files share: a small build with the GAP SDK application, and its program."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from myoedge.backends.build import Build
from tests.extensions.gap_sdk import sdk
from tests.support.networks.small import Two


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Build:
    torch.manual_seed(0)
    return sdk.made(tmp_path_factory.mktemp("two"), Two(), (1, 5), (1, 7))


@pytest.fixture(scope="session")
def weights_in_l3(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A build whose weights come from L3."""
    layers = (nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
    folder = tmp_path_factory.mktemp("weights_in_l3")
    return sdk.made(folder, nn.Sequential(*layers), (1, 64), l2="24KiB")
