# SPDX-License-Identifier: Apache-2.0
"""Ranges beside masks: scores that a row sees make them, and masks are checked on the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import COMPARISONS
from myoedge.operators.attention.definition import scores_of
from myoedge.operators.attention.geometry import added, in_window
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.formats import operand_names

FAR = 1e3  # between scores of a row: one of them is hidden by something that import does not see
FAINT = -50.0  # exp is 2e-22, of what lies so far below the largest of its row
BY_ELEMENT = ("add", "affine", "maximum", "mul", "sub", "table")
SWAMPED = -5e3  # far below what networks compute, and far above with the other sign
SPARE = 10.0  # between a row's largest score and what a fill gives: exp(-10) is no step of 1/256
ORDERED = ("softmax", "log_softmax", "argmax", "ctc_greedy")  # whose rows have a largest element
CHOOSING = ("argmax", "ctc_greedy")  # by differences alone, whatever their scale
BOOLEAN = (0.0, 1.0)

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """A tensor whose elements an operator compares along an axis.

    mask        name of what hides elements, or ""
    reach       magnitude beyond which elements are alike
    is_chosen_from   whether the index of the largest element is all that is read of it
    """

    axis: int
    mask: str = ""
    is_chosen_from: bool = False
    reach: float = np.inf


def rows_of(graph: Graph) -> dict[str, Row]:
    """The rows of tensors that are compared, softmax first of all, and of gates."""
    reaches = ((node.name, OPS[node.op].reach) for node in graph.nodes)
    rows = {name: Row(-1, reach=reach) for name, reach in reaches if reach < np.inf}
    for node in (n for n in graph.nodes if n.op in ORDERED):
        name, mask = node.inputs[0], node.inputs[1] if node.attrs.get("masked") else ""
        readers = {reader.op for reader in graph.users[name]}
        is_chosen_from = readers.issubset(CHOOSING) and name not in graph.outputs
        rows[name] = Row(node.attrs.get("axis", -1), mask, is_chosen_from)
        if node.op == "log_softmax":
            rows[node.name] = rows[name]
    return rows


def judged_values(
    rows: Mapping[str, Row], name: str, real: Mapping[str, Array]
) -> Callable[[Array], Array]:
    """Function of a tensor, in floats or as integers stand for them -> float64 [n], the numbers
    that say how well it is represented: all, within its reach; in a row that is compared those that
    have a share in it; in one that a largest element is chosen from, their differences from their
    mean.

    real   every value of the float network, by which elements are left out
    """
    row = rows.get(name)
    if row is None:
        return lambda x: x.astype(np.float64).reshape(-1)
    if row.reach < np.inf:
        return lambda x: np.clip(x.astype(np.float64), -row.reach, row.reach).reshape(-1)
    counts = _counts(row, real[name], real)
    if not row.is_chosen_from:
        return lambda x: x[counts].astype(np.float64)

    def differences(x: Array) -> Array:
        exact = x.astype(np.float64)
        mean = exact.mean(axis=row.axis, keepdims=True, where=counts)
        return np.asarray((exact - mean)[counts])

    return differences


def _counts(row: Row, scores: Array, real: Mapping[str, Array]) -> Array:
    """bool: elements that have a share in their row."""
    if row.mask:
        return _seen(scores, real[row.mask], row.axis)
    least = SWAMPED if row.is_chosen_from else FAINT
    return np.asarray(scores - scores.max(axis=row.axis, keepdims=True) > least)


def _seen(values: Array, mask: Array, axis: int) -> Array:
    """bool: elements that a mask leaves; all of a row of which it leaves none."""
    seen = np.broadcast_to(mask > 0.5, values.shape)
    return np.asarray(seen | ~seen.any(axis=axis, keepdims=True))


def refuse_undecided(graph: Graph, name: str, value: Array) -> None:
    """Errors: E226 if a softmax or an attention without a mask reads what hides keys; scores far
    apart to which nothing is added are a softmax that saturates."""
    for node in graph.users.get(name, ()):
        if node.op == "softmax" and not node.attrs.get("masked"):
            _refuse_far(graph, node, value.max(axis=node.attrs["axis"], keepdims=True) - value)
        elif node.op == "attention":
            at = added(node.attrs, [graph.shape(x) for x in node.inputs]).get("bias")
            if at is not None and node.inputs[at] == name:
                _refuse_far(graph, node, -value)


def _may_hide(graph: Graph, name: str) -> bool:
    """Whether to scores, or to what they are computed from element by element, something is added
    that may be a mask: a constant far below 0, or what no weights made of the inputs."""
    pending = [name]
    while pending:
        node = graph.producer.get(pending.pop())
        if node is None or not _is_by_element(node):
            continue
        if node.op in ("add", "sub") and any(_is_fill(graph, x) for x in node.inputs):
            return True
        pending += node.inputs
    return False


def _is_by_element(node: Node) -> bool:
    return node.op in BY_ELEMENT or OPS[node.op].is_data_movement


def _is_fill(graph: Graph, name: str) -> bool:
    """Whether a constant is far from 0 somewhere, or a tensor is made of inputs and constants by
    operators on single elements."""
    if graph.is_const(name):
        return bool(np.abs(graph.array(name)).max() >= FAR)
    pending = [name]
    while pending:
        node = graph.producer.get(pending.pop())
        if node is not None and not _is_by_element(node):
            return False
        pending += node.inputs if node is not None else ()
    return True


def _refuse_far(graph: Graph, node: Node, below: Array) -> None:
    """below   how far scores are below the largest of their row, or below 0"""
    hides = node.op == "attention" or _may_hide(graph, node.inputs[0])
    if hides and not below.max() < FAR:
        raise MyoedgeError(
            "E226",
            f"{node.where} reads scores that are {below.max():.3g} below others of their row",
            {"needs": f"scores less than {FAR:g} apart, and what hides keys as a mask"},
            [
                "masked_fill(hidden, -torch.inf) right in front of the softmax, hidden a buffer",
                "scores + (1 - kept) * -1e4, kept an input of ones and zeros",
            ],
        )


def masked_ranges(graph: Graph, samples: Iterable[Mapping[str, Array]]) -> dict[str, Range]:
    """Ranges of masks, and of scores that a masked softmax alone reads.

    Errors: E226, E227, E228 where a sample shows that a mask is none.
    """
    nodes = [node for node in graph.nodes if {"masked", "fill"} & node.attrs.keys()]
    ranges: dict[str, Range] = {}
    masks = [node.inputs[-1] for node in nodes if "masked" in node.attrs]
    while masks:  # and what they are computed from is ones and zeros too
        name = masks.pop()
        node = graph.producer.get(name)
        if not graph.is_const(name):
            ranges[name] = BOOLEAN
        if node is not None and _keeps_truth(node):
            masks += node.inputs
    for sample in samples if nodes else ():
        real = float_values(graph, sample)
        for node in nodes:
            name = node.inputs[0]
            alone = node.op == "softmax" and graph.only_user(name) is node
            scores = _checked_scores(graph, node, real, alone=alone)
            if alone:
                low, high = ranges.get(name, (np.inf, -np.inf))
                ranges[name] = min(float(scores.min()), low), max(float(scores.max()), high)
    return ranges


def _keeps_truth(node: Node) -> bool:
    """Whether the operands of ones and zeros are ones and zeros."""
    compares = node.op == "table" and node.attrs["chain"][-1][0] in COMPARISONS
    computes = node.op in ("mul", "table", "maximum")
    return OPS[node.op].is_data_movement or (computes and not compares)


def _checked_scores(graph: Graph, node: Node, real: Mapping[str, Array], *, alone: bool) -> Array:
    """Scores [n] that a softmax or an attention sees.

    alone   whether they make a range of their own, which none may lie far below
    Errors: E226, E227, E228.
    """
    values, axis = [real[name] for name in node.inputs], node.attrs.get("axis", -1)
    mask = values[-1] if "masked" in node.attrs else np.ones(())
    _refuse_numbers(node, float(np.minimum(np.abs(mask), np.abs(mask - 1.0)).max()))
    scores = values[0]
    if node.op == "attention":  # those outside of a window too
        scores = scores_of({**node.attrs, "window": None}, *values[:2])
        at = added(node.attrs, [x.shape for x in values])
        scores = scores + values[at["bias"]] if "bias" in at else scores
    if node.attrs.get("window"):
        mask = np.where(in_window(node.attrs, *scores.shape[-2:]), mask, 0.0)
    seen = _seen(scores, mask, axis)
    best = np.where(seen, scores, -np.inf).max(axis=axis, keepdims=True)
    if "fill" in node.attrs:
        _refuse_reached(node, np.where(seen, -np.inf, scores).max(axis=axis, keepdims=True), best)
    if alone:
        _refuse_far(graph, node, np.where(seen, best - scores, 0.0))
    return np.asarray(scores[seen])


def _refuse_numbers(node: Node, error: float) -> None:
    """error   largest distance of a mask's number from 0 and 1"""
    if error > 1e-3:
        raise MyoedgeError(
            "E227",
            f"{node.where} has a mask that is neither 0 nor 1",
            {"needs": "ones where a key is, zeros elsewhere", "has": f"{error:.3g} beside them"},
            [
                "give ones and zeros as float32, and add (1 - kept) * -1e4 to the scores",
                "multiply by less than 50 on the device where it is a bias, and no mask",
            ],
        )


def _refuse_reached(node: Node, hidden: Array, best: Array) -> None:
    """fill   how far a hidden score is moved down: from where it is, or from 0"""
    above = float((np.maximum(hidden, 0.0) * np.isfinite(hidden) + node.attrs["fill"] - best).max())
    if np.isfinite(hidden).any() and above > -SPARE:
        raise MyoedgeError(
            "E228",
            f"{node.where} hides keys by {node.attrs['fill']:g}, which scores reach",
            {"needs": f"{SPARE:g} below a row's largest score", "has": f"{-above:.3g} below it"},
            ["fill with -1e4 or -torch.inf where keys are to be hidden"],
        )


def swamped(graph: Graph, ranges: Mapping[str, Range]) -> Iterator[tuple[Node, float]]:
    """(node, what it fills with) where that, and not what else there is, makes int8's range."""
    for node in graph.nodes:
        span = np.array(ranges.get(node.name + PRE, ranges.get(node.name, (0.0, 0.0))))
        for value in (graph.array(x) for x in node.inputs if x in graph.constants):
            for sign in (s for s in (1, -1) if (s * span).min() <= SWAMPED):
                fill = float((sign * value).min(initial=0.0))
                if fill <= SWAMPED and bool((sign * value > SWAMPED).any()):
                    yield node, sign * fill


def constants_of(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges of all constants that operators read as integers."""
    declared: dict[str, Range] = {}
    for node in graph.nodes:
        for index, name in enumerate(node.inputs):
            if name in graph.constants and name in operand_names(node):
                low, high = _constant_range(graph, node, index, ranges)
                before = declared.get(name, (low, high))
                declared[name] = min(before[0], low), max(before[1], high)
    return declared


def _constant_range(graph: Graph, node: Node, index: int, ranges: Mapping[str, Range]) -> Range:
    """The range of a constant; of one that is added no more than makes the smallest sum of the
    largest other number."""
    value = graph.array(node.inputs[index])
    low, high = float(value.min()), float(value.max())
    if node.attrs.get("masked") and index == len(node.inputs) - 1:
        return BOOLEAN
    name = node.inputs[1 - index] if node.op == "add" else ""
    other = graph.arrays.get(name, np.array(ranges.get(name, (np.inf,))))
    if low > FAINT or not np.isfinite(other).all():
        return low, high
    least = ranges.get(node.name + PRE, ranges[node.name])[0] - float(other.max())
    return min(max(low, least), high), high
