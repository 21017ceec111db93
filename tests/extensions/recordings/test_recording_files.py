# SPDX-License-Identifier: Apache-2.0
"""Files of samples that do not go together, or whose columns would move: refused, not misread."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from myoedge.building.config import from_tables
from myoedge.errors import MyoedgeError
from myoedge.quantization.recordings.files import read_file
from myoedge.quantization.recordings.reading import Reading
from myoedge.quantization.recordings.sources import read

ROWS = np.random.default_rng(0).normal(size=(30, 2)).round(4)
LINES = "\n".join(f"{a},{b}" for a, b in ROWS)


def refused(given: Path, code: str, *words: str) -> None:
    with pytest.raises(MyoedgeError) as caught:
        read(given)
    assert caught.value.code == code, caught.value
    for word in words:
        assert word in str(caught.value), caught.value


def test_columns_of_another_order_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"left,right\n{LINES}")
    (tmp_path / "b.csv").write_text(f"right,left\n{LINES}")
    refused(tmp_path, "E246", "left, right", 'columns = ["left", "right"]')
    (x,) = read(tmp_path, Reading(columns=("left", "right"))).inputs.values()
    assert np.array_equal(x, np.concatenate([ROWS, ROWS[:, ::-1]]))


def test_remedies_for_other_columns_read_signals_alone(tmp_path: Path) -> None:
    """By place a column of labels in front would be one of them."""
    labelled = "\n".join(f"{i % 4},{line}" for i, line in enumerate(LINES.splitlines()))
    for names, lines in (("left,right", LINES), ("label,left,right", labelled)):
        (tmp_path / "a.csv").write_text(f"{names}\n{lines}")
        (tmp_path / "b.csv").write_text(f"{names.replace('left', 'first')}\n{lines}")
        with pytest.raises(MyoedgeError) as caught:
            read(tmp_path)
        tried = [x for x in caught.value.notice.tries if x.startswith("[calib] ")]
        assert len(tried) == (names == "left,right")
        for text in tried:
            settings = from_tables(tomllib.loads(text.replace("[calib] ", "[calib]\n")), "t.toml")
            (x,) = read(tmp_path, settings.calib.reading).inputs.values()
            assert np.array_equal(x, np.concatenate([ROWS, ROWS]))


@pytest.mark.parametrize(
    ("names", "line", "label"),
    [
        ("who,left,right,label", "me,{},1", "label"),
        ("left,right,label,", "{},1,", "label"),
        ('"a""b",left,right', "x,{}", 'a"b'),
        ("time,left,right,gesture", "{n}.5,{},fist", "gesture"),
    ],
)
def test_texts_and_times_are_no_signals(names: str, line: str, label: str, tmp_path: Path) -> None:
    rows = [line.replace("{n}", str(n)).format(row) for n, row in enumerate(LINES.splitlines())]
    (tmp_path / "r.csv").write_text("\n".join([names, *rows]))
    content = read_file(tmp_path / "r.csv", Reading())
    assert content.label == label
    assert content.columns == ("left", "right")
    assert np.array_equal(content.arrays["input"], ROWS)


def test_a_remedy_leaves_out_a_column_with_a_wrong_field(tmp_path: Path) -> None:
    """Oracle: the remedy, as it is typed, reads the signals."""
    lines = [f"{n},{line},1" for n, line in enumerate(LINES.splitlines())]
    lines[7] = lines[7].replace("7,", "loose,", 1)
    (tmp_path / "r.csv").write_text("\n".join(["strap,left,right,label", *lines]))
    with pytest.raises(MyoedgeError, match="line 9, column strap is no number: 'loose'") as caught:
        read(tmp_path / "r.csv")
    (typed,) = [x for x in caught.value.notice.tries if x.startswith("[calib] ")]
    settings = from_tables(tomllib.loads(typed.replace("[calib] ", "[calib]\n")), "t.toml")
    (x,) = read(tmp_path / "r.csv", settings.calib.reading).inputs.values()
    assert np.array_equal(x, ROWS)


def test_labels_of_a_text_file_may_be_names_of_classes(tmp_path: Path) -> None:
    """By the name of the column, and by its number in a file without a line of names."""
    lines = [f'{line},"{"fist" if i % 2 else "open"}"' for i, line in enumerate(LINES.splitlines())]
    names = ["fist" if i % 2 else "open" for i in range(len(lines))]
    (tmp_path / "r.csv").write_text("\n".join(["left,right,label", *lines, ""]))
    (tmp_path / "n.csv").write_text("\n".join(lines))
    for found in (read(tmp_path / "r.csv"), read(tmp_path / "n.csv", Reading(label=2))):
        assert found.labels is not None
        assert found.labels.tolist() == names
        assert np.array_equal(found.inputs["input"], ROWS)
    (tmp_path / "r.csv").write_text("left,right,label\n1,2,fist\n3,4,\n")
    refused(tmp_path / "r.csv", "E216", "line 3, column label")
    (tmp_path / "r.csv").write_text("left,right,label\n1,2,fist\n3,4\n")
    refused(tmp_path / "r.csv", "E211", "line 3 has 2 columns")


@pytest.mark.parametrize("name", ["label", "gesture", "Class"])
def test_class_names_may_begin_with_numbers(name: str, tmp_path: Path) -> None:
    """Classes 1, 2, rest, of which the first rows have numbers only; oracle: the remedy, if there
    is one, reads them as it is typed."""
    rows, names = [f"{line},{{}}" for line in LINES.splitlines()] * 6, ["1", "2", "rest"]
    classes = [names[at * 3 // len(rows)] for at in range(len(rows))]
    lines = [row.format(c) for row, c in zip(rows, classes, strict=True)]
    (tmp_path / "r.csv").write_text("\n".join([f"left,right,{name}", *lines]))
    reading = Reading()
    if name != "label":
        with pytest.raises(MyoedgeError, match="'rest'") as caught:
            read(tmp_path / "r.csv")
        typed = caught.value.notice.tries[0].replace("[calib] ", "[calib]\n")
        reading = from_tables(tomllib.loads(typed), "t.toml").calib.reading
    found = read(tmp_path / "r.csv", reading)
    assert found.labels is not None
    assert found.labels.tolist() == classes
    assert np.array_equal(found.inputs["input"], np.tile(ROWS, (6, 1)))


@pytest.mark.parametrize("text", ["1,2\n3,4,5\n", "1\t2\n3\t4\t5\n", "1 2\n3  4 5\n", "1;2\n3;4;5"])
def test_a_line_with_more_columns(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(text)
    refused(tmp_path / "r.csv", "E211", "columns, the others")


@pytest.mark.parametrize("rows", [False, True])
def test_numbers_of_columns_are_names(rows: bool, tmp_path: Path) -> None:
    """A table of pandas, with its index or without."""
    lines = [f"{i},{line}" if rows else line for i, line in enumerate(LINES.splitlines())]
    (tmp_path / "r.csv").write_text("\n".join([",0,1" if rows else "0,1", *lines]))
    (x,) = read(tmp_path / "r.csv").inputs.values()
    assert np.array_equal(x[:, -2:], ROWS)


def test_labels_are_one_for_every_sample_of_their_file(tmp_path: Path) -> None:
    """Else those of the second file would be of other samples, though their sum is right."""
    np.savez(tmp_path / "a.npz", input=ROWS, label=np.zeros(31, int))
    np.savez(tmp_path / "b.npz", input=ROWS, label=np.zeros(29, int))
    refused(tmp_path, "E218", "a.npz", "30", "31", "label: ")
    np.savez(tmp_path / "a.npz", input=ROWS, label=np.zeros((30, 2), int))
    np.savez(tmp_path / "b.npz", input=ROWS, label=np.zeros(30, int))
    refused(tmp_path, "E246", "label [.., 2]")


def test_files_of_single_numbers_are_joined(tmp_path: Path) -> None:
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.float32(1))
    assert read(tmp_path).lengths == (1, 1)


@pytest.mark.parametrize("pattern", ["***", "**.npy", "[", "[!]"])
def test_any_pattern_is_a_pattern(pattern: str, tmp_path: Path) -> None:
    np.save(tmp_path / ".hidden.npy", ROWS)
    refused(tmp_path / pattern, "E210", "does not exist")
    np.save(tmp_path / "a.npy", ROWS)
    if pattern.startswith("*"):
        assert read(tmp_path / pattern).lengths == (30,)


@pytest.mark.parametrize("key", ["window", "hop"])
def test_lengths_beyond_all_recordings(key: str) -> None:
    with pytest.raises(MyoedgeError, match=f"calib.{key} must be 1 to"):
        from_tables({"calib": {key: 2**63}}, "myoedge.toml")
