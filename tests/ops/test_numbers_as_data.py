# SPDX-License-Identifier: Apache-2.0
"""The C of a layer is the same for all trainings of a network that a program can load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from myoedge.nest.c import c_kernel
from myoedge.nest.c_scan import scan_kernel
from myoedge.nest.formulas import minimum
from myoedge.nest.ir import Element, Expr, Nest, walk
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.chains import chain_nest, in_tiles
from myoedge.operators.described import pairwise_nest, saturated
from myoedge.operators.elementwise.definition import SumParams
from myoedge.operators.traits import Described
from tests.ops.harness import drawn

OF_PROGRAMS = {"gather", "take", "slice", "expand", "concat", "max_pool"}  # have no numbers
DESCRIBED = [
    op
    for op, known in OPS.items()
    if known.meaning is not None and any(x.tiling is in_tiles for x in known.kernels)
]
LEARNT = [op for op in DESCRIBED if OPS[op].constants.learnt.ranges]


def c_of(step: QuantizedNode) -> Mapping[str, str] | None:
    """The generated files of a layer; None if a value may leave its type."""
    chain = chain_nest(replace(step, members=(step,)))
    if chain is None:
        return None
    made = c_kernel if chain.flat.scanned is None else scan_kernel
    return made(chain.flat, chain.labels).files


def with_integers(step: QuantizedNode, values: Mapping[str, int | Array]) -> QuantizedNode:
    return replace(step, integers=replace(step.integers, **values))


def other_numbers(step: QuantizedNode) -> dict[str, int | Array]:
    """Other values of all constants that do not decide what a formula is: smaller numbers, so that
    sums stay in their types, another pre-shift, and halves of what arrays have beside their largest
    number, such as exp(0) in a table."""
    ranges, values = step.integers.ranges, {**step.integers.scalars, **step.integers.arrays}
    return {
        name: np.where(x == x.max(), x, x // 2).astype(x.dtype)
        if isinstance(x, np.ndarray)
        else x + 1
        if name == "pre"
        else x - (x > 0)
        for name, x in values.items()
        if name not in {"b", "acc_bound"} and ranges.get(name, ()) is not None
    }


@pytest.mark.parametrize("op", sorted({*DESCRIBED} - OF_PROGRAMS))
def test_a_blob_s_c_has_no_number_that_follows_from_scales(op: str) -> None:
    count = 0
    for case in drawn(op, 8):
        step = replace(case.step, as_data=True)
        found = c_of(step), c_of(with_integers(step, other_numbers(step)))
        if None not in found:
            assert found[0] == found[1]
            count += 1
    assert count > 3


def test_without_a_blob_numbers_are_literals() -> None:
    """A build without a blob has them as literals, which are faster."""
    for op in ("add", "mul", "maximum", "scan"):
        step = drawn(op, 1)[0].step
        assert c_of(step) != c_of(with_integers(step, other_numbers(step)))
        assert len(str(c_of(step))) < len(str(c_of(replace(step, as_data=True))))


def doubled(step: QuantizedNode) -> Nest:
    """A sum that is doubled as often as a number says, as a plug-in may describe it."""

    def formula(a: Expr, b: Expr) -> Expr:
        for _ in range(step.integers.shift):
            a = minimum(a + a, 9000)
        return saturated(step, a + b)

    return pairwise_nest(step, formula)


def test_a_description_that_depends_on_a_number_has_it_in_its_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(OPS, "add", replace(OPS["add"], integer=Described(doubled)))
    step = replace(drawn("maximum", 1)[0].step, as_data=True)
    step = replace(step, node=step.node.but(op="add"))
    sums = (SumParams(a_mult=1, b_mult=1, offset=0, shift=n) for n in (2, 2, 3))
    found = [c_of(replace(step, integers=numbers)) for numbers in sums]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_some_operators_have_learnt_constants() -> None:
    assert {"affine", "prelu", "linear"} <= {*LEARNT}


@pytest.mark.parametrize("op", LEARNT)
def test_weights_are_data_in_all_builds(op: str) -> None:
    """The C of a layer is the same whatever values its weights have.

    A number that a description states, such as the 10 of x % 10, is part of the C; a program
    refuses the blob of a network with another one, whose code has another digest.
    """
    count = 0
    for case in drawn(op, 40):
        changed = other_weights(case.step)
        if not changed:
            continue
        found = c_of(case.step), c_of(with_integers(case.step, changed))
        if None not in found:  # no sum may leave int32
            assert found[0] == found[1]
            count += 1
    assert count > 8


def other_weights(step: QuantizedNode) -> dict[str, Array]:
    """Half of the constants that depend on weights, in another order; of several, the last one
    stays, which is the factor 1 of positive values in prelu."""
    op = OPS[step.node.op]
    read = {x.array.name for x in walk(op.meaning(step).value) if isinstance(x, Element)}
    known = step.integers.arrays
    kept = {n: known[n] for n in op.constants.learnt.ranges.keys() & read & known.keys()}
    last = {n: len(x) - (len(x) > 1) for n, x in kept.items()}
    return {
        n: np.concatenate([np.roll(x[: last[n]], 1, 0) // 2, x[last[n] :]]) for n, x in kept.items()
    }
