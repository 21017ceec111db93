# SPDX-License-Identifier: Apache-2.0
"""The generated C of groups of layers, in plans in which a group stores its intermediates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends import host
from myoedge.backends.equivalence import cases, first_difference
from myoedge.backends.runner import runner_of
from myoedge.backends.samples import golden_sample
from myoedge.codegen.project import make_sources
from myoedge.operators.interpreter import run_int
from myoedge.plan.schedule import make_plan
from myoedge.targets import find_chip
from tests.conftest import save_exported
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
    network: type[nn.Module], most: int, tmp_path: Path
) -> None:
    """After the last iteration of a loop, too."""
    torch.manual_seed(1)
    q, sample = quantized_over(network())
    plan = make_plan(q.traced, find_chip("gap9"))
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


def test_validate_compares_what_a_traced_build_stores(tmp_path: Path) -> None:
    """The same network has one layer in its default build."""
    torch.manual_seed(1)
    x = torch.randn(1, 40, CHANNELS)
    model = save_exported(Chained().eval(), (x,), tmp_path / "model.pt2")
    np.savez(tmp_path / "calib.npz", x=np.concatenate([x.numpy()] * 4))
    given = {"calib": tmp_path / "calib.npz", "simulate": False}
    default, traced = (
        myoedge.build(model, output=tmp_path / str(is_traced), traced=is_traced, **given)
        for is_traced in (False, True)
    )
    assert len(default.results) < 3 <= len(traced.results)
    runs = cases(traced.network, None, [golden_sample(traced)])
    ((_, (layers, _)),) = runner_of("host").pairs(traced, runs)
    assert layers.keys() == {name for _, name in traced.results}
    assert first_difference(traced, [golden_sample(traced)]) == (1, None)
    assert first_difference(traced, [golden_sample(traced)], "simulator") == (1, None)
