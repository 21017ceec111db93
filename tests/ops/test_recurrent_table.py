# SPDX-License-Identifier: Apache-2.0
"""Every combination of a recurrent cell equals NumPy, on the host and on the simulated chip: the
table follows from the record that the product reads, but for what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.operators.base import OPS
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.engine_choice import CORES
from myoedge.operators.kernel import Kernel
from myoedge.operators.recurrent import tiling
from myoedge.operators.recurrent.cells import CELLS, LAST_STATES, cell_of
from myoedge.targets import find_chip
from myoedge.targets.chip import Chip
from tests.ops.harness import USES
from tests.ops.test_widths import assert_equal, quick
from tests.ops.width_networks import NE16, Widths, in_widths

GAP9 = find_chip("gap9")
OPERATORS = (*CELLS, *LAST_STATES)
SMALL = replace(GAP9, l1_bytes=GAP9.l1_reserved_bytes + 8192)  # where a step has several tiles
STEPS, SHAPES = 3, ((1, 41), (2, 9))  # sequences, units
KEPT_BYTES = 1500  # per gate, of streamed kernels: the weights of 16 to 32 of 41 units
SCALED = {"gate_bits": 14, "cell_bits": 8}


def attributes(op: str) -> Iterator[dict[str, Any]]:
    """All flags of an operator, and steps of its own if it may have them."""
    known = OPS[op].attributes
    flags = [name for name in ("reverse", "reset_first") if name in known]
    for values in itertools.product((False, True), repeat=len(flags)):
        for bits in ({}, SCALED) if SCALED.keys() <= known.keys() else ({},):
            yield {**dict(zip(flags, values, strict=True)), **bits}


def uses(op: str) -> Iterator[DrawnUse]:
    cell, draw = cell_of(op), Draw(np.random.default_rng(3))
    for attrs, (batch, units) in itertools.product(attributes(op), SHAPES):
        rows = len(cell.order) * units
        r = draw.rng.normal(size=(rows, units)) / np.sqrt(units)
        bias = (draw.rng.normal(size=rows),) if cell.onnx == "GRU" else ()
        shapes = ((STEPS, batch, rows), *((batch, units) for _ in cell.states))
        drawn = USES[op](draw)
        spans = ((-2.0, 2.0), *drawn.spans[1:])  # where no function of a gate is constant
        known = {"attrs": attrs, "shapes": shapes, "spans": spans, "weights": (r, *bias)}
        yield replace(drawn, **known, factors=(1.0, 0.0), int16=())


def expected(op: str) -> set[str]:
    """Names of the C functions: every body, width, kind of steps and order of the reset gate."""
    name, is_state = cell_of(op).onnx.lower(), op in LAST_STATES
    table = itertools.product(
        ("me_", "me_ne16_"),
        ("", "_reset_first") if "reset_first" in OPS[op].attributes else ("",),
        ("", "_streamed"),
        ("", "_scaled") if "cell_bits" in OPS[op].attributes else ("",),
        (8, 16),
    )
    return {
        f"{engine}{name}{early}{streamed}{scaled}_s{bits}"
        for engine, early, streamed, scaled, bits in table
        if not (early and streamed)  # its first part needs all units' weights
        and not (engine == "me_ne16_" and (early or streamed or bits == 16))
        and not (engine == "me_ne16_" and (is_state or name == "rnn"))
    }


def cases_of(op: str, kernel: Kernel, engine: str) -> Iterator[tuple[str, Widths]]:
    """Cases that a kernel runs, each with the name of its C function."""
    (chip_engine,) = (x for x in GAP9.engines if x.name == kernel.engine)
    for case in (case for use in uses(op) for case in in_widths(use, engine)):
        broken = kernel.broken_rule(case.step) is not None
        if not broken and kernel.runs(case.step):
            yield kernel.tiling(case.step, chip_engine).function, case


def kernels(op: str) -> Iterator[tuple[Kernel, Chip]]:
    """The operator's kernels, each with a chip; kernels that differ in the bytes of weights they
    keep once without any, and once with those of some units."""
    for kernel in OPS[op].kernels:
        kept = getattr(kernel.tiling, "keywords", {}).get("most_bytes")
        if kept is None:
            yield kernel, GAP9
        some = KEPT_BYTES * len(cell_of(op).order)
        for most in (0, some) if kept == 0 else ():
            yield replace(kernel, tiling=partial(tiling.streamed, most_bytes=most)), SMALL


@pytest.mark.parametrize("op", quick(OPERATORS, "lstm"))
def test_every_combination_of_a_cell_equals_numpy(
    op: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiling, "LEAST_BYTES", 0)
    ran = set()
    for number, (kernel, chip) in enumerate(kernels(op)):
        found = [*cases_of(op, kernel, NE16 if kernel.engine == NE16 else CORES)]
        ran |= {name for name, _ in found}
        parts, folder = [case.part for _, case in found], tmp_path / str(number)
        if parts:
            assert_equal(parts, op, kernel, "", folder, chip, simulated=True)
    assert ran == expected(op)
