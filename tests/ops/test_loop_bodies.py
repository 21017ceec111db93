# SPDX-License-Identifier: Apache-2.0
"""Loops of generated functions fit a core's own instruction cache, in machine code for the chip.

The code that a loop repeats, without that of loops inside, has at most as many bytes as the cache.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import pytest

from myoedge.operators.base import QuantizedNode
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.isa.program import NOP, bne, jal
from tests.ops.harness import drawn
from tests.ops.loop_bodies import LoopBody, bodies, compiled, loops, own_bytes
from tests.ops.test_chains import GAP9, drawn_chain
from tests.ops.test_ops import COMPILED

CACHE_BYTES = math.prod(GAP9_CYCLES[each] for each in ("l0_sets", "l0_ways", "line_bytes"))
PREFIX = "me_chain_"
USES, CHAINS, LONGEST = 12, 60, 48
SLOW_USES, SLOW_CHAINS, SLOW_LONGEST = 60, 1500, 3000
# Bytes of the loops that do not fit: two or three running norms in one loop, with sums of 64 bits.
LARGER = {"chain 217": 726, "chain 403": 514}


def layers(uses: int, chains: int) -> Iterator[tuple[str, QuantizedNode]]:
    """Drawn uses of each operator, and drawn chains, with their names."""
    for op in COMPILED:
        for number, case in enumerate(drawn(op, uses)):
            yield f"{op} {number}", case.step
    for seed in range(chains):
        if (chain := drawn_chain(seed)) is not None:
            yield f"chain {seed}", chain.step


def generated(uses: int, chains: int, longest: int) -> dict[str, tuple[str, dict[str, str]]]:
    """The functions with most characters: name -> the first layer that calls it, its files."""
    found = dict[str, tuple[str, dict[str, str]]]()
    for name, step in layers(uses, chains):
        for kernel in candidates(step, GAP9):
            if kernel.function.startswith(PREFIX):
                found.setdefault(kernel.function, (name, dict(kernel.sources)))
    by_length = sorted(found.items(), key=lambda row: len(str(row[1][1])), reverse=True)
    return dict(by_length[:longest])


@pytest.mark.parametrize(
    ("uses", "chains", "longest"),
    [
        (USES, CHAINS, LONGEST),
        pytest.param(SLOW_USES, SLOW_CHAINS, SLOW_LONGEST, marks=pytest.mark.slow),
    ],
)
def test_loops_fit_the_instruction_cache(uses: int, chains: int, longest: int) -> None:
    functions = generated(uses, chains, longest)
    files = {name: text for _, each in functions.values() for name, text in each.items()}
    known = loops(compiled(files), PREFIX)
    assert known.keys() == functions.keys()
    sizes = {
        functions[name][0]: max(own_bytes(body, found) for body in found)
        for name, found in known.items()
        if found
    }
    assert len(sizes) > len(known) / 2
    larger = {name: size for name, size in sizes.items() if size > CACHE_BYTES}
    assert larger == {name: size for name, size in LARGER.items() if name in sizes}


def test_loops_are_found_in_code() -> None:
    """Encodings by the manuals: the last two are c.bnez a5, -4 and c.j -2."""
    words = [NOP, NOP, bne(10, 0, -4), jal(0, -12), jal(0, 8), 0xFFF5, 0xBFFD]
    code = struct.pack("<5I2H", *words)
    outer, inner = LoopBody(100, 116), LoopBody(104, 112)
    others = {LoopBody(116, 122), LoopBody(120, 124)}
    assert {*bodies(code, 100)} == {inner, outer, *others}
    assert own_bytes(outer, [outer, inner]) == 8
    assert own_bytes(inner, [outer, inner]) == 8
    hardware = struct.pack("<4I", 10 << 20 | 4 << 12 | 0x7B, NOP, 3 << 15 | 5 << 12 | 0x7B, NOP)
    assert {*bodies(hardware, 0)} == {LoopBody(4, 24), LoopBody(12, 18)}
