# SPDX-License-Identifier: Apache-2.0
"""Layers that NE16 can run are quantised without a pre-shift, which costs no network much SQNR.

In 8 bits alone: 16 bits, where they are added, win on the cores what NE16 does not compute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.extensions.zoo import emg2qwerty, tinymyo
from myoedge.extensions.zoo.all_convnet import hd
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.engines import EngineIntegers, EngineRules
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from tests.e2e.test_tinymyo_heads import graph_of
from tests.support.networks.small import autoencoder, keywords, mobilenet, resnet8

MOST_LOST_DB = 0.5
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "All-ConvNet": (hd, (1, 1, 16, 8)),
    "auto-encoder": (autoencoder, (1, 640)),
    "ResNet-8": (resnet8, (1, 3, 32, 32)),
    "DS-CNN": (keywords, (1, 1, 49, 10)),
}
LARGE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "TinyMyo small": (tinymyo.small_epn, (1, 8, 200)),
    "MobileNetV1 0.25": (mobilenet, (1, 3, 96, 96)),
    "emg2qwerty for 6 keys": (emg2qwerty.kao, (59, 1, 2, 16, 33)),
}


def runs_on_ne16(step: QuantizedNode) -> bool:
    kernels = OPS[step.node.op].kernels
    return any(kernel.engine == "ne16" and kernel.accepts(step) for kernel in kernels)


@pytest.mark.parametrize(
    "name", [*NETWORKS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_a_network_on_ne16_keeps_its_sqnr(name: str) -> None:
    make, shape = {**NETWORKS, **LARGE}[name]
    torch.manual_seed(0)
    graph = graph_of(make().eval(), shape)
    calib = np.random.default_rng(0).standard_normal((8, *shape)).astype(np.float32)
    given = {graph.inputs[0]: calib}
    cores = quantize_graph(graph, calibrate(graph, given, Observer(), "drawn"))
    ne16 = EngineIntegers(EngineRules(frozenset({"ne16"})))(cores)
    assert any(map(runs_on_ne16, ne16.steps))
    before, after = (measure(q, given, layers=False).worst_db for q in (cores, ne16))
    assert before is not None
    assert after is not None
    assert after >= before - MOST_LOST_DB
