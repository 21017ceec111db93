# SPDX-License-Identifier: Apache-2.0
"""The target that makes an image of the application: README.md, CMakeLists.txt and the printed
steps name the same one, for weights in L2, L3, MRAM, and for feature maps in L3."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from myoedge.extensions.gap_sdk.gvsoc import SDK_FOLDER, image_step
from tests.extensions.gap_sdk import sdk


def in_a_row(width: int) -> nn.Module:
    linear = (nn.Linear(width, count) for count in (width, width, 8))
    return nn.Sequential(*(part for layer in linear for part in (layer, nn.ReLU())))


def large_maps(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))


ROW, IMAGE = (1, 256), (1, 1, 128, 128)
MEMORIES = {  # network, shape of its input, L2, --memory; files of weights
    "L2": (in_a_row, ROW, "1MiB", None, []),
    "L2, MRAM allowed": (in_a_row, ROW, "1MiB", "mram=auto", []),
    "L3": (in_a_row, ROW, "64KiB", None, ["l3.bin"]),
    "L3 and MRAM": (in_a_row, (1, 512), "96KiB", "mram=auto", ["l3.bin", "mram.bin"]),
    "MRAM": (in_a_row, ROW, "128KiB", "mram=auto", ["mram.bin"]),
    "maps in L3": (large_maps, IMAGE, "60KiB", None, []),
}


@pytest.mark.parametrize("name", MEMORIES)
def test_all_texts_name_the_target_with_all_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, shape, l2, memory, files = MEMORIES[name]
    torch.manual_seed(0)
    build = sdk.made(tmp_path, network(shape[-1]), shape, l2=l2, memory=memory)
    assert sorted(path.name for path in build.folder.glob("*.bin")) == files
    assert bool(build.report["memory"]["l3_bytes"]) == ("L3" in name), "feature maps count, too"
    target = "image_with_l3" if files else "image"
    monkeypatch.setenv("GAP_SDK_HOME", "sdk")
    cmake, readme = (
        (build.folder / SDK_FOLDER / file).read_text() for file in ("CMakeLists.txt", "README.md")
    )
    told = "\n".join([cmake, readme, *image_step(build, {})])
    assert re.findall(r"--build \S+ --target (\w+)", told) == [target] * 3
    assert ("/l3.cmake" in cmake) == bool(files), "which has image_with_l3"
    for file in ("l3.bin", "mram.bin"):
        assert (f"../{file}@" in cmake, f"../{file}:" in readme) == ((file in files),) * 2
