# SPDX-License-Identifier: Apache-2.0
"""Reading of sample files: formats detected by content; folders and file patterns; npz and npy
files, read without unpickling."""

from __future__ import annotations

import fnmatch
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.extension import ReaderHook
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.columns import content_of, named_columns
from myoedge.quantization.recordings.reading import (
    MAKE_CALIBRATION,
    ONLY,
    Content,
    Reading,
    check_size,
    is_rate,
    unreadable,
)
from myoedge.system.hooks import hooks, load
from myoedge.system.regular_files import in_steps, open_regular

Reader = Callable[[Path, Reading], Content]

OWN = (  # formats of the core
    ReaderHook("npz", (".npz",), "myoedge.quantization.recordings.files:read_npz", (b"PK",)),
    ReaderHook("npy", (".npy",), "myoedge.quantization.recordings.files:read_npy", (b"\x93NUMPY",)),
)
PARQUET = "import pandas; pandas.read_parquet(PATH).to_csv('calib.csv', index=False)"
AS_CSV = "the sheet saved as CSV, in the program that wrote it"
OTHERS: Mapping[str, tuple[str, str]] = {  # endings of formats with a remedy of their own
    **dict.fromkeys((".parquet", ".pq"), ("it is a Parquet file", PARQUET)),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), ("it is a workbook", AS_CSV)),
}
ADDED: dict[str, Reader] = {}  # readers of plug-ins, by file extension
WILD = frozenset("*?[")


def formats() -> Iterator[ReaderHook]:
    """Yield the formats of sample files: those of the core, and of extensions."""
    yield from OWN
    yield from hooks("readers")


def kinds() -> tuple[str, ...]:
    """Return the endings of sample files of all formats."""
    return tuple(ending for reader in formats() for ending in reader.endings)


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
    if (reader := _format_of(beginning, path.suffix.lower())) is None:
        raise unreadable(path, _no_format(beginning, path.suffix.lower()))
    content: Content = load(reader)(path, reading)
    return content


def _format_of(beginning: bytes, ending: str) -> ReaderHook | None:
    """Return the format of a file by its first 16 bytes, or else by its ending."""
    for reader in formats():
        if beginning.startswith(reader.beginnings):
            return reader
    named = (r for r in formats() if ending in r.endings and (r.by_ending or not r.beginnings))
    return next(named, None)


def _no_format(beginning: bytes, ending: str) -> str:
    """Return why a file is of no format, by its first 16 bytes and its ending."""
    if not beginning:
        return "it is empty"
    if (named := next((r for r in formats() if ending in r.endings), None)) is not None:
        first = " or ".join(map(repr, named.beginnings))
        return (
            f"it is no {named.name} file, which begins with {first}: it begins with {beginning!r}"
        )
    return f"neither its first bytes nor its ending is of {', '.join(kinds())}"


def files_of(path: Path) -> Sequence[Path]:
    """Return the file, or the files of a folder or a pattern such as "recordings/*.csv", sorted by
    name.

    Errors: E210 no file, E246 a folder without samples, or with several formats.
    """
    if os.path.isdir(path):
        files = sorted(f for name in _list_folder(path) if (f := path / name).is_file())
        _check_folder(path, files)
        return files
    if WILD & {*path.name} and not os.path.exists(path):
        names = fnmatch.filter(_list_folder(path.parent), path.name)
        files = sorted(f for name in names if (f := path.parent / name).is_file())
        if files:
            return files
    check_there(path)
    return [path]


def _list_folder(folder: Path) -> list[str]:
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
    known = [*filter(counts.__contains__, (*kinds(), *ADDED))]
    if len(counts) == 1 and known:
        return
    facts = {"needs": f"files of one format: {', '.join(kinds())}", "has": found or "no files"}
    if known:
        title = f"the folder {folder} holds files of several formats"
        tries = [f"--calib '{folder}/*{kind}'" for kind in known]
    else:
        title = f"the folder {folder} holds no samples"
        inner = min(
            (f for name in _list_folder(folder) if (f := folder / name).is_dir()), default=None
        )
        tries = [MAKE_CALIBRATION if inner is None else f"--calib {quote(str(inner))}"]
    raise MyoedgeError("E246", title, facts, tries)


# --- npz and npy files, read without unpickling ---------------------------------------------------

FEWER = ("np.savez(..., input=windows[::10])  # some hundred windows are enough",)


def read_npz(path: Path, reading: Reading) -> Content:
    """Read the arrays of an npz file by name; other members are skipped, and single numbers are
    settings.

    Errors: E211 damaged, E217 pickled, E247 too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if not all(map(in_steps, members)):
            raise unreadable(path, "its members are neither stored nor deflated")
        unpacked = sum(member.file_size for member in members)
        check_size(path.name, unpacked, FEWER, reading)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except MyoedgeError:
        raise
    except Exception as error:  # zipfile, zlib, tokenize and numpy raise different exceptions
        raise _damaged_file_error(path, error) from None
    return _drop_settings(
        {name: x for name, x in arrays.items() if isinstance(x, np.ndarray)}, reading
    )


def _drop_settings(arrays: dict[str, Array], reading: Reading) -> Content:
    """Return the signals apart from single values of the recording, such as its rate; samples have
    an axis."""
    single = {n for n, x in arrays.items() if x.ndim == 0 or (x.size == 1 and is_rate(n))}
    single -= {reading.label, reading.array}
    signals = {n: x for n, x in arrays.items() if n not in single} or arrays
    settings = {n: arrays[n].reshape(()) for n in arrays.keys() - signals.keys()}
    return Content(signals, settings=settings)


def read_npy(path: Path, reading: Reading) -> Content:
    """Read the array of an npy file; the fields of a structured one are columns. Errors: as
    read_npz."""
    try:
        mapped = np.load(path, allow_pickle=False, mmap_mode="r")  # reads only the header
        check_size(path.name, mapped.nbytes, FEWER, reading)
        if mapped.dtype.names and mapped.ndim == 1:
            return content_of(path.name, [*named_columns(mapped)], reading, {})
        return Content({ONLY: np.array(mapped)})
    except MyoedgeError:
        raise
    except Exception as error:
        raise _damaged_file_error(path, error) from None


def _damaged_file_error(path: Path, error: Exception) -> MyoedgeError:
    if "pickle" in str(error).lower() or "python object" in str(error).lower():
        return MyoedgeError(
            "E217",
            f"{path.name} holds pickled arrays, which could run code when they are read",
            {"needs": "arrays of numbers"},
            ["np.savez(..., input=np.asarray(windows, dtype=np.float32))"],
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return unreadable(path, f"it is cut off or damaged: {reason}")
