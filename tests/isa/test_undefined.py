# SPDX-License-Identifier: Apache-2.0
"""Words that are no instruction end a run with a fault, and do nothing else."""

import random

import pytest

from myoedge.errors import MyoedgeError
from tests.isa.encoding import INSTRUCTIONS
from tests.isa.platforms import run_simulator
from tests.isa.program import make_program
from tests.support.each import each

# opcode -> (funct3, funct7) that RV32IM takes of it, None for any
BASE: dict[int, set[tuple[int, int | None]]] = {
    0x03: {(funct3, None) for funct3 in (0, 1, 2, 4, 5)},
    0x23: {(funct3, None) for funct3 in (0, 1, 2)},
    0x33: {(funct3, funct7) for funct3 in range(8) for funct7 in (0, 1)} | {(0, 0x20), (5, 0x20)},
    0x13: {(funct3, None) for funct3 in (0, 2, 3, 4, 6, 7)} | {(1, 0), (5, 0), (5, 0x20)},
    0x0B: set(),
    0x2B: set(),
    0x57: set(),
    0x5B: set(),
    0x7B: set(),
}


def _defined(word: int) -> bool:
    funct3, funct7 = word >> 12 & 7, word >> 25
    base = BASE[word & 0x7F]
    pulp = any(word & made.mask == made.match for made in INSTRUCTIONS.values())
    return pulp or bool({(funct3, None), (funct3, funct7)} & base)


def _undefined(seed: int) -> int:
    rng = random.Random(seed)
    while _defined(word := rng.getrandbits(25) << 7 | rng.choice(list(BASE))):
        pass
    return word


@each("seed", range(100))
def test_an_undefined_word_is_a_fault(seed: int) -> None:
    with pytest.raises(MyoedgeError) as caught:
        run_simulator(make_program([_undefined(seed)], b"", 4))
    assert caught.value.notice.code.startswith("E7")
