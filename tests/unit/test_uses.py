# SPDX-License-Identifier: Apache-2.0
"""Uses that operators draw in their own folders: torch imports each as this operator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from myoedge.frontend.operator_table import CALLS
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.cases import Draw, DrawnUse, drawn_uses
from myoedge.operators.interpreter import run_float
from tests.ops.case import oracle_value

# Oracles that no call of torch states alone: written out, or cells to which gates are given ready.
WRITTEN_OUT = {
    "affine", "attention", "embedding", "gates", "gather", "group_norm", "gru",
    "integer_compare", "integer_compare_constant", "lstm", "lstm_cell", "resize", "rnn_relu",
    "rnn_tanh", "scan", "sums", "take", "variance",
}  # fmt: skip
IMPORTED = sorted(op for op in {*drawn_uses()} - WRITTEN_OUT if CALLS[op])


class Written(torch.nn.Module):
    """The oracle of a use as a network."""

    def __init__(self, use: DrawnUse) -> None:
        super().__init__()
        self.use = use
        for i, value in enumerate(use.weights):
            self.register_buffer(f"w{i}", torch.as_tensor(value, dtype=torch.float32))

    def forward(self, *xs: torch.Tensor) -> Any:
        return oracle_value(self.use, [*xs, *self.buffers()])


def uses(op: str, count: int) -> Iterator[DrawnUse]:
    draw = Draw(np.random.default_rng(0))
    found = (drawn_uses()[op](draw) for _ in range(100))
    large = (use for use in found if all(math.prod(shape) > 1 for shape in use.shapes))
    unmasked = (use for use in large if "masked" not in use.attrs)  # a computed mask is refused
    return itertools.islice(unmasked, count)


@pytest.mark.parametrize("op", IMPORTED)
def test_the_oracle_of_a_use_is_imported_as_its_operator(op: str) -> None:
    rng = np.random.default_rng(1)
    for use in uses(op, 3):
        xs = [rng.normal(size=shape).astype(np.float32) for shape in use.shapes]
        network, tensors = Written(use).eval(), tuple(map(torch.from_numpy, xs))
        graph = from_exported(torch.export.export(network, tensors))
        assert op in {node.op for node in graph.nodes} or not graph.nodes  # the input as it is
        (output,) = graph.outputs
        found = run_float(graph, dict(zip(graph.inputs, xs, strict=True)))[output]
        np.testing.assert_allclose(found, network(*tensors).numpy(), rtol=1e-5, atol=1e-5)
