# SPDX-License-Identifier: Apache-2.0
"""Reading of sample files: formats detected by content; folders and file patterns."""

from __future__ import annotations

import fnmatch
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote

from myoedge.errors import MyoedgeError
from myoedge.quantization.recordings.device_files import BDF, read_edf, read_hdf5, read_xdf
from myoedge.quantization.recordings.numpy_files import read_npy, read_npz
from myoedge.quantization.recordings.reading import MAKE_CALIBRATION, Content, Reading, unreadable
from myoedge.quantization.recordings.scipy_files import read_mat, read_wav
from myoedge.quantization.recordings.text import GZIP, read_text
from myoedge.system.regular_files import open_regular

Reader = Callable[[Path, Reading], Content]

TEXTS = (".csv", ".tsv", ".txt")
HDF5S = (".h5", ".hdf5")
BEGINNINGS: Mapping[bytes, Reader] = {
    b"PK": read_npz,
    b"\x93NUMPY": read_npy,
    b"RIFF": read_wav,
    b"MATLAB 5.0": read_mat,
    b"\x89HDF": read_hdf5,
    b"MATLAB 7.3": read_hdf5,
    BDF: read_edf,
    b"XDF:": read_xdf,
    GZIP: read_text,
}
ENDINGS: Mapping[str, Reader] = {  # formats that are not recognised by their first bytes
    **dict.fromkeys(TEXTS, read_text),
    ".mat": read_mat,
    ".edf": read_edf,
}
PARQUET = "import pandas; pandas.read_parquet(PATH).to_csv('calib.csv', index=False)"
AS_CSV = "the sheet saved as CSV, in the program that wrote it"
OTHERS: Mapping[str, tuple[str, str]] = {  # endings of formats with a remedy of their own
    **dict.fromkeys((".parquet", ".pq"), ("it is a Parquet file", PARQUET)),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), ("it is a workbook", AS_CSV)),
}
ADDED: dict[str, Reader] = {}  # readers of plug-ins, by file extension
KINDS = (".npz", ".npy", ".mat", *TEXTS, ".gz", ".wav", ".edf", ".bdf", ".xdf", *HDF5S)
WILD = frozenset("*?[")


def read_file(path: Path, reading: Reading) -> Content:
    """Read the arrays of a file; the format is detected from its first bytes or its extension.

    Errors: E210 not readable, E211 unknown format; E216, E217, E247, E501 by the format's reader.
    """
    try:
        with open_regular(path) as file:
            beginning = file.read(16)
    except OSError as error:
        facts = {"cause": error.strerror}
        raise MyoedgeError("E210", f"{path} cannot be opened", facts) from None
    if (added := ADDED.get(path.suffix.lower())) is not None:
        return added(path, reading)
    if (other := OTHERS.get(path.suffix.lower())) is not None:
        cause, remedy = other
        raise unreadable(path, cause, (remedy.replace("PATH", repr(path.name)),))
    reader = next((r for start, r in BEGINNINGS.items() if beginning.startswith(start)), None)
    reader = reader or ENDINGS.get(path.suffix.lower())
    if reader is None:
        cause = f"neither its first bytes nor its ending is of {', '.join(KINDS)}"
        raise unreadable(path, cause)
    return reader(path, reading)


def files_of(path: Path) -> Sequence[Path]:
    """Return the file, or the files of a folder or a pattern such as "recordings/*.csv", sorted by
    name.

    Errors: E210 no file, E246 a folder without samples, or with several formats.
    """
    if os.path.isdir(path):
        files = sorted(f for name in _names(path) if (f := path / name).is_file())
        _check_folder(path, files)
        return files
    if WILD & {*path.name} and not os.path.exists(path):
        names = fnmatch.filter(_names(path.parent), path.name)
        files = sorted(f for name in names if (f := path.parent / name).is_file())
        if files:
            return files
    check_there(path)
    return [path]


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, without hidden ones. Errors: E210 if it cannot be read."""
    try:
        return [name for name in os.listdir(folder) if name[0] != "."]
    except OSError as error:
        facts = {"cause": error.strerror}
        raise MyoedgeError("E210", f"{folder} cannot be read", facts) from None


def check_there(path: Path) -> None:
    """Raise E210 if there is no sample file at the path."""
    if not os.path.isfile(path):
        there = "is no file" if os.path.exists(path) else "does not exist"
        kind = "is a folder" if os.path.isdir(path) else there
        raise MyoedgeError("E210", f"the file of samples {path} {kind}", tries=[MAKE_CALIBRATION])


def _check_folder(folder: Path, files: Sequence[Path]) -> None:
    """Raise E246 if a folder has no sample files, or files of several formats."""
    counts = Counter(file.suffix.lower() for file in files)
    found = ", ".join(f"{n} {kind or 'without an ending'}" for kind, n in sorted(counts.items()))
    known = [*filter(counts.__contains__, (*KINDS, *ADDED))]
    if len(counts) == 1 and known:
        return
    facts = {"needs": f"files of one format: {', '.join(KINDS)}", "has": found or "no files"}
    if known:
        title = f"the folder {folder} holds files of several formats"
        tries = [f"--calib '{folder}/*{kind}'" for kind in known]
    else:
        title = f"the folder {folder} holds no samples"
        inner = min((f for name in _names(folder) if (f := folder / name).is_dir()), default=None)
        tries = [MAKE_CALIBRATION if inner is None else f"--calib {quote(str(inner))}"]
    raise MyoedgeError("E246", title, facts, tries)
