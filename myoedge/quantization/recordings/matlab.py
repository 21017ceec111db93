# SPDX-License-Identifier: Apache-2.0
"""MAT files of versions 4 to 7, read with scipy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.reading import Content, Reading, check_size, unreadable
from myoedge.system.extras import install_command

NUMERIC = {
    **dict.fromkeys(("int8", "uint8", "logical"), 1), **dict.fromkeys(("int16", "uint16"), 2),
    **dict.fromkeys(("int32", "uint32", "single"), 4), **dict.fromkeys(("int64", "uint64"), 8),
    "double": 8,
}  # fmt: skip  # bytes of a number, by MATLAB's class
TEXTS = ("char", "cell")  # MATLAB's classes of text, which only labels may have
AS_VERSION_7 = ("save('calib.mat', 'emg', '-v7')  % in MATLAB",)
SHORTER = ("emg = emg(1:10:end, :); save('calib.mat', 'emg', '-v7')  % fewer rows, in MATLAB",)


def read_mat(path: Path, reading: Reading) -> Content:
    """Read the numeric variables of a MATLAB file by name, and labels, which may be text; other
    variables are skipped.

    Errors: E211 damaged, or of version 7.3; E247 too large; E501 without scipy.
    """
    io = _scipy_io()
    try:
        rows = [row for row in io.whosmat(path, appendmat=False) if _is_read(row, reading)]
        names = [name for name, _, _ in rows]
        check_size(
            path.name,
            sum(NUMERIC.get(kind, 8) * math.prod(n) for _, n, kind in rows),
            SHORTER,
            reading,
        )
        found = io.loadmat(path, appendmat=False, variable_names=names) if names else {}
    except MyoedgeError:
        raise
    except NotImplementedError:  # scipy raises it for HDF5
        raise is_hdf5(path) from None
    except Exception as error:  # scipy may raise anything on a damaged file
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise unreadable(path, cause, AS_VERSION_7) from None
    arrays = {n: _texts(found[n]) for n in names if isinstance(found.get(n), np.ndarray)}
    # MATLAB arrays have two axes or more: [1, n] is a row of labels, or one channel.
    return Content(
        {n: x[0] if x.shape[:1] == (1,) and x.ndim == 2 else x for n, x in arrays.items()}
    )


def is_hdf5(path: Path) -> MyoedgeError:
    """Return error E211 for HDF5 files, such as MATLAB 7.3, which cannot be read."""
    return unreadable(path, "HDF5, as MATLAB's version 7.3 writes it", AS_VERSION_7)


def _is_read(row: tuple[str, tuple[int, ...], str], reading: Reading) -> bool:
    """Return whether a variable is a numeric array to read, or class names."""
    name, _, kind = row
    is_label = name == str(reading.label)
    is_asked = reading.array is None or name == reading.array or is_label
    return is_asked and (kind in NUMERIC or (kind in TEXTS and is_label))


def _texts(x: Array) -> Array:
    """Convert cells and rows of characters to strings; numbers are unchanged."""
    if x.dtype.kind == "O":
        return np.array(["".join(map(str, np.ravel(cell))).strip() for cell in x.ravel()])
    return np.char.strip(x) if x.dtype.kind == "U" else x


def _scipy_io() -> Any:
    try:
        from scipy import io
    except ImportError:
        tries = [install_command("mat")]
        raise MyoedgeError(
            "E501", "scipy is not installed: MAT files need it", tries=tries
        ) from None
    return io
