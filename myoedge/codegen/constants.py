# SPDX-License-Identifier: Apache-2.0
"""C names of constants, comments of layers, and aliases of equal constants."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from myoedge.codegen.render import C_TYPES, initializer
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.plan.levels.equal_constants import Key
from myoedge.plan.plan import Plan

SLICE_BYTES = 4096  # bytes per check


def function_name(index: int, step: QuantizedNode) -> str:
    return f"l{index:02d}_{'chain' if step.members else step.node.op}"


def heading(step: QuantizedNode) -> str:
    """Return the comment above a layer's C code, one line: operators, shapes, module paths, and the
    source line of each: "a (net.py:12) + net.py:13" of a chain."""
    reads = ", ".join(dimensions(shape) for shape in step.shapes)
    names = ", ".join(step.operators)
    node = step.node
    where = " + ".join(dict.fromkeys(map(str, node.origin))) if step.members else node.where
    return comment(f"{names} {reads} -> {dimensions(step.out)}  {where or node.label}")


def comment(text: str) -> str:
    """Return a text from a user's program as one line that can neither end nor continue a C
    comment."""
    clean = re.sub(r"[^\x20-\x7e]", "?", text).replace("*/", "* /")
    clean = re.sub(r"\?(?=\?)", "? ", clean)  # avoids trigraphs
    return clean.rstrip("\\ ")


def c_string(text: str) -> str:
    """Return a text as a C string literal, of its bytes in UTF-8."""
    plain = {*range(0x20, 0x7F)} - {*b'"\\?'}  # ? may begin a trigraph
    return '"' + "".join(chr(x) if x in plain else f"\\{x:03o}" for x in text.encode()) + '"'


def dimensions(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def arrays(index: int, step: QuantizedNode, stored: Mapping[str, Array]) -> dict[str, Array]:
    """Return the constant arrays of layer `index` by C name, packed for its kernel.

    stored   name -> the layer's arrays
    """
    name = function_name(index, step)
    return {f"{name}_{key}": value for key, value in sorted(stored.items())}


def constants(plan: Plan) -> dict[str, Array]:
    """Return the constant arrays that are in L2, by C name."""
    arrays_of: dict[str, Array] = {}
    for index, step in enumerate(plan.steps):
        stored = plan.stored(index)
        near = {key: plan.resident((index, key)) for key in stored if plan.stays((index, key))}
        arrays_of |= arrays(index, step, near)
    return arrays_of | {
        constant_name(plan, name): plan.quant.constants[name] for name in plan.constants
    }


def check_slices(arrays: Mapping[str, Array]) -> Iterator[dict[str, Any]]:
    """Yield the slices of constant arrays that <prefix>_check compares, at most SLICE_BYTES each,
    with their CRC-32 (IEEE 802.3, as in zlib); C stores numbers little-endian.

    arrays   C name -> array
    """
    for name, values in arrays.items():
        data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        for number, crc in enumerate(slice_crcs(data)):
            first = number * SLICE_BYTES
            size = min(SLICE_BYTES, len(data) - first)
            yield {"name": name, "first": first, "bytes": size, "crc": crc}


def slice_crcs(data: bytes) -> list[int]:
    """Return the CRC-32 of each slice of SLICE_BYTES; the last may be shorter."""
    return [zlib.crc32(data[at : at + SLICE_BYTES]) for at in range(0, len(data), SLICE_BYTES)]


def partial_arrays(plan: Plan) -> dict[str, int]:
    """Return the bytes of each constant of which only parts stay in L2, by C name."""
    return {
        f"{function_name(index, plan.steps[index])}_{name}": plan.stored(index)[name].nbytes
        for index, name in plan.streamed
        if plan.stays((index, name))
    }


def array_aliases(plan: Plan) -> list[tuple[str, str]]:
    """Return (C name, C name of the stored array with equal bytes) for every duplicate array."""

    def name(key: Key) -> str:
        return f"{function_name(key[0], plan.steps[key[0]])}_{key[1]}"

    pairs = ((key, of) for key, of in plan.owners.items() if key != of and plan.stays(of))
    return sorted((name(key), name(of)) for key, of in pairs)


def constant_name(plan: Plan, name: str) -> str:
    """Return the C name of a constant operand; operands with equal bytes share one name."""
    return f"const{list(plan.constants).index(plan.same[name]):02d}"


def array_values(name: str, values: Array) -> dict[str, Any]:
    return {
        "name": name,
        "type": C_TYPES[str(values.dtype)],
        "count": values.size,
        "text": initializer(values),
    }
