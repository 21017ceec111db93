# SPDX-License-Identifier: Apache-2.0
"""Files of recorders: EDF and BDF read with edfio, XDF with pyxdf, HDF5 with h5py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.extensions.recordings import BDF
from myoedge.extensions.recordings.libraries import library, reading_of
from myoedge.extensions.recordings.scipy_files import of_matlab
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
