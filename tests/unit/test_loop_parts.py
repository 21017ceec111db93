# SPDX-License-Identifier: Apache-2.0
"""A loop is divided in front of products that need only some of its states."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from myoedge.graph.ir import Graph
from myoedge.operators.turns import loop_of, loop_spans
from tests.support.networks.stacks import CELLS, INPUTS, WIDTH, Stack
from tests.unit.test_loops import prepared

STEPS = 18  # so that a product of all of them is worth a loop


def stack(cells: list[str], **options: Any) -> Graph:
    """Of a stack, which computes what torch does."""
    torch.manual_seed(len(cells))
    return prepared(Stack(cells, **options), 1, STEPS, INPUTS)


def products_in_loops(graph: Graph) -> int:
    inside = loop_of(graph.nodes)
    return sum(node.op == "linear" and node.name in inside for node in graph.nodes)


@pytest.mark.parametrize("last", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "cells",
    [
        ["fired"] * 4,
        ["summed", "mixed"],
        ["delayed", "fired"],
        # Where a delayed state is the result, a body has two steps: half as many products each.
        *(
            pytest.param([*x], marks=pytest.mark.slow)
            for x in product(CELLS, repeat=2)
            if x[-1] != "delayed"
        ),
    ],
)
def test_layers_of_a_stack_are_loops_of_elements(cells: list[str], last: bool) -> None:
    """Products are in front of the loops; leaky sums are scans."""
    graph = stack(cells, last=last)
    assert products_in_loops(graph) == 0
    nonlinear = sum(cell != "summed" for cell in cells)
    assert len(loop_spans(graph.nodes)) <= len(cells)
    assert len(loop_spans(graph.nodes)) >= nonlinear


@pytest.mark.parametrize("cell", ["fired", "mixed"])
def test_products_of_own_results_stay(cell: str) -> None:
    graph = stack([cell, cell], own=(0, 1))
    assert products_in_loops(graph) >= 2
    assert len(loop_spans(graph.nodes)) == 2


def test_rows_of_the_input_are_read_by_every_loop() -> None:
    graph = stack(["mixed"] * 3, skips=(1, 2))
    assert (products_in_loops(graph), len(loop_spans(graph.nodes))) == (0, 3)


@pytest.mark.parametrize("cell", ["fired", "mixed"])
def test_a_loop_whose_first_layer_reads_the_last_is_whole(cell: str) -> None:
    graph = stack([cell, cell, cell], back=True)
    assert len(loop_spans(graph.nodes)) == 1


def test_a_product_of_few_steps_stays() -> None:
    """Two more layers cost more than such a product saves."""
    network = Stack(["fired", "fired"])
    graph = prepared(network, 1, 12, INPUTS)
    assert 12 * WIDTH * WIDTH < 1 << 14
    assert len(loop_spans(graph.nodes)) == 1


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))]
)
def test_drawn_stacks_compute_what_torch_does(seed: int) -> None:
    """`prepared` compares; products of own results alone stay in loops."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    cells = [str(x) for x in rng.choice([*CELLS], count)]
    own, skips = ([at for at in range(first, count) if rng.random() < 0.4] for first in (0, 1))
    options = {"back": bool(rng.random() < 0.2), "last": bool(rng.random() < 0.5)}
    graph = stack(cells, own=own, skips=skips, **options)
    if not options["back"] and "delayed" not in cells:  # whose loops may have two steps in one
        assert products_in_loops(graph) <= len(own)
