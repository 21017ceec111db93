# SPDX-License-Identifier: Apache-2.0
"""What several files share: small builds with the GAP SDK application, and a program of one."""

from __future__ import annotations

import pytest

from myoedge.backends.build import Build
from myoedge.simulator import simulate
from tests.extensions.gap_sdk import sdk
from tests.extensions.gap_sdk.conftest import two as two
from tests.extensions.gap_sdk.conftest import weights_in_l3 as weights_in_l3


@pytest.fixture(scope="session")
def served(two: Build, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An ELF for the simulated chip that serves the serial line, every PMSIS call checked."""
    elf = sdk.for_chip(two, "SHIM_CHECKS", *sdk.UART).elf
    folder = tmp_path_factory.mktemp("served")
    (folder / "uart.in").touch()
    assert simulate(elf, folder=folder).exit_code == 0  # also: the simulator has been compiled
    return elf
