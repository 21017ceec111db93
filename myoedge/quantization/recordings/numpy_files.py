# SPDX-License-Identifier: Apache-2.0
"""npz and npy files, read without unpickling."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.columns import content_of, named_columns
from myoedge.quantization.recordings.reading import (
    ONLY,
    Content,
    Reading,
    check_size,
    is_rate,
    unreadable,
)
from myoedge.system.regular_files import in_steps

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
    wanted = (reading.label, reading.array)
    signals = {n: x for n, x in arrays.items() if n in wanted or not _is_setting(n, x)} or arrays
    settings = {n: arrays[n].reshape(()) for n in arrays.keys() - signals.keys()}
    return Content(signals, settings=settings)


def _is_setting(name: str, x: Array) -> bool:
    """Return whether an array is a single value of the recording, such as its rate; samples have an
    axis."""
    return x.ndim == 0 or (x.size == 1 and is_rate(name))


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
