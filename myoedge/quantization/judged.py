# SPDX-License-Identifier: Apache-2.0
"""Selection of the elements of a tensor that count for its SQNR, with their signal and error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.library.masks import MASK_GAP
from myoedge.quantization.masked_ranges import seen_elements

CHOSEN_GAP = 100.0 * MASK_GAP  # an argmax never chooses a score this far below the largest


@dataclass(frozen=True, slots=True)
class Row:
    """Rule by which the elements of a tensor count for its SQNR.

    axis               axis along which an operator compares elements; None: all elements count
    mask               name of the mask that hides elements; "" for none
    is_compared_only   whether its readers depend only on differences between elements (softmax)
    is_chosen_from     whether only the index of the largest element is read (argmax)
    reach              magnitude beyond which its readers saturate; larger elements count as equal
    """

    axis: int | None = None
    mask: str = ""
    is_compared_only: bool = False
    is_chosen_from: bool = False
    reach: float = np.inf


@dataclass(frozen=True)
class JudgedTensor:
    """The elements of a float tensor that count for its SQNR, for one sample.

    exact     their float values, float64 [n]
    counted   function that selects these n elements of a whole tensor
    """

    exact: Array = field(repr=False)
    counted: Callable[[Array], Array] = field(repr=False)

    @cached_property
    def signal(self) -> float:
        """Sum of the squared float values of the counted elements."""
        return float(np.sum(self.exact**2))

    def error(self, values: Array) -> float:
        """Return the sum of squared errors of a dequantised tensor over the counted elements."""
        return float(np.sum((self.exact - self.counted(values)) ** 2))


def rows_of(graph: Graph) -> dict[str, Row]:
    """Return tensor -> rule, for tensors whose elements do not all count: gate sums, and scores
    before a softmax or argmax."""
    reaches = ((node.name, OPS[node.op].result.reach) for node in graph.nodes)
    rows = {name: Row(reach=reach) for name, reach in reaches if reach < np.inf}
    for node in (n for n in graph.nodes if OPS[n.op].operands.are_compared):
        row = rows[node.inputs[0]] = _comparison_rule(graph, node)
        if node.op == "log_softmax":
            rows[node.name] = replace(row, is_compared_only=False)
    return rows


def _comparison_rule(graph: Graph, node: Node) -> Row:
    """Return the rule for the input of a node that compares elements, such as softmax."""
    name, mask = node.inputs[0], node.inputs[1] if node.attrs.get("masked") else ""
    readers = [OPS[reader.op] for reader in graph.users[name]]
    only = name not in graph.outputs and all(op.operands.are_compared for op in readers)
    chosen = only and all(op.result.dtype != "float32" for op in readers)
    return Row(node.attrs.get("axis", -1), mask, only, chosen)


def judged(rows: Mapping[str, Row], name: str, real: Mapping[str, Array]) -> JudgedTensor:
    """Return the elements of a tensor that count for its SQNR, for one sample.

    rows   result of `rows_of`
    real   values of all tensors in the float network

    If readers saturate, elements are clipped to their limits. Of the scores of a softmax, only
    those with a non-zero probability count; if nothing else reads them, only their differences from
    the row's mean.
    """
    row = rows.get(name, Row())
    counted = _elements_that_count(row, real[name], real)
    return JudgedTensor(counted(real[name]), counted)


def _elements_that_count(
    row: Row, exact: Array, real: Mapping[str, Array]
) -> Callable[[Array], Array]:
    if row.axis is None:
        return lambda x: np.clip(x.astype(np.float64), -row.reach, row.reach).reshape(-1)
    # Elements whose probability, or chance to be the argmax, is not negligible
    if row.mask:
        counts = seen_elements(exact, real[row.mask], row.axis)
    else:
        least = -CHOSEN_GAP if row.is_chosen_from else -MASK_GAP
        counts = np.asarray(exact - exact.max(axis=row.axis, keepdims=True) > least)
    if not row.is_compared_only:
        return lambda x: x.reshape(counts.shape)[counts].astype(np.float64)

    def differences(x: Array) -> Array:
        values = x.astype(np.float64).reshape(counts.shape)
        mean = values.mean(axis=row.axis, keepdims=True, where=counts)
        return np.asarray((values - mean)[counts])

    return differences
