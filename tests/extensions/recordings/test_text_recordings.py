# SPDX-License-Identifier: Apache-2.0
"""Text files as recorders and spreadsheets write them: read as they were written, or refused.

Oracle: the numbers from which the text was written.
"""

from __future__ import annotations

import gzip
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.files import read_file
from myoedge.quantization.recordings.reading import Reading

ROWS, RATE_HZ = 60, 200
GESTURES = np.repeat(["rest", "fist, closed", "Öffnen"], ROWS // 3)


@dataclass(frozen=True)
class Written:
    """How a drawn text file is written."""

    separator: str
    decimal: str
    thousands: str
    digits: int
    channels: int
    quotes: bool
    names: bool
    units: bool
    time: bool
    labels: bool
    trailing: bool
    preamble: tuple[str, ...]
    line_end: str
    encoding: str
    packed: bool
    seed: int


PREAMBLES = [
    (),
    ("# exported 12.3.2026",),
    ("%OpenBCI Raw EXG Data", "%Sample Rate = 200 Hz"),
    ("Subject: A1", "Date: 1.2.2026", ""),
    ("Recorder 4.1", "Gain: 24", "Sampling rate: 200 Hz", "", ""),
]
COMMAS = {(",", ","), (";", ","), ("\t", ","), (" ", ","), ("|", ",")}


@st.composite
def written(draw: st.DrawFn) -> Written:
    separator = draw(st.sampled_from([",", ";", "\t", "|", " "]))
    decimal = draw(st.sampled_from([".", ","]))
    quotes = separator == decimal or draw(st.booleans())
    groups = [x for x in ("", ",", ".", "'") if x != decimal and (quotes or x != separator)]
    return Written(
        separator,
        decimal,
        draw(st.sampled_from(groups)),
        draw(st.sampled_from([1, 2, 4, 6])),
        draw(st.integers(2, 5)),
        quotes,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        separator != " " and draw(st.booleans()),
        draw(st.sampled_from(PREAMBLES)),
        draw(st.sampled_from(["\n", "\r\n", "\r"])),
        draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])),
        draw(st.booleans()),
        draw(st.integers(0, 99)),
    )


def number(x: float, how: Written) -> str:
    shown = f"{x:,.{how.digits}f}".replace(",", "_").replace(".", how.decimal)
    return shown.replace("_", how.thousands)


def text_of(how: Written, signals: Array) -> str:
    """Write the text, field by field."""
    columns = [[number(x, how) for x in column] for column in signals.T]
    names = [f"EMG {i} µV" for i in range(how.channels)]
    units = ["µV"] * how.channels
    if how.time:
        times = np.arange(ROWS) / RATE_HZ
        columns.insert(0, [number(x, how) for x in times] if how.digits > 2 else _clock(times))
        names, units = ["Time", *names], ["s", *units]
    if how.labels:
        columns.append([*GESTURES])
        names, units = [*names, "Gesture"], [*units, ""]
    heading = [names, units] if how.units else [names]
    rows = [*(heading if how.names else []), *map(list, zip(*columns, strict=True))]
    is_quoted = how.quotes or how.separator == " "
    mark = '"' if is_quoted else ""
    lines = [how.separator.join(_field(x, mark, how) for x in row) for row in rows]
    lines = [line + how.separator * how.trailing for line in lines]
    return how.line_end.join([*how.preamble, *lines, ""])


def _clock(times: Array) -> list[str]:
    return [f"12:00:{x:06.3f}" for x in times]


def _field(text: str, mark: str, how: Written) -> str:
    mark = mark or ('"' if how.separator in text else "")
    return f"{mark}{text}{mark}"


@settings(max_examples=60, deadline=None)
@given(how=written())
def test_numbers_are_read_as_they_were_written(
    how: Written, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(how.seed)
    signals = np.round(rng.normal(size=(ROWS, how.channels)) * 4000, how.digits)
    data = text_of(how, signals).encode(how.encoding)
    path = tmp_path_factory.mktemp("text") / "r.csv"
    path.write_bytes(gzip.compress(data, mtime=0) if how.packed else data)
    content = read_file(path, Reading())
    np.testing.assert_array_equal(content.arrays["input"], signals)
    assert ("label" in content.arrays) == how.labels
    if how.labels:
        assert content.arrays["label"].tolist() == GESTURES.tolist()
    if how.names:
        assert content.columns == tuple(f"EMG {i} µV" for i in range(how.channels))
        assert content.unit == "µV"
        assert content.label == "Gesture" * how.labels
    told = "200" in "".join(how.preamble) or (how.time and how.digits > 2)
    assert {float(x) for x in content.rates.values()} == ({200.0} if told else set())


SIGNALS = np.round(np.random.default_rng(0).normal(size=(60, 4)) * 50, 3)


def commas(digits: int, separator: str = ",") -> str:
    rows = [[f"{x:.{digits}f}".replace(".", ",") for x in row] for row in SIGNALS]
    return "\n".join(map(separator.join, rows))


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("names", ["", "a,b,c,d\n"])
def test_commas_that_separate_and_are_decimal_signs_are_refused(
    names: str, digits: int, tmp_path: Path
) -> None:
    """Both remedies, as typed, read the numbers, be they meant as decimal or as whole ones."""
    (tmp_path / "r.csv").write_text(names + commas(digits))
    with pytest.raises(MyoedgeError, match="commas separate columns and may be") as caught:
        read_file(tmp_path / "r.csv", Reading())
    assert "names of all 8 columns" in caught.value.notice.tries[0]
    assert "semicolons" in caught.value.notice.tries[1]
    (tmp_path / "r.csv").write_text("a,b,c,d,e,f,g,h\n" + commas(digits))
    whole = np.array([line.split(",") for line in commas(digits).splitlines()], float)
    assert np.array_equal(read(tmp_path), whole)
    (tmp_path / "r.csv").write_text(commas(digits, ";"))
    assert np.array_equal(read(tmp_path), [[float(f"{x:.{digits}f}") for x in r] for r in SIGNALS])


@pytest.mark.parametrize("names", ["", "time,a,b,c,d,label\n"])
def test_commas_of_two_kinds_are_seen_next_to_labels(names: str, tmp_path: Path) -> None:
    labels = ["rest", "fist"] * 30
    lines = [f"0,{n:03d},{row},{labels[n]}" for n, row in enumerate(commas(3).splitlines())]
    (tmp_path / "r.csv").write_text(names + "\n".join(lines))
    with pytest.raises(MyoedgeError, match="commas separate columns and may be"):
        read(tmp_path)
    whole = ",".join(f"c{n}" for n in range(10))
    (tmp_path / "r.csv").write_text(f"{whole},label\n" + "\n".join(lines))
    content = read_file(tmp_path / "r.csv", Reading())
    assert content.arrays["label"].tolist() == labels


def test_pauses_and_jumps_back_do_not_change_the_rate(tmp_path: Path) -> None:
    """Three trials in a file: the second after a pause, the third with a clock that began again."""
    trial = np.arange(60) / 200
    times = np.concatenate([trial, trial + 30, trial])
    rows = [f"{t:.3f},{n % 7},{n % 5}" for n, t in enumerate(times)]
    for name in ("Time (s)", "timestamp"):
        (tmp_path / "r.csv").write_text("\n".join([f"{name},a,b", *rows]))
        content = read_file(tmp_path / "r.csv", Reading())
        assert (content.columns, content.aside) == (("a", "b"), (name,))
        assert float(content.settings["rate"]) == 200.0
    lines = [f"nan{row[5:]}" if row.startswith("0.010,") else row for row in rows]
    (tmp_path / "r.csv").write_text("\n".join(["time,a,b", *lines]))
    assert float(read_file(tmp_path / "r.csv", Reading()).settings["rate"]) == 200.0


def test_gzip_within_gzip_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(gzip.compress(commas(2, ";").encode()))
    (tmp_path / "r.csv").write_bytes(packed)
    with pytest.raises(MyoedgeError, match="gzip within gzip") as caught:
        read(tmp_path)
    subprocess.run(caught.value.notice.tries[0], shell=True, cwd=tmp_path, check=True)
    assert read_file(tmp_path / "once.csv.gz", Reading()).arrays["input"].shape == (60, 4)


def read(folder: Path) -> Array:
    return read_file(folder / "r.csv", Reading()).arrays["input"]


def test_one_column_of_decimal_commas_needs_its_name(tmp_path: Path) -> None:
    one = "\n".join(line.split(";")[0] for line in commas(2, ";").splitlines())
    (tmp_path / "r.csv").write_text(one)
    with pytest.raises(MyoedgeError, match="a first line with the names of all 2 columns"):
        read(tmp_path)
    (tmp_path / "r.csv").write_text("emg\n" + one)
    assert np.array_equal(read(tmp_path)[:, 0], [float(f"{x:.2f}") for x in SIGNALS[:, 0]])
    (tmp_path / "r.csv").write_text("a,b\n" + one)
    assert read(tmp_path).shape == (60, 2)


def test_a_row_that_is_cut_is_left_out_by_the_remedy(tmp_path: Path) -> None:
    for separator in ",;\t ":
        lines = [separator.join(map(str, row)) for row in SIGNALS]
        lines[59] = lines[59][:8]
        (tmp_path / "r.csv").write_text("\n".join(lines) + "\n")
        with pytest.raises(MyoedgeError, match="line 60 has ") as caught:
            read(tmp_path)
        (typed,) = caught.value.notice.tries
        subprocess.run(typed, shell=True, cwd=tmp_path, check=True)
        content = read_file(tmp_path / "whole.csv", Reading())
        assert np.array_equal(content.arrays["input"], SIGNALS[:59])


def test_several_columns_of_text_are_asked_for(tmp_path: Path) -> None:
    lines = [f"{n % 7},{n % 5},p{n % 3},g{n % 2}" for n in range(30)]
    (tmp_path / "r.csv").write_text("\n".join(["a,b,place,said", *lines]))
    with pytest.raises(MyoedgeError) as caught:
        read(tmp_path)
    assert caught.value.notice.tries == ('[calib] label = "place"', '[calib] label = "said"')
    content = read_file(tmp_path / "r.csv", Reading(label="Said "))
    assert content.arrays["Said "].tolist() == [f"g{n % 2}" for n in range(30)]
    assert (content.columns, content.aside) == (("a", "b"), ("place",))


def test_a_signal_that_rises_is_a_time_only_if_there_are_others(tmp_path: Path) -> None:
    ramp = np.arange(20) * 0.5
    np.savetxt(tmp_path / "r.csv", ramp)
    assert np.array_equal(read(tmp_path)[:, 0], ramp)
    both = np.column_stack([ramp, np.cos(ramp)])
    np.savetxt(tmp_path / "r.csv", both, delimiter=",")
    content = read_file(tmp_path / "r.csv", Reading())
    assert (content.columns, content.aside) == (("1",), ("0",))
    assert float(content.settings["rate"]) == 2.0
    chosen = read_file(tmp_path / "r.csv", Reading(columns=(0, 1)))
    assert np.array_equal(chosen.arrays["input"], both), "[calib] columns has the last word"


def test_numpys_line_of_names_is_a_comment(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "r.csv", SIGNALS, delimiter=",", header="a,b,c,d")
    assert read_file(tmp_path / "r.csv", Reading()).columns == ("a", "b", "c", "d")
