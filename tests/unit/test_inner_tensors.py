# SPDX-License-Identifier: Apache-2.0
"""Intermediates of groups of element-wise layers that keep 16 bits: which they are, their scales,
and when a build keeps them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import Goal
from myoedge.quantization.search.moves.int16 import with_inner_tensors
from myoedge.quantization.search.state import LITTLE, ONE_HALF, TOO_SLOW, SearchState, Workshop
from myoedge.quantization.sqnr import integer_runs, integers_of, real_values
from myoedge.quantization.tensor_params import inner_groups
from myoedge.reports.fidelity import refined
from tests.conftest import save_exported
from tests.support.searches import started, workshop_of

T = torch.Tensor
LENGTH = 64


class Formula(nn.Module):
    def __init__(self, compute: Callable[[T, T], T | tuple[T, T]]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: T, y: T) -> T | tuple[T, T]:
        return self.compute(x, y)


def deep(x: T, y: T) -> T:
    """Five operations, of which four results are read inside only."""
    return torch.maximum((x * y + y) * x - y, x) * y


def graph_of(compute: Callable[[T, T], T | tuple[T, T]], rows: int = 1) -> Graph:
    given = torch.zeros(1, LENGTH), torch.zeros(rows, LENGTH)
    return prepare(from_exported(torch.export.export(Formula(compute).eval(), given)))


def samples_of(graph: Graph, count: int = 32) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal((count, *graph.shape(name)), np.float32) for name in graph.inputs
    }


def groups_of(compute: Callable[[T, T], T | tuple[T, T]], rows: int = 1) -> list[list[str]]:
    """The operators of the intermediates, group by group."""
    graph = graph_of(compute, rows)
    found = inner_groups(graph, graph.tensors)
    return [[graph.producer[name].op for name in group] for group in found]


@pytest.mark.parametrize(
    ("compute", "wanted"),
    [
        (deep, [["maximum", "sub", "mul", "add", "mul"]]),
        (lambda x, y: x * y + y, [["mul"]]),
        (lambda x, y: (x * y).tanh() + y, []),
        (lambda x, y: ((z := x * y) + y, z - x), []),
        (lambda x, y: (z := x * y, z + y), []),
        (lambda x, y: ((x * y).sum(-1, keepdim=True) + y) * x, [["add"], ["mul"]]),
        (lambda x, y: (x - y).mean(-1) * (x * y + y).sum(-1), [["add", "mul", "sub"]]),
        (
            lambda x, y: nn.functional.softmax(x * y + y, -1) - (x - y) * y,
            [["mul", "sub", "mul"]],
        ),
    ],
    ids=["deep", "one", "table", "two readers", "output", "sum", "two sums", "two branches"],
)
def test_only_members_of_one_group_read_intermediates(
    compute: Callable[[T, T], T | tuple[T, T]], wanted: list[list[str]]
) -> None:
    assert groups_of(compute) == wanted


def test_a_result_that_is_broadcast_stays_in_8_bits() -> None:
    assert groups_of(lambda x, y: (x * (z := y.sum(0, keepdim=True)) - z) * y, rows=3) == [["mul"]]


def wide(compute: Callable[[T, T], T] = deep) -> tuple[Workshop, SearchState, SearchState]:
    """A network in 8 bits, and with 16 bits inside its groups."""
    graph = graph_of(compute)
    workshop = workshop_of(graph, samples_of(graph))
    start = started(workshop, graph)
    names = frozenset(name for group in inner_groups(graph, graph.tensors) for name in group)
    return workshop, start, workshop.state(replace(start.design, inner=names), start.network)


def test_products_and_sums_of_intermediates_need_no_multiplier() -> None:
    """Of the scales that a product reads and writes, and of a sum's first operand and result, the
    quotient is a power of two."""
    _, _, found = wide()
    network = found.network.cores
    checked = 0
    for node in network.graph.nodes:
        if node.name in found.design.inner:
            y, (a, b) = network.params[node.name], (network.params[x] for x in node.inputs)
            assert (y.element_type, y.zero_point) == (INT16, 0)
            unit = a.scale * b.scale if node.op == "mul" else a.scale
            exponent = math.log2(y.scale / unit)
            assert abs(exponent - round(exponent)) < 2**-20, node
            checked += 1
    assert checked == 5


def weighted_sums(x: T, y: T) -> T:
    return ((x - y) * x).sum(-1) * (x * y).mean(-1)


@pytest.mark.parametrize("compute", [deep, weighted_sums])
def test_intermediates_of_16_bits_are_nearer_to_the_float_network(
    compute: Callable[[T, T], T],
) -> None:
    """On samples of their own, of all values, not only the result."""
    _, start, found = wide(compute)
    assert found.design.inner
    graph, rng = start.design.graph, np.random.default_rng(1)
    given = {
        name: rng.standard_normal(graph.shape(name)).astype(np.float32) for name in graph.inputs
    }
    real = run_float(graph, given)
    for name in found.design.inner:
        narrow, more = (values(x.network.cores, given)[name] for x in (start, found))
        assert np.std(more - real[name]) < np.std(narrow - real[name]), name


def values(network: QuantGraph, given: Mapping[str, Array]) -> dict[str, Array]:
    made = next(integer_runs(network, {name: x[None] for name, x in given.items()}))
    return {
        name: real_values(network, name, integers_of(network, name, made))
        for name in network.params
    }


@pytest.mark.parametrize(
    ("cycles", "is_worse", "why"),
    [
        ((100.0, 80.0), False, ""),
        ((100.0, 100.0), False, ""),
        ((100.0, 101.0), False, TOO_SLOW),
        ((100.0, math.inf), False, TOO_SLOW),
        ((100.0, 80.0), True, LITTLE),
        ((0.0, 0.0), False, ""),
    ],
    ids=["fewer cycles", "more dB", "more cycles", "no room", "less dB", "a host"],
)
def test_16_bits_are_kept_for_more_db_or_fewer_cycles(
    cycles: tuple[float, float],
    is_worse: bool,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workshop, start, _ = wide()
    if is_worse:  # as if the samples lost by it
        own = start.measured
        start = replace(start, measured=replace(own, error=own.error * 1e-6))
    plan = {id(start.network.engined): cycles[0]}
    goal = Goal(planned_cycles=lambda network: plan.get(id(network), cycles[1]))
    found, (tried,) = with_inner_tensors(workshop, start, goal)
    assert tried.is_kept == (not why) == bool(found.design.inner)
    assert tried.remedy == "16 bits inside a group of layers" + f", {why}" * bool(why)
    if cycles[1] < math.inf:
        assert tried.more_cycles == cycles[1] / max(cycles[0], 1.0) - (cycles[0] > 0.0)


def test_half_of_the_samples_may_not_lose() -> None:
    workshop, start, _ = wide()
    error = start.measured.error.copy()
    error[: len(error) // 2] *= 1e-6
    lucky = replace(start, measured=replace(start.measured, error=error))
    goal = Goal(planned_cycles=lambda network: 100.0 - (network is not start.network.engined))
    found, (tried,) = with_inner_tensors(workshop, lucky, goal)
    assert (found, tried.is_kept) == (lucky, False)
    assert tried.remedy.endswith(ONE_HALF)


def test_without_a_plan_nothing_is_tried() -> None:
    workshop, start, _ = wide()
    for goal in (Goal(), Goal(planned_cycles=lambda network: 100.0, moves=frozenset())):
        assert with_inner_tensors(workshop, start, goal) == (start, ())


def test_a_build_keeps_16_bits_and_says_so(tmp_path: Path) -> None:
    """Exact on host and simulator, and listed with dB and cycles."""
    given = torch.zeros(1, LENGTH), torch.zeros(1, LENGTH)
    model = save_exported(Formula(deep).eval(), given, tmp_path / "m.pt2")
    build = myoedge.build(model, calib=samples_of(graph_of(deep)), target="gap9", simulate=True)
    (choice,) = (x for x in build.report["quantization"]["choices"] if "inside" in x["remedy"])
    assert choice["kept"]
    assert choice["more_cycles"] < 0.0
    assert "fewer cycles" in refined(choice)
    assert build.report["exact"]["host"]
    assert build.report["cycles"]["source"] == "simulated"


def test_quantize_has_the_integers_of_a_build_for_the_cores(tmp_path: Path) -> None:
    given = torch.zeros(1, LENGTH), torch.zeros(1, LENGTH)
    model = save_exported(Formula(deep).eval(), given, tmp_path / "m.pt2")
    calib = samples_of(graph_of(deep))
    build = myoedge.build(model, calib=calib, target="gap9", engine="cores")
    params = myoedge.quantize(model, calib=calib).network.params
    assert params == build.network.params
    assert INT16 in {x.element_type for x in params.values()}


def test_streams_keep_16_bits_too(tmp_path: Path) -> None:
    given = torch.zeros(1, 8, LENGTH), torch.zeros(1, 8, LENGTH)
    model = save_exported(Formula(deep).eval(), given, tmp_path / "m.pt2")
    rng = np.random.default_rng(0)
    calib = {x: rng.standard_normal((16, 1, 8, LENGTH), np.float32) for x in ("x", "y")}
    config = tmp_path / "my.toml"
    config.write_text("[stream]\naxis = 1\nrate = 100\n")
    build = myoedge.build(model, calib=calib, target="gap9", config=config, stream=True)
    (choice,) = (x for x in build.report["quantization"]["choices"] if "inside" in x["remedy"])
    assert choice["kept"]
    assert choice["more_cycles"] < 0.0
