# SPDX-License-Identifier: Apache-2.0
"""Advice of refusals: who follows it has a network that builds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from tests.refused_networks import REFUSED
from tests.torch_oracle import agrees, close

pytestmark = pytest.mark.filterwarnings("ignore")
EACH = pytest.mark.parametrize("name", REFUSED)
COUNT = 8  # samples


def samples_of(inputs: tuple[Tensor, ...]) -> list[Array]:
    """Around the inputs' own values; whole numbers as they are."""
    rng = np.random.default_rng(0)
    arrays = [x.numpy() for x in inputs]
    return [
        np.repeat(x[None], COUNT, 0)
        if x.dtype.kind != "f" or (x == np.rint(x)).all()
        else np.float32(x * rng.uniform(0.9, 1.1, (COUNT, *x.shape)))
        for x in arrays
    ]


def sqnr_db(graph: Graph, inputs: tuple[Tensor, ...]) -> float:
    samples = dict(zip(graph.inputs, samples_of(inputs), strict=True))
    network = quantize_graph(graph, calibrate(graph, samples, Observer(), "drawn"))
    return measure(network, samples).total_db or 0.0


@EACH
def test_a_network_is_refused_with_advice(name: str) -> None:
    case = REFUSED[name]
    program = torch.export.export(case.network, case.inputs)
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert caught.value.code == case.code
    assert case.advice in "\n".join(caught.value.notice.tries)


@EACH
def test_who_follows_the_advice_has_a_network_that_is_imported(name: str) -> None:
    case = REFUSED[name]
    with torch.no_grad():
        found = case.followed(*case.given)
        if case.same:
            wanted = case.network(*case.inputs)
            close(found.float().numpy(), wanted.float().numpy(), 1e-4)
    graph = agrees(case.followed, *case.given, tolerance=1e-4)
    assert sqnr_db(graph, case.given) > case.least_db
