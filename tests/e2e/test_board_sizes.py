# SPDX-License-Identifier: Apache-2.0
"""Sizes that a board.toml states of its flashes: what a build has there is never more."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.targets.boards import FLASHES
from myoedge.targets.gap9.mram_map import MAP, MRAM_BYTES
from tests.e2e.test_external_parts import NO_PARTS, Trial

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


@pytest.mark.parametrize(
    ("tables", "has"),
    [
        (flash("octospi", 1 << 26), "no [flash.mram] in board.toml"),
        (flash("mram", RESERVED_BYTES), f"{RESERVED_BYTES:,} B"),
    ],
    ids=["no MRAM", "no room"],
)
def test_a_board_without_room_in_mram_is_refused(tables: str, has: str, tmp_path: Path) -> None:
    trial = of_mram(tmp_path, tables)
    told = trial.refusal()
    assert (told.code, dict(told.facts)["has"]) == ("E204", has)
    trial.options["memory"] = "mram=off"  # the first remedy
    trial.tables["budget"] = {}
    assert trial.build().report["memory"]["levels"].get("mram", 0) == 0


def test_a_board_without_mram_starts_from_the_other_flash(tmp_path: Path) -> None:
    trials = {x: Trial(tmp_path, 16, 1, board=NO_PARTS + flash(x, 1 << 21)) for x in FLASHES}
    external = {x: trial.build().report["memory"]["external"] for x, trial in trials.items()}
    assert external == {"mram": [], "octospi": ["flash"]}
