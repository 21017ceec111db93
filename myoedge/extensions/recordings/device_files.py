# SPDX-License-Identifier: Apache-2.0
"""Files of recorders: EDF and BDF read with edfio, XDF with pyxdf, HDF5 with h5py; MAT files of
versions 4 to 7, and WAV files, read with scipy. The
libraries are imported on first use; their errors become errors of the file."""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.extensions.recordings import BDF
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.columns import Column, content_of, named_columns
from myoedge.quantization.recordings.reading import (
    ONLY,
    Content,
    Reading,
    check_size,
    found_name,
    is_rate,
    unreadable,
)
from myoedge.system.tools import install_command

EXTRA = "recordings"


def library(module: str, files: str) -> Any:
    """Import a module of the extra `recordings`, such as "scipy.io".

    files   the kind of files that need it, for the message
    Errors: E501 not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        title = f"{name} is not installed: {files} files need it"
        raise MyoedgeError("E501", title, {"cause": error}, [install_command(EXTRA)]) from None


@contextmanager
def reading_of(path: Path, form: str, tries: tuple[str, ...]) -> Iterator[None]:
    """Context manager for a library that reads a file of a format: any exception becomes E211, and
    its warnings and log lines are not printed."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MyoedgeError:
        raise
    except Exception as error:  # a library may raise anything on a damaged file
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        cause = "it ends before its data" if isinstance(error, NameError) else cause  # scipy's WAV
        raise unreadable(path, f"as {form}: {cause}", tries) from None
    finally:
        logging.disable(level)


# --- files ----------------------------------------------------------------------------------------


Variable = tuple[str, tuple[int, ...], str]  # name, shape and class in a MATLAB file
NUMERIC = {
    **dict.fromkeys(("int8", "uint8", "logical"), 1), **dict.fromkeys(("int16", "uint16"), 2),
    **dict.fromkeys(("int32", "uint32", "single"), 4), **dict.fromkeys(("int64", "uint64"), 8),
    "double": 8,
}  # fmt: skip  # bytes of a number, by MATLAB's class
TEXTS = ("char", "cell")  # MATLAB's classes of text, which only labels may have
INSIDE = {"struct": "{}.emg", "cell": "{}{{1}}"}  # an array in a variable of these classes
AS_VERSION_7 = ("save('calib.mat', 'emg', '-v7')  % in MATLAB",)
SHORTER_MAT = ("emg = emg(1:10:end, :); save('calib.mat', 'emg', '-v7')  % fewer rows, in MATLAB",)
SHORTER_WAV = ("sox long.wav short.wav trim 0 600",)
AS_16_BITS = ("sox --ignore-length in.wav -e signed-integer -b 16 out.wav",)


def read_mat(path: Path, reading: Reading) -> Content:
    """Read the numeric variables of a MATLAB file by name, and labels, which may be text; other
    variables are skipped, and single numbers are settings.

    Errors: E211 damaged, of version 7.3, or no numbers; E247 too large; E501 without scipy.
    """
    io = library("scipy.io", "MAT")
    with reading_of(path, "MAT", AS_VERSION_7):
        variables = io.whosmat(path, appendmat=False)
        kinds = {name: kind for name, _, kind in variables}
        label = found_name(kinds, reading.label)
        rows = _variables_to_read(variables, label, reading)
        check_size(path.name, sum(map(_variable_bytes, rows)), SHORTER_MAT, reading)
        names = [name for name, _, _ in rows]
        found = io.loadmat(path, appendmat=False, variable_names=names) if names else {}
    if not names and kinds:
        raise _no_arrays_error(path, kinds)
    return of_matlab(_with_strings({n: found[n] for n in names if n in found}), label)


def _no_arrays_error(path: Path, kinds: Mapping[str, str]) -> MyoedgeError:
    """Return E211 for a file without numeric arrays, which may be in structs or cells."""
    kind = next(filter(INSIDE.__contains__, kinds.values()), next(iter(kinds.values())))
    names = [name for name, own in kinds.items() if own == kind]
    inside = INSIDE.get(kind, "double({})").format(names[0])
    tries = (f"emg = {inside}; save('calib.mat', 'emg', '-v7')  % in MATLAB",)
    return unreadable(path, f"it holds no arrays but {kind}s: {', '.join(names)}", tries)


def _variable_bytes(row: Variable) -> int:
    _, shape, kind = row
    return NUMERIC.get(kind, 8) * math.prod(shape)


def of_matlab(arrays: dict[str, Array], label: str | None) -> Content:
    """Return MATLAB's variables, which have two axes or more: [1, n] is a row of labels, or one
    channel, and [1, 1] a single number beside longer arrays."""
    signals = {n: x for n, x in arrays.items() if x.size != 1 or n == label} or arrays
    settings = {n: arrays[n].reshape(()) for n in arrays.keys() - signals.keys()}
    return Content(
        {n: x[0] if x.ndim == 2 and len(x) == 1 else x for n, x in signals.items()},
        settings=settings,
    )


def _variables_to_read(
    variables: Iterable[Variable], label: str | None, reading: Reading
) -> list[Variable]:
    """Return the variables that are numeric arrays to read, class names, or single numbers."""
    rows = []
    for name, shape, kind in variables:
        is_asked = reading.array is None or name in (reading.array, label) or math.prod(shape) == 1
        if is_asked and (kind in NUMERIC or (kind in TEXTS and name == label)):
            rows.append((name, shape, kind))
    return rows


def _with_strings(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Convert cells and rows of characters to strings; numbers are unchanged."""
    converted = dict(arrays)
    for name, x in arrays.items():
        if x.dtype.kind == "O":
            texts = ["".join(map(str, np.ravel(cell))).strip() for cell in x.ravel()]
            converted[name] = np.array(texts)
        elif x.dtype.kind == "U":
            converted[name] = np.char.strip(x)
    return converted


def read_wav(path: Path, reading: Reading) -> Content:
    """Read a WAV file as float32 [rows, channels]; integers are scaled to -1 .. 1.

    Errors: E211 damaged, compressed, or an unknown number format; E247 too large; E501 without
    scipy.
    """
    check_size(path.name, path.stat().st_size, SHORTER_WAV, reading)
    wavfile = library("scipy.io.wavfile", "WAV")
    with reading_of(path, "WAV", AS_16_BITS):
        rate_hz, numbers = wavfile.read(path)
    if not len(numbers):
        raise unreadable(path, "its length is 0, as while it was recorded", AS_16_BITS)
    rows = numbers[:, None] if numbers.ndim == 1 else numbers
    if rows.dtype == np.uint8:  # 8-bit samples are unsigned, the others signed
        rows = (rows.astype(np.float32) - 128) / 128
    elif rows.dtype.kind == "i":  # scipy fills the low bits of 24-bit samples with zeros
        rows = (rows / 2.0 ** (8 * rows.dtype.itemsize - 1)).astype(np.float32)
    return Content({ONLY: rows.astype(np.float32)}, settings={"rate": np.asarray(rate_hz)})


OTHER_FORM = ("a CSV file with a column for every channel, from the recorder's program",)
SHORTER = ("a shorter part of the recording",)
MATLAB_CLASS = "MATLAB_class"  # attribute of the datasets of MATLAB's version 7.3


def read_edf(path: Path, reading: Reading) -> Content:
    """Read the signals of an EDF or BDF file in their physical unit, float64 [rows, channels];
    those with other rates than most are left out.

    Errors: E211 damaged, or no such signal; E247 too large; E501 without edfio.
    """
    check_size(path.name, path.stat().st_size, SHORTER, reading)
    edfio = library("edfio", "EDF and BDF")
    is_bdf = path.open("rb").read(len(BDF)) == BDF
    with reading_of(path, "BDF" if is_bdf else "EDF", OTHER_FORM):
        data = path.read_bytes()
        signals = (edfio.read_bdf(data) if is_bdf else edfio.read_edf(data)).signals
        rates = Counter(float(signal.sampling_frequency) for signal in signals)
        (rate_hz, _), *_ = rates.most_common(1) or [(0.0, 0)]
        columns = [
            Column(x.label, np.asarray(x.data, np.float64), x.physical_dimension.replace("u", "µ"))
            if x.sampling_frequency == rate_hz
            else Column(x.label, None)
            for x in signals
        ]
    return content_of(path.name, columns, reading, {"rate": np.asarray(rate_hz)})


def read_xdf(path: Path, reading: Reading) -> Content:
    """Read the streams of numbers of an XDF file by name, [rows, channels]; markers are left out.

    Errors: E211 damaged, or no stream of numbers; E247 too large; E501 without pyxdf.
    """
    check_size(path.name, path.stat().st_size, SHORTER, reading)
    pyxdf = library("pyxdf", "XDF")
    with reading_of(path, "XDF", OTHER_FORM):
        streams, _ = pyxdf.load_xdf(path, verbose=False)
        found = _streams_by_name(streams)
    if not found:
        raise unreadable(path, "it has no stream of numbers", OTHER_FORM)
    asked = {name: found[name] for name in found if name == reading.array} or found
    if len(asked) > 1:
        return Content({name: np.asarray(x["time_series"]) for name, x in found.items()})
    ((name, stream),) = asked.items()
    rows = np.asarray(stream["time_series"])
    columns = [
        Column(x, rows[:, i]) for i, x in enumerate(_channel_names(stream["info"], rows.shape[1]))
    ]
    content = content_of(
        path.name, columns, reading, {"rate": np.asarray(_nominal_rate_hz(stream))}
    )
    arrays = {name if n == ONLY else n: x for n, x in content.arrays.items()}
    return replace(content, arrays=arrays)


def _streams_by_name(streams: Sequence[Any]) -> dict[str, Any]:
    """Return the streams of numbers by name: those with a rate if there are any."""
    numbers = [s for s in streams if isinstance(s["time_series"], np.ndarray)]
    regular = [*filter(_nominal_rate_hz, numbers)]
    return {str(s["info"]["name"][0]): s for s in regular or numbers}


def _nominal_rate_hz(stream: Any) -> float:
    """Return the sampling rate of a stream; 0 if its samples come at any time."""
    return float(stream["info"]["nominal_srate"][0])


def _channel_names(info: Any, count: int) -> list[str]:
    """Return the names of a stream's channels; "" for unnamed ones."""
    try:
        channels = info["desc"][0]["channels"][0]["channel"]
        names = [str(channel["label"][0]) for channel in channels]
    except (KeyError, IndexError, TypeError):
        names = []
    return names if len(names) == count else [""] * count


def read_hdf5(path: Path, reading: Reading) -> Content:
    """Read the numeric datasets of an HDF5 file by path, or of MATLAB's version 7.3 by name; links
    to other files are not followed.

    Errors: E211 damaged; E247 too large; E501 without h5py.
    """
    h5py = library("h5py", "HDF5")
    with reading_of(path, "HDF5", OTHER_FORM), h5py.File(path, "r") as file:
        datasets = dict(_datasets_of_file(file, h5py))
        label = found_name(datasets, reading.label)
        check_size(path.name, sum(x.nbytes for x in datasets.values()), SHORTER, reading)
        settings = _rate_attributes([file, *datasets.values()])
        if len(datasets) == 1 and (table := next(iter(datasets.values()))).dtype.names:
            return content_of(path.name, [*named_columns(table[()])], reading, settings)
        is_matlab = any(MATLAB_CLASS in x.attrs for x in datasets.values())
        arrays = {name: _read_dataset(x, file) for name, x in datasets.items()}
    kept = {name: x for name, x in arrays.items() if x.dtype.kind in "fiub" or name == label}
    content = of_matlab(kept, label) if is_matlab else _drop_scalars(kept, label)
    return replace(content, settings={**settings, **content.settings})


def _drop_scalars(arrays: Mapping[str, Array], label: str | None) -> Content:
    signals = {name: x for name, x in arrays.items() if x.ndim or name == label}
    return Content(signals, settings={n: arrays[n] for n in arrays.keys() - signals.keys()})


def _datasets_of_file(file: Any, h5py: Any) -> Iterator[tuple[str, Any]]:
    """Yield the datasets that lie in the file itself, by path."""
    found = list[tuple[str, Any]]()

    def visit(name: str, node: Any) -> None:
        is_own = isinstance(node, h5py.Dataset) and not node.is_virtual and not node.external
        if is_own and not name.startswith("#"):  # "#refs#": what MATLAB's cells refer to
            found.append((name, node))

    file.visititems(visit)
    yield from found


def _read_dataset(dataset: Any, file: Any) -> Array:
    """Return a dataset; MATLAB's with their axes in MATLAB's order, and its texts as strings."""
    values = np.asarray(dataset[()])
    kind = dataset.attrs.get(MATLAB_CLASS, b"")
    if kind == b"cell":
        return np.array(
            [_decode_text(np.asarray(file[reference][()])) for reference in values.ravel()]
        )
    if kind == b"char":
        return np.array([_decode_text(row) for row in values.T.reshape(values.shape[-1], -1)])
    if values.dtype.kind in "SO":
        decoded = [x.decode() if isinstance(x, bytes) else str(x) for x in values.ravel()]
        return np.array(decoded).reshape(values.shape)
    return values.T if kind else values


def _decode_text(codes: Array) -> str:
    return "".join(map(chr, codes.ravel())).strip()


def _rate_attributes(nodes: Sequence[Any]) -> dict[str, Array]:
    """Return the attributes that are named as a sampling rate."""
    attributes = {name: np.asarray(x) for node in nodes for name, x in node.attrs.items()}
    return {name: x for name, x in attributes.items() if is_rate(name)}
