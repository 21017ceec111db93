# SPDX-License-Identifier: Apache-2.0
"""Fusion of two layers into one kernel: a convolution on an accelerator and the mean of its
results, or a linear layer and the sum of its results and another tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.engine_choice import CORES
from myoedge.operators.turns import loop_of, loop_spans
from myoedge.plan.chain_choice import join_chains
from myoedge.plan.chains import JoinableLayers
from myoedge.plan.l1.layer_kernels import fewest_cycles
from myoedge.plan.plan import size_bytes
from myoedge.plan.whole_loops import WholeLoops
from myoedge.quantization.scales import QuantGraph
from myoedge.targets.chip import Chip

Roots = Mapping[str, tuple[str, int]]
Cycles = Callable[[QuantizedNode], float]


@dataclass(frozen=True, eq=False, slots=True)
class LoweredLayers:
    """Layers of a network before any are planned as one.

    q       the network
    steps   its layers in order of execution, without views
    roots   tensor -> (tensor whose buffer it shares, offset in bytes)
    rows    tensor -> bytes by which its address advances per iteration of a loop
    chip    the chip
    byte_cycles   cycles per byte of operands and results that are not in L2
    """

    q: QuantGraph
    steps: tuple[QuantizedNode, ...]
    roots: Roots
    rows: Mapping[str, int]
    chip: Chip
    byte_cycles: float = 0.0

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.steps)))

    def __eq__(self, other: object) -> bool:
        """Return whether layers are the same objects, of the same graph, for an equal chip."""
        if not isinstance(other, LoweredLayers) or self.q.graph is not other.q.graph:
            return False
        return (
            [*map(id, self.steps)] == [*map(id, other.steps)]
            and (self.roots, self.rows) == (other.roots, other.rows)
            and (self.chip, self.byte_cycles) == (other.chip, other.byte_cycles)
        )


@lru_cache(maxsize=2)  # a search plans a network before the build does
def layers_as_one(of: LoweredLayers) -> tuple[QuantizedNode, ...]:
    """Return the layers that run: pairs fused, chains and whole loops joined where that takes fewer
    estimated cycles: of a layer, the longer of computing and moving its operands and results."""
    computed, q = fewest_cycles(of.chip), of.q

    def cycles(step: QuantizedNode) -> float:
        names = {x for x in (*step.operands, *step.written) if x not in q.constants}
        moved = sum(size_bytes(q, name) for name in names) if of.byte_cycles else 0
        return max(computed(step), of.byte_cycles * moved)

    steps = of.steps
    if len(steps) > 1:
        steps = fuse_layers(q, steps, of.roots, cycles)
    spans = loop_spans(q.graph.nodes)
    return whole_loops(q, steps, of.roots, of.rows, cycles) if spans else steps


def fuse_layers(
    q: QuantGraph, steps: Sequence[QuantizedNode], roots: Roots, cycles: Cycles
) -> tuple[QuantizedNode, ...]:
    """Fuse pairs of layers for which a fused kernel takes fewer estimated cycles; return the new
    steps, each pair in the place of its second layer.

    A layer that may be fused with either of two others, such as a sum of two convolutions, is fused
    where that saves more cycles.

    steps     layers of q in order of execution
    roots     tensor -> (tensor whose buffer it shares, offset in bytes)
    cycles    layer -> its estimated cycles; infinity if it has no tile
    """
    fused = {
        name: pair
        for name, pair in _best_pair_by_layer(q, steps, roots, cycles)
        if pair.gain_cycles > 0
    }
    firsts = {pair.first for pair in fused.values()}
    kept = (step for step in steps if step.node.name not in firsts)
    pairs = [fused[x.node.name].both if x.node.name in fused else x for x in kept]
    return _join_chains(q, pairs, roots, cycles)


def _join_chains(
    q: QuantGraph, steps: Sequence[QuantizedNode], roots: Roots, cycles: Cycles
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

    loops = loop_of(q.graph.nodes)
    layers = JoinableLayers(steps, made_by, leaving, loops, roots, q.constants)
    return join_chains(layers, cycles)


def whole_loops(
    q: QuantGraph,
    steps: Sequence[QuantizedNode],
    roots: Roots,
    rows: Mapping[str, int],
    cycles: Cycles,
) -> tuple[QuantizedNode, ...]:
    """Return the layers with each loop whose body is one chain as a layer that computes all
    iterations, if its sequences fit in L1.

    rows     tensor -> bytes by which its address advances per iteration of a loop
    cycles   layer -> its estimated cycles; infinity if it has no tile
    """
    counts = [span.steps for span in loop_spans(q.graph.nodes)]
    loops = WholeLoops(loop_of(q.graph.nodes), counts, roots, lambda name: rows.get(name, 0))
    return loops.joined(steps, cycles)


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


def _best_pair_by_layer(
    q: QuantGraph, steps: Sequence[QuantizedNode], roots: Roots, cycles: Cycles
) -> ItemsView[str, _FusedPair]:
    """Return second layer -> the pair that saves most cycles."""
    best: dict[str, _FusedPair] = {}
    for step, behind in _candidate_pairs(q, steps, roots):
        both = None if step.node.name in best else _fuse_pair(step, behind, roots)
        if both is not None:
            pair = _FusedPair(step.node.name, both, _saved_cycles(both, cycles))
            second = behind.node.name
            best[second] = max(best.get(second, pair), pair, key=lambda one: one.gain_cycles)
    return best.items()


def unfused_cycles(step: QuantizedNode, cycles: Cycles) -> float:
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
    return cycles(first) + cycles(step.behind)


def _candidate_pairs(
    q: QuantGraph, steps: Sequence[QuantizedNode], roots: Roots
) -> Iterator[tuple[QuantizedNode, QuantizedNode]]:
    """Yield (layer, only reader of its result) for operators with fused kernels.

    In a loop only consecutive layers are pairs: layers between them may overwrite a state that the
    first layer reads.
    """
    leaving = {roots[name][0] for name in q.graph.outputs}
    readers, loops = _readers_by_layer(steps, roots), loop_of(q.graph.nodes)
    for step, following in pairwise(steps):
        name, kernels = step.node.name, OPS[step.node.op].kernels_before
        behind = readers.get(name, [step])[0]
        if behind.node.op not in kernels or len(readers[name]) > 1 or name in leaving:
            continue
        loop = loops.get(name)
        if loop == loops.get(behind.node.name) and (loop is None or behind is following):
            yield step, behind


def _readers_by_layer(
    steps: Sequence[QuantizedNode], roots: Roots
) -> dict[str, list[QuantizedNode]]:
    """Return layer -> layers that read its result, once per operand."""
    readers: dict[str, list[QuantizedNode]] = {}
    for step in steps:
        for name in step.operands:
            readers.setdefault(roots[name][0], []).append(step)
    return readers


def _fuse_pair(step: QuantizedNode, behind: QuantizedNode, roots: Roots) -> QuantizedNode | None:
    """Return two layers as one fused layer with all operands; None if one must run on cores."""
    if CORES in (step.engine.name, behind.engine.name):
        return None
    origin = tuple(dict.fromkeys((*step.node.origin, *behind.node.origin)))
    node = step.node.but(outputs=behind.node.outputs, origin=origin)
    known = {roots[name]: name for name in step.operands}  # one name per buffer
    behind = replace(behind, operands=tuple(known.get(roots[x], x) for x in behind.operands))
    # The operand numbers of the second layer, without the first layer's result
    others = [n for n, name in enumerate(behind.operands) if roots[name][0] != step.node.name]
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


def _saved_cycles(both: QuantizedNode, cycles: Cycles) -> float:
    """Return the estimated cycles that fusing two layers saves; 0 without a fused kernel."""
    fused = cycles(both)
    return unfused_cycles(both, cycles) - fused if math.isfinite(fused) else 0.0
