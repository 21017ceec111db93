# SPDX-License-Identifier: Apache-2.0
"""Lower bounds of the memory for code and weights, from the float graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import OPS
from myoedge.targets import Chip

# Minimum code per layer, from 20 and 50 equal linked layers: 282 and 310 bytes for linear and
# depthwise ones, 184 for pools, 109 for flips and maxima. Layers of one C function share its code.
PRODUCT_CODE_BYTES, LAYER_CODE_BYTES = 256, 64
LEAST_BITS = 2  # minimum bits of a weight
FEW_BITS = (4, LEAST_BITS)  # weight bits that the error may suggest
SHOWN = 3  # layers listed in an error


def check_code(graph: Graph, chip: Chip) -> None:
    """Raise E303 if the minimum linked code of all layers exceeds L2."""
    layers = [OPS[node.op] for node in graph.nodes if not OPS[node.op].view]
    products = sum(op.multiplies or op.products is not None for op in layers)
    least_bytes = PRODUCT_CODE_BYTES * products + LAYER_CODE_BYTES * (len(layers) - products)
    if least_bytes > chip.l2_bytes:
        raise ProgramTooLarge("L2", least_bytes - chip.l2_bytes)


def check_weights(graph: Graph, chip: Chip, bits: int) -> None:
    """Raise E301 if the weights alone exceed L2 and L3 together.

    bits   minimum bits of a weight, for layers that allow fewer than 8
    """
    has = chip.l2_room_bytes + chip.l3_bytes
    if _weight_bytes(graph, bits) <= has:
        return
    rows = sorted(((_size_bytes(graph, n, bits), n.where) for n in _nodes(graph)), reverse=True)
    facts = {
        "needs": f"{_weight_bytes(graph, bits):,} B for weights of {bits} bits, and activations",
        "has": f"{has:,} B for data: {chip.l2_room_bytes:,} B of L2, {chip.l3_bytes:,} B of L3",
        "largest": "\n".join(f"{size:,} B  {where}" for size, where in rows[:SHOWN]),
    }
    fewer = next((n for n in FEW_BITS if n < bits and _weight_bytes(graph, n) <= has), None)
    tries = [f'[quant] "*" = {{ weights = {fewer} }}'] if fewer else []
    tries += ["fewer channels in the layers named", "--target host, to see the rest of the report"]
    raise MyoedgeError("E301", f"the weights alone do not fit {chip.name}'s memories", facts, tries)


def _nodes(graph: Graph) -> Iterator[Node]:
    """Yield layers with weights that are stored in memory."""
    for node in graph.nodes:
        stores = OPS[node.op].multiplicands is not None or node.op == "embedding"
        if stores and node.inputs[OPS[node.op].weights[0]] in graph.constants:
            yield node


def _size_bytes(graph: Graph, node: Node, bits: int) -> int:
    """Return the minimum bytes of a layer's weights, without recurrent weights."""
    has_few = OPS[node.op].multiplicands is not None
    constant = graph.constants[node.inputs[OPS[node.op].weights[0]]]
    least = LEAST_BITS if constant.format is not None else bits
    return constant.array.size * (least if has_few else INT8.bits) // INT8.bits


def _weight_bytes(graph: Graph, bits: int) -> int:
    """Return the bytes of all weights; equal arrays count once."""
    sizes = {}
    for node in _nodes(graph):
        array = graph.constants[node.inputs[OPS[node.op].weights[0]]].array
        sizes[hashlib.sha256(array.tobytes()).digest()] = _size_bytes(graph, node, bits)
    return sum(sizes.values())
