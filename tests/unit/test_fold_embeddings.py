# SPDX-License-Identifier: Apache-2.0
"""Products of one-hot vectors become rows of a table, or of a computed matrix."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.oracles.torch import Net, agrees, randomized, seeded

MATRIX = seeded(12, 20, seed=4)
Form = Callable[..., Tensor]


def one_hot(x: Tensor, n: int = 12) -> Tensor:
    return F.one_hot(x.argmax(-1), n).float()


@pytest.mark.parametrize(
    ("function", "inputs", "operators"),
    [
        (lambda net, x: net.linear(one_hot(x)), ((3, 9, 12),), {"argmax", "embedding"}),
        (lambda net, x: one_hot(x) @ MATRIX, ((3, 9, 12),), {"argmax", "embedding"}),
        (lambda net, x, rows: one_hot(x) @ rows, ((9, 12), (12, 20)), {"argmax", "gather"}),
        (
            lambda net, x, rows: one_hot(x) @ rows,
            ((1, 9, 12), (1, 12, 20)),
            {"argmax", "gather"},
        ),
    ],
)
def test_a_one_hot_times_a_matrix_reads_rows(
    function: Form, inputs: tuple[tuple[int, ...], ...], operators: set[str]
) -> None:
    net = randomized(Net(function, linear=nn.Linear(12, 20)))
    graph = agrees(net, *(seeded(*shape, seed=i) for i, shape in enumerate(inputs)))
    assert {node.op for node in graph.nodes} - {"reshape"} == operators


def test_products_of_a_matrix_for_each_stay() -> None:
    graph = agrees(Net(lambda net, x, rows: one_hot(x) @ rows), seeded(3, 9, 12), seeded(3, 12, 20))
    assert "matmul" in {node.op for node in graph.nodes}


def test_a_larger_table_stays_a_product() -> None:
    """1,000 rows of 2 that become 200: the table would be a hundred times as large."""
    table, matrix = seeded(1000, 2), seeded(2, 200)
    net = Net(lambda net, x: F.embedding(x.argmax(-1), table) @ matrix)
    graph = agrees(net, seeded(3, 1000))
    assert [node.op for node in graph.nodes] == ["argmax", "embedding", "linear"]


def test_a_function_of_a_single_entry_moves_into_the_table() -> None:
    graph = agrees(Net(lambda net, x: torch.tanh((x.argmax() == 3).float() - 0.3)), seeded(12))
    assert [node.op for node in graph.nodes] == ["argmax", "embedding"]
