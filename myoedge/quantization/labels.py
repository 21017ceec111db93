# SPDX-License-Identifier: Apache-2.0
"""Labels of samples: class numbers, class names, one-hot rows, or regression targets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.errors import MyoedgeError, escaped
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.accuracy import can_measure_accuracy, class_axis, is_binary
from myoedge.quantization.recordings.reading import UNLABELLED, folded
from myoedge.system.control_characters import is_refused
from myoedge.system.toml_text import toml_text

MOST_SHOWN = 8  # number of names in an error


def fitted_labels(
    labels: Array, graph: Graph, names: Sequence[str] = (), title: str = "label"
) -> tuple[Array, tuple[str, ...]]:
    """Convert labels to the form of the network's first output; return the labels and the class
    names.

    labels   per sample: class numbers or names, per sample or frame; one-hot rows; or targets, as
             many as the first output or all outputs have elements
    names    class names in order; (): the names among the labels, sorted
    title    name of the labels in errors: "label of test.npz"
    -> int64 classes [samples] or [samples, frames]; float64 targets [samples, targets]
    Errors: E214 neither classes nor targets, E216 NaN, E225 unknown classes.
    """
    labels = _with_text_labels(labels, names)
    if labels.dtype.kind == "U":
        return _number_labels(labels, graph, names, title)
    if labels.dtype.kind not in "iubf":
        raise _unusable_labels_error(labels, graph, title)
    _check_finite(labels, title)
    if not can_measure_accuracy(graph):  # lists of symbols (W202): any label is accepted
        return labels.astype(np.int64), ()
    if (classes := _class_indices_of_one_hot(labels, graph)) is not None:
        return classes, (*names,)
    _check_one_hot_columns(labels, graph, title)
    whole = is_whole(labels)
    if whole and not _are_regression_targets(labels, graph):
        _check_classes(labels, graph, len(names), title)
        return labels.astype(np.int64), (*names,)
    targets = labels.reshape(len(labels), -1).astype(np.float64)
    if targets.shape[1] not in _target_counts(graph):
        raise _unusable_labels_error(labels, graph, title)
    return targets, ()


def _check_finite(labels: Array, title: str) -> None:
    """Raise E216 for the first sample with NaN or infinity."""
    bad = ~np.asarray(np.isfinite(labels.reshape(len(labels), -1)).all(axis=1))
    if bad.any():
        facts = {
            "first in sample": int(np.argmax(bad)),
            "samples": f"{bad.sum():,} of {len(bad):,}",
        }
        tries = ["keep = np.isfinite(label): x[keep] and label[keep] are the others"]
        raise MyoedgeError("E216", f"{title} holds NaN or infinite values", facts, tries)


def is_whole(labels: Array) -> bool:
    """Return whether all labels are integers, as class numbers are."""
    return labels.dtype.kind != "f" or bool((labels == np.rint(labels)).all())


def _with_text_labels(labels: Array, names: Sequence[str]) -> Array:
    """Convert bytes, Python strings, and whole numbers if all of them are class names, such as "1",
    "2" and "5", to an array of strings; other labels are unchanged."""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "backslashreplace")
    if labels.dtype.kind == "O" and all(isinstance(x, str) for x in labels.flat):
        return labels.astype(str)
    if not names or labels.dtype.kind not in "iubf" or not np.isfinite(labels).all():
        return labels
    texts: Array = labels.astype(np.int64).astype(str)
    return texts if is_whole(labels) and {*texts.ravel().tolist()} <= {*names} else labels


def _number_labels(
    labels: Array, graph: Graph, names: Sequence[str], title: str
) -> tuple[Array, tuple[str, ...]]:
    """Convert label names to class numbers; return them and the class names. Errors: E214 names for
    a network with one output value, E225 unknown class names."""
    spelled = names or {folded(str(name)) for name in np.unique(labels)}
    counts = class_counts(graph, _count_frames(labels), len(spelled))
    classes = counts[0]
    labels, known = _match_spelling(labels, names, classes)
    found = np.unique(labels)
    if counts == (1,):
        raise _unusable_labels_error(labels, graph, title)
    if len(counts) > 1 or len(known) != classes or not {*found} <= {*known}:
        raise _unknown_names_error([*map(str, found)], names, counts, graph, title)
    numbers = {name: number for number, name in enumerate(known)}
    places = np.array([numbers[str(name)] for name in found])
    return places[np.searchsorted(found, labels)], known


def _unknown_names_error(
    found: Sequence[str], names: Sequence[str], counts: Sequence[int], graph: Graph, title: str
) -> MyoedgeError:
    """Return E225 for labels that are not the names of the classes.

    found    names among the labels
    names    class names of [calib]
    counts   as class_counts
    """
    facts = {
        "needs": f"names of {_format_alternatives(counts)} classes",
        "has": _format_names(found),
    }
    facts |= {"[calib] classes": _format_names(names)} if names else {}
    if len(counts) > 1:  # several long axes
        shape = "x".join(map(str, graph.shape(graph.outputs[0])))
        along = "classes along one axis, frames along the others"
        facts["ambiguous"] = f"the first output is {shape}: {along}"
    tries = [_class_names_remedy(found, names, count) for count in counts]
    return MyoedgeError("E225", f"{title}: not the classes of the network", facts, tries)


def _match_spelling(
    labels: Array, names: Sequence[str], classes: int
) -> tuple[Array, tuple[str, ...]]:
    """Return labels as they are spelled among the class names, and these names.

    Case and blanks count only if the names would otherwise not be those of `classes` classes.
    names   class names in order; (): the names among the labels, sorted
    """
    found = [*map(str, np.unique(labels))]
    known = (*(names or found),)
    if len(known) == classes and {*found} <= {*known}:
        return labels, known
    by_key = {folded(name): name if names else name.strip() for name in reversed(known)}
    spelling = {name: by_key.get(folded(name), name) for name in found}
    merged = (*names,) or (*sorted({*spelling.values()}, key=folded),)
    if len(merged) != classes or not {*spelling.values()} <= {*merged}:
        return labels, known
    return np.vectorize(spelling.get, otypes=[str])(labels), merged


def _class_names_remedy(found: Sequence[str], names: Sequence[str], classes: int) -> str:
    """Return the remedy for a wrong number of names: a [calib] line that lists all classes."""
    listed = [*names, *(name for name in found if name not in names)]
    if len(listed) > classes:
        return f"leave out samples of other classes: the network has {classes}"
    if any(map(is_refused, listed)):  # no setting has such names
        return f"labels that are numbers of classes, 0 to {classes - 1}"
    line = f"[calib] classes = [{', '.join(map(toml_text, listed))}]"
    more = classes - len(listed)
    missing = f", and the name{'s' * (more > 1)} of {more} more" if more else ""
    return f"{line}  # in the order of the outputs{missing}"


def _format_names(names: Sequence[str]) -> str:
    more = f", {len(names) - MOST_SHOWN} more" * (len(names) > MOST_SHOWN)
    return f"{', '.join(map(escaped, names[:MOST_SHOWN]))}{more}"


def _class_indices_of_one_hot(labels: Array, graph: Graph) -> Array | None:
    """Convert one-hot rows to class indices; None for other labels."""
    shape = graph.shape(graph.outputs[0])
    if labels[:1].size != math.prod(shape) or not np.isin(labels, (0, 1)).all():
        return None
    axis = class_axis(graph, graph.outputs[0])
    axes = range(len(shape)) if axis is None else [axis]
    rows = labels.reshape(len(labels), *shape)
    fitting = [d for d in axes if shape[d] > 1 and (rows.sum(d + 1) == 1).all()]
    if len(fitting) != 1:
        return None
    classes: Array = rows.argmax(fitting[0] + 1).reshape(len(labels), -1)
    return classes if classes.shape[1] > 1 else classes[:, 0]


def _check_one_hot_columns(labels: Array, graph: Graph, title: str) -> None:
    """Raise E225 for one-hot rows with another number of classes."""
    rows, size = labels.reshape(len(labels), -1), math.prod(graph.shape(graph.outputs[0]))
    columns = rows.shape[1]
    counts = class_counts(graph, columns)
    is_one_hot = np.isin(rows, (0, 1)).all() and (rows.sum(1) == 1).all()
    frames = [size // count for count in counts]
    if columns in (1, size, *frames, *_target_counts(graph)) or not is_one_hot:
        return
    classes = _format_alternatives(counts)
    facts = {"needs": f"{classes} classes, as the first output has", "has": f"{columns} columns"}
    numbers = f"class numbers, 0 to {_format_alternatives([count - 1 for count in counts])}"
    tries = [f"label: {numbers}, or {classes} columns", UNLABELLED]
    raise MyoedgeError("E225", f"{title}: not the classes of the network", facts, tries)


def _count_frames(labels: Array) -> int | None:
    return labels.shape[1] if labels.ndim > 1 else None


def _are_regression_targets(labels: Array, graph: Graph) -> bool:
    """Return whether integer labels are regression targets: for single-value outputs, or if each
    output value has one label but there are fewer frames."""
    count, frames = math.prod(graph.shape(graph.outputs[0])), _count_frames(labels) or 1
    if frames not in _target_counts(graph) or is_binary(graph, graph.outputs[0]):
        return False
    return count == 1 or frames * max(class_counts(graph, frames)) > count


def _target_counts(graph: Graph) -> tuple[int, ...]:
    """Return the possible numbers of targets per sample: elements of the first output, elements of
    all outputs; () if they are not floats."""
    sizes = [math.prod(graph.shape(name)) for name in graph.outputs]
    floats = [graph.tensors[name].dtype == "float32" for name in graph.outputs]
    return (*sizes[: floats[0]], *([sum(sizes)] if all(floats) else ()))


def class_counts(
    graph: Graph, frames: int | None = None, known: int | None = None
) -> tuple[int, ...]:
    """Return the possible numbers of classes of the network's first output: one, or the lengths of
    its axes if any of them may hold the classes.

    frames   labels per sample, if every frame has its own label
    known    number of class names
    """
    name = graph.outputs[0]
    made, shape = graph.producer.get(name), graph.shape(name)
    if made is not None and made.op == "majority":
        return (int(made.attrs["classes"]),)
    if made is not None and made.op == "argmax":
        return (int(graph.shape(made.inputs[0])[made.attrs["axis"]]),)
    if is_binary(graph, name):
        return (2,)
    axis = class_axis(graph, name, frames, known)
    return (*dict.fromkeys(n for n in shape if n > 1),) if axis is None else (shape[axis],)


def _format_alternatives(counts: Sequence[int]) -> str:
    return " or ".join(map(str, counts))


def _check_classes(labels: Array, graph: Graph, known: int, title: str) -> None:
    """Raise E225 for class numbers beyond the network's classes."""
    if not labels.size:
        return
    classes = max(class_counts(graph, _count_frames(labels), known))
    least, most = int(labels.min()), int(labels.max())
    if least >= 0 and most < classes:
        return
    facts = {"needs": f"0 to {classes - 1}, as the first output has", "has": f"{least} to {most}"}
    tries = [UNLABELLED]
    if len(found := np.unique(labels).astype(int)) == classes:
        line = f"[calib] classes = [{', '.join(toml_text(str(x)) for x in found)}]"
        tries.insert(0, f"{line}  # in the order of the outputs")
    if least < 0:
        tries.insert(0, "keep = label >= 0: x[keep] and label[keep] are the windows with a class")
    if most - least < classes:
        shift = f"- {least}" if least > 0 else f"+ {-least}"
        tries.insert(0, f"label=label {shift}, if classes are counted from {least}")
    raise MyoedgeError("E225", f"{title}: not the classes of the network", facts, tries)


def _unusable_labels_error(labels: Array, graph: Graph, title: str) -> MyoedgeError:
    counts = sorted({*_target_counts(graph)})
    several = "targets" if counts != [1] else "target"
    targets = [f"{' or '.join(map(str, counts))} {several} per sample"] if counts else []
    classes = class_counts(graph, _count_frames(labels))
    named = (
        [f"class numbers or names of {_format_alternatives(classes)} classes"]
        if classes != (1,)
        else []
    )
    facts = {
        "needs": ", or ".join([*named, *targets]),
        "has": f"{labels.dtype} {list(labels.shape)}",
    }
    if labels.dtype.kind == "U":
        facts["has"] = f"names: {_format_names([*map(str, np.unique(labels))])}"
    columns = counts[-1] if counts else 0
    shaped = [f"label: {columns} per sample, in the order of the outputs"]
    if labels.ndim == 1 and 1 < columns <= MOST_SHOWN:
        shaped = [f"label=np.stack([{', '.join(f'y{n}' for n in range(columns))}], axis=1)"]
    tries = [*shaped[: len(counts)], UNLABELLED]
    return MyoedgeError("E214", f"{title} holds neither classes nor targets", facts, tries)
