# SPDX-License-Identifier: Apache-2.0
"""Small networks whose graphs are held against torch, before and after the passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare


class Net(nn.Module):
    """A function of tensors, with the modules it calls."""

    def __init__(self, function: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *xs: Tensor) -> Any:
        return self.function(self, *xs)


def randomized(model: nn.Module) -> nn.Module:
    """Running statistics and affine parameters away from their defaults."""
    generator = torch.Generator().manual_seed(3)
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if value.is_floating_point():
            drawn = torch.rand(value.shape, generator=generator) + 0.5
            signed = drawn - 1.0 if value.dim() > 1 or "bias" in name else drawn
            value.data.copy_(signed)
    return model


def evaluated(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    values = run_float(graph, dict(zip(graph.inputs, inputs, strict=True)))
    return [values[name] for name in graph.outputs]


def agrees(model: nn.Module, *inputs: Tensor, tolerance: float = 1e-5) -> Graph:
    """Asserts that graph and prepared graph compute what torch computes; returns the latter."""
    model.eval()
    program = torch.export.export(model, tuple(x.clone() for x in inputs))
    with torch.no_grad():
        wanted = model(*(x.clone() for x in inputs))
    wanted = [wanted] if isinstance(wanted, Tensor) else list(wanted)
    graph = from_exported(program)
    prepared = prepare(graph)
    for found in (graph, prepared):
        given = evaluated(found, [x.float().numpy() for x in inputs])
        assert len(given) == len(wanted)
        for mine, theirs in zip(given, wanted, strict=True):
            close(mine, theirs.float().numpy(), tolerance)
    return prepared


def close(mine: Array, theirs: Array, tolerance: float) -> None:
    assert mine.shape == theirs.shape
    largest = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=1e-3))
    np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance * largest)


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 1.5


def positive(*shape: int) -> Tensor:
    return seeded(*shape).abs() + 0.1


@dataclass(frozen=True)
class Case:
    name: str
    model: nn.Module
    inputs: tuple[Tensor, ...]


def case(name: str, function: Callable[..., Any], *inputs: Tensor, **modules: nn.Module) -> Case:
    """A function of tensors alone, or of (net, tensors) where it has modules."""
    whole = function if modules else lambda net, *xs: function(*xs)
    return Case(name, randomized(Net(whole, **modules)), inputs)


def module(name: str, made: nn.Module, *inputs: Tensor) -> Case:
    return Case(name, randomized(made), inputs)


X1, X2 = seeded(2, 6, 17), seeded(1, 4, 9, 11)
FLAT, SQUARE = seeded(3, 8), seeded(2, 3, 4, 6)
WHOLE = seeded(2, 3, 4, 6, seed=5)


def forms(made: Case, folder: Path, *, onnx: bool) -> dict[str, Graph]:
    """The graph of each exporter."""
    program = torch.export.export(made.model.eval(), made.inputs)
    found = {
        "torch": from_exported(program),
        "core ATen": from_exported(program.run_decompositions()),
    }
    if onnx:
        path = folder / "model.onnx"
        torch.onnx.export(made.model, made.inputs, str(path), dynamo=False)
        found["ONNX"] = load_onnx(path).graph
    return found


def check_forms(made: Case, operators: str, folder: Path, *, onnx: bool = True) -> None:
    """Every form computes what torch computes, and becomes these operators, transposes and
    reshapes aside; "" for any operators."""
    with torch.no_grad():
        result = made.model.eval()(*made.inputs)
    wanted = [result] if isinstance(result, torch.Tensor) else [*result]
    for form, graph in forms(made, folder, onnx=onnx).items():
        prepared = prepare(graph)
        given = evaluated(prepared, [x.numpy() for x in made.inputs])
        for mine, theirs in zip(given, wanted, strict=True):
            close(mine, theirs.numpy(), 2e-5)
        names = [n.op for n in prepared.nodes if n.op not in ("reshape", "transpose")]
        assert not operators or " ".join(names) == operators, form
