# SPDX-License-Identifier: Apache-2.0
"""Accuracy by class: counts by hand, Wilson's interval by its own equation."""

from __future__ import annotations

from itertools import product
from math import sqrt

import numpy as np
import pytest

from myoedge.quantization.evaluation import Evaluation
from myoedge.reports import evaluation_lines, fidelity
from myoedge.reports.evaluations import by_class, wilson

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
