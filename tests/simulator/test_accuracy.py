# SPDX-License-Identifier: Apache-2.0
"""The simulator gives the cycles, counters and results that GVSoC's platforms gave."""

from __future__ import annotations

from statistics import median

import pytest

from myoedge.errors import MyoedgeError
from tests.simulator import fixture, misaligned, networks
from tests.simulator.accuracy_page import GAP9, PAGE, PUBLIC, SILICON, page, share
from tests.simulator.causes import UNEXPLAINED, asks_in_a_loop, cause
from tests.simulator.record import build, own_programs
from tests.simulator.recorded import NO_FLOATS, compare, compare_all, line, run

LIKE = pytest.mark.parametrize("like", [SILICON, PUBLIC])

# Programs of what a core does without others.
ONE_CORE = ("p01", "p02", "p03", "p04", "p05", "p06", "p07", "p08", "p09", "p10", "p16")
# Of the counters: instructions, loads, stores, jumps, branches, taken ones, compressed ones.
COUNTED = {1, 5, 6, 7, 8, 9, 10}
WITH_WAITS = COUNTED | {2, 3, 4}  # and load stalls, jump stalls, instruction-cache misses


def test_the_fixture_holds_the_programs_that_were_recorded() -> None:
    programs = fixture.load()
    assert len(programs) >= 32
    assert all(program.is_intact for program in programs.values())
    assert {path.stem for path in (fixture.FOLDER / "elf").glob("*.elf")} == set(programs)


def test_the_fixture_is_written_as_it_is_read() -> None:
    programs = list(fixture.load().values())
    assert fixture.json_text(programs) == fixture.FIGURES.read_text(encoding="utf-8")


def test_our_own_programs_are_what_their_source_compiles_to() -> None:
    programs = fixture.load()
    assert all(build(name) == programs[name].elf for name in own_programs())


@LIKE
def test_results_are_those_of_every_judge(like: str) -> None:
    assert not [line(c) for c in compare_all(like) if c.ours.result != c.row.result]


def test_counters_are_those_of_a_judge() -> None:
    wrong = [
        line(c)
        for c in compare_all(SILICON)
        if not asks_in_a_loop(c) and all(c.differing(a.judge) & COUNTED for a in c.sides)
    ]
    assert not wrong


@pytest.mark.parametrize("program", ["p06_jump", "p08_hwloop2", "p10_postinc", "p16_icache_1core"])
def test_a_jump_waits_for_the_line_behind_it_as_on_gap9s_own_platform(program: str) -> None:
    """Without that wait, 12 of these 108 rows were equal."""
    rows = compare(program, SILICON)
    assert not [line(c) for c in rows for a in c.sides if a.judge == "gap9" and a.cycles]


@pytest.mark.parametrize("program", [n for n in fixture.load() if n[:3] in ONE_CORE])
def test_one_core_takes_the_cycles_of_gap9s_own_platform_with_its_choices(program: str) -> None:
    """An instruction's waits for its line, the line behind a jump, and a result add up."""
    rows = [c for c in compare(program, GAP9) if c.row.cores == 1]
    assert len(rows) >= 15
    assert not [line(c) for c in rows if c.best.cycles]


def test_seven_of_eight_rows_are_equal_to_gap9s_own_platform_with_its_choices() -> None:
    """Without the sum of an instruction's waits, 1,129 of 1,368 were equal."""
    rows = compare_all(GAP9)
    assert sum(not c.best.cycles for c in rows) >= 0.87 * len(rows)


def test_counters_are_those_of_public_gvsoc() -> None:
    wrong = [
        line(c)
        for c in compare_all(PUBLIC)
        if not c.best.cycles and c.differing(c.best.judge) & WITH_WAITS
    ]
    assert not wrong


@LIKE
def test_cycles_are_within_the_targets(like: str) -> None:
    rows = compare_all(like)
    assert median(c.best.error for c in rows) <= 0.01
    assert share(rows, 1) >= 0.90
    assert share(rows, 2) >= 0.98
    assert UNEXPLAINED not in [cause(c) for c in rows if c.tier > 1]


def test_cycles_of_the_public_platform_are_met_in_every_row() -> None:
    rows = compare_all(PUBLIC)
    assert share(rows, 1) == 1
    assert sum(not c.best.cycles for c in rows) >= 0.99 * len(rows)


@pytest.mark.parametrize("name", networks.WHAT)
def test_a_whole_network_takes_the_cycles_of_public_gvsoc(name: str) -> None:
    ours, theirs = networks.run(name, PUBLIC), networks.recorded(name)
    assert ours.output == theirs.output
    assert ours.worst(theirs) <= 0.03


@pytest.mark.parametrize("name", networks.WHAT)
def test_a_whole_network_gives_the_same_with_either_description(name: str) -> None:
    ours, theirs = networks.run(name, SILICON), networks.recorded(name)
    assert ours.output == theirs.output
    assert abs(ours.total / theirs.total - 1) <= 0.05


@pytest.mark.parametrize("platform", networks.PLATFORMS)
@pytest.mark.parametrize("name", networks.ON_GAP9)
def test_a_network_takes_the_cycles_of_gap9s_own_platform(name: str, platform: str) -> None:
    ours, theirs = networks.run_as_gap9(name, platform), networks.recorded_on_gap9(name, platform)
    assert ours.output == theirs.output
    assert abs(ours.total / theirs.total - 1) <= 0.01
    assert ours.worst(theirs, networks.LARGE_CYCLES) <= 0.025


def test_no_row_of_misaligned_accesses_is_off_by_more_than_5_percent() -> None:
    for like in (SILICON, PUBLIC):
        assert all(c.best.error <= 0.05 for c in compare("p11_misaligned", like))


@pytest.mark.parametrize("seed", misaligned.SEEDS)
def test_drawn_misaligned_accesses_of_several_cores_take_the_cycles_of_public_gvsoc(
    seed: int,
) -> None:
    """The second half of an access takes its bank when it gets there, not ahead of others."""
    theirs, ours = misaligned.recorded()[seed], misaligned.simulated(seed)
    errors = [abs(a - b) / b for a, b in zip(ours, theirs, strict=True)]
    assert len(errors) == 100
    assert max(errors) <= 0.05
    assert median(errors) == 0


@pytest.mark.parametrize("name", networks.WITH_NE16)
def test_a_network_on_ne16_takes_the_cycles_of_public_gvsoc(name: str) -> None:
    ours, theirs = networks.run(name, PUBLIC), networks.recorded(name)
    assert ours.output == theirs.output
    assert ours.worst(theirs) <= 0.003


def test_single_precision_is_refused() -> None:
    with pytest.raises(MyoedgeError) as refused:
        run(NO_FLOATS, SILICON)
    assert refused.value.code == "E701"


@pytest.mark.pages
def test_the_page_says_what_the_code_gives() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "`make docs` writes it anew"
