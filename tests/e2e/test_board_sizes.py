# SPDX-License-Identifier: Apache-2.0
"""Sizes that a board.toml states of its flashes: what a build has there is never more."""

from __future__ import annotations

from pathlib import Path

import pytest

import myoedge
from myoedge.errors import MyoedgeError, Notice
from myoedge.extensions.boards.flash_image import Placed, boot_image, file_system, flash_images
from myoedge.system.elf import read_program
from myoedge.targets.boards import FLASHES
from myoedge.targets.gap9.program import MAP, MRAM_BYTES
from tests.e2e.test_external_parts import MRAM, NO_PARTS, RAM, Trial, applied, sized

RESERVED_BYTES = MRAM_BYTES - MAP.image_bytes  # of MRAM: program, header and saved records


def flash(name: str, size_bytes: int) -> str:
    return f'[flash.{name}]\npart = "{name}"\nbytes = {size_bytes}\nsector_bytes = 8\n'


def of_mram(folder: Path, tables: str) -> Trial:
    """A network that L2 has no room for, with weights in MRAM."""
    trial = Trial(folder, 128, 6, board=NO_PARTS + tables, l2="64KiB")
    trial.options["memory"] = "mram=auto"
    return trial


@pytest.mark.parametrize("more_bytes", [-(40 << 10), -16, 0, 16])
def test_weights_in_mram_are_at_most_what_the_board_has(more_bytes: int, tmp_path: Path) -> None:
    """The size that a build takes is enough; with fewer bytes it takes fewer, or is refused."""
    need = of_mram(tmp_path, flash("mram", MRAM_BYTES)).build().report["memory"]["levels"]["mram"]
    trial = of_mram(tmp_path, flash("mram", RESERVED_BYTES + need + more_bytes))
    if more_bytes < -(32 << 10):
        told = trial.refusal()
        assert (told.code, "board bare" in told.title) == ("E302", True)
        assert f"{need + more_bytes:,} B for the weights" in dict(told.facts)["MRAM"]
        return
    taken = trial.build().report["memory"]["levels"]["mram"]
    assert taken <= need + min(more_bytes, 0)
    assert more_bytes < 0 or taken == need


def test_without_room_in_mram_weights_are_elsewhere(tmp_path: Path) -> None:
    """On a board without MRAM; on one whose MRAM the program takes, more of it is a remedy."""
    trial = of_mram(tmp_path, RAM + flash("octospi", 1 << 26))
    levels = trial.build().report["memory"]["levels"]
    assert (levels.get("mram", 0), levels["l3"] > 0) == (0, True)
    tables = flash("mram", RESERVED_BYTES)
    told = of_mram(tmp_path, tables).refusal()
    assert told.exit_code == 3
    assert any(x.startswith("a board with a larger [flash.mram] of") for x in told.tries)
    for line in told.tries:
        trial = of_mram(tmp_path, tables)
        applied(line, trial)
        trial.build()


@pytest.mark.parametrize("limit", [None, "400KiB", "300KiB", "200KiB"])
def test_weights_move_where_the_boot_image_has_no_room(limit: str | None, tmp_path: Path) -> None:
    """288 KB of weights, which L2 has room for and neither flash as a part of the boot image."""
    tables = flash("mram", 40 * 8192) + flash("octospi", 160 << 10)
    board = NO_PARTS + tables + sized("[ram]", 1 << 20)
    trial = Trial(tmp_path, 192, 8, board=board, **({"l2": limit} if limit else {}))
    trial.options["memory"] = "mram=auto"
    memory = trial.build().report["memory"]
    assert memory["levels"]["mram"] > 0
    assert memory["levels"]["mram"] + memory["boot_rooms"]["mram"] < 40 * 8192
    assert memory["boot_image_bytes"] <= MAP.applications[0].size_bytes
    assert memory["levels"].get("l3", 0) <= 160 << 10


def test_more_l2_is_never_refused_where_less_builds(tmp_path: Path) -> None:
    """Of weights that L2 has room for, fewer stay there than before code was linked: its estimate
    beside streamed weights is high."""
    board = NO_PARTS + sized("[flash.mram]", 40 << 13) + sized("[flash.octospi]", 16 << 13)
    fits = []
    for l2_kib in (180, 260, 300, 335, 400):
        trial = Trial(tmp_path, 186, 8, board=board + sized("[ram]", 1 << 16), l2=f"{l2_kib}KiB")
        trial.options["memory"] = "mram=auto"
        try:
            fits.append(bool(trial.build().report["layers"]))
        except MyoedgeError:
            fits.append(False)
    assert fits == sorted(fits)
    assert any(fits)


def test_a_board_without_mram_starts_from_the_other_flash(tmp_path: Path) -> None:
    trials = {x: Trial(tmp_path, 16, 1, board=NO_PARTS + flash(x, 1 << 21)) for x in FLASHES}
    external = {x: trial.build().report["memory"]["external"] for x, trial in trials.items()}
    assert external == {"mram": [], "octospi": ["flash"]}


SECTOR_BYTES = 8192


def octal_flash_bytes(built: myoedge.Build, boots_from: str) -> int:
    """Return the bytes that `flash` writes into the octal flash of a board, with either table."""
    program = read_program(built.folder / "firmware.elf")
    image = boot_image(program.entry, [(x, bytes(data)) for x, data in program.segments])
    l3 = built.images.get("l3.bin")
    placed = Placed(None if l3 is None else file_system({"l3.bin": l3}))
    tables = ("mram", "octospi") if placed.files else ("octospi",)
    made = [flash_images(image, boots_from, placed, table, SECTOR_BYTES) for table in tables]
    return max(len(images.get("octospi", b"")) for images in made)


@pytest.mark.parametrize("boots_from", FLASHES)
def test_boot_image_and_l3_fit_the_octal_flash(boots_from: str, tmp_path: Path) -> None:
    """From a size on, every flash is enough, and below it each is refused by its name."""
    fits, told = dict[int, bool](), list[Notice]()
    for size_bytes in range(7 * SECTOR_BYTES, 29 * SECTOR_BYTES, 3 * SECTOR_BYTES):
        tables = RAM + (MRAM if boots_from == "mram" else "") + sized("[flash.octospi]", size_bytes)
        trial = Trial(tmp_path, 128, 6, board=NO_PARTS + tables, l2="64KiB")
        try:
            built = trial.build()
        except MyoedgeError as error:
            told.append(error.notice)
        else:
            assert octal_flash_bytes(built, boots_from) <= size_bytes
        fits[size_bytes] = len(told) == len([x for x in fits.values() if not x])
    assert {x.code for x in told} == {"E302"}
    assert all(any("larger [flash.octospi] of" in line for line in x.tries) for x in told)
    assert [*fits.values()] == sorted(fits.values())
    assert {*fits.values()} == {False, True}


@pytest.mark.slow
def test_the_program_moves_into_mram_where_the_octal_flash_is_small(tmp_path: Path) -> None:
    """A program whose weights in L2 exceed its part of MRAM keeps fewer there, if the octal flash
    holds no boot image beside l3.bin."""
    boots = {}
    for size_bytes in (1 << 26, 19 * SECTOR_BYTES):
        tables = MRAM + sized("[flash.octospi]", size_bytes)
        trial = Trial(tmp_path, 640, 4, board=NO_PARTS + tables, memory="mram=auto", l2="900KiB")
        built = trial.build()
        boots[size_bytes] = built.report["memory"]["external"]
    assert boots == {1 << 26: ["flash"], 19 * SECTOR_BYTES: []}
