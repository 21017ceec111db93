# SPDX-License-Identifier: Apache-2.0
"""The written-down meaning of Xpulpv2 against values recorded from GVSoC."""

import struct
from itertools import combinations

import numpy as np
import pytest

from tests.isa import meaning
from tests.isa.encoding import INSTRUCTIONS
from tests.isa.loops import draw_nests, expected_loops
from tests.isa.record import NESTS, RECORDED, SEED, SIZE, digest
from tests.isa.trials import draw_trials, each_row, expected, operands_of


@pytest.fixture(scope="module")
def recorded() -> dict[str, bytes]:
    with np.load(RECORDED) as archive:
        assert str(archive["digest"]) == digest(), "other programs were recorded: record again"
        return {name: archive[name].tobytes() for name in ("trials", "loops")}


def test_meaning_equals_gvsoc_but_for_the_differences_named(recorded: dict[str, bytes]) -> None:
    trials = draw_trials(SEED, SIZE)
    here, there = expected(trials), recorded["trials"]
    assert len(here) == len(there)
    unexplained, differing = [], set()
    for trial, row, cell in each_row(trials):
        ours, theirs = here[cell : cell + trial.cell], there[cell : cell + trial.cell]
        if ours == theirs:
            continue
        name, seen = trial.instruction.name, operands_of(trial, row)
        known = meaning.DIFFERENT.get(name)
        if known and trial.operands["rd"] and struct.pack("<I", known(seen)) == theirs:
            differing.add(name)
        else:
            unexplained.append((name, seen, ours.hex(), theirs.hex()))
    assert not unexplained
    assert differing == meaning.DIFFERENT.keys()


def test_loops_equal_gvsoc(recorded: dict[str, bytes]) -> None:
    assert expected_loops(draw_nests(SEED, NESTS)) == recorded["loops"]


def test_no_word_is_two_instructions() -> None:
    for a, b in combinations(INSTRUCTIONS.values(), 2):
        assert (a.match ^ b.match) & a.mask & b.mask, (a.name, b.name)


def test_every_instruction_is_tried() -> None:
    tried = {trial.instruction.name for trial in draw_trials(SEED, SIZE)}
    looped = {op.name for nest in draw_nests(SEED, NESTS) for op in nest} - {"addi"}
    assert tried | looped == INSTRUCTIONS.keys()
