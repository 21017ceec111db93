# SPDX-License-Identifier: Apache-2.0
"""The generated C of groups of layers, in plans in which a group stores its intermediates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.backends import host
from myoedge.codegen.project import make_sources
from myoedge.operators.interpreter import run_int
from myoedge.plan.chains import JoinableLayers
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.support.networks.loops import ClosedForm
from tests.unit.test_stream_loops import CHANNELS, quantized_over


class Chained(nn.Module):
    """Element-wise layers of one group."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.randn(CHANNELS)) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x * torch.sigmoid(x) + self.a) * self.b + x
        return torch.maximum(y, self.c * x)


@pytest.mark.parametrize(("network", "most"), [(Chained, 4), (ClosedForm, 6)])
def test_stored_intermediates_equal_numpy(
    network: type[nn.Module], most: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After the last iteration of a loop, too."""
    torch.manual_seed(1)
    q, sample = quantized_over(network())
    monkeypatch.setattr(JoinableLayers, "_is_stored", lambda *_: True)
    plan = make_plan(q, find_chip("gap9"))
    assert max(len(step.results) for step in plan.steps) >= most
    for path, text in make_sources(plan, "traced").files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    library = host.load_library(tmp_path, options=host.CompileOptions(defines=("ME_TRACE",)))
    specs = [(q.graph.shape(name), q.dtype(name)) for name in q.graph.outputs]
    with library.lock, host.traced(library) as written:
        host.run(library, [sample[name] for name in q.graph.inputs], specs)
    wanted = run_int(q.steps, q.constants, sample)
    results = [result.node.name for _, result in plan.results]
    assert len(written) >= most
    for number, data in written.items():
        name = results[number]
        found = np.frombuffer(data, q.dtype(name)).reshape(q.graph.shape(name))
        np.testing.assert_array_equal(found, wanted[name], name)
