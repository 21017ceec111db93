# SPDX-License-Identifier: Apache-2.0
"""Fusion of two layers into one kernel: a convolution on an accelerator and the mean of its
results, or a linear layer and the sum of its results and another tensor."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.engine_choice import CORES
from myoedge.operators.loop.turns import loop_of, loop_spans
from myoedge.plan.chains import JoinableLayers, join_chains
from myoedge.plan.l1.layer_kernels import candidates, cycles_with_code
from myoedge.plan.l1.tile_search import choose
from myoedge.plan.whole_loops import WholeLoops
from myoedge.quantization.scales import QuantGraph
from myoedge.targets.chip import Chip

Roots = Mapping[str, tuple[str, int]]


def fuse_layers(
    q: QuantGraph, steps: Sequence[QuantizedNode], roots: Roots, chip: Chip
) -> tuple[QuantizedNode, ...]:
    """Fuse pairs of layers for which a fused kernel takes fewer estimated cycles; return the new
    steps, each pair in the place of its second layer.

    A layer that may be fused with either of two others, such as a sum of two convolutions, is fused
    where that saves more cycles.

    steps     layers of q in order of execution
    roots     tensor -> (tensor whose buffer it shares, offset in bytes)
    """
    fused = {
        name: pair for name, pair in _best_pairs(q, steps, roots, chip) if pair.gain_cycles > 0
    }
    firsts = {pair.first for pair in fused.values()}
    kept = (step for step in steps if step.node.name not in firsts)
    pairs = [fused[x.node.name].both if x.node.name in fused else x for x in kept]
    return _chains(q, pairs, roots, chip)


def _chains(
    q: QuantGraph, steps: Sequence[QuantizedNode], roots: Roots, chip: Chip
) -> tuple[QuantizedNode, ...]:
    """Return the layers with chains of element-wise ones joined, where that saves cycles."""
    leaving = {roots[name][0] for name in q.graph.outputs}
    names = {step.node.name for step in steps}

    @cache
    def made_by(name: str) -> str:
        if name in names:
            return name
        view = q.graph.producer.get(name)
        return "" if view is None else made_by(view.inputs[0])

    layers = JoinableLayers(steps, made_by, leaving, loop_of(q.graph.nodes), roots)
    return join_chains(layers, lambda step: _cycles(step, chip))


def whole_loops(
    q: QuantGraph,
    steps: Sequence[QuantizedNode],
    roots: Roots,
    rows: Mapping[str, int],
    chip: Chip,
) -> tuple[QuantizedNode, ...]:
    """Return the layers with each loop whose body is one chain as a layer that computes all
    iterations, if its sequences fit in L1.

    rows   tensor -> bytes by which its address advances per iteration of a loop
    """
    counts = [span.steps for span in loop_spans(q.graph.nodes)]
    loops = WholeLoops(loop_of(q.graph.nodes), counts, roots, lambda name: rows.get(name, 0))
    return loops.joined(steps, lambda step: _cycles(step, chip))


@dataclass(frozen=True, slots=True)
class _FusedPair:
    """Two layers that one kernel can compute.

    first         name of the first layer
    both          the fused layer
    gain_cycles   estimated cycles that fusing saves; 0 without a fused kernel
    """

    first: str
    both: QuantizedNode
    gain_cycles: float


def _best_pairs(
    q: QuantGraph, steps: Sequence[QuantizedNode], roots: Roots, chip: Chip
) -> ItemsView[str, _FusedPair]:
    """Return second layer -> the pair that saves most cycles."""
    best: dict[str, _FusedPair] = {}
    for step, behind in _pairs(q, steps, roots):
        both = None if step.node.name in best else _as_one(step, behind, roots)
        if both is not None:
            pair, second = _FusedPair(step.node.name, both, _gain(both, chip)), behind.node.name
            best[second] = max(best.get(second, pair), pair, key=lambda one: one.gain_cycles)
    return best.items()


def unfused_cycles(step: QuantizedNode, chip: Chip) -> float:
    """Return the estimated cycles of the two layers of a fused step, run separately."""
    assert step.behind is not None, "a layer that no other layer follows"
    own = len(step.operands) - len(step.behind.operands) + 1  # without the first one's result
    first = replace(
        step,
        behind=None,
        operands=step.operands[:own],
        shapes=step.shapes[:own],
        operand_types=step.operand_types[:own],
    )
    return _cycles(first, chip) + _cycles(step.behind, chip)


def _pairs(
    q: QuantGraph, steps: Sequence[QuantizedNode], roots: Roots
) -> Iterator[tuple[QuantizedNode, QuantizedNode]]:
    """Yield (layer, only reader of its result) for operators with fused kernels.

    In a loop only consecutive layers are pairs: layers between them may overwrite a state that the
    first layer reads.
    """
    leaving = {roots[name][0] for name in q.graph.outputs}
    readers, loops = _readers(steps, roots), loop_of(q.graph.nodes)
    for step, following in pairwise(steps):
        name, kernels = step.node.name, OPS[step.node.op].kernels_before
        behind = readers.get(name, [step])[0]
        if behind.node.op not in kernels or len(readers[name]) > 1 or name in leaving:
            continue
        loop = loops.get(name)
        if loop == loops.get(behind.node.name) and (loop is None or behind is following):
            yield step, behind


def _readers(steps: Sequence[QuantizedNode], roots: Roots) -> dict[str, list[QuantizedNode]]:
    """Return layer -> layers that read its result, once per operand."""
    readers: dict[str, list[QuantizedNode]] = {}
    for step in steps:
        for name in step.operands:
            readers.setdefault(roots[name][0], []).append(step)
    return readers


def _others(step: QuantizedNode, behind: QuantizedNode, roots: Roots) -> list[int]:
    """Return the operand numbers of the second layer, without the first layer's result."""
    return [n for n, name in enumerate(behind.operands) if roots[name][0] != step.node.name]


def _as_one(step: QuantizedNode, behind: QuantizedNode, roots: Roots) -> QuantizedNode | None:
    """Return two layers as one fused layer with all operands; None if one must run on cores."""
    if CORES in (step.engine.name, behind.engine.name):
        return None
    origin = tuple(dict.fromkeys((*step.node.origin, *behind.node.origin)))
    node = step.node.but(outputs=behind.node.outputs, origin=origin)
    known = {roots[name]: name for name in step.operands}  # one name per buffer
    behind = replace(behind, operands=tuple(known.get(roots[x], x) for x in behind.operands))
    others = _others(step, behind, roots)
    return replace(
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


def _gain(both: QuantizedNode, chip: Chip) -> float:
    """Return the estimated cycles that fusing two layers saves; 0 without a fused kernel."""
    cycles = _cycles(both, chip)
    return unfused_cycles(both, chip) - cycles if math.isfinite(cycles) else 0.0


def _cycles(step: QuantizedNode, chip: Chip) -> float:
    """Return the estimated cycles of a single layer; infinity if no tile fits L1."""
    kernels = candidates(step, chip)
    found = (choose(k, chip.l1_room_bytes, chip.transfers) for k in kernels)
    return min(map(cycles_with_code, kernels, found), default=math.inf)
