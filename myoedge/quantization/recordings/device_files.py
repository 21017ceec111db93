# SPDX-License-Identifier: Apache-2.0
"""Files of recorders: EDF and BDF read with edfio, XDF with pyxdf, HDF5 with h5py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.columns import Column, content_of, named_columns
from myoedge.quantization.recordings.libraries import library, reading_of
from myoedge.quantization.recordings.reading import (
    ONLY,
    Content,
    Reading,
    check_size,
    found_name,
    is_rate,
    unreadable,
)
from myoedge.quantization.recordings.scipy_files import of_matlab

BDF = b"\xffBIOSEMI"
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
        found = {_named(s): s for s in streams if isinstance(s["time_series"], np.ndarray)}
        rates = {name: float(s["info"]["nominal_srate"][0]) for name, s in found.items()}
        regular = [name for name in found if rates[name] > 0] or [*found]
        wanted = [n for n in regular if reading.array in (None, n)] or regular
    if not regular:
        raise unreadable(path, "it has no stream of numbers", OTHER_FORM)
    if len(wanted) > 1:
        return Content({name: np.asarray(found[name]["time_series"]) for name in regular})
    (name,) = wanted
    rows = np.asarray(found[name]["time_series"])
    names = _channels(found[name]["info"], rows.shape[1])
    columns = [Column(label, rows[:, i]) for i, label in enumerate(names)]
    content = content_of(path.name, columns, reading, {"rate": np.asarray(rates[name])})
    arrays = {name if n == ONLY else n: x for n, x in content.arrays.items()}
    return Content(
        arrays, content.columns, content.settings, content.label, content.unit, content.aside
    )


def _named(stream: Any) -> str:
    return str(stream["info"]["name"][0])


def _channels(info: Any, count: int) -> list[str]:
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
        datasets = dict(_datasets(file, h5py))
        label = found_name(datasets, reading.label)
        check_size(path.name, sum(x.nbytes for x in datasets.values()), SHORTER, reading)
        if len(datasets) == 1 and (table := next(iter(datasets.values()))).dtype.names:
            return content_of(path.name, [*named_columns(table[()])], reading, _rates(file))
        arrays = {name: _array(x, file) for name, x in datasets.items()}
        is_matlab = any(MATLAB_CLASS in x.attrs for x in datasets.values())
        settings = {k: v for node in (file, *datasets.values()) for k, v in _rates(node).items()}
    kept = {name: x for name, x in arrays.items() if x.dtype.kind in "fiub" or name == label}
    if is_matlab:
        return of_matlab(kept, label)
    single = {name: x for name, x in kept.items() if x.ndim == 0 and name != label}
    signals = {name: x for name, x in kept.items() if name not in single}
    return Content(signals, settings=settings | single)


def _datasets(file: Any, h5py: Any) -> Iterator[tuple[str, Any]]:
    """Yield the datasets that lie in the file itself, by path."""
    found = list[tuple[str, Any]]()

    def visit(name: str, node: Any) -> None:
        is_own = isinstance(node, h5py.Dataset) and not node.is_virtual and not node.external
        if is_own and not name.startswith("#"):  # "#refs#": what MATLAB's cells refer to
            found.append((name, node))

    file.visititems(visit)
    yield from found


def _array(dataset: Any, file: Any) -> Array:
    """Return a dataset; MATLAB's with their axes in MATLAB's order, and its texts as strings."""
    values = np.asarray(dataset[()])
    kind = dataset.attrs.get(MATLAB_CLASS, b"")
    if kind == b"cell":
        texts = (np.asarray(file[reference][()]).ravel() for reference in values.ravel())
        return np.array(["".join(map(chr, text)).strip() for text in texts])
    if kind == b"char":
        rows = values.T.reshape(values.shape[-1], -1) if values.ndim > 1 else values[None]
        return np.array(["".join(map(chr, row)).strip() for row in rows])
    if values.dtype.kind in "SO":
        decoded = [x.decode() if isinstance(x, bytes) else str(x) for x in values.ravel()]
        return np.array(decoded).reshape(values.shape)
    return values.T if kind else values


def _rates(node: Any) -> dict[str, Array]:
    """Return the attributes that are named as a sampling rate."""
    attributes = {name: np.asarray(value) for name, value in node.attrs.items()}
    return {n: x for n, x in attributes.items() if is_rate(n)}
