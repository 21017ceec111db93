# SPDX-License-Identifier: Apache-2.0
"""Interpolation by any factor, up and down, against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.frontend.torch.export import from_exported
from myoedge.operators.interpreter import run_float, run_int
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import quantized_inputs
from tests.support.networks.small import Function
from tests.support.oracles.torch import X1, X2, Case, agrees, case, module, seeded

LONG = seeded(2, 3, 40)
VOLUME = seeded(1, 2, 3, 4, 5)
MODES = {3: ("linear",), 4: ("bilinear", "bicubic"), 5: ("trilinear",)}


def resized(x: Tensor, mode: str, **options: Any) -> Case:
    label = "_".join(f"{key}{value}" for key, value in options.items())
    return case(f"{mode}_{x.dim()}_{label}", lambda x: F.interpolate(x, mode=mode, **options), x)


CASES = [
    *(
        resized(x, mode, align_corners=corners, **how)
        for x, sizes in ((LONG, (100, 13, 40, 1)), (X2, ((20, 5), (9, 30))), (VOLUME, ((5, 4, 9),)))
        for how in ({"scale_factor": 2}, {"scale_factor": 0.7}, *({"size": size} for size in sizes))
        for mode in MODES[x.dim()]
        for corners in (True, False)
    ),
    *(
        resized(x, mode, **how)
        for x in (LONG, X2, VOLUME)
        for how in ({"scale_factor": 2}, {"scale_factor": 1.7}, {"scale_factor": 0.37}, {"size": 7})
        for mode in ("nearest", "nearest-exact")
        if x is not VOLUME or how != {"scale_factor": 0.37}
    ),
    case("one_element", lambda x: F.interpolate(x[..., :1], size=5, mode="linear"), LONG),
    case(
        "recomputed_factor",
        lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True),
        X2,
    ),
    case(
        "between_convolutions",
        lambda net, x: net.d(F.interpolate(net.c(x), scale_factor=1.5, mode="bilinear").relu()),
        X2,
        c=nn.Conv2d(4, 6, 3),
        d=nn.Conv2d(6, 3, 3),
    ),
    module("Upsample", nn.Upsample(scale_factor=(1.5, 2), mode="bilinear"), X2),
    module("UpsamplingBilinear2d", nn.UpsamplingBilinear2d(scale_factor=2), X2),
    case("pick_many", lambda x: x[:, :, [9, 0, 7, 2, 4, 4, 4, 1, 3, 8, 5, 0]], X1),
]


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_interpolation_means_what_torch_says(one: Case) -> None:
    agrees(one.model, *one.inputs)


def test_nearest_indices_are_those_of_torch_s_float32() -> None:
    """Factors whose products round to whole numbers in float32, or just below them."""
    for n, wanted in ((3, 10), (7, 30), (49, 1470), (100, 333), (41, 123)):
        x = seeded(1, 1, n)
        graph = agrees(case("n", lambda x, m=wanted: F.interpolate(x, size=m), x).model, x)
        assert np.prod(graph.shape(graph.outputs[0])) == wanted


def test_what_lies_between_convolutions_stays_channels_last() -> None:
    one = next(one for one in CASES if one.name == "between_convolutions")
    ops = [node.op for node in agrees(one.model, *one.inputs).nodes]
    assert ops.count("transpose") == 2
    assert ops.count("resize") == 2
    assert "table" not in ops


SIZES = {"up": (100, False), "down": (20, False), "corners": (14, True), "twice": (80, False)}


def written_out(x: Tensor, size: int, *, corners: bool) -> Tensor:
    """a + (b - a) * share of picked neighbours, as torch's dynamo exporter writes it for ONNX."""
    n = x.shape[-1]
    step = (n - 1) / (size - 1) if corners else n / size
    place = torch.arange(size) * step + (0.0 if corners else 0.5 * step - 0.5)
    place = place.clamp(min=0.0)
    low = place.long().clamp(max=n - 1)
    rows = x.permute(2, 0, 1)
    first, second = (rows[at].permute(1, 2, 0) for at in (low, (low + 1).clamp(max=n - 1)))
    return first + (second - first) * (place - low)


@pytest.mark.parametrize("name", SIZES)
def test_interpolation_that_is_written_out_is_one_resize(name: str) -> None:
    size, corners = SIZES[name]
    network = Function(lambda x: written_out(torch.tanh(x), size, corners=corners)).eval()
    graph = prepare(from_exported(torch.export.export(network, (LONG,))))
    assert [node.op for node in graph.nodes] == ["table", "resize"]
    found = run_float(graph, {graph.inputs[0]: LONG.numpy()})[graph.outputs[0]]
    wanted = F.interpolate(torch.tanh(LONG), size=size, mode="linear", align_corners=corners)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_a_sum_of_elements_that_lie_apart_is_no_resize() -> None:
    def apart(x: Tensor) -> Tensor:
        first, second = (torch.tanh(x)[..., at] for at in ([0, 1, 5], [4, 2, 6]))
        return first + (second - first) * torch.tensor([0.1, 0.2, 0.3])

    graph = prepare(from_exported(torch.export.export(Function(apart).eval(), (LONG,))))
    assert "resize" not in [node.op for node in graph.nodes]
    found = run_float(graph, {graph.inputs[0]: LONG.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, apart(LONG).numpy(), atol=1e-6)


def test_resizing_reads_and_writes_16_bits() -> None:
    """Of a tensor that has them in front and behind: half a step of 8 bits would be 0.004."""
    network = Function(lambda x: F.interpolate(torch.exp(x), size=60, mode="linear")).eval()
    graph = prepare(from_exported(torch.export.export(network, (LONG,))))
    x = {graph.inputs[0]: LONG.numpy()}
    wide = frozenset(node.name for node in graph.nodes)
    ranges = calibrate(graph, {name: one[None] for name, one in x.items()}, Observer(), "here")
    q = quantize_graph(graph, ranges, int16=wide)
    kinds = [q.params[node.name].element_type.bits for node in graph.nodes]
    assert kinds == [16, 16]
    values = run_int(q.steps, q.constants, quantized_inputs(q, x))
    exp, resized_exp = (
        (values[node.name].astype(np.float64) - q.params[node.name].zero_point)
        * q.params[node.name].scale
        for node in graph.nodes
    )
    wanted = F.interpolate(torch.from_numpy(exp), size=60, mode="linear").numpy()
    error = np.abs(resized_exp - wanted).max()
    assert error <= 3 * q.params[graph.outputs[0]].scale
