# SPDX-License-Identifier: Apache-2.0
"""Fusion of two layers into one kernel: a convolution on an accelerator and the mean of its
results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.kernel import CORES
from myoedge.plan.l1.layer_kernels import candidates, cycles_with_code
from myoedge.plan.l1.tile_search import choose
from myoedge.targets.chip import Chip

Roots = Mapping[str, tuple[str, int]]


def fuse_layers(
    steps: Sequence[QuantizedNode], outputs: Iterable[str], roots: Roots, chip: Chip
) -> tuple[QuantizedNode, ...]:
    """Fuse pairs of layers if a fused kernel takes fewer estimated cycles; return the new steps.

    outputs   output tensors, which must not be fused away
    roots     tensor -> (tensor whose buffer it shares, offset in bytes)
    """
    joined = {
        step.node.name: both
        for step, behind in _pairs(steps, {roots[name][0] for name in outputs}, roots)
        if (both := _as_one(step, behind, chip)) is not None
    }
    taken = {both.node.name for both in joined.values()}
    kept = (step for step in steps if step.node.name not in taken)
    return tuple(joined.get(step.node.name, step) for step in kept)


def unfused_cycles(step: QuantizedNode, chip: Chip) -> float:
    """Return the estimated cycles of the two layers of a fused step, run separately."""
    assert step.behind is not None, "a layer that no other layer follows"
    return _cycles(replace(step, behind=None), chip) + _cycles(step.behind, chip)


def _pairs(
    steps: Sequence[QuantizedNode], leaving: set[str], roots: Roots
) -> Iterator[tuple[QuantizedNode, QuantizedNode]]:
    """Return layers and the only reader of their results, for operators with fused kernels."""
    readers: dict[str, list[QuantizedNode]] = {}
    for step in steps:
        for name in step.operands:
            readers.setdefault(roots[name][0], []).append(step)
    for step in steps:
        kernels, found = OPS[step.node.op].kernels_before, readers.get(step.node.name, [])
        if len(found) == 1 and found[0].node.op in kernels and step.node.name not in leaving:
            yield step, found[0]


def _as_one(step: QuantizedNode, behind: QuantizedNode, chip: Chip) -> QuantizedNode | None:
    """Return both layers as one; None if no fused kernel is faster."""
    if CORES in (step.engine.name, behind.engine.name):
        return None
    origin = tuple(dict.fromkeys((*step.node.origin, *behind.node.origin)))
    node = step.node.but(outputs=behind.node.outputs, origin=origin)
    both = replace(step, node=node, behind=behind)
    cycles = _cycles(both, chip)
    return both if math.isfinite(cycles) and cycles < unfused_cycles(both, chip) else None


def _cycles(step: QuantizedNode, chip: Chip) -> float:
    """Estimated cycles of a single layer; infinite if no tile fits L1."""
    kernels = candidates(step, chip)
    found = (choose(k, chip.l1_room_bytes, chip.transfers) for k in kernels)
    return min(map(cycles_with_code, kernels, found), default=math.inf)
