# SPDX-License-Identifier: Apache-2.0
"""gap_sdk/user/ is a person's own: a rebuild keeps it; all other files there are generated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported


def built(folder: Path, **options: str) -> Path:
    model = save_exported(torch.nn.Linear(4, 3), (torch.zeros(1, 4),), folder / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((8, 1, 4), np.float32)
    return myoedge.build(model, calib=calib, output=folder / "out", **options).folder  # type: ignore[arg-type]


@pytest.mark.parametrize("again", [{"app": "gap-sdk"}, {}], ids=["with app", "without"])
def test_a_rebuild_keeps_the_user_s_folder(tmp_path: Path, again: dict[str, str]) -> None:
    torch.manual_seed(0)
    user = built(tmp_path, app="gap-sdk") / "gap_sdk" / "user"
    assert {path.name for path in user.iterdir()} == {"user.cmake", "user.mk"}
    (user / "user.cmake").write_text("# edited")
    (user / "pins.c").write_text("int pins;")
    torch.manual_seed(1)
    folder = built(tmp_path, **again)
    assert (user / "user.cmake").read_text() == "# edited"
    assert (user / "pins.c").read_text() == "int pins;"
    assert myoedge.load_build(folder).report["model"]
    assert ("gap_sdk/app.c" in json.loads((folder / "manifest.json").read_text())["files"]) == bool(
        again
    )


def test_generated_files_are_not_the_user_s(tmp_path: Path) -> None:
    file = built(tmp_path, app="gap-sdk") / "gap_sdk" / "app.c"
    file.write_text("/* mine */")
    with pytest.raises(MyoedgeError, match="E221"):
        built(tmp_path, app="gap-sdk")
    assert file.read_text() == "/* mine */"
