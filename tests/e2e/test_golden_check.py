# SPDX-License-Identifier: Apache-2.0
"""Every build, simulated or not, runs its golden sample by the C on the host: where integers
differ, it stops and leaves no folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building import finished_build
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.operators.conv import ne16 as conv_ne16
from myoedge.operators.conv import ne16_rows
from myoedge.operators.library import rows
from myoedge.operators.library.ne16_jobs import bit_planes
from tests.conftest import save_exported

CHECK = finished_build.check_golden  # taken before the fixture of conftest.py replaces it


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished_build, "check_golden", CHECK)


class Frames(nn.Module):
    """A causal convolution and a linear layer of each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 64, 3), nn.Linear(64, 256)  # not generated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(nn.functional.pad(x, (2, 0))).relu()
        return self.head(y.transpose(1, 2))  # type: ignore[no-any-return]


def built(folder: Path, config: str = "", **options: Any) -> myoedge.Build:
    torch.manual_seed(0)
    model = save_exported(Frames(), (torch.zeros(1, 2, 12),), folder / "model.pt2")
    calib = np.random.default_rng(0).normal(size=(4, 1, 2, 12)).astype(np.float32)
    (folder / "myoedge.toml").write_text(config)
    found = {"engine": "cores", "simulate": False, "config": folder / "myoedge.toml", **options}
    return myoedge.build(model, calib=calib, output=folder / "out", **found)


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "estimated": ("", {}),
    "a stream": ("[stream]\nframes = 2\n", {"stream": True}),
    "simulated": ("", {"simulate": True}),
    "an application": ("", {"app": "gap-sdk"}),
    "a stream in an application": ("[stream]\nframes = 2\n", {"stream": True, "app": "gap-sdk"}),
    "weights as a blob": ("", {"weights_blob": True, "prefix": "other"}),
    "a host": ("", {"target": "host"}),
}


@pytest.mark.parametrize(
    "form",
    [pytest.param(form, marks=[pytest.mark.slow] * (i > 1)) for i, form in enumerate(FORMS)],
)
def test_a_kernel_with_other_constants_than_the_reference_leaves_no_folder(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, options = FORMS[form]
    packed = rows.packed_weights

    def wrong(weight: Array) -> Array:
        return packed(weight ^ 16)

    monkeypatch.setattr(rows, "packed_weights", wrong)
    with pytest.raises(MyoedgeError) as raised:
        built(tmp_path, config, **options)
    assert (raised.value.code, raised.value.exit_code) == ("E401", 4)
    if not options.get("simulate"):  # the simulation is first, and compares outputs
        assert "head" in dict(raised.value.notice.facts)["layer"]
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    monkeypatch.setattr(finished_build, "check_golden", CHECK)
    build = built(tmp_path, config, **options)
    assert build.report["exact"]["host"] is True
    assert myoedge.validate(build).exact["host"]


def test_the_error_names_a_setting_that_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a layer on an accelerator; here the accelerator gets the bits of other weights."""
    for module in (ne16_rows, conv_ne16):
        monkeypatch.setattr(module, "bit_planes", lambda weight, *bits: bit_planes(-weight, *bits))
    with pytest.raises(MyoedgeError) as raised:
        built(tmp_path, engine="ne16")
    setting, *_ = raised.value.notice.tries
    assert setting == '[engine] "conv" = "cores"'
    table, line = setting.split(" ", 1)
    with pytest.raises(MyoedgeError) as raised:
        built(tmp_path, f"{table}\n{line}\n", engine="ne16")
    assert raised.value.notice.tries[0] == '[engine] "head" = "cores"'
    both = '"conv" = "cores"\n"head" = "cores"\n'
    assert built(tmp_path, f"[engine]\n{both}", engine="ne16").report["exact"]["host"]
