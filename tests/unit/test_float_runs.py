# SPDX-License-Identifier: Apache-2.0
"""Runs of the float network that are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import every_value
from myoedge.passes import prepare
from myoedge.quantization import float_runs
from myoedge.quantization.float_runs import float_run_cache, float_values


@pytest.fixture(scope="module")
def graph() -> Graph:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).eval()
    return prepare(from_exported(torch.export.export(model, (torch.zeros(1, 4),))))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Graphs that are run, one for each run."""
    found, run = list[Graph](), float_runs.run_float

    def counted(graph: Graph, *given: object) -> dict[str, Array]:
        found.append(graph)
        return run(graph, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(float_runs, "run_float", counted)
    return found


def samples(graph: Graph, count: int) -> list[dict[str, Array]]:
    x = np.random.default_rng(1).standard_normal((count, 1, 4)).astype(np.float32)
    return [{graph.inputs[0]: value} for value in x]


def test_a_sample_runs_once(graph: Graph, runs: list[Graph]) -> None:
    """And a watch sees of a kept run what it saw of the first one."""
    first, second = samples(graph, 2)
    seen: list[list[tuple[str, bytes]]] = []
    with float_run_cache():
        for sample in (first, second, dict(first)):
            seen.append([])
            float_values(graph, sample, lambda name, x: seen[-1].append((name, x.tobytes())))
    assert len(runs) == 2
    assert seen[0] == seen[2] != seen[1]
    float_values(graph, first)
    assert len(runs) == 3  # nothing stays


def test_values_are_those_of_every_run(graph: Graph) -> None:
    (sample,) = samples(graph, 1)
    wanted = every_value(graph, sample)
    with float_run_cache():
        for _ in range(2):
            found = float_values(graph, sample)
            assert found.keys() == wanted.keys()
            assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
        with pytest.raises(ValueError, match="read-only"):
            found[graph.outputs[0]][...] = 0.0


def test_only_what_has_room_is_kept(
    graph: Graph, runs: list[Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first samples of a network; of another one when that comes."""
    given, other = samples(graph, 3), replace(graph)
    one = sum(x.nbytes for x in every_value(graph, given[0]).values())
    one -= sum(x.nbytes for x in graph.arrays.values())
    monkeypatch.setattr(float_runs, "KEPT_BYTES", 2 * one)
    with float_run_cache():
        for sample in (*given, *given):
            float_values(graph, sample)
        assert len(runs) == 3 + 1
        for sample in (*given[:2], *given[:2]):
            float_values(other, sample)
        assert len(runs) == 4 + 2
        float_values(graph, given[0])
        assert len(runs) == 7


def test_large_runs_are_not_kept(
    graph: Graph, runs: list[Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As few would fit, they would take memory and save no time."""
    monkeypatch.setattr(float_runs, "MAX_RUN_BYTES", 1)
    with float_run_cache():
        for sample in 2 * [*samples(graph, 2)]:
            float_values(graph, sample)
    assert len(runs) == 4


def test_values_without_axes_are_kept() -> None:
    """NumPy gives a scalar for a function of an array without axes, which is no array."""
    graph = prepare(from_exported(torch.export.export(nn.Tanh(), (torch.tensor(0.5),))))
    with float_run_cache():
        found = float_values(graph, {graph.inputs[0]: np.array(0.25, np.float32)})
    assert found[graph.outputs[0]] == pytest.approx(np.tanh(0.25), rel=1e-6)
