# SPDX-License-Identifier: Apache-2.0
"""Drawn chains of layers whose results lie over what they have read, exact on host and in QEMU."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported
from tests.extensions.qemu.test_qemu import in_qemu

LAYERS = 7


def chain(rng: np.random.Generator) -> tuple[nn.Module, tuple[int, ...]]:
    """Convolutions (dense, depthwise, pointwise), pools and activations, and their input."""
    layers: list[nn.Module] = []
    c, size = int(rng.choice([1, 3, 8])), [int(rng.integers(9, 15)) for _ in range(2)]
    shape = (1, c, *size)
    for _ in range(LAYERS):
        kind = str(rng.choice(["dense", "dense", "depthwise", "pointwise", "pool", "table"]))
        k, stride = int(rng.choice([1, 2, 3])), int(rng.choice([1, 1, 2]))
        if min(size) < 5:
            stride = 1
        out = int(rng.choice([4, 6, 8, 12, 16, 20]))
        if kind == "dense":
            layers += [nn.Conv2d(c, out, k, stride, padding=k // 2), nn.ReLU()]
        elif kind == "depthwise":
            out, k = c, 3
            layers.append(nn.Conv2d(c, c, 3, stride, padding=1, groups=c))
        elif kind == "pointwise":
            k = stride = 1
            layers.append(nn.Conv2d(c, out, 1))
        elif kind == "pool":
            pool = nn.MaxPool2d if rng.integers(2) else nn.AvgPool2d
            out, k, stride = c, 3, 1
            layers.append(pool(3, 1, padding=1))
        else:
            out, k, stride = c, 1, 1
            layers.append(nn.Sigmoid() if rng.integers(2) else nn.Tanh())
        c, size = out, [(n + 2 * (k // 2) - k) // stride + 1 for n in size]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), shape


def overlaps(buffers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the buffers that are written over a part of one that is read."""
    return [
        y["name"]
        for x, y in itertools.permutations(buffers, 2)
        if x["first_step"] < x["last_step"] == y["first_step"]
        and x["offset"] < y["offset"] + y["size_bytes"]
        and y["offset"] < x["offset"] + x["size_bytes"]
    ]


@in_qemu
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m55"])
def test_a_drawn_chain_is_exact(target: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed, 77])
    torch.manual_seed(seed)
    module, shape = chain(rng)
    model = save_exported(module.eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    samples = rng.standard_normal((8, *shape), np.float32)
    build = myoedge.build(model, calib=samples, output=tmp_path / "out", target=target)
    plan = json.loads((build.folder / "plan.json").read_text())
    assert len(overlaps(plan["buffers"])) >= 2
    for backend in ("host", "qemu"):
        checked = myoedge.validate(build, on=backend)
        assert checked.exact[backend], checked.difference


@in_qemu
def test_slices_of_a_layer_lie_within_what_others_overlap(tmp_path: Path) -> None:
    """A linear layer in slices reads parts of a buffer in which another buffer starts."""
    model = nn.Sequential(nn.Tanh(), nn.Linear(26928, 7)).eval()
    archive = save_exported(model, (torch.zeros(1, 26928),), tmp_path / "model.pt2")
    samples = np.random.default_rng(0).standard_normal((3, 1, 26928), np.float32)
    build = myoedge.build(archive, calib=samples, output=tmp_path / "out", target="cortex-m4")
    checked = myoedge.validate(build, on="qemu")
    assert checked.exact["qemu"], checked.difference
