# SPDX-License-Identifier: Apache-2.0
"""Every Xpulpv2 instruction on the embedded simulator: drawn operands against their meaning."""

import pytest

from tests.isa.loops import draw_nests, expected_loops, make_loop_program
from tests.isa.platforms import run_simulator
from tests.isa.trials import (
    Size,
    draw_trials,
    each_row,
    expected,
    make_pulp_program,
    operands_of,
)

SIZE = Size(plain=3, immediate=8, rows=16)


@pytest.mark.parametrize("seed", range(4))
def test_every_instruction_does_what_is_written(seed: int) -> None:
    trials = draw_trials(seed, SIZE)
    ran, meant = run_simulator(make_pulp_program(trials)), expected(trials)
    wrong = [
        (trial.instruction.name, operands_of(trial, row), f"gave {ran[cell:end].hex()}")
        for trial, row, cell in each_row(trials)
        if ran[cell : (end := cell + trial.cell)] != meant[cell:end]
    ]
    assert not wrong, f"{len(wrong)} rows, of {sorted({name for name, *_ in wrong})}: {wrong[:5]}"


@pytest.mark.parametrize("seed", range(2))
def test_hardware_loops_do_what_is_written(seed: int) -> None:
    nests = draw_nests(seed, 400)
    ran, meant = run_simulator(make_loop_program(nests)), expected_loops(nests)
    wrong = [
        nest
        for i, nest in enumerate(nests)
        if ran[12 * i : 12 * i + 12] != meant[12 * i : 12 * i + 12]
    ]
    assert not wrong, f"{len(wrong)} nests, first {wrong[0]}"
