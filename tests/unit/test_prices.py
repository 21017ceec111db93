# SPDX-License-Identifier: Apache-2.0
"""What operators say of their kernels' time, and the fit of its prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.operators.base import OPS
from myoedge.operators.kernel import Tiled
from myoedge.plan.cost.count import NAMES, READY, by_price, in_cycles, vector
from myoedge.plan.cost.timing import counted, modelled
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from myoedge.targets.gap9.code_size import BESIDE, CODE_LINES
from myoedge.targets.gap9.costs import GAP9_TILES, Prices
from tests.conftest import save_exported
from tests.layer_fit import non_negative
from tests.networks import autoencoder, keywords
from tests.ops.harness import drawn

CASES = 12
HAULS = (0, 0, 3)  # moments in which L3 is asked for something
TILED = sorted(name for name in OPS if OPS[name].tiled is not None)


def declared(op: str) -> Iterator[Tiled]:
    make = OPS[op].tiled
    assert make is not None
    yield from (tiled for case in drawn(op, CASES) if (tiled := make(case.step)) is not None)


@pytest.mark.parametrize("op", TILED)
def test_cycles_are_linear_in_the_prices(op: str) -> None:
    """So that what is counted with prices of one unit each is what a fit may weigh."""
    rng = np.random.default_rng(0)
    other = Prices(*rng.uniform(0.1, 50.0, len(NAMES)).tolist())
    for tiled in declared(op):
        counts = np.asarray(tiled.cycles(tiled.axes, by_price(GAP9_TILES).one))
        assert counts.shape == (len(NAMES),)
        assert (counts >= 0).all()
        for prices in (GAP9_TILES, other):
            found = tiled.cycles(tiled.axes, prices)
            assert found == pytest.approx(float(counts @ vector(prices)))


@pytest.mark.parametrize("op", TILED)
def test_what_is_over_before_operands_come_is_one_price(op: str) -> None:
    at = NAMES.index(READY)
    for tiled in declared(op):
        counts = np.asarray(tiled.cycles(tiled.axes, by_price(GAP9_TILES).one))
        ready = np.asarray(tiled.cycles(tiled.axes, by_price(GAP9_TILES).ready))
        assert ready[at] == counts[at]
        assert np.count_nonzero(np.delete(ready, at)) == 0
        found = tiled.cycles(tiled.axes, in_cycles(GAP9_TILES).ready)
        assert found == pytest.approx(counts[at] * GAP9_TILES.dense_ready)


@pytest.mark.parametrize("op", TILED)
def test_every_function_that_runs_is_counted(op: str) -> None:
    for tiled in declared(op):
        for sizes in (tiled.axes, {**tiled.axes, **dict.fromkeys(tiled.split, 1)}):
            functions = tiled.code(sizes)
            assert functions
            assert {name.removeprefix(BESIDE) for name in functions} <= {*CODE_LINES}


@pytest.mark.parametrize("op", TILED)
def test_many_tiles_at_once_cost_what_each_costs(op: str) -> None:
    """The search asks for all sizes in one call."""
    for tiled in declared(op):
        sizes = [{**tiled.axes, **dict.fromkeys(tiled.split, n)} for n in (1, 2, 3)]
        kept = [{a: min(n, tiled.axes[a]) for a, n in each.items()} for each in sizes]
        together = {a: np.array([each[a] for each in kept]) for a in tiled.axes}
        found = np.broadcast_to(tiled.cycles(together, GAP9_TILES), len(kept))
        assert found == pytest.approx([float(tiled.cycles(each, GAP9_TILES)) for each in kept])


@pytest.mark.parametrize("seed", range(20))
def test_the_fit_is_the_best_that_is_not_negative(seed: int) -> None:
    """Nowhere would a little more help, nor a little less where there is some."""
    rng = np.random.default_rng(seed)
    a, b = rng.random((30, 8)), rng.normal(size=30)
    x = non_negative(a, b)
    slope = a.T @ (b - a @ x)
    assert (x >= 0).all()
    assert slope.max() <= 1e-8
    assert np.abs(slope[x > 0]).max(initial=0.0) <= 1e-8


def test_the_fit_finds_what_was_there() -> None:
    rng = np.random.default_rng(1)
    a, x = rng.random((40, 6)), np.array([3.0, 0.0, 1.5, 0.0, 20.0, 0.25])
    assert non_negative(a, a @ x) == pytest.approx(x, abs=1e-9)


@pytest.mark.parametrize(("make", "shape"), [(autoencoder, (1, 640)), (keywords, (1, 1, 49, 10))])
def test_cycles_of_a_plan_are_those_of_what_is_counted(
    make: Callable[[], nn.Module], shape: tuple[int, ...], tmp_path: Path
) -> None:
    model = save_exported(make().eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out")
    tilings = make_plan(build.network, find_chip("gap9")).tilings
    found = counted(tilings, HAULS, GAP9_TILES)
    assert all(row is not None for row in found)
    assert modelled(tilings, HAULS) == pytest.approx([row @ vector(GAP9_TILES) for row in found])
