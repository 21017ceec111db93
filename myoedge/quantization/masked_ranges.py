# SPDX-License-Identifier: Apache-2.0
"""Ranges of masked scores from visible scores only, with samples checked against the masks; ranges
of a tensor without the samples that reach furthest; and fills, such as -1e9, that make an int8 step
larger than all other values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import COMPARISONS
from myoedge.operators.attention import scores_of
from myoedge.operators.attention.operands import added, in_window
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE
from myoedge.quantization.float_runs import float_values

NO_SHARE = math.log(2.0**9)  # distance below a row's largest score: its probability rounds to 0
BOOLEAN = (0.0, 1.0)

Range = tuple[float, float]


def seen_elements(values: Array, mask: Array, axis: int) -> Array:
    """Return, as bool per element, whether a mask leaves it visible; in a fully masked row all
    elements count as visible.

    axis   softmax axis
    """
    seen = np.broadcast_to(mask > 0.5, values.shape)
    return np.asarray(seen | ~seen.any(axis=axis, keepdims=True))


def _ranges_of_masks(graph: Graph, nodes: Iterable[Node]) -> dict[str, Range]:
    ranges: dict[str, Range] = {}
    masks = [node.inputs[-1] for node in nodes if "masked" in node.attrs]
    while masks:  # the tensors that a mask is computed from are ones and zeros too
        name = masks.pop()
        node = graph.producer.get(name)
        if not graph.is_const(name):
            ranges[name] = BOOLEAN
        if node is not None and _preserves_truth_values(node):
            masks += node.inputs
    return ranges


def masked_ranges(
    graph: Graph, nodes: Sequence[Node], samples: Iterable[Mapping[str, Array]]
) -> dict[str, Range]:
    """Return the ranges of masks, and the ranges over visible elements of scores that only a masked
    softmax reads.

    nodes     those with a mask or a fill
    samples   values of all tensors, per sample
    Errors: E227, E228 if a sample shows that an operand is not a mask.
    """
    ranges = _ranges_of_masks(graph, nodes)
    for sample in samples:
        real = float_values(graph, sample)
        for node in nodes:
            name, seen = node.inputs[0], _visible_scores(node, [real[x] for x in node.inputs])
            if node.op == "softmax" and graph.only_user(name) is node:
                low, high = ranges.get(name, (np.inf, -np.inf))
                ranges[name] = min(float(seen.min()), low), max(float(seen.max()), high)
    return ranges


def _preserves_truth_values(node: Node) -> bool:
    """Return whether an operator maps zeros and ones to zeros and ones."""
    compares = node.op == "table" and node.attrs["chain"][-1][0] in COMPARISONS
    computes = node.op in ("mul", "table", "maximum")
    return OPS[node.op].is_data_movement or (computes and not compares)


def _visible_scores(node: Node, values: Sequence[Array]) -> Array:
    """Return the visible scores [n] of a softmax or attention. Errors: E227, E228."""
    mask, scores = values[-1] if "masked" in node.attrs else np.ones(()), values[0]
    _refuse_mask_values(node, float(np.minimum(np.abs(mask), np.abs(mask - 1.0)).max()))
    if node.op == "attention":  # with the scores outside the window
        scores = scores_of({**node.attrs, "window": None}, *values[:2])
        at = added(node.attrs, [x.shape for x in values])
        scores = scores + values[at["bias"]] if "bias" in at else scores
    if node.attrs.get("window"):
        mask = np.where(in_window(node.attrs, *scores.shape[-2:]), mask, 0.0)
    seen = seen_elements(scores, mask, node.attrs.get("axis", -1))
    if "fill" in node.attrs and not seen.all():
        _refuse_low_scores(node, scores, seen)
    return np.asarray(scores[seen])


def _refuse_mask_values(node: Node, error: float) -> None:
    """Raise E227 for a mask with values other than 0 and 1.

    error   largest distance of a mask's value from 0 and 1
    """
    if error > 1e-3:
        raise MyoedgeError(
            "E227",
            f"{node.where} has a mask that is neither 0 nor 1",
            {"needs": "1 for a key, 0 elsewhere", "has": f"values up to {error:.3g} away"},
            [
                "give ones and zeros as float32, and add (1 - kept) * -1e4 to the scores",
                "multiply by less than 50 on the device if it is a bias, not a mask",
            ],
        )


def _refuse_low_scores(node: Node, scores: Array, seen: Array) -> None:
    """Raise E228 if a visible score is as low as the fill that hides the others."""
    best, hidden = (
        np.where(at, scores, -np.inf).max(axis=node.attrs.get("axis", -1), keepdims=True)
        for at in (seen, ~seen)
    )
    reach = np.where(np.isfinite(hidden), np.maximum(hidden, 0.0), -np.inf)
    above = float((reach + node.attrs["fill"] - best).max())
    if above > -NO_SHARE:
        raise MyoedgeError(
            "E228",
            f"{node.where} hides keys by {node.attrs['fill']:g}, which scores reach",
            {"needs": f"{NO_SHARE:.3g} below a row's largest score", "has": f"{-above:.3g}"},
            ["fill with -1e4 or -torch.inf to hide keys"],
        )


# --- ranges of a tensor with all samples and without those that reach furthest --------------------

# Of n samples that do not exceed an end, new ones do with a chance of at most 3 / n, with a
# confidence of 95 % (J. Hanley and A. Lippman-Hand, If nothing goes wrong, is everything all
# right?, 1983).
MOST_BEYOND = 3


def outer_ranges(ends: Mapping[str, Sequence[Range]]) -> dict[str, Range]:
    """Return the range of every tensor over all samples.

    ends   tensor -> smallest and largest value of each sample
    """
    return {name: _range_without_outliers(0, rows) for name, rows in ends.items()}


def inner_ranges(ends: Mapping[str, Sequence[Range]]) -> dict[str, list[Range]]:
    """Return tensor -> its ranges with each end as without the 1, 2, .. samples that reach
    furthest, up to MOST_BEYOND; {} for a single sample.

    ends   tensor -> smallest and largest value of each sample
    """
    return {
        name: [
            _range_without_outliers(count, rows)
            for count in range(1, min(MOST_BEYOND + 1, len(rows)))
        ]
        for name, rows in ends.items()
        if len(rows) > 1
    }


def _range_without_outliers(count: int, ends: Sequence[Range]) -> Range:
    """Return a range with each end as without the samples that reach furthest."""
    lows, highs = (sorted(each) for each in zip(*ends, strict=True))
    return lows[count], highs[-1 - count]


# --- fills ----------------------------------------------------------------------------------------


STEPS = 255  # int8 steps in a range
UNUSED = 4.0  # a range this many times that of a maximum's result is due to a mask's fill
BY_ELEMENT = ("add", "affine", "maximum", "mul", "sub", "table", "where")


def fills_of(graph: Graph, ranges: Mapping[str, Range]) -> Iterator[tuple[Node, str, float]]:
    """Yield (node, operand, fill) for each sum whose fill is too far from the other values for
    int8, if a softmax turns it into probability 0.

    ranges   range of every tensor
    """
    for node in graph.nodes:
        reached = max(map(abs, ranges.get(node.name + PRE, ranges.get(node.name, (0.0, 0.0)))))
        for name, rest in _fill_candidates(graph, node, ranges):
            other, fill = sorted(_range_of_tensor(graph, name, ranges), key=abs)
            is_fill = abs(fill) > STEPS * max(abs(other), rest, NO_SHARE)
            if is_fill and (node.op == "attention" or reached > abs(fill) / 2):
                yield node, name, fill


def fills_below(node: Node, ranges: Mapping[str, Range]) -> bool:
    """Return whether a node is a maximum whose operand has a fill far below the maxima."""
    if node.op != "max_pool" or not {node.name, node.inputs[0]} <= ranges.keys():
        return False
    least, (low, high) = ranges[node.inputs[0]][0], ranges[node.name]
    return high - least > UNUSED * (high - low)


def _fill_candidates(
    graph: Graph, node: Node, ranges: Mapping[str, Range]
) -> Iterator[tuple[str, float]]:
    """Yield (operand, magnitude of the other addend) for the addends that may contain a fill;
    magnitude 0: unknown."""
    if node.op == "attention":
        at = added(node.attrs, [graph.shape(x) for x in node.inputs]).get("bias")
        yield from () if at is None else ((node.inputs[at], 0.0),)
        return
    is_sum = node.op in ("add", "sub")
    for i, name in enumerate(node.inputs):
        if is_sum or graph.is_const(name):
            others = node.inputs[1 - i : 2 - i] if is_sum else ()
            yield (
                name,
                max(
                    (abs(x) for y in others for x in _range_of_tensor(graph, y, ranges)),
                    default=0.0,
                ),
            )


def _range_of_tensor(graph: Graph, name: str, ranges: Mapping[str, Range]) -> Range:
    value = graph.find_array(name)
    return (
        ranges.get(name, (0.0, 0.0)) if value is None else (float(value.min()), float(value.max()))
    )


def refuse_unknown_masks(graph: Graph, ranges: Mapping[str, Range]) -> None:
    """Raise E226 if a softmax or attention reads a mask's fill value that import did not recognise
    as a mask.

    ranges   range of every tensor
    """
    for node, _, fill in fills_of(graph, ranges):
        readers = [node]
        for reader in readers:
            if node.op == "attention" or _has_mask_fill(reader, ranges):
                raise MyoedgeError(
                    "E226",
                    f"{reader.where} reads scores that are filled with {fill:.3g}",
                    {"needs": "what hides keys as a mask, which import recognises"},
                    [
                        "masked_fill(hidden, -torch.inf) right before the softmax, hidden a buffer",
                        "scores + (1 - kept) * -1e4, kept an input of ones and zeros",
                    ],
                )
            if reader.op in BY_ELEMENT or OPS[reader.op].is_data_movement:
                readers += graph.users.get(reader.name, ())


def _has_mask_fill(node: Node, ranges: Mapping[str, Range]) -> bool:
    """Return whether the scores of a softmax differ by so much that a fill must be among them."""
    low, high = ranges[node.inputs[0]] if node.op == "softmax" else (0.0, 0.0)
    return high - low > STEPS * NO_SHARE
