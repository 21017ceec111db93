# SPDX-License-Identifier: Apache-2.0
"""Accuracy by class: counts by hand, Wilson's interval by its own equation; which axis of an output
has classes and which has frames."""

from __future__ import annotations

import tomllib
from itertools import product
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.numerics.arrays import Array
from myoedge.quantization.evaluation import Evaluation
from myoedge.reports import evaluation_lines, fidelity
from myoedge.reports.evaluations import by_class, wilson
from tests.conftest import save_exported

LABELS = np.array([0, 0, 0, 0, 2, 2, 1])
FLOAT = np.array([0, 0, 0, 2, 2, 2, 1])
INT8 = np.array([0, 0, 2, 2, 2, 1, 1])


def test_classes_counted_by_hand() -> None:
    judged = Evaluation(LABELS, FLOAT, INT8)
    assert judged.accuracies == {"float": 6 / 7, "int8": 4 / 7}
    found = by_class(judged)
    assert (found["samples"], found["right_float"], found["right_int8"]) == (7, 6, 4)
    assert [
        (r["class"], r["samples"], r["right_float"], r["right_int8"]) for r in found["rows"]
    ] == [
        (0, 4, 3, 2),
        (1, 1, 1, 1),
        (2, 2, 2, 1),
    ]
    assert found["confusion"] == {
        "float": [[3, 0, 1], [0, 1, 0], [0, 0, 2]],
        "int8": [[2, 0, 2], [0, 1, 0], [0, 1, 1]],
    }
    assert evaluation_lines.most_confused(found, 0, "int8") == "2 (2 times)"
    assert evaluation_lines.most_confused(found, 2, "int8") == "1 (once)"
    assert evaluation_lines.most_confused(found, 1, "int8") == ""
    assert evaluation_lines.share(found["rows"][0], "int8") == "50.0 %"
    (first, *_) = evaluation_lines.matrix(found, "int8")
    assert [cell["percent"] for cell in first] == [50, 0, 50]
    assert [cell["look"] for cell in first] == ["right", "wrong", "wrong"]
    assert found["names"] == []


def test_classes_have_their_names_and_a_network_that_has_not_run_none() -> None:
    names = ("rest", "fist", "open", "wave")
    found = by_class(Evaluation(LABELS, None, INT8, names=names))
    assert found["names"] == [*names]
    assert [row["name"] for row in found["rows"]] == ["rest", "fist", "open"]
    assert (found["right_float"], found["interval_float"], found["right_int8"]) == (None, None, 4)
    assert [*found["confusion"]] == ["int8"]
    assert [len(row) for row in found["confusion"]["int8"]] == [4] * 4, "a class without labels"
    assert evaluation_lines.most_confused(found, 0, "int8") == "open (2 times)"
    assert evaluation_lines.share(found, "float") == ""


def test_many_classes_have_rows_and_no_matrix() -> None:
    found = by_class(Evaluation(np.array([0, 32]), np.array([0, 32]), np.array([0, 50_000])))
    assert found["confusion"] is None
    assert [row["right_int8"] for row in found["rows"]] == [1, 0]
    assert evaluation_lines.most_confused(found, 32, "int8") == ""


@pytest.mark.parametrize(("right", "total"), [*product((0, 1, 5), (5, 80)), (225, 225), (17, 20)])
def test_a_share_at_either_end_is_as_far_as_its_own_deviation_allows(
    right: int, total: int
) -> None:
    """Wilson's ends p solve |right / total - p| = 1.96 sqrt(p (1 - p) / total)."""
    low, high = wilson(right, total)
    assert 0.0 <= low <= right / total <= high <= 1.0
    for end in (low, high):
        allowed = 1.959964 * sqrt(end * (1 - end) / total)
        assert abs(right / total - end) == pytest.approx(allowed, abs=3e-5)


def test_nothing_is_known_of_no_samples() -> None:
    assert wilson(0, 0) == [0.0, 1.0]


def test_the_table_has_every_class_and_all() -> None:
    table = evaluation_lines.class_table(by_class(Evaluation(LABELS, FLOAT, INT8)), most=2)
    assert table.titles[:3] == ("class", "labels", "float")
    assert [row[0] for row in table.rows] == ["0", "1", "all"]
    assert table.rows[0][-1] == "2 (2 times)"
    assert all(len(row) == len(table.titles) for row in table.rows)


def test_remedies_are_observers_and_moves() -> None:
    choices = [{"remedy": "16 bits", "worst_db": 31.04, "more_cycles": 0.12, "kept": True}]
    q = {
        "calibration": {"observer": "minmax"},
        "observers_db": {"minmax": 24.0, "mse": 22.5},
        "choices": [{**choices[0], "int16_tensors": 2}],
    }
    assert fidelity.remedy_table(q).rows == (
        ("ranges by min-max", "24.0 dB", "", "yes"),
        ("ranges by least squares", "22.5 dB", "", "no"),
        ("16 bits for 2 tensors", "31.0 dB", "12.0 %", "yes"),
    )


# --- frames ---------------------------------------------------------------------------------------


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
