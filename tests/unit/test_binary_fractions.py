# SPDX-License-Identifier: Apache-2.0
"""Tensors whose values are multiples of a power of two: what is found is true of every run of the
network in floats, and networks of such tensors have no rounding errors, in both widths."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from myoedge.quantization.binary_fractions import OTHER, fraction_bits, with_exact_scale
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.formats import shared_scale_groups
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.search.goal import UNLIMITED, Goal
from myoedge.quantization.search.moves import int16
from myoedge.quantization.sqnr import measure
from myoedge.quantization.tensor_params import constants_of
from tests.support.searches import searched, workshop_of

T = torch.Tensor
FRAMES, CHANNELS = 12, 5


def when(condition: T, value: float, other: T) -> T:
    return torch.where(condition, torch.tensor(value), other)


# Next state of a loop from a frame and the state -> fraction bits of the states, OTHER for any.
STATES: Mapping[str, tuple[Callable[[T, T], T], int]] = {
    "countdown": (lambda x, r: when(x > 1, 3.0, (r - 1).clamp(min=0)), 0),
    "halves": (lambda x, r: when(x > 1, 3.0, (r - 0.5).clamp(min=0)), 1),
    "quarters in tenths": (lambda x, r: when(x > 1, 2.0, (r - 0.1).clamp(min=0)), OTHER),
    "count": (lambda x, r: r + (x > 0).float(), 0),
    "both signs": (lambda x, r: (r + torch.sign(x)).clamp(-4, 4), 0),
    "products": (lambda x, r: r * 0.5 * (x > 0) + (x > 0.5).float(), OTHER),
    "largest": (lambda x, r: torch.maximum(r, 0.25 * (x > 0).float()), 2),
    "sum of spikes": (lambda x, r: (x > 0).float().sum(-1, keepdim=True) + 0 * r, 0),
    "of the input": (lambda x, r: when(x > 1, 3.0, r - x), OTHER),
    "leak": (lambda x, r: 0.9 * r + (x > 0).float(), OTHER),
}


class Loop(nn.Module):
    """States frame by frame, and whether each is used up."""

    def __init__(self, step: Callable[[T, T], T], start: float) -> None:
        super().__init__()
        self.step, self.start = step, start

    def forward(self, x: T) -> tuple[T, T]:
        state, states = torch.full((x.shape[0], CHANNELS), self.start), []
        for frame in range(x.shape[1]):
            state = self.step(x[:, frame], state)
            states.append(state)
        found = torch.stack(states, 1)
        return found, (found <= 0).float()


def graph_of(step: Callable[[T, T], T], start: float = 0.0) -> Graph:
    given = (torch.zeros(1, FRAMES, CHANNELS),)
    return prepare(from_exported(torch.export.export(Loop(step, start).eval(), given)))


def samples_of(graph: Graph, count: int = 16) -> dict[str, Array]:
    """Frames of values that 8 bits represent, none of which is a threshold."""
    rng = np.random.default_rng(7)
    shape = count, 1, FRAMES, CHANNELS
    return {graph.inputs[0]: rng.choice([-2.0, -0.75, 0.75, 2.0], shape).astype(np.float32)}


@pytest.mark.parametrize("start", [0.0, 3.0, 0.3])
@pytest.mark.parametrize("name", sorted(STATES))
def test_multiples_are_multiples_in_every_run(name: str, start: float) -> None:
    step, wanted = STATES[name]
    graph = graph_of(step, start)
    samples = samples_of(graph)
    ranges = {**calibrate(graph, samples, Observer(), "test").ranges}
    ranges |= constants_of(graph, ranges)
    found = fraction_bits(graph, ranges, shared_scale_groups(graph, ranges))
    seen = dict[str, int]()

    def watch(tensor: str, values: Array) -> None:
        bits = (Fraction(v).denominator.bit_length() - 1 for v in values.ravel().tolist())
        seen[tensor] = max(seen.get(tensor, 0), *bits)

    noise = np.random.default_rng(1).standard_normal((8, 1, FRAMES, CHANNELS))
    for x in (*samples[graph.inputs[0]], *noise.astype(np.float32)):
        run_float(graph, {graph.inputs[0]: x}, watch)
    assert {tensor: bits for tensor, bits in found.items() if seen.get(tensor, 0) > bits} == {}
    if start == 0.0:
        assert found.get(graph.outputs[0], OTHER) == wanted
    assert found.get(graph.outputs[1], OTHER) == 0


@pytest.mark.parametrize("is_wide", [False, True], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("name", [name for name, (_, bits) in STATES.items() if bits < OTHER])
def test_they_have_no_rounding_errors(name: str, is_wide: bool) -> None:
    graph = graph_of(STATES[name][0])
    samples = samples_of(graph)
    ranges = calibrate(graph, samples, Observer(), "test")
    wide = frozenset(quantize_graph(graph, ranges).params) if is_wide else frozenset[str]()
    found = measure(quantize_graph(graph, ranges, (), wide), samples, layers=False)
    assert [row.db for row in found.outputs.values()] == [math.inf, math.inf]


@pytest.mark.parametrize("bits", [0, 3])
@pytest.mark.parametrize("low", [0.0, -3.0, -40.0])
@pytest.mark.parametrize("high", [0.0, 1.0, 12.0, 30.0])
def test_exact_scales_cover_the_range(low: float, high: float, bits: int) -> None:
    """And every multiple has an integer; where 8 bits are too few, the scale is left."""
    scale = float(np.float32(max(high - low, 0.1) / 255))
    given = QuantParams(scale, round(-128 - low / scale))
    found = with_exact_scale(given, (low, high), bits)
    if (high - low) * 2**bits > 255:
        assert found == given
        return
    assert Fraction(2) ** -bits % Fraction(found.scale) == 0
    ends = [value / found.scale + found.zero_point for value in (low, high)]
    assert -128 <= ends[0] <= ends[1] <= 127


class Refractory(nn.Module):
    """Neurons that rest for three frames behind a spike: rounding of the input moves few spikes,
    but each of them changes all that follow."""

    def forward(self, x: T) -> T:
        v = rest = torch.zeros(x.shape[0], x.shape[2])
        spikes = []
        for frame in range(x.shape[1]):
            v = 0.9 * v + x[:, frame] * (rest <= 0)
            spike = (v > 2).float()
            v = v * (1 - spike)
            rest = when(spike > 0, 3.0, (rest - 1).clamp(min=0))
            spikes.append(spike)
        return torch.stack(spikes, 1)


def test_all_tensors_get_16_bits_where_few_samples_show_no_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(int16, "int16_candidates", lambda *_: [])
    graph = prepare(
        from_exported(torch.export.export(Refractory().eval(), (torch.zeros(1, 40, 8),)))
    )
    rng = np.random.default_rng(0)
    samples = {graph.inputs[0]: rng.standard_normal((51, 1, 40, 8)).astype(np.float32)}
    found, moves = searched(workshop_of(graph, samples), graph, Goal(30.0, budgets=UNLIMITED))
    assert [move.is_kept for move in moves if move.remedy == "16 bits for all tensors"][:1] == [
        True
    ]
    assert {*graph.inputs} <= found.design.names
    assert found.measured.worst_db > 30.0
