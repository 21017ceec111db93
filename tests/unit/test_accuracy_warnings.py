# SPDX-License-Identifier: Apache-2.0
"""W209: accuracies no better than a guess, with what is likely wrong; none for sound ones."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building.quantized import Known
from myoedge.building.sample_conditions import unlike_labels
from myoedge.building.warning_rules import SCALES, are_of_scale
from myoedge.errors import Notice
from myoedge.extensions.sweeps.executors import work
from myoedge.extensions.sweeps.results import keep, kept, table_json
from myoedge.extensions.sweeps.settings import read_sweep
from myoedge.extensions.sweeps.table import best_in_budgets
from myoedge.extensions.sweeps.tasks import tasks
from myoedge.numerics.arrays import Array
from myoedge.quantization.evaluation import Evaluation, chance, find_label_permutation
from tests.conftest import save_exported
from tests.support.schemas import check
from tests.support.warning_rules import warnings_of

RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 4, 400)
GOOD = np.where(RNG.random(400) < 0.9, LABELS, RNG.integers(0, 4, 400))
GUESSED = RNG.integers(0, 4, 400)


def warned(real: Array, integer: Array | None = None, labels: Array = LABELS) -> list[Notice]:
    return told(Evaluation(labels, real, real if integer is None else integer))


def told(judged: Evaluation | None, **more: Any) -> list[Notice]:
    return warnings_of(unlike_labels, Known(evaluation=judged, **more))


@pytest.mark.parametrize(
    ("real", "integer", "likely", "tried"),
    [
        (np.array([3, 0, 1, 2])[GOOD], None, "labels are numbered otherwise", "[3, 0, 1, 2]"),
        (np.full(400, 2), None, "another scale", "scaling"),
        (GUESSED, None, "not trained", "load_state_dict"),
        (GOOD, GUESSED, "int8 loses", "--accurate"),
    ],
    ids=["renumbered", "one class", "untrained", "integers alone"],
)
def test_the_cause_that_choices_point_to(
    real: Array, integer: Array | None, likely: str, tried: str
) -> None:
    (warning,) = warned(real, integer)
    assert warning.code == "W209"
    assert likely in dict(warning.facts)["likely"]
    assert tried in warning.tries[0]


@pytest.mark.parametrize("seen", [0, 1])
def test_labels_of_nearly_one_class_are_the_cause(seen: int) -> None:
    """117 of 120 labels are one class; the network sees some of the other three."""
    labels = np.repeat([1, 0], [117, 3])
    (warning,) = warned(np.repeat([1, 0], [120 - seen, seen]), labels=labels)
    facts = dict(warning.facts)
    assert "labels do not show" in warning.title
    assert facts["likely"].startswith("117 of 120 labels are class 1: ")
    assert facts["likely"].endswith(" 97.5 %")
    assert "samples of each class" in warning.tries[0]


def test_one_class_of_many_labels_is_no_cause_of_low_accuracies() -> None:
    labels = np.repeat([1, 0], [117, 3])
    (warning,) = warned(np.arange(120) % 2, labels=labels)
    assert warning.title == "the accuracy is no better than chance"
    assert "labels" not in dict(warning.facts)["likely"]


SKEWED, OTHER = "choosing it always is right", "labels are numbered otherwise"
ALWAYS, WEAK = "is chosen nearly always", "weights are not trained"


@pytest.mark.parametrize(
    ("ones", "likely"),
    [
        (0, dict.fromkeys(("right", "swapped", "always 0", "always 1", "in turn"), SKEWED)),
        (1, dict.fromkeys(("right", "swapped", "always 0", "always 1", "in turn"), SKEWED)),
        (10, {"swapped": OTHER, "always 0": SKEWED, "always 1": ALWAYS, "in turn": WEAK}),
        (50, {"swapped": OTHER, "always 0": ALWAYS, "always 1": ALWAYS, "in turn": WEAK}),
        (100, {"swapped": OTHER, "always 0": ALWAYS, "always 1": ALWAYS, "in turn": WEAK}),
    ],
)
def test_causes_by_the_share_of_a_class_and_by_what_is_chosen(
    ones: int, likely: dict[str, str]
) -> None:
    """Of 200 labels. Up to one label of class 1, kappa is not significant even of right choices;
    labels in another order are likely only where the choices follow the labels."""
    labels = np.repeat([0, 1], [200 - ones, ones])
    always = np.zeros(200, int)
    chosen = {"right": labels, "swapped": 1 - labels, "always 0": always, "always 1": always + 1}
    for name, real in {**chosen, "in turn": np.arange(200) % 2}.items():
        causes = [dict(warning.facts)["likely"] for warning in warned(real, labels=labels)]
        assert [likely[name] in x for x in causes] == [True] * (name in likely), (name, causes)


def test_a_numbering_is_searched_only_where_labels_fit() -> None:
    real = np.array([3, 0, 1, 2])[GOOD]
    assert find_label_permutation(LABELS, GUESSED) is None
    assert find_label_permutation(LABELS[:19], real[:19]) is None, "five frames a class say little"


def test_another_scale_is_the_first_cause_if_a_warning_tells_of_one() -> None:
    codes = {code: are_of_scale([Notice(code, "of the same samples")]) for code in SCALES}
    assert codes == {"W111": True, "W207": True}
    assert not are_of_scale([Notice("W211", "of the same samples")])
    real = np.array([3, 0, 1, 2])[GOOD]
    (warning,) = told(Evaluation(LABELS, real, real), is_scaled=True)
    assert dict(warning.facts)["likely"] == "windows of another scale than in training"
    assert "scaling" in warning.tries[0]
    assert warning.tries[1].startswith("label=")


def test_a_remedy_that_is_in_use_is_not_advised() -> None:
    for labels, integer in ((LABELS, GUESSED), (GOOD * 1.0, GUESSED + 30.0)):
        judged = Evaluation(labels, GOOD if labels is LABELS else labels, integer)
        for accurate in (False, True):
            (warning,) = told(judged, accurate=accurate)
            assert any("--accurate" in line for line in warning.tries) is not accurate
            assert warning.tries


def test_labels_by_name_in_another_order_are_listed_in_the_networks_order() -> None:
    names = ("fist", "open", "pinch", "rest")  # sorted: rest is the network's class 0
    judged = Evaluation(LABELS, None, np.array([1, 2, 3, 0])[GOOD], names=names)
    (warning,) = told(judged)
    line = warning.tries[0].partition("#")[0].removeprefix("[calib] ")
    assert tomllib.loads(line)["classes"] == ["rest", "fist", "open", "pinch"]
    assert "int8" in dict(warning.facts)["found"]
    assert "float" not in dict(warning.facts)["found"]


def test_two_classes_that_changed_places_are_found_above_chance() -> None:
    swapped = np.array([3, 1, 2, 0])[GOOD]  # about half of the labels stay right
    (warning,) = warned(swapped, labels=LABELS)
    shares = [np.mean(swapped == LABELS), np.mean(np.array([3, 1, 2, 0])[LABELS] == swapped)]
    assert shares[0] > 0.4
    assert dict(warning.facts)["found"].startswith(
        f"{100 * shares[0]:.1f} %, {100 * shares[1]:.1f} % in another order"
    )
    assert warning.tries == ("label=np.array([3, 1, 2, 0])[label]",)


def test_targets_with_larger_errors_than_their_mean() -> None:
    targets = RNG.normal(size=(40, 2))
    (warning,) = warned(targets + 30.0, labels=targets)
    assert warning.code == "W209"
    r2 = 1.0 - np.sum(30.0**2 * np.ones_like(targets)) / np.sum((targets - targets.mean(0)) ** 2)
    assert f"R2 {r2:.3g}" in dict(warning.facts)["found"]
    assert warned(targets + 0.1, labels=targets) == []


def test_nothing_is_said_of_networks_that_know_something() -> None:
    some = np.random.default_rng(6).random(400) < 0.33
    third = np.where(some, LABELS, GUESSED)  # half of the labels, of a quarter
    rare = (np.arange(400) < 20).astype(int)
    nearly_always = np.where(np.arange(400) < 10, 1, 0)  # finds half of them
    for labels, real in ((LABELS, GOOD), (LABELS, third), (rare, nearly_always)):
        assert warned(real, labels=labels) == []
    wrong = (LABELS + 1) % 4
    assert [len(warned(wrong[:n], labels=LABELS[:n])) for n in (9, 10)] == [0, 1], "few"
    assert told(None) == []
    (warning,) = warned(np.zeros(400, int), labels=rare)
    assert "95.0 % (by chance 95.0 %)" in dict(warning.facts)["found"]


@pytest.mark.parametrize(("right", "is_told"), [(11, True), (13, False)])
def test_little_above_chance_is_told_of_few_frames_too(right: int, is_told: bool) -> None:
    """Of 40 frames two deviations are more than five, a margin of 5 % two."""
    labels = np.arange(40) % 4
    real = np.where(np.arange(40) < right, labels, (labels + 1) % 4)
    assert bool(warned(real, labels=labels)) is is_told


def test_chance_is_the_share_of_shuffled_labels() -> None:
    labels, real = LABELS % 3, np.minimum(LABELS, 2)
    rng = np.random.default_rng(7)
    shuffled = [np.mean(rng.permutation(labels) == real) for _ in range(2000)]
    assert chance(labels, real) == pytest.approx(np.mean(shuffled), abs=4 * 0.025 / 2000**0.5)


def test_a_build_of_labels_in_another_order_says_so(tmp_path: Path) -> None:
    x = np.random.default_rng(8).normal(size=(400, 4)).astype(np.float32)
    layer = nn.Linear(4, 4, bias=False)
    nn.init.eye_(layer.weight)
    model = save_exported(layer.eval(), (torch.zeros(1, 4),), tmp_path / "m.pt2")
    right = x.argmax(1)
    sound = myoedge.quantize(model, calib={"input": x, "label": right})
    assert "W209" not in [w.code for w in sound.warnings]
    other = np.array([1, 2, 3, 0])[right]
    found = myoedge.quantize(model, calib={"input": x, "label": other})
    (warning,) = [w for w in found.warnings if w.code == "W209"]
    assert "of 80 held-out labels" in dict(warning.facts)["found"]
    assert "[3, 0, 1, 2]" in warning.tries[0]


def test_a_result_of_a_sweep_has_the_warnings_of_its_build(tmp_path: Path) -> None:
    """Class names in another order than in training: W209, with a remedy for the sweep's file."""
    x = np.random.default_rng(8).normal(size=(400, 4)).astype(np.float32)
    layer = nn.Linear(4, 4, bias=False)
    nn.init.eye_(layer.weight)
    model = save_exported(layer.eval(), (torch.zeros(1, 4),), tmp_path / "m.pt2")
    names = np.array(["rest", "fist", "open", "pinch"])  # sorted: rest is the last
    np.savez(tmp_path / "calib.npz", input=x, label=names[x.argmax(1)])
    text = f'target = "host"\nsimulate = false\n[[model]]\npath = "{model}"\ncalib = "calib.npz"\n'
    (tmp_path / "sweep.toml").write_text(text)
    (task,) = tasks(read_sweep(tmp_path / "sweep.toml"), tmp_path)
    row = work(task)
    assert (row["status"], row["accuracy_int8"]) == ("ok", 0.0)
    built = myoedge.build(model, target="host", calib=tmp_path / "calib.npz", output=tmp_path / "b")
    assert [warning["code"] for warning in row["warnings"]] == [w.code for w in built.warnings]
    (line,) = [w["tries"][0] for w in row["warnings"] if w["code"] == "W209"]
    assert "myoedge.toml" not in line
    assert tomllib.loads(line.removeprefix("[[model]] "))["classes"] == [*names]
    keep(tmp_path, row)
    assert kept(tmp_path, task) == row
    assert check(json.loads(table_json([row])))
    assert best_in_budgets([{**row, "latency_s": 1.0}] * 2) == [False, False]
