# SPDX-License-Identifier: Apache-2.0
"""Samples from files: every format gives the arrays that were written; refusals say what to do."""

from __future__ import annotations

import struct
import wave
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat, wavfile

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.extension import ReaderHook
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization import samples
from myoedge.quantization.recordings import files
from myoedge.quantization.recordings.files import formats
from myoedge.quantization.recordings.reading import Reading
from myoedge.quantization.recordings.recorded import windowed
from myoedge.quantization.recordings.sources import read
from myoedge.quantization.recordings.windows import WindowLayout, layout, starts
from myoedge.quantization.samples import Data
from tests.support.each import each
from tests.support.networks.small import Small  # input [1, 2, 12]

ROWS = np.random.default_rng(0).normal(size=(60, 2)).round(4)
CLASSES = np.repeat([0, 1], [25, 35])


@pytest.fixture(scope="module")
def graph() -> Graph:
    from myoedge.frontend.torch.export import from_exported

    return from_exported(torch.export.export(Small().eval(), (torch.zeros(1, 2, 12),)))


def fitted(given: object, graph: Graph, reading: Reading | None = None) -> Data:
    reading = reading or Reading()
    return samples.fit(windowed(read(given, reading), graph, reading), graph)


def values(data: Data) -> Array:
    (x,) = data.inputs.values()
    return x


def expected(rows: Array, window: int = 12, hop: int = 12) -> Array:
    """Windows by a loop: [windows, 1, channels, rows]."""
    found = [rows[i : i + window].T[None] for i in range(0, len(rows) - window + 1, hop)]
    return np.stack(found).astype(np.float32)


def refused(given: object, graph: Graph, code: str, *words: str, **keys: object) -> None:
    with pytest.raises(MyoedgeError) as caught:
        fitted(given, graph, Reading(**keys))  # type: ignore[arg-type]
    assert caught.value.code == code, caught.value
    for word in words:
        assert word in str(caught.value), caught.value


def as_text(separator: str, names: str = "", decimal: str = ".") -> str:
    lines = [separator.join(str(x).replace(".", decimal) for x in row) for row in ROWS]
    return "\n".join([*([names] if names else []), *lines]) + "\n"


# --- formats


@pytest.mark.parametrize(
    "text",
    [
        as_text(","),
        as_text(", ", "left,right"),
        as_text("\t", "left\tright"),
        as_text("  "),
        as_text(";", '"left";"right"', ","),
        "\ufeff# recorded on a Tuesday\n" + as_text(";") + "\n",
    ],
    ids=["commas", "names", "tabs", "blanks", "decimal commas", "comment"],
)
def test_csv(text: str, tmp_path: Path, graph: Graph) -> None:
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    assert np.array_equal(values(fitted(tmp_path / "r.csv", graph)), expected(ROWS))


def test_columns_and_classes_of_a_csv(tmp_path: Path, graph: Graph) -> None:
    both = enumerate(zip(ROWS, CLASSES, strict=True))
    rows = [f"{i * 0.005},{a},{b},{c},fist" for i, ((a, b), c) in both]
    (tmp_path / "r.csv").write_text("\n".join(["time,left,right,gesture,said", *rows]))
    found = fitted(
        tmp_path / "r.csv", graph, Reading(label="gesture", columns=("left", "right"), hop=1)
    )
    within = [i for i in range(49) if CLASSES[i] == CLASSES[i + 11]]
    assert np.array_equal(values(found), expected(ROWS, hop=1)[within])
    assert found.labels is not None
    assert np.array_equal(found.labels, CLASSES[within])
    by_number = fitted(tmp_path / "r.csv", graph, Reading(label=3, columns=(1, 2), hop=1))
    assert np.array_equal(values(by_number), values(found))


WIDTHS = {"B": 8, "h": 16, "i": 32}


@pytest.mark.parametrize("kind", ["B", "h", "i"])
def test_wav_of_integers(kind: str, tmp_path: Path, graph: Graph) -> None:
    """Oracle: the module wave writes, and full scale is 2^(bits - 1)."""
    bits, rng = WIDTHS[kind], np.random.default_rng(1)
    numbers = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (40, 2))
    with wave.open(str(tmp_path / "r.wav"), "wb") as file:
        file.setparams((2, bits // 8, 1000, 0, "NONE", ""))
        stored = numbers + 128 if bits == 8 else numbers
        file.writeframes(stored.astype(f"<{kind}").tobytes())
    found = values(fitted(tmp_path / "r.wav", graph))
    assert np.allclose(found, expected(numbers / 2.0 ** (bits - 1)), rtol=1e-6, atol=0)


def test_wav_of_24_bits_and_of_floats(tmp_path: Path, graph: Graph) -> None:
    numbers = np.random.default_rng(2).integers(-(2**23), 2**23, (24, 2))
    data = b"".join(struct.pack("<i", int(x))[:3] for x in numbers.reshape(-1))
    # an extensible format, as recorders write 24 bits: its own tag is behind 24 bytes
    form = struct.pack("<HHIIHH", 0xFFFE, 2, 1000, 6000, 6, 24) + struct.pack("<HHIH", 22, 24, 3, 1)
    form += bytes.fromhex("000000001000800000aa00389b71")  # the identifier of mmreg.h
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"data" + struct.pack("<I", len(data))
    (tmp_path / "r.wav").write_bytes(
        b"RIFF" + struct.pack("<I", 4 + len(chunks + data)) + b"WAVE" + chunks + data
    )
    assert np.array_equal(values(fitted(tmp_path / "r.wav", graph)), expected(numbers / 2.0**23))
    wavfile.write(tmp_path / "f.wav", 1000, ROWS.astype(np.float32))
    assert np.array_equal(values(fitted(tmp_path / "f.wav", graph)), expected(ROWS))


def test_mat(tmp_path: Path, graph: Graph) -> None:
    arrays = {"emg": ROWS, "stimulus": CLASSES[:, None], "subject": "S1", "info": {"fs": 2000}}
    for compressed in (False, True):
        savemat(tmp_path / "s.mat", arrays, do_compression=compressed)
        found = fitted(tmp_path / "s.mat", graph, Reading(array="emg", label="stimulus"))
        assert np.array_equal(values(found), expected(ROWS)[[0, 1, 3, 4]])
        assert found.labels is not None
        assert found.labels.tolist() == [0, 0, 1, 1]


def test_labels_of_a_mat_file_may_be_cells_or_rows_of_text(tmp_path: Path) -> None:
    names = np.array(["rest", "fist", "wave up"])[np.arange(len(ROWS)) % 3]
    for label in (names.astype(object), names):
        savemat(tmp_path / "s.mat", {"emg": ROWS, "label": label, "who": "S1"})
        found = read(tmp_path / "s.mat")
        assert found.labels is not None
        assert found.labels.tolist() == names.tolist()
        assert [*found.inputs] == ["emg"]


def test_numpy_files_of_recordings_and_of_windows(tmp_path: Path, graph: Graph) -> None:
    np.save(tmp_path / "r.npy", ROWS)
    np.savez(tmp_path / "r.npz", emg=ROWS, fs=200, label=CLASSES)
    assert np.array_equal(values(fitted(tmp_path / "r.npy", graph)), expected(ROWS))
    found = fitted(tmp_path / "r.npz", graph, Reading(array="emg", window=12, hop=6))
    assert found.source.endswith("of r.npz, cut into windows of 12 every 6")
    windows = expected(ROWS)[:, 0]
    np.save(tmp_path / "w.npy", windows)
    assert np.array_equal(values(fitted(tmp_path / "w.npy", graph))[:, 0], windows)


def test_folder_is_its_files_and_no_window_lies_in_two(tmp_path: Path, graph: Graph) -> None:
    for name, part in (("b", ROWS[30:]), ("a", ROWS[:30])):
        np.savetxt(tmp_path / f"{name}.csv", part, delimiter=",")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    both = np.concatenate([expected(ROWS[:30]), expected(ROWS[30:])])
    found = fitted(tmp_path, graph)
    assert np.array_equal(values(found), both)
    assert "2 files of" in found.source
    (tmp_path / "notes.md").write_text("channel 3 was loose")
    refused(tmp_path, graph, "E246", "several formats", "2 .csv, 1 .md", "*.csv")
    assert np.array_equal(values(fitted(tmp_path / "*.csv", graph)), both)


def test_functions_and_arrays(
    tmp_path: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def windows(): return {'input': np.ones((5, 2, 12)), 'label': [0, 1, 2, 0, 1]}\n"
        "def broken(): return 1 / 0\n"
        "def text(): return 'r.csv'\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    found = fitted("mine:windows", graph)
    assert found.labels is not None
    assert (values(found).shape, found.labels.tolist()) == ((5, 1, 2, 12), [0, 1, 2, 0, 1])
    assert np.array_equal(values(fitted(lambda: ROWS, graph)), expected(ROWS))
    assert np.array_equal(values(fitted(ROWS, graph)), expected(ROWS))
    refused("mine:broken", graph, "E248", "division by zero (mine.py:3)")
    refused("mine:text", graph, "E248", "str")
    refused("mine:number", graph, "E248", "is not a function")
    refused("mine:nothing", graph, "E248", "no nothing")
    refused("nowhere:fn", graph, "E248", "No module named 'nowhere'")


# --- windows


def test_a_window_alone_is_no_recording(graph: Graph) -> None:
    one = ROWS[:12].T  # [2, 12], as the input without its batch axis
    fitted = samples.fit(windowed(read(one, Reading()), graph, Reading()), graph)
    assert fitted.source == "1 sample of the array given"
    np.testing.assert_array_equal(fitted.inputs[graph.inputs[0]], one[None, None].astype("f4"))


def test_layouts() -> None:
    assert layout((1, 8, 200), 8) == WindowLayout(200, True)
    assert layout((1, 200, 8), 8) == WindowLayout(200, False)
    assert layout((1, 1, 8, 200), 8, 200) == WindowLayout(200, True)
    assert layout((1, 8, 8), 8) == WindowLayout(8, True)
    assert layout((1, 200), 1) == WindowLayout(200, True)
    assert layout((1, 8, 200), 7) is None
    assert layout((1, 8, 200), 8, 100) is None
    assert layout((2, 3, 4), 2) is None


def test_starts() -> None:
    lengths = (10, 3, 9)
    by_loop = [s for a, b in ((0, 10), (10, 13), (13, 22)) for s in range(a, b) if s + 4 <= b]
    assert starts(lengths, None, 4, 1).tolist() == by_loop
    labels = np.repeat([0, 1, 2], [6, 7, 9])
    same = [s for s in by_loop if len({*labels[s : s + 4]}) == 1]
    assert starts(lengths, labels, 4, 1).tolist() == same
    assert starts((3,), None, 4, 1).tolist() == []


# --- refusals


COMPRESSED = struct.pack("<HHIIHH", 0x55, 2, 1, 1, 1, 0)  # MP3 in a WAV file
TIMED = np.column_stack([np.arange(60), ROWS])
BAD_FILES: dict[str, tuple[str, str, tuple[str, ...], str | bytes | Array]] = {
    "words": ("csv", "E211", ("line 3, column b", "'rest'", '["a"]'), "a,b\n1,2\n3,rest\n"),
    "an empty field": ("csv", "E216", ("line 2, column 1",), "1,2\n3,\n"),
    "a line too short": ("csv", "E211", ("line 2 has 2 columns, the others 3",), "1,2,3\n4,5\n"),
    "nan": ("csv", "E216", ("first in row", "3"), "1,2\n" * 3 + "nan,2\n" * 20),
    "no lines": ("csv", "E215", ("no rows",), "\n# nothing\n"),
    "names alone": ("csv", "E215", ("no rows",), "a,b\n"),
    "no text": ("csv", "E211", ("no text",), b"1,2\n\x01\x02\n" * 20),
    "another ending": ("xyz", "E211", (".wav",), "1,2\n" * 20),
    "MATLAB 7.3": ("mat", "E211", ("HDF5",), b"MATLAB 7.3 MAT-file, Platform: PCWIN64"),
    "HDF5": ("h5", "E211", ("HDF5",), b"\x89HDF\r\n\x1a\n"),
    "a cut EDF": ("edf", "E211", ("EDF",), b"0".ljust(256)),
    "a cut BDF": ("bdf", "E211", ("BDF",), b"\xffBIOSEMI".ljust(256)),
    "no XDF": ("xdf", "E211", ("no stream",), b"XDF:" + bytes(range(99))),
    "a workbook": ("xlsx", "E211", ("as CSV",), b"PK"),
    "Parquet": ("parquet", "E211", ("to_csv",), b"PAR1"),
    "cut gzip": ("csv", "E211", ("gzip",), b"\x1f\x8b\x08"),
    "a damaged mat": ("mat", "E211", (), b"MATLAB 5.0 MAT-file" + bytes(200)),
    "no mat": ("mat", "E211", (), "emg"),
    "MP3": (
        "wav",
        "E211",
        ("MPEGLAYER3",),
        b"RIFF1234WAVEfmt \x10\0\0\0" + COMPRESSED + b"data\0\0\0\0",
    ),
    "a wav without data": ("wav", "E211", ("before its data",), b"RIFF\0\0\0\0WAVE"),
    "no wav": ("wav", "E211", (), "1,2\n"),
    "an empty file": ("npz", "E211", (), ""),
    "no rows": ("npy", "E215", (), ROWS[:0]),
    "too short": ("npy", "E255", ("12 rows at least", "11 rows"), ROWS[:11]),
    "columns too many": ("npy", "E255", ("columns = [1, 2]", "is the time"), TIMED),
    "columns too few": ("npy", "E255", ("60 rows of 1 channels",), ROWS[:, :1]),
    "swapped axes": ("npy", "E255", ("recording.T",), ROWS.T),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name: str, tmp_path: Path, graph: Graph) -> None:
    ending, code, words, content = BAD_FILES[name]
    file = tmp_path / f"r.{ending}"
    if isinstance(content, np.ndarray):
        np.save(file, content)
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(file, graph, code, *words)


def test_columns_of_the_remedy(tmp_path: Path, graph: Graph) -> None:
    found = fitted(TIMED, graph, Reading(columns=(1, 2)))
    assert np.array_equal(values(found), expected(ROWS))
    labelled = {"input": ROWS, "label": np.zeros(5, int)}
    refused(labelled, graph, "E218", "one for every row")


def test_bad_settings(tmp_path: Path, graph: Graph) -> None:
    np.save(tmp_path / "r.npy", ROWS)
    refused(tmp_path / "r.npy", graph, "E255", "window = 12", window=10)
    refused(tmp_path / "r.npy", graph, "E211", "no array or column 'gesture'", label="gesture")
    refused(tmp_path / "r.npy", graph, "E255", "no column 5", columns=(0, 5))
    refused(tmp_path / "r.npy", graph, "E255", "no column 'left'", columns=("left",))
    refused(expected(ROWS), graph, "E255", "windows already", window=12)
    (tmp_path / "r.csv").write_text(as_text(",", "left,right"))
    refused(tmp_path / "r.csv", graph, "E211", "column 'up'", "left, right", columns=("up",))


def test_folders_that_are_refused(tmp_path: Path, graph: Graph) -> None:
    refused(tmp_path, graph, "E246", "no samples")
    (tmp_path / "user 1").mkdir()
    refused(tmp_path, graph, "E246", "--calib '", "user 1")
    refused(tmp_path / "*.csv", graph, "E210", "does not exist")
    np.save(tmp_path / "a.npy", ROWS)
    np.save(tmp_path / "b.npy", ROWS[:, :1])
    refused(tmp_path, graph, "E246", "do not go together", "a.npy", "b.npy")


def test_what_is_too_large_is_not_read(tmp_path: Path, graph: Graph) -> None:
    zeros = np.zeros((1000, 2))
    np.savez_compressed(tmp_path / "r.npz", input=zeros)
    savemat(tmp_path / "r.mat", {"input": zeros}, do_compression=True)
    np.save(tmp_path / "r.npy", zeros)
    wavfile.write(tmp_path / "r.wav", 1000, zeros)
    np.savetxt(tmp_path / "r.csv", zeros)
    for file in tmp_path.iterdir():
        refused(file, graph, "E247", file.name, "1,000 bytes at most", max_bytes=1000)
    refused(tmp_path / "r.npy", graph, "E247", "hop = 2", hop=1, max_bytes=20000)


def test_nothing_is_unpickled(tmp_path: Path, graph: Graph) -> None:
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (open, (str(marker), "w"))

    np.save(tmp_path / "o.npy", np.array([Payload()], object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", input=np.array([Payload()], object))
    for name in ("o.npy", "o.npz"):
        refused(tmp_path / name, graph, "E217", "pickled")
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("a.txt", b"text")
    refused(tmp_path / "p.npz", graph, "E215")
    assert not marker.exists()


# --- whole


def test_a_recording_by_myoedge_toml_gives_the_ranges_of_its_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint, whose network learns the window's length from [calib]."""
    import torch

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(Small().state_dict(), "weights.pt")
    rows = np.column_stack([ROWS, CLASSES])
    np.savetxt("r.csv", rows, delimiter=",", header="left,right,gesture", comments="")
    (tmp_path / "myoedge.toml").write_text(
        '[calib]\ndata = "r.csv"\nwindow = 12\nhop = 4\nlabel = "gesture"\n'
    )
    factory = "tests.support.networks.small:Small"
    cut = myoedge.quantize("weights.pt", factory=factory)
    (tmp_path / "myoedge.toml").unlink()
    within = [i for i in range(0, 49, 4) if CLASSES[i] == CLASSES[i + 11]]
    windows = np.stack([ROWS[i : i + 12].T for i in within])
    np.savez("w.npz", input=windows, label=CLASSES[within])
    given = myoedge.quantize("weights.pt", factory=factory, calib=tmp_path / "w.npz")
    assert cut.network.digest == given.network.digest
    assert cut.accuracy_int8 == given.accuracy_int8
    assert cut.samples.given.count == len(within)


@pytest.mark.parametrize(
    ("shape", "has"),
    [((), (5, 1)), ((), (5, 1, 1)), ((1, 8), (5, 8, 1)), ((2, 8), (5, 2, 1, 8)), ((8,), (5, 1, 8))],
    ids=str,
)
def test_axes_of_one_that_the_input_has_not(
    shape: tuple[int, ...], has: tuple[int, ...], graph: Graph
) -> None:
    """Oracle: the remedy, as it is typed, gives samples that are accepted, in the same order."""
    (name,) = graph.inputs
    tensor = replace(graph.tensors[name], shape=shape)
    other = replace(graph, tensors={**graph.tensors, name: tensor})
    windows = np.arange(np.prod(has), dtype=np.float32).reshape(has)
    with pytest.raises(MyoedgeError) as caught:
        samples.fit(read(windows), other)
    assert caught.value.code == "E213"
    typed = eval(caught.value.notice.tries[0], {"windows": windows})
    (x,) = samples.fit(read(typed), other).inputs.values()
    assert np.array_equal(x.reshape(-1), windows.reshape(-1))


def test_values_that_a_mask_hides_are_refused_and_the_remedy_is_read() -> None:
    windows = np.ma.masked_invalid(np.arange(60.0).reshape(5, 3, 4))
    windows[1, 2, 3] = np.ma.masked
    for given in (windows, {"x": windows}, lambda: windows, {"x": [*windows]}):
        with pytest.raises(MyoedgeError, match="hides 1 value by a mask") as caught:
            read(given)
        assert caught.value.code == "E216"
    rest, filled = (text.rpartition(": ")[0] for text in caught.value.notice.tries)
    assert len(read(eval(rest, {"np": np, "x": windows})).inputs["input"]) == 4
    assert read(eval(filled, {"x": windows})).inputs["input"][1, 2, 3] == 0
    assert read(np.ma.masked_array(windows.data)).count == 5, "nothing is hidden"


# --- Python's objects -----------------------------------------------------------------------------

WINDOWS = np.random.default_rng(1).normal(size=(20, 1, 2, 12)).astype(np.float32)
LABELS = np.arange(20) % 3


def as_tensors() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(WINDOWS), torch.from_numpy(LABELS)


class Named(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Items by name; its length is all that says where it ends."""

    def __len__(self) -> int:
        return len(WINDOWS)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        x, label = as_tensors()
        return {"input": x[index % len(x)], "label": label[index % len(x)]}


class Endless(torch.utils.data.IterableDataset[torch.Tensor]):
    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            yield torch.zeros(1, 2, 12)


DataLoader = torch.utils.data.DataLoader
PAIRS = torch.utils.data.TensorDataset(*as_tensors())
OBJECTS = {  # (what is given, whether it has labels)
    "tensor": (as_tensors()[0], False),
    "a tensor with a gradient": (as_tensors()[0].requires_grad_(), False),
    "tensors by name": (dict(zip(("input", "label"), as_tensors(), strict=True)), True),
    "list of tensors": ([*as_tensors()[0]], False),
    "list of arrays": ([*WINDOWS], False),
    "list of pairs": ([*zip(WINDOWS, LABELS.tolist(), strict=True)], True),
    "nested lists": (WINDOWS.tolist(), False),
    "list of batches": ([*as_tensors()[0].split(8)], False),
    "dataset": (PAIRS, True),
    "dataset without labels": (torch.utils.data.TensorDataset(as_tensors()[0]), False),
    "dataset by name": (Named(), True),
    "loader": (DataLoader(PAIRS, batch_size=8), True),
    "loader of whole batches": (DataLoader(PAIRS, batch_size=10), True),
    "loader by name": (DataLoader(Named(), batch_size=6), True),
    "loader of samples": (DataLoader(PAIRS, batch_size=None), True),
    "function for tensors": (lambda: as_tensors()[0], False),
}


@each("name", OBJECTS)
def test_samples_are_what_torch_holds_them_in(name: str, graph: Graph) -> None:
    given, has_labels = OBJECTS[name]
    data = fitted(given, graph)
    np.testing.assert_array_equal(values(data), WINDOWS)
    assert (data.labels is not None) == has_labels
    if data.labels is not None:
        np.testing.assert_array_equal(data.labels, LABELS)


def test_half_floats_of_torch_are_read(graph: Graph) -> None:
    rounded = as_tensors()[0].bfloat16()
    np.testing.assert_array_equal(values(fitted(rounded, graph)), rounded.float().numpy())


def fails() -> Iterator[object]:
    yield WINDOWS[0]
    raise RuntimeError("no such file")


NO_SAMPLES = {
    "number": (7, ("has    int", "DataLoader")),
    "object": (object(), ("has    object",)),
    "bytes": (b"calib.npz", ("has    bytes",)),
    "an item raises": (fails(), ("generator raised an error", "no such file")),
    "triples": ([(WINDOWS[0], 1, 2)], ("a tuple of 3",)),
    "objects": ([object()], ("no samples",)),
    "names": ([{"input": WINDOWS[0]}, {"x": WINDOWS[0]}], ("different names",)),
    "shapes": ([WINDOWS[0], WINDOWS[0, ..., :9]], ("different shapes",)),
    "sparse": (torch.from_numpy(WINDOWS).to_sparse(), ("the array given", "windows.to_dense()")),
    "mkldnn": (torch.from_numpy(WINDOWS).to_mkldnn(), ("the array given", "windows.to_dense()")),
    "meta": (torch.empty(WINDOWS.shape, device="meta"), ("the array given", "meta")),
    "nested": (torch.nested.nested_tensor([*torch.from_numpy(WINDOWS)]), ("to_padded_tensor",)),
    "sparse items": ([torch.from_numpy(WINDOWS[0]).to_sparse()], ("windows.to_dense()",)),
    "a dict of ragged lists": ({"input": [[1.0], [1.0, 2.0]]}, ("no array",)),
}


@each("name", NO_SAMPLES)
def test_objects_without_samples_are_refused(name: str, graph: Graph) -> None:
    given, words = NO_SAMPLES[name]
    refused(given, graph, "E248", *words)


def test_samples_without_an_end_are_refused(graph: Graph) -> None:
    refused(Endless(), graph, "E247", "Subset", max_bytes=1 << 12)
    refused([], graph, "E215")


# --- inputs, units --------------------------------------------------------------------------------


class WithLabel(torch.nn.Module):
    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return torch.relu(x * label)


class OnlyLabel(torch.nn.Module):
    def forward(self, label: torch.Tensor) -> torch.Tensor:
        return torch.relu(label)


def imported(network: torch.nn.Module, *shapes: tuple[int, ...]) -> Graph:
    from myoedge.frontend.torch.export import from_exported

    return from_exported(torch.export.export(network, tuple(torch.zeros(s) for s in shapes)))


@pytest.mark.parametrize("shape", [(1, 5), (2, 3, 5), (5,), (1, 1)])
def test_an_input_may_be_named_label(shape: tuple[int, ...], tmp_path: Path) -> None:
    two, one = imported(WithLabel(), shape, shape), imported(OnlyLabel(), shape)
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(6, *shape)).astype(np.float32) for name in ("x", "label")}
    np.savez(tmp_path / "c.npz", **arrays)  # type: ignore[arg-type]
    for given in (arrays, tmp_path / "c.npz"):
        data = fitted(given, two)
        assert data.labels is None
        for name, x in arrays.items():
            np.testing.assert_array_equal(data.inputs[name], x)
    label = arrays["label"]
    np.testing.assert_array_equal(values(fitted({"label": label}, one)), label)
    classes = np.arange(6) % 2
    judged = fitted({**arrays, "class": classes}, two, Reading(label="class"))
    assert judged.labels is not None
    np.testing.assert_array_equal(judged.labels.reshape(-1), classes)
    np.testing.assert_array_equal(judged.inputs["label"], label)


def test_labels_alone_are_no_samples(graph: Graph, tmp_path: Path) -> None:
    refused({"label": LABELS}, graph, "E215", "no arrays")
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", label=LABELS)
    refused(tmp_path, graph, "E215", "no arrays")


def test_the_array_that_fits_is_the_one_to_choose(graph: Graph) -> None:
    arrays = {"extra": np.zeros((20, 999)), "emg": WINDOWS, "input_time": np.zeros(5000)}
    refused(arrays, graph, "E212", 'array = "emg"')
    refused({**arrays, "emg": ROWS}, graph, "E212", 'array = "emg"')
    assert values(fitted(arrays, graph, Reading(array="emg"))).shape == WINDOWS.shape


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_samples_are_scaled_to_the_unit_of_training(kind: type, graph: Graph) -> None:
    counts = (WINDOWS * 1000).astype(kind)
    data = fitted({"input": counts, "label": LABELS}, graph, Reading(scales=(("*", 0.001),)))
    np.testing.assert_allclose(values(data), counts.astype(np.float64) / 1000, rtol=1e-6)
    np.testing.assert_array_equal(data.labels, LABELS)
    assert "times 0.001" in data.source


def test_files_may_have_units_of_their_own(graph: Graph, tmp_path: Path) -> None:
    for name, factor in (("a_uv", 1e6), ("b_mv", 1e3), ("c", 1.0)):
        np.save(tmp_path / f"{name}.npy", WINDOWS * factor)
    scales = (("*", 1e-3), ("a_*.npy", 1e-6), ("c.npy", 1.0))
    data = fitted(tmp_path, graph, Reading(scales=scales))
    np.testing.assert_allclose(values(data), np.concatenate([WINDOWS] * 3), rtol=1e-5)
    two = {"a": WINDOWS, "b": WINDOWS}
    refused(two, graph, "E232", "a, b", scales=scales)


def test_a_format_without_first_bytes_is_known_by_its_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = ReaderHook("bare", (".bare",), "builtins:str")
    monkeypatch.setattr(files, "formats", lambda: (bare,))
    assert files._format_of(b"any bytes", ".bare") == bare
    assert files._format_of(b"any bytes", ".other") is None


BY_CONTENT = [
    (reader, ending) for reader in formats() for ending in reader.endings if not reader.by_ending
]


@pytest.mark.parametrize(("reader", "ending"), BY_CONTENT)
@pytest.mark.parametrize("content", [b"\x81\x1f" * 500, b"", b"<!DOCTYPE html><html>"])
def test_an_ending_without_its_format_is_told(
    reader: ReaderHook, ending: str, content: bytes, tmp_path: Path
) -> None:
    """The cause names the format and both beginnings; the remedy, with windows, is read."""
    path = tmp_path / f"calib{ending}"
    path.write_bytes(content)
    with pytest.raises(MyoedgeError) as raised:
        read(path, Reading())
    cause = dict(raised.value.notice.facts)["cause"]
    shown = [reader.name, *map(repr, (*reader.beginnings, content[:16]))]
    assert all(word in cause for word in shown) if content else cause == "it is empty"
    (remedy,) = raised.value.notice.tries
    text = remedy.replace("...", "np.zeros((3, 2, 12), np.float32)", 1)
    exec(text.replace("calib.npz", str(tmp_path / "again.npz")), {})
    assert values(read(tmp_path / "again.npz", Reading())).shape == (3, 2, 12)
