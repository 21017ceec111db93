# SPDX-License-Identifier: Apache-2.0
"""Test sets: labels of every form, accuracy and errors of samples that choose nothing."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge import MyoedgeError
from myoedge.extensions.sweeps import table
from myoedge.extensions.sweeps.results import regressions
from myoedge.extensions.sweeps.settings import Bounds
from myoedge.numerics.arrays import Array
from myoedge.reports.diff import Changes, compare
from myoedge.reports.evaluation_lines import card_facts
from myoedge.reports.evaluations import evaluation_rows
from myoedge.reports.fidelity import at_outputs
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.schemas import check

CLASSES, COUNT = 3, 48
NAMES = ("fist", "open", "rest")
RNG = np.random.default_rng(3)
CALIB = RNG.normal(size=(40, 1, 6)).astype(np.float32)
TEST = RNG.normal(size=(COUNT, 1, 6)).astype(np.float32)
LABELS = RNG.integers(0, CLASSES, COUNT)


def network(outputs: int = CLASSES, end: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, outputs), end or nn.Identity()).eval()


def outputs_of(model: nn.Module, x: Array) -> Array:
    with torch.inference_mode():
        return model(torch.from_numpy(x)).numpy()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return save_exported(network(), (torch.zeros(1, 1, 6),), folder / "m.pt2")


def rows_of(model: Path, label: Any, **options: Any) -> dict[str, Any]:
    quantized = myoedge.quantize(
        model, calib=CALIB, test={"input": TEST, "label": label}, **options
    )
    return quantized.evaluation_rows()


# --- classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label",
    [
        LABELS,
        LABELS.astype(float),
        np.array(NAMES)[LABELS],
        [NAMES[n].encode() for n in LABELS],
        np.array([NAMES[n] for n in LABELS], object),
        np.eye(CLASSES)[LABELS],
        np.eye(CLASSES, dtype=bool)[LABELS][:, None],
    ],
    ids=["numbers", "floats", "names", "bytes", "objects", "one-hot", "one-hot of frames"],
)
def test_labels_of_every_form_give_the_accuracy_of_torch(model: Path, label: Any) -> None:
    found = rows_of(model, label)
    right = outputs_of(network(), TEST).argmax(1) == LABELS
    assert found["accuracy_float"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["classes"]["right_float"] == right.sum()
    assert sum(map(sum, found["classes"]["confusion"]["int8"])) == COUNT
    assert found["accuracy_source"] == "test set"
    assert found["evaluated_on"]["data"] == "test"
    assert found["evaluated_on"]["samples"] == COUNT
    (told,) = dict(card_facts(found)).values()
    assert told.count("labels as classes") == (not found["classes"]["names"])


@pytest.mark.parametrize("columns", [2, 5])
def test_one_hot_rows_of_other_classes_are_refused(model: Path, columns: int) -> None:
    with pytest.raises(MyoedgeError) as raised:
        rows_of(model, np.eye(columns)[LABELS % columns])
    assert raised.value.code == "E225"
    facts = dict(raised.value.notice.facts)
    assert facts["needs"].startswith(f"{CLASSES} classes")
    assert facts["has"] == f"{columns} columns"


def test_names_that_cannot_be_printed_are_escaped(model: Path) -> None:
    names = np.array(["a\x1b[31m", "b\u202e", "c\n", "d"])[np.arange(COUNT) % 4]
    with pytest.raises(MyoedgeError) as raised:
        rows_of(model, names)
    assert raised.value.code == "E225"
    assert dict(raised.value.notice.facts)["has"] == "a\\x1b[31m, b\\u202e, c\\n, d"


@pytest.mark.parametrize("given", [[" Rest", "rest", "OPEN ", "open", "fist"], [*NAMES]])
def test_case_and_blanks_of_names_do_not_count(
    given: list[str], model: Path, tmp_path: Path
) -> None:
    """Oracle: torch, with the classes that the names stand for; unless each spelling is a class."""
    order = ("rest", "open", "fist")
    (tmp_path / "myoedge.toml").write_text(f"[calib]\nclasses = {json.dumps(order)}\n")
    picked = np.arange(COUNT) % len(given)
    classes = np.array([order.index(name.strip().lower()) for name in given])[picked]
    label = np.array(given)[picked]
    predicted = outputs_of(network(), TEST).argmax(1)
    found = rows_of(model, label, config=tmp_path / "myoedge.toml")
    assert found["accuracy_float"] == pytest.approx((predicted == classes).mean(), abs=1e-6)
    found = rows_of(model, label)  # without [calib] classes: sorted
    assert [name.lower() for name in found["classes"]["names"]] == sorted(order)
    assert found["accuracy_float"] == pytest.approx((predicted == 2 - classes).mean(), abs=1e-6)


def test_numbers_of_classes_may_be_their_names(model: Path, tmp_path: Path) -> None:
    """Classes that are counted from 1, or with gaps: by the line that the error gives."""
    label = np.array([1, 5, 9])[LABELS]
    with pytest.raises(MyoedgeError) as raised:
        rows_of(model, label)
    line = raised.value.notice.tries[0]
    assert line.startswith('[calib] classes = ["1", "5", "9"]')
    (tmp_path / "myoedge.toml").write_text(line.replace("[calib] ", "[calib]\n"))
    found = rows_of(model, label, config=tmp_path / "myoedge.toml")
    assert found["accuracy_float"] == rows_of(model, LABELS)["accuracy_float"]
    assert found["classes"]["names"] == ["1", "5", "9"]


def test_names_are_numbered_as_the_project_says(model: Path, tmp_path: Path) -> None:
    """Sorted names are the usual order; another one, and names without samples, are listed."""
    order = ("rest", "open", "fist")
    (tmp_path / "myoedge.toml").write_text(f"[calib]\nclasses = {json.dumps(order)}\n")
    label = np.array(NAMES)[LABELS]
    found = rows_of(model, label, config=tmp_path / "myoedge.toml")
    right = outputs_of(network(), TEST).argmax(1) == 2 - LABELS
    assert found["accuracy_float"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["classes"]["names"] == [*order]
    kept = LABELS != 1
    with pytest.raises(MyoedgeError) as raised:
        myoedge.quantize(model, calib=CALIB, test={"input": TEST[kept], "label": label[kept]})
    assert raised.value.code == "E225"
    assert raised.value.notice.tries[0].startswith('[calib] classes = ["fist", "rest"]  #')
    assert raised.value.notice.tries[0].endswith("and the name of 1 more"), "none is made up"
    names = {"input": CALIB, "label": np.array(NAMES)[np.arange(40) % 3]}  # those of --calib hold
    rest = {"input": TEST[kept], "label": label[kept]}
    few = myoedge.quantize(model, calib=names, test=rest)
    assert few.evaluation_rows()["classes"]["names"] == [*NAMES]


def test_a_sigmoid_says_class_1_from_a_half_on(tmp_path: Path) -> None:
    wake = network(1, nn.Sigmoid())
    file = save_exported(wake, (torch.zeros(1, 1, 6),), tmp_path / "m.pt2")
    label = LABELS % 2
    right = (outputs_of(wake, TEST)[:, 0] > 0.5) == label
    assert rows_of(file, label)["accuracy_float"] == pytest.approx(right.mean(), abs=1e-6)


# --- targets --------------------------------------------------------------------------------------


def by_formula(wanted: Array, given: Array) -> dict[str, Array]:
    """RMSE, MAE and R2 of each column, as scikit-learn defines them."""
    difference = given - wanted
    spread = ((wanted - wanted.mean(0)) ** 2).sum(0)
    return {
        "rmse": np.sqrt((difference**2).mean(0)),
        "mae": np.abs(difference).mean(0),
        "r2": 1 - (difference**2).sum(0) / spread,
    }


@pytest.mark.parametrize("outputs", [1, 3])
def test_errors_of_targets_are_those_of_the_formulas(outputs: int, tmp_path: Path) -> None:
    regression = network(outputs)
    file = save_exported(regression, (torch.zeros(1, 1, 6),), tmp_path / "m.pt2")
    exact = outputs_of(regression, TEST).astype(np.float64)
    wanted = exact + RNG.normal(size=exact.shape) * 0.3
    quantized = myoedge.quantize(
        file, calib=CALIB, test={"input": TEST, "label": wanted if outputs > 1 else wanted[:, 0]}
    )
    evaluation = quantized.evaluation
    assert evaluation is not None
    found = quantized.evaluation_rows()
    assert (found["accuracy_int8"], found["classes"]) == (None, None)
    rows = found["targets"]["rows"]
    assert [row["name"] for row in rows] == (
        ["output"] if outputs == 1 else [f"output[{i}]" for i in range(outputs)]
    )
    for network_name, given in (("float", exact), ("int8", evaluation.integer)):
        errors = by_formula(wanted, given)
        for error, values in errors.items():
            told = [row[f"{error}_{network_name}"] for row in rows]
            assert told == pytest.approx([*values], rel=1e-4)
        all_rows = found["targets"]["all"]
        assert all_rows[f"rmse_{network_name}"] == pytest.approx(
            np.sqrt(np.mean((given - wanted) ** 2)), rel=1e-4
        )
        assert all_rows[f"r2_{network_name}"] == pytest.approx(errors["r2"].mean(), rel=1e-4)
    assert rows[0]["rmse_int8"] != rows[0]["rmse_float"]
    assert quantized.outputs()[0]["agreement"] is None, "its largest number is no class"


def test_a_regression_tells_its_largest_error_in_the_unit_of_its_targets(tmp_path: Path) -> None:
    """The SQNR of a sample whose target is near zero is low, however small the error."""
    regression = network(1)
    file = save_exported(regression, (torch.zeros(1, 1, 6),), tmp_path / "m.pt2")
    calib = {"input": CALIB, "label": outputs_of(regression, CALIB)[:, 0]}
    quantized = myoedge.quantize(file, calib=calib, holdout=0)
    (row,) = quantized.outputs()
    samples = CALIB.reshape(-1, 1, 1, 6)
    real = np.array([outputs_of(regression, x).item() for x in samples])
    errors = np.abs(real - np.array([y[0].item() for y in quantized.fidelity.integer]))
    assert row["worst_error"] == pytest.approx(errors.max(), rel=1e-3)
    assert row["worst_error_sample"] == errors.argmax()
    text = at_outputs([row], (), len(CALIB))
    assert text == f"at the output, error at most {row['worst_error']:.4g} in {len(CALIB)} " + (
        f"measured samples (number {errors.argmax()})"
    )


def test_targets_of_several_outputs_and_of_one_value(tmp_path: Path) -> None:
    """All outputs behind one another, by name; a target that never changes has no R2."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.angles, self.force = nn.Linear(6, 2), nn.Linear(6, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"angles": self.angles(x[:, 0]), "force": self.force(x[:, 0])}

    file = save_exported(Two().eval(), (torch.zeros(1, 1, 6),), tmp_path / "m.pt2")
    wanted = RNG.normal(size=(COUNT, 3))
    wanted[:, 2] = 0.25
    targets = rows_of(file, wanted)["targets"]
    assert [row["name"] for row in targets["rows"]] == ["angles[0]", "angles[1]", "force"]
    assert targets["rows"][2]["r2_int8"] is None
    known = [row["r2_int8"] for row in targets["rows"][:2]]
    assert targets["all"]["r2_int8"] == pytest.approx(np.mean(known), rel=1e-4)
    whole = rows_of(file, np.rint(10 * wanted))["targets"]
    assert len(whole["rows"]) == 3, "whole numbers, more than the frames"


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (RNG.normal(size=COUNT), "names of 3 classes, or 3 targets per sample"),
        (RNG.normal(size=(COUNT, 2)), "3 targets"),
    ],
)
def test_labels_that_are_neither(model: Path, label: Array, told: str) -> None:
    with pytest.raises(MyoedgeError, match="E214") as raised:
        rows_of(model, label)
    assert told in str(raised.value.notice)
    with pytest.raises(MyoedgeError, match="E214") as raised:
        myoedge.quantize(model, calib=CALIB, test={"input": TEST, "label": label})
    assert raised.value.notice.tries, "labels cannot be left out of a test set"


@pytest.mark.parametrize(
    ("shape", "code"),
    [("y.T", "E218"), ("y.reshape(-1)", "E218"), ("y[:, 0]", "E214")],
    ids=["turned", "flat", "one column"],
)
def test_targets_of_another_shape_are_mended_by_the_line_given(
    model: Path, shape: str, code: str
) -> None:
    y = RNG.normal(size=(COUNT, 3))
    wanted = rows_of(model, y)["targets"]["all"]
    label = eval(shape, {"y": y})
    with pytest.raises(MyoedgeError, match=code) as raised:
        rows_of(model, label)
    columns = {f"y{n}": y[:, n] for n in range(3)}
    given: dict[str, Any] = {"np": np, "label": label, **columns}
    exec(raised.value.notice.tries[0], given)
    assert rows_of(model, given["label"])["targets"]["all"] == wanted


def test_targets_of_nan_name_their_first_sample(model: Path) -> None:
    label = RNG.normal(size=(COUNT, 3))
    label[[5, 9]] = np.nan
    with pytest.raises(MyoedgeError, match="E216") as raised:
        rows_of(model, label)
    facts = dict(raised.value.notice.facts)
    assert (facts["first in sample"], facts["samples"]) == ("5", f"2 of {COUNT}")


def test_names_of_classes_for_a_regression_are_refused_as_such(tmp_path: Path) -> None:
    file = save_exported(network(1), (torch.zeros(1, 1, 6),), tmp_path / "m.pt2")
    with pytest.raises(MyoedgeError, match="E214") as raised:
        rows_of(file, np.array(NAMES)[LABELS])
    facts = dict(raised.value.notice.facts)
    assert facts["needs"] == "1 target per sample"
    assert facts["has"] == "names: fist, open, rest"
    for column in (LABELS[:, None], LABELS[:, None, None] + 0.5):
        assert len(rows_of(file, column)["targets"]["rows"]) == 1


def test_labels_in_a_column_are_those_in_a_row(model: Path) -> None:
    wanted = rows_of(model, LABELS)
    for label in (LABELS[:, None], np.array(NAMES)[LABELS][:, None]):
        assert rows_of(model, label)["accuracy_float"] == wanted["accuracy_float"]


def test_names_in_bytes_need_not_be_utf8(model: Path) -> None:
    names = np.array([b"fist", b"\xff", b"rest"])
    assert rows_of(model, names[LABELS])["classes"]["names"] == ["\\xff", "fist", "rest"]


def test_errors_of_a_test_set_name_its_file_and_none_says_to_leave_labels_out(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of build and validate, of --test and [test], which needs labels."""
    monkeypatch.chdir(tmp_path)
    np.savez("calib.npz", input=CALIB)
    build = myoedge.build(model, calib="calib.npz", target="host", output="b")
    bad = {
        "E225": {"input": TEST, "label": np.where(np.arange(COUNT) % 7, LABELS, -1)},
        "E214": {"input": TEST, "label": RNG.normal(size=COUNT)},
        "E216": {"input": np.full_like(TEST, np.nan), "label": LABELS},
        "E213": {"input": TEST[..., :5], "label": LABELS},
        "E215": {"input": TEST[:0], "label": LABELS[:0]},
        "E211": {"input": TEST, "y": LABELS},
    }
    Path("myoedge.toml").write_text('[test]\ndata = "mine.npz"\n')
    for code, arrays in bad.items():
        np.savez("mine.npz", **arrays)
        of_file = (lambda: myoedge.quantize(model, calib="calib.npz"), "[test] of myoedge.toml")
        typed = (lambda: myoedge.validate(build, test="mine.npz"), "--test")
        for run, place in (of_file, typed):
            with pytest.raises(MyoedgeError) as raised:
                run()
            notice = raised.value.notice
            assert notice.code == code
            assert "mine.npz" in notice.title
            assert dict(notice.facts)["set in"] == place
            assert not any("calib.npz" in x or "leave out label" in x for x in notice.tries)
    Path("mine.npz").unlink()
    with pytest.raises(MyoedgeError, match="E210") as missing:
        myoedge.quantize(model, calib="calib.npz")
    assert 'np.savez("test.npz", input=windows, label=classes)' in missing.value.notice.tries[0]
    with pytest.raises(MyoedgeError, match="E248") as pair:
        myoedge.quantize(model, calib=CALIB, test=(TEST, LABELS))
    assert "calib" not in str(pair.value)
    assert pair.value.notice.tries[0] == "test={'input': windows, 'label': classes}"


@pytest.mark.parametrize("name", ["labels", "y", "target", "Classes"])
def test_labels_of_another_name_are_proposed(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", input=TEST, **{name: LABELS})
    for options, code in (
        ({"test": "mine.npz", "calib": CALIB}, "E211"),
        ({"calib": "mine.npz"}, "E212"),
    ):
        Path("myoedge.toml").unlink(missing_ok=True)
        with pytest.raises(MyoedgeError, match=code) as raised:
            myoedge.quantize(model, **options)
        table, line = raised.value.notice.tries[0].split(" ", 1)
        Path("myoedge.toml").write_text(f"{table}\n{line}\n")
        assert myoedge.quantize(model, **options).evaluation is not None


def test_a_window_of_a_recording_has_the_target_of_its_last_row(tmp_path: Path) -> None:
    regression = nn.Sequential(nn.Flatten(), nn.Linear(8, 1)).eval()
    file = save_exported(regression, (torch.zeros(1, 2, 4),), tmp_path / "m.pt2")
    rows, target = RNG.normal(size=(90, 2)).astype(np.float32), RNG.normal(size=90)
    found = myoedge.quantize(file, calib=rows, test={"emg": rows[:40], "label": target[:40]})
    evaluation = found.evaluation
    assert evaluation is not None
    assert evaluation.labels[:, 0].tolist() == target[3:40:4].tolist()


# --- what is said of it ---------------------------------------------------------------------------


def test_a_test_set_chooses_nothing(model: Path) -> None:
    alone = myoedge.quantize(model, calib=CALIB)
    other = myoedge.quantize(model, calib=CALIB, test={"input": 50 * TEST, "label": LABELS})
    assert other.network.digest == alone.network.digest
    assert other.fidelity.worst_db == alone.fidelity.worst_db
    assert alone.evaluation_rows() == evaluation_rows(None)


def test_labels_of_the_calibration_recording_are_told_to_be_known_before(model: Path) -> None:
    label = np.arange(40) % CLASSES
    found = myoedge.quantize(model, calib={"input": CALIB, "label": label})
    rows = found.evaluation_rows()
    assert rows["accuracy_source"] == "calibration recording; may be training data"
    of = rows["evaluated_on"]
    assert (of["data"], of["samples"]) == ("held-out", 8)
    assert of["source"] == "8 held out of 40 samples of the arrays given"
    shared = {"input": np.concatenate([TEST, CALIB[:5]]), "label": np.zeros(53, int)}
    doubtful = myoedge.quantize(model, calib=CALIB, test=shared)
    (warning,) = [w for w in doubtful.warnings if w.code == "W211"]
    assert dict(warning.facts)["found"] == "5 of 53 samples"


@pytest.mark.parametrize("unit", [1.0, 1000.0], ids=["calibration of training", "of another unit"])
def test_validate_warns_of_the_samples_that_a_build_warns_of(unit: float, tmp_path: Path) -> None:
    """The unit is that of the model's example input, not the calibration's."""
    real = (torch.from_numpy(7 * TEST[:1]),)
    file = save_exported(network(), real, tmp_path / "m.pt2")
    np.savez(
        tmp_path / "t.npz", input=np.concatenate([7e3 * TEST, 7 * CALIB[:5] * unit]), label=[0] * 53
    )
    np.savez(tmp_path / "same.npz", input=7 * TEST, label=LABELS)
    options = {"calib": 7 * CALIB * unit, "simulate": False, "output": tmp_path / "b"}
    build = myoedge.build(file, test=tmp_path / "t.npz", **options)
    given = {w.code: w for w in build.warnings}
    told = {w.code: w for w in myoedge.validate(build, test=tmp_path / "t.npz").warnings}
    assert {"W207", "W211"} <= told.keys() & given.keys()
    assert told["W211"] == given["W211"]
    assert dict(told["W211"].facts)["found"] == "5 of 53 samples"
    line = told["W207"].tries[1].partition("  ")[0].removeprefix("[calib] ")
    assert tomllib.loads(line) == {"scale": {"t.npz": 0.001}}
    assert len([w for w in build.warnings if w.code == "W207"]) == 1, "told once of both files"
    same = myoedge.validate(build, test=tmp_path / "same.npz").warnings
    assert not {"W207", "W211"} & {w.code for w in same}
    (only,) = myoedge.validate(build, input=7e3 * TEST).warnings
    assert [only.code, len(only.tries)] == ["W207", 1], "[calib] scale is not for --input"


def test_the_scale_of_calib_is_that_of_the_test_set_too(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "uv.npz", input=1000 * TEST, label=LABELS)
    toml = tmp_path / "myoedge.toml"
    right = rows_of(model, LABELS)["accuracy_float"]
    for scale, calib in (("0.001", 1000 * CALIB), ('{"uv.npz" = 0.001}', CALIB)):
        toml.write_text(f"[calib]\nscale = {scale}\n")
        options = {"test": tmp_path / "uv.npz", "config": toml}
        found = myoedge.quantize(model, calib=calib, **options).evaluation_rows()
        assert found["accuracy_float"] == right
        assert "times 0.001" in found["evaluated_on"]["source"]


def test_the_scale_that_a_warning_gives_is_the_one_that_mends(model: Path, tmp_path: Path) -> None:
    """Of a test set that is in the unit of training already; the lines there count too."""
    toml = tmp_path / "myoedge.toml"
    toml.write_text("[calib]\nscale = 0.001\n")
    np.savez(tmp_path / "t.npz", input=TEST, label=LABELS)
    options: dict[str, Any] = {"calib": 1000 * CALIB, "test": tmp_path / "t.npz", "config": toml}
    (warning,) = [w for w in myoedge.quantize(model, **options).warnings if w.code == "W207"]
    toml.write_text("[calib]\n" + warning.tries[1].removeprefix("[calib] ").partition("  ")[0])
    assert tomllib.loads(toml.read_text())["calib"]["scale"] == {"*": 0.001, "t.npz": 1}
    found = myoedge.quantize(model, **options)
    assert "W207" not in {w.code for w in found.warnings}
    right = rows_of(model, LABELS)["accuracy_float"]
    assert found.evaluation_rows()["accuracy_float"] == right


def test_a_test_set_needs_labels(model: Path) -> None:
    with pytest.raises(MyoedgeError, match="E211") as raised:
        myoedge.quantize(model, calib=CALIB, test=TEST)
    assert dict(raised.value.notice.facts)["set in"] == "--test"
    assert raised.value.notice.tries == ("test={'input': x, 'label': y}",)


@pytest.mark.parametrize("of_build", [False, True], ids=["quantize", "validate"])
def test_the_line_for_labels_works_as_it_stands(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_build: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    build = myoedge.build(model, calib=CALIB, simulate=False, output="b") if of_build else None

    def judged(test: str) -> Any:
        if build is None:
            return myoedge.quantize(model, calib=CALIB, test=test).evaluation_rows()
        return myoedge.validate(build, test=test).evaluation

    np.savez("test.npz", emg=TEST)
    with pytest.raises(MyoedgeError, match="E211") as raised:
        judged("test.npz")
    exec(raised.value.notice.tries[0], {"np": np, "x": TEST, "y": LABELS})
    known = judged("test.npz")["accuracy_int8"]
    Path("myoedge.toml").write_text('[test]\nlabel = "gesture"\n')
    with pytest.raises(MyoedgeError, match="E211") as raised:
        judged("test.npz")
    assert dict(raised.value.notice.facts)["set in"].endswith("[test] of myoedge.toml")
    table, _, line = raised.value.notice.tries[0].partition(" ")
    Path("myoedge.toml").write_text(f"{table}\n{line}\n")
    assert judged("test.npz")["accuracy_int8"] == known


def test_headline_and_page_have_the_test_set(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = np.array(["<fist>", "open", "rest"])
    np.savez("calib.npz", input=CALIB, label=names[np.arange(40) % 3])
    np.savez("test.npz", input=TEST, label=names[LABELS])
    Path("myoedge.toml").write_text('[test]\ndata = "test.npz"\n')
    build = ("build", model, "--calib", "calib.npz", "--no-simulate")
    ran = command(*build, "-o", "of-toml", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert f"test set: {COUNT} samples of test.npz" in ran.out
    text = " ".join(ran.out.split())
    assert " dB in the worst of 8 measured samples (number " in text
    assert text.count("8 held-out samples") == 1, "of the SQNR"
    assert "label \\ int8" in ran.out
    assert "labels as classes" not in text, "they have names"
    report = json.loads(Path("of-toml/report.json").read_text())["quantization"]
    low, high = report["classes"]["interval_int8"]
    assert f"({100 * low:.1f} to {100 * high:.1f} %)" in ran.out
    page = Path("of-toml/report.html").read_text()
    assert "of the test set right" in page
    assert "&lt;fist&gt;" in page
    assert "<fist>" not in page.split('id="report"')[0]
    Path("myoedge.toml").unlink()
    without = command(*build, "-o", "without", cwd=tmp_path)
    assert "calibration recording; may be training data" in without.out
    typed = command(*build, "--test", "test.npz", "-o", "typed", cwd=tmp_path)
    assert typed.code == 0
    same = (Path(name, "report.json").read_bytes() for name in ("of-toml", "typed"))
    assert len({*same}) == 1


def test_verbs_on_a_build_tell_what_its_c_has_right(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the generated C, as by the reference at the build; the float network is not in a build."""
    monkeypatch.chdir(tmp_path)
    names = np.array(NAMES)
    np.savez("calib.npz", input=CALIB, label=names[np.arange(40) % 3])
    np.savez("test.npz", input=TEST, label=names[LABELS])
    np.savez("few.npz", input=TEST[:5], label=names[LABELS[:5]])
    tested = myoedge.build(model, calib="calib.npz", test="test.npz", output="tested")
    build = myoedge.build(model, calib="calib.npz", output="build")
    wanted = tested.report["quantization"]
    told = myoedge.validate(build, test="test.npz").evaluation
    assert told is not None
    assert (told["accuracy_float"], told["accuracy_int8"]) == (None, wanted["accuracy_int8"])
    assert told["classes"]["confusion"] == {"int8": wanted["classes"]["confusion"]["int8"]}
    assert build.report["quantization"]["accuracy_source"] == "test set"
    assert build.report["quantization"]["accuracy_float"] is None
    opening = (
        f"In int8 the network gets {100 * wanted['accuracy_int8']:.1f} % of the test set right. "
    )
    assert opening in (build.folder / "report.html").read_text()
    assert build.report["quantization"]["sqnr_db"] == wanted["sqnr_db"]
    assert check(build.report) == "myoedge.report/1"
    before = tested.report["quantization"]
    myoedge.validate(tested, test="test.npz")
    assert tested.report["quantization"] == before, "the same test set: floats stay"
    given = myoedge.validate(tested, input="few.npz").evaluation
    simulated = myoedge.simulate(tested, input="few.npz").evaluation
    assert given == simulated
    assert given is not None
    assert given["accuracy_source"] == "samples given; may be training data"
    right = outputs_of(network(), TEST[:5]).argmax(1) == LABELS[:5]
    assert given["accuracy_int8"] == right.mean(), "far from ties"
    assert tested.report["quantization"] == before
    assert myoedge.validate(tested).evaluation is None
    for bad in (TEST, {"input": TEST, "label": np.full(COUNT, 7)}):
        with pytest.raises(MyoedgeError, match=r"E211|E225"):
            myoedge.validate(tested, test=bad)
    for verb in (("validate", "tested", "--test", "test.npz"), ("simulate", "tested", "--input")):
        words = verb if verb[0] == "validate" else (*verb, "few.npz")
        ran = command(*words, "--json", cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert check(ran.json)
        assert "accuracy: int8 " in command(*words, cwd=tmp_path).out


def test_validate_keeps_the_float_result_of_the_same_samples(model: Path, tmp_path: Path) -> None:
    """By what they hold, not by the name of the file; else it says that there is none."""
    same = {"input": TEST, "label": LABELS}
    build = myoedge.build(model, calib=CALIB, test=same, output=tmp_path / "b")
    before = build.report["quantization"]
    np.savez(tmp_path / "same.npz", emg=TEST, label=LABELS.astype(np.int8))
    myoedge.validate(build, test=tmp_path / "same.npz")
    after = build.report["quantization"]
    assert after["evaluated_on"]["source"] == f"{COUNT} samples of same.npz"
    assert after["classes"] == before["classes"]
    assert after["accuracy_float"] == before["accuracy_float"] is not None
    np.savez(tmp_path / "same.npz", emg=1.0001 * TEST, label=LABELS)  # decided alike
    told = command("validate", build.folder, "--test", tmp_path / "same.npz", cwd=tmp_path).out
    assert "float not measured: a build holds integers only; build --test measures both" in told
    other = build.report["quantization"]
    assert other["accuracy_int8"] == before["accuracy_int8"]
    assert (other["accuracy_float"], other["classes"]["right_float"]) == (None, None)
    named = np.array([f"gesture {n}" for n in range(CLASSES)])[LABELS]
    for label in (named, LABELS):  # names of one file are none of the next one
        np.savez(tmp_path / "names.npz", emg=TEST, label=label)
        myoedge.validate(build, test=tmp_path / "names.npz")
        names = build.report["quantization"]["classes"]["names"]
        assert names == (sorted({*named}) if label is named else [])


# --- comparisons and sweeps -----------------------------------------------------------------------


def test_a_comparison_has_intervals_errors_and_both_matrices(model: Path, tmp_path: Path) -> None:
    """Accuracies of other kinds of samples are neither better nor worse."""
    label = np.arange(40) % CLASSES
    given: dict[str, dict[str, Any]] = {
        "known": {"calib": {"input": CALIB, "label": label}},
        "test": {"calib": CALIB, "test": {"input": TEST, "label": LABELS}},
        "worse": {"calib": CALIB, "test": {"input": TEST, "label": (LABELS + 1) % CLASSES}},
    }
    builds = {
        name: myoedge.build(model, **options, simulate=False, output=tmp_path / name)
        for name, options in given.items()
    }
    changes = myoedge.report(builds["worse"], against=builds["test"], html=tmp_path / "c.html")
    found = {change.fact.key: change for change in changes if not change.where}
    assert "quantization.classes.interval_int8" in found
    accuracy = found["quantization.accuracy_int8"]
    assert accuracy.is_better is ((accuracy.delta or 0) > 0)
    assert (tmp_path / "c.html").read_text().count('<table class="confusion"') == 2
    other = myoedge.report(builds["test"], against=builds["known"])
    judged = [c for c in other if c.fact.key.startswith("quantization.accuracy")]
    assert {change.is_better for change in judged} == {None}
    assert other.verdict.has_other_labels
    assert str(other.verdict).endswith("accuracies are not of the same samples, and not compared")
    assert "accuracy, SQNR" not in str(other.verdict)
    report = builds["test"].report
    for source in ("calibration recording", None):  # the accuracies are equal, or one is missing
        equal = {**report, "quantization": {**report["quantization"], "accuracy_source": source}}
        assert Changes(compare(equal, report)).verdict.has_other_labels
    told = command("report", "worse", "--against", "test", "--json", cwd=tmp_path)
    assert check(told.json)


@pytest.mark.slow
def test_a_sweep_has_test_sets(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "calib.npz", input=CALIB, label=np.arange(40) % CLASSES)
    np.savez(tmp_path / "test.npz", input=TEST, label=LABELS)
    head = f'target = "host"\nsimulate = false\n[[model]]\npath = "{model}"\ncalib = "calib.npz"\n'
    text = f'{head}test = "test.npz"\n[[model]]\npath = "{model}"\nname = "known"\n'
    (tmp_path / "sweep.toml").write_text(f'{text}calib = "calib.npz"\n')
    swept = myoedge.sweep(tmp_path / "sweep.toml", output=tmp_path / "out", jobs=1)
    tested, known = swept.results
    assert tested["status"] == known["status"] == "ok", swept.results
    assert tested["accuracy_int8"] == rows_of(model, LABELS)["accuracy_int8"]
    low, high = rows_of(model, LABELS)["classes"]["interval_int8"]
    assert (tested["accuracy_low"], tested["accuracy_high"]) == (low, high)
    assert (tested["evaluated_on"], known["evaluated_on"]) == ("test", "held-out")
    shown = [table.figures(row)["accuracy"] for row in swept.results]
    assert shown == [
        f"{100 * tested['accuracy_int8']:.1f} %",
        f"{100 * known['accuracy_int8']:.1f} %*",
    ]
    assert "*: calibration recording; may be training data" in table.said(swept.results)
    before = {**tested, "accuracy_int8": tested["accuracy_int8"] + 0.02}
    (worse,) = regressions([before, {**known, "evaluated_on": "test"}], swept.results, Bounds())
    assert worse.what == "accuracy_int8", "of other samples it is not compared"
    np.savez(tmp_path / "test.npz", input=TEST, label=(LABELS + 1) % CLASSES)
    again = myoedge.sweep(tmp_path / "sweep.toml", output=tmp_path / "out", jobs=1)
    assert again.computed == 1, "the one of the other test set"
