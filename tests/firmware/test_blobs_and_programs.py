# SPDX-License-Identifier: Apache-2.0
"""What a program knows of its network: it comes with the blob, or its layout is another one."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.building.config import Found, from_tables
from tests.conftest import save_exported
from tests.extensions.adaptation.test_adapting import CHANNELS, LENGTH, Network, samples
from tests.extensions.sensor.applications import ARMBAND
from tests.firmware.test_loading import check_slices
from tests.firmware.test_model_blob import LAYOUT, LOADED, blob_of, load


class TensorInfo(ctypes.Structure):
    """me_tensor_info of me_network_info.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_int32)),
        ("rank", ctypes.c_int32),
        ("size_bytes", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
        ("factors", ctypes.POINTER(ctypes.c_float)),
        ("offsets", ctypes.POINTER(ctypes.c_float)),
        ("factor_count", ctypes.c_int32),
        ("factor_axis", ctypes.c_int32),
    )


def built(folder: Path, seed: int, network: nn.Module, **options: Any) -> Build:
    """Network and samples of this seed; labels may have names."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    x, y = samples(48, seed)
    names = options.pop("names", None)
    np.savez(folder / "calib.npz", input=x, label=y if names is None else np.array(names)[y])
    model = save_exported(network.eval(), (torch.from_numpy(x[:1]),), folder / "model.pt2")
    options = {"prefix": "gesture", "weights_blob": True, "simulate": False, **options}
    return myoedge.build(model, calib=folder / "calib.npz", output=folder / str(seed), **options)


def normed(seed: int) -> nn.Module:
    """A norm of the network's channels, which the host applies."""
    norm, generator = nn.BatchNorm1d(CHANNELS), torch.Generator().manual_seed(seed)
    norm.running_mean.copy_(torch.randn(CHANNELS, generator=generator))
    norm.running_var.copy_(1 + torch.rand(CHANNELS, generator=generator))
    return nn.Sequential(norm, Network())


def differing(old: Build, new: Build) -> tuple[str, ...]:
    """Files with other code; there are some if and only if the blob does not suffice."""
    found = myoedge.diff(old, new)
    assert found.blob_suffices == (not found.differing)
    return found.differing


def test_factors_of_an_input_come_with_the_blob(tmp_path: Path) -> None:
    builds = [built(tmp_path, seed, normed(seed), checks=True) for seed in (0, 1)]
    first, second = builds
    assert differing(first, second) == ()
    pointers = (ctypes.c_void_p * 5).in_dll(first.library.handle, "gesture_info")
    port = TensorInfo.from_address(pointers[4] or 0)
    borders = [build.manifest["inputs"][0]["border"] for build in builds]
    assert borders[0]["scale"] != borders[1]["scale"]
    for build, border in zip((second, first), reversed(borders), strict=True):
        assert load(first, blob_of(build)) == LOADED
        assert (port.factor_count, port.factor_axis) == (CHANNELS, border["axis"]) == (CHANNELS, 1)
        np.testing.assert_allclose(port.factors[:CHANNELS], border["scale"], rtol=1e-7)
        np.testing.assert_allclose(port.offsets[:CHANNELS], border["offset"], rtol=1e-7)
        assert not any(first.library.handle.gesture_check(i) for i in check_slices(first))


class Passed(nn.Module):
    """A normed network that returns its normed input as well."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.network = normed(0)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.norm(x)
        return self.network(x), x


def test_an_output_that_is_an_input_has_no_factors(tmp_path: Path) -> None:
    build = built(tmp_path, 0, Passed(), checks=True)
    assert build.manifest["inputs"][0]["border"] is not None
    assert load(build, blob_of(build)) == LOADED


class TwoOutputs(nn.Module):
    """Two linear layers whose outputs have these names."""

    def __init__(self, *names: str):
        super().__init__()
        self.layers = nn.ModuleDict({name: nn.Linear(CHANNELS * LENGTH, 3) for name in names})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: layer(x.flatten(1)) for name, layer in self.layers.items()}


class Named(nn.Module):
    """nn.Flatten and nn.Linear, from lines of this file."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(CHANNELS * LENGTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.flatten(x, 1))


def test_layers_may_have_other_names(tmp_path: Path) -> None:
    """Names and lines of the user's program are in comments of the C."""
    networks = (nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * LENGTH, 3)), Named())
    builds = [built(tmp_path, seed, network) for seed, network in enumerate(networks)]
    texts = [build.written("src/network.c").decode() for build in builds]
    assert ["head (linear" in text for text in texts] == [False, True]
    assert myoedge.diff(*builds).blob_suffices
    assert load(builds[0], blob_of(builds[1])) == LOADED


def test_other_names_of_outputs_need_new_code(tmp_path: Path) -> None:
    """A program takes out[0] for what it was named."""
    orders = [("gesture", "force"), ("force", "gesture"), ("gesture", "force")]
    builds = [built(tmp_path, seed, TwoOutputs(*orders[seed])) for seed in range(3)]
    found = myoedge.diff(builds[0], builds[1])
    assert (found.blob_suffices, found.differing) == (False, ("src/gesture.h",))
    assert load(builds[0], blob_of(builds[1])) == LAYOUT
    assert myoedge.diff(builds[0], builds[2]).blob_suffices


def test_other_class_names_need_new_code(tmp_path: Path) -> None:
    """<PREFIX>_CLASS_NAMES is in the program, so that a class would get another's name."""
    names = [("fist", "open", "rest"), ("fist", "rest", "spread"), ("fist", "open", "rest")]
    builds = [built(tmp_path, seed, Network(), names=names[seed]) for seed in range(3)]
    assert differing(builds[0], builds[1]) == ("src/gesture.h",)
    assert load(builds[0], blob_of(builds[1])) == LAYOUT
    assert differing(builds[0], builds[2]) == ()


SENSOR = {"sensor": {**ARMBAND, "channels": CHANNELS, "hop": LENGTH}}
ADAPT = {"adapt": {"methods": ["lda", "head"], "replay": "240"}}


@pytest.mark.parametrize(
    ("app", "tables", "file"),
    [
        ("sensor", SENSOR, "src/firmware/sensor/sensor_network.h"),
        (None, ADAPT, "src/library/me_adapt_network.c"),
    ],
)
def test_a_program_with_numbers_of_its_model_takes_no_other(
    app: str | None, tables: dict[str, Any], file: str, tmp_path: Path
) -> None:
    config = Found(from_tables(tables, "myoedge.toml"), tmp_path)
    options = {"config": config} | ({} if app is None else {"app": app})
    builds = [built(tmp_path, seed, Network(), **options) for seed in (0, 1)]
    assert file in differing(*builds)
    assert load(builds[0], blob_of(builds[1])) == LAYOUT
    assert load(builds[0], blob_of(builds[0])) == LOADED
