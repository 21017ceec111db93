# SPDX-License-Identifier: Apache-2.0
"""The GAP SDK application with weights in MRAM: exact, and codes where weights are not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.backends.build import Build
from myoedge.simulator import Simulation, simulate
from myoedge.system import tools
from tests.e2e.test_less_l2 import SHAPE, Deep
from tests.extensions.gap_sdk import sdk


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Its weights have no room in L2."""
    folder = tmp_path_factory.mktemp("deep")
    return sdk.made(folder, Deep(), SHAPE, l2="23KiB", memory="mram=auto")


def ran(build: Build, folder: Path, mram: bytes, *defines: str) -> Simulation:
    """The application with this content of mram.bin."""
    for name, image in {"l3.bin": build.l3_image, "mram.bin": mram}.items():
        if image:
            (folder / name).write_bytes(image)
    return simulate(
        sdk.for_chip(build, "SHIM_CHECKS", *defines).elf, folder=folder, max_cycles=10**8
    )


def content(build: Build) -> bytes:
    assert build.mram_image is not None
    return build.mram_image


@pytest.mark.parametrize("version", [(), ("ME_SDK_4",)])
def test_weights_in_mram_are_exact_on_the_chip(
    deep: Build, tmp_path: Path, version: tuple[str, ...]
) -> None:
    done = ran(deep, tmp_path, content(deep), *version)
    assert (done.exit_code, "outputs as expected" in done.output) == (0, True), done.output


def test_weights_in_mram_are_exact_on_this_machine(deep: Build, tmp_path: Path) -> None:
    for name in ("l3.bin", "mram.bin"):
        if (deep.folder / name).exists():
            (tmp_path / name).write_bytes((deep.folder / name).read_bytes())
    done = tools.run([sdk.for_host(deep, tmp_path, "SHIM_CHECKS")], cwd=tmp_path)
    assert "outputs as expected" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("damage", ["one bit", "too short", "none"])
def test_weights_that_are_not_whole_are_a_code(deep: Build, tmp_path: Path, damage: str) -> None:
    mram = content(deep)
    changed = {
        "one bit": bytes([mram[0] ^ 1]) + mram[1:],
        "too short": mram[:-4],
        "none": b"",
    }
    done = ran(deep, tmp_path, changed[damage])
    code = {"one bit": -3, "too short": -14, "none": -14}[damage]  # ME_DAMAGED, ME_NO_FILE
    assert done.exit_code == code % 2**31
    assert f"cannot start, code {code} " in done.output


def test_an_error_in_a_run_is_a_code(deep: Build, tmp_path: Path) -> None:
    """STATUS says so while the network reads."""
    done = ran(deep, tmp_path, content(deep), "ME_MRAM_STATUS=(0x10u)")
    assert done.exit_code != 0
    assert "outputs" not in done.output
