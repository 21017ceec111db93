# SPDX-License-Identifier: Apache-2.0
"""Interpolation by any factor, up and down, against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from tests.torch_oracle import X1, X2, Case, agrees, case, module, seeded

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
