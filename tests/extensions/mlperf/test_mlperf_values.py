# SPDX-License-Identifier: Apache-2.0
"""--app mlperf: bytes become the integers of the reference; what a build refuses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.extensions.mlperf.application import Dataset
from myoedge.numerics.arrays import Array
from myoedge.system.library import Library, load_library
from tests.conftest import save_exported
from tests.extensions.mlperf.mlperf import (
    DATASETS,
    IMAGES_LAST,
    network_input,
    real_values,
    settings,
)
from tests.support.networks.small import Two


class Image(nn.Module):
    """Channels that are normalised by themselves, which the host does."""

    def __init__(self, *, reconstructs: bool) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1)
        self.norm.running_mean.copy_(torch.tensor([-20.0, 0.3, 60.0]))
        self.norm.running_var.copy_(torch.tensor([900.0, 4.0, 2500.0]))
        self.fc = nn.Identity() if reconstructs else nn.Sequential(nn.Flatten(), nn.Linear(60, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(self.norm(x)))


SHAPE = (1, 3, 4, 5)
IN_C = """#include "mlperf_network.h"
me_input_integer me_input0[60];
int8_t me_output0[60];
"""


def image_build(folder: Path, dataset: Dataset, *, reconstructs: bool = False) -> Build:
    torch.manual_seed(0)
    model = Image(reconstructs=reconstructs).eval()
    path = save_exported(model, (torch.zeros(SHAPE),), folder / "image.pt2")
    calib = np.random.default_rng(0).uniform(-60, 160, (8, *SHAPE)).astype(np.float32)
    told = {"app": "mlperf", "config": settings(dataset), "output": folder / "out"}
    return myoedge.build(path, calib=calib, **told)


def numbers_in_c(build: Build, folder: Path) -> Library:
    """mlperf_values.c on this machine."""
    folder.mkdir()
    for name in ("mlperf_values.c", "mlperf_values.h", "mlperf_network.c", "mlperf_network.h"):
        (folder / name).write_bytes(build.written(f"src/firmware/mlperf/{name}"))
    (folder / "ports.c").write_text(IN_C)
    library = load_library(folder)
    library.handle.me_result.restype = ctypes.c_int64
    return library


def taken(library: Library, data: bytes) -> Array:
    library.handle.me_take_values(data)
    return np.array((ctypes.c_int8 * 60).in_dll(library.handle, "me_input0"))


def near_limits(build: Build) -> Array:
    """Floats at and beside every change of an integer, and those that are apart."""
    rng = np.random.default_rng(1)
    q = build.network
    (name,) = q.graph.inputs
    border, params = q.graph.input_normalization[name], q.params[name]
    halves = (np.arange(-129, 129) + 0.5 - params.zero_point) * params.scale
    rows = [
        ((halves - o) / s).astype(np.float32)
        for s, o in zip(border.scale, border.offset, strict=True)
    ]
    at = np.stack(rows, -1)
    near = [np.nextafter(at, np.float32(way * np.inf)) for way in (-1, 1)]
    apart = np.array([0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3e38, -3e38, 1e-38], np.float32)
    drawn = rng.integers(0, 1 << 32, 600, np.uint32).view(np.float32)
    apart = np.concatenate([apart, drawn[~np.isnan(drawn)]])
    rows = [at, *near, np.repeat(apart[:, None], 3, 1)]
    return np.concatenate(rows)


def test_floats_become_the_integers_of_the_reference(tmp_path: Path) -> None:
    dataset = Dataset("ad01", "float32", axes=IMAGES_LAST)
    build = image_build(tmp_path, dataset)
    library, values = numbers_in_c(build, tmp_path / "c"), near_limits(build)
    pixels = np.resize(values, (-(-len(values) // 20) * 20, 3)).reshape(-1, 4, 5, 3)
    for image in pixels:
        data = image.astype(np.float32).tobytes()
        with np.errstate(all="ignore"):
            wanted = network_input(build, real_values(dataset, data, SHAPE))
        np.testing.assert_array_equal(taken(library, data), wanted.ravel())


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_bytes_become_the_integers_of_the_reference(kind: str, tmp_path: Path) -> None:
    dataset = Dataset("ic01", kind, 0.8, 9, IMAGES_LAST)  # type: ignore[arg-type]
    build = image_build(tmp_path, dataset)
    library = numbers_in_c(build, tmp_path / "c")
    for image in np.arange(3 * 320, dtype=np.uint32).astype(np.uint8).reshape(-1, 60):
        wanted = network_input(build, real_values(dataset, image.tobytes(), SHAPE))
        np.testing.assert_array_equal(taken(library, image.tobytes()), wanted.ravel())


@pytest.mark.parametrize(
    ("dataset", "draw"),
    [
        (Dataset("ic01", "int8", 0.8, 9, IMAGES_LAST), lambda rng: rng.bytes(60)),
        (
            Dataset("ad01", "float32", axes=IMAGES_LAST),
            lambda rng: rng.normal(0, 3, 60).astype(np.float32).tobytes(),
        ),
    ],
    ids=["bytes", "floats"],
)
def test_a_reconstruction_gives_its_mean_squared_error(
    dataset: Dataset, draw: Callable[[np.random.Generator], bytes], tmp_path: Path
) -> None:
    build, rng = image_build(tmp_path, dataset, reconstructs=True), np.random.default_rng(4)
    library = numbers_in_c(build, tmp_path / "c")
    (output,) = build.network.graph.outputs
    params, into = build.network.params[output], (ctypes.c_int8 * 60)
    for _ in range(50):
        data, q = draw(rng), rng.integers(-128, 128, 60)
        into.in_dll(library.handle, "me_output0")[:] = q.tolist()
        real = real_values(dataset, data, SHAPE).ravel()
        differences = (q - params.zero_point) * params.scale - real
        wanted = 1000 * np.mean(differences**2)
        assert abs(library.handle.me_result(0, data) - wanted) <= 0.5 + 1e-3


# ---- what a build refuses


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ('model = "ic03"', "E232"),
        ('input = "int16"', "E232"),
        ("scale = 0", "E232"),
        ('input = "uint8"\nzero_point = -1', "E232"),
        ('input = "int8"\nzero_point = 128', "E232"),
        ('input = "float32"\nscale = 0.5', "E232"),
        ('task = "ic01"', "E230"),
        ('model = "ic01"', "E232"),
        ('model = "ic01"\ninput = "uint8"\naxes = [0, 2]', "E232"),
    ],
)
def test_keys_of_the_table_are_checked(tmp_path: Path, table: str, code: str) -> None:
    (tmp_path / "myoedge.toml").write_text(f"[mlperf]\n{table}\n")
    path = save_exported(nn.Linear(4, 2).eval(), (torch.zeros(1, 4),), tmp_path / "m.pt2")
    told = {"app": "mlperf", "config": tmp_path / "myoedge.toml", "output": tmp_path / "out"}
    with pytest.raises(MyoedgeError, match=code):
        myoedge.build(path, calib="random", **told)


def refused(folder: Path, network: nn.Module, *shapes: tuple[int, ...], **options: object) -> str:
    torch.manual_seed(0)
    save_exported(network.eval(), tuple(torch.zeros(s) for s in shapes), folder / "m.pt2")
    told = {"app": "mlperf", "calib": "random", "output": folder / "out", **options}
    with pytest.raises(MyoedgeError) as caught:
        myoedge.build(folder / "m.pt2", config=settings(DATASETS["ic"]), **told)  # type: ignore[arg-type]
    return caught.value.code


def test_networks_that_do_not_fit_the_protocol_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, Two(), (1, 5), (1, 7)) == "E258"
    assert refused(tmp_path, nn.Conv1d(2, 2, 3), (1, 2, 9), stream=True) == "E258"
    assert refused(tmp_path, nn.Linear(4, 2), (1, 4), target="host") == "E204"
