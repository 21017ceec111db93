# SPDX-License-Identifier: Apache-2.0
"""Uses that operators draw in their own folders: torch imports each as this operator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from myoedge.frontend.operator_table import CALLS
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.cases import Draw, DrawnUse, drawn_uses
from myoedge.operators.interpreter import run_float
from tests.ops.case import oracle_value

S = [torch.zeros(1, 2, 2)]
RNN = [torch.ones(8, 6), torch.ones(8, 2)]
R = [torch.ones(6, 6), torch.ones(6, 2)]
P = [torch.ones(2, 6), torch.ones(2, 2)]

# Operators whose oracle is not one call of torch: written out, or a cell that is given its gates.
# Each has a call that becomes the operator.
WRITTEN_OUT: list[tuple[str, str, Callable[..., Any]]] = [
    ("affine", "batch_norm", lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4))),
    (
        "attention",
        "scaled_dot_product_attention",
        lambda x: F.scaled_dot_product_attention(x, x, x),
    ),
    ("group_norm", "group_norm", lambda x: F.group_norm(x, 2)),
    ("variance", "std", lambda x: x.std(-1)),
    (
        "resize",
        "upsample_bilinear2d",
        lambda x: F.interpolate(x[None], size=(5, 9), mode="bilinear"),
    ),
    ("gather", "gather", lambda x: x.gather(2, x.argmax(-1, keepdim=True))),
    ("take", "upsample_nearest1d", lambda x: F.interpolate(x, size=9)),
    ("gates", "lstm", lambda x: torch.lstm(x, S * 2, RNN, False, 1, 0.0, False, False, True)[0]),
    ("lstm", "lstm", lambda x: torch.lstm(x, S * 2, RNN, False, 1, 0.0, False, False, True)[1]),
    (
        "lstm_cell",
        "lstm",
        lambda x: torch.lstm(x, S * 2, RNN, False, 1, 0.0, False, False, True)[2],
    ),
    ("gru", "gru", lambda x: torch.gru(x, S[0], R, False, 1, 0.0, False, False, True)[0]),
    *(
        (
            op,
            f"rnn_{name}",
            lambda x, call=call: call(x, S[0], P, False, 1, 0.0, False, False, True)[0],
        )
        for name, call in (("tanh", torch.rnn_tanh), ("relu", torch.rnn_relu))
        for op in ("sums", f"rnn_{name}")
    ),
    ("embedding", "one_hot", lambda x: F.one_hot(x.argmax(-1), x.shape[-1]).float()),
    ("integer_compare", "eq", lambda x: (x.argmax(-1) == x.argmin(-1)).float()),
    ("integer_compare_constant", "lt", lambda x: (x.argmax(-1) < torch.arange(4)).float()),
    ("scan", "cumprod", lambda x: x.cumprod(-1)),
]
IMPORTED = sorted(op for op in {*drawn_uses()} - {op for op, _, _ in WRITTEN_OUT} if CALLS[op])


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
