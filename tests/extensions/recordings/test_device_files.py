# SPDX-License-Identifier: Apache-2.0
"""Files of recorders and of MATLAB: signals, labels and rates are those that were written."""

from __future__ import annotations

import struct
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.files import read_file
from myoedge.quantization.recordings.reading import Content, Reading
from myoedge.quantization.recordings.sources import read

REPOSITORY = Path(__file__).parents[3]
COUNTS = np.random.default_rng(0).integers(-2000, 2000, (400, 3))
CLASSES = np.repeat([0, 1], 200)


def content(path: Path, **settings: object) -> Content:
    return read_file(path, Reading(**settings))  # type: ignore[arg-type]


def rate(found: Content) -> float:
    (value,) = found.rates.values()
    return float(value)


def edf(counts: Array, labels: list[str], version: bytes, width_bytes: int) -> bytes:
    """A file by the specification of EDF, edfplus.info: physical values are half of the counts, in
    two records of a second."""
    signals, top = len(labels), 1 << 8 * width_bytes - 1
    fields = [
        *(x.ljust(16) for x in labels), *(" " * 80,) * signals, *("uV".ljust(8),) * signals,
        *(str(-top // 2).ljust(8),) * signals, *(f"{(top - 1) / 2:.1f}"[:8].ljust(8),) * signals,
        *(str(-top).ljust(8),) * signals, *(str(top - 1).ljust(8),) * signals,
        *(" " * 80,) * signals, *("200".ljust(8),) * signals, *(" " * 32,) * signals,
    ]  # fmt: skip
    header = version + b"X X X X".ljust(80) + b"Startdate X X X X".ljust(80) + b"01.01.2601.02.03"
    header += str(256 * (signals + 1)).encode().ljust(8) + b" " * 44
    header += b"2".ljust(8) + b"1".ljust(8) + str(signals).encode().ljust(4)
    records = [part.T.reshape(-1) for part in (counts[:200], counts[200:])]
    packed = (int(x).to_bytes(width_bytes, "little", signed=True) for r in records for x in r)
    return header + "".join(fields).encode() + b"".join(packed)


@pytest.mark.parametrize(
    ("name", "version", "width_bytes"),
    [("r.edf", b"0".ljust(8), 2), ("r.bdf", b"\xffBIOSEMI", 3)],
)
def test_edf_and_bdf(name: str, version: bytes, width_bytes: int, tmp_path: Path) -> None:
    labels = ["EMG L", "EMG R", "EMG 3"]
    (tmp_path / name).write_bytes(edf(COUNTS, labels, version, width_bytes))
    found = content(tmp_path / name)
    assert (found.columns, found.unit, rate(found)) == ((*labels,), "µV", 200.0)
    np.testing.assert_allclose(found.arrays["input"], COUNTS / 2, rtol=0, atol=0.51)
    chosen = content(tmp_path / name, columns=("emg r", 0))
    np.testing.assert_array_equal(chosen.arrays["input"], found.arrays["input"][:, [1, 0]])
    with pytest.raises(MyoedgeError, match="no array or column 'EMG 4'"):
        content(tmp_path / name, columns=("EMG 4",))


def chunk(tag: int, content: bytes) -> bytes:
    return b"\x04" + struct.pack("<I", 2 + len(content)) + struct.pack("<H", tag) + content


def test_xdf(tmp_path: Path) -> None:
    """A file by the specification of XDF: a stream of numbers, and one of markers."""
    names = "".join(f"<channel><label>C{i}</label></channel>" for i in range(3))
    desc = f"<desc><channels>{names}</channels></desc>"
    data = b"XDF:" + chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
    for number, (name, kind, count, rate_hz, more) in enumerate(
        [("Armband", "float32", 3, 200, desc), ("Events", "string", 1, 0, "<desc/>")], 1
    ):
        info = (
            f"<?xml version='1.0'?><info><name>{name}</name><type>EMG</type><channel_count>{count}"
            f"</channel_count><nominal_srate>{rate_hz}</nominal_srate><channel_format>{kind}"
            f"</channel_format><uid>{number}</uid>{more}</info>"
        )
        data += chunk(2, struct.pack("<I", number) + info.encode())
    rows = [struct.pack("<Bd3f", 8, i / 200, *row) for i, row in enumerate(COUNTS)]
    data += chunk(3, struct.pack("<IBI", 1, 4, len(rows)) + b"".join(rows))
    data += chunk(3, struct.pack("<IBBBdBB", 2, 1, 1, 8, 0.0, 1, 1) + b"x")
    (tmp_path / "r.xdf").write_bytes(data)
    found = content(tmp_path / "r.xdf")
    np.testing.assert_array_equal(found.arrays["Armband"], COUNTS)
    assert (found.columns, rate(found)) == (("C0", "C1", "C2"), 200.0)
    chosen = read(tmp_path / "r.xdf", Reading(columns=("C2",), array="Armband"))
    np.testing.assert_array_equal(chosen.inputs["input"], COUNTS[:, 2:])


def test_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = COUNTS
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file["session/emg"] = COUNTS
        file["session/emg"].attrs["sampling_rate"] = 200.0
        file["label"] = np.array([f"g{x}" for x in CLASSES], object)
        file["subject"] = 7
        file["outside"] = h5py.ExternalLink("other.h5", "/secret")
    found = content(tmp_path / "r.h5")
    assert {*found.arrays} == {"session/emg", "label"}
    np.testing.assert_array_equal(found.arrays["session/emg"], COUNTS)
    assert found.arrays["label"].tolist() == [f"g{x}" for x in CLASSES]
    assert rate(found) == 200.0
    with pytest.raises(MyoedgeError, match="1,000 bytes at most"):
        content(tmp_path / "r.h5", max_bytes=1000)
    table = np.rec.fromarrays([*COUNTS.T, CLASSES], names="a,b,c,label")
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["table"] = table
    np.save(tmp_path / "t.npy", table)
    for name in ("t.h5", "t.npy"):
        found = content(tmp_path / name)
        np.testing.assert_array_equal(found.arrays["input"], COUNTS)
        np.testing.assert_array_equal(found.arrays["label"], CLASSES)


def test_matlab_7_3(tmp_path: Path) -> None:
    """As MATLAB writes it: axes reversed, texts as uint16, cells as references."""
    with h5py.File(tmp_path / "r.mat", "w", userblock_size=512) as file:
        variables = {
            "emg": (COUNTS.T.astype(float), "double"),
            "fs": (np.full((1, 1), 200.0), "double"),
        }
        for name, (values, kind) in variables.items():
            file[name] = values
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
        cells = np.zeros((1, 400), h5py.ref_dtype)
        for i, class_number in enumerate(CLASSES):
            text = np.array([[ord(x)] for x in ("rest", "fist")[class_number]], np.uint16)
            cells[0, i] = file.create_dataset(f"#refs#/{i}", data=text).ref
        file.create_dataset("Label", data=cells, dtype=h5py.ref_dtype)
        file["Label"].attrs["MATLAB_class"] = np.bytes_("cell")
    with (tmp_path / "r.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    found = content(tmp_path / "r.mat")
    np.testing.assert_array_equal(found.arrays["emg"], COUNTS)
    assert found.arrays["Label"].tolist() == [("rest", "fist")[x] for x in CLASSES]
    assert rate(found) == 200.0


def test_single_numbers_of_a_file_are_no_samples(tmp_path: Path) -> None:
    """In MATLAB they have two axes; oracle: the same samples as without them."""
    more = {"fs": 2000, "subject": 3, "exercise": 1}
    savemat(tmp_path / "r.mat", {"emg": COUNTS, "Label": CLASSES, **more})
    np.savez(tmp_path / "r.npz", emg=COUNTS, Label=CLASSES, fs=[2000], subject=3)
    for name in ("r.mat", "r.npz"):
        data = read(tmp_path / name)
        np.testing.assert_array_equal(data.inputs["emg"], COUNTS)
        np.testing.assert_array_equal(data.labels, CLASSES)
        assert [*data.inputs] == ["emg"]
        assert rate(content(tmp_path / name)) == 2000.0


def test_structs_of_matlab_are_named(tmp_path: Path) -> None:
    savemat(tmp_path / "r.mat", {"trial": {"emg": COUNTS}})
    with pytest.raises(MyoedgeError, match="structs: trial") as caught:
        content(tmp_path / "r.mat")
    assert "emg = trial.emg;" in caught.value.notice.tries[0]


def test_cells_of_matlab_are_named(tmp_path: Path) -> None:
    cells = np.empty((1, 2), object)
    cells[0, :] = COUNTS, COUNTS
    savemat(tmp_path / "r.mat", {"trials": cells})
    with pytest.raises(MyoedgeError, match="cells: trials") as caught:
        content(tmp_path / "r.mat")
    assert "emg = trials{1};" in caught.value.notice.tries[0]
    assert not any("np." in text for text in caught.value.notice.tries)


@pytest.mark.parametrize(
    ("name", "data", "module"),
    [
        ("r.mat", b"MATLAB 5.0", "scipy.io"),
        ("r.wav", b"RIFF", "scipy.io.wavfile"),
        ("r.edf", b"0", "edfio"),
        ("r.h5", b"\x89HDF", "h5py"),
        ("r.xdf", b"XDF:", "pyxdf"),
    ],
)
def test_a_missing_library_is_named_with_its_command(
    name: str, data: bytes, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the extra as pyproject.toml declares it."""
    (tmp_path / name).write_bytes(data)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MyoedgeError) as caught:
        content(tmp_path / name)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (command,) = caught.value.notice.tries
    assert caught.value.code == "E501"
    assert all(row in command for row in project["optional-dependencies"]["recordings"])
    assert any(row.startswith("pandas") for row in project["dependencies"]), "CSV needs no extra"
