# SPDX-License-Identifier: Apache-2.0
"""Settings for reading samples, and errors that all formats share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.errors import Facts, MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.system.regular_files import MAX_UNPACKED_BYTES
from myoedge.system.user_code import cause_of, converted

LABEL = "label"
ONLY = "input"  # name of the array for a network's only input, whatever the input's name
MAKE_CALIBRATION = """import numpy as np
windows = ...  # float32 [samples, *input shape], real recordings
np.savez("calib.npz", input=windows)"""


UNLABELLED = "leave out label: without it no accuracy is measured"
RATES = ("fs", "rate", "samplingrate", "samplerate", "samplingfrequency", "sfreq", "srate")
LIKELY_LABELS = ("labels", "y", "target", "targets", "class", "classes", "gesture", "gestures")
# Replacements in remedies for samples that are not for calibration, as set_in expects them.
OF_LABELLED = {
    UNLABELLED: "",
    "input=windows)": "input=windows, label=classes)",
    "[calib] label =": "[test] label =",
    "[calib] label,": "[test] label, [calib]",
}


def of_option(option: str) -> dict[str, str]:
    """Return replacements that make messages about --calib fit another option, such as
    "--input"."""
    name = option.removeprefix("--")
    return {"calib.npz": f"{name}.npz", "--calib": option, "calib=": f"{name}="}


OF_TEST = OF_LABELLED | of_option("--test")


UNMASKED = (
    "x[~np.ma.getmaskarray(x).any(axis=tuple(range(1, x.ndim)))]: the windows without such values",
    "x.filled(0): a number of yours in their place",
)
DENSE = "windows.to_dense(), or windows.to_padded_tensor(0.0) if it is nested"


Scales = tuple[tuple[str, float], ...]  # factors by file name pattern


def factor_of(scales: Scales, source: str) -> float:
    """Return the scale factor for a file's samples: that of the last pattern that matches its name.

    scales   (file name pattern, factor)
    source   name of the file
    """
    found = [factor for pattern, factor in scales if fnmatchcase(source, pattern)]
    return found[-1] if found else 1.0


@dataclass(frozen=True)
class Reading:
    """Settings [calib] of myoedge.toml: how samples are read from files.

    window    window length in rows of a recording; None: the network's time axis
    hop       rows between the starts of windows; None: the window length
    label     array or column of class numbers, class names or targets
    classes   class names in order; (): the names among the labels, sorted
    array     array to use from a file with several, for the only input; None: all arrays
    columns   columns of a recording, by name or counted from 0; None: all except `label`
    scales    (file name pattern, factor to the unit of training)
    max_bytes maximum bytes of all samples in memory
    """

    window: int | None = None
    hop: int | None = None
    label: str | int = LABEL
    array: str | None = None
    columns: tuple[str | int, ...] | None = None
    scales: Scales = ()
    classes: tuple[str, ...] = ()
    max_bytes: int = MAX_UNPACKED_BYTES


@dataclass(frozen=True)
class Content:
    """Content of a sample file.

    arrays     arrays by name; "input" if the format has no names
    columns    names of the columns of a recording, if known
    settings   single values of the file by name, such as "fs"
    label      name of the column that is the label; "" if there is none
    unit       unit of all signals; "" if unknown
    aside      names of columns that are neither signal nor label
    """

    arrays: Mapping[str, Array]
    columns: tuple[str, ...] = ()
    settings: Mapping[str, Array] = field(default_factory=dict)
    label: str = ""
    unit: str = ""
    aside: tuple[str, ...] = ()

    @property
    def rates(self) -> dict[str, Array]:
        """Return the settings that are named as a sampling rate."""
        return {n: x for n, x in self.settings.items() if is_rate(n)}


def is_rate(name: str) -> bool:
    """Return whether a name is that of a sampling rate."""
    return folded(name).replace("_", "") in RATES


def folded(name: str) -> str:
    """Return a name without case and blanks, by which names of columns and classes are compared."""
    return "".join(name.split()).casefold()


def found_name(names: Iterable[str], wanted: str | int) -> str | None:
    """Return the name that is wanted, or the only one that differs from it in case and blanks."""
    known = [*names]
    if wanted in known:
        return str(wanted)
    alike = [name for name in known if folded(name) == folded(str(wanted))]
    return alike[0] if len(alike) == 1 else None


def is_array(value: object) -> bool:
    """Return whether a value is an array or converts to one directly, such as a tensor or data
    frame."""
    return hasattr(value, "__array__")


def _as_array(value: Any, title: str) -> Any:
    """Convert a torch tensor on any device to an array; other values are unchanged. Errors: E248 a
    tensor that NumPy cannot hold, such as a sparse or nested one."""
    if not hasattr(value, "detach"):
        return value

    def no_array(error: BaseException) -> MyoedgeError:
        shown = f"{title} cannot be made a NumPy array"
        return MyoedgeError("E248", shown, {"cause": cause_of(error)}, [DENSE])

    with converted(no_array):
        tensor = value.detach().cpu()
        try:
            return tensor.numpy()
        except TypeError:  # bfloat16, which NumPy does not have
            return tensor.float().numpy()


def plain(values: Any, title: str) -> Array:
    """Convert a user's values to an array; `title` names them in messages.

    Errors: E216 masked values of np.ma, E248 tensors that cannot be converted.
    """
    parts = values if isinstance(values, list | tuple) else [values]
    hidden = sum(
        int(np.ma.getmaskarray(x).sum()) for x in parts if isinstance(x, np.ma.MaskedArray)
    )
    if hidden:
        shown = f"{title} hides {hidden:,} value{'s' * (hidden > 1)} by a mask"
        raise MyoedgeError("E216", shown, {"has": "a masked array of np.ma"}, UNMASKED)
    if isinstance(values, list | tuple):
        return np.asarray([_as_array(x, title) for x in values])
    return np.asarray(_as_array(values, title))


def unreadable(
    path: Path | str, cause: str, tries: tuple[str, ...] = (MAKE_CALIBRATION,)
) -> MyoedgeError:
    """Return error E211 for a file that cannot be read.

    path    the file, or its name
    cause   the reason
    tries   suggested remedies
    """
    title = f"{path if isinstance(path, str) else path.name} cannot be read as samples"
    return MyoedgeError("E211", title, {"cause": cause}, tries)


def check_size(name: str, size_bytes: int, tries: tuple[str, ...], reading: Reading) -> None:
    """Raise E247 if `size_bytes` exceeds the limit of `reading`.

    name    name of the file, for the message
    tries   suggested remedies, for the message
    """
    most_bytes = reading.max_bytes
    if size_bytes > most_bytes:
        facts: Facts = {"needs": f"{most_bytes:,} bytes at most", "has": f"{size_bytes:,} bytes"}
        tries = (*tries, f"build --max-bytes {-(-size_bytes >> 20)}MiB")
        raise MyoedgeError("E247", f"{name} is too large to calibrate with", facts, tries)


def one_each(labels: Array, count: int) -> tuple[str]:
    """Return a remedy for labels of the wrong shape: code that transposes or reshapes them,
    otherwise the required number."""
    if labels.ndim == 2 and labels.shape[1] == count:
        return ("label=label.T",)
    if labels.size > count > 0 and labels.size % count == 0:
        return (f"label=label.reshape({count}, -1)",)
    return (f"{LABEL}: {count} of them, in the order of the windows or rows",)


def label_lines(arrays: Iterable[str]) -> Iterator[str]:
    """Yield a [calib] line for myoedge.toml for each array whose name suggests labels."""
    known = (LABEL, *LIKELY_LABELS)
    yield from (f'[calib] label = "{name}"' for name in arrays if name.lower() in known)


def no_such_name(source: str, name: str | int, has: str) -> MyoedgeError:
    """Return error E211 for an array or column that [calib] names and the file does not have.

    source   name of the file
    has      the names that exist, joined by commas
    """
    lines = label_lines(has.split(", "))
    tries = (*lines, "[calib] label, array and columns are names of what the file holds")
    title = f"{source} has no array or column {name!r}"
    return MyoedgeError("E211", title, {"has": has or "nothing"}, tries)


def no_labels(source: str, inputs: Sequence[str], columns: Sequence[str]) -> MyoedgeError:
    """Return error E211 for a test set without labels, with the line of code that saves one with
    labels."""
    has = columns or inputs
    arrays = ", ".join(f"{name}=x{n or ''}" for n, name in enumerate(inputs))
    made = f'np.savez("calib.npz", {arrays}, label=y)'
    given = ", ".join(f"{name!r}: x{n or ''}" for n, name in enumerate(inputs))
    made = f"calib={{{given}, 'label': y}}" if source.startswith("the ") else made
    made = f"a column {LABEL} beside them" if columns else made
    title = f"{source} has no array or column {LABEL!r}"
    return MyoedgeError("E211", title, {"has": ", ".join(has)}, [*label_lines(has)] or [made])
