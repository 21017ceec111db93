# SPDX-License-Identifier: Apache-2.0
"""Builds for a board whose RAM and flash are smaller than those of QEMU's board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.reports.budget import budget_lines
from myoedge.reports.wording import size
from myoedge.targets import find_chip
from myoedge.targets.boards import read_board
from tests.conftest import Ran, save_exported
from tests.extensions.qemu.test_emulated_remedies import CORE
from tests.extensions.qemu.test_limits import KIB, ram_bytes
from tests.extensions.qemu.test_qemu import built, in_qemu, sections
from tests.support.limits import l2_with_code


def board(folder: Path, **sizes: int) -> str:
    path = folder / "own.toml"
    path.write_text(CORE + "".join(f"{name} = {size}\n" for name, size in sizes.items()))
    return str(path)


@in_qemu
def test_a_report_compares_with_the_board(tmp_path: Path) -> None:
    """[target] board is the same as --board; the program is that of QEMU's board."""
    own = board(tmp_path, ram_bytes=256 * KIB, flash_bytes=1024 * KIB)
    build = built("conv", tmp_path, "cortex-m4", board=own)
    (tmp_path / "free").mkdir()
    target, free = build.report["target"], built("conv", tmp_path / "free", "cortex-m4")
    assert (target["l2_bytes"], target["flash_bytes"]) == (256 * KIB, 1024 * KIB)
    assert free.report["target"]["l2_bytes"] == 4096 * KIB
    assert build.written("firmware.elf") == free.written("firmware.elf")
    assert myoedge.validate(build, on="qemu").exact["qemu"]
    rows = {row.key: row for row in myoedge.evidence(build, drawn=1).requirements}
    assert rows["MEM-1"].value.endswith(f"of {256 * KIB:,} bytes")
    assert rows["MEM-2"].value.endswith(f"of {1024 * KIB:,} bytes")


@pytest.mark.parametrize("memory", ["ram", "flash"])
def test_a_program_larger_than_the_boards_memory_is_refused(memory: str, tmp_path: Path) -> None:
    """RAM holds the stack of a run too, as the report tells; a byte less is too little."""
    free = built("conv", tmp_path, "cortex-m4")
    parts = sections(free.written("firmware.elf"))
    flash = sum(parts[name][1] for name in (".vectors", ".text", ".rodata", ".data"))
    needed = {"ram": ram_bytes(free) + free.report["memory"]["stack_bytes"], "flash": flash}
    with l2_with_code():
        for less in (0, 1):
            own = board(tmp_path, **{f"{memory}_bytes": needed[memory] - less})
            if not less:
                assert built("conv", tmp_path, "cortex-m4", board=own).layers
                continue
            with pytest.raises(MyoedgeError) as refused:
                built("conv", tmp_path, "cortex-m4", board=own)
    code = {"ram": "E301", "flash": "E303"}[memory]
    assert refused.value.code == code
    assert f"{needed[memory] - 1:,} B" in dict(refused.value.notice.facts)["has"]


def test_a_budget_of_flash_is_of_weights_and_code(tmp_path: Path) -> None:
    free = built("conv", tmp_path, "cortex-m4")
    parts = sections(free.written("firmware.elf"))
    used_bytes = sum(parts[name][1] for name in (".vectors", ".text", ".rodata", ".data"))
    config = tmp_path / "flash.toml"
    for limit_bytes in (used_bytes, used_bytes - 1, free.report["memory"]["weights_bytes"] - 1):
        config.write_text(f"[budget]\nflash = {limit_bytes}\n")
        if limit_bytes == used_bytes:
            build = built("conv", tmp_path, "cortex-m4", config=config)
            assert build.report["target"]["flash_bytes"] == used_bytes
            told = f"flash {size(used_bytes)}: takes {size(used_bytes)}"
            assert budget_lines(build.report) == [told]
            continue
        with pytest.raises(MyoedgeError) as refused:
            built("conv", tmp_path, "cortex-m4", config=config)
        assert (refused.value.code, refused.value.notice.title) == ("E302", "over budget: flash")
        assert dict(refused.value.notice.facts)["has"] == f"{limit_bytes:,} B"


def test_weights_larger_than_the_flash_are_refused_before_quantisation(
    tmp_path: Path, run: Callable[..., Ran]
) -> None:
    save_exported(nn.Linear(300, 500), (torch.zeros(1, 300),), tmp_path / "m.pt2")
    own = board(tmp_path, flash_bytes=100 * KIB)
    refused = run("build", "m.pt2", "--target", "cortex-m4", "--board", own)
    assert (refused.code, "error[E303]" in refused.err) == (3, True), refused.err
    assert ("load" in refused.err, "quantise" in refused.err) == (True, False)
    assert f"has    {100 * KIB:,} B" in refused.err
    needs_bytes = int(refused.err.partition("needs  ")[2].split(" B")[0].replace(",", ""))
    assert 300 * 500 <= needs_bytes < 301 * 500


def test_memories_of_a_program_in_flash_are_of_such_chips(tmp_path: Path) -> None:
    own = board(tmp_path, ram_bytes=KIB)
    path = Path(own)
    path.write_text(path.read_text().replace("cortex-m4", "gap9"))
    with pytest.raises(MyoedgeError, match="gap9 has no program in flash"):
        read_board(path)
    assert find_chip("gap9").flash_bytes == 0
