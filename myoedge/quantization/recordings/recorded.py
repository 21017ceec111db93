# SPDX-License-Identifier: Apache-2.0
"""Windows of the network's length, cut from recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Shape
from myoedge.numerics.arrays import Array
from myoedge.quantization.accuracy import can_measure_accuracy, decides_every_row
from myoedge.quantization.labels import is_whole
from myoedge.quantization.recordings.reading import Reading, check_size, one_each
from myoedge.quantization.recordings.windows import WindowLayout, cut, layout, starts
from myoedge.quantization.samples import FINITE, Data, label_as_input, window


def windowed(data: Data, graph: Graph, reading: Reading) -> Data:
    """Cut recordings [rows, channels] or [rows] into windows, for a network with one input; other
    data is returned unchanged.

    All rows of a window are from one file. If the network has a class for every row, a window has
    the labels of all its rows. Otherwise, if there are class labels, all rows are of one class,
    which becomes its label; if labels are targets, a window has those of its last row. Errors: E216
    NaN, E218 labels, E247 too large, E255 a recording that cannot be cut.
    """
    data = label_as_input(data, graph)
    if _is_single_window(data, graph, reading):
        return replace(data, inputs={n: x[None] for n, x in data.inputs.items()}, lengths=())
    x = _find_recording(data, graph, reading)
    if x is None:
        return data
    shape = graph.shape(graph.inputs[0])
    found = layout(shape, x.shape[1], reading.window)
    if found is None:
        raise _layout_error(data, x, shape, reading)
    _check_labels(data, x)
    _check_finite(data, x)
    lengths = data.lengths or (len(x),)
    hop = reading.hop or found.rows
    labels, of_window = data.labels, _rows_of_labels(data, graph, found.rows)
    is_one_class = labels is not None and is_whole(labels) and of_window.size == 1
    first = starts(lengths, labels if is_one_class else None, found.rows, hop)
    if not len(x):
        raise MyoedgeError("E215", f"{data.source} holds no rows")
    if not len(first):
        raise _recording_too_short_error(data, found, lengths)
    tries = (f"[calib] hop = {2 * hop}", "[calib] hop = 1000")
    check_size(data.source, 4 * len(first) * found.rows * x.shape[1], tries[:1], reading)
    windows = cut(x.astype(np.float32), first, found, shape)
    source = f"{data.source}, cut into windows of {found.rows} every {hop}"
    of_windows = None if labels is None else labels[np.add.outer(first, of_window)]
    (name,) = data.inputs
    return replace(data, inputs={name: windows}, labels=of_windows, source=source, lengths=())


def _rows_of_labels(data: Data, graph: Graph, rows: int) -> Array:
    """Return the rows of a window whose labels are kept, counted from its first row: all of them
    [rows], or one as a scalar."""
    labels = data.labels
    if labels is None or not is_whole(labels):
        return np.array(rows - 1)  # of targets, the last
    if labels.ndim == 1 and can_measure_accuracy(graph) and decides_every_row(graph, rows):
        return np.arange(rows)
    return np.array(0)


def first_sample(data: Data, reading: Reading) -> tuple[Array, ...]:
    """Return the arrays of one sample, for a network whose input shapes are not known yet: of a
    recording, the first window, channels first."""
    arrays = [*data.inputs.values()] or [np.asarray(data.labels)]
    if reading.window is not None and all(x.ndim <= 2 for x in arrays):
        return tuple(np.atleast_2d(x[: reading.window].T) for x in arrays)
    return tuple(x[0] for x in arrays if x.ndim and len(x))


def _is_single_window(data: Data, graph: Graph, reading: Reading) -> bool:
    """Return whether the only array is a single window for the only input, without a sample
    axis."""
    cuts = (reading.window, reading.hop, reading.columns)
    if len(graph.inputs) != 1 or len(data.inputs) != 1 or cuts != (None, None, None):
        return False
    (x,), shape = data.inputs.values(), window(graph.shape(graph.inputs[0]))
    return len(shape) > 1 and x.shape == shape and (data.labels is None or len(data.labels) == 1)


def _find_recording(data: Data, graph: Graph, reading: Reading) -> Array | None:
    """Return the recording, [rows, channels]; None if the data is not a recording."""
    x = next(iter(data.inputs.values()))
    is_only = len(graph.inputs) == len(data.inputs) == 1
    if not is_only or x.ndim > 2 or x.dtype.kind not in "fiub":
        _refuse_window(data, reading)
        return None
    shape = graph.shape(graph.inputs[0])
    are_windows = x.ndim == 2 and x.shape[1:] in (shape, window(shape))
    if x.ndim == 0 or (reading.window is None and are_windows):
        return None
    channels = x[:, None] if x.ndim == 1 else x
    if reading.columns is not None and not data.columns:
        channels = _select_columns(data, channels, reading.columns)
    sizes = sum(size > 1 for size in shape)
    return channels if sizes == 2 or channels.shape[1] == sizes == 1 or reading.window else None


def _refuse_window(data: Data, reading: Reading) -> None:
    """Raise E255 if [calib] window is set for data that are not a recording."""
    if reading.window is not None:
        facts = {"needs": "one array [rows, channels], for a network with one input"}
        facts |= {"has": ", ".join(f"{n} {list(a.shape)}" for n, a in data.inputs.items())}
        tries = ["no window in [calib]: these are windows already"]
        raise MyoedgeError("E255", f"{data.source} is no recording to cut", facts, tries)


def _select_columns(data: Data, x: Array, chosen: tuple[str | int, ...]) -> Array:
    """Select columns by number. Errors: E255 no such column."""
    known = [c for c in chosen if isinstance(c, int) and 0 <= c < x.shape[1]]
    wrong = [c for c in chosen if c not in known]
    if wrong:
        facts = {"has": f"{x.shape[1]} columns without names, counted from 0"}
        raise MyoedgeError("E255", f"{data.source} has no column {wrong[0]!r}", facts)
    return x[:, known]


def _check_labels(data: Data, x: Array) -> None:
    """Raise E218 if the number of labels differs from the number of rows."""
    if data.labels is not None and len(data.labels) != len(x):
        facts = {"rows": len(x), "label": list(data.labels.shape)}
        title = f"{data.source}: the labels are not one for every row"
        raise MyoedgeError("E218", title, facts, one_each(data.labels, len(x)))


def _check_finite(data: Data, x: Array) -> None:
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        facts = {"first in row": int(np.argmax(bad)), "rows": f"{int(bad.sum()):,} of {len(x):,}"}
        tries = ["emg = emg[np.isfinite(emg).all(axis=1)]  # leaves such rows out", FINITE[0]]
        raise MyoedgeError("E216", f"{data.source} holds NaN or infinite values", facts, tries)


# --- recordings that do not fit -------------------------------------------------------------------


def _recording_too_short_error(
    data: Data, found: WindowLayout, lengths: tuple[int, ...]
) -> MyoedgeError:
    facts = {"needs": f"{found.rows} rows at least", "longest": f"{max(lengths):,} rows"}
    if max(lengths) >= found.rows:
        facts = {"needs": f"{found.rows} rows of one class in a row"}
    title = f"{data.source}: a window is longer than the recording"
    return MyoedgeError("E255", title, facts, ["a longer recording"])


def _layout_error(data: Data, x: Array, shape: Shape, reading: Reading) -> MyoedgeError:
    """Return E255 for a recording that does not fit the input, with a remedy by its sizes."""
    sizes = [size for size in window(shape) if size > 1]
    rows, channels = x.shape
    facts = {
        "needs": f"windows of {' x '.join(map(str, window(shape)))}, as the model's input",
        "has": f"{rows:,} rows of {channels} channels",
    }
    if data.aside:
        facts["left out"] = ", ".join(data.aside)
    if reading.window is not None and layout(shape, channels):
        found = layout(shape, channels)
        assert found is not None
        facts["window"] = str(reading.window)
        title = f"the model reads windows of {found.rows} rows, not of {reading.window}"
        return MyoedgeError("E255", title, facts, [f"[calib] window = {found.rows}"])
    title = f"{data.source} does not have the channels of the model's input"
    return MyoedgeError("E255", title, facts, [*_column_count_remedies(data, x, sizes)])


def _column_count_remedies(data: Data, x: Array, sizes: list[int]) -> Iterator[str]:
    """Yield remedies for a recording with the wrong number of channels."""
    rows, channels = x.shape
    if rows in sizes and channels not in sizes:
        yield 'np.save("calib.npy", recording.T)  # [rows, channels]: a row for every moment'
    fewer = [size for size in sizes if size < channels]
    if fewer:
        is_time = channels - 1 in sizes and bool((np.diff(x[:, 0]) > 0).all())
        wanted = range(1, channels) if is_time else range(max(fewer))
        names = [data.columns[i] if data.columns else i for i in wanted]
        listed = str(names).replace("'", '"')
        note = "  # the first column is the time" * is_time
        yield f"[calib] columns = {listed}{note}"
    yield "myoedge inspect MODEL  shows the shape of the input"
