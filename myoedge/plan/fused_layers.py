# SPDX-License-Identifier: Apache-2.0
"""Pairs of layers that one kernel computes: a convolution on an accelerator and the mean of its
results, or a linear layer and the sum of its results and another tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.engine_choice import CORES
from myoedge.plan.l1.layer_kernels import candidates, cycles_with_code
from myoedge.plan.l1.tile_search import choose
from myoedge.targets.chip import Chip

Roots = Mapping[str, tuple[str, int]]


def fuse_layers(
    steps: Sequence[QuantizedNode], outputs: Iterable[str], roots: Roots, chip: Chip
) -> tuple[QuantizedNode, ...]:
    """Fuse pairs of layers for which a fused kernel takes fewer estimated cycles; return the new
    steps.

    outputs   output tensors, which must not be fused away
    roots     tensor -> (tensor whose buffer it shares, offset in bytes)
    """
    joined: dict[str, QuantizedNode] = {}
    taken: set[str] = set()
    for step, behind in _pairs(steps, {roots[name][0] for name in outputs}, roots):
        both = None if step.node.name in taken else _as_one(step, behind, roots, chip)
        if both is not None:
            joined[step.node.name] = both
            taken.add(both.node.name)
    kept = (step for step in steps if step.node.name not in taken)
    return tuple(joined.get(step.node.name, step) for step in kept)


def unfused_cycles(step: QuantizedNode, chip: Chip) -> float:
    """Return the estimated cycles of the two layers of a fused step, run separately."""
    assert step.behind is not None, "a layer that no other layer follows"
    own = len(step.operands) - len(step.behind.operands) + 1  # one of these is the first's result
    first = replace(
        step,
        behind=None,
        operands=step.operands[:own],
        shapes=step.shapes[:own],
        operand_types=step.operand_types[:own],
    )
    return _cycles(first, chip) + _cycles(step.behind, chip)


def _pairs(
    steps: Sequence[QuantizedNode], leaving: set[str], roots: Roots
) -> Iterator[tuple[QuantizedNode, QuantizedNode]]:
    """Return pairs of a layer and the only reader of its result, for operators with fused kernels;
    other operands of the reader are computed before the layer."""
    readers: dict[str, list[QuantizedNode]] = {}
    for step in steps:
        for name in step.operands:
            readers.setdefault(roots[name][0], []).append(step)
    later = {step.node.name for step in steps}
    for step in steps:
        kernels, found = OPS[step.node.op].kernels_before, readers.get(step.node.name, [])
        if len(found) == 1 and found[0].node.op in kernels and step.node.name not in leaving:
            needed = {roots[name][0] for name in found[0].operands} - {step.node.name}
            if needed.isdisjoint(later):
                yield step, found[0]
        later.discard(step.node.name)


def _others(step: QuantizedNode, behind: QuantizedNode, roots: Roots) -> list[int]:
    """Return the operands of the second layer that are not results of the first."""
    return [n for n, name in enumerate(behind.operands) if roots[name][0] != step.node.name]


def _as_one(
    step: QuantizedNode, behind: QuantizedNode, roots: Roots, chip: Chip
) -> QuantizedNode | None:
    """Return both layers as one, with the operands of both; None if no fused kernel is faster."""
    if CORES in (step.engine.name, behind.engine.name):
        return None
    origin = tuple(dict.fromkeys((*step.node.origin, *behind.node.origin)))
    node = step.node.but(outputs=behind.node.outputs, origin=origin)
    known = {roots[name]: name for name in step.operands}  # one name for the same bytes
    behind = replace(behind, operands=tuple(known.get(roots[x], x) for x in behind.operands))
    others = _others(step, behind, roots)
    both = replace(
        step,
        node=node,
        behind=behind,
        operands=(*step.operands, *(behind.operands[n] for n in others)),
        shapes=(*step.shapes, *(behind.shapes[n] for n in others)),
        operand_types=(
            *(step.read_type(n) for n in range(len(step.operands))),
            *(behind.read_type(n) for n in others),
        ),
    )
    cycles = _cycles(both, chip)
    return both if math.isfinite(cycles) and cycles < unfused_cycles(both, chip) else None


def _cycles(step: QuantizedNode, chip: Chip) -> float:
    """Estimated cycles of a single layer; infinite if no tile fits L1."""
    kernels = candidates(step, chip)
    found = (choose(k, chip.l1_room_bytes, chip.transfers) for k in kernels)
    return min(map(cycles_with_code, kernels, found), default=math.inf)
