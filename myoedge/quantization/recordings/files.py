# SPDX-License-Identifier: Apache-2.0
"""Reading of sample files: formats detected by content; folders and file patterns."""

from __future__ import annotations

import fnmatch
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote

from myoedge.errors import MyoedgeError
from myoedge.extension import ReaderHook
from myoedge.quantization.recordings.reading import MAKE_CALIBRATION, Content, Reading, unreadable
from myoedge.system.hooks import hooks, load
from myoedge.system.regular_files import open_regular

Reader = Callable[[Path, Reading], Content]

OWN = (  # formats of the core
    ReaderHook("npz", (".npz",), "myoedge.quantization.recordings.numpy_files:read_npz", (b"PK",)),
    ReaderHook(
        "npy", (".npy",), "myoedge.quantization.recordings.numpy_files:read_npy", (b"\x93NUMPY",)
    ),
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
    content: Content = load(reader.place)(path, reading)
    return content


def _format_of(beginning: bytes, ending: str) -> ReaderHook | None:
    """Return the format of a file by its first 16 bytes, or else by its ending."""
    for reader in formats():
        if beginning.startswith(reader.beginnings):
            return reader
    return next((r for r in formats() if r.by_ending and ending in r.endings), None)


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
