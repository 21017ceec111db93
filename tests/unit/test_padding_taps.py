# SPDX-License-Identifier: Apache-2.0
"""Taps that read nothing but padding are left out: the floats are torch's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare


def kernel_of(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Extents of the kernel behind the passes, whose result is torch's."""
    torch.manual_seed(0)
    graph = prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))
    x = torch.randn(shape)
    y = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(y, model(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    (node,) = (node for node in graph.nodes if node.op == "conv")
    return graph.shape(node.inputs[1])[1:-1]


@pytest.mark.parametrize(
    ("image", "kernel", "padding", "left"),
    [((1, 1), (3, 3), (1, 1), (1, 1)), ((1, 9), (3, 3), (1, 1), (1, 3)),
     ((2, 2), (7, 5), (3, 2), (3, 3)), ((9, 9), (3, 3), (1, 1), (3, 3))],
)  # fmt: skip
def test_taps_that_read_no_pixel_are_left_out(
    image: tuple[int, int], kernel: tuple[int, int], padding: tuple[int, int], left: tuple[int, int]
) -> None:
    model = nn.Conv2d(2, 3, kernel, padding=padding)
    assert kernel_of(model, (1, 2, *image)) == left


def test_strides_and_holes() -> None:
    """Every tap that stays at an end reads the input in some window."""
    for length, taps, pad, step, stride in itertools.product(
        (1, 2, 5), (6,), (1, 4), (1, 2), (1, 3)
    ):
        reach = (taps - 1) * step + 1
        if length + 2 * pad < reach:
            continue
        model = nn.Conv1d(2, 3, taps, stride=stride, padding=pad, dilation=step)
        (left,) = kernel_of(model, (1, 2, length))
        windows = range(0, length + 2 * pad - reach + 1, stride)
        reading = [
            t for t in range(taps) if any(pad <= w + t * step < pad + length for w in windows)
        ]
        assert len(reading) <= left <= taps
