# SPDX-License-Identifier: Apache-2.0
"""emg2qwerty in the zoo: parameters, upstream's names, import without loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.extensions.zoo import emg2qwerty
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare

SIZES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "tds": (emg2qwerty.tds, 5_293_315),
    "lstm": (emg2qwerty.lstm, 1_593_379),
    "lstm_plain": (lambda: emg2qwerty.lstm(plain=True), 1_555_939),
    "kao": (emg2qwerty.kao, 1_522_631),
}
# of upstream's checkpoints, shapes by name
UPSTREAM = {
    "model.0.batch_norm.running_var": (32,),
    "model.1.mlps.1.mlp.0.weight": (384, 528),
    "model.3.tds_conv_blocks.0.conv2d.weight": (24, 24, 1, 32),
    "model.3.tds_conv_blocks.6.layer_norm.bias": (768,),
    "model.3.tds_conv_blocks.7.fc_block.2.weight": (768, 768),
    "model.4.bias": (99,),
}


@pytest.mark.parametrize("name", SIZES)
def test_parameters(name: str) -> None:
    make, count = SIZES[name]
    assert sum(p.numel() for p in make().parameters()) == count


def test_names_are_those_of_upstream() -> None:
    state = emg2qwerty.tds().state_dict()
    assert {name: tuple(state[name].shape) for name in UPSTREAM} == UPSTREAM


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("name", "frames"), [("tds", 128), ("lstm", 9), ("kao", 5)])
def test_the_import_means_the_same(name: str, frames: int) -> None:
    torch.manual_seed(0)
    network = SIZES[name][0]().eval()
    norm = network.get_submodule("model.0.batch_norm")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean = torch.randn(32)
    norm.running_var = 0.5 + torch.rand(32)
    x = torch.randn(frames, 1, 2, 16, 33)
    graph = prepare(from_exported(torch.export.export(network, (x,))))
    (mine,) = (run_float(graph, {graph.inputs[0]: x.numpy()})[name] for name in graph.outputs)
    np.testing.assert_allclose(mine, network(x).detach().numpy(), atol=2e-5)
