# SPDX-License-Identifier: Apache-2.0
"""Chains that read parts of their sums as constants computed at build time."""

from __future__ import annotations

from collections.abc import Mapping
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
    if step.as_data:
        return None
    chain: ChainNest = step.integers.chain
    nest = chain.flat.nest
    named = [*zip(nest.operands, step.operands, strict=True)]
    known = {id(array): constants[name] for array, name in named if name in constants}
    found = FoldedNest.of(nest, known) if known else None
    if found is None:
        return None
    labels = {id(found.parts[at]): x for at, x in chain.labels.items() if at in found.parts}
    made = chain_of(found.nest, labels)
    kept = [at for at, (array, _) in enumerate(named) if id(array) not in found.gone]
    return (
        None
        if made is None
        else replace(
            step,
            operands=tuple(step.operands[at] for at in kept),
            shapes=tuple(step.shapes[at] for at in kept),
            operand_types=tuple(step.operand_types[at] for at in kept),
            integers=ChainParams(chain=made),
        )
    )


def element_cycles(step: QuantizedNode) -> float:
    """Return the estimated cycles of an element of a chain's result, without transfers."""
    chain: ChainNest = step.integers.chain
    return chain.in_c(WORKERS).cycles
