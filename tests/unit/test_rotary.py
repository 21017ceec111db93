# SPDX-License-Identifier: Apache-2.0
"""Rotary embeddings in the forms in which people write them: all become one operator."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare

TOKENS, HEADS, WIDTH = 6, 2, 8
ANGLES = torch.outer(
    torch.arange(TOKENS).float(), 100.0 ** (-torch.arange(0, WIDTH, 2).float() / WIDTH)
)


def slices(x: Tensor) -> Tensor:
    cos, sin = ANGLES.cos(), ANGLES.sin()
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def pairs(x: Tensor) -> Tensor:
    cos, sin = ANGLES.cos(), ANGLES.sin()
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)


def turned_pairs(x: Tensor) -> Tensor:
    """rotary_embedding_torch: x * cos + rotate_half(x) * sin of interleaved pairs."""
    angles = ANGLES.repeat_interleave(2, -1)
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return x * angles.cos() + torch.stack((-b, a), -1).flatten(-2) * angles.sin()


def computed(x: Tensor) -> Tensor:
    """Tables made in forward()."""
    powers = 100.0 ** (-torch.arange(0, WIDTH, 2, dtype=torch.float32) / WIDTH)
    angles = torch.outer(torch.arange(x.shape[-2], dtype=torch.float32), powers)
    a, b = x[..., 0::2], x[..., 1::2]
    turned = (a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos())
    return torch.stack(turned, -1).flatten(-2)


def complex_numbers(x: Tensor) -> Tensor:
    factors = torch.polar(torch.ones_like(ANGLES), ANGLES)
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * factors).flatten(-2)


def partial(x: Tensor) -> Tensor:
    cos, sin = ANGLES[:, :2].cos(), ANGLES[:, :2].sin()
    a, b = x[..., :4:2], x[..., 1:4:2]
    turned = torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)
    return torch.cat((turned, x[..., 4:]), -1)


def rotate_half(x: Tensor) -> Tensor:
    angles = torch.cat((ANGLES, ANGLES), -1)
    a, b = x.chunk(2, -1)
    return x * angles.cos() + torch.cat((-b, a), -1) * angles.sin()


def halves(x: Tensor) -> Tensor:
    cos, sin = ANGLES.cos(), ANGLES.sin()
    a, b = x[..., : WIDTH // 2], x[..., WIDTH // 2 :]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def regrouped(x: Tensor) -> Tensor:
    """Halves as an axis of their own, as einops writes them: (d r) -> r d."""
    cos, sin = ANGLES.cos(), ANGLES.sin()
    a, b = x.unflatten(-1, (2, -1)).unbind(-2)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), -2).flatten(-2)


def columns(x: Tensor) -> Tensor:
    """With an axis of one element behind the pairs."""
    return slices(x)[..., None]


class Cached(nn.Module):
    """rotary_embedding_torch as it is used by default: the first call fills a table of angles, by
    which the next ones turn."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("angles", torch.zeros(2 * TOKENS, WIDTH), persistent=False)
        self.known = 0

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[-2]
        if count > self.known:
            powers = 100.0 ** (-torch.arange(0, WIDTH, 2).float() / WIDTH)
            with torch.autocast("cuda", enabled=False):
                angles = torch.einsum("..., f -> ... f", torch.arange(count).float(), powers)
                self.angles[:count] = angles.repeat_interleave(2, -1).detach()
            self.known = count
        angles = self.angles[:count].detach()
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack((-b, a), -1).flatten(-2)
        return torch.cat((x[..., :0], x * angles.cos() + turned * angles.sin(), x[..., WIDTH:]), -1)


class Embedded(nn.Module):
    def __init__(self, form: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.form, self.q = form, nn.Linear(16, HEADS * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.q(x).unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)
        return torch.tanh(self.form(heads)).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("called", [False, True])
def test_an_embedding_that_keeps_its_table_is_that_operator(called: bool) -> None:
    """Whether or not the module was called before it was exported."""
    torch.manual_seed(0)
    network, x = Embedded(Cached()).eval(), torch.randn(1, TOKENS, 16)
    if called:
        network(x)
    graph = prepare(from_exported(torch.export.export(network, (x,))))
    kinds = [(n.op, dict(n.attrs)) for n in graph.nodes]
    assert kinds == [(n.op, dict(n.attrs)) for n in prepared(turned_pairs)[0].nodes]
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-5)


def prepared(form: Callable[[Tensor], Tensor]) -> tuple[Graph, Tensor, Tensor]:
    torch.manual_seed(0)
    network, x = Embedded(form).eval(), torch.randn(1, TOKENS, 16)
    graph = prepare(from_exported(torch.export.export(network, (x,))))
    return graph, x, network(x).detach()


FORMS = (
    *(slices, pairs, turned_pairs, computed, complex_numbers, partial),
    *(rotate_half, halves, regrouped, columns),
)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_one_operator(form: Callable[[Tensor], Tensor]) -> None:
    graph, x, expected = prepared(form)
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)
    work = Counter(node.op for node in graph.nodes if node.op not in ("reshape", "transpose"))
    assert work == {"linear": 1, "rotary": 1, "table": 1}


@pytest.mark.parametrize("form", [form for form in FORMS if form is not complex_numbers])
def test_each_form_is_one_operator_in_onnx_too(
    form: Callable[[Tensor], Tensor], tmp_path: Path
) -> None:
    """As the legacy exporter writes it, which has no complex numbers."""
    torch.manual_seed(0)
    network, x = Embedded(form).eval(), torch.randn(1, TOKENS, 16)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(network, (x,), str(tmp_path / "m.onnx"), dynamo=False)
    graph = prepare(load_onnx(tmp_path / "m.onnx").graph)
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    work = Counter(node.op for node in graph.nodes if node.op not in ("reshape", "transpose"))
    assert work == {"linear": 1, "rotary": 1, "table": 1}


@pytest.mark.parametrize(
    "group",
    [(slices, pairs, turned_pairs, computed, complex_numbers), (rotate_half, halves, regrouped)],
)
def test_forms_of_one_embedding_are_the_same_network(
    group: tuple[Callable[[Tensor], Tensor], ...],
) -> None:
    kinds = [[(n.op, dict(n.attrs)) for n in prepared(form)[0].nodes] for form in group]
    assert all(kind == kinds[0] for kind in kinds)


def test_halves_of_a_part_of_a_row_are_turned_beside_the_rest() -> None:
    graph, x, expected = prepared(lambda x: torch.cat((rotate_half_of(x[..., :4]), x[..., 4:]), -1))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)
    assert [n.op for n in graph.nodes].count("rotary") == 1
    assert not {"add", "mul", "sub"} & {n.op for n in graph.nodes}


def rotate_half_of(x: Tensor) -> Tensor:
    angles = torch.cat((ANGLES[:, :2], ANGLES[:, :2]), -1)
    a, b = x.chunk(2, -1)
    return x * angles.cos() + torch.cat((-b, a), -1) * angles.sin()


class Channels(nn.Module):
    """Channels turned over frames behind sums and products of the same input."""

    def forward(self, x: Tensor) -> Tensor:
        angles = torch.arange(5)[None] * 0.3 ** torch.arange(2)[:, None]
        cos, sin = angles.cos(), angles.sin()
        x = x + 0.5 * torch.roll(x, 1, 1).softmax(1)
        x = torch.cat((x[:, :2] * cos - x[:, 2:] * sin, x[:, :2] * cos + x[:, 1:3] * sin), 1)
        x = x + x.softmax(1)
        a, b = x[:, :2], x[:, 2:]
        return torch.cat((a * cos - b * sin, a * sin + b * cos), 1)


def test_what_lies_before_an_embedding_is_none_of_its_form() -> None:
    """Which is in rows of its own: the reshape behind them is no embedding to be found again."""
    torch.manual_seed(0)
    network, x = Channels().eval(), torch.randn(1, 4, 5)
    graph = prepare(from_exported(torch.export.export(network, (x,))))
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, network(x).numpy(), rtol=1e-5, atol=1e-5)
    assert [node.op for node in graph.nodes].count("rotary") == 1
