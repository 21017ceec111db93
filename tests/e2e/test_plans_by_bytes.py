# SPDX-License-Identifier: Apache-2.0
"""Limits of L2 that leave room for a plan by bytes only: W305 has a limit for one by cycles, and
what that takes. Oracles: plans at each KiB of L2, and a build with the remedy; for cycles of a
layer on another engine, whole networks on each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.building.budget import Budget
from myoedge.building.plan_within import plan_within
from myoedge.building.remedies import MORE_CYCLES
from myoedge.errors import MyoedgeError
from myoedge.plan.cost.network import modelled_cycles
from myoedge.plan.cost.timing import _network_steps
from myoedge.plan.l1.tiling import _tiles
from myoedge.plan.plan import Plan
from myoedge.plan.plan_json import describe
from myoedge.plan.planned_once import _plan_or_error
from myoedge.plan.schedule import make_plan
from myoedge.quantization.scales import QuantGraph
from myoedge.reports import near_memory
from myoedge.targets import find_chip
from tests.conftest import save_exported, thinned
from tests.e2e.test_memory import Mixed
from tests.support.limits import l2_with_code
from tests.support.warning_rules import applies

KIB = 1024
TRIED = "plan: other limits are tried"
KEPT = (_network_steps, _tiles, _plan_or_error)  # results for other plans
LARGEST_KIB = 112  # with which all networks have a plan by cycles


@dataclass(frozen=True)
class Sequences:
    """A recurrent network on sequences, with one row of scores."""

    kind: type[nn.Module]
    steps: int
    units: int

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return Scores(self.kind(16, self.units, batch_first=True), self.units).eval()

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, self.steps, 16)


class Scores(nn.Module):
    def __init__(self, cells: nn.Module, units: int) -> None:
        super().__init__()
        self.cells, self.scores = cells, nn.Linear(units, 10)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.scores(self.cells(x)[0][:, -1])
        return found


NETWORKS = {
    "rnn": Sequences(nn.RNN, 20, 257),
    "gru": Sequences(nn.GRU, 20, 96),
    "lstm": Sequences(nn.LSTM, 10, 128),
}
SIZES_KIB = (100, 92, 96, 80, 60, 56)
PLANS: dict[tuple[str, int], Plan | None] = {}  # of networks in KiB of L2


def built(network: str, folder: Path, kib: int, **more: Any) -> myoedge.Build:
    of = NETWORKS[network]
    path = folder / f"{network}.pt2"
    model = path if path.exists() else save_exported(of.model(), (torch.zeros(of.shape),), path)
    calib = np.random.default_rng(0).standard_normal((8, *of.shape)).astype(np.float32)
    given = {"calib": calib, "output": folder / f"{kib}", "l2": f"{kib}KiB", "simulate": False}
    return myoedge.build(model, **{**given, **more})


def planned(network: str, quant: QuantGraph, kib: int) -> Plan | None:
    if (network, kib) not in PLANS:
        plan = None
        with suppress(MyoedgeError):
            plan = plan_within(quant, find_chip("gap9"), Budget(l2_bytes=kib * KIB))
        PLANS[network, kib] = plan
    return PLANS[network, kib]


def first_by_cycles(network: str, quant: QuantGraph, kib: int) -> tuple[int, Plan]:
    """The first KiB of L2, from these on, with a plan by cycles."""
    for n in range(kib, LARGEST_KIB + 1):
        plan = planned(network, quant, n)
        if plan is not None and not plan.is_tight:
            return n, plan
    raise AssertionError("all have one")


def told_of(build: myoedge.Build) -> list[dict[str, Any]]:
    return [row for row in build.report["warnings"] if row["code"] == "W305"]


def total(build: myoedge.Build) -> int:
    return int(build.report["cycles"]["total"])


@pytest.mark.parametrize(("network", "kib"), thinned(itertools.product(NETWORKS, SIZES_KIB), 13))
@applies("W305", "--l2 {kib}KiB")
def test_a_plan_by_bytes_names_the_limit_for_one_by_cycles(
    network: str, kib: int, tmp_path: Path
) -> None:
    build = built(network, tmp_path, kib)
    warnings, (first_kib, plan) = told_of(build), first_by_cycles(network, build.network, kib)
    if not warnings:
        assert first_kib == kib or total(build) <= MORE_CYCLES * modelled_cycles(plan)
        return
    (told,) = warnings
    option, limit, price = told["tries"][0].split(maxsplit=2)
    found = int(limit.removesuffix("KiB"))
    assert option == "--l2"
    assert kib < first_kib == found
    faster = built(network, tmp_path, found)
    assert price == f"({total(faster):,} cycles, estimated)"
    words = f"{total(build):,} cycles, estimated; with {found} KiB, a plan by cycles takes"
    assert dict(told["facts"])["found"] == f"{words} {total(faster):,} cycles, estimated"
    assert total(build) > MORE_CYCLES * total(faster)
    assert not told_of(faster)


def test_a_simulated_build_has_its_own_cycles_and_tells_what_is_tried(tmp_path: Path) -> None:
    """An estimate would be that of the plan; a refusal tries other limits, too."""
    said = list[str]()
    build = built("lstm", tmp_path, 64, simulate=True, say=said.append)
    (told,) = told_of(build)
    assert build.report["cycles"]["source"] == "simulated"
    assert dict(told["facts"])["found"].startswith(f"{total(build):,} cycles; with ")
    assert said.count(TRIED) == 1
    said.clear()
    with pytest.raises(MyoedgeError, match="E302"):
        built("lstm", tmp_path, 1, say=said.append)
    assert TRIED in said


@pytest.mark.parametrize("network", NETWORKS)
def test_plans_do_not_depend_on_those_before(network: str, tmp_path: Path) -> None:
    """Tiles, estimates and timelines are kept; against plans each of a network of its own."""

    def quantized() -> QuantGraph:
        return built(network, tmp_path, LARGEST_KIB).network

    together, chip = quantized(), find_chip("gap9")
    limits = [replace(chip, l2_bytes=n * KIB, l2_reserved_bytes=0) for n in (*SIZES_KIB, 96, 60)]
    after_others = [describe(make_plan(together, limit)) for limit in limits]
    for limit, found in reversed([*zip(limits, after_others, strict=True)]):
        for kept in KEPT:
            kept.cache_clear()
        assert describe(make_plan(quantized(), limit)) == found


def dense() -> nn.Module:
    layers = (nn.Linear(800, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    return nn.Sequential(nn.Flatten(), *layers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape", "limits_kib"),
    [
        (dense, (1, 50, 16), (26, 28, 30)),
        (Mixed, (1, 3, 19, 17), (8, 12, 16)),
        (Sequences(nn.LSTM, 10, 257).model, (1, 10, 16), (54, 60)),
    ],
)
def test_no_limit_above_one_that_suffices_is_refused(
    make: Callable[[], nn.Module],
    shape: tuple[int, ...],
    limits_kib: Sequence[int],
    tmp_path: Path,
) -> None:
    """Plans for more L2 may have so much more code that they do not fit: of one network the plan
    with the least data does then, of one that without transfers, of one a plan for more L2."""
    torch.manual_seed(0)
    model = save_exported(make().eval(), (torch.zeros(shape),), tmp_path / "m.pt2")

    def build(kib: int) -> myoedge.Build:
        return myoedge.build(model, simulate=False, output=tmp_path / "out", l2=f"{kib}KiB")

    with l2_with_code():
        named, prices = set[int](), set[str]()
        for kib in limits_kib:
            with pytest.raises(MyoedgeError) as told:
                build(kib)
            remedy = told.value.notice.tries[0]
            named.add(int(remedy.split()[1].removesuffix("KiB")))
            prices.add(re.split(r"[;)]", remedy[remedy.index("(") :])[0])
        (least,) = named
        for kib in range(least, least + 6):
            made = build(kib)
            assert near_memory.bytes_in_use(made.report) <= KIB * kib
            if kib == least:
                prices.add(f"({total(made):,} cycles, estimated")
        assert len(prices) == 1, "of the refusals and of the build"


def test_the_remedy_holds_beside_the_program(tmp_path: Path) -> None:
    """With the code in the limit, as linking tells its size: that of a plan by bytes is larger."""
    with l2_with_code():
        build = built("rnn", tmp_path, 90)
        (told,) = told_of(build)
        kib = int(told["tries"][0].split()[1].removesuffix("KiB"))
        faster = built("rnn", tmp_path, kib)
        (nearest,) = told_of(built("rnn", tmp_path, kib - 1))
    assert nearest["tries"] == told["tries"], "the least, whatever the limit is"
    assert f"({total(faster):,} cycles, estimated)" in told["tries"][0]
    assert not told_of(faster)
    code = [one.report["memory"]["code_bytes"] for one in (build, faster)]
    assert code[0] > 2 * code[1]
    assert kib * KIB < planned_bytes(faster) + code[0], "not by the larger code"


BY_BYTES = [("lstm", 64, "mram=auto"), ("rnn", 70, "mram=off")]


@pytest.mark.parametrize(("network", "kib", "memory"), BY_BYTES)
def test_cycles_on_another_engine_are_cycles(
    network: str, kib: int, memory: str, tmp_path: Path
) -> None:
    """Not the bytes that decided: no layer takes as many as the network does on either engine. Of
    an engine with fewer cycles, the bytes of constants that it needs more are named."""
    free = [built(network, tmp_path, KIB, engine=x) for x in ("cores", "ne16")]
    build = built(network, tmp_path, kib, memory=memory)
    told = [row["other_engine"] for row in build.report["layers"]]
    counts = [found for x in told if (found := re.search(r": ([\d,]+) estimated cycles", x))]
    assert len(counts) >= 2
    assert max(int(x[1].replace(",", "")) for x in counts) < max(map(total, free))
    (few,) = (x for x in told if "cycles fewer" in x)
    more = re.search(r"fewer, but ([\d,]+) B more of constants, for which L2", few)
    assert more is not None
    most = max(x.report["memory"]["weights_bytes"] for x in free)
    assert 0 < int(more[1].replace(",", "")) < most


def planned_bytes(build: myoedge.Build) -> int:
    return int(build.report["memory"]["l2_peak_bytes"])
