# SPDX-License-Identifier: Apache-2.0
"""Chains that read parts of their sums as constants computed at build time."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from myoedge.nest.c import WORKERS
from myoedge.nest.folded import FoldedNest
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.chain_nest import ChainNest, ChainParams
from myoedge.operators.chains import chain_of


def with_folded_constants(
    step: QuantizedNode, constants: Mapping[str, Array]
) -> QuantizedNode | None:
    """Return a chain with folded constants in the place of constant operands; None if it has none
    that its sums read alone, or if another training may give its numbers other values.

    constants   tensor -> its integers, for the constants of the network
    """
    chain: ChainNest = step.integers.chain
    known = dict[int, Array]()
    if not step.as_data:
        operands = zip(chain.flat.nest.operands, step.operands, strict=True)
        known = {id(array): constants[name] for array, name in operands if name in constants}
    found = FoldedNest.of(chain.flat.nest, known) if known else None
    made = None if found is None else chain_of(found.nest, _labels_of(chain, found))
    if found is None or made is None:
        return None
    return replace(_without_operands(step, found.gone), integers=ChainParams(chain=made))


def _without_operands(step: QuantizedNode, gone: Set[int]) -> QuantizedNode:
    """Return a chain without operands, by the ids of those of its description."""
    operands = step.integers.chain.flat.nest.operands
    kept = [at for at, array in enumerate(operands) if id(array) not in gone]
    return replace(
        step,
        operands=tuple(step.operands[at] for at in kept),
        shapes=tuple(step.shapes[at] for at in kept),
        operand_types=tuple(step.operand_types[at] for at in kept),
    )


def _labels_of(chain: ChainNest, found: FoldedNest) -> dict[int, str]:
    """Return the labels of a chain's parts for those in their places."""
    return {id(found.parts[at]): x for at, x in chain.labels.items() if at in found.parts}


def element_cycles(step: QuantizedNode) -> float:
    """Return the estimated cycles of an element of a chain's result, without transfers."""
    chain: ChainNest = step.integers.chain
    return chain.in_c(WORKERS).cycles
