# SPDX-License-Identifier: Apache-2.0
"""MAT files of versions 4 to 7, and WAV files, read with scipy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.extensions.recordings.libraries import library, reading_of
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.reading import (
    ONLY,
    Content,
    Reading,
    check_size,
    found_name,
    unreadable,
)

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
        rows = [row for row in variables if _should_read(row, label, reading)]
        check_size(path.name, sum(map(_variable_bytes, rows)), SHORTER_MAT, reading)
        names = [name for name, _, _ in rows]
        found = io.loadmat(path, appendmat=False, variable_names=names) if names else {}
    if not names and kinds:
        raise _no_arrays_error(path, kinds)
    arrays = {n: _as_strings(found[n]) for n in names if n in found}
    return of_matlab(arrays, label)


def _no_arrays_error(path: Path, kinds: Mapping[str, str]) -> MyoedgeError:
    """Return E211 for a file without numeric arrays, which may be in structs or cells."""
    kind = next(filter(INSIDE.__contains__, kinds.values()), next(iter(kinds.values())))
    names = [name for name, own in kinds.items() if own == kind]
    inside = INSIDE.get(kind, "double({})").format(names[0])
    tries = (f"emg = {inside}; save('calib.mat', 'emg', '-v7')  % in MATLAB",)
    return unreadable(path, f"it holds no arrays but {kind}s: {', '.join(names)}", tries)


def _variable_bytes(row: tuple[str, tuple[int, ...], str]) -> int:
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


def _should_read(
    row: tuple[str, tuple[int, ...], str], label: str | None, reading: Reading
) -> bool:
    """Return whether a variable is a numeric array to read, class names, or a single number."""
    name, shape, kind = row
    is_asked = reading.array is None or name in (reading.array, label) or math.prod(shape) == 1
    return is_asked and (kind in NUMERIC or (kind in TEXTS and name == label))


def _as_strings(x: Array) -> Array:
    """Convert cells and rows of characters to strings; numbers are unchanged."""
    if x.dtype.kind == "O":
        return np.array(["".join(map(str, np.ravel(cell))).strip() for cell in x.ravel()])
    return np.char.strip(x) if x.dtype.kind == "U" else x


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
