# SPDX-License-Identifier: Apache-2.0
"""Classes along one axis of an output and frames along another: which is which; the accuracy."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.numerics.arrays import Array
from tests.conftest import save_exported

NAMES = ("fist", "open", "pinch", "rest")
ROWS, WINDOWS = 20, 30
X = np.random.default_rng(0).normal(size=(ROWS * WINDOWS, 2)).astype(np.float32)


class Frames(nn.Module):
    """1x2x20 -> 1x4x20, or 1x4x10 by a stride of 2; with an argmax, the classes alone."""

    def __init__(self, stride: int = 1, decides: bool = False) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.decides = nn.Conv1d(2, 4, 3, stride=stride, padding=1), decides

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y.argmax(1) if self.decides else y


def exported(model: nn.Module, folder: Path) -> Path:
    return save_exported(model.eval(), (torch.zeros(1, 2, ROWS),), folder / "m.pt2")


def choices(stride: int = 1) -> Array:
    """Torch's class for every frame of every window, [windows, frames]."""
    windows = X.reshape(WINDOWS, ROWS, 2).transpose(0, 2, 1)
    with torch.inference_mode():
        return Frames(stride).eval()(torch.from_numpy(windows.copy())).argmax(1).numpy()


@pytest.mark.parametrize("decides", [False, True])
def test_a_recording_has_a_label_for_every_row(decides: bool, tmp_path: Path) -> None:
    """Classes may change within a window; every third label is another than torch's class."""
    label = choices().reshape(-1)
    right = np.arange(len(label)) % 3 > 0
    label = np.where(right, label, (label + 1) % 4)
    names = np.array(NAMES)[label]
    model = exported(Frames(decides=decides), tmp_path)
    calib = {"input": X, "label": names}
    found = myoedge.quantize(model, calib=calib, holdout=0).evaluation_rows()
    assert found["classes"]["samples"] == len(X)
    assert found["accuracy_float"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["classes"]["names"] == [*NAMES]


def test_a_test_set_of_rows_is_judged_by_the_c_too(tmp_path: Path) -> None:
    names = np.array(NAMES)[choices().reshape(-1)]
    lines = (f"{a},{b},{name}" for (a, b), name in zip(X.tolist(), names, strict=True))
    (tmp_path / "test.csv").write_text("\n".join(["e0,e1,label", *lines]))
    model, file = exported(Frames(), tmp_path), tmp_path / "test.csv"
    build = myoedge.build(model, calib=X, test=file, target="host", output=tmp_path / "out")
    assert build.report["quantization"]["accuracy_float"] == 1.0
    by_build = build.report["quantization"]["accuracy_int8"]
    myoedge.validate(build, test=file)
    assert build.report["quantization"]["accuracy_int8"] == by_build > 0.9


def test_fewer_frames_than_rows_need_the_names_of_all_classes(tmp_path: Path) -> None:
    """1x4x10: either axis may hold the classes, as far as two names tell."""
    model = exported(Frames(2), tmp_path)
    rows = np.repeat(np.array(NAMES[:2])[np.arange(WINDOWS) % 2], ROWS)
    calib = {"input": X, "label": rows}
    with pytest.raises(myoedge.MyoedgeError) as raised:
        myoedge.quantize(model, calib=calib)
    notice = raised.value.notice
    facts = dict(notice.facts)
    assert (notice.code, facts["needs"]) == ("E225", "names of 4 or 10 classes")
    assert facts["ambiguous"].startswith("the first output is 1x4x10")
    listed = tomllib.loads(notice.tries[0].removeprefix("[calib] "))["classes"]
    assert listed == [*NAMES[:2]], "the user adds the names of two more"
    settings = tmp_path / "myoedge.toml"
    settings.write_text(f"[calib]\nclasses = {[*NAMES]}\n")
    found = myoedge.quantize(model, calib=calib, holdout=0, config=settings).evaluation_rows()
    expected = np.mean(choices(2) == (np.arange(WINDOWS) % 2)[:, None])
    assert found["accuracy_float"] == pytest.approx(expected, abs=1e-6)
