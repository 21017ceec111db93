# SPDX-License-Identifier: Apache-2.0
"""Forms that exporters give a network: torch.export, core ATen, ONNX."""

from __future__ import annotations

from pathlib import Path

import torch

from myoedge.frontend.onnx.model import load_onnx
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.passes import prepare
from tests.torch_oracle import Case, close, evaluated


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


def check(made: Case, operators: str, folder: Path, *, onnx: bool = True) -> None:
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
