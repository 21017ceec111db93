# SPDX-License-Identifier: Apache-2.0
"""Key of a layer by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable

import numpy as np

from myoedge.graph.ir import plain
from myoedge.operators.base import QuantizedNode
from myoedge.operators.chain_nest import ChainParams


def content_key(step: QuantizedNode) -> Hashable:
    """Return a key that is equal for layers with equal kernels and constants, whatever their names.

    It serves as cache key: the precision search plans a network many times, most layers unchanged.
    """
    sha = hashlib.blake2b(digest_size=20)
    for name, array in sorted(step.integers.arrays.items()):
        sha.update(f"{name} {array.shape} {array.dtype} ".encode())
        sha.update(np.ascontiguousarray(array).data)
    numbers = {**step.attrs, "": dict(step.integers.scalars)}
    attrs = json.dumps(plain(numbers), sort_keys=True)
    read = (len(step.node.inputs), *map(step.operands.index, step.operands))  # x * x reads one
    types = (*step.operand_types, step.element_type)
    result = (step.out, step.low, step.high, types, step.engine.name, step.as_data)
    behind: Hashable = None
    if step.behind is not None:
        read_by = (name in step.operands for name in step.behind.operands)
        behind = (*read_by, content_key(step.behind))
    position = {member.node.name: -1 - at for at, member in enumerate(step.members)}
    position |= {name: at for at, name in enumerate(step.operands)}
    members = tuple(
        (*map(position.get, member.operands), content_key(member))  # folded operands have no place
        for member in step.members
    )
    stored = tuple(map(position.__getitem__, step.stored))
    late = step.integers.chain.flat.late if isinstance(step.integers, ChainParams) else ()
    chain = (members, *stored, step.turns, *late)
    return step.node.op, attrs, read, step.shapes, result, sha.digest(), behind, chain
