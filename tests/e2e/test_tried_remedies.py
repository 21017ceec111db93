# SPDX-License-Identifier: Apache-2.0
"""Remedies of builds that do not fit: followed to the letter, each builds, on boards of all sizes
of memories."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from myoedge.building.optional_levels import AUTO, memory_choices
from myoedge.building.stream_rate import if_it_fits
from myoedge.errors import MyoedgeError
from myoedge.targets import find_chip
from tests.conftest import thinned
from tests.e2e.test_external_parts import NO_PARTS, WHOLE, Trial, applied, sized

# Table of board.toml -> bytes: none, few, as many as a chip can have.
SIZES = {
    "[ram]": (0, 24 << 10, 1 << 25),
    "[flash.octospi]": (0, 19 * 8192, 1 << 26),
    "[flash.mram]": (0, 28 * 8192, 1 << 21),
}
# Name -> network, width, depth, and a small L2; or all of it, which weights leave little room in.
NETWORKS = {
    "dense": ("dense", 128, 6, "64KiB"),
    "gru": ("gru", 80, 2, "72KiB"),
    "wide": ("dense", 610, 4, "1536KiB"),
}
OPTIONS = {
    "as it is": {},
    "MRAM": {"memory": "mram=auto"},
    "no parts": {"external": "none"},
    "little L3": {"l3": "20KiB"},
}


def cases() -> list[tuple[str, str, tuple[int, ...]]]:
    """Return all networks and options with each board."""
    made = itertools.product(NETWORKS, OPTIONS, itertools.product(*SIZES.values()))
    return [(network, option, sizes) for network, option, sizes in made]


def trial_of(folder: Path, network: str, sizes: tuple[int, ...], **option: str) -> Trial:
    kind, width, depth, l2 = NETWORKS[network]
    tables = (sized(x, size) for x, size in zip(SIZES, sizes, strict=True) if size)
    given = {"network": kind, "l2": l2, **option}
    return Trial(folder, width, depth, board=NO_PARTS + "".join(tables), **given)


# The step is prime to the numbers of networks, options and sizes.
@pytest.mark.parametrize(("network", "option", "sizes"), thinned(cases(), 53))
def test_each_remedy_builds(
    network: str, option: str, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    assert {*SIZES} == {*WHOLE}
    try:
        trial_of(tmp_path, network, sizes, **OPTIONS[option]).build()
    except MyoedgeError as error:
        if error.code == "E232":  # more L3 than the board has
            return
        told = error.notice
        assert told.exit_code == 3
        for line in told.tries:
            trial = trial_of(tmp_path, network, sizes, **OPTIONS[option])
            applied(line, trial)
            trial.build()


def builds(trial: Trial) -> bool:
    return if_it_fits(trial.build) is not None


BOARDS = itertools.product(NETWORKS, itertools.product(*SIZES.values()))


@pytest.mark.parametrize(("network", "sizes"), thinned([*BOARDS], 20))
def test_what_builds_without_a_memory_builds_with_it(
    network: str, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    choices = memory_choices(find_chip("gap9"))
    built = {x: builds(trial_of(tmp_path, network, sizes, memory=x)) for x in choices}
    for memory, level in choices.items():
        assert built[f"{level.name}={AUTO}"] or not built[memory], memory


@pytest.mark.parametrize("l2", thinned(["40KiB", "37KiB", "34KiB"], 3))
def test_mram_that_does_not_help_is_not_used(l2: str, tmp_path: Path) -> None:
    """With it, the code of transfers of recurrent layers exceeded a small L2."""
    built = {}
    for memory in ("mram=off", "mram=auto"):
        trial = Trial(tmp_path, 33, 3, network="both ways", l2=l2, memory=memory)
        built[memory] = trial.build().report["memory"]["levels"].get("mram", 0)
    assert built["mram=off"] == 0
