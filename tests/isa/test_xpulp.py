# SPDX-License-Identifier: Apache-2.0
"""The table of Xpulpv2 instructions: encodings as in the manuals, meaning as on the simulator."""

from __future__ import annotations

import pytest

from tests.isa import meaning, xpulp
from tests.isa.encoding import FORMS, INSTRUCTIONS, Instruction
from tests.isa.meaning import Operands
from tests.isa.platforms import run_simulator
from tests.isa.trials import Size, draw_trials, expected, make_pulp_program
from tests.isa.xpulp_macros import encoded_macros
from tests.isa.xpulp_table import codes, table
from tests.support.each import each

TABLE = table()
MEANT = {
    *TABLE["scalar"],
    *TABLE["words"],
    *(f"{name}.{size}" for part in ("lanes", "dot") for name in TABLE[part] for size in "bh"),
}


def computed(made: Instruction, seen: Operands) -> int:
    """The table's meaning, where it has one; that of the manuals for all other instructions."""
    name = made.name
    if name not in codes(TABLE) or name in TABLE["memory"]:
        return meaning.result(made, seen)
    registers = {"a": seen.rs1, "b": seen.rs2, "d": seen.rd}
    return xpulp.result(
        TABLE, name, {**registers, "n": seen.imm, "at": seen.imm, "size": seen.size + 1}
    )


@each("name", [name for name in codes(TABLE) if name in INSTRUCTIONS])
def test_encodings_are_those_of_the_manuals(name: str) -> None:
    opcode, funct3, *funct7 = codes(TABLE)[name]
    made = INSTRUCTIONS[name]
    assert made.match == opcode | funct3 << 12 | (funct7[0] if funct7 else 0) << 25
    assert "rd" in FORMS[made.form] or made.form.startswith("store")


def test_every_instruction_of_the_table_and_its_macros_is_one() -> None:
    assert MEANT | {*TABLE["memory"]} <= {*INSTRUCTIONS}
    assert {row["of"] for row in TABLE["macros"].values()} <= {*codes(TABLE)}


@pytest.mark.parametrize("seed", range(2))
def test_the_simulator_computes_the_meanings(seed: int) -> None:
    trials = draw_trials(seed, Size(plain=3, immediate=8, rows=16))
    tried = {trial.instruction.name for trial in trials}
    assert tried >= MEANT
    assert run_simulator(make_pulp_program(trials)) == expected(trials, computed)


@pytest.mark.parametrize("name", xpulp.FILES)
def test_headers_are_as_the_table_says(name: str) -> None:
    assert (xpulp.template_dir() / name).read_text() == xpulp.generated(name)


def test_a_changed_encoding_or_meaning_is_seen() -> None:
    row = {**TABLE["scalar"]["p.mac"], "code": [0x33, 1, 0x21], "meaning": "d - a * b"}
    changed = {**TABLE, "scalar": {**TABLE["scalar"], "p.mac": row}}
    bodies = "".join(xpulp.encoded_bodies(changed))
    assert 'ME_THREE("p.mac", me_mac, int32_t, int32_t, 0x33, 1, 0x21)' in bodies
    assert xpulp.result(changed, "p.mac", {"a": 2, "b": 3, "d": 10}) == 4
    macros = "".join(encoded_macros(changed))
    assert ".macro p_mac rd, a, b\n    xpulp_r 0x33, 1, 0x21, \\rd, \\a, \\b" in macros
